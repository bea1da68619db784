"""Rows to token streams: reads the data, renders, tokenizes, and fills a folder of the cache.

Apart from `compile_data`, because it takes the libraries for rows, templates and tokens, which a plan whose streams are
in the cache does without.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ftc.compiler.draft import Draft
from ftc.compiler.quality.contamination import with_contamination
from ftc.compiler.quality.findings import quality_checks
from ftc.compiler.quality.texts import with_lengths
from ftc.compiler.resolve.rows.data import ResolvedData, resolve_data
from ftc.compiler.resolve.rows.data_files import DataFiles
from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.findings import Limits, stream_findings
from ftc.compiler.tokens.forms import TextForm
from ftc.compiler.tokens.groups import groups_of
from ftc.compiler.tokens.probes import PROBES, Probes, make_probes
from ftc.compiler.tokens.row_forms import Wording, row_form
from ftc.compiler.tokens.row_index import remember_rows
from ftc.compiler.tokens.row_tokens import encode_rows
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.compiler.tokens.stream_manifest import KeptFinding, Manifest, TextProbe
from ftc.compiler.tokens.stream_writer import write_stream
from ftc.compiler.tokens.token_audit import token_findings
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.compiler.tokens.tokenizer_probe import render_probe, tokenizer_probe
from ftc.spec.diagnostics import Diagnostic, Refusal
from ftc.spec.documents.facts import TokenizerFacts
from ftc.spec.documents.lockfile import SourceLock
from ftc.spec.documents.probes import swaps_digest
from ftc.spec.documents.settings import Open
from ftc.spec.documents.slices import LABEL, LENGTH, Groups
from ftc.spec.language.source import Source
from ftc.spec.storage.atomic_write import write_text
from ftc.spec.storage.paths import cache_folder
from ftc.spec.tasks import Task
from ftc.spec.tasks.card import Prompted, PromptFacts
from ftc.spec.text_forms import form_card

__all__ = ["make_streams"]


def make_streams(draft: Draft, files: DataFiles, model_folder: Path, folder: Path, source: Source) -> Manifest:
    """Makes the streams of a shaped draft; `folder` is there when all of it is complete.

    Raises:
        Refusal: The rows can't be used.
    """
    own = {use: file for use, file in files.items() if use not in PROBES}
    data = resolve_data(draft.recipe.data, _task(draft), own, source.span)
    for digests in data.row_digests.values():
        remember_rows(cache_folder(), digests)
    prompt = _usual_prompt(draft, data)
    try:
        form = row_form(
            _task(draft), data.columns.by_part, data.labels, _wording(draft, prompt), data.parts["train"].rows
        )
        splits, probe = _encode(draft, data, form, model_folder)
        found = _findings(draft, data, splits)
        tokenizer = TextTokenizer(model_folder / "tokenizer.json")
        probes = make_probes(draft, files, data, form, splits.get("test"), tokenizer)
    except Refusal as refusal:
        raise Refusal(replace(one, span=source.span(one.path or "data")) for one in refusal.diagnostics) from None
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
    try:
        groups = _groups(draft, data, splits, source)
        manifest = _write_streams(data, prompt, splits, found, probe, groups, temporary)
        manifest = manifest.model_copy(update=_write_probes(probes, manifest.sources, temporary))
        write_text(temporary / "manifest.json", manifest.to_text())
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _encode(
    draft: Draft, data: ResolvedData, form: TextForm, model_folder: Path
) -> tuple[dict[str, TokenRows], TextProbe]:
    """Tokens by split, and how tokenizer and template behave."""
    tokenizer = TextTokenizer(model_folder / "tokenizer.json")
    with TemplateRenderer() as renderer:
        probe = _probe(draft.model.tokenizer, tokenizer, renderer)
        splits: dict[str, TokenRows] = {
            split: encode_rows(
                part.rows,
                form,
                tokenizer,
                draft.model.tokenizer,
                renderer,
                max_length=draft.shape.max_length,
                cuts=draft.shape.overflow == "cut",
                numbers=part.numbers,
                place=part.place,
            )
            for split, part in data.parts.items()
        }
    return splits, probe


def _probe(facts: TokenizerFacts, tokenizer: TextTokenizer, renderer: TemplateRenderer) -> TextProbe:
    tokens = {"bos_token": facts.bos_token, "eos_token": facts.eos_token, "pad_token": facts.pad_token}
    template = facts.chat_template
    return TextProbe(
        tokenizer_sha256=tokenizer_probe(tokenizer),
        template_sha256=None if template is None else render_probe(template, tokens, renderer),
    )


def _findings(draft: Draft, data: ResolvedData, splits: Mapping[str, TokenRows]) -> list[Diagnostic]:
    """Warnings about the splits' tokens.

    Raises:
        Refusal: They can't be trained on (FTC330, FTC335 to FTC337), or rows are too long that must not be (FTC342).
    """
    refuses_long = draft.shape.overflow == "refuse"
    limits = Limits(draft.shape.max_length, draft.model.max_positions, refuses_long)
    places: dict[str, Callable[[int], str]] = {split: part.place for split, part in data.parts.items()}
    is_chat, most_lost = form_card(draft.shape.form).is_conversation, draft.recipe.data.max_lost_answers
    audit = token_findings(splits, places, draft.model.tokenizer, is_chat=is_chat, most_lost=most_lost)
    found = [*stream_findings(splits, places, limits), *audit]
    if any(finding.is_error for finding in found):
        raise Refusal(found)
    return found


def _write_streams(
    data: ResolvedData,
    prompt: tuple[str, str] | None,
    splits: Mapping[str, TokenRows],
    found: Iterable[Diagnostic],
    probe: TextProbe,
    groups: Groups | None,
    folder: Path,
) -> Manifest:
    places: dict[str, Callable[[int], str]] = {split: part.place for split, part in data.parts.items()}
    quality = with_contamination(with_lengths(data.quality, splits, places), splits)
    if groups is not None:
        write_text(folder / "groups.json", groups.to_text())
    return Manifest(
        labels=data.labels,
        columns=dict(data.columns.by_part),
        columns_reason=data.columns.reason,
        prompt=prompt,
        splits={split: write_stream(folder / f"{split}.arrow", tokens) for split, tokens in splits.items()},
        sources=data.sources,
        quality=quality,
        groups={name: dict(Counter(values)) for name, values in groups.columns.items()} if groups else {},
        groups_sha256=groups.digest() if groups else None,
        probe=probe,
        findings=tuple(map(KeptFinding.of, (*data.diagnostics, *found))),
        checks=(*data.checks, *quality_checks(quality, len(splits))),
    )


def _write_probes(probes: Probes, sources: Mapping[str, SourceLock], folder: Path) -> dict[str, object]:
    """Writes what is measured beside the test split, and tells what the manifest says of it."""
    changes: dict[str, object] = {"sources": {**sources, **probes.sources}}
    if probes.retention is not None:
        changes["retention_sha256"] = write_stream(folder / "retention.arrow", probes.retention).stream_digest
    if probes.swaps is not None and probes.swapped is not None:
        write_text(folder / "swaps.json", probes.swapped.to_text())
        report = write_stream(folder / "swaps.arrow", probes.swaps)
        changes["swaps_sha256"] = swaps_digest(report.stream_digest, probes.swapped)
    return changes


def _groups(draft: Draft, data: ResolvedData, splits: Mapping[str, TokenRows], source: Source) -> Groups | None:
    """The test rows' groups by the columns of `eval.slices`; None where no column is among them."""
    if not draft.recipe.eval.slices or "test" not in splits:
        return None
    try:
        builtin = (LENGTH, LABEL) if _has_one_class(draft) else (LENGTH,)
        groups = groups_of(draft.recipe.eval.slices, data.parts["test"], splits["test"].row.tolist(), builtin)
    except Refusal as refusal:
        raise Refusal(replace(one, span=source.span(one.path or "eval")) for one in refusal.diagnostics) from None
    return groups if groups.columns else None


def _has_one_class(draft: Draft) -> bool:
    """Whether each row has a class that is expected."""
    return draft.mode.labels == "one"


def _wording(draft: Draft, prompt: tuple[str, str] | None) -> Wording:
    """What the passes settled on how rows are put into words."""
    shape = draft.shape
    words = prompt[0] if prompt else None if shape.prompt is Open.OPEN else shape.prompt
    return Wording(shape.form, words, shape.system, draft.model.family, draft.model.tokenizer.eos_id)


def _task(draft: Draft) -> Task:
    """The recipe's task with the mode that was chosen for it."""
    return draft.recipe.task.settled(draft.model.family)


def _usual_prompt(draft: Draft, data: ResolvedData) -> tuple[str, str] | None:
    task = draft.recipe.task
    if not isinstance(task, Prompted) or draft.shape.prompt is not Open.OPEN:
        return None
    model = draft.model
    return task.usual_prompt(PromptFacts(data.columns.by_part, data.labels, model.family, model.kind.summary_prefix))
