"""A finished run's adapter becomes part of its base model's weights: a model that needs neither peft nor ftc.

Everything happens on the CPU, whatever the run's device. What is written is loaded once more, as other people
load it, and asked a few of the run's own rows; only a model that says what the base says with the adapter beside it
takes its place. Test rows are never opened.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ftc.runtime.artifacts.export import load_exported
from ftc.runtime.artifacts.merged_weights import MergedWeights, NotFinite, Unpack, drops_types, forget_types, unpacked
from ftc.runtime.artifacts.model_files import write_model_files
from ftc.runtime.artifacts.shards import write_shards
from ftc.runtime.evaluation.evaluate_again import reopened
from ftc.runtime.evaluation.reference import PLACES, evenly, sampled
from ftc.runtime.evaluation.scoring import eval_mode
from ftc.runtime.execution.execute import Inputs
from ftc.runtime.execution.session import Session
from ftc.runtime.execution.verify import verify_some
from ftc.runtime.models.base_model import FolderBase, frozen_dtype, load_base
from ftc.runtime.models.build_model import build_model
from ftc.runtime.models.number_types import torch_type
from ftc.runtime.models.quantized_layers import round_in_training
from ftc.runtime.tasks import make_scorer
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.runtime.training.signals import StopRequest
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.events import EventListener
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.merged import MERGE_FILE, Agreement, Held, MergedModel, WeightType
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import Split, TokenStream, open_stream
from ftc.spec.heads import Choices, head_card
from ftc.spec.precisions import number_type, precision_card
from ftc.spec.storage.atomic_write import building_folder
from ftc.spec.storage.paths import RunFolder
from ftc.spec.version import VERSION

__all__ = ["Asked", "agreement", "allowed_share", "merge", "on_processor", "scores_of", "write_weights"]

_ALLOWED_INT8 = 0.05
"""With weights of 8 bits the run's own products round what goes into them, to 8 bits as well."""
_UNTOLD = (
    "peft doesn't pass the token types to an extractive question answering model, so the run was "
    "trained without it; all token types have the first one's vector, so that the merged model gives the same "
    "outputs"
)
_LIBRARIES = ("peft", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a merge makes.

    Attributes:
        target: The folder, which isn't there yet.
        weight_type: Type of the weights.
        added_to: What the adapter is added to.
        shard_bytes: Most bytes of weights in one file.
        split: Rows on which both models are compared.
        card: Text of the model card.
        texts: A stream of other texts, for a run whose rows are not here.
    """

    target: Path
    weight_type: WeightType
    added_to: Held
    shard_bytes: int
    split: Split
    card: Callable[[MergedModel], str]
    texts: Path | None = None


@dataclass(frozen=True, slots=True)
class _Written:
    content_sha256: str
    num_parameters: int
    notes: tuple[str, ...]


def merge(
    plan: Plan, inputs: Inputs, run: RunFolder, record: RunRecord, asked: Asked, listen: EventListener
) -> MergedModel:
    """Merges the adapter that a run exported into its base model, and writes the folder of the model.

    Args:
        plan: The run's plan.
        inputs: Where its base model and its token streams are.
        run: The run's folder, which holds the adapter.
        record: Its record.
        asked: What is to be made.
        listen: Hears of every event.

    Raises:
        Refusal: Base, rows or adapter are not the run's (FTC620, FTC621, FTC630), the merged model says something else
            (FTC664), or its configuration can't hold what the base's says (FTC665).
        KeyboardInterrupt: Somebody asked to stop; nothing is left behind.
    """
    with reopened(on_processor(plan), inputs, run, record, listen) as session:
        with session.journal.phase("verify", f"{len(plan.lock.model.files) + 1} files"):
            verify_some(plan, inputs, [] if asked.texts else [asked.split], session.stamps)
        rows = open_stream(asked.texts) if asked.texts else session.stream(asked.split)
        whose = "fixed texts" if asked.texts else asked.split
        assert rows is not None, "the caller has chosen a split with rows"
        numbers = sampled(rows)
        before = scores_of(_adapted(session), rows, numbers, session.stop)
        with building_folder(asked.target) as folder:
            with session.journal.phase("merge", asked.target.name):
                written = _write(session, asked, folder)
            session.stamps.confirm()  # weights were read until now
            with session.journal.phase("compare", f"{len(numbers)} rows of {whose}"):
                after = scores_of(_loaded(session, folder), rows, numbers, session.stop)
            found = agreement(
                before,
                after,
                split=whose,
                allowed=allowed_share(plan.settings, asked.weight_type),
                choices=head_card(plan.settings.model.head).choices,
            )
            _require(found, asked)
            merged = _described(plan, record, asked, written, found, folder)
            (folder / MERGE_FILE).write_text(merged.to_text(), encoding="utf-8")
            (folder / "README.md").write_text(asked.card(merged), encoding="utf-8")
    return merged


def _described(
    plan: Plan, record: RunRecord, asked: Asked, written: _Written, found: Agreement, folder: Path
) -> MergedModel:
    return MergedModel(
        ftc_version=VERSION,
        packages={name: version(name) for name in _LIBRARIES},
        name=plan.name,
        run_id=record.id,
        job_sha256=plan.job_sha256(),
        record_sha256=record.sha256,
        strategy=plan.settings.strategy.kind,
        adapter_sha256=record.final_weights_sha256 or "",
        base=plan.settings.model.base,
        base_commit=plan.lock.model.commit,
        base_content_sha256=plan.lock.model.content_sha256,
        added_to=asked.added_to,
        weight_type=asked.weight_type,
        num_parameters=written.num_parameters,
        content_sha256=written.content_sha256,
        files=dict(_files(folder)),
        agreement=found,
        notes=written.notes,
    )


def on_processor(plan: Plan) -> Plan:
    """The plan for a CPU, with kernels that it has; it computes what the run computed."""
    settings = plan.settings
    attention = "eager" if settings.model.attention == "eager" else "sdpa"
    determinism = settings.train.determinism.model_copy(update={"kernels": "deterministic"})
    changes = {
        "device": settings.device.model_copy(update={"name": "cpu", "kind": "cpu", "count": 1}),
        "model": settings.model.model_copy(update={"attention": attention}),
        "train": settings.train.model_copy(update={"determinism": determinism, "activation_checkpointing": False}),
    }
    return plan.model_copy(update={"settings": settings.model_copy(update=changes)})


def _adapted(session: Session) -> ModelWithScorer:
    """The base with its adapter beside it, as the run measured it."""
    session.base = session.build()
    load_exported(session, session.base.model)
    return session.base


def _weights(session: Session, dtype: torch.dtype) -> tuple[MergedWeights, tuple[str, ...]]:
    """What is written, and what has to be said of it.

    Where the run's weights were packed, a plain model has room for what they stand for.
    """
    settings, work = session.plan.settings, session.base
    session.base = None
    assert work is not None, "the adapted model was asked before"
    model: Any = work.model
    with torch.inference_mode():
        is_untold = head_card(settings.model.head).finds_spans and drops_types(model)
    packed: Mapping[str, Unpack] = {}
    if (plain_strategy := settings.strategy.unpacked()) is not None:
        packed = unpacked(model)
        plain = settings.model_copy(update={"strategy": plain_strategy})
        model = build_model(plain, FolderBase(session.inputs.model_folder), torch.device("cpu"))
        load_exported(session, model)
    if is_untold:
        forget_types(model)
    weights = MergedWeights.of(model, dtype, packed)
    return weights, (_UNTOLD,) if is_untold else ()


def _write(session: Session, asked: Asked, folder: Path) -> _Written:
    """Weights in files of a size, and what else a model's folder holds.

    Raises:
        Refusal: A weight is too large for its type (FTC664).
    """
    weights, notes = _weights(session, torch_type(number_type(asked.weight_type)))
    try:
        write_weights(session, weights, asked.weight_type, asked.shard_bytes, folder)
    except NotFinite as error:
        raise Refusal([_too_large(str(error), asked)]) from error
    return _Written(weights.content_digest(), sum(shape.numel() for _, shape in weights.forms.values()), notes)


def write_weights(
    session: Session, weights: MergedWeights, weight_type: WeightType, shard_bytes: int, folder: Path
) -> None:
    """Writes a whole model's folder: weights in files of a size, what they come from, configuration and tokenizer.

    Raises:
        NotFinite: A weight is no number in this type.
        Refusal: A key of the base's configuration can't be kept (FTC665).
    """
    write_shards(session, weights.forms, weights, {}, shard_bytes, folder)
    weights.model.config.dtype = torch_type(number_type(weight_type))
    write_model_files(session, weights.model, folder)


def _files(folder: Path) -> Iterator[tuple[str, FileFacts]]:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield file.relative_to(folder).as_posix(), FileFacts(size=file.stat().st_size, sha256=file_digest(file))


def _loaded(session: Session, folder: Path) -> ModelWithScorer:
    """What was written, as anybody loads it, computing as the run did: with rounded weights, if it trained for them."""
    gc.collect()  # the other model goes before this one comes
    settings = session.plan.settings
    model = load_base(settings, FolderBase(folder), is_new=False, dtype=frozen_dtype(settings)).eval()
    if (rounded := settings.train.quantize_aware) is not None:
        round_in_training(model, rounded)
    return ModelWithScorer(model, make_scorer(model, settings))


def allowed_share(settings: Settings, weight_type: WeightType) -> float:
    """The largest difference of scores, as a share of their spread, that rounding explains."""
    products = precision_card(settings.train.precision).products
    quantized = settings.strategy.traits.quantized
    is_int8 = quantized is not None and quantized.type == "int8"
    return max(number_type(weight_type).merge_error, products.merge_error, _ALLOWED_INT8 if is_int8 else 0.0)


def _require(found: Agreement, asked: Asked) -> None:
    """Lets pass a model that says the same.

    Raises:
        Refusal: It doesn't (FTC664).
    """
    if found.holds:
        return
    summary = (
        f"on {found.rows} rows of {found.split} the scores differ by up to {100 * found.share:.3g} % of their "
        f"range; {100 * found.allowed:.3g} % is allowed"
    )
    notes = f"{found.same_choices} of {found.choices} choices are the same; the folder was not kept"
    raise Refusal([diagnostic("FTC664", summary, notes=notes, help=_wider(asked))])


def _too_large(name: str, asked: Asked) -> Diagnostic:
    summary = f"`{name}` is not finite in {asked.weight_type} after the adapter is added"
    return diagnostic("FTC664", summary, notes="the folder was not kept", help=_wider(asked))


def _wider(asked: Asked) -> str:
    if asked.weight_type != "float32":
        return "write the weights in higher precision with `--dtype float32`"
    return "use the adapter together with its base model, and report this: in float32 only rounding should differ"


def scores_of(
    work: ModelWithScorer, rows: TokenStream, numbers: Sequence[int], stop: StopRequest
) -> list[torch.Tensor]:
    """What a model says of rows, each by itself: (N, C) scores of N places at most, in float32.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    found = []
    with eval_mode(work.model):
        for number in numbers:
            stop.check()
            batch = work.scorer.batch(rows, [number])
            scores = work.scorer.logits(work.model, batch)
            found.append(scores[evenly(len(scores), PLACES)].float().clone())
    return found


def agreement(
    before: Sequence[torch.Tensor], after: Sequence[torch.Tensor], *, split: str, allowed: float, choices: Choices
) -> Agreement:
    """How far scores are apart.

    Args:
        before: Of the model that is the measure, row by row.
        after: Of the other, on the same rows.
        split: Whose rows they are.
        allowed: The largest share of the spread that a difference may be.
        choices: What outputs are over; numbers are no choices, so that only their size counts.
    """
    known = [row[row.isfinite()] for row in before]  # a place that can't be chosen scores minus infinity
    spread = float(max(row.max() for row in known) - min(row.min() for row in known))
    largest = max(_largest(one, other) for one, other in zip(before, after, strict=True))
    pairs = zip(before, after, strict=True) if choices != "numbers" else ()
    several = choices == "independent"
    chosen = [(_choices(one, several), _choices(other, several)) for one, other in pairs]
    share = largest / spread if spread > 0 else 0.0 if largest == 0 else math.inf
    return Agreement.model_validate(
        {
            "split": split,
            "rows": len(before),
            "scores": sum(row.numel() for row in known),
            "largest_difference": _finite(largest),
            "spread": spread,
            "share": _finite(share),
            "allowed": allowed,
            "choices": sum(one.numel() for one, _ in chosen),
            "same_choices": sum(int((one == other).sum()) for one, other in chosen),
        }
    )


def _largest(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference; infinite where one is a number and the other isn't."""
    apart = (one - other).abs()
    return float(torch.where(one == other, 0.0, apart).nan_to_num(nan=math.inf).max())


def _finite(value: float) -> float:
    """A document holds no infinity; what is as large as can be is beyond every bound as well."""
    return min(value, torch.finfo(torch.float32).max)


def _choices(scores: torch.Tensor, several: bool) -> torch.Tensor:
    return scores > 0 if several else scores.argmax(dim=-1)
