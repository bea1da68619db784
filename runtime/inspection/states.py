"""What leaves each layer of a model, at a few places of a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ftc.runtime.evaluation.reference import PLACES, evenly
from ftc.runtime.evaluation.scoring import eval_mode
from ftc.runtime.models.sharding import stacks_of
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.runtime.training.signals import StopRequest
from ftc.spec.documents.inspected import LayerStates
from ftc.spec.documents.streams import TokenStream

__all__ = ["States", "compared_states", "states_of"]


@dataclass(frozen=True, slots=True)
class States:
    """States at a few places.

    Attributes:
        kept: (N, H) states at N places, by stack and layer: at most 16 places of each row.
        lengths: How many places each row has in the first layer; virtual tokens make it longer.
    """

    kept: dict[tuple[str, int], torch.Tensor]
    lengths: tuple[int, ...]


def states_of(work: ModelWithScorer, rows: TokenStream, numbers: Sequence[int], stop: StopRequest) -> States:
    """The states behind each layer, in float32.

    Raises:
        LookupError: The model has no stack of layers that is known.
        Interrupted: Somebody asked to stop.
    """
    kept: dict[tuple[str, int], list[torch.Tensor]] = {}
    lengths: dict[tuple[str, int], list[int]] = {}

    def keep(key: tuple[str, int]) -> Any:
        def hook(_module: Any, _given: Any, output: Any) -> None:
            states = output if isinstance(output, torch.Tensor) else output[0]
            flat = states.detach().reshape(-1, states.shape[-1])
            lengths.setdefault(key, []).append(len(flat))
            kept.setdefault(key, []).append(flat[evenly(len(flat), PLACES)].float().cpu())

        return hook

    stacks = stacks_of(work.model)
    hooks = [
        layer.register_forward_hook(keep((name.rpartition("model.")[2], index)))
        for name, stack in stacks
        for index, layer in enumerate(stack)
    ]
    try:
        with eval_mode(work.model):
            for number in numbers:
                stop.check()
                work.scorer.logits(work.model, work.scorer.batch(rows, [number]))
    finally:
        for hook in hooks:
            hook.remove()
    return States({key: torch.cat(parts) for key, parts in kept.items()}, tuple(next(iter(lengths.values()), ())))


def compared_states(before: States, after: States) -> tuple[LayerStates, ...]:
    """How alike both are, layer by layer; nothing where rows have other lengths."""
    found = []
    for (stack, layer), old in before.kept.items() if before.lengths == after.lengths else ():
        new = after.kept[stack, layer]
        sizes = old.norm(dim=1).clamp_min(1e-12)
        found.append(
            LayerStates(
                stack=stack,
                layer=layer,
                cosine=float(torch.cosine_similarity(old.double(), new.double(), dim=1).mean()),
                cka=_aligned(old.double(), new.double()),
                change=float(((new - old).norm(dim=1) / sizes).mean()),
            )
        )
    return tuple(found)


def _aligned(old: torch.Tensor, new: torch.Tensor) -> float:
    """Linear centered kernel alignment, by the products of places: their number is small, whatever a state's size."""
    kernels = []
    for states in (old, new):
        centered = states - states.mean(dim=0)
        kernels.append(centered @ centered.T)
    sizes = float(kernels[0].norm() * kernels[1].norm())
    return float((kernels[0] * kernels[1]).sum()) / sizes if sizes else 1.0
