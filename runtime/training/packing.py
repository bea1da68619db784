"""Proof that rows of one packed sequence don't see each other, with the model that is about to be trained.

Isolation rests on the model: it has to read the positions and build its masks from them. Most do; one that doesn't
would train on other rows' text without a sign of it, so each run looks before its first step.
"""

from __future__ import annotations

import torch
from torch import nn

from ftc.runtime.evaluation.scoring import still
from ftc.runtime.tasks.scorer import Scorer
from ftc.runtime.training.collate import Batch, packed_batch
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.streams import TokenStream

__all__ = ["prove_isolation"]

_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}
"""Nats by which a row's mean loss may differ; other rows in sight change it by tenths at the least."""
_MOST_ROWS = 4


def prove_isolation(
    model: nn.Module, scorer: Scorer, rows: TokenStream, pack: list[int], precision: str, device: torch.device
) -> None:
    """Compares the losses of rows in one pack with their losses alone.

    Raises:
        Refusal: They differ by more than arithmetic explains (FTC262).
    """
    numbers = pack[-_MOST_ROWS:]  # the shortest, which cost least
    if len(numbers) < 2:
        return
    with still(model):
        together = _row_losses(model, scorer, packed_batch(rows, numbers).to(device), len(numbers))
        alone = [_row_losses(model, scorer, scorer.batch(rows, [number]).to(device), 1)[0] for number in numbers]
    worst = max(abs(a - b) for a, b in zip(together, alone, strict=True))
    if not worst <= _TOLERANCE[precision]:
        raise Refusal(
            [
                diagnostic(
                    "FTC262",
                    f"rows of a packed sequence see each other: their losses change by up to {worst:.3g} nats",
                    notes="the model doesn't build its attention from positions alone",
                    help="write `train: {packing: false}`",
                    path="train.packing",
                )
            ]
        )


def _row_losses(model: nn.Module, scorer: Scorer, batch: Batch, count: int) -> list[float]:
    """Mean loss of each row."""
    sums = torch.zeros(count, dtype=torch.float64, device=batch.ids.device)
    sums.index_add_(0, batch.owners, scorer.losses(scorer.logits(model, batch), batch).double())
    targets = torch.bincount(batch.owners, minlength=count).clamp(min=1)
    means: list[float] = (sums / targets).tolist()
    return means
