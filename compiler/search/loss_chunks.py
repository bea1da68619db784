"""Which candidates compute the loss over the vocabulary in chunks of positions, and how large these are.

Chunks cost nothing but rounding, so `auto` takes them wherever all scores at once would take much of the memory, and
leaves small jobs as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ftc.compiler.candidate import Candidate
from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.batch_shapes import rows_at_once, scored_per_row, train_shape
from ftc.compiler.memory.memory import limit_of
from ftc.spec.architectures import architecture
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.heads import head_card
from ftc.spec.strategies import strategy_card

__all__ = ["LossChunks", "chunk_obstacle"]

_BYTES = 12
"""Of a score in float32 with its logarithm and gradient."""
_LARGE, _LARGE_PART = 2**30, 8
"""Bytes, and the part of the memory, beyond which all scores at once are too much for `auto`."""
_AT_ONCE = 3 * 2**28
"""Bytes that a chunk's scores take at most: a few percent of a GPU."""
_FEWEST = 128
"""Positions of a chunk at the least: with fewer, products wait for the output layer's weights."""
_FEWEST_TRAINED = 1024
"""The same where that layer is trained, since each chunk reads and writes the gradient of all its weights."""


def chunk_obstacle(draft: Draft) -> str | None:
    """Why scores of this job stand whole, whatever their size."""
    head = head_card(draft.loaded.head)
    if not head.scores_vocabulary:
        return "its output layer has no vocabulary"
    if not head.writes:
        return "only a part of each row is masked, and its likeliest words are measured from whole scores"
    models: list[ModelFacts] = [draft.model, *([draft.teacher.model] if draft.teacher else [])]
    for model in models:
        if architecture(model.model_type).behind_head is None:
            return f"ftc does not know what `{model.model_type}` does behind its output layer"
    return None


@dataclass(frozen=True, slots=True)
class LossChunks:
    """The chunks of a draft's candidates.

    Attributes:
        draft: Without a candidate.
    """

    draft: Draft
    _known: dict[tuple[object, ...], int | None] = field(default_factory=dict)

    def on(self, candidate: Candidate) -> Candidate:
        """A candidate with its chunks."""
        one = candidate
        key = one.micro_batch, one.packing, one.micro_batch_tokens, one.devices, one.sharers
        if key not in self._known:
            self._known[key] = _chunk_size(self.draft.at(candidate))
        return replace(candidate, loss_chunk_size=self._known[key])


def _chunk_size(draft: ClosedDraft) -> int | None:
    asked = draft.recipe.train.loss_chunk_size
    if asked == "none" or chunk_obstacle(draft) is not None:
        return None
    if asked != "auto":
        return asked
    limit, width = limit_of(draft)[0], draft.model.vocab_size
    places = rows_at_once(draft) * scored_per_row(draft, train_shape(draft))
    if _BYTES * places * width <= min(_LARGE, limit // _LARGE_PART):
        return None
    is_trained = strategy_card(draft.strategy).is_whole and draft.trained.products
    # As many scores as the micro-batch's hidden states have numbers: a chunk is no larger than what a layer computes.
    fitting = min(places * draft.model.hidden_size, _AT_ONCE // _BYTES) // width
    most = min(max(fitting, _FEWEST_TRAINED if is_trained else _FEWEST), max(places // 2, 1))
    size: int = 2 ** (most.bit_length() - 1)
    return size
