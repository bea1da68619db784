"""What the tuned model is for: one file a task, with the recipe's section and everything that is known of it.

A task implies the parts of a row, how rows become tokens, what the model ends in, and the usual metrics. `TASKS` lists
them all; whatever needs to know something of a task asks its card (`ftc.spec.tasks.card`).
"""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from ftc.spec.tasks.card import TaskSection
from ftc.spec.tasks.chat import Chat
from ftc.spec.tasks.classification import Classification
from ftc.spec.tasks.embedding import Embedding
from ftc.spec.tasks.generation import Generation
from ftc.spec.tasks.masked_language_modeling import MaskedLanguageModeling
from ftc.spec.tasks.parts import Part
from ftc.spec.tasks.preference import Preference
from ftc.spec.tasks.pretraining import Pretraining
from ftc.spec.tasks.question_answering import QuestionAnswering
from ftc.spec.tasks.regression import Regression
from ftc.spec.tasks.reinforcement import Reinforcement
from ftc.spec.tasks.reranking import Reranking
from ftc.spec.tasks.reward import Reward
from ftc.spec.tasks.span_corruption import SpanCorruption
from ftc.spec.tasks.summarization import Summarization
from ftc.spec.tasks.token_classification import TokenClassification
from ftc.spec.tasks.translation import Translation

__all__ = ["PARTS", "TASKS", "Task"]

Task = Annotated[
    Classification
    | TokenClassification
    | QuestionAnswering
    | Regression
    | Summarization
    | Translation
    | Generation
    | Chat
    | Preference
    | Reward
    | Embedding
    | Reranking
    | Reinforcement
    | Pretraining
    | MaskedLanguageModeling
    | SpanCorruption,
    Field(discriminator="kind"),
]
"""Any task, told apart by `kind`."""

TASKS: tuple[type[TaskSection], ...] = get_args(get_args(Task)[0])
"""Every task."""

PARTS: dict[str, Part] = {part.name: part for task in TASKS for part in task.CARD.parts}
"""Every part of a row by its name."""
