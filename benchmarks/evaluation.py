"""Measures a test split as ftc does, in batches by length, beside a loop that takes one row at a time.

Written answers also stand beside plain `model.generate` in batches of the same size, in the rows' order.

The demo's two recipes: classes by an encoder, whose rows are scored, and answers by a language model, which are
written. Same process, same model, same tokens, in turns; and whether both give the same classes or answers.

    python benchmarks/evaluation.py [--only NAME] [--rounds 2] [--rows 41] [--threads 1]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from support.processes import machine
from support.project import copy_project

import ftc
from ftc.runtime.evaluation.generate import answers
from ftc.runtime.evaluation.scoring import eval_mode, score_rows
from ftc.runtime.evaluation.shortcuts import faster_linears, fold_adapter
from ftc.runtime.execution.accelerator import make_accelerator
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.runtime.training.signals import StopRequest
from ftc.spec.batches import by_length, cut
from ftc.spec.documents.decoded import TextDecoder
from ftc.spec.documents.streams import TokenStream, open_stream
from ftc.spec.storage.paths import streams_folder

RECIPES = Path(__file__).parent.parent / "recipes" / "demo"


class Measured:
    """A recipe's untrained model and its test rows."""

    def __init__(self, recipe: Path, most_rows: int) -> None:
        planned = ftc.plan(recipe, keep_lock=True)
        self.settings = planned.plan.settings
        folder = planned.compiled.model_folder
        self.accelerator = make_accelerator(self.settings)
        self.folder = folder
        self.work, self.folded = self._built(), self._built()
        fold_adapter(self.folded.model, self.settings)
        self.rows: TokenStream = open_stream(streams_folder(planned.plan.stream_key) / "test.arrow")
        self.decode = TextDecoder(folder)
        self.count = min(most_rows, len(self.rows))
        self.writes = self.settings.eval.max_new_tokens is not None

    def _built(self) -> ModelWithScorer:
        model = build_model(self.settings, FolderBase(self.folder), self.accelerator.device)
        return ModelWithScorer(model, make_scorer(model, self.settings))

    def in_batches(self) -> list[Any]:
        """As a run measures: classes, or answers."""
        if not self.writes:
            size = self.settings.eval.batch_size
            batches = score_rows(self.folded, self.rows, size, self.accelerator, StopRequest())
            scores = sorted(score for batch in batches for score in batch)
            return [int(score.predicted[0]) for score in scores]
        order = by_length(list(range(self.count)), self.rows.prompt_lengths.astype("int64"))
        return self._written(self.folded.model, cut(order, self.settings.eval.batch_size))

    def row_by_row(self) -> list[Any]:
        """One row at a time, in their order."""
        if self.writes:
            return self._written(self.work.model, [[number] for number in range(self.count)])
        scorer, model = self.work.scorer, self.work.model
        found = []
        for number in range(len(self.rows)):
            batch = scorer.batch(self.rows, [number]).to(self.accelerator.device)
            found.append(int(scorer.predictions(scorer.logits(model, batch), batch)[0][0]))
        return found

    def plainly(self) -> list[Any]:
        """By `generate` of transformers in batches of the rows as they come, padded on the left."""
        model: Any = self.work.model
        settings, found = self.settings, list[str]()
        pad, stops = settings.model.pad_id, settings.model.stop_ids
        for first in range(0, self.count, settings.eval.batch_size):
            numbers = range(first, min(first + settings.eval.batch_size, self.count))
            prompts = [self.rows.ids(number)[: self.rows.prompt_length(number)].tolist() for number in numbers]
            width = max(map(len, prompts))
            ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
            mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
            most = settings.eval.max_new_tokens
            kept = {"do_sample": False, "eos_token_id": list(stops), "pad_token_id": pad, "max_new_tokens": most}
            output = model.generate(input_ids=ids, attention_mask=mask, **kept)[:, width:].tolist()
            found += [self.decode([*itertools.takewhile(lambda token: token not in stops, line)]) for line in output]
        return found

    def _written(self, model: Any, order: list[list[int]]) -> list[str]:
        texts: dict[int, str] = {}
        device = self.accelerator.device
        for some in answers(model, self.rows, order, self.settings, self.decode, StopRequest(), device):
            texts |= some
        return [texts[number] for number in range(self.count)]


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("bbc-news", "newsdesk"))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=41, help="most rows that answers are written for")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(machine())
    for name in ("bbc-news", "newsdesk"):
        if args.only in (None, name):
            _compare(name, args.rows, args.rounds)


def _compare(name: str, most_rows: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        measured = Measured(copy_project(Path(scratch) / "demo", RECIPES / f"{name}.yaml"), most_rows)
        ways = {"row by row": measured.row_by_row, "in batches": measured.in_batches}
        if measured.writes:
            ways["by plain generate"] = measured.plainly
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        found: dict[str, list[Any]] = {}
        with eval_mode(measured.work.model), eval_mode(measured.folded.model):
            for _ in range(rounds):
                for way, measure in ways.items():
                    started = time.process_time()
                    with faster_linears(measured.folded.model) if way == "in batches" else nullcontext():
                        found[way] = measure()
                    seconds[way].append(time.process_time() - started)
    rows = len(found["in batches"])
    medians = {way: statistics.median(some) for way, some in seconds.items()}
    for way, median in medians.items():
        print(f"{name}, {way}: {rows / median:.2f} rows a CPU second ({rows} rows, median of {rounds})")
    for way in ways.keys() - {"in batches"}:
        ratio = medians[way] / medians["in batches"]
        same = sum(one == other for one, other in zip(found[way], found["in batches"], strict=True))
        print(f"{name}: {ratio:.2f} times the rows a CPU second of {way}; {same} of {rows} the same")


if __name__ == "__main__":
    main()
