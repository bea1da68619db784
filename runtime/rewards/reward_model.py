"""A reward model that scores written answers: each with its row's prompt, as its own template and tokenizer write both.

Answers of one call are batched by length alone, so that the same answers give the same scores in a run, in its replay
and where it goes on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ftc.runtime.models.base_model import FolderBase, frozen_dtype, quiet_transformers
from ftc.runtime.models.number_types import mixed_precision
from ftc.runtime.tasks.reward import RewardScorer
from ftc.runtime.tasks.scorer import Batch, padded
from ftc.runtime.training.signals import StopRequest
from ftc.spec.batches import by_length, cut
from ftc.spec.companions import Role
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.companion_settings import RewardModelSettings
from ftc.spec.documents.probes import scoring_models
from ftc.spec.documents.reward_models import AnswerFrames, frames_file
from ftc.spec.documents.settings import Settings
from ftc.spec.storage.tokenizer_file import FILE, load_tokenizer, tokenizer_call

__all__ = ["AnswerScores", "RewardModel"]

_PAD_ID = 0
"""Fills short rows; no score depends on it, since each is read at its last token."""


class AnswerScores(NamedTuple):
    """What a reward model makes of some answers.

    Attributes:
        values: A score for each.
        cut: How many of the rows were too long, so that their beginning was not read.
    """

    values: list[float]
    cut: int


class RewardModel:
    """A plan's reward model on a device, in the type of the run's frozen weights.

    Args:
        settings: The plan's.
        role: Which of its reward models.
        folder: Where its files lie.
        streams: The folder of the token streams, beside which the text around the answers lies.
        device: Where it runs.

    Raises:
        Refusal: It can't be loaded (FTC635).
    """

    def __init__(self, settings: Settings, role: Role, folder: Path, streams: Path, device: torch.device) -> None:
        self._own: RewardModelSettings = scoring_models(settings)[role]
        self._frames = AnswerFrames.model_validate_json((streams / frames_file(role)).read_bytes())
        self._file, self._device = folder / FILE, device
        self._tokenizer: Any = load_tokenizer(self._file)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._model = _load(settings, self._own, folder).to(device).eval()
        changes = {"pad_id": _PAD_ID, "family": self._own.family, "head": "regression"}
        arithmetic = partial(mixed_precision, settings.train.precision)
        self._precision = settings.train.precision
        self._scorer = RewardScorer(self._model, settings.model.model_copy(update=changes), arithmetic)

    @property
    def name(self) -> str:
        """What people call it."""
        return self._own.base

    def scores(
        self, split: str, numbers: Sequence[int], texts: Sequence[str], batch_size: int, stop: StopRequest
    ) -> AnswerScores:
        """What it makes of answers to rows.

        Args:
            split: The rows' split.
            numbers: Number of each answer's row in the split's stream.
            texts: The answers.
            batch_size: Rows at once.
            stop: Asked between batches.

        Raises:
            Interrupted: Somebody asked to stop.
            Refusal: Its tokenizer fails (FTC325), or it gives a score that is no finite number (FTC459).
        """
        frames, own = self._frames.splits[split], self._own
        whole = [text.join(frames[number]) for number, text in zip(numbers, texts, strict=True)]
        encoded = tokenizer_call(self._file, self._tokenizer.encode_batch, whole, add_special_tokens=False)
        rows = [[*self._frames.before, *one.ids, *self._frames.after] for one in encoded]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        values = [0.0] * len(rows)
        for places in cut(by_length(list(range(len(rows))), lengths), batch_size):
            stop.check()
            for place, value in zip(places, self._read([rows[one][-own.max_length :] for one in places]), strict=True):
                values[place] = own.mean + own.spread * value
                if not math.isfinite(values[place]):
                    raise self._without_score(split, numbers[place], values[place])
        return AnswerScores(values, int((lengths > own.max_length).sum()))

    def _without_score(self, split: str, number: int, value: float) -> Refusal:
        """What is wrong where a score is no finite number: no mean and no advantage follows from one."""
        summary = f"`{self.name}` gives {value} for an answer to row {number} of the split `{split}`, counted from 0"
        help = f"set `train.precision` to another one than `{self._precision}`, or use another reward model"
        return Refusal([diagnostic("FTC459", summary, help=help)])

    @torch.no_grad()
    def _read(self, rows: list[list[int]]) -> list[float]:
        """The model's output for each row, at its last token."""
        ids, attention = padded([np.array(row, dtype=np.int32) for row in rows], _PAD_ID)
        ends = torch.arange(len(rows)) * ids.shape[1] + torch.from_numpy(attention).sum(dim=1) - 1
        places = torch.from_numpy(ids), torch.from_numpy(attention), ends
        batch = Batch(*places, torch.zeros(len(rows)), torch.arange(len(rows)))
        found: list[float] = self._scorer.logits(self._model, batch.to(self._device))[:, 0].tolist()
        return found


def _load(settings: Settings, own: RewardModelSettings, folder: Path) -> Any:
    from transformers import AutoModelForSequenceClassification

    try:
        with quiet_transformers():
            options = {"dtype": frozen_dtype(settings), "pad_token_id": _PAD_ID}
            model = FolderBase(folder).load(AutoModelForSequenceClassification, options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        summary = f"`{own.base}` can't be loaded as {own.architecture}"
        help = "check the model's folder with `ftc plan`, or install another version of transformers"
        raise Refusal(
            [diagnostic("FTC635", summary, notes=f"transformers says: {reason[0][:300]}", help=help)]
        ) from None
    return model.requires_grad_(False)
