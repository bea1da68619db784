"""The load balancing loss of a mixture of experts, as transformers computes it, without its tables of truth values.

For the routers' probabilities over the experts, it is the number of experts times the sum over experts of the share of
tokens that an expert was chosen for, times the mean probability that it got (Fedus et al. 2021, equations 4 to 6), with
both means over the tokens of all layers. transformers marks each choice in a table of one number a layer, token, choice
and expert: 13 GB for 4,096 tokens of a model of 48 layers and 128 experts. Counting them gives the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ftc.runtime.tasks.scorer import Batch
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.experts import CHOSEN_EXPERTS

__all__ = ["RouterLoss", "router_loss_of", "routers_of"]


class RouterLoss:
    """Watches a model's routers, and measures how evenly they sent tokens to experts.

    Args:
        model: As `build_model` made it; hooks stay in it for good and act within blocks alone.
        weight: What the loss is multiplied by.
    """

    def __init__(self, model: Any, weight: float) -> None:
        self._weight = weight
        self._chosen = next(getattr(_inner(model).config, key) for key in CHOSEN_EXPERTS)
        self._seen: list[torch.Tensor] | None = None
        for router, place in routers_of(model):
            router.register_forward_hook(self._hook(place))

    def _hook(self, place: int) -> Any:
        def keep(_router: nn.Module, _inputs: Any, output: Any) -> None:
            if self._seen is not None:
                self._seen.append(output[place] if isinstance(output, tuple) else output)

        return keep

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block, what routers say is kept for `loss`, which is asked for before its end."""
        self._seen = []
        try:
            yield
        finally:
            self._seen = None

    def loss(self, batch: Batch) -> torch.Tensor:
        """The weighted loss over the batch's tokens without padding, a number."""
        assert self._seen, "the model was called within the block"
        virtual = len(self._seen[0]) // len(batch.attention) - batch.attention.shape[1]
        tokens = nn.functional.pad(batch.attention, (virtual, 0), value=1).flatten().float()
        shares: Any = 0.0
        probabilities: Any = 0.0
        for logits in self._seen:
            each = logits.float().softmax(dim=-1)
            picked = each.topk(self._chosen, dim=-1).indices
            counts = torch.zeros_like(each[0]).index_add(0, picked.flatten(), tokens.repeat_interleave(self._chosen))
            shares, probabilities = shares + counts.detach(), probabilities + (each * tokens[:, None]).sum(0)
        total = tokens.sum() * len(self._seen)
        found: torch.Tensor = (shares * probabilities).sum() * (shares.numel() * self._weight) / total**2
        return found


def router_loss_of(model: Any, train: TrainSettings) -> RouterLoss | None:
    """What watches a model's routers, where their loss is part of the run's."""
    if train.router is None or train.router.aux_loss is None:
        return None
    return RouterLoss(model, train.router.aux_loss)


def routers_of(model: Any) -> list[tuple[nn.Module, int]]:
    """A model's routers, and the place of their logits in what each gives: as its class in transformers says.

    Raises:
        Refusal: FTC267, the class in the installed release doesn't say.
    """
    said: Any = (getattr(type(_inner(model)), "_can_record_outputs", None) or {}).get("router_logits")
    if said is None:
        summary = f"the installed transformers doesn't show the routers of {type(_inner(model)).__name__}"
        help = "install a newer transformers, or remove `router_aux_loss`"
        raise Refusal([diagnostic("FTC267", summary, help=help, path="train.router_aux_loss")])
    kind: Any = said if isinstance(said, type) else said.target_class
    place: int = 0 if kind is said else said.index
    return [(module, place) for module in model.modules() if isinstance(module, kind)]


def _inner(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model
