"""Source tree to typed recipe. Every mistake becomes a diagnostic with its place; all are found in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import ValidationError

from ftc.spec.diagnostics import Diagnostic, Fix, Span, TextEdit, diagnostic, rewritten
from ftc.spec.divergences import DIVERGENCES
from ftc.spec.embedding_losses import EMBEDDING_LOSSES
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.section_tree import all_sections, field_docs, places_of_key, section_at
from ftc.spec.language.sound import read_sound
from ftc.spec.language.source import Mapping, Scalar, Sequence, Source
from ftc.spec.preference_losses import PREFERENCE_LOSSES
from ftc.spec.reinforcement_losses import REINFORCEMENT_LOSSES
from ftc.spec.reranking_losses import RERANKING_LOSSES
from ftc.spec.sections.recipe import LANGUAGE_VERSION, Recipe
from ftc.spec.tasks import TASKS

__all__ = ["Path", "kind_meant", "parse_recipe", "source_path", "version_fault"]

Path = tuple[str | int, ...]

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "`true` or `false`",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_NEVER = {
    "trust_remote_code": (
        "not supported",
        "remove it; ftc never runs code that comes with a model, and no key or flag allows it",
    ),
}
"""Keys of other tools that ftc will not have, with a label and what to do."""
_EXAMPLES = {
    "ftc": "`ftc: 1`",
    "name": "`name: my-task`",
    "task": "`task: {kind: classification}`",
    "data": "`data: {source: {path: rows.jsonl}}`",
    "model": "`model: {base: models/my-model}`",
    "strategy": "`strategy: {kind: lora}`",
}
"""What the recipe's own keys may say."""
_TRUTHS = {
    **dict.fromkeys(("yes", "on", "True", "TRUE"), "true"),
    **dict.fromkeys(("no", "off", "False", "FALSE"), "false"),
}
"""What YAML 1.1 and Python call the truth values."""
LONGEST_SHOWN = 60
"""Characters of a value in a message."""
_PLAIN_WORD = re.compile(r"[\w./-]+")
_QUOTED_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)
_BOUNDS = {"greater_than": ">", "greater_than_equal": "≥", "less_than": "<", "less_than_equal": "≤"}


def parse_recipe(source: Source) -> tuple[Recipe | None, tuple[Diagnostic, ...]]:
    """The recipe that a source holds, or None with at least one error."""
    if fault := version_fault(source):
        return None, (fault,)
    plain: dict[str, Any] = source.plain()
    if (sound := read_sound(plain)) is not None:
        return sound, ()
    try:
        return Recipe.model_validate(plain), ()
    except ValidationError as problem:
        errors: list[Any] = problem.errors(include_url=False)
    textual = [source_path(source, error["loc"]) for error in errors if error["type"] == "string_type"]
    rewritten = [path for path in textual if _as_written(source, plain, path)]
    if rewritten:
        try:
            return Recipe.model_validate(plain), ()
        except ValidationError as problem:
            errors = problem.errors(include_url=False)
    return None, tuple(_explain_all(source, plain, errors))


def _as_written(source: Source, plain: dict[str, Any], path: Path) -> bool:
    """Puts a plain scalar's own text in place of its typed value: `name: 2024` is the text `2024`."""
    node = source.node(path)
    if not isinstance(node, Scalar) or node.quoted or not path:
        return False
    holder: Any = plain
    for part in path[:-1]:
        holder = holder[part]
    if not isinstance(holder, dict) or holder[path[-1]] is None:
        return False
    holder[path[-1]] = node.text
    return True


def source_path(source: Source, location: Iterable[str | int]) -> Path:
    """A pydantic location without the tags of unions, which stand in no file."""
    node: Any = source.root
    path: list[str | int] = []
    for part in location:
        match node:
            case Mapping() if part in node.entries:
                node = node.entries[str(part)].node
            case Sequence() if isinstance(part, int) and part < len(node.items):
                node = node.items[part]
            case _:
                continue
        path.append(part)
    return tuple(path)


def _explain_all(source: Source, plain: dict[str, Any], errors: list[Any]) -> Iterable[Diagnostic]:
    by_path: dict[Path, list[Any]] = {}
    for error in errors:
        *outer, last = error["loc"] or ("",)
        names_key = error["type"] in ("missing", "extra_forbidden")
        path = (*source_path(source, outer), last) if names_key else source_path(source, error["loc"])
        by_path.setdefault(path, []).append(error)
    for path, group in by_path.items():
        # A value that only failed to be the word that could stand in place of a list or mapping, or to have entries
        # enough, of which those that are wrong themselves aren't counted, follows from what is wrong below it.
        may_follow = all(error["type"] in ("literal_error", "too_short") for error in group)
        below = (other for other in by_path if len(other) > len(path) and other[: len(path)] == path)
        if not may_follow or next(below, None) is None:
            yield _explain(source, plain, path, group)


def _explain(source: Source, plain: dict[str, Any], path: Path, group: list[Any]) -> Diagnostic:
    error = group[0]
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(source, plain, path)
        case "missing":
            return _missing_key(source, plain, path)
        case "union_tag_not_found":
            return _missing_key(source, plain, (*path, "kind"))
        case "union_tag_invalid":
            choices = re.findall(r"'([^']+)'", error["ctx"]["expected_tags"])
            return _not_a_choice(source, (*path, "kind"), error["ctx"]["tag"], choices)
        case "string_pattern_mismatch":
            value = error["input"]
            field = path[:-1] if isinstance(path[-1], int) else path  # an item of a list is described with the list
            section = section_at(field[:-1], plain)
            return diagnostic(
                "FTC103",
                f"`{_dotted(path)}` can't be {_shown(source, path, value)}",
                source.span(path),
                help=field_docs(section).get(str(field[-1]), "").rstrip(".") if section else (),
                path=_dotted(path),
            )
        case _:
            return _bad_value(source, path, group)


def version_fault(source: Source) -> Diagnostic | None:
    """The finding for a text, or a part of a recipe, that says it is of another version of the language."""
    node = source.node("ftc")
    version = node.value if isinstance(node, Scalar) else None
    if not isinstance(version, int) or version == LANGUAGE_VERSION:
        return None
    return diagnostic(
        "FTC105",
        f"this release does not support version {version} of the recipe language",
        source.span("ftc"),
        label=f"this release reads version {LANGUAGE_VERSION}",
        help=f"write `ftc: {LANGUAGE_VERSION}`, or install a newer ftc",
        path="ftc",
    )


def _unknown_key(source: Source, plain: dict[str, Any], path: Path) -> Diagnostic:
    from ftc.spec.language.foreign_words import by_value, foreign_word, is_slip, own_name  # few have such a key

    key, section = str(path[-1]), section_at(path[:-1], plain)
    known = tuple(section.model_fields) if section else ()
    inside = f" in `{_dotted(path[:-1])}`" if path[:-1] else ""
    span = source.key_span(path)
    holder: Any = plain
    for part in path[:-1]:
        holder = holder[part]
    foreign = _NEVER.get(key) or by_value(key, holder, plain) or foreign_word(key, _dotted(path[:-1]))
    mapping = source.node(path[:-1])
    entries = mapping.entries if isinstance(mapping, Mapping) else {}
    beside = {name for name, entry in entries.items() if entry.key_span.file == span.file}  # can't be meant
    if not foreign and (close := nearest(key, [name for name in known if name not in beside])):
        return diagnostic(
            "FTC104",
            f"unknown key `{key}`{inside}",
            span,
            label=f"did you mean `{close}`?",
            help=f"rename the key to `{close}`",
            fixes=_renamed(key, close, span, safe=is_slip(key, close)),
            path=_dotted(path),
        )
    label, help = foreign or _advice(plain, path, known)
    own = None if key in _NEVER else own_name(key, _dotted(path[:-1]))
    fixes = _renamed(key, own, span) if own is not None and own in known and own not in beside else ()
    return diagnostic(
        "FTC104", f"unknown key `{key}`{inside}", span, label=label, help=help, fixes=fixes, path=_dotted(path)
    )


def _renamed(key: str, name: str, span: Span, *, safe: bool = True) -> tuple[Fix, ...]:
    return (Fix(f"rename `{key}` to `{name}`", (TextEdit(span, name),), safe=safe),)


def _advice(plain: dict[str, Any], path: Path, known: tuple[str, ...]) -> tuple[str, str]:
    """Label and help for a key that stands in the wrong place, or nowhere in the language."""
    key, parent = str(path[-1]), path[:-1]
    places = [place for place in places_of_key(key) if place and place != _dotted(parent)]
    outer = [place for place in places if not any(place.startswith(f"{other}.") for other in places)]
    where = " or ".join(f"`{place}`" for place in outer[:3])
    if kinds := _kinds_at(parent, key):
        written: Any = plain
        for part in (*parent, "kind"):
            written = written.get(part) if isinstance(written, dict) else None
        beside = f", which `kind: {written}` does not have" if written in _kinds_at(parent) else ""
        wide = [f"`{place}`" for place in outer if "." not in place]  # inside of others it is something else
        moved = f"move it to {' or '.join(wide)}, " if wide else ""
        return f"only for `kind: {' or '.join(kinds)}`", f"{moved}write `kind: {kinds[0]}`, or remove `{key}`{beside}"
    if where:
        return f"belongs in {where}", f"move `{key}` to {where}"
    if key in Recipe.model_fields:
        return "belongs at the top level", f"move `{key}` to the top level"
    return "unknown key", f"the keys here are {', '.join(known)}"


def _missing_key(source: Source, plain: dict[str, Any], path: Path) -> Diagnostic:
    key, parent = str(path[-1]), path[:-1]
    where = f" in `{_dotted(parent)}`" if parent else ""
    section = section_at(parent, plain)
    choices = _kinds_at(parent) if key == "kind" else ()
    example = _EXAMPLES.get(key) if section is Recipe else None
    more = f", one of {', '.join(choices)}" if choices else f", such as {example}" if example else ""
    return diagnostic(
        "FTC101",
        f"`{key}` is missing{where}",
        source.key_span(parent) if parent else source.span(()),
        label=f"needs `{key}`" if parent else f"the recipe needs `{key}`",
        help=f"add `{key}: …`{more}",
        path=_dotted(path),
    )


def _kinds_at(path: Path, key: str = "kind") -> tuple[str, ...]:
    """Kinds of the section at a path that have a key."""
    sections = [section for place, section in all_sections() if place == _dotted(path) and key in section.model_fields]
    fields = [section.model_fields["kind"] for section in sections if "kind" in section.model_fields]
    return tuple(kind for field in fields for kind in _words_of(field.annotation))


def _words_of(annotation: Any) -> Iterable[str]:
    """The words of a literal, or of the literals in a union."""
    for part in get_args(annotation):
        yield from (part,) if isinstance(part, str) else _words_of(part)


def _elsewhere(path: Path) -> Iterable[tuple[str, str]]:
    """What other tools call a value at a path, with what ftc calls it."""
    match path:
        case ("task", "kind"):
            yield from ((name, task.name()) for task in TASKS for name in task.CARD.foreign_names)
        case ("task", "loss"):
            yield from ((name, card.kind) for card in EMBEDDING_LOSSES for name in card.foreign)
            yield from ((name, card.kind) for card in PREFERENCE_LOSSES for name in card.foreign)
            yield from ((name, card.kind) for card in REINFORCEMENT_LOSSES for name in card.foreign)
            yield from ((name, card.kind) for card in RERANKING_LOSSES for name in card.foreign)
        case ("train", "distillation", "loss"):
            yield from ((name, card.kind) for card in DIVERGENCES for name in card.foreign)


def _not_a_choice(source: Source, path: Path, value: object, choices: list[str]) -> Diagnostic:
    known = _ours(path, str(value), choices)
    close = known or nearest(str(value), choices)
    span = source.span(path)
    fixes = rewritten(span, close) if close else ()
    return diagnostic(
        "FTC105",
        f"`{_dotted(path)}` can't be {_shown(source, path, value)}",
        span,
        label=f"ftc calls it `{known}`" if known else f"did you mean `{close}`?" if close else "",
        help=f"write one of {', '.join(choices)}",
        fixes=fixes,
        path=_dotted(path),
    )


def _bad_value(source: Source, path: Path, group: list[Any]) -> Diagnostic:
    """One finding for all the branches of a union that a value failed: a broken bound says more than a wrong type."""
    value = group[0]["input"]
    bound = next(
        (error for error in group if error["type"] not in _EXPECTED and error["type"] != "literal_error"), None
    )
    choices = [c for error in group for c in re.findall(r"'([^']+)'", (error.get("ctx") or {}).get("expected", ""))]
    if bound:
        return _out_of_bounds(source, path, bound)
    kinds = list(dict.fromkeys(_EXPECTED[error["type"]] for error in group if error["type"] in _EXPECTED))
    if choices and not kinds:
        return _not_a_choice(source, path, value, choices)
    expected = " or ".join([*(f"`{choice}`" for choice in choices), *kinds])
    node = source.node(path)
    help: str | tuple[str, ...] = ()
    edit: str | None = None
    if isinstance(node, Scalar) and "a list" in kinds and value is not None:
        help = f"write `[{node.text if len(node.text) <= LONGEST_SHOWN else '…'}]` for a list of one"
        edit = f"[{node.text}]" if _PLAIN_WORD.fullmatch(node.text) and not node.quoted else None
    elif isinstance(node, Scalar) and node.quoted and _QUOTED_NUMBER.fullmatch(str(value)):
        edit, help = node.text, "remove the quotes"
    elif isinstance(value, float) and value.is_integer() and "a whole number" in kinds:
        edit, help = f"{value:.0f}", f"write `{value:.0f}`"
    elif isinstance(node, Scalar) and kinds == ["text"] and isinstance(value, int | float):
        edit, help = f'"{node.text}"', f'write `"{node.text}"`, in quotes'
    elif isinstance(value, str) and value in _TRUTHS and "`true` or `false`" in kinds:
        edit, help = _TRUTHS[value], "in YAML 1.2 only `true` and `false` are booleans"
    elif isinstance(node, Scalar) and "a mapping" in kinds and (kind := kind_meant(path, node.text)):
        edit = f"{{kind: {kind}}}"
        help = f"write `{edit}`"
    elif path == ("data", "split"):
        from ftc.spec.language.foreign_words import SPLIT_OF_DATA

        help = SPLIT_OF_DATA
    return diagnostic(
        "FTC102",
        f"`{_dotted(path)}` must be {expected}, not {_shown(source, path, value)}",
        source.span(path),
        label=f"expected {expected}",
        help=help,
        fixes=() if edit is None else rewritten(source.span(path), edit),
        path=_dotted(path),
    )


def kind_meant(path: Path, word: str) -> str | None:
    """The kind of the section at a path that a word alone stands for, such as `adamw` for `{kind: adamw}`; another
    tool's word counts, too.
    """
    kinds = _kinds_at(path)
    return word if word in kinds else _ours((*path, "kind"), word, kinds) or nearest(word, kinds)


def _ours(path: Path, word: str, choices: Iterable[str]) -> str | None:
    """What ftc calls another tool's value at a path; None for a value of no tool."""
    names = {name.lower().replace("_", "-"): kind for name, kind in _elsewhere(path) if kind in choices}
    return names.get(word.lower().replace("_", "-"))


def _out_of_bounds(source: Source, path: Path, error: Any) -> Diagnostic:
    context = error.get("ctx") or {}
    kind = error["type"]
    if kind in _BOUNDS:
        (limit,) = [context[name] for name in ("gt", "ge", "lt", "le") if name in context]
        expected = f"must be {_BOUNDS[kind]} {limit:g}" if isinstance(limit, int | float) else f"must be {limit}"
    elif kind == "finite_number":
        expected = "must be a finite number"
    elif kind in ("too_short", "string_too_short"):
        expected = f"needs at least {context['min_length']} {'characters' if kind.startswith('string') else 'entries'}"
    elif kind in ("too_long", "string_too_long"):
        expected = f"takes at most {context['max_length']} {'characters' if kind.startswith('string') else 'entries'}"
    else:
        expected = str(context.get("error", error["msg"]))
    return diagnostic(
        "FTC103",
        f"`{_dotted(path)}` can't be {_shown(source, path, error['input'])}",
        source.span(path),
        label=expected if kind != "value_error" else "",
        help=expected if kind == "value_error" else (),
        path=_dotted(path),
    )


def _dotted(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _shown(source: Source, path: Path, value: object) -> str:
    """A value as it stands in the file."""
    node = source.node(path)
    if isinstance(node, Scalar) and value is not None:
        value = f'"{node.text}"' if node.quoted else node.text
    match value:
        case None:
            return "null"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case str():
            return f"`{value if len(value) <= LONGEST_SHOWN else value[: LONGEST_SHOWN - 1] + '…'}`"
        case _:
            return f"`{value}`"
