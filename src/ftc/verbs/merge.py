"""`ftc run merge`: a finished run's adapter as part of its base model's weights, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ftc.spec.architectures import architecture
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.quantized_files import quantized_files
from ftc.spec.storage.atomic_write import try_writing
from ftc.spec.strategies import strategy_card
from ftc.verbs.provenance import refuse_faults
from ftc.verbs.runs import Run, bring_base, find_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.merged import MergedModel, Room, WeightType
    from ftc.spec.documents.settings import Settings
    from ftc.spec.documents.streams import Split

__all__ = ["SHARD_BYTES", "Merge", "inputs_of", "merge", "merge_into", "noted_folder", "unmergeable_base"]

SHARD_BYTES = 5 * 10**9
"""Most bytes of weights in one file: what the hub asks for."""

_SPLITS: tuple[Literal["validation", "train"], ...] = ("validation", "train")


@dataclass(frozen=True, slots=True)
class Merge:
    """A merged model.

    Attributes:
        run: The run whose adapter it is.
        folder: Where the model lies.
        model: What is in it, and how alike it answers.
        room: What the merge could take, as it was computed before.
    """

    run: Run
    folder: Path
    model: MergedModel
    room: Room


def merge(
    run: Run | Path | str,
    output: Path | str,
    *,
    dtype: Literal["auto"] | WeightType = "auto",
    shard_bytes: int = SHARD_BYTES,
    on_event: EventListener | None = None,
    folder: Path | str = ".",
) -> Merge:
    """Merges the adapter of a finished run into its base model, and notes it in the project's ledger.

    What is written is a model's folder as transformers loads it. It is compared with the base and its adapter on a few
    validation rows, or training rows where there are none, before it takes its place.

    Args:
        run: The run, its folder, its id or the beginning of that, or its recipe's name.
        output: The folder to write, which isn't there yet.
        dtype: Type of the weights; `auto` for that of most of the base, or the run's if that has fewer bits.
        shard_bytes: Most bytes of weights in one file.
        on_event: Hears of what goes on.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: There is nothing to merge or no room for it (FTC660 to FTC663, FTC651), run or base aren't what the
            record says (FTC521 to FTC525, FTC620), or the merged model says something else (FTC664).
        OSError: The disk refused; nothing is left behind.
    """
    found = run if isinstance(run, Run) else find_run(str(run), folder)
    target = Path(os.path.abspath(output))  # noqa: PTH100 - a link at its end has to be seen as one
    if hopeless := list(_obstacles(found, target)):
        raise Refusal(hopeless)
    if target.parent.is_dir():
        try_writing(target)
    refuse_faults(found, takes_pulled=True)
    made = merge_into(found, target, dtype, shard_bytes, on_event or (lambda event: None))
    from ftc.spec.documents.ledger import Merged, append_entry

    append_entry(
        found.root,
        Merged,
        name=found.plan.name,
        run_id=found.record.id,
        job_sha256=made.model.job_sha256,
        folder=noted_folder(found, target),
        weight_type=made.model.weight_type,
        content_sha256=made.model.content_sha256,
        files_sha256={name: facts.sha256 for name, facts in made.model.weight_files.items()},
    )
    return made


def merge_into(
    found: Run, target: Path, dtype: Literal["auto"] | WeightType, shard_bytes: int, tell: EventListener
) -> Merge:
    """Merges a run that was checked; see `merge`."""
    from ftc.compiler.tokens.unlabeled_rows import compile_unlabeled
    from ftc.verbs.predict import table_of

    with tempfile.TemporaryDirectory(prefix="ftc-texts-") as scratch:
        place, texts = Path(scratch), None
        base, streams, _ = inputs_of(found, instead=place if found.is_pulled else None)
        if streams == place:
            with suppress(Refusal):  # rows with more than a text need their rows
                if compile_unlabeled(found.plan, base, table_of(found, _TEXTS), place).plan is not None:
                    texts = place / "test.arrow"
        return _merge_with(found, target, dtype, shard_bytes, tell, texts)


def _merge_with(
    found: Run,
    target: Path,
    dtype: Literal["auto"] | WeightType,
    shard_bytes: int,
    tell: EventListener,
    texts: Path | None,
) -> Merge:
    base, streams, split = inputs_of(found, instead=texts and texts.parent)
    from ftc.compiler.memory.merge_sizes import added_to, merge_room, usual_type
    from ftc.compiler.resolve.files.safe_files import read_json_object
    from ftc.compiler.resolve.machine.device import resolve_device
    from ftc.compiler.resolve.models.quantized_files import dequantized
    from ftc.compiler.resolve.models.vision_config import language_part
    from ftc.compiler.resolve.models.weights import read_weights

    root = found.root if found.plan.lock.model.commit is None else base.resolve().parents[1]
    tensors, config = read_weights(base, root).tensors, read_json_object(base / "config.json", None)
    if (method := found.plan.settings.model.quantized_files) is not None:
        tensors = dequantized(tensors, config, method)
    mixture = architecture(str(language_part(config).get("model_type"))).experts
    weight_type = usual_type(found.plan, tensors) if dtype == "auto" else dtype
    room = merge_room(found.plan, tensors, mixture, weight_type, resolve_device("cpu"))
    _refuse_narrow(room, target)
    from ftc.runtime.artifacts.merge import Asked
    from ftc.runtime.artifacts.merge import merge as merge_run
    from ftc.runtime.execution.execute import Inputs
    from ftc.spec.storage.paths import RunFolder
    from ftc.views.card import model_card

    asked = Asked(
        target=target,
        weight_type=weight_type,
        added_to=added_to(found.plan, tensors),
        shard_bytes=shard_bytes,
        split=split,
        card=lambda merged: model_card(found.plan, found.record, found.evaluation, merged),
        texts=texts,
    )
    inputs = Inputs(base, streams, found.record.observed.environment)
    model = merge_run(found.plan, inputs, RunFolder(found.folder), found.record, asked, tell)
    return Merge(found, target, model, room)


def _obstacles(run: Run, target: Path) -> Iterator[Diagnostic]:
    """Why there is nothing to merge, or nowhere to."""
    yield from _wrong_kind(run)
    if not run.record.is_finished:
        help = f"`ftc apply {run.plan.recipe_file}` continues it"
        yield _not_yet(run, f"it is {run.record.status}", help)
    if os.path.lexists(target):
        help = "choose another name; nothing was changed"
        yield diagnostic("FTC651", f"`{_shown(target)}` exists already", help=help)


def _wrong_kind(run: Run) -> Iterator[Diagnostic]:
    strategy = run.plan.settings.strategy
    card = strategy_card(strategy)
    at = run.plan.origins.get("strategy.kind")
    place = f"`strategy.kind: {strategy.kind}`, {at.reason if at else run.plan.recipe_file}"
    if card.is_whole:
        summary = f"run `{run.record.id}` left a complete model; there is nothing to merge"
        help = f"load, serve or train `{_shown(run.folder / 'model')}` directly"
        yield diagnostic("FTC662", summary, notes=place, help=help, path="strategy.kind")
    elif card.no_merging is not None:
        summary = f"the adapter of run `{run.record.id}` can't be merged into the base model: {card.no_merging}"
        helps = (
            "use the base model with its adapter, as the run's card shows",
            "or train with `strategy: {kind: lora}`, which can be merged",
        )
        yield diagnostic("FTC661", summary, notes=place, help=helps, path="strategy.kind")
    elif (base := unmergeable_base(run.plan.settings)) is not None:
        summary = f"the adapter of run `{run.record.id}` can't be merged into the base model: {base}"
        helps = (
            "use the base model with its adapter, as the run's card shows",
            "or train beside the unquantized model",
        )
        yield diagnostic("FTC661", summary, help=helps, path="model.base")


def unmergeable_base(settings: Settings) -> str | None:
    """Why nothing can be added to the base model's weights; None where it can."""
    if settings.model.packed is None or settings.model.quantized_files is None:
        return None
    return (
        f"its files hold {quantized_files(settings.model.quantized_files).label} weights, which would be rounded again"
    )


_TEXTS = (
    "The parcel arrived two days late, but everything in it was fine.",
    "Which of these would you recommend, and why?",
    "Rain is expected in the north until Friday evening.",
    "She has worked at the bank in Oslo since 2019.",
    "The film is far too long, and the ending makes no sense.",
    "To reset the device, hold both buttons for ten seconds.",
    "Our team won the second match by three goals.",
    "Prices rose by four percent, more than analysts had expected.",
)
"""What both models are asked where a run came without rows: any text shows a difference of weights."""


def inputs_of(run: Run, *, instead: Path | None = None) -> tuple[Path, Path, Split]:
    """The base model's folder, that of the token streams, and whose rows are asked.

    Args:
        run: The run.
        instead: A folder to name where its streams are not here; None to refuse.

    Raises:
        Refusal: One of them isn't here (FTC660).
    """
    from ftc.compiler.audit.locate import base_absent, model_folder
    from ftc.compiler.tokens.stream_manifest import kept_streams

    base, streams = model_folder(run.plan, run.root), kept_streams(run.plan) or instead
    if base is None:
        raise Refusal([_not_yet(run, base_absent(run.plan, run.root), bring_base(run))])
    split: Split = next(name for name in _SPLITS if name in run.plan.data and run.plan.data[name].rows)
    if streams is None:
        why = "its rows as tokens, on which both models are compared, are no longer in the cache"
        raise Refusal([_not_yet(run, why, f"`ftc plan {run.plan.recipe_file}` tokenizes them again")])
    return base, streams, split


def _refuse_narrow(room: Room, target: Path) -> None:
    """Lets pass what the machine has room for.

    Raises:
        Refusal: FTC663.
    """
    from ftc.compiler.resolve.machine.local import free_memory_bytes
    from ftc.views.numbers import byte_size

    parent = next(one for one in target.parents if one.is_dir())
    free, memory = shutil.disk_usage(parent).free, free_memory_bytes()
    found = []
    if free < room.disk_bytes:
        summary = f"the merged model needs {byte_size(room.disk_bytes)} on disk, but only {byte_size(free)} are free"
        help = f"free space in `{_shown(parent)}`, or write it elsewhere with `-o`"
        found.append(diagnostic("FTC663", summary, help=help))
    if memory < room.memory_bytes:
        summary = f"merging needs {byte_size(room.memory_bytes)} of memory, but only {byte_size(memory)} are free"
        help = "close other programs, or merge on a machine with more memory"
        found.append(diagnostic("FTC663", summary, help=help))
    if found:
        raise Refusal(found)


def noted_folder(run: Run, target: Path) -> str:
    """A folder as the ledger notes it: relative to the project's root, or its name alone where it lies outside."""
    root = run.root.resolve()
    return target.relative_to(root).as_posix() if target.is_relative_to(root) else target.name


def _not_yet(run: Run, why: str, help: str) -> Diagnostic:
    return diagnostic("FTC660", f"run `{run.record.id}` can't be merged", notes=why, help=help)


def _shown(path: Path) -> str:
    """A path as a user here would type it."""
    here, whole = Path.cwd(), path.absolute()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(path)
