"""What every task offers to the loop, and what tasks have in common: scorers, objectives and batches of rows.

The output layer of a language model is often its largest matrix, and most of a row's tokens are prompt or padding.
A hook in front of that layer picks the hidden states that matter, (B, T, H) to (N, H), so the layer computes (N, V)
instead of (B, T, V), and whatever the model does behind it, such as capping, still happens. Since the places are known
beforehand, the result is exact: the same losses and the same gradients.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ftc.runtime.arrays import next_token_arrays, padded
from ftc.runtime.tasks.chunked_head import ChunkedHead
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.heads import Head

if TYPE_CHECKING:
    from ftc.runtime.tasks.rated_answers import RatedAnswers
    from ftc.runtime.tasks.text_groups import TextGroups

__all__ = [
    "Arithmetic",
    "Batch",
    "ChunkedScorer",
    "ModelWithScorer",
    "Objective",
    "PickedStates",
    "Prediction",
    "ProbabilityScorer",
    "Scorer",
    "Taught",
    "cross_entropy",
    "focal_loss",
    "next_tokens",
    "packed_batch",
    "padded",
    "pixels_of",
    "prompt_batch",
    "states_at",
    "target_losses",
    "token_types_of",
    "without_cache",
]

Arithmetic = Callable[[torch.device], AbstractContextManager[Any]]
"""A block in which the forward pass runs on a device: what chooses the precision of its operators."""

Prediction = tuple[float, ...]
"""What a head says of a row: classes, tags of words, the place of an answer, or figures; empty for next tokens."""


class Scorer(Protocol):
    """How rows become scores for one kind of head. B rows, N things to predict, C choices for each."""

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors."""
        ...

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """How many things a row has to predict."""
        ...

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(N, C) scores in float32, one line for each target."""
        ...

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:
        """(N,) loss of each target in nats, float32; in training, a share of the target may be spread over all choices.

        Plans smooth only what has one right choice among a fixed number (FTC276).
        """
        ...

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:
        """What the head says of each row of the batch."""
        ...


@runtime_checkable
class ProbabilityScorer(Protocol):
    """A scorer whose choices have probabilities."""

    def probabilities(self, logits: torch.Tensor, batch: Batch) -> list[tuple[float, ...]]:
        """Row by row those of each class, or of the tag that was chosen for each word."""
        ...


@runtime_checkable
class ChunkedScorer(Protocol):
    """A scorer whose scores need not stand in memory whole."""

    @property
    def head(self) -> ChunkedHead | None:
        """What computes scores in chunks; None where they are computed at once."""
        ...

    def output(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """What the model gives at the places that are scored: scores, or what `head` makes of their states."""
        ...


def target_losses(scorer: Scorer, model: nn.Module, batch: Batch) -> torch.Tensor:
    """(N,) loss of each target in nats, float32."""
    if isinstance(scorer, ChunkedScorer) and scorer.head is not None:
        with scorer.head.listing(lambda scores, lines: scorer.losses(scores, batch.part(lines))):
            return scorer.output(model, batch)
    return scorer.losses(scorer.logits(model, batch), batch)


@dataclass(frozen=True, slots=True)
class ModelWithScorer:
    """A model with the scorer that is hooked into it."""

    model: nn.Module
    scorer: Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The torch half of a head's card: how rows are scored and trained on, for one head and one form of rows."""

    head: Head
    """The head that it is for."""
    is_pair: bool
    """Whether a row is two sequences that are compared."""
    is_sampled: bool
    """Whether a row is an answer that the model sampled itself."""
    has_texts: bool
    """Whether a row is several texts, each a sequence of its own."""
    scorer: Callable[[Any, Settings, Arithmetic], Scorer]
    """Makes the scorer of a model without any wrapper for several devices; it hooks itself into the model for good."""
    score_shape: Callable[[int, BatchShape, int], tuple[int, int]]
    """(N, C) of the scores of so many rows of a shape, where the head has so many outputs."""
    stand_in_targets: Callable[[BatchShape], list[int]]
    """Target numbers of a row that stands for others of its shape, as a stream keeps them beside its tokens."""
    has_offsets: bool
    """Whether a stream keeps the characters of each token."""


class PickedStates:
    """Lets a layer see hidden states at chosen places alone, as long as a block says which.

    Args:
        layer: The layer, into which a hook goes for good.
    """

    def __init__(self, layer: nn.Module) -> None:
        self._positions: torch.Tensor | None = None
        self._length = 0
        layer.register_forward_pre_hook(self._pick)

    @contextmanager
    def at(self, positions: torch.Tensor, length: int) -> Iterator[None]:
        """Within the block, the layer sees (N, H) states at these places in rows of so many tokens."""
        self._positions, self._length = positions, length
        try:
            yield
        finally:
            self._positions = None

    def _pick(self, _layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor] | None:
        if self._positions is None:  # while answers are written, every position counts
            return None
        return (states_at(inputs[0], self._positions, self._length),)


def without_cache(model: Any) -> dict[str, bool]:
    """What to call a model with so that it keeps no KV cache for answers that nobody writes.

    A decoder does by default: that of all layers, for all rows of an evaluation.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {"use_cache": False} if "use_cache" in inspect.signature(inner.forward).parameters else {}


def states_at(hidden: torch.Tensor, positions: torch.Tensor, length: int) -> torch.Tensor:
    """(N, H) states at places in the flattened rows of a batch.

    Args:
        hidden: (B, P + T, H) states, with P virtual tokens before every row.
        positions: (N,) places in (B x T).
        length: T.
    """
    virtual = hidden.shape[1] - length
    if virtual:
        positions = positions + (positions // length + 1) * virtual
    return hidden.flatten(0, 1).index_select(0, positions)


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """(N,) cross entropy of each target in nats, float32, of which a share is spread over all choices."""
    return functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)


def focal_loss(logits: torch.Tensor, targets: torch.Tensor, gamma: float) -> torch.Tensor:
    """(N,) focal loss (Lin et al. 2017): the loss of a label of probability p, times (1 - p) to a power.

    Args:
        logits: (N, C) scores of the labels.
        targets: (N,) right labels; (N, C) ones for rows with several labels, whose loss is the mean over all labels.
        gamma: The power.
    """
    if targets.ndim == 1:
        return _focused(cross_entropy(logits, targets), gamma)
    each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return _focused(each, gamma).mean(dim=-1)


def _focused(losses: torch.Tensor, gamma: float) -> torch.Tensor:
    """Losses of probabilities p, -log p, times (1 - p) to a power; away from 0, where a root has no slope."""
    return losses * (-torch.expm1(-losses)).clamp_min(1e-6) ** gamma


@dataclass(frozen=True, slots=True)
class Taught:
    """A batch's rows in the tokens of a teacher with another tokenizer.

    Attributes:
        batch: What it reads.
        pairs: (N,) for each target of the model the one of the teacher's that begins at the same character; -1 where
            none does.
    """

    batch: Batch
    pairs: torch.Tensor

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Taught:
        """The same on a device."""
        return Taught(self.batch.to(device), self.pairs.to(device, non_blocking=non_blocking))


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that go through the model at once. B rows, T tokens in the longest, N things to predict.

    Rows are padded to the longest; what is padding is known from lengths, never from ids.
    """

    ids: torch.Tensor
    """(B, T) token ids; of preferences (2B, T), chosen and rejected in turn; (S, T) of S texts that are compared."""
    attention: torch.Tensor
    """(B, T) ones where there is text."""
    positions: torch.Tensor
    """(N,) places, in the flattened (B x T), whose output is scored; of an encoder-decoder those of the decoder."""
    targets: torch.Tensor
    """(N,) what should come out there: token ids, classes, tags, or places; (B, C) ones for the classes of a row that
    has several."""
    owners: torch.Tensor
    """(N,) row of the batch that each loss belongs to."""
    token_types: torch.Tensor | None = None
    """(B, T) zeros for the first text of a pair, or for a prompt that sees ahead, and ones behind; None elsewhere."""
    decoder_ids: torch.Tensor | None = None
    """(B, U) what the decoder of an encoder-decoder reads: its start token, then all target tokens but the last."""
    sequences: torch.Tensor | None = None
    """(M,) sequence of each scored token of preferences, whose losses belong to pairs; (S,) row of each of S texts."""
    references: torch.Tensor | None = None
    """(B, 2) log-probability of chosen and rejected answer by the untrained model, or of sampled answers (N,) that of
    each token by the base model; None where none is known."""
    offsets: torch.Tensor | None = None
    """(B, T, 2) begin and end character of each token in the context, -1 elsewhere; stays in host RAM."""
    groups: TextGroups | RatedAnswers | None = None
    """Which of the rows' texts belong together, where rows are several texts; None elsewhere."""
    places: torch.Tensor | None = None
    """(1, T) place of each token in its own row, where several rows make up one sequence; None elsewhere."""
    advantages: torch.Tensor | None = None
    """(N,) of the sampled answer that each target token belongs to; None elsewhere."""
    weights: torch.Tensor | None = None
    """(N,) what each target token's loss is multiplied by, or (B,) that of each pair; None where that is 1."""
    taught: Taught | None = None
    """The same rows in a teacher's own tokens; None where it reads the model's."""
    pixels: Mapping[str, torch.Tensor] | None = None
    """Images of all rows by the names of the model's inputs, as its processor makes them; None without any."""

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        if device.type == "cpu":
            return self
        source = self.pinned() if device.type == "cuda" else self
        moved: dict[str, Any] = {
            field.name: _each(tensor, lambda one: one.to(device, non_blocking=True))
            for field in fields(self)
            if field.name != "offsets" and (tensor := getattr(source, field.name)) is not None
        }
        return replace(self, **moved)

    def pinned(self) -> Batch:
        """The batch in memory that the system leaves in its place, from which a card copies while others compute."""
        tensors = ((field.name, getattr(self, field.name)) for field in fields(self) if field.name != "offsets")
        held = {key: _each(a, torch.Tensor.pin_memory) for key, a in tensors if isinstance(a, torch.Tensor | dict)}
        return replace(self, **held)

    def part(self, lines: slice) -> Batch:
        """The batch with some of its targets, as far as losses go."""
        if lines == slice(None):
            return self
        if self.advantages is None or self.weights is None:
            return replace(self, targets=self.targets[lines])
        return replace(
            self,
            targets=self.targets[lines],
            advantages=self.advantages[lines],
            weights=self.weights[lines],
            references=None if self.references is None else self.references[lines],
        )

    def corner(self, rows: int, tokens: int) -> Batch:
        """The first rows' beginnings, where each row has one target; scored is the last token of what is left."""
        attention = self.attention[:rows, :tokens]
        lines = torch.arange(len(attention), device=attention.device)
        return Batch(
            ids=self.ids[:rows, :tokens],
            attention=attention,
            positions=lines * attention.shape[1] + attention.sum(dim=1) - 1,
            targets=self.targets[:rows],
            owners=lines,
            token_types=None if self.token_types is None else self.token_types[:rows, :tokens],
        )


def next_tokens(lines: list[NDArray[np.int32]], masks: list[NDArray[np.bool_]], pad_id: int) -> Batch:
    """Sequences for a language model: scored is every place that is followed by a target token."""
    arrays = next_token_arrays(lines, masks, pad_id)
    fields: dict[str, Any] = {name: torch.from_numpy(one) for name, one in arrays.items()}
    return Batch(**fields)


def packed_batch(rows: TokenStream, numbers: list[int]) -> Batch:
    """Rows for a decoder as one sequence without padding: from their places it knows which tokens may see each other.

    A row's last token predicts nothing, and no row's first token is predicted.
    """
    ids = np.concatenate([rows.ids(number) for number in numbers]).astype(np.int64)
    lengths = [len(rows.ids(number)) for number in numbers]
    follows = [np.append(rows.mask(number)[1:], False) for number in numbers]
    positions = np.flatnonzero(np.concatenate(follows))
    owners = np.repeat(np.arange(len(numbers)), lengths)
    return Batch(
        ids=torch.from_numpy(ids)[None],
        attention=torch.ones(1, len(ids), dtype=torch.int64),
        positions=torch.from_numpy(positions),
        targets=torch.from_numpy(ids[positions + 1]),
        owners=torch.from_numpy(owners[positions]),
        pixels=pixels_of(rows, numbers),
        places=torch.from_numpy(np.concatenate([np.arange(length) for length in lengths]))[None],
    )


def _each(held: Any, do: Callable[[Any], Any]) -> Any:
    """What is done to a tensor, or to each of several by name."""
    return {name: do(one) for name, one in held.items()} if isinstance(held, dict) else do(held)


def pixels_of(rows: TokenStream, numbers: list[int]) -> dict[str, torch.Tensor] | None:
    """The images of rows as the model takes them; None where they have none."""
    found: dict[str, torch.Tensor] | None = rows.pixels(rows, numbers) if rows.pixels is not None else None
    return found


def token_types_of(rows: TokenStream, numbers: list[int], attention: NDArray[np.int64]) -> torch.Tensor:
    """(B, T) ones where the second text of a pair stands."""
    first_lengths = np.array([rows.prompt_length(number) for number in numbers])
    columns = np.arange(attention.shape[1])
    seconds = (columns >= first_lengths[:, None]) & (attention == 1)
    return torch.from_numpy(seconds.astype(np.int64))


def prompt_batch(
    rows: TokenStream, numbers: list[int], pad_id: int, *, left: bool = True, shared: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts alone, padded on the left so that every answer begins at the same place: ids and attention, (B, T).

    An encoder reads them padded on the right, as in training. Tokens that all prompts begin with may stay before the
    padding, where their keys and values are known.
    """
    heads = np.stack([rows.ids(number)[:shared] for number in numbers]).astype(np.int64)
    rests = [rows.ids(number)[shared : rows.prompt_length(number)] for number in numbers]
    ids, attention = padded(rests, pad_id, left=left)
    return torch.from_numpy(np.hstack((heads, ids))), torch.from_numpy(np.hstack((np.ones_like(heads), attention)))
