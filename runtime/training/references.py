"""What the untrained model gives both answers of each preference: computed once, before the first step, and kept.

The untrained model is the reference, for an adapter and for full training alike, so no second model is ever held. The
figures lie in the run's folder under the job's digest; a run that goes on reads them rather than computing them anew.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from ftc.runtime.artifacts.tensor_files import content_digest, read_tensors, write_tensors
from ftc.runtime.evaluation.kernels import faster_linears
from ftc.runtime.evaluation.scoring import as_base, gathered, score_rows, still
from ftc.runtime.tasks.preference import PreferenceScorer
from ftc.spec.documents.streams import TokenStream
from ftc.spec.storage.atomic_write import building_folder

if TYPE_CHECKING:
    from ftc.runtime.execution.session import Session, Workpiece

__all__ = ["learn_references"]

_FILE = "log_probs.safetensors"


def learn_references(session: Session, work: Workpiece, split: str) -> None:
    """Lets a scorer of preferences know the reference's figures for a split; for any other scorer nothing happens.

    Args:
        session: The run.
        work: A model that is as it is before the first step, unless the figures were computed before.
        split: Name of the split; one without rows is passed over.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    rows = session.stream(split)
    if rows is None or not isinstance(work.scorer, PreferenceScorer):
        return
    known = _kept(session, split, rows)
    if known is None:
        with session.journal.phase("reference", split):
            known = _computed(session, work, rows, is_trained_on=split == "train")
        if session.is_first:
            _keep(session, split, known)
    work.scorer.learn_references(rows, known)


def _computed(session: Session, work: Workpiece, rows: TokenStream, *, is_trained_on: bool) -> torch.Tensor:
    """(rows, 2) log-probability of the chosen and of the rejected answer, by the arithmetic that it stands beside."""
    size = session.plan.settings.eval.batch_size
    alike = nullcontext() if is_trained_on else faster_linears(work.model)
    with still(work.model), alike, as_base(session.plan.settings, work.model):
        batches = list(score_rows(work, rows, size, session.accelerator, session.stop))
    scores = gathered([score for batch in batches for score in batch], session.accelerator)
    return torch.tensor([score.predicted[:2] for score in scores], dtype=torch.float32)


def _kept(session: Session, split: str, rows: TokenStream) -> torch.Tensor | None:
    """The figures of an earlier segment of this job, if they are there and whole."""
    from safetensors import SafetensorError

    try:
        tensors = read_tensors(session.folder.references(split) / _FILE)
    except (OSError, SafetensorError):
        return None
    for name, found in tensors.items():
        if name == _name(session, found) and found.shape == (len(rows), 2):
            return found
    return None


def _keep(session: Session, split: str, known: torch.Tensor) -> None:
    with building_folder(session.folder.references(split)) as temporary:
        write_tensors(temporary / _FILE, {_name(session, known): known}, {"format": "pt"})


def _name(session: Session, known: torch.Tensor) -> str:
    """A name that no figures of another job, and no damaged ones, can have."""
    return f"{session.job_sha256}/{content_digest({'log_probs': known})}"
