"""Which weights a draft trains, counted from the shapes of the base model."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.compiler.strategies.heads import head_modules, head_size
from ftc.spec.documents.facts import TensorFacts
from ftc.spec.heads import head_card
from ftc.spec.module_names import head_parts
from ftc.spec.strategies import Base

__all__ = ["base_of", "held", "num_trainable", "result_bytes"]

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
    )


def held(draft: Draft) -> dict[str, TensorFacts]:
    """Stored weights that the task's model holds: a tagger has no pooler, and no classifier an output over words."""
    head = head_card(draft.loaded.head)
    weights = {n: tensor for n, tensor in draft.model.tensors.items() if n.rpartition(".")[2] not in _NO_WEIGHTS}
    if not head.is_new:
        return weights
    kind = draft.model.kind
    kept = kind.classifier_keeps if head.scores_rows else kind.tagger_keeps
    return {name: tensor for name, tensor in weights.items() if set(kept or ()).issuperset(head_parts(name))}


def num_trainable(draft: Draft) -> int:
    """Weights that are trained, a new head among them."""
    return _num_of_head(draft) + draft.trained.num_weights


def result_bytes(draft: Draft) -> int:
    """Bytes of the weights that a run leaves behind, in float32: all, or those learned beside a base."""
    return 4 * (_num_of_head(draft) + draft.trained.num_saved)


def _num_of_head(draft: Draft) -> int:
    """Weights of a new head; none where the model's own is used."""
    return head_size(draft.loaded.head, draft.model, len(draft.labels))
