"""What a reward model makes of recorded answers once more, for an audit: on the processor, step by step as in the run.

Rounding differs between machines. So a score that is near enough is the recorded one, and rewards and advantages follow
from that; another one is what its model gives. Where all answers would take too long, some steps stand for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from ftc.runtime.rewards.reward_model import RewardModel
from ftc.runtime.training.signals import StopRequest
from ftc.spec.documents.sampled import SampledAnswer
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.precisions import precision_card

__all__ = ["Rescorer"]

_MOST_FLOPS = 1e13
"""What an audit spends on scores: minutes of a usual processor."""
_NEAR = {4: 1e-3, 2: 5e-2}
"""How far scores may be apart, relatively and in units of the model's own scale, by the bytes of a number."""


class Rescorer:
    """Scores the answers of steps again.

    Args:
        settings: The plan's, with a reward model among its rewards.
        folder: The reward model's.
        streams: The folder of the token streams.
        answers: All that a run recorded.
        rows: The training split.

    Raises:
        Refusal: The model can't be loaded (FTC635).
        OSError, ValueError: The text around the answers is not there.
    """

    def __init__(
        self, settings: Settings, folder: Path, streams: Path, answers: Sequence[SampledAnswer], rows: TokenStream
    ) -> None:
        sampling = settings.train.sampling
        assert sampling is not None, "the plan has sampled answers"
        assert sampling.reward_model is not None, "and a reward model"
        self._settings, self._own = settings, sampling.reward_model
        self._place = next(number for number, one in enumerate(sampling.rewards) if one.base is not None)
        self._steps = _chosen(answers, rows, self._own.num_parameters)
        self._model = RewardModel(settings, "reward_model", folder, streams, torch.device("cpu"))
        self.left = len({one.step for one in answers}) - len(self._steps)
        """Steps whose scores are taken as they are recorded."""

    def __call__(self, answers: Sequence[SampledAnswer], texts: Sequence[str]) -> list[float]:
        """The scores of a step's answers: the recorded ones where the model gives these, else what it gives."""
        recorded = [one.rewards[self._place] for one in answers]
        if answers[0].step not in self._steps:
            return recorded
        numbers, rows = [one.prompt for one in answers], self._settings.train.micro_batch
        found = self._model.scores("train", numbers, texts, rows, StopRequest()).values
        near = _NEAR[precision_card(self._settings.train.precision).products.size]
        return [
            one if math.isclose(one, again, rel_tol=near, abs_tol=near * self._own.spread) else again
            for one, again in zip(recorded, found, strict=True)
        ]


def _chosen(answers: Sequence[SampledAnswer], rows: TokenStream, num_parameters: int) -> frozenset[int]:
    """Steps that are scored again: all, or so many that are evenly spread."""
    steps = sorted({one.step for one in answers})
    tokens = sum(rows.prompt_length(one.prompt) + len(one.ids) for one in answers)
    each = 2 * num_parameters * tokens / max(1, len(steps))
    count = max(1, min(len(steps), int(_MOST_FLOPS / max(1.0, each))))
    return frozenset(steps[number * len(steps) // count] for number in range(count)) if steps else frozenset()
