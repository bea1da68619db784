"""Rows to token streams, once: what the streams depend on is their key, and a second plan finds them in the cache.

The key covers every byte that can reach a token: data files, recipe sections, template, tokenizer, the form settled by
the passes, and the release of ftc and tokenizers. A folder of the cache is complete when its manifest is there, which
is written last.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ftc.compiler.draft import Draft
from ftc.compiler.lock import write_text_atomically
from ftc.compiler.resolve.data import ResolvedData, resolve_data
from ftc.compiler.resolve.data_files import DataFiles
from ftc.compiler.text.encoder import TextTokenizer
from ftc.compiler.text.forms import ChatForm, ClassifyForm, PromptForm, TextForm
from ftc.compiler.text.sandbox import TemplateRenderer
from ftc.compiler.text.stream import findings, write_stream
from ftc.compiler.text.tokens import encode_rows
from ftc.spec import canonical
from ftc.spec.base import Document
from ftc.spec.diagnostics import Diagnostic, Severity, diagnostic
from ftc.spec.lock import SourceLock
from ftc.spec.places import streams_folder
from ftc.spec.plan import Check
from ftc.spec.source import Source
from ftc.spec.streams import SPLITS, SplitReport
from ftc.spec.version import VERSION

__all__ = ["CompiledData", "compile_data"]

_FORMAT = 1
"""Raised when the same inputs would give other streams."""
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


class _Finding(Document):
    """A warning as the cache keeps it: places in the recipe are looked up anew, since lines move."""

    code: str
    summary: str
    help: tuple[str, ...]
    notes: tuple[str, ...]
    path: str | None


class _Manifest(Document):
    """What a folder of the cache holds."""

    labels: tuple[str, ...]
    splits: dict[str, SplitReport]
    sources: dict[str, SourceLock]
    findings: tuple[_Finding, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class CompiledData:
    """Token streams in the cache, and what is known of them.

    Attributes:
        key: Name of their folder.
        splits: Report by split.
        labels: Classes in order; empty for tasks without.
        sources: Lock entry by use of each data file.
        diagnostics: Warnings.
        checks: What was looked at, for the plan.
    """

    key: str
    splits: Mapping[str, SplitReport]
    labels: tuple[str, ...]
    sources: dict[str, SourceLock]
    diagnostics: tuple[Diagnostic, ...]
    checks: tuple[Check, ...]


def compile_data(draft: Draft, files: DataFiles, model_folder: Path, source: Source) -> CompiledData:
    """The streams of a shaped draft, from the cache or made now.

    Raises:
        Refusal: The rows can't be used.
    """
    key = _key(draft, files)
    folder = streams_folder(key)
    manifest = _read_manifest(folder) or _make(draft, files, model_folder, folder, source)
    return CompiledData(
        key=key,
        splits={part: manifest.splits[part] for part in SPLITS if part in manifest.splits},
        labels=manifest.labels,
        sources=manifest.sources,
        diagnostics=tuple(_placed(finding, source) for finding in manifest.findings),
        checks=manifest.checks,
    )


def _key(draft: Draft, files: DataFiles) -> str:
    recipe = draft.recipe.to_json()
    text = {path: value for path, value in draft.values.items() if path.startswith("text.")}
    model_files = draft.model.files
    return canonical.digest(
        {
            "format": _FORMAT,
            "ftc": VERSION,
            "tokenizers": importlib.metadata.version("tokenizers"),
            "task": recipe["task"],
            "data": recipe["data"],
            "text": text,
            "files": {use: file.facts.sha256 for use, file in files.items()},
            "tokenizer": {name: model_files[name].sha256 for name in _TOKENIZER_FILES if name in model_files},
        }
    )[:32]


def _read_manifest(folder: Path) -> _Manifest | None:
    """What a complete folder holds; None where there is none, or parts of it are gone."""
    try:
        manifest = _Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    except (OSError, ValidationError):
        return None
    complete = all((folder / f"{split}.arrow").exists() for split in manifest.splits)
    return manifest if complete else None


def _make(draft: Draft, files: DataFiles, model_folder: Path, folder: Path, source: Source) -> _Manifest:
    data = resolve_data(draft.recipe.data, draft.recipe.task, files, source.span)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
    try:
        manifest = _write_streams(draft, data, model_folder, temporary)
        write_text_atomically(temporary / "manifest.json", manifest.to_text())
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _write_streams(draft: Draft, data: ResolvedData, model_folder: Path, folder: Path) -> _Manifest:
    form = _form(draft, data)
    tokenizer = TextTokenizer(model_folder / "tokenizer.json")
    splits: dict[str, SplitReport] = {}
    found = list(data.diagnostics)
    with TemplateRenderer() as renderer:
        for split, rows in data.parts.items():
            tokens = encode_rows(
                rows,
                form,
                tokenizer,
                draft.model.tokenizer,
                renderer,
                max_length=draft.values["text.max_length"],
            )
            splits[split] = write_stream(folder / f"{split}.arrow", tokens)
            found += findings(split, splits[split])
    return _Manifest(
        labels=data.labels,
        splits=splits,
        sources=data.sources,
        findings=tuple(_kept(finding) for finding in found),
        checks=data.checks,
    )


def _form(draft: Draft, data: ResolvedData) -> TextForm:
    columns = data.columns.by_part
    match draft.values["text.form"]:
        case "classify":
            return ClassifyForm(
                text=columns["text"], text_pair=columns.get("text_pair"), label=columns["label"], labels=data.labels
            )
        case "chat":
            return ChatForm(messages=columns["messages"])
        case _:
            return PromptForm(
                prompt=draft.values["text.prompt"],
                completion=columns["completion"],
                system=draft.values["text.system"],
            )


def _kept(found: Diagnostic) -> _Finding:
    return _Finding(code=found.code, summary=found.summary, help=found.help, notes=found.notes, path=found.path)


def _placed(found: _Finding, source: Source) -> Diagnostic:
    return diagnostic(
        found.code,
        found.summary,
        source.span(found.path) if found.path else None,
        help=found.help,
        notes=found.notes,
        path=found.path,
        severity=Severity.WARNING,
    )
