"""Rows that the model writes itself: a group of answers to each prompt of a step, with rewards and advantages."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ftc.runtime.evaluation.judge_requests import Question
from ftc.runtime.evaluation.scoring import as_base
from ftc.runtime.rewards.asked import Graders
from ftc.runtime.rewards.recompute import earned_by_group
from ftc.runtime.tasks.reinforcement import ReinforcementScorer
from ftc.runtime.tasks.scorer import target_losses
from ftc.runtime.training.answer_rows import answer_order, answer_rows
from ftc.runtime.training.answer_writer import AnswerWriter, Asked, Writes, at_rest
from ftc.runtime.training.signals import StopRequest
from ftc.runtime.training.sources import StepRows
from ftc.spec.batches import BatchOrder, cut
from ftc.spec.documents.events import SampledStep
from ftc.spec.documents.loss_settings import SamplingSettings
from ftc.spec.documents.sampled import Earned, Line, SampledAnswer, server_means
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.rewards import is_correct

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["SampledRows"]


class SampledRows:
    """The source of rows of a run that trains on its own answers.

    Args:
        model: The model in training, without any wrapper for several devices.
        scorer: Its scorer.
        prompts: The training split.
        settings: The plan's.
        decode: Tokens to text.
        stop: Asked between batches.
        accelerator: Knows the device.
        writer: What writes the answers; the model itself where left out.
        graders: Who gives rewards that are asked for; nobody where left out.
    """

    def __init__(
        self,
        model: Any,
        scorer: ReinforcementScorer,
        prompts: TokenStream,
        settings: Settings,
        decode: Callable[[list[int]], str],
        stop: StopRequest,
        accelerator: Accelerator,
        writer: Writes | None = None,
        graders: Graders | None = None,
    ) -> None:
        assert settings.train.sampling is not None, "the plan says how answers are sampled"
        self._model, self._scorer, self._prompts, self._settings = model, scorer, prompts, settings
        self._decode, self._device, self._stop = decode, accelerator.device, stop
        self._writer = writer or AnswerWriter(model, prompts, settings, stop, accelerator)
        self._sampling: SamplingSettings = settings.train.sampling
        self._graders = graders or Graders(self._sampling.rewards, None, None)
        self._order = BatchOrder.of(prompts, settings, self._sampling.group_size)
        self.answers: tuple[SampledAnswer, ...] = ()
        self.follows_weights = True

    def at(self, step: int) -> StepRows:
        """Samples the answers of a step, counted from 0, and makes rows of them.

        Raises:
            Interrupted: Somebody asked to stop; the step was not done.
            Refusal: A reward can't be computed (FTC444), or a server gives no answers (FTC466, FTC467).
        """
        started = time.perf_counter()
        asked = [Asked(number, k) for number in self._order.rows(step) for k in range(self._sampling.group_size)]
        with at_rest(self._model):
            written = self._writer.written(step, asked)
            self.answers = self._rewarded(step, asked, written)
            rows = answer_rows(self._sampling, self._prompts, self.answers)
            if any(line.log_probs is not None for line in written):  # by a server, whose rounding is another
                self.answers = tuple(
                    one.model_copy(update={"own_log_probs": tuple(own.tolist())})
                    for one, own in zip(self.answers, self._log_probs(rows), strict=True)
                )
                rows = answer_rows(self._sampling, self._prompts, self.answers)
            if self._sampling.beta:
                with as_base(self._settings, self._model):
                    self._scorer.learn_base(rows, self._log_probs(rows))
        return StepRows(rows, answer_order(self._settings, rows), 0, self._summary(time.perf_counter() - started))

    def _rewarded(self, step: int, asked: Sequence[Asked], written: Sequence[Line]) -> tuple[SampledAnswer, ...]:
        """What each answer earned, and its advantage in its group."""
        size, stops = self._sampling.group_size, self._settings.model.stop_ids
        earned: list[Earned] = []
        texts = [self._decode(line.ids) for line in written]
        references = [next(iter(self._prompts.texts(one.prompt)), "") for one in asked]
        recorded = self._recorded(asked, texts, references)
        for start in range(0, len(asked), size):
            group = slice(start, start + size)
            earned += earned_by_group(self._sampling, texts[group], references[start], recorded[group])
        return tuple(
            SampledAnswer(
                step=step + 1,
                prompt=one.prompt,
                place=self._prompts.place(one.prompt),
                answer=one.answer,
                ids=tuple(line.ids),
                ended=line.ids[-1] in stops,
                rewards=gained.rewards,
                reward=gained.reward,
                advantage=gained.advantage,
                log_probs=None if line.log_probs is None else tuple(line.log_probs),
            )
            for one, line, gained in zip(asked, written, earned, strict=True)
        )

    def _recorded(
        self, asked: Sequence[Asked], texts: Sequence[str], references: Sequence[str]
    ) -> list[tuple[float, ...]]:
        """The rewards of each answer that a judge or a reward model gives."""

        def question(place: int) -> Question:
            number = asked[place].prompt
            head = self._prompts.ids(number)[: self._prompts.prompt_length(number)]
            return Question(self._decode(head.tolist()), references[place], texts[place])

        numbers, rows = [one.prompt for one in asked], self._settings.train.micro_batch
        return self._graders.recorded("train", numbers, texts, question, rows, self._stop)

    def _log_probs(self, rows: TokenStream) -> list[torch.Tensor]:
        """(tokens,) log-probabilities of each answer by the model as it is now, or by its base within such a block."""
        found: list[torch.Tensor] = []
        for numbers in cut(list(range(len(rows))), self._settings.train.micro_batch):
            batch = replace(self._scorer.batch(rows, numbers), advantages=None, weights=None)
            negative = target_losses(self._scorer, self._model, batch.to(self._device))
            ends = np.cumsum([0, *(self._scorer.num_targets(rows, number) for number in numbers)]).tolist()
            found += [-negative[begin:end].float().cpu() for begin, end in pairwise(ends)]
        return found

    def _summary(self, seconds: float) -> SampledStep:
        answers, size = self.answers, self._sampling.group_size
        groups = [answers[start : start + size] for start in range(0, len(answers), size)]
        count = len(answers)
        return SampledStep(
            answers=count,
            reward=sum(one.reward for one in answers) / count,
            correct=sum(is_correct(self._sampling.rewards, one.rewards) for one in answers) / count,
            length=sum(len(one.ids) for one in answers) / count,
            ended=sum(one.ended for one in answers) / count,
            even_groups=sum(len({one.reward for one in group}) == 1 for group in groups) / len(groups),
            seconds=seconds,
            **server_means(answers, self._sampling.importance_cap),
        )
