"""A reward model that scores written answers: each with its row's prompt, as its own template and tokenizer write both.

A process reward model reads prompt and steps as the rows of its training joined them, and scores each step.

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
from ftc.runtime.tasks.token_classification import WordScorer
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
"""Fills short rows; no score depends on it, since none is read there, and no place before it sees it."""


class AnswerScores(NamedTuple):
    """What a reward model makes of some answers.

    Attributes:
        values: A score for each.
        cut: How many of the rows were too long, so that their beginning was not read.
    """

    values: list[float]
    cut: int


class _Row(NamedTuple):
    """Tokens of a row, and the places at which it is scored."""

    ids: list[int]
    ends: list[int]

    def cut_to(self, most: int) -> _Row:
        """So many tokens of its end, with the places that are among them."""
        gone = max(0, len(self.ids) - most)
        return _Row(self.ids[gone:], [end - gone for end in self.ends if end >= gone])


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
        self._precision = settings.train.precision
        self._scorer = _scorer(settings, self._own, self._model)

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
        own = self._own
        rows = self._rows(split, numbers, texts)
        lengths = np.array([len(row.ids) for row in rows], dtype=np.int64)
        values = [0.0] * len(rows)
        for places in cut(by_length([n for n, row in enumerate(rows) if row.ends], lengths), batch_size):
            stop.check()
            read = self._read([rows[one].cut_to(own.max_length) for one in places])
            for place, found in zip(places, read, strict=True):
                values[place] = own.steps.score(found) if own.steps else own.mean + own.spread * found[0]
                if not all(map(math.isfinite, (*found, values[place]))):
                    raise self._without_score(split, numbers[place], values[place])
        return AnswerScores(values, int((lengths > own.max_length).sum()))

    def _without_score(self, split: str, number: int, value: float) -> Refusal:
        """What is wrong where a score is no finite number: no mean and no advantage follows from one."""
        summary = f"`{self.name}` gives {value} for an answer to row {number} of the split `{split}`, counted from 0"
        help = f"set `train.precision` to another one than `{self._precision}`, or use another reward model"
        return Refusal([diagnostic("FTC459", summary, help=help)])

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = tokenizer_call(self._file, self._tokenizer.encode_batch, list(texts), add_special_tokens=False)
        return [one.ids for one in encoded]

    def _rows(self, split: str, numbers: Sequence[int], texts: Sequence[str]) -> list[_Row]:
        """Each answer with the text around it, by its tokens; read is its last one, or the last one of each step."""
        before, after, steps = self._frames.before, self._frames.after, self._own.steps
        if steps is None:
            whole = [self._frames.whole(split, *one) for one in zip(numbers, texts, strict=True)]
            lines = [[*before, *ids, *after] for ids in self._tokens(whole)]
            return [_Row(line, [len(line) - 1]) for line in lines]
        rows = list[_Row]()
        for number, text in zip(numbers, texts, strict=True):  # each part by itself, as in the rows of its training
            prompt, *parts = self._tokens([self._frames.prompt(split, number), *steps.steps(text)])
            row = _Row([*before, *prompt], [])
            for part in parts:
                row.ids.extend([*part, *after])
                row.ends.append(len(row.ids) - 1)
            rows.append(row)
        return rows

    @torch.no_grad()
    def _read(self, rows: list[_Row]) -> list[list[float]]:
        """What the model says at each place of each row: its output, or the chance that the step is right."""
        ids, attention = padded([np.array(row.ids, dtype=np.int32) for row in rows], _PAD_ID)
        counts = [len(row.ends) for row in rows]
        owners = torch.arange(len(rows)).repeat_interleave(torch.tensor(counts))
        ends = owners * ids.shape[1] + torch.tensor([end for row in rows for end in row.ends])
        batch = Batch(torch.from_numpy(ids), torch.from_numpy(attention), ends, torch.zeros(len(ends)), owners)
        logits = self._scorer.logits(self._model, batch.to(self._device))
        said = logits[:, 0] if self._own.steps is None else logits.softmax(dim=-1)[:, self._own.steps.right]
        return [part.tolist() for part in said.split(counts)]


def _scorer(settings: Settings, own: RewardModelSettings, model: Any) -> RewardScorer | WordScorer:
    """What reads a reward model's head: at the end of an answer, or of each step."""
    arithmetic = partial(mixed_precision, settings.train.precision)
    if own.steps is not None:
        return WordScorer(model, settings.model.model_copy(update={"pad_id": _PAD_ID}), arithmetic)
    changes = {"pad_id": _PAD_ID, "family": own.family, "head": "regression"}
    return RewardScorer(model, settings.model.model_copy(update=changes), arithmetic)


def _load(settings: Settings, own: RewardModelSettings, folder: Path) -> Any:
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    kind = AutoModelForSequenceClassification if own.steps is None else AutoModelForTokenClassification
    try:
        with quiet_transformers():
            options = {"dtype": frozen_dtype(settings), "pad_token_id": _PAD_ID}
            model = FolderBase(folder).load(kind, options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        summary = f"`{own.base}` can't be loaded as {own.architecture}"
        help = "check the model's folder with `ftc plan`, or install another version of transformers"
        raise Refusal(
            [diagnostic("FTC635", summary, notes=f"transformers says: {reason[0][:300]}", help=help)]
        ) from None
    return model.requires_grad_(False)
