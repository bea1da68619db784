"""New heads by kind of model: what transformers calls the modules that it makes anew, where it has such a head."""

from __future__ import annotations

from ftc.spec.architectures import Family
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.settings import Head

__all__ = ["head_modules", "head_outputs", "head_size"]

_USUAL: dict[Family, str] = {"encoder": "classifier", "decoder": "score", "encoder_decoder": "classification_head"}
"""What most models call the module that makes classes of a row."""


def head_modules(head: Head, model: ModelFacts) -> tuple[str, ...] | None:
    """Names of the modules that a head makes anew; none for the model's own, None where there is no such head."""
    kind, is_encoder = model.kind, model.family == "encoder"
    match head:
        case "lm":
            return ()
        case "classification" | "multi_label":
            return _named(kind.classifier, _USUAL[model.family])
        case "token_classification":
            return _named(kind.tagger, "classifier" if is_encoder else None)
        case "span":
            return _named(kind.span_head, "qa_outputs" if is_encoder else None)


def _named(known: tuple[str, ...] | None, usual: str | None) -> tuple[str, ...] | None:
    return (known or None) if known is not None else ((usual,) if usual else None)


def head_outputs(head: Head, num_labels: int) -> int:
    """Outputs of a new head; 0 for the model's own."""
    match head:
        case "lm":
            return 0
        case "span":
            return 2
        case "classification" | "multi_label" | "token_classification":
            return num_labels


def head_size(head: Head, model: ModelFacts, num_labels: int) -> int:
    """Weights of a new head; 0 for the model's own."""
    width, outputs = model.hidden_size, head_outputs(head, num_labels)
    if head not in ("classification", "multi_label"):
        return width * outputs + outputs
    if model.family == "decoder":  # classifiers on decoders have no biases
        return width * outputs
    between = width * width + width if model.kind.classifier_layers == 2 else 0
    return between + width * outputs + outputs
