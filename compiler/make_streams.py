"""Rows to token streams: reads the data, renders, tokenises, and fills a folder of the cache.

Apart from `compile_data`, because it takes the libraries for rows, templates and tokens, which a plan whose streams are
in the cache does without.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ftc.compiler.draft import Draft
from ftc.compiler.quality.checks import quality_checks
from ftc.compiler.quality.lengths import with_lengths
from ftc.compiler.resolve.data import ResolvedData, resolve_data
from ftc.compiler.resolve.data_files import DataFiles
from ftc.compiler.stream_manifest import KeptFinding, Manifest
from ftc.compiler.text.encoder import TextTokenizer
from ftc.compiler.text.findings import Limits, stream_findings
from ftc.compiler.text.forms import ChatForm, ClassifyForm, PromptForm, TextForm
from ftc.compiler.text.sandbox import TemplateRenderer
from ftc.compiler.text.stream import write_stream
from ftc.compiler.text.tokens import TokenRows, encode_rows
from ftc.spec.diagnostics import Diagnostic, Refusal
from ftc.spec.durable import write_text
from ftc.spec.source import Source

__all__ = ["make_streams"]


def make_streams(draft: Draft, files: DataFiles, model_folder: Path, folder: Path, source: Source) -> Manifest:
    """Makes the streams of a shaped draft; `folder` is there when all of it is complete.

    Raises:
        Refusal: The rows can't be used.
    """
    data = resolve_data(draft.recipe.data, draft.recipe.task, files, source.span)
    try:
        splits = _encode(draft, data, model_folder)
        found = _findings(draft, data, splits)
    except Refusal as refusal:
        raise Refusal(replace(one, span=source.span(one.path or "data")) for one in refusal.diagnostics) from None
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
    try:
        manifest = _write_streams(data, splits, found, temporary)
        write_text(temporary / "manifest.json", manifest.to_text())
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _encode(draft: Draft, data: ResolvedData, model_folder: Path) -> dict[str, TokenRows]:
    """Tokens by split."""
    form = _form(draft, data)
    tokenizer = TextTokenizer(model_folder / "tokenizer.json")
    with TemplateRenderer() as renderer:
        return {
            split: encode_rows(
                part.rows,
                form,
                tokenizer,
                draft.model.tokenizer,
                renderer,
                max_length=draft.values["text.max_length"],
                cuts=draft.values["text.overflow"] == "cut",
                numbers=part.numbers,
                place=part.place,
            )
            for split, part in data.parts.items()
        }


def _findings(draft: Draft, data: ResolvedData, splits: Mapping[str, TokenRows]) -> list[Diagnostic]:
    """Warnings about the splits' tokens.

    Raises:
        Refusal: They can't be trained on (FTC330), or rows are too long that must not be (FTC342).
    """
    refuses_long = draft.values["text.overflow"] == "refuse"
    limits = Limits(draft.values["text.max_length"], draft.model.max_positions, refuses_long)
    found = stream_findings(splits, {split: part.place for split, part in data.parts.items()}, limits)
    if any(finding.is_error for finding in found):
        raise Refusal(found)
    return found


def _write_streams(
    data: ResolvedData, splits: Mapping[str, TokenRows], found: Iterable[Diagnostic], folder: Path
) -> Manifest:
    places: dict[str, Callable[[int], str]] = {split: part.place for split, part in data.parts.items()}
    quality = with_lengths(data.quality, splits, places)
    return Manifest(
        labels=data.labels,
        splits={split: write_stream(folder / f"{split}.arrow", tokens) for split, tokens in splits.items()},
        sources=data.sources,
        quality=quality,
        findings=tuple(map(KeptFinding.of, (*data.diagnostics, *found))),
        checks=tuple(quality_checks(quality, len(splits))),
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
