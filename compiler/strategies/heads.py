"""New heads by kind of model: what transformers calls the modules that it makes anew, where it has such a head."""

from __future__ import annotations

from ftc.spec.documents.facts import ModelFacts
from ftc.spec.heads import Head, head_card

__all__ = ["head_modules", "head_size"]


def head_modules(head: Head, model: ModelFacts) -> tuple[str, ...] | None:
    """Names of the modules that a head makes anew; none for the model's own, None where there is no such head."""
    card = head_card(head)
    if card.writes:
        return ()
    if (known := card.known_modules(model.kind)) is not None:
        return known or None
    usual = card.usual_module.get(model.family)
    return (usual,) if usual else None


def head_size(head: Head, model: ModelFacts, num_labels: int) -> int:
    """Weights of a new head; 0 for the model's own."""
    card, width = head_card(head), model.hidden_size
    outputs = card.num_outputs(num_labels)
    if not card.scores_rows:
        return width * outputs + outputs
    if model.family == "decoder":  # classifiers on decoders have no biases
        return width * outputs
    between = width * width + width if model.kind.classifier_layers == 2 else 0
    return between + width * outputs + outputs
