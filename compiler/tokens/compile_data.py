"""Rows to token streams, once: what the streams depend on is their key, and a second plan finds them in the cache.

The key covers every byte that can reach a token: data files, recipe sections, template, tokenizer, the form settled by
the passes, and the releases of ftc, tokenizers and presidio. A folder of the cache is complete when its
manifest is there, which is written last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ftc.compiler.draft import Draft
from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.machine.extensions import reading_packages
from ftc.compiler.resolve.machine.package_code import code_digest
from ftc.compiler.resolve.rows.data_files import DataFiles
from ftc.compiler.tokens.stream_manifest import Manifest, StreamKey, TextProbe, read_manifest, stream_key
from ftc.spec import canonical
from ftc.spec.base import Effect
from ftc.spec.companions import Role
from ftc.spec.diagnostics import Diagnostic, Refusal
from ftc.spec.documents.facts import ModelFacts, PackageFacts
from ftc.spec.documents.judging import JudgedTokens
from ftc.spec.documents.lockfile import ImagesLock, SourceLock
from ftc.spec.documents.loss_settings import TargetScale
from ftc.spec.documents.plan import Check
from ftc.spec.documents.prompted import PromptBaseline, prompted_apart
from ftc.spec.documents.quality import QualityReport
from ftc.spec.documents.reward_models import FrameFacts
from ftc.spec.documents.settings import Open
from ftc.spec.documents.stream_images import ImageSizes, open_image_sizes
from ftc.spec.documents.streams import SPLITS, TAUGHT, RowLengths, SplitReport, open_lengths
from ftc.spec.judges import Judge
from ftc.spec.language.section_tree import effect_of
from ftc.spec.language.source import Source
from ftc.spec.rewards import judge_of
from ftc.spec.storage.model_files import TEXT_FILES
from ftc.spec.storage.own_tokenizer import tokenizer_folder
from ftc.spec.storage.paths import cache_folder, streams_folder
from ftc.spec.storage.writable import using_cache
from ftc.spec.tasks import Task
from ftc.spec.version import VERSION

__all__ = ["CompiledData", "compile_data"]

_FORMAT = 15
"""Raised when the same inputs would give other streams."""
_CUTS = ("grid", "tiles", "squares", "crops", "pans")
"""What of `VisionFacts` says how many tokens an image has."""


class CompiledData(NamedTuple):
    """Token streams in the cache, and what is known of them.

    Attributes:
        key: Name of their folder.
        splits: Report by split.
        lengths: Lengths of the rows by split, and of what is measured beside them.
        image_sizes: How large the rows' images are, by split; without those whose rows have none.
        labels: Classes, or names of numbers, in order; empty for tasks without.
        scales: What each number is measured by; empty for tasks without numbers.
        columns: Column by part of the task.
        columns_reason: Why these columns.
        prompt: A prompt made of the columns with the reason for it, where the recipe has none.
        sources: Lock entry by use of each data file.
        quality: What was found in the rows.
        groups: Test rows by group, by the columns that results are told apart by.
        groups_sha256: Digest of each test row's groups; None where there are none.
        retention_sha256: Digest of the general text as tokens; None where there is none.
        swaps_sha256: Digest of the test rows with words exchanged; None where there are none.
        taught_sha256: Digest of the training rows in the teacher's own tokens; None where there are none.
        frames: The text around each answer for reward models, by role.
        baselines: Prompts that the base model is measured with.
        judged: Tokens of what a judge is sent about the test rows; None where nobody is asked.
        reward_judged: The same of each split, for a judge whose grades are a reward.
        probe: How tokenizer and template behave.
        diagnostics: Warnings.
        checks: What was looked at, for the plan.
        images: The image files that rows name; None where they name none.
        pixels_sha256: What the model's processor makes of the first images; None where it wasn't asked.
        pixels_problem: Why it wasn't asked.
    """

    key: str
    splits: Mapping[str, SplitReport]
    lengths: Mapping[str, RowLengths]
    image_sizes: Mapping[str, ImageSizes]
    labels: tuple[str, ...]
    scales: tuple[TargetScale, ...]
    columns: dict[str, str]
    columns_reason: str
    prompt: tuple[str, str] | None
    sources: dict[str, SourceLock]
    quality: QualityReport
    groups: dict[str, dict[str, int]]
    groups_sha256: str | None
    retention_sha256: str | None
    swaps_sha256: str | None
    taught_sha256: str | None
    frames: Mapping[str, FrameFacts]
    baselines: tuple[PromptBaseline, ...]
    judged: JudgedTokens | None
    reward_judged: Mapping[str, JudgedTokens]
    probe: TextProbe
    diagnostics: tuple[Diagnostic, ...]
    checks: tuple[Check, ...]
    images: ImagesLock | None = None
    pixels_sha256: str | None = None
    pixels_problem: str = ""

    def with_pixels(self, model: ModelFacts) -> ModelFacts:
        """The model's facts with what its processor makes of the first images, where it reads any."""
        if model.vision is None:
            return model
        known = {"pixels_sha256": self.pixels_sha256, "pixels_problem": self.pixels_problem}
        return model.model_copy(update={"vision": model.vision.model_copy(update=known)})


def compile_data(
    draft: Draft,
    files: DataFiles,
    model_folder: Path,
    source: Source,
    digests: DigestCache,
    packages: Mapping[str, PackageFacts],
    companions: Mapping[Role, Path] = MappingProxyType({}),
) -> CompiledData:
    """The streams of a shaped draft, from the cache or made now.

    Args:
        draft: The recipe with the model's facts and the form of its text.
        files: The rows, by use.
        model_folder: Where tokenizer and template lie.
        source: The recipe's text, for places.
        digests: What is known of files.
        packages: What is installed.
        companions: Where the tokenizers of the models beside it lie, by role.

    Raises:
        Refusal: The rows can't be used, or ftc's cache can't be written to (FTC647, FTC648).
    """
    folder = streams_folder(key := stream_key(made_from := _made_from(draft, files, packages)))
    manifest = read_manifest(folder, made_from, digests, next(filter(None, (one.root for one in files.values())), None))
    if manifest is None or (lengths := _lengths(folder, manifest)) is None:
        from ftc.compiler.tokens.make_streams import make_streams

        with _refused_with_remedies(source), using_cache(folder.parent):
            manifest = make_streams(draft, files, (model_folder, companions), folder, source, made_from)
        lengths = _lengths(folder, manifest)
    return CompiledData(
        key=key,
        splits={part: manifest.splits[part] for part in SPLITS if part in manifest.splits},
        lengths=lengths or {},
        image_sizes=_image_sizes(folder, manifest),
        labels=manifest.labels,
        scales=manifest.scales,
        columns=manifest.columns,
        columns_reason=manifest.columns_reason,
        prompt=manifest.prompt,
        sources=manifest.sources,
        quality=manifest.quality,
        groups=manifest.groups,
        groups_sha256=manifest.groups_sha256,
        retention_sha256=manifest.retention_sha256,
        swaps_sha256=manifest.swaps_sha256,
        taught_sha256=manifest.taught_sha256,
        frames=manifest.frames,
        baselines=manifest.baselines,
        **_judged(draft, folder, model_folder, manifest),
        probe=manifest.probe,
        diagnostics=tuple(_remedied((one.placed(source) for one in manifest.findings), source)),
        checks=manifest.checks,
        images=manifest.images,
        pixels_sha256=manifest.pixels_sha256,
        pixels_problem=manifest.pixels_problem,
    )


@contextmanager
def _refused_with_remedies(source: Source) -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        raise Refusal(_remedied(refusal.diagnostics, source)) from None


def _remedied(found: Iterable[Diagnostic], source: Source) -> Iterator[Diagnostic]:
    for one in found:
        if one.remedy:
            from ftc.compiler.recipes.edits import remedied

            one = remedied(one, source)
        yield one


def _judged(draft: Draft, folder: Path, model_folder: Path, manifest: Manifest) -> dict[str, Any]:
    """The fields `judged` and `reward_judged`."""
    sampling = draft.recipe.task.sampling
    grader, rewarding = draft.recipe.eval.judge, judge_of(sampling.rewards) if sampling is not None else None

    def counted(judge: Judge | None, splits: Sequence[str]) -> dict[str, JudgedTokens]:
        if judge is None:
            return {}
        from ftc.compiler.tokens.judged_tokens import judged_tokens

        texts = tokenizer_folder(model_folder, draft.model.tokenizer.own)
        here = {split: manifest.splits[split].stream_digest for split in splits if split in manifest.splits}
        return {split: judged_tokens(judge, folder, texts, digest, split) for split, digest in here.items()}

    return {"judged": counted(grader, ("test",)).get("test"), "reward_judged": counted(rewarding, SPLITS)}


def _lengths(folder: Path, manifest: Manifest) -> dict[str, RowLengths] | None:
    """Lengths of the rows by split, and of what is measured beside them; None where a file of them is damaged."""
    beside = {"retention": manifest.retention_sha256, "swaps": manifest.swaps_sha256, TAUGHT: manifest.taught_sha256}
    named = [*manifest.splits, *(name for name, digest in beside.items() if digest is not None)]
    named += prompted_apart(manifest.baselines)
    try:
        return {name: open_lengths(folder / f"{name}.arrow") for name in named}
    except (OSError, ValueError, EOFError):
        return None


def _is_read(task: Task, name: str) -> bool:
    """Whether a key of the task may change its streams; a key about memory changes none."""
    return effect_of(type(task), name) is not Effect.RESOURCE


def _image_sizes(folder: Path, manifest: Manifest) -> dict[str, ImageSizes]:
    found = {name: open_image_sizes(folder / f"{name}.arrow") for name in manifest.splits}
    return {name: sizes for name, sizes in found.items() if sizes is not None}


def _made_from(draft: Draft, files: DataFiles, packages: Mapping[str, PackageFacts]) -> StreamKey:
    """All that the streams hang on, as JSON values."""
    recipe = draft.recipe.to_json()
    text = {f"text.{name}": value for name, value in draft.shape if value is not Open.OPEN}
    model_files = draft.model.files
    own: dict[str, Any] = {"baselines": recipe["eval"]["baselines"]} if draft.recipe.eval.baselines else {}
    if vision := draft.model.vision:
        from ftc.compiler.tokens.pixel_client import processor_key

        own["vision"] = {
            "model_type": vision.model_type,
            "image_token_id": vision.image_token_id,
            "tokens": vision.tokens_per_image,
            **{name: one.to_json() for name in _CUTS if (one := getattr(vision, name))},
            **({"edges": list(vision.edges)} if vision.edges else {}),
            **processor_key(draft.model),
        }
    if named := {use: one.class_names and {**one.class_names} for use, one in files.items() if one.class_names != {}}:
        own["class names"] = named  # what nobody knows is another thing than none
    if readers := reading_packages(draft.recipe):
        own["readers"] = {name: draft.packages.get(name) for name in sorted(readers)}
    if changed := draft.model.tokenizer.own:
        own["own tokenizer"] = changed.to_json()
    if (teacher := draft.teacher) is not None and draft.teacher_reads_apart:
        files_of = teacher.model.files
        read = {name: files_of[name].sha256 for name in TEXT_FILES if name in files_of}
        own["teacher"] = {**read, "positions": teacher.model.max_positions}
    for role, known in draft.reward_models.items():
        files_of = known.model.files
        own[role] = {name: files_of[name].sha256 for name in TEXT_FILES if name in files_of}
    if draft.begins is not None and draft.begins.tested:
        own["tested"] = canonical.digest(sorted(one.hex() for one in draft.begins.tested))
    plain = canonical.canonical(
        {
            **own,
            "kind": "token streams",
            "format": _FORMAT,
            "ftc": VERSION,
            # With the digest of its files, so that a library that was edited makes, and is probed by, other streams.
            "tokenizers": [packages["tokenizers"].version, code_digest("tokenizers", cache_folder())],
            "presidio": packages["presidio-analyzer"].version if draft.recipe.data.quality.presidio else None,
            "task": {name: one for name, one in recipe["task"].items() if _is_read(draft.recipe.task, name)},
            "data": recipe["data"],
            "text": text,
            "family": draft.model.family,
            "eval": {name: recipe["eval"][name] for name in ("slices", "retention", "swaps")},
            "files": {use: file.facts.sha256 for use, file in files.items()},
            "tokenizer": {name: model_files[name].sha256 for name in TEXT_FILES if name in model_files},
        }
    )
    assert isinstance(plain, dict)
    return plain
