"""YAML files beside recipes, such as a policy: read as strictly as recipes, and each mistake with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from ftc.spec.base import Document
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.parse import source_path
from ftc.spec.language.section_tree import documents_in
from ftc.spec.language.source import Source, read_source_bytes, shown_lines

__all__ = ["ReadForm", "read_form"]

F = TypeVar("F", bound=Document)


@dataclass(frozen=True)
class ReadForm(Generic[F]):
    """A file's contents with the places of its values.

    Attributes:
        value: What it says.
        source: Its text with places.
        lines: Its lines, for showing places.
    """

    value: F
    source: Source
    lines: tuple[str, ...]


def read_form(
    data: bytes,
    file: str,
    form: type[F],
    code: str,
    *,
    called: str,
    begins: str,
    helps: Mapping[str, str] | None = None,
) -> ReadForm[F]:
    """Reads a file of a form.

    Args:
        data: The file's bytes.
        file: Its name in findings.
        form: What it has to say.
        code: Code of the findings about its contents.
        called: What such a file is called, such as `policy`.
        begins: What one begins with, for whoever left it empty.
        helps: Help by pydantic's name of the mistake, where its own words are those of Python.

    Raises:
        Refusal: It is not of that form (`code`, or a code of the text).
    """
    source, found = read_source_bytes(data, file)
    if not data.strip():
        found = (diagnostic(code, f"the {called} is empty", help=f"write {begins}, or delete the file"),)
    lines = shown_lines(data)
    if source is None:
        raise _refusal(found, file, lines)
    try:
        return ReadForm(form.model_validate(source.plain()), source, lines)
    except ValidationError as problem:
        errors = {_location(source, error): error for error in reversed(problem.errors())}
        told = [path for path in errors if not any(other[: len(path)] == path != other for other in errors)]
        explained = [_explained(source, path, errors[path], form, code, called, helps or {}) for path in reversed(told)]
        raise _refusal(tuple(explained), file, lines) from None


def _location(source: Source, error: Any) -> tuple[str | int, ...]:
    """Where a mistake is. What only failed to be another form of the same value stands above the mistake itself."""
    parts = tuple(chain.from_iterable(one.split(".") if isinstance(one, str) else (one,) for one in error["loc"]))
    *outer, last = parts or ("",)
    if error["type"] in ("extra_forbidden", "missing"):
        return (*source_path(source, outer), last)
    return source_path(source, parts)


def _refusal(found: tuple[Diagnostic, ...], file: str, lines: tuple[str, ...]) -> Refusal:
    refusal = Refusal(found)
    refusal.sources = {file: lines}
    return refusal


def _explained(
    source: Source,
    path: tuple[str | int, ...],
    error: Any,
    form: type[Document],
    code: str,
    called: str,
    helps: Mapping[str, str],
) -> Diagnostic:
    dotted = ".".join(map(str, path))
    if error["type"] == "extra_forbidden":
        known = _keys_at(form, path[:-1])
        meant = nearest(str(path[-1]), known)
        help = f"did you mean `{meant}`?" if meant else f"the keys are {', '.join(known)}"
        return diagnostic(code, f"unknown key `{dotted}` in the {called}", source.key_span(path), help=help)
    if error["type"] == "missing":
        return diagnostic(code, f"`{dotted}` is missing", source.span(path[:-1]), help=f"write `{path[-1]}: …`")
    help = helps.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "literal_error":
        help = f"write {error['ctx']['expected']}".replace("'", "`")
    summary = f"`{dotted}` can't be this" if dotted else f"the {called} contradicts itself"
    return diagnostic(code, summary, source.span(path), help=help)


def _keys_at(form: type[Document], path: tuple[str | int, ...]) -> tuple[str, ...]:
    """Keys of the mapping at a path of a form."""
    forms: tuple[type[Document], ...] = (form,)
    for part in path:
        fields = [one.model_fields[part] for one in forms if isinstance(part, str) and part in one.model_fields]
        forms = tuple(chain.from_iterable(documents_in(field.annotation) for field in fields)) or forms
    return tuple(dict.fromkeys(chain.from_iterable(one.model_fields for one in forms)))
