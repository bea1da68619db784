"""Marks a model's parts in the log: embedding, groups of layers, head, and the same in the backward pass.

Hooks on modules mark the forward pass. In the backward pass a tensor's hook runs when the gradient of that tensor is
complete, which is just when the layer that made it begins; unlike a module's backward hook it adds nothing to the
graph, so that watching changes no byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ftc.runtime.memory_trace.log import TEMPLATE
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.models.sharding import stacks_of
from ftc.runtime.tasks.chunked_head import ChunkedHead
from ftc.runtime.tasks.scorer import ChunkedScorer, Prediction, Scorer
from ftc.runtime.tasks.text_groups import RowCoupling, coupling_of
from ftc.spec.documents.streams import TokenStream

__all__ = ["Groups", "Marked", "layers_name", "mark"]


@dataclass(frozen=True, slots=True)
class Groups:
    """How the layers of a stack form groups that repeat.

    Attributes:
        period: Layers of a group, after which kinds of layers repeat.
        count: Groups that are traced; the last one also takes the layers that don't fill a group.
        of_model: Groups of the whole model.
        first: Number of the first group; the groups of a decoder are counted on from those of its encoder.
        parts: Groups that repeat each for themselves, where a stack's last layers are trained and the others are not;
            empty where the whole stack repeats.
    """

    period: int
    count: int
    of_model: int
    first: int = 0
    parts: tuple[Groups, ...] = ()

    @property
    def repeating(self) -> tuple[Groups, ...]:
        """Groups of which one stands for others, in the order of their layers."""
        return self.parts or (self,)

    def of(self, layer: int) -> int:
        """The group of a layer."""
        return self.first + min(layer // self.period, self.count - 1)

    def __contains__(self, group: int) -> bool:
        """Whether a group is of this stack."""
        return self.first <= group < self.first + self.count

    def times(self, group: int) -> int:
        """How often the model has what is traced of a group once."""
        if self.parts:
            return next(part.times(group) for part in self.parts if group in part)
        return 1 + self.of_model - self.count if group == self.first + TEMPLATE else 1

    def last_layer(self, group: int, num_layers: int) -> int:
        """The last layer of a group."""
        place = group - self.first
        return num_layers - 1 if place == self.count - 1 else (place + 1) * self.period - 1


@dataclass(frozen=True, slots=True)
class _Words:
    """What the parts of a stack are called: before its layers, its layers, and after them."""

    before: str
    layers: str
    after: str


_ONE = (_Words("embedding", "layers", "head"),)
_TWO = (
    _Words("encoder embedding", "encoder layers", "decoder embedding"),
    _Words("decoder embedding", "decoder layers", "head"),
)


_SEEING = (_Words("images", "image layers", "embedding"), _ONE[0])
"""Those of a tower that reads images, and of the language model behind it."""


def layers_name(prefix: str, *, is_decoder: bool) -> str:
    """The section of the last stack's layers: of one behind an encoder, or of the only one that reads text."""
    words = _TWO[1] if is_decoder else _ONE[0]
    return f"{prefix}: {words.layers}"


class _Marks:
    """The marks of one stack."""

    def __init__(self, tracker: StorageTracker, groups: Groups, num_layers: int, words: _Words) -> None:
        self.tracker, self.groups, self.num_layers, self.words = tracker, groups, num_layers, words

    @property
    def recomputing(self) -> bool:
        return self.tracker.log.sections[-1].is_backward

    @property
    def prefix(self) -> str:
        return "forward" if torch.is_grad_enabled() else self.tracker.purpose

    def enter_model(self, _model: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        self.tracker.makes_inside = True
        is_read = kwargs.get("encoder_outputs") is not None
        if self.words is _SEEING[0]:
            is_read = kwargs.get("pixel_values") is None
        self.tracker.section(f"{self.prefix}: {self.words.after if is_read else self.words.before}")

    def enter_layer(self, layer: int, hidden: Any) -> None:
        if self.recomputing:
            return
        if layer == 0:
            self._on_gradient(hidden, f"backward: {self.words.before}", None)
        self.tracker.section(f"{self.prefix}: {self.words.layers}", self.groups.of(layer))

    def leave_layer(self, layer: int, output: Any) -> None:
        if self.recomputing:
            return
        group = self.groups.of(layer)
        if layer == self.groups.last_layer(group, self.num_layers):
            self._on_gradient(output, f"backward: {self.words.layers}", group)
        if layer == self.num_layers - 1:
            self.tracker.section(f"{self.prefix}: {self.words.after}")

    def _on_gradient(self, output: Any, name: str, group: int | None) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        if isinstance(hidden, torch.Tensor) and hidden.requires_grad:
            hidden.register_hook(lambda _: self.tracker.section(name, group))


def mark(tracker: StorageTracker, model: nn.Module, groups: Sequence[Groups]) -> None:
    """Hooks the marks into a model, for good, before all that is there; `groups` has an entry for each stack."""
    stacks = stacks_of(model)
    words = _ONE if len(stacks) == 1 else _SEEING if _sees(model) else _TWO
    marks = [
        _Marks(tracker, *one) for one in zip(groups, map(len, (layers for _, layers in stacks)), words, strict=True)
    ]
    model.register_forward_pre_hook(marks[0].enter_model, prepend=True, with_kwargs=True)
    model.register_forward_hook(lambda *_: setattr(tracker, "makes_inside", False))
    for mark_of, (_, layers) in zip(marks, stacks, strict=True):
        for number, layer in enumerate(layers):
            _hook(mark_of, number, layer)


def _sees(model: Any) -> bool:
    return getattr(model.config, "vision_config", None) is not None


def _hook(marks: _Marks, number: int, layer: nn.Module) -> None:
    layer.register_forward_pre_hook(
        lambda _, args, kwargs: marks.enter_layer(number, _hidden(args, kwargs)), prepend=True, with_kwargs=True
    )
    layer.register_forward_hook(lambda _, args, output: marks.leave_layer(number, output), prepend=True)


def _hidden(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs.get("hidden_states")


@dataclass(frozen=True, slots=True)
class Marked:
    """A task's scorer with marks around its scores.

    Attributes:
        scorer: Does the work.
        tracker: Is told.
        before: The section that begins with the scores; None for none.
        after: The section that begins when they are done; None for none.
    """

    scorer: Scorer
    tracker: StorageTracker
    before: str | None = None
    after: str | None = None

    def batch(self, rows: TokenStream, numbers: list[int]) -> Any:
        """The rows as tensors."""
        return self.scorer.batch(rows, numbers)

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """What is supervised of a row."""
        return self.scorer.num_targets(rows, number)

    @property
    def coupling(self) -> RowCoupling | None:
        """How rows are compared with each other."""
        return coupling_of(self.scorer)

    @property
    def head(self) -> ChunkedHead | None:
        """What computes scores in chunks."""
        return self.scorer.head if isinstance(self.scorer, ChunkedScorer) else None

    def logits(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """The scores, between their marks."""
        return self._marked(self.scorer.logits, model, batch)

    def output(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """What is made of the scores' states, between the same marks."""
        assert isinstance(self.scorer, ChunkedScorer), "it has a head that computes scores in chunks"
        return self._marked(self.scorer.output, model, batch)

    def _marked(self, compute: Callable[..., torch.Tensor], model: nn.Module, batch: Any) -> torch.Tensor:
        if self.before is not None:
            self.tracker.section(self.before)
        found = compute(model, batch)
        if self.after is not None:
            self.tracker.section(self.after)
        return found

    def losses(self, logits: torch.Tensor, batch: Any, smoothing: float = 0.0) -> torch.Tensor:
        """The loss of each target."""
        return self.scorer.losses(logits, batch, smoothing)

    def predictions(self, logits: torch.Tensor, batch: Any) -> list[Prediction]:
        """What is said of each row."""
        return self.scorer.predictions(logits, batch)
