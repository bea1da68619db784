"""A text classifier looks at written answers: which of them have the label that the plan names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from ftc.runtime.models.build_model import quiet_transformers
from ftc.runtime.training.signals import StopRequest
from ftc.spec.batches import by_length, cut
from ftc.spec.documents.settings import ClassifierSettings

__all__ = ["Flagged", "TextClassifier"]


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
            model: Any = AutoModelForSequenceClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        self._model = model.to(device).eval()
        self._device = device
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(settings.max_length)

    def look(self, texts: Sequence[str], batch_size: int, stop: StopRequest) -> Flagged:
        """Looks at some texts. One of no tokens has no label.

        Raises:
            Interrupted: Somebody asked to stop.
        """
        encoded = self._tokenizer.encode_batch(list(texts))
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
