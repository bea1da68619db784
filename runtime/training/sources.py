"""Where the rows of an optimizer step come from: a stream that is there before the run, or what the model writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Protocol

from ftc.spec.batches import BatchOrder
from ftc.spec.documents.events import SampledStep, WrittenStep
from ftc.spec.documents.sampled import WrittenAnswer
from ftc.spec.documents.streams import TokenStream
from ftc.spec.masking import step_masks

__all__ = ["MaskedRows", "RowSource", "StepRows", "StreamRows"]


@dataclass(frozen=True, slots=True)
class StepRows:
    """What one optimizer step is trained on.

    Attributes:
        rows: A stream.
        order: Which of its rows go through the model when.
        index: The step's number in that order.
        sampled: What the rows earned, where the model wrote them for rewards.
        written: What they are like, where it wrote them for a teacher.
    """

    rows: TokenStream
    order: BatchOrder
    index: int
    sampled: SampledStep | None = None
    written: WrittenStep | None = None

    @property
    def numbers(self) -> list[int]:
        """The step's rows over all devices."""
        return self.order.rows(self.index)

    def micro_batches(self, micro_batch: int, rank: int, world_size: int) -> list[list[int]]:
        """One device's part of them."""
        return self.order.micro_batches(self.index, micro_batch, rank, world_size)


class RowSource(Protocol):
    """Gives each step its rows: a function of the step's number, and of the weights where the model writes them."""

    @property
    def follows_weights(self) -> bool:
        """Whether a step's rows depend on the weights, so that they can't be had before it."""
        ...

    @property
    def answers(self) -> tuple[WrittenAnswer, ...]:
        """What the model wrote for the last step that was asked for; empty where it writes nothing."""
        ...

    def at(self, step: int) -> StepRows:
        """The rows of an optimizer step, counted from 0."""
        ...


@dataclass(frozen=True, slots=True)
class StreamRows:
    """Rows of a stream."""

    rows: TokenStream
    order: BatchOrder
    answers: tuple[WrittenAnswer, ...] = ()
    follows_weights: bool = False

    def at(self, step: int) -> StepRows:
        """The rows of an optimizer step, counted from 0."""
        return StepRows(self.rows, self.order, step)


@dataclass(frozen=True, slots=True)
class MaskedRows:
    """Rows of a stream of which each step masks other tokens, or takes other spans out."""

    rows: TokenStream
    order: BatchOrder
    masking: Any
    """How it does: what `draw` takes."""
    seed: int
    """The plan's for masks."""
    draw: Callable[[Any, Any, int, int, int], tuple[Any, Any]] = step_masks
    """A row's ids in a step and which are learned, of what it was, `masking`, seed, step and number; always as many."""
    answers: tuple[WrittenAnswer, ...] = ()
    follows_weights: bool = False

    def at(self, step: int) -> StepRows:
        """The rows of an optimizer step, counted from 0."""

        @cache
        def masked(row: int) -> tuple[Any, Any]:
            return self.draw(self.rows.targets[row], self.masking, self.seed, step, row)

        whole = {one.name: getattr(self.rows, one.name) for one in fields(self.rows)}
        return StepRows(_MaskedStream(**whole, masked=masked), self.order, step)


@dataclass(frozen=True, slots=True, kw_only=True)
class _MaskedStream(TokenStream):
    """A stream with other masks than those that stand in it."""

    masked: Callable[[int], tuple[Any, Any]]

    def ids(self, i: int) -> Any:
        """Token ids of row i."""
        return self.masked(i)[0]

    def mask(self, i: int) -> Any:
        """Which tokens of row i have to be filled in."""
        return self.masked(i)[1]
