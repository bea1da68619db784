"""How long a model takes to score rows and to write answers, by the run's own evaluation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ftc.spec.documents.settings import Settings
    from ftc.spec.documents.streams import TokenStream

__all__ = ["seconds_of_looks"]

_NEW_TOKENS = 16


def seconds_of_looks(settings: Settings, model: Any, tries: int) -> Iterator[tuple[int, float]]:
    """Tokens of each answer, 0 for rows that are scored, and the median of the seconds that a look takes.

    Args:
        settings: Of the model and its rows.
        model: Has been trained; an adapter is folded into it for good.
        tries: Looks of each kind behind the first one, which warms up.
    """
    from ftc.runtime.evaluation.generate import answers
    from ftc.runtime.evaluation.scoring import eval_mode, score_rows
    from ftc.runtime.evaluation.shortcuts import faster_linears, fold_adapter
    from ftc.runtime.execution.accelerator import make_accelerator
    from ftc.runtime.tasks import make_scorer
    from ftc.runtime.tasks.scorer import ModelWithScorer
    from ftc.runtime.training.signals import StopRequest
    from ftc.spec.heads import head_card

    rows, stop = _rows(settings), StopRequest()
    work, accelerator = ModelWithScorer(model, make_scorer(model, settings)), make_accelerator(settings)
    order = [list(range(len(rows)))]
    evaluate = settings.eval.model_copy(update={"max_new_tokens": _NEW_TOKENS})
    asked = settings.model_copy(update={"eval": evaluate})

    def score() -> None:
        list(score_rows(work, rows, len(rows), accelerator, stop))

    def write() -> None:
        list(answers(model, rows, order, asked, _unread, stop, accelerator.device))

    fold_adapter(model, settings)
    with eval_mode(model), faster_linears(model):
        yield 0, _median(score, tries)
        if head_card(settings.model.head).writes:
            yield _NEW_TOKENS, _median(write, tries)


def _median(look: Callable[[], None], tries: int) -> float:
    """Seconds of the looks behind the first; each ends with figures that are read, so nothing is left to wait for."""
    seconds = []
    for _ in range(tries + 1):
        started = time.perf_counter()
        look()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _rows(settings: Settings) -> TokenStream:
    """Rows whose prompts are as long as they are, and begin differently, so that none is shared."""
    from ftc.runtime.memory_trace.rows import stand_in_rows
    from ftc.spec.documents.memory_trace import BatchShape

    count, length = settings.train.micro_batch, settings.text.max_length
    rows = stand_in_rows(settings, BatchShape(length=length, supervised=_supervised(length), padded=False), count)
    ids = rows.all_ids.copy()
    ids[::length] = np.arange(count)
    return replace(rows, all_ids=ids, prompt_lengths=np.full(count, length, dtype=np.int32))


def _supervised(length: int) -> int:
    return min(32, length)


def _unread(_ids: list[int]) -> str:
    return ""
