"""How transformers and peft call a plan's head."""

from __future__ import annotations

from typing import Any, assert_never

from ftc.spec.documents.settings import Settings

__all__ = ["auto_class", "head_options", "num_outputs", "peft_task"]

_LABELLED = ("classification", "multi_label", "token_classification")


def auto_class(settings: Settings) -> Any:
    """The Auto class of transformers that finds a model with this head."""
    import transformers

    match settings.model.head:
        case "lm" if settings.model.family == "encoder_decoder":
            return transformers.AutoModelForSeq2SeqLM
        case "lm":
            return transformers.AutoModelForCausalLM
        case "classification" | "multi_label":
            return transformers.AutoModelForSequenceClassification
        case "token_classification":
            return transformers.AutoModelForTokenClassification
        case "span":
            return transformers.AutoModelForQuestionAnswering
        case _:
            assert_never(settings.model.head)


def head_options(settings: Settings) -> dict[str, Any]:
    """What the model's configuration says of the head."""
    if settings.model.head not in _LABELLED:
        return {}
    labels = settings.text.labels
    options: dict[str, Any] = {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    kinds = {"classification": "single_label_classification", "multi_label": "multi_label_classification"}
    if settings.model.head in kinds:
        options["problem_type"] = kinds[settings.model.head]
    return options


def num_outputs(settings: Settings) -> dict[str, Any]:
    """What the configuration has to say of a head that is there already."""
    return {"num_labels": len(settings.text.labels)} if settings.model.head in _LABELLED else {}


def peft_task(settings: Settings) -> str:
    """peft's kind of task."""
    match settings.model.head:
        case "lm":
            return "SEQ_2_SEQ_LM" if settings.model.family == "encoder_decoder" else "CAUSAL_LM"
        case "classification" | "multi_label":
            return "SEQ_CLS"
        case "token_classification":
            return "TOKEN_CLS"
        case "span":
            return "QUESTION_ANS"
        case _:
            assert_never(settings.model.head)
