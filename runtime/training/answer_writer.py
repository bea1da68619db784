"""Answers that are written in training, by the model or its teacher: what reinforcement and distillation share.

Every answer draws from a generator of its own, whose seed follows from the plan's, the step, the prompt and the
answer's number. So an answer depends on the weights and on nothing else that was drawn: a run that is resumed writes
what the uninterrupted run wrote, and several processes, each of which writes its share, what one would have written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch

from ftc.runtime.evaluation.generate import batches_to_write, configured, generated, rows_may_leave
from ftc.runtime.evaluation.scoring import shared_batches
from ftc.runtime.execution.accelerator import StopTogether
from ftc.runtime.models.sharding import reshard
from ftc.runtime.training.seeding import stream_seed
from ftc.runtime.training.signals import StopRequest
from ftc.spec.documents.sampled import Line
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["AnswerWriter", "Asked", "Sampler", "Writes", "at_rest"]


class Asked(NamedTuple):
    """One answer that is asked for."""

    prompt: int
    answer: int


class Writes(Protocol):
    """Has the answers of a step written."""

    def written(self, step: int, asked: Sequence[Asked]) -> list[Line]:
        """Each answer, within a block of `at_rest`.

        Args:
            step: Counted from 0.
            asked: Which answers.

        Raises:
            Interrupted: Somebody asked to stop.
        """
        ...


class Sampler:
    """Picks each next token of several rows at random, as transformers' `generate` asks for it: a logits processor.

    A row's largest sum of log-probability and Gumbel noise is a draw from its distribution, and the noise is the row's
    own, whatever rows stand beside it.

    Args:
        seeds: One for each row.
        temperature: Divides the logits.
        top_k: Tokens that stay; 0 for all.
        device: Where the logits are.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_k: int, device: torch.device) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._temperature, self._top_k = temperature, top_k

    def __call__(self, _ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """(B, V) scores of which the largest is the token that was drawn."""
        scores = logits.float() / self._temperature
        if 0 < self._top_k < scores.shape[-1]:
            least = scores.topk(self._top_k, dim=-1).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        noise = torch.empty_like(scores)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores - noise.clamp_min_(torch.finfo(torch.float32).tiny).log_()

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with some of its rows, each with its own noise."""
        self._generators = [self._generators[row] for row in rows]


@contextmanager
def at_rest(model: Any) -> Iterator[None]:
    """A block in which a model drops nothing out and keeps nothing for a backward pass."""
    was_training = model.training
    model.eval()
    # No inference mode: what a model keeps between calls, such as rotations, is trained with afterwards.
    with torch.no_grad():
        yield
    model.train(was_training)
    reshard(model)


class AnswerWriter:
    """Has a model write the answers of a step.

    Args:
        model: The model in training, without any wrapper for several devices, or its teacher.
        prompts: The training split.
        settings: The plan's, which has answers written.
        stop: Asked between batches; by several processes before the first alone, since each has as many as its share.
        accelerator: Knows the device and the other processes.
    """

    def __init__(
        self, model: Any, prompts: TokenStream, settings: Settings, stop: StopRequest, accelerator: Accelerator
    ) -> None:
        assert settings.train.writing is not None, "the plan says how answers are written"
        assert settings.seeds.sampling is not None, "and from which seed"
        self._model, self._prompts, self._settings = model, prompts, settings
        self._accelerator, self._device = accelerator, accelerator.device
        self._is_shared = accelerator.num_processes > 1
        self._stop = StopTogether(accelerator, stop) if self._is_shared else stop
        self._writing, self._seed = settings.train.writing, settings.seeds.sampling
        self._may_leave: bool | None = None  # the model is asked once

    def ready(self) -> AbstractContextManager[None]:
        """A block in which the model drops nothing out and keeps nothing for a backward pass."""
        return at_rest(self._model)

    def written(self, step: int, asked: Sequence[Asked]) -> list[Line]:
        """Each answer, within a block of `ready`.

        Of several processes each writes a share, and all of them get all answers.

        Args:
            step: Counted from 0.
            asked: Which answers; the same in all processes.

        Raises:
            Interrupted: Somebody asked to stop.
        """
        from transformers import GenerationConfig

        prompts, stops = self._prompts, self._settings.model.stop_ids
        config = GenerationConfig(
            do_sample=False,  # the largest score is the draw
            max_new_tokens=self._writing.max_new_tokens,
            eos_token_id=list(stops),
            pad_token_id=self._settings.model.pad_id,
            decoder_start_token_id=self._settings.model.decoder_start_id,
            use_cache=True,
        )
        lines: dict[int, Line] = {}
        lengths = [prompts.prompt_length(one.prompt) for one in asked]
        longest_first = sorted(range(len(asked)), key=lambda place: (-lengths[place], place))

        def batches(share: list[int]) -> list[list[int]]:
            own = [lengths[place] for place in share]
            return [[share[one] for one in some] for some in batches_to_write(self._model, own, self._settings)]

        self._stop.check()
        with configured(self._model, config):
            if self._may_leave is None:
                self._may_leave = rows_may_leave(self._model, self._settings, self._device)
            for places, counts in shared_batches(self._model, longest_first, batches, self._accelerator):
                if not self._is_shared:
                    self._stop.check()
                some = [asked[place] for place in places]
                numbers = [one.prompt for one in some]
                seeds = [stream_seed(self._seed, step, int(prompts.rows[one.prompt]), one.answer) for one in some]
                heat, top = self._writing.temperature, self._writing.top_k
                draw = Sampler(seeds, heat, top, self._device) if heat else None
                found = generated(
                    self._model, prompts, numbers, self._settings, self._device, may_leave=self._may_leave, draw=draw
                )
                for place, line in zip(places, found if counts else [], strict=counts):
                    end = next((number for number, token in enumerate(line, start=1) if token in stops), len(line))
                    lines[place] = Line(line[:end])
        if self._is_shared:
            from accelerate.utils import gather_object

            lines = dict(gather_object(list(lines.items())))
        return [lines[place] for place in range(len(asked))]
