"""Rows to token streams: reads the data, renders, tokenises, and fills a folder of the cache.

Apart from `compile_data`, because it takes the libraries for rows, templates and tokens, which a plan whose streams are
in the cache does without.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from ftc.compiler.draft import Draft
from ftc.compiler.resolve.data import ResolvedData, resolve_data
from ftc.compiler.resolve.data_files import DataFiles
from ftc.compiler.stream_manifest import KeptFinding, Manifest
from ftc.compiler.text.encoder import TextTokenizer
from ftc.compiler.text.forms import ChatForm, ClassifyForm, PromptForm, TextForm
from ftc.compiler.text.sandbox import TemplateRenderer
from ftc.compiler.text.stream import findings, write_stream
from ftc.compiler.text.tokens import encode_rows
from ftc.spec.durable import write_text
from ftc.spec.source import Source
from ftc.spec.streams import SplitReport

__all__ = ["make_streams"]


def make_streams(draft: Draft, files: DataFiles, model_folder: Path, folder: Path, source: Source) -> Manifest:
    """Makes the streams of a shaped draft; `folder` is there when all of it is complete.

    Raises:
        Refusal: The rows can't be used.
    """
    data = resolve_data(draft.recipe.data, draft.recipe.task, files, source.span)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
    try:
        manifest = _write_streams(draft, data, model_folder, temporary)
        write_text(temporary / "manifest.json", manifest.to_text())
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _write_streams(draft: Draft, data: ResolvedData, model_folder: Path, folder: Path) -> Manifest:
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
    return Manifest(
        labels=data.labels,
        splits=splits,
        sources=data.sources,
        findings=tuple(map(KeptFinding.of, found)),
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
