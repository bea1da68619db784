"""Next tokens, by the model's own output layer: of a decoder, or of an encoder-decoder's decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ftc.runtime.arrays import translated_arrays
from ftc.runtime.models.pixels import image_inputs
from ftc.runtime.tasks.chunked_head import ChunkedHead
from ftc.runtime.tasks.scorer import (
    Arithmetic,
    Batch,
    Objective,
    PickedStates,
    Prediction,
    cross_entropy,
    next_tokens,
    pixels_of,
)
from ftc.spec.documents.settings import ModelSettings, Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.vision_models import vision_model

__all__ = ["LANGUAGE", "LanguageScorer", "Seq2SeqScorer"]


class _NextTokens(ABC):
    """What scorers of next tokens have in common: scores at the places that count, whole or in chunks.

    Args:
        model: Without any wrapper for several devices.
        settings: Of the model.
        arithmetic: Of its forward pass.
        chunk_size: Places whose scores are computed at a time; None for all at once.
    """

    def __init__(self, model: Any, settings: ModelSettings, arithmetic: Arithmetic, chunk_size: int | None) -> None:
        self._pad_id = settings.pad_id
        self._arithmetic = arithmetic
        layer = model.get_output_embeddings()
        self._states = PickedStates(layer)
        self.head = None if chunk_size is None else ChunkedHead(model, layer, chunk_size)

    @abstractmethod
    def output(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """What the model gives behind its output layer at the places that are scored."""

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(N, V) scores of the next token at the places that are scored."""
        logits = self.output(model, batch)
        assert logits.shape[0] == len(batch.positions), "the output layer saw more than what is scored"
        return logits.float()

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:
        """(N,) cross entropy of each token."""
        return cross_entropy(logits, batch.targets, smoothing)

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:  # noqa: ARG002 - answers are written
        """Nothing: what a language model says is written token by token."""
        return [()] * len(batch.ids)


class LanguageScorer(_NextTokens):
    """Next tokens of one sequence."""

    def __init__(
        self, model: Any, settings: ModelSettings, arithmetic: Arithmetic, chunk_size: int | None = None
    ) -> None:
        super().__init__(model, settings, arithmetic, chunk_size)
        self._needs_mask, self._vision = settings.family != "decoder", settings.vision
        known = vision_model(settings.vision.model_type) if settings.vision else None
        self._marks_answers = known is not None and known.sees_ahead == "prompt"

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors."""
        batch = next_tokens(
            [rows.ids(number) for number in numbers], [rows.mask(number) for number in numbers], self._pad_id
        )
        if self._marks_answers:  # padding behind a row is no part of its prompt either
            lengths = np.array([rows.prompt_length(number) for number in numbers])
            types = (np.arange(batch.ids.shape[1]) >= lengths[:, None]).astype(np.int64)
            batch = replace(batch, token_types=torch.from_numpy(types))
        pixels = pixels_of(rows, numbers)
        return batch if pixels is None else replace(batch, pixels=pixels)

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """Supervised tokens of a row; its first token has nothing before it to be predicted from."""
        return int(rows.mask(number)[1:].sum())

    def output(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """What the model gives at the places that are scored."""
        # Padding stands on the right, where a causal model never looks back from: without a mask, attention takes the
        # faster causal kernel.
        attention = batch.attention if self._needs_mask else None
        with self._states.at(batch.positions, batch.ids.shape[1]), self._arithmetic(batch.ids.device):
            # Without a mask, places that start over show the model where a packed row ends.
            beside = {} if batch.places is None else {"position_ids": batch.places}
            beside |= image_inputs(self._vision, batch.ids, batch.pixels, batch.token_types)
            output = model(input_ids=batch.ids, attention_mask=attention, use_cache=False, **beside)
        found: torch.Tensor = output.logits
        return found


class Seq2SeqScorer(_NextTokens):
    """Next tokens of a decoder that attends to an encoder's output."""

    def __init__(
        self, model: Any, settings: ModelSettings, arithmetic: Arithmetic, chunk_size: int | None = None
    ) -> None:
        assert settings.decoder_start_id is not None, "an encoder-decoder without one is refused before (FTC251)"
        super().__init__(model, settings, arithmetic, chunk_size)
        self._start_id = settings.decoder_start_id

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors."""
        arrays = translated_arrays(rows, numbers, self._pad_id, self._start_id)
        fields: dict[str, Any] = {name: torch.from_numpy(one) for name, one in arrays.items()}
        return Batch(**fields)

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """Tokens of the decoder, all of which follow its start token."""
        return int(rows.mask(number).sum())

    def output(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """What the model gives at the decoder's places that are scored."""
        assert batch.decoder_ids is not None
        with self._states.at(batch.positions, batch.decoder_ids.shape[1]), self._arithmetic(batch.ids.device):
            output = model(
                input_ids=batch.ids,
                attention_mask=batch.attention,
                decoder_input_ids=batch.decoder_ids,
                use_cache=False,
            )
        found: torch.Tensor = output.logits
        return found


def _scorer(model: Any, settings: Settings, arithmetic: Arithmetic) -> LanguageScorer | Seq2SeqScorer:
    family = Seq2SeqScorer if settings.model.family == "encoder_decoder" else LanguageScorer
    return family(model, settings.model, arithmetic, settings.train.loss_chunk_size)


LANGUAGE = Objective(
    head="lm",
    is_pair=False,
    is_sampled=False,
    has_texts=False,
    scorer=_scorer,
    score_shape=lambda rows, shape, outputs: (rows * shape.supervised, outputs),
    stand_in_targets=lambda _: [],
    has_offsets=False,
)
