"""A text classifier reads written answers: which of them have the label that the plan names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.execution.accelerator import agreed
from ftc.runtime.execution.session import Session
from ftc.runtime.metrics.statistics import means, share_of
from ftc.runtime.models.base_model import from_files, quiet_transformers
from ftc.runtime.training.signals import StopRequest
from ftc.spec.batches import by_length, cut
from ftc.spec.documents.companion_settings import ClassifierSettings
from ftc.spec.documents.record import ClassifierResult
from ftc.spec.storage.tokenizer_file import FILE, load_tokenizer, tokenizer_call

__all__ = ["Flagged", "TextClassifier", "classifier_result"]

_EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Flagged:
    """What was found.

    Attributes:
        flags: Whether each text has the label, in the order of the texts.
        cut: Texts of which only the beginning was read.
    """

    flags: list[bool]
    cut: int


class TextClassifier:
    """The classifier of a plan on a device, in float32.

    Args:
        settings: Which label counts.
        folder: Where its files lie.
        device: Where it runs.
    """

    def __init__(self, settings: ClassifierSettings, folder: Path, device: torch.device) -> None:
        from transformers import AutoModelForSequenceClassification

        self._settings = settings
        with quiet_transformers():
            model = from_files(AutoModelForSequenceClassification, folder, {"dtype": torch.float32})
        self._model = model.to(device).eval()
        self._device = device
        self._file = folder / FILE
        self._tokenizer: Any = load_tokenizer(self._file)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(settings.max_length)

    def flag(self, texts: Sequence[str], batch_size: int, stop: StopRequest) -> Flagged:
        """Which texts have the label; one of no tokens doesn't.

        Raises:
            Interrupted: Somebody asked to stop.
        """
        encoded = tokenizer_call(self._file, self._tokenizer.encode_batch, list(texts))
        flags = [False] * len(texts)
        lengths = np.array([len(one.ids) for one in encoded], dtype=np.int64)
        order = by_length([at for at, length in enumerate(lengths) if length], lengths)
        for batch in cut(order, batch_size if self._settings.pad_id is not None else 1):
            stop.check()
            for at, flag in zip(batch, self._flags([encoded[at].ids for at in batch]), strict=True):
                flags[at] = flag
        return Flagged(flags, sum(bool(one.overflowing) for one in encoded))

    @torch.inference_mode()
    def _flags(self, rows: list[list[int]]) -> list[bool]:
        width, pad = max(map(len, rows)), self._settings.pad_id or 0
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self._device)
        logits = self._model(input_ids=ids, attention_mask=mask).logits
        if self._settings.single:
            found = logits.argmax(dim=-1) == self._settings.label_id
        else:
            found = logits[:, self._settings.label_id] >= 0  # the logistic function is a half at 0
        return [bool(one) for one in found.tolist()]


def classifier_result(session: Session, base: Measurement | None, tuned: Measurement) -> ClassifierResult | None:
    """Shares of the answers that have the classifier's label; None where the plan has no classifier."""
    settings = session.plan.settings.eval.classifier
    if settings is None or not tuned.texts:
        return None
    session.drop_models()  # two at once could be more than the plan's memory
    found = agreed(session.accelerator, lambda: _classified(session, settings, base, tuned))
    session.note_memory("evaluate")
    return found


def _classified(
    session: Session, settings: ClassifierSettings, base: Measurement | None, tuned: Measurement
) -> ClassifierResult:
    folder = session.inputs.companions["classifier"]
    with session.journal.phase("load", settings.base):
        classifier = TextClassifier(settings, folder, session.accelerator.device)
    session.stamps.confirm()
    numbers = sorted(tuned.texts)
    subjects = [tuned, *([base] if base else [])]
    texts = [one.texts[number] for one in subjects for number in numbers]
    with session.journal.phase("grade", f"{len(texts)} answers by {settings.base}"):
        found = classifier.flag(texts, session.plan.settings.eval.batch_size, session.stop)
    columns = [found.flags[start : start + len(numbers)] for start in range(0, len(texts), len(numbers))]
    rows = session.stream("test")
    assert rows is not None, "what was measured has rows"
    flagged = [int(rows.rows[number]) for number, flag in zip(numbers, columns[0], strict=True) if flag]
    result = means([share_of([float(flag) for flag in column]) for column in columns])
    assert result.interval is not None, "there are answers"
    return ClassifierResult(
        name=settings.base,
        label=settings.label,
        rows=len(numbers),
        tuned=result.tuned,
        interval=result.interval,
        base=result.base,
        gain=result.gain,
        examples=tuple(flagged[:_EXAMPLES]),
        cut=found.cut,
    )
