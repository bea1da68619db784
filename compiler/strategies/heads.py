"""New heads by kind of model: what transformers calls the modules that it makes anew, where it has such a head."""

from __future__ import annotations

from ftc.spec.documents.facts import ModelFacts
from ftc.spec.heads import Head, head_card

__all__ = ["head_modules", "head_size"]

_NO_CLASSIFIER = frozenset(
    "blenderbot blenderbot-small codegen cohere cohere2 granite led longt5 m2m_100 marian pegasus xglm".split()
)
_TAGGERS_BY_SCORE = frozenset(
    "exaone4 gemma gemma2 glm glm4 helium llama mistral persimmon phi phi3 qwen2 qwen3 smollm3 stablelm "
    "starcoder2".split()
)
_TAGGERS_BY_CLASSIFIER = frozenset("bloom falcon gpt2 gpt_bigcode gpt_neo gpt_neox mpt".split())
_CLASSIFIERS = {"encoder": "classifier", "decoder": "score", "encoder_decoder": "classification_head"}
_NEW_LAYERS = {"distilbert": ("pre_classifier", "classifier")}
"""Classifiers whose head has a further new layer beside the one of the labels."""


_TWO_LAYERS = frozenset("bart camembert distilbert electra mbart roberta t5 xlm-roberta umt5 mt5".split())
"""Kinds whose classifier of rows has a square layer before the one of the labels."""


def head_modules(head: Head, model: ModelFacts) -> tuple[str, ...] | None:
    """Names of the modules that a head makes anew; none for the model's own, None where there is no such head."""
    kind, family = model.model_type, model.family
    match head:
        case "lm":
            return ()
        case "classification" | "multi_label":
            return None if kind in _NO_CLASSIFIER else _NEW_LAYERS.get(kind, (_CLASSIFIERS[family],))
        case "token_classification":
            if kind in _TAGGERS_BY_SCORE:
                return ("score",)
            return ("classifier",) if family == "encoder" or kind in _TAGGERS_BY_CLASSIFIER else None
        case "span":
            if family != "encoder":
                return None
            return ("classifier",) if kind == "modernbert" else ("qa_outputs",)


def head_size(head: Head, model: ModelFacts, num_labels: int) -> int:
    """Weights of a new head; 0 for the model's own."""
    card, width = head_card(head), model.hidden_size
    outputs = card.num_outputs(num_labels)
    if not card.scores_rows:
        return width * outputs + outputs
    if model.family == "decoder":  # classifiers on decoders have no biases
        return width * outputs
    between = width * width + width if model.model_type in _TWO_LAYERS else 0
    return between + width * outputs + outputs
