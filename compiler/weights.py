"""Sizes of a draft's weights, from the shapes of the base model: held, trained, packed, and the optimizer's state."""

from __future__ import annotations

import math

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.remembered import remembered
from ftc.spec.documents.facts import ModelFacts, TensorFacts
from ftc.spec.heads import Head, head_card
from ftc.spec.module_names import head_parts, scores_words
from ftc.spec.optimizer_card import OptimizerCard
from ftc.spec.optimizers import optimizer_card
from ftc.spec.precisions import precision_card
from ftc.spec.sections.distillation import TeacherQuantization
from ftc.spec.strategies import Base, Trained
from ftc.spec.strategies.card import Quantized

__all__ = [
    "PACKED_BYTES",
    "average_bytes",
    "base_of",
    "bytes_per_weight",
    "card_of",
    "checkpoint_bytes",
    "device_bytes",
    "head_modules",
    "head_size",
    "held",
    "never_packed",
    "num_trainable",
    "packed_bytes",
    "result_bytes",
    "step_bytes",
]

_NO_WEIGHTS = frozenset(("final_logits_bias", "inv_freq", "masked_bias", "position_ids"))
"""Last parts of names of stored tensors that nobody trains."""


def base_of(draft: Draft) -> Base:
    """The base model as strategies see it, once its head is settled."""
    head = draft.loaded.head
    return Base(
        model=draft.model,
        head=head,
        head_modules=head_modules(head, draft.model) or (),
        held=held(draft),
        on_card=draft.device.kind == "cuda",
        kept=_kept(draft),
    )


def _kept(draft: Draft) -> frozenset[str]:
    """Weights of routers, where the recipe leaves them as they are."""
    mixture = draft.model.kind.experts
    if mixture is None or draft.recipe.train.train_router:
        return frozenset()
    return frozenset(name for name in draft.model.tensors if mixture.is_router(name))


def held(draft: Draft) -> dict[str, TensorFacts]:
    """Stored weights that the task's model holds: a tagger has no pooler, and no classifier an output over words."""
    return _held(draft.model, draft.loaded.head)


@remembered
def _held(model: ModelFacts, kind_of_head: Head) -> dict[str, TensorFacts]:
    head = head_card(kind_of_head)
    weights = {n: tensor for n, tensor in model.tensors.items() if n.rpartition(".")[2] not in _NO_WEIGHTS}
    if head.writes:
        return weights
    if head.scores_vocabulary:
        return {name: tensor for name, tensor in weights.items() if not head_parts(name) or scores_words(name)}
    if not head.is_new:
        return {name: tensor for name, tensor in weights.items() if not head_parts(name)}
    kind = model.kind
    kept = kind.classifier_keeps if head.scores_rows else kind.tagger_keeps
    return {name: tensor for name, tensor in weights.items() if set(kept or ()).issuperset(head_parts(name))}


def num_trainable(draft: Draft) -> int:
    """Weights that are trained, a new head among them."""
    return _num_of_head(draft) + draft.trained.num_weights


def result_bytes(draft: Draft) -> int:
    """Bytes of the weights that a run leaves behind, as they are trained: all, or those learned beside a base."""
    return precision_card(draft.train.precision).trained.size * (_num_of_head(draft) + draft.trained.num_saved)


def _num_of_head(draft: Draft) -> int:
    """Weights of a new head; none where the model's own is used."""
    return head_size(draft.loaded.head, draft.model, len(draft.labels))


def head_modules(head: Head, model: ModelFacts) -> tuple[str, ...] | None:
    """Names of a head's untrained modules; none for the model's own, None where there is no such head."""
    card = head_card(head)
    if not card.is_new:
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


_NF4_BYTES = {True: 0.5 + 1 / 64 + 4 / (64 * 256), False: 0.5 + 4 / 64}
"""Bytes of a 4-bit weight with its block's scale, with and without double quantization."""
PACKED_BYTES: dict[TeacherQuantization, float] = {"nf4": _NF4_BYTES[True], "int8": 1.0}
"""Bytes of a packed weight of a model that is only read, as a teacher is."""


def never_packed(model: ModelFacts) -> int:
    """Weights of linear layers that transformers keeps out of 4 bits."""
    ends = model.kind.unquantized or ()
    return sum(i * o for name, (i, o) in model.linear_modules.items() if name.endswith(ends))


def packed_bytes(draft: Draft) -> float:
    """Bytes of a packed weight, scales of whole rows left out; 0 where a strategy packs none."""
    match draft.strategy.traits.quantized:
        case None:
            return 0.0
        case Quantized(type="int8"):
            return 1.0
        case Quantized(double=double):
            return _NF4_BYTES[double]


def card_of(draft: ClosedDraft) -> OptimizerCard:
    """The optimizer that the solver tries, or has chosen."""
    return optimizer_card(draft.candidate.optimizer)


def bytes_per_weight(draft: Draft, card: OptimizerCard) -> float:
    """Bytes of an optimizer's state for each trained weight, and of its average, wherever they lie."""
    state, momentum = card.state, draft.train.optimizer.momentum
    each = state.bytes_per_weight(width=draft.model.hidden_size, momentum=momentum, share_in_layers=0.0)
    return each + average_bytes(draft)


def average_bytes(draft: Draft) -> int:
    """Bytes of the average of a trained weight; 0 where none is kept."""
    return precision_card(draft.train.precision).trained.size if draft.train.averages else 0


def checkpoint_bytes(draft: ClosedDraft) -> int:
    """Bytes of a checkpoint: trained weights with two moments or more, and their average where there is one."""
    width, average = precision_card(draft.train.precision).trained.size, average_bytes(draft)
    state = max(2 * width, math.ceil(bytes_per_weight(draft, card_of(draft)) - average))
    return (width + average + state) * num_trainable(draft)


def device_bytes(draft: ClosedDraft) -> int:
    """Bytes of state on the device. Pages may lie with the host, so they count as nothing; their scales don't.

    An average is never paged.
    """
    card, weights = card_of(draft), num_trainable(draft)
    each = bytes_per_weight(draft, card)
    if card.paged:
        each = card.state.scale_bytes_per_weight + average_bytes(draft)
    return round(each * weights)


def step_bytes(draft: ClosedDraft) -> int:
    """Bytes that the optimizer's step makes for one weight at a time, for the largest that is trained of the base."""
    largest = _largest_trained(draft.model, draft.trained)
    return card_of(draft).state.passing * precision_card(draft.train.precision).trained.size * largest


@remembered
def _largest_trained(model: ModelFacts, trained: Trained) -> int:
    """Numbers in the largest of the base's tensors that are trained."""
    return max((model.tensors[name].num_elements for name in trained.names if name in model.tensors), default=0)
