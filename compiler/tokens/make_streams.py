"""Rows to token streams: reads the data, renders, tokenizes, and fills a folder of the cache.

Apart from `compile_data`, because it takes the libraries for rows, templates and tokens, which a plan whose streams are
in the cache does without.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ftc.compiler.draft import Draft
from ftc.compiler.quality.contamination import with_contamination
from ftc.compiler.quality.findings import quality_checks
from ftc.compiler.quality.texts import with_lengths
from ftc.compiler.resolve.rows.data import ResolvedData, resolve_data
from ftc.compiler.resolve.rows.data_files import DataFiles
from ftc.compiler.resolve.rows.images import ImageStore
from ftc.compiler.resolve.rows.row_digests import example_digests
from ftc.compiler.resolve.rows.tested_rows import TEST_ROWS, HeldOut, tested_text
from ftc.compiler.stages import begin_stage
from ftc.compiler.tokens.answer_frames import FramedRows, framed_rows, readers
from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.every_pair import with_every_pair
from ftc.compiler.tokens.findings import Limits, mixture_checks, stream_findings, token_findings, unknown_findings
from ftc.compiler.tokens.forms import TextForm
from ftc.compiler.tokens.image_tokens import tokens_of_images
from ftc.compiler.tokens.pixel_client import ask_for_pixels
from ftc.compiler.tokens.probes import PROBES, Probes, groups_of, make_probes
from ftc.compiler.tokens.rated_rows import write_other_answers
from ftc.compiler.tokens.row_form import Wording, row_form
from ftc.compiler.tokens.row_index import remember_rows
from ftc.compiler.tokens.row_tokens import encode_rows, kept_tokens
from ftc.compiler.tokens.sandbox import TemplateProblem, TemplateRenderer
from ftc.compiler.tokens.stream_manifest import KeptFinding, Manifest, StreamKey, TextProbe, keep_manifest
from ftc.compiler.tokens.stream_writer import write_image_sizes, write_images, write_stream
from ftc.compiler.tokens.taught_rows import can_be_aligned, taught_rows
from ftc.compiler.tokens.template_check import template_findings
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec import canonical
from ftc.spec.companions import Role
from ftc.spec.diagnostics import Diagnostic, Refusal
from ftc.spec.documents.facts import FileFacts, TokenizerFacts
from ftc.spec.documents.lockfile import ImagesLock, SourceLock
from ftc.spec.documents.probes import swaps_digest
from ftc.spec.documents.reward_models import frames_file
from ftc.spec.documents.settings import Open
from ftc.spec.documents.slices import EARLIER, LABEL, LENGTH, Groups
from ftc.spec.documents.stream_images import IMAGES_FILE, first_images
from ftc.spec.documents.streams import TAUGHT, open_stream
from ftc.spec.heads import head_card
from ftc.spec.language.source import Source
from ftc.spec.storage.atomic_write import write_text
from ftc.spec.storage.own_tokenizer import tokenizer_folder
from ftc.spec.storage.paths import cache_folder
from ftc.spec.storage.tokenizer_file import FILE
from ftc.spec.tasks.card import Prompted, PromptFacts
from ftc.spec.tasks.rows import RatedRows
from ftc.spec.text_forms import form_card

__all__ = ["make_streams", "render_probe", "tokenizer_probe"]

_Models = tuple[Path, Mapping[Role, Path]]


def make_streams(
    draft: Draft, files: DataFiles, models: _Models, folder: Path, source: Source, made_from: StreamKey
) -> Manifest:
    """Makes the streams of a shaped draft; `folder` is there when all of it is complete.

    Args:
        draft: The recipe, shaped.
        files: Its data files.
        models: Folders of the tokenizers: the model's, and by role those of the models beside it.
        folder: Where the streams belong.
        source: The recipe's text, for places.
        made_from: What the streams are made from, which the folder's manifest holds.

    Raises:
        Refusal: The rows can't be used.
    """
    rows_files = {use: file for use, file in files.items() if use not in PROBES}
    model, shape, task = draft.model, draft.shape, draft.recipe.task.settled(draft.model.family)
    tested = HeldOut.of(draft.begins)
    data = resolve_data(draft.recipe.data, task, rows_files, source.span, vision=model.vision, tested=tested)
    data = with_every_pair(data, task)
    for digests in data.row_digests.values():
        remember_rows(cache_folder(), digests)
    columns, prompt, words = data.columns.by_part, None, None if shape.prompt is Open.OPEN else shape.prompt
    if shape.prompt is Open.OPEN and isinstance(asked := draft.recipe.task, Prompted):
        prompt = asked.usual_prompt(PromptFacts(columns, data.labels, model.family, model.kind.summary_prefix))
        words = prompt[0]
    wording = Wording(shape.form, words, shape.system, model.family, model.tokenizer.eos_id)
    try:
        for part in data.parts.values() if isinstance(task.rows(), RatedRows) else ():
            write_other_answers(part, columns)
        form = row_form(task, columns, data.labels, wording, *(part.rows for part in data.parts.values()))
        splits, probe, odd = _encode(draft, data, form, models[0], made_from)
        found = [*odd, *_findings(draft, data, splits, odd)]
        texts = tokenizer_folder(models[0], model.tokenizer.own)
        probes = make_probes(draft, files, data, form, splits, TextTokenizer(texts / FILE))
        taught, alone = _taught(draft, data, form, splits["train"], (texts, models[1].get("teacher")))
        framed = framed_rows(readers(draft.reward_models, models[1]), data.parts, form, splits)
        found += [*probes.warnings, *alone]
    except Refusal as refusal:
        told = map(model.tokenizer.at_template, refusal.diagnostics)
        raise Refusal(replace(one, span=source.span(one.path or "data")) for one in told) from None
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
    try:
        groups = _groups(draft, data, splits, tested, source)
        image_token = model.vision.image_token_id if model.vision else None
        manifest = _write_streams(data, prompt, splits, found, probe, groups, image_token, tested, temporary)
        if data.images.pictures:
            _keep_images(data.images, splits, temporary)
            first = first_images(open_stream(temporary / "train.arrow"))
            pixels, problem = ask_for_pixels(temporary, models[0], model.vision, first)
            manifest = manifest.model_copy(update=_image_facts(data.images, pixels, problem))
        manifest = manifest.model_copy(update=_write_beside(probes, taught, framed, manifest.sources, temporary))
        keep_manifest(temporary, made_from, manifest)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _encode(
    draft: Draft, data: ResolvedData, form: TextForm, model_folder: Path, made_from: StreamKey
) -> tuple[dict[str, TokenRows], TextProbe, list[Diagnostic]]:
    """Tokens by split, how tokenizer and template behave, and warnings about the template.

    Raises:
        Refusal: The template leaves out answers (FTC329), or the rows can't be encoded.
    """
    begin_stage("tokenizing", sum(len(part.rows) for part in data.parts.values()))
    tokenizer = TextTokenizer(tokenizer_folder(model_folder, draft.model.tokenizer.own) / FILE)
    with TemplateRenderer() as renderer:
        facts, template = draft.model.tokenizer, draft.model.tokenizer.chat_template
        tokens = {"bos_token": facts.bos_token, "eos_token": facts.eos_token, "pad_token": facts.pad_token}
        probe = TextProbe(
            tokenizer_sha256=tokenizer_probe(tokenizer),
            template_sha256=None if template is None else render_probe(template, tokens, renderer),
        )
        train = data.parts["train"]
        images = tokens_of_images(draft.model.vision, tokenizer, data.images.pictures)
        found = template_findings(
            form,
            train.rows,
            facts,
            renderer,
            file=_template_place(model_folder, facts),
            place=lambda number: train.place(train.numbers[number]),
            in_parts=images is not None,
        )
        if any(finding.is_error for finding in found):
            raise Refusal(found)
        is_cut = draft.shape.overflow == "cut"
        kept = kept_tokens(form, facts, made_from, max_length=draft.shape.max_length, cuts=is_cut)
        splits: dict[str, TokenRows] = {
            split: encode_rows(
                part.rows,
                form,
                tokenizer,
                facts,
                renderer,
                max_length=draft.shape.max_length,
                cuts=is_cut,
                numbers=part.numbers,
                place=part.place,
                images=images,
                kept=kept,
            )
            for split, part in data.parts.items()
        }
        kept.finish()
    if head_card(draft.mode.head).writes and not form_card(draft.shape.form).is_self_supervised:
        found += unknown_findings(splits, data.places, tokenizer.unknown, facts)
    return splits, probe, found


def _taught(
    draft: Draft, data: ResolvedData, form: TextForm, train: TokenRows, folders: tuple[Path, Path | None]
) -> tuple[TokenRows | None, list[Diagnostic]]:
    """The training rows in the teacher's own tokens, and warnings about them; None where it reads the model's.

    Raises:
        Refusal: No row can be aligned (FTC348).
    """
    own, other = folders
    aligns = draft.teacher_reads_apart and can_be_aligned(form) and draft.model.vision is None
    if other is None or not aligns:
        return None, []
    rows, found = taught_rows(draft, data.parts["train"], form, train, (own, other))
    if any(one.is_error for one in found):
        raise Refusal(found)
    return rows, found


def _template_place(model_folder: Path, facts: TokenizerFacts) -> str:
    """Where the chat template stands, for people."""
    if facts.own is not None and facts.own.chat_template is not None:
        return facts.own.chat_template.path
    if (model_folder / "chat_template.jinja").is_file():
        return f"{model_folder.name}/chat_template.jinja"
    return f"`chat_template` in {model_folder.name}/tokenizer_config.json"


def _findings(
    draft: Draft, data: ResolvedData, splits: Mapping[str, TokenRows], odd: Sequence[Diagnostic]
) -> list[Diagnostic]:
    """Warnings about the splits' tokens.

    Raises:
        Refusal: They can't be trained on (FTC330, FTC335 to FTC337), or rows are too long that must not be (FTC342).
    """
    begin_stage("checking")
    refuses_long = draft.shape.overflow == "refuse"
    limits = Limits(draft.shape.max_length, draft.model.max_positions, refuses_long)
    places = data.places
    is_chat, most_lost = form_card(draft.shape.form).is_conversation, draft.recipe.data.max_lost_answers
    texts = {} if form_card(draft.shape.form).redraws else splits  # a token drawn for a mask may look like an end
    audit = token_findings(texts, places, draft.model.tokenizer, is_chat=is_chat, most_lost=most_lost)
    found = [*stream_findings(splits, places, limits, (draft.recipe.data, data.parts["train"])), *audit]
    if any(finding.is_error for finding in found):
        raise Refusal([*odd, *found])  # a template that changes turns may be the reason
    return found


def _write_streams(
    data: ResolvedData,
    prompt: tuple[str, str] | None,
    splits: Mapping[str, TokenRows],
    found: Iterable[Diagnostic],
    probe: TextProbe,
    groups: Groups | None,
    image_token: int | None,
    tested: HeldOut,
    folder: Path,
) -> Manifest:
    places = data.places
    if held_out := {*tested.digests, *example_digests(data.rows_of("test"), data.columns.used)}:
        write_text(folder / TEST_ROWS, tested_text(held_out))
    quality = with_contamination(with_lengths(data.quality, splits, places), splits, image_token)
    begin_stage("writing", sum(len(tokens.row) for tokens in splits.values()))
    if groups is not None:
        write_text(folder / "groups.json", groups.to_text())
    return Manifest(
        labels=data.labels,
        scales=data.scales,
        columns=dict(data.columns.by_part),
        columns_reason=data.columns.reason,
        prompt=prompt,
        splits={s: write_stream(folder / f"{s}.arrow", tokens, places[s]) for s, tokens in splits.items()},
        sources=data.sources,
        quality=quality,
        groups={name: dict(Counter(values)) for name, values in groups.columns.items()} if groups else {},
        groups_sha256=groups.digest() if groups else None,
        probe=probe,
        findings=tuple(map(KeptFinding.of, (*data.diagnostics, *found))),
        checks=(
            *data.checks,
            *mixture_checks(data.mixture, data.parts["train"], splits["train"]),
            *quality_checks(quality, len(splits)),
        ),
    )


def _keep_images(images: ImageStore, splits: Mapping[str, TokenRows], folder: Path) -> None:
    """Writes the images of all rows, and how large those of each split are."""
    write_images(folder / IMAGES_FILE, images.contents())
    for split, tokens in splits.items():
        write_image_sizes(folder / f"{split}.arrow", tokens.images, images.pictures)


def _image_facts(images: ImageStore, pixels: str | None, problem: str) -> dict[str, object]:
    """What the manifest says of the images: each file, and all of them for the lock."""
    files = {name: FileFacts(size=path.stat().st_size, sha256=digest) for name, (path, digest) in images.files.items()}
    named = ImagesLock(
        files=len(files),
        bytes=sum(one.size for one in files.values()),
        sha256=canonical.digest(sorted((name, one.sha256) for name, one in files.items())),
    )
    found = {"pixels_sha256": pixels, "pixels_problem": problem}
    return {**found, "image_files": files, "images": named if files else None}


def _write_beside(
    probes: Probes,
    taught: TokenRows | None,
    framed: Mapping[Role, FramedRows],
    sources: Mapping[str, SourceLock],
    folder: Path,
) -> dict[str, object]:
    """Writes what is measured beside the test split and what other models read, and gives what the manifest says."""
    apart = [taught, probes.retention, probes.swaps, *(one.rows for one in probes.prompted)]
    if count := sum(len(one.row) for one in apart if one is not None):
        begin_stage("writing", count)
    changes: dict[str, object] = {"sources": {**sources, **probes.sources}}
    for role, one in framed.items():
        write_text(folder / frames_file(role), one.frames.to_text())
    changes["frames"] = {role: one.facts for role, one in framed.items()}
    if taught is not None:
        changes["taught_sha256"] = write_stream(folder / f"{TAUGHT}.arrow", taught).stream_digest
    if probes.retention is not None:
        changes["retention_sha256"] = write_stream(folder / "retention.arrow", probes.retention).stream_digest
    if probes.swaps is not None and probes.swapped is not None:
        write_text(folder / "swaps.json", probes.swapped.to_text())
        report = write_stream(folder / "swaps.arrow", probes.swaps)
        changes["swaps_sha256"] = swaps_digest(report.stream_digest, probes.swapped)
    changes["baselines"] = tuple(
        one.baseline.model_copy(
            update={"stream_sha256": write_stream(folder / f"{one.baseline.name}.arrow", one.rows).stream_digest}
        )
        for one in probes.prompted
    )
    return changes


def _groups(
    draft: Draft, data: ResolvedData, splits: Mapping[str, TokenRows], tested: HeldOut, source: Source
) -> Groups | None:
    """The test rows' groups by the columns of `eval.slices`; None where no column is among them."""
    if not draft.recipe.eval.slices or "test" not in splits:
        return None
    try:
        builtin = (LENGTH, LABEL) if draft.mode.labels == "one" else (LENGTH,)
        numbers, part = splits["test"].row.tolist(), data.parts["test"]
        earlier = {EARLIER: tested.groups(part.table, numbers, data.columns.used)} if tested.digests else {}
        groups = groups_of(draft.recipe.eval.slices, part, numbers, builtin, earlier)
    except Refusal as refusal:
        raise Refusal(replace(one, span=source.span(one.path or "eval")) for one in refusal.diagnostics) from None
    return groups if groups.columns else None


_TEXTS = (
    "Hello, world! It's 12:34:56 on 2024-02-29, and 1,234,567.89 isn't 1e-4.",
    " leading space, two  spaces, three   spaces, and one at the end ",
    "tab\there\nline\r\nend\n\n\nafter three",
    "ünïcödé, and the same decomposed: u\u0308ni\u0308co\u0308de\u0301",
    "Straße, œuvre, naïve façade, ŁÓDŹ, İstanbul, ﬁne ligature, ½ ² ①",
    "日本語のテキスト、中文文本。한국어 텍스트 ไทย العربية עברית हिन्दी",
    "👩‍👩‍👧‍👦 🇩🇪 👍🏽 ☺️ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "def f(x):\n    return {'a': [x**2, 0xFF], \"b\": None}  # comment\n",
    "https://example.org/path?q=a%20b&c=d#e user@example.org C:\\dir\\file",
    "\u200b zero width \ufeff mark \u00a0 no-break \u2028 separator \x00 null",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!!!!!!!!????----====____",
    "",
)
_CONVERSATIONS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("user", "What is two and two?"), ("assistant", "Four.")),
    (("system", "Answer briefly."), ("user", "One?"), ("assistant", "1"), ("user", "Two?"), ("assistant", "2")),
    (("user", "  spaces kept?  \n"), ("assistant", "<b>&amp;</b> 'single' \"double\" \\n")),
    (("user", "Only a question"),),
)


def tokenizer_probe(tokenizer: TextTokenizer) -> str:
    """sha256 over the ids that fixed texts become, special tokens added as the model gets them."""
    texts = (*_TEXTS, *tokenizer.special_tokens[:32])
    return canonical.digest([list(found.ids) for found in tokenizer.encode_complete(texts, None)])


def render_probe(template: str, tokens: dict[str, str | None], renderer: TemplateRenderer) -> str | None:
    """sha256 over what a chat template makes of fixed conversations; None where it can render none of them.

    Args:
        template: Jinja source.
        tokens: The special tokens that templates may name, such as `bos_token`.
        renderer: The sandbox.
    """
    names = {"tools": None, "documents": None, **{name: token or "" for name, token in tokens.items()}}
    requests = [
        {
            **names,
            "messages": [{"role": role, "content": content} for role, content in turns],
            "add_generation_prompt": turns[-1][0] == "user",
        }
        for turns in _CONVERSATIONS
    ]
    rendered = renderer.render(template, requests)
    if all(isinstance(text, TemplateProblem) for text in rendered):
        return None
    # A template can write half of a surrogate pair; rows that it does so for are refused with their place.
    texts = [
        None if isinstance(t, TemplateProblem) else t.encode("utf-8", "backslashreplace").decode() for t in rendered
    ]
    return canonical.digest(texts)
