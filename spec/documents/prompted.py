"""The untouched base model with a prompt: what a plan says of each such baseline, and what a run measured."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.documents.intervals import Gain, Interval
from ftc.spec.prompt_baselines import PromptBaselineKind, prompt_baseline_card

__all__ = ["ExampleRow", "PromptBaseline", "PromptedResult", "prompted_apart", "until_separator"]


def until_separator(text: str, separator: str | None) -> str:
    """An answer up to the separator, where a model without a chat template goes on with the next example."""
    return text if separator is None else text.lstrip("\n").split(separator, 1)[0]


class ExampleRow(Document):
    """A training row that stands in a prompt."""

    row: int
    """Number of the row among those that were read, from 0."""
    place: str
    """Its name, such as `data/tickets.csv:38`."""
    sha256: str
    """Digest of its columns."""


class PromptBaseline(Document):
    """One way to ask the base model for the test rows' answers."""

    name: str
    """`zero_shot`, or a name with the number of examples such as `few_shot_4`; the stem of its token stream."""
    kind: PromptBaselineKind
    path: str
    """Its place in the recipe."""
    prompt: str
    """Jinja template of a row's prompt, and of each example's."""
    separator: str | None
    """What ends an example, and cuts an answer; None where the chat template marks the turns."""
    seed: int | None
    """What the examples were drawn with; None without examples."""
    examples: tuple[ExampleRow, ...]
    """In the order in which they stand, the same before each row."""
    prompt_tokens: Real
    """Mean tokens of a prompt."""
    own_tokens: Real
    """The same of the recipe's own prompt, which the tuned model is given."""
    cut_rows: int
    """Rows whose text was cut to make room."""
    stream_sha256: str
    """Digest of its prompts as tokens."""
    is_own: bool
    """Whether its prompts are the recipe's own, token by token, so that the base's answers to these are its answers."""

    @property
    def title(self) -> str:
        """What people call it, such as `few-shot prompt, 4 examples`."""
        card = prompt_baseline_card(self.kind)
        count = len(self.examples)
        return f"{card.title}, {count} example{'s' if count > 1 else ''}" if card.has_examples else card.title


def prompted_apart(baselines: Sequence[PromptBaseline]) -> tuple[str, ...]:
    """Names of those whose prompts are not the recipe's own, and so have a stream and a measurement of their own."""
    return tuple(one.name for one in baselines if not one.is_own)


class PromptedResult(Document):
    """The base model with a prompt on the test rows."""

    name: str
    """As in the plan."""
    title: str
    metrics: dict[str, Real]
    intervals: dict[str, Interval] = Field(default_factory=dict)
    gains: dict[str, Gain] = Field(default_factory=dict)
    """The tuned model's value less this one, by metric, on the same rows."""
    rows: int
    prompt_tokens: Real
    """Mean tokens of a prompt."""
    own_tokens: Real
    """The same of the prompt that the tuned model is given."""
    seconds: Real
    """What answering all rows took; that of the base where its answers are these."""
