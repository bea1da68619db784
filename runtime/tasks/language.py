"""Next tokens, by the model's own output layer: of a decoder, or of an encoder-decoder's decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ftc.runtime.tasks.scorer import (
    Arithmetic,
    Batch,
    Objective,
    PickedStates,
    Prediction,
    cross_entropy,
    next_tokens,
    padded,
)
from ftc.spec.documents.settings import ModelSettings, Settings
from ftc.spec.documents.streams import TokenStream

__all__ = ["LANGUAGE", "LanguageScorer", "Seq2SeqScorer"]


class LanguageScorer:
    """Next tokens of one sequence."""

    def __init__(self, model: Any, settings: ModelSettings, arithmetic: Arithmetic) -> None:
        self._pad_id = settings.pad_id
        self._needs_mask = settings.family != "decoder"
        self._arithmetic = arithmetic
        self._states = PickedStates(model.get_output_embeddings())

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors."""
        return next_tokens(
            [rows.ids(number) for number in numbers], [rows.mask(number) for number in numbers], self._pad_id
        )

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """Supervised tokens of a row; its first token has nothing before it to be predicted from."""
        return int(rows.mask(number)[1:].sum())

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(N, V) scores of the next token at the places that are scored."""
        # Padding stands on the right, where a causal model never looks back from: without a mask, attention takes the
        # faster causal kernel.
        attention = batch.attention if self._needs_mask else None
        with self._states.at(batch.positions, batch.ids.shape[1]), self._arithmetic(batch.ids.device):
            # Without a mask, places that begin anew show the model where a packed row ends.
            places = {} if batch.places is None else {"position_ids": batch.places}
            output = model(input_ids=batch.ids, attention_mask=attention, use_cache=False, **places)
        logits: torch.Tensor = output.logits
        assert logits.shape[0] == len(batch.positions), "the output layer saw more than what is scored"
        return logits.float()

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:
        """(N,) cross entropy of each token."""
        return cross_entropy(logits, batch.targets, smoothing)

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:  # noqa: ARG002 - answers are written
        """Nothing: what a language model says is written token by token."""
        return [()] * len(batch.ids)


class Seq2SeqScorer:
    """Next tokens of a decoder that attends to an encoder's output."""

    def __init__(self, model: Any, settings: ModelSettings, arithmetic: Arithmetic) -> None:
        assert settings.decoder_start_id is not None, "an encoder-decoder without one is refused before (FTC251)"
        self._pad_id, self._start_id = settings.pad_id, settings.decoder_start_id
        self._arithmetic = arithmetic
        self._states = PickedStates(model.get_output_embeddings())

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors."""
        prompts = [rows.ids(number)[: rows.prompt_length(number)] for number in numbers]
        answers = [rows.ids(number)[rows.prompt_length(number) :] for number in numbers]
        ids, attention = padded(prompts, self._pad_id)
        wanted, counts = padded(answers, self._pad_id)
        positions = np.flatnonzero(counts)
        read = np.concatenate([np.full((len(numbers), 1), self._start_id), wanted[:, :-1]], axis=1)
        return Batch(
            ids=torch.from_numpy(ids),
            attention=torch.from_numpy(attention),
            positions=torch.from_numpy(positions),
            targets=torch.from_numpy(wanted.reshape(-1)[positions]),
            owners=torch.from_numpy(positions // wanted.shape[1]),
            decoder_ids=torch.from_numpy(read),
        )

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """Tokens of the decoder, all of which follow its start token."""
        return int(rows.mask(number).sum())

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(N, V) scores of the decoder's next token at the places that are scored."""
        assert batch.decoder_ids is not None
        with self._states.at(batch.positions, batch.decoder_ids.shape[1]), self._arithmetic(batch.ids.device):
            output = model(
                input_ids=batch.ids,
                attention_mask=batch.attention,
                decoder_input_ids=batch.decoder_ids,
                use_cache=False,
            )
        logits: torch.Tensor = output.logits
        assert logits.shape[0] == len(batch.positions), "the output layer saw more than what is scored"
        return logits.float()

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:
        """(N,) cross entropy of each token."""
        return cross_entropy(logits, batch.targets, smoothing)

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:  # noqa: ARG002 - answers are written
        """Nothing: what a language model says is written token by token."""
        return [()] * len(batch.ids)


def _scorer(model: Any, settings: Settings, arithmetic: Arithmetic) -> LanguageScorer | Seq2SeqScorer:
    family = Seq2SeqScorer if settings.model.family == "encoder_decoder" else LanguageScorer
    return family(model, settings.model, arithmetic)


LANGUAGE = Objective(
    head="lm",
    is_pair=False,
    scorer=_scorer,
    score_shape=lambda rows, shape, outputs: (rows * shape.supervised, outputs),
    stand_in_targets=lambda _: [],
    has_offsets=False,
)
