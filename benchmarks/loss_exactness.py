"""How far a loss in chunks is from all logits at once on this CPU: the loss, its gradients, and the time of both.

    python benchmarks/loss_exactness.py

An output layer alone, with random states and targets, as a model's forward pass calls it: 600 positions in chunks of
128, two sizes, in float32 and under bfloat16 autocast, with weights that are trained or not. Differences are shares of
the largest element.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from ftc.runtime.models.number_types import mixed_precision
from ftc.runtime.tasks.chunked_head import ChunkedHead
from ftc.runtime.tasks.scorer import cross_entropy

_POSITIONS, _CHUNK = 600, 128
_SIZES = ((256, 8192), (576, 131072))
"""Hidden size and vocabulary."""
_CPU = torch.device("cpu")


class _Model(nn.Module):
    """A model that is nothing but an output layer."""

    def __init__(self, hidden: int, vocabulary: int, *, trained: bool) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type="llama", vocab_size=vocabulary)
        self.lm_head = nn.Linear(hidden, vocabulary, bias=False).requires_grad_(trained)
        nn.init.normal_(self.lm_head.weight, std=0.03)

    def forward(self, states: torch.Tensor) -> Any:
        """Its scores, as transformers gives them."""
        return SimpleNamespace(logits=self.lm_head(states))


def main() -> None:
    """Prints a line for each case."""
    for hidden, vocabulary in _SIZES:
        for precision in ("float32", "bfloat16"):
            for trained in (False, True):
                _print_case(hidden, vocabulary, precision, trained=trained)


def _print_case(hidden: int, vocabulary: int, precision: str, *, trained: bool) -> None:
    torch.manual_seed(0)
    model = _Model(hidden, vocabulary, trained=trained)
    states, targets = torch.randn(_POSITIONS, hidden), torch.randint(vocabulary, (_POSITIONS,))
    if precision == "bfloat16" and not trained:  # as a frozen base is held
        model, states = model.to(torch.bfloat16), states.to(torch.bfloat16)
    head = ChunkedHead(model, model.lm_head, _CHUNK)

    def step(*, chunked: bool) -> tuple[list[torch.Tensor], float]:
        model.zero_grad()
        inputs, began = states.clone().requires_grad_(), time.process_time()
        if chunked:
            with (
                head.summing(lambda scores, lines: cross_entropy(scores, targets[lines]), 1 / _POSITIONS),
                mixed_precision(precision, _CPU),
            ):
                loss = model(inputs).logits
        else:
            with mixed_precision(precision, _CPU):
                logits = model(inputs).logits
            loss = cross_entropy(logits.float(), targets).sum() * (1 / _POSITIONS)
        loss.backward()
        found = [loss.detach(), inputs.grad, model.lm_head.weight.grad]
        return [one for one in found if one is not None], time.process_time() - began

    (whole, first), (chunks, second) = step(chunked=False), step(chunked=True)
    apart = [float((one - two).abs().max() / two.abs().max()) for one, two in zip(chunks, whole, strict=True)]
    words = ", ".join(f"{name} {far:.1e}" for name, far in zip(("loss", "states", "weights"), apart, strict=False))
    kind = "trained" if trained else "frozen"
    print(f"{hidden:4} x {vocabulary:7,} {precision:8} {kind:7} {words:45} {second / first:.2f} of the CPU time")


if __name__ == "__main__":
    main()
