"""The kinds of rows: how the ways in which people write one and the same row become one, and what has to fit in it.

A task says which kind its rows are; reading them stands in `ftc.compiler.resolve`, by kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "ANSWER_COLUMN",
    "ASKED_COLUMN",
    "CHOSEN_COLUMN",
    "FOREIGN_MARKS",
    "FUNCTIONS_COLUMN",
    "IMAGELESS_MARK",
    "INSTRUCTION_PROMPT",
    "LABELS_COLUMN",
    "NEGATIVES_COLUMN",
    "NUMBERS_COLUMN",
    "OTHER_ANSWER_COLUMN",
    "PAIR_WEIGHT_COLUMN",
    "RATING_COLUMN",
    "REFERENCES_COLUMN",
    "REJECTED_COLUMN",
    "STAND_IN",
    "TRAIN_MARK",
    "TURNS_COLUMN",
    "AnswerRows",
    "InstructionRows",
    "LabelRows",
    "MessageRows",
    "NumberRows",
    "PairRows",
    "PromptRows",
    "RatedRows",
    "RowKind",
    "ScoredAnswerRows",
    "StepRows",
    "TagRows",
    "TextGroupRows",
    "TextRows",
]

ANSWER_COLUMN = "ftc: answer"
"""Column that is added for the answer that a model learns to write; no file names a column so."""
REFERENCES_COLUMN = "ftc: answers"
"""Column that is added for all right answers."""
STAND_IN = "a"
"""An answer that is never read: only so that a row has one. A letter, since the space before a letter belongs to it."""
NUMBERS_COLUMN = "ftc: numbers"
"""Column that is added for the numbers that a model learns to predict, a list."""
CHOSEN_COLUMN = "ftc: chosen"
"""Column that is added for the preferred answer of a pair, where a row has several."""
REJECTED_COLUMN = "ftc: rejected"
"""Column that is added for the rejected answer of such a pair."""
PAIR_WEIGHT_COLUMN = "ftc: weight"
"""Column that is added for what the loss of such a pair is multiplied by."""
RATING_COLUMN = "ftc: rating"
"""Column that is added for a rating, a truth value."""
OTHER_ANSWER_COLUMN = "ftc: other answer"
"""Column that is added for an answer to another prompt, as text or as a conversation."""
NEGATIVES_COLUMN = "ftc: negatives"
"""Column that is added for the wrong passages of a query, a list."""
LABELS_COLUMN = "ftc: labels"
"""Column that is added for the labels of a row that has a column for each, a list."""
TURNS_COLUMN = "ftc: turns"
"""Column that is added for the turns before a prompt: a system message, and earlier questions with their answers."""
ASKED_COLUMN = "ftc: asked"
"""Column that is added for those of these turns that a prompt of several turns has before its last one. They are part
of what a row asks, which a system message or a history in a column of its own is by that column."""
TRAIN_MARK = "train"
"""Key of a message that is false where the message is context and not trained on; absent anywhere else."""
FOREIGN_MARKS = ("weight", TRAIN_MARK, "training")
"""Keys for it in other people's rows, 0 or false where a message isn't trained on: OpenAI's, Axolotl's."""
FUNCTIONS_COLUMN = "functions"
"""Column of what a model may call in OpenAI's older form: functions, which the newer one has as tools."""
IMAGELESS_MARK = "ftc_imageless"
"""Key that is added to a row whose cell for its image is empty; not to one that has no such cell, or an empty list."""
INSTRUCTION_PROMPT = "ftc_prompt"
"""Column that is added for an instruction with its input."""


@dataclass(frozen=True, slots=True)
class TextRows:
    """Texts that are read as they stand."""


@dataclass(frozen=True, slots=True)
class LabelRows:
    """A text and its label, or its labels."""

    several: bool
    """Whether a row has any number of labels, none included."""
    written: bool
    """Whether the model learns to write the label."""
    separator: str | None = None
    """What stands between several labels of a cell; None where they are lists."""
    columns: tuple[str, ...] = ()
    """Columns of a label each, with 1 where a row has it; empty where one column holds the labels."""


@dataclass(frozen=True, slots=True)
class NumberRows:
    """A text and its numbers."""

    columns: tuple[str, ...]
    """Columns of a number each; empty where one column holds the number, or a list of all."""


@dataclass(frozen=True, slots=True)
class TagRows:
    """Words with a tag each, or a text with labeled spans."""

    scheme: Literal["iob2", "iob1", "plain"]


@dataclass(frozen=True, slots=True)
class AnswerRows:
    """Questions with right answers, as SQuAD has them."""

    is_extractive: bool
    """Whether an answer stands at a known place of its context, or is written."""
    stride: int | None
    """Tokens that neighboring windows of a long context have in common; None for what suits their length."""
    longest: int
    """Longest answer that is cut out of a context, in tokens."""


@dataclass(frozen=True, slots=True)
class InstructionRows:
    """A prompt and its completion, or an instruction with its input and its output."""


@dataclass(frozen=True, slots=True)
class MessageRows:
    """Conversations, of `role` and `content` or of ShareGPT's `from` and `value`."""


@dataclass(frozen=True, slots=True)
class PairRows:
    """Two answers to one prompt, as texts or as conversations, or a list of better and one of worse answers."""


@dataclass(frozen=True, slots=True)
class RatedRows:
    """One answer to a prompt, as a text or as the end of a conversation, that is good or bad."""


@dataclass(frozen=True, slots=True)
class ScoredAnswerRows:
    """One answer to a prompt, as a text or as the end of a conversation, and how good it is."""

    by: Literal["rating", "score"]
    """Good or bad, or a number."""


@dataclass(frozen=True, slots=True)
class StepRows:
    """An answer in steps, of which each is right or wrong."""

    labels: tuple[str, str]
    """What a wrong step and a right one are called."""


@dataclass(frozen=True, slots=True)
class TextGroupRows:
    """A query with its right passage and perhaps wrong ones, or two texts with a score."""

    is_scored: bool
    is_ranked: bool = False
    """Whether the passages of a row are ranked among each other, so that it has wrong ones."""


@dataclass(frozen=True, slots=True)
class PromptRows:
    """Prompts that the model answers itself, with a reference where answers are compared with one."""

    has_tests: bool
    """Whether the reference is tests of code, which may be a list or an object."""


RowKind = (
    TextRows
    | LabelRows
    | NumberRows
    | TagRows
    | AnswerRows
    | InstructionRows
    | MessageRows
    | PairRows
    | RatedRows
    | ScoredAnswerRows
    | StepRows
    | TextGroupRows
    | PromptRows
)
"""Any kind of rows."""
