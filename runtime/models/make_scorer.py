"""The scorer for a plan's head: what turns rows into losses and predictions."""

from __future__ import annotations

from functools import partial
from typing import Any, assert_never

from ftc.runtime.tasks.classification import ClassifierScorer, MultiLabelScorer
from ftc.runtime.tasks.extractive_qa import SpanScorer
from ftc.runtime.tasks.language import LanguageScorer, Seq2SeqScorer
from ftc.runtime.tasks.preference import PreferenceScorer
from ftc.runtime.tasks.scorer import Arithmetic, Scorer, mixed_precision
from ftc.runtime.tasks.token_classification import WordScorer
from ftc.spec.documents.settings import Settings

__all__ = ["make_scorer"]


def make_scorer(model: Any, settings: Settings, arithmetic: Arithmetic | None = None) -> Scorer:
    """The scorer for a plan's head; it hooks itself into the model for good.

    Args:
        model: The model without any wrapper for several devices.
        settings: Its head, the plan's precision, and how answers are compared or cut out.
        arithmetic: Stands in for torch's mixed precision where that does nothing, on tensors without memory.
    """
    arithmetic = arithmetic or partial(mixed_precision, settings.train.precision)
    match settings.model.head:
        case "lm" if settings.train.preference is not None:
            return PreferenceScorer(model, settings.model, arithmetic, settings.train.preference.beta)
        case "lm" if settings.model.family == "encoder_decoder":
            return Seq2SeqScorer(model, settings.model, arithmetic)
        case "lm":
            return LanguageScorer(model, settings.model, arithmetic)
        case "classification":
            return ClassifierScorer(model, settings.model, arithmetic)
        case "multi_label":
            return MultiLabelScorer(model, settings.model, arithmetic)
        case "token_classification":
            return WordScorer(model, settings.model, arithmetic)
        case "span":
            longest = settings.eval.max_answer_tokens
            assert longest is not None, "the plan limits answers that are cut out"
            return SpanScorer(model, settings.model, arithmetic, longest)
        case _:
            assert_never(settings.model.head)
