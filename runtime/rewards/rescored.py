"""What a reward model makes of recorded answers once more, for an audit: on the CPU, step by step as in the run.

Rounding differs between machines. So a score that is near enough is the recorded one, and rewards and advantages follow
from that; another one is what its model gives. Where all answers would take too long, some steps stand for all, and
where even one step would, none is scored again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import pstdev

import torch

from ftc.runtime.rewards.reward_model import RewardModel
from ftc.runtime.training.signals import StopRequest
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.sampled import SampledAnswer
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.precisions import precision_card

__all__ = ["Rescorer"]

_MOST_FLOPS = 1e13
"""What an audit spends on scores: minutes of a usual CPU."""
_NEAR = {4: 1e-3, 2: 5e-2}
"""How far scores may be apart, relatively and in units of their own scale, by the bytes of a number."""


class Rescorer:
    """Scores the answers of steps again.

    Args:
        settings: The plan's, with a reward model among its rewards.
        folder: The reward model's.
        streams: The folder of the token streams.
        answers: All that a run recorded.
        rows: The training split.

    Raises:
        Refusal: The model can't be loaded (FTC635), or there is no memory for it (FTC459).
        OSError, ValueError: The text around the answers is not there.
    """

    def __init__(
        self, settings: Settings, folder: Path, streams: Path, answers: Sequence[SampledAnswer], rows: TokenStream
    ) -> None:
        sampling = settings.train.sampling
        assert sampling is not None, "the plan has sampled answers"
        assert sampling.reward_model is not None, "and a reward model"
        self._settings = settings
        self._place = next(number for number, one in enumerate(sampling.rewards) if one.base is not None)
        self._steps = _chosen(answers, rows, sampling.reward_model.num_parameters)
        self._near = _NEAR[precision_card(settings.train.precision).products.size]
        recorded = [one.rewards[self._place] for one in answers]
        self._apart = self._near * _scale(recorded, sampling.reward_model.spread)
        self._model: RewardModel | None = None
        if self._steps:
            try:
                self._model = RewardModel(settings, "reward_model", folder, streams, torch.device("cpu"))
            except MemoryError as problem:
                raise _unscored(sampling.reward_model.base, problem) from None
        steps = len({one.step for one in answers})
        left = steps - len(self._steps)
        others = "none was computed again" if left == steps else "others were computed again"
        words = f"the reward model's scores of {left:,} of {steps:,} steps, which would take long; {others}"
        self.left_out = words if left else ""
        """Whose scores are taken as they are recorded, in words; empty where none is."""

    def __call__(self, answers: Sequence[SampledAnswer], texts: Sequence[str]) -> list[float]:
        """The scores of a step's answers: the recorded ones where the model gives these, else what it gives.

        Raises:
            Refusal: The model can't read them on this machine, or gives a score that is no finite number (FTC459).
        """
        recorded = [one.rewards[self._place] for one in answers]
        if self._model is None or answers[0].step not in self._steps:
            return recorded
        numbers, rows = [one.prompt for one in answers], self._settings.train.micro_batch
        try:
            found = self._model.scores("train", numbers, texts, rows, StopRequest()).values
        except (RuntimeError, MemoryError) as problem:  # torch's allocator raises the former
            raise _unscored(self._model.name, problem) from None
        return [
            one if math.isclose(one, again, rel_tol=self._near, abs_tol=self._apart) else again
            for one, again in zip(recorded, found, strict=True)
        ]


def _unscored(name: str, problem: Exception) -> Refusal:
    """What is said where a model can't read answers on this machine, which is no fault of theirs."""
    words = (
        "there is not enough memory" if isinstance(problem, MemoryError) else str(problem).strip() or "no reason given"
    )
    summary = f"the answers could not be scored here by `{name}`: {words.splitlines()[0][:300]}"
    return Refusal([diagnostic("FTC459", summary, help="audit the run on a machine with more memory")])


def _scale(recorded: Sequence[float], spread: float) -> float:
    """What rounding is measured by: how far a run's scores lie apart, at least what the model multiplies outputs by.

    A model that learned from pairs has no scale of its own. Its error grows with the size of what it adds up, which
    the scores of a whole run show and a single score near zero doesn't.
    """
    return max(spread, pstdev(recorded)) if recorded else spread


def _chosen(answers: Sequence[SampledAnswer], rows: TokenStream, num_parameters: int) -> frozenset[int]:
    """Steps that are scored again: all, so many that are evenly spread, or none where one alone takes too long."""
    steps = sorted({one.step for one in answers})
    tokens = sum(rows.prompt_length(one.prompt) + len(one.ids) for one in answers)
    each = 2 * num_parameters * tokens / max(1, len(steps))
    count = min(len(steps), int(_MOST_FLOPS / max(1.0, each)))
    return frozenset(steps[number * len(steps) // count] for number in range(count))
