"""How transformers and peft call a plan's head."""

from __future__ import annotations

from typing import Any

from ftc.spec.documents.settings import Settings
from ftc.spec.heads import head_card

__all__ = ["auto_class", "head_options", "num_outputs", "peft_task"]


def auto_class(settings: Settings) -> Any:
    """The Auto class of transformers that finds a model with this head."""
    import transformers

    return getattr(transformers, head_card(settings.model.head).auto_class_of(settings.model.family))


def head_options(settings: Settings) -> dict[str, Any]:
    """What the model's configuration says of the head."""
    head, labels = head_card(settings.model.head), settings.text.labels
    if not head.is_labeled:
        return {}
    options: dict[str, Any] = {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    return options if head.problem_type is None else {**options, "problem_type": head.problem_type}


def num_outputs(settings: Settings) -> dict[str, Any]:
    """What the configuration has to say of a head that is there already."""
    return {"num_labels": len(settings.text.labels)} if head_card(settings.model.head).is_labeled else {}


def peft_task(settings: Settings) -> str:
    """peft's kind of task."""
    head = head_card(settings.model.head)
    return head.split_peft_task if settings.model.family == "encoder_decoder" else head.peft_task
