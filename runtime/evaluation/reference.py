"""What a finished run's model says of a few rows, kept in its folder: what is made of the model is compared with it.

A converted model, a server or another machine needs no torch and no base model for that, only these rows. The highest
scores of a place and the logarithm of the sum of all, which holds the others, take a thousandth of the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from ftc.runtime.artifacts.tensor_files import read_tensors, write_tensors
from ftc.runtime.evaluation.scoring import eval_mode
from ftc.runtime.models.sharding import is_sharded
from ftc.spec.storage.atomic_write import replacing
from ftc.spec.storage.paths import RunFolder

if TYPE_CHECKING:
    from ftc.runtime.execution.session import Session
    from ftc.runtime.tasks.scorer import ModelWithScorer
    from ftc.runtime.training.signals import StopRequest
    from ftc.spec.documents.streams import Split, TokenStream

__all__ = ["PLACES", "Reference", "evenly", "read_reference", "reference_of", "sampled", "split_of", "write_reference"]

_ROWS = 8
PLACES = 16
"""Places of a row whose scores are kept: a score for each word of a large vocabulary takes half a megabyte a place."""
_HIGHEST = 64


@dataclass(frozen=True, slots=True)
class Reference:
    """Scores at N places of R rows, of which the K highest are kept.

    Attributes:
        split: Whose rows they are.
        rows: (R,) numbers of the rows in their stream.
        places: (N,) number of a place among those of its row that are scored.
        owners: (N,) which of the R rows a place belongs to.
        choices: (N, K) the highest outputs, the highest first.
        scores: (N, K) what they score.
        log_sum_exp: (N,) logarithm of the sum of the exponentials of all scores.
        lowest: (N,) the lowest finite score.
    """

    split: Split
    rows: torch.Tensor
    places: torch.Tensor
    owners: torch.Tensor
    choices: torch.Tensor
    scores: torch.Tensor
    log_sum_exp: torch.Tensor
    lowest: torch.Tensor

    @property
    def spread(self) -> float:
        """The highest of all scores less the lowest: what a difference is compared with."""
        return float(self.scores.max() - self.lowest.min())


def split_of(session: Session) -> Split | None:
    """Whose rows are asked: validation, or train where there is none. Test rows are for the evaluation alone."""
    splits: tuple[Split, ...] = ("validation", "train")
    return next((name for name in splits if session.stream(name) is not None), None)


def write_reference(session: Session, work: ModelWithScorer) -> None:
    """Keeps what a run's tuned model says of a few rows, in the run's folder.

    A model that is divided among processes is not asked: each of them would have to be, for eight rows.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    split = split_of(session)
    if split is None or is_sharded(work.model) or not session.is_first:
        return
    found = reference_of(work, session, split)
    names = ("rows", "places", "owners", "choices", "scores", "log_sum_exp", "lowest")
    tensors = {name: getattr(found, name) for name in names}
    with replacing(session.folder.reference) as file:
        write_tensors(Path(file.name), tensors, _metadata(session, split))


def read_reference(session: Session, run: RunFolder) -> Reference | None:
    """What a run's folder keeps, if it is of this session's weights and rows; None where there is nothing such."""
    split = split_of(session)
    try:
        tensors = read_tensors(run.reference)
        with safe_open(run.reference, framework="pt") as opened:
            metadata = opened.metadata()
    except OSError:
        return None
    if split is None or metadata != _metadata(session, split):
        return None
    return Reference(split, **tensors)


def reference_of(work: ModelWithScorer, session: Session, split: Split) -> Reference:
    """What a model says of a few rows of a split.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    rows = session.stream(split)
    assert rows is not None, "the caller has chosen a split with rows"
    numbers = sampled(rows)
    parts = [_of_row(*one) for one in _scores(work, rows, numbers, session.accelerator.device, session.stop)]
    # Of an answer that is cut out of a row, a short row has fewer places to begin and end than are kept of others.
    width = min(part["scores"].shape[-1] for part in parts)
    parts = [{**part, "choices": part["choices"][:, :width], "scores": part["scores"][:, :width]} for part in parts]
    owners = [torch.full((len(part["places"]),), index) for index, part in enumerate(parts)]
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return Reference(split, rows=torch.tensor(numbers), owners=torch.cat(owners), **joined)


def _scores(
    work: ModelWithScorer, rows: TokenStream, numbers: Sequence[int], device: torch.device, stop: StopRequest
) -> Any:
    with eval_mode(work.model):
        for number in numbers:
            stop.check()
            scores = work.scorer.logits(work.model, work.scorer.batch(rows, [number]).to(device))
            places = evenly(len(scores), PLACES)
            yield places, scores[places].float().cpu()


def _of_row(places: list[int], scores: torch.Tensor) -> dict[str, torch.Tensor]:
    highest = scores.topk(min(_HIGHEST, scores.shape[-1]), dim=-1)
    lowest = torch.where(scores.isfinite(), scores, torch.inf).min(dim=-1).values
    return {
        "places": torch.tensor(places),
        "choices": highest.indices.clone(),
        "scores": highest.values.clone(),
        "log_sum_exp": scores.logsumexp(dim=-1),
        "lowest": lowest,
    }


def sampled(rows: TokenStream) -> list[int]:
    """Numbers of a few rows, evenly over all of them, the same each time."""
    return evenly(len(rows), _ROWS)


def evenly(count: int, most: int) -> list[int]:
    """Numbers from 0 to below `count`, at most so many, evenly spread."""
    return sorted({index * count // min(most, count) for index in range(min(most, count))})


def _metadata(session: Session, split: Split) -> dict[str, str]:
    """What a reference belongs to; it has to be equal for it to be used."""
    return {
        "schema": "ftc.reference/1",
        "plan_sha256": session.state.record.plan_sha256,
        "weights_sha256": session.state.record.final_weights_sha256 or "",
        "split": split,
        "stream_sha256": session.plan.data[split].stream_digest,
    }
