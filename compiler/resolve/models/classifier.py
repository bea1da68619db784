"""Settings of a classifier that looks at answers: the label that counts, and how it reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ftc.compiler.resolve.files.json_files import read_json_object
from ftc.compiler.resolve.models.beside import numbered_labels
from ftc.compiler.resolve.models.model import ResolvedModel
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.settings import ClassifierSettings
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.safe_repr import quoted
from ftc.spec.sections.evaluation import Classifier

__all__ = ["classifier_settings"]

_BASE = "eval.classifier.base"
_HEAD = re.compile(r"(classifier|score|classification_head)(\.out_proj)?\.weight")
"""The last layer of the heads for sequences that transformers has."""
_USUAL_LENGTH = 512
"""Tokens that are read at once of an answer where the model itself has no limit."""
SpanOf = Callable[[str], Span | None]


def classifier_settings(asked: Classifier, model: ResolvedModel, span_of: SpanOf) -> ClassifierSettings:
    """What of a classifier counts.

    Args:
        asked: `eval.classifier` of the recipe.
        model: The model that it names.
        span_of: The place of a recipe value by its dotted path.

    Raises:
        Refusal: It is no such classifier (FTC244).
    """
    facts = model.facts
    config = read_json_object(model.folder / "config.json", span_of(_BASE), _BASE)
    labels = numbered_labels(config)
    if fault := _no_classifier(facts, config, labels):
        help = "give a model that was trained to classify texts, in the form of transformers"
        summary = f"`{facts.name}` is no text classifier: {fault}"
        raise Refusal([diagnostic("FTC244", summary, span_of(_BASE), help=help, path=_BASE)])
    if asked.label not in labels:
        raise Refusal([_unknown_label(asked.label, labels, span_of)])
    return ClassifierSettings(
        base=facts.name,
        commit=facts.commit,
        files=facts.files,
        label=asked.label,
        label_id=labels.index(asked.label),
        num_labels=len(labels),
        single=len(labels) > 1 and config.get("problem_type") != "multi_label_classification",
        max_length=facts.max_positions or _USUAL_LENGTH,
        pad_id=_pad_id(config, facts),
    )


def _no_classifier(facts: ModelFacts, config: Mapping[str, Any], labels: list[str]) -> str:
    """Why a model can't say which label a text has; empty where it can."""
    if not facts.architecture.endswith("ForSequenceClassification"):
        return f"its class is {quoted(facts.architecture or 'none')}"
    if config.get("problem_type") == "regression":
        return "it gives a number and no label"
    if not labels:
        return "its config.json names no labels under `id2label`"
    heads = [header.shape for name, header in facts.tensors.items() if _HEAD.fullmatch(name)]
    if not any(shape[:1] == (len(labels),) for shape in heads):
        return f"its weights have no head of {len(labels)} outputs"
    return ""


def _pad_id(config: Mapping[str, Any], facts: ModelFacts) -> int | None:
    """Where the head looks for the last token it goes by the configuration's id alone."""
    found = config.get("pad_token_id")
    if type(found) is int and 0 <= found < facts.vocab_size:
        return found
    return (facts.tokenizer.pad_id or 0) if facts.family == "encoder" else None


def _unknown_label(label: str, labels: list[str], span_of: SpanOf) -> Diagnostic:
    path = "eval.classifier.label"
    close = nearest(label, labels)
    help = f"did you mean `{close}`?" if close else f"its labels are {', '.join(map(quoted, labels[:12]))}"
    summary = f"the classifier has no label {quoted(label)}"
    return diagnostic("FTC244", summary, span_of(path), help=help, path=path)
