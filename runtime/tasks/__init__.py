"""One file for each way of learning from rows: how they become tensors, scores, losses and predictions."""

from __future__ import annotations

from functools import partial
from typing import Any

from ftc.runtime.models.number_types import mixed_precision
from ftc.runtime.tasks.classification import CLASSIFICATION, MULTI_LABEL
from ftc.runtime.tasks.embedding import EMBEDDING
from ftc.runtime.tasks.language import LANGUAGE
from ftc.runtime.tasks.masked_language import MASKED_LANGUAGE
from ftc.runtime.tasks.preference import PREFERENCE
from ftc.runtime.tasks.question_answering import EXTRACTIVE
from ftc.runtime.tasks.regression import REGRESSION
from ftc.runtime.tasks.reinforcement import REINFORCEMENT
from ftc.runtime.tasks.reranking import RERANKING
from ftc.runtime.tasks.reward import REWARD
from ftc.runtime.tasks.scorer import Arithmetic, Objective, Scorer
from ftc.runtime.tasks.token_classification import TOKEN_CLASSIFICATION
from ftc.spec.documents.settings import Settings
from ftc.spec.text_forms import form_card

__all__ = ["OBJECTIVES", "make_scorer", "objective_of"]

OBJECTIVES = (
    LANGUAGE,
    MASKED_LANGUAGE,
    PREFERENCE,
    EMBEDDING,
    REINFORCEMENT,
    CLASSIFICATION,
    MULTI_LABEL,
    REGRESSION,
    REWARD,
    RERANKING,
    TOKEN_CLASSIFICATION,
    EXTRACTIVE,
)
"""Every objective: one for each head, and further ones for pairs of answers and for sampled answers."""


def objective_of(settings: Settings) -> Objective:
    """What a plan trains and scores by."""
    form = form_card(settings.text.form)
    asked = settings.model.head, form.is_pair, form.is_sampled, form.has_texts
    return next(one for one in OBJECTIVES if (one.head, one.is_pair, one.is_sampled, one.has_texts) == asked)


def make_scorer(model: Any, settings: Settings, arithmetic: Arithmetic | None = None) -> Scorer:
    """The scorer for a plan's head; it hooks itself into the model for good.

    Args:
        model: The model without any wrapper for several devices.
        settings: Its head, the plan's precision, and how answers are compared or cut out.
        arithmetic: Stands in for torch's mixed precision where that does nothing, on tensors without memory.
    """
    arithmetic = arithmetic or partial(mixed_precision, settings.train.precision)
    return objective_of(settings).scorer(model, settings, arithmetic)
