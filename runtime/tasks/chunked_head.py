"""Scores over a vocabulary for some positions at a time, forward and backward: they never stand in memory whole.

Scores are often a step's largest tensors: 32k tokens of a vocabulary of 152k are 18.6 GiB in float32, and the loss
needs them three times. Here the output layer and the loss run inside the model's own forward pass, chunk by chunk. What
training needs is a weighted sum of losses, so the gradient of a chunk is known at once: it is taken before the next
chunk begins, and nothing is computed twice. Within a chunk, losses are computed for some positions at a time, and
their gradients take the place of their scores, so that few are ever there in float32.

What the model does behind its layer is repeated for each chunk, by the table of architectures, and compared with what
the model itself makes of one position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, assert_never

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ftc.spec.architectures import architecture
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.loss_chunks import compared_at_once
from ftc.spec.vision_models import vision_model

__all__ = ["ChunkedHead", "Losses", "behind_the_layer"]

Losses = Callable[[torch.Tensor, slice], torch.Tensor]
"""(n,) losses of some targets from their (n, V) scores in float32, and which of the batch's targets these are."""


class ChunkedHead:
    """Stands in front of a model's output layer and gives what a block asks for in place of its scores.

    Args:
        model: As `build_model` made it; hooks stay in it for good and act within blocks alone.
        layer: Its output layer.
        size: Positions at a time.
    """

    def __init__(self, model: Any, layer: nn.Module, size: int) -> None:
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._layer, self._size, self._finish = layer, size, behind_the_layer(inner)
        self._vocabulary: int = language_config(inner).vocab_size
        self._work: Callable[[torch.Tensor], torch.Tensor] | None = None
        self._found: torch.Tensor | None = None
        self._shown: torch.Tensor | None = None
        self._is_proved = False
        layer.register_forward_pre_hook(self._do_work)
        layer.register_forward_hook(self._compare_later)
        inner.register_forward_hook(self._hand_over)

    def summing(self, losses: Losses, weight: float, *, by_chunk: bool = False) -> AbstractContextManager[None]:
        """Within the block the model gives the sum of all losses, times a weight, with its gradient.

        Args:
            losses: What is made of scores.
            weight: Of each loss.
            by_chunk: Whether losses are of whole chunks, as where each asks another model's output layer.
        """

        def work(states: torch.Tensor) -> torch.Tensor:
            trained = [one for one in self._layer.parameters() if one.requires_grad]
            asked = losses, weight, by_chunk
            found: torch.Tensor = _WeightedSum.apply(states, self, *asked, *trained)  # type: ignore[no-untyped-call]
            return found

        return self._doing(work)

    def listing(self, losses: Losses) -> AbstractContextManager[None]:
        """Within the block the model gives (N,) losses; their chunks are computed again in a backward pass."""

        def work(states: torch.Tensor) -> torch.Tensor:
            loss_of = partial(self.losses, losses)
            if torch.is_grad_enabled():
                loss_of = partial(checkpoint, loss_of, use_reentrant=False)
            return torch.cat([loss_of(states[lines], lines) for lines in self.chunks(len(states))])

        return self._doing(work)

    def holding(self) -> AbstractContextManager[None]:
        """Within the block the model gives (N, H) states, of which `scores` makes scores."""
        return self._doing(lambda states: states)

    def unfinished(self, states: torch.Tensor) -> torch.Tensor:
        """(n, V) scores as the output layer gives them."""
        found: torch.Tensor = self._layer.forward(states)
        return found

    def scores(self, states: torch.Tensor) -> torch.Tensor:
        """(n, V) scores in float32."""
        return self._finish(self.unfinished(states)).float()

    def losses(self, losses: Losses, states: torch.Tensor, lines: slice) -> torch.Tensor:
        """(n,) losses of a chunk, from its states."""
        return _by_scores(losses, self.scores(states), lines)

    def losses_of(self, losses: Losses, unfinished: torch.Tensor, lines: slice) -> torch.Tensor:
        """(n,) losses of some positions, from what the output layer gave."""
        return _by_scores(losses, self._finish(unfinished).float(), lines)

    def at_once(self, count: int) -> int:
        """Of a chunk of so many positions, those whose losses are computed at once."""
        return compared_at_once(count, self._vocabulary)

    def chunks(self, count: int) -> list[slice]:
        """So many positions in chunks; one that is empty where there are none."""
        return [slice(start, start + self._size) for start in range(0, max(1, count), self._size)]

    @contextmanager
    def _doing(self, work: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
        self._work = work
        try:
            yield
        finally:
            self._work = self._found = self._shown = None

    def _do_work(self, _layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor] | None:
        if self._work is None:
            return None
        torch.clear_autocast_cache()  # of weights in layers that are recomputed: a second model in 16 bits
        self._found = self._work(inputs[0])
        return (inputs[0][:1].detach(),)  # what the model makes of one position shows what it does behind the layer

    def _compare_later(self, _layer: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        if self._work is not None and not self._is_proved and not output.is_meta:
            self._shown = output

    def _hand_over(self, model: nn.Module, _inputs: Any, output: Any) -> Any:
        if self._work is None:
            return None
        if self._shown is not None:
            self._prove(model, self._finish(self._shown.detach()), output.logits.detach())
        output.logits = self._found
        return output

    def _prove(self, model: nn.Module, ours: torch.Tensor, theirs: torch.Tensor) -> None:
        self._is_proved, self._shown = True, None
        if not torch.allclose(ours.float(), theirs.float(), rtol=1e-3, atol=1e-3, equal_nan=True):
            apart = float((ours.float() - theirs.float()).abs().max())
            summary = f"{type(model).__name__} changes the output layer's scores in a way that ftc does not know"
            notes = f"the scores of one position differ by up to {apart:.3g}"
            raise Refusal([
                diagnostic("FTC266", summary, notes=notes, help="write `train: {loss_chunk_size: none}`",
                           path="train.loss_chunk_size")
            ])  # fmt: skip


class _WeightedSum(torch.autograd.Function):
    """A weighted sum of losses whose gradient is computed together with it, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        head: ChunkedHead,
        losses: Losses,
        weight: float,
        by_chunk: bool,
        *trained: nn.Parameter,
    ) -> torch.Tensor:
        flows = ctx.needs_input_grad[0]
        values = torch.empty(len(states), dtype=torch.float32, device=states.device)
        slopes = torch.empty_like(states) if flows else None
        gradients: list[torch.Tensor] = []
        for lines in head.chunks(len(states)):
            part = states.detach()[lines].requires_grad_(flows)
            wanted = [*([part] if flows else []), *trained]
            values[lines], found = _of_chunk(head, losses, weight, part, lines, wanted, by_chunk=by_chunk)
            if slopes is not None:
                slopes[lines] = found.pop(0)
            for total in gradients:
                total.add_(found.pop(0))  # by no name, which would keep it through the next chunk
            gradients = gradients or found
            del part, wanted, found
        ctx.flows = flows
        ctx.save_for_backward(*([slopes] if slopes is not None else []), *gradients)
        return values.sum() * weight

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> tuple[torch.Tensor | None, ...]:
        # In place, since a step goes this way once.
        scaled = [one.mul_(outer[0].to(one.dtype)) for one in ctx.saved_tensors]
        return scaled.pop(0) if ctx.flows else None, None, None, None, None, *scaled


def _of_chunk(
    head: ChunkedHead,
    losses: Losses,
    weight: float,
    states: torch.Tensor,
    lines: slice,
    wanted: list[torch.Tensor],
    *,
    by_chunk: bool,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """A chunk's losses, and the gradients of their weighted sum by what is wanted."""
    count = len(states)
    size = count if by_chunk or not wanted else head.at_once(count)
    if size == count:
        with torch.enable_grad():
            found = head.losses(losses, states, lines)
        return found.detach(), list(_gradients(found, wanted, weight)) if wanted else []
    with torch.enable_grad():
        scores = head.unfinished(states)
    values, held = torch.empty(count, dtype=torch.float32, device=scores.device), scores.detach()
    for first in range(0, count, size):
        here = slice(first, min(first + size, count))
        own = held[here].detach().requires_grad_()
        with torch.enable_grad():
            of_some = head.losses_of(losses, own, slice(lines.start + here.start, lines.start + here.stop))
        values[here] = of_some.detach()
        # Scores that have given their losses are needed no longer. Had the layer kept them for its own backward pass,
        # torch would refuse that.
        held[here] = _gradients(of_some, [own], weight)[0]
        del of_some, own
    with _no_autocast(scores.device):
        return values, list(torch.autograd.grad(scores, wanted, held, materialize_grads=True))


def _gradients(losses: torch.Tensor, wanted: list[torch.Tensor], weight: float) -> tuple[torch.Tensor, ...]:
    with _no_autocast(losses.device):
        return torch.autograd.grad(losses, wanted, torch.full_like(losses, weight), materialize_grads=True)


def _by_scores(losses: Losses, scores: torch.Tensor, lines: slice) -> torch.Tensor:
    with _no_autocast(scores.device):  # as behind the model's forward pass
        return losses(scores, lines)


def _no_autocast(device: torch.device) -> AbstractContextManager[Any]:
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def language_config(model: Any) -> Any:
    """The configuration of what a model ends in, also where it reads images."""
    config = model.config
    return config if vision_model(config.model_type) is None else config.get_text_config()


def behind_the_layer(model: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """What a model does with its output layer's scores."""
    config = language_config(model)
    kind = (vision_model(model.config.model_type) or architecture(config.model_type)).behind_head
    assert kind is not None, "the plan computes scores in chunks only where it knows what lies behind them"
    match kind:
        case "nothing":
            return lambda scores: scores
        case "softcap":
            cap = getattr(config, "final_logit_softcapping", None)
            return (lambda scores: scores) if cap is None else lambda scores: torch.tanh(scores / cap) * cap
        case "times scale":
            return lambda scores: scores * config.logit_scale
        case "by scaling":
            return lambda scores: scores / config.logits_scaling
        case "plus bias":
            return lambda scores: scores + model.final_logits_bias
        case _:
            assert_never(kind)
