"""How far the analytical estimate is from the trace on rows of 2k to 128k tokens, in training and in evaluation.

    python benchmarks/long_rows.py [NAME …] [--lengths TOKENS …] [--strategies KIND …] [--attention KERNEL …]

Public architectures, dense and mixtures of experts, each planned as a recipe's job would be: one row at a time is
trained on and four at a time are evaluated, in bfloat16, with layers recomputed and the loss in chunks. A line for each
point: the largest moment of evaluation and of training by both methods, and where each has it. At the end the worst
differences for each strategy and kernel, and how often the trace's expected figure was above the estimate's range.
Every kernel that transformers' class has is taken where `--attention` names none; `eager` holds a matrix of all pairs.
Nothing is trained.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' small jobs are made there

import transformers

from benchmarks.experts import CASES
from benchmarks.support import GIB
from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.memory import by_closed_form, by_trace, question
from ftc.runtime.memory_trace.child import trace
from ftc.runtime.memory_trace.meta_model import model_config
from ftc.spec.architectures import architecture
from ftc.spec.documents.estimates import MemoryEstimate, PhasePeak
from ftc.spec.documents.facts import ModelFacts
from tests.support.drafts import CARD, decided, draft_of, split_report
from tests.support.grid import GRID, grid_facts

_CARD = CARD.model_copy(update={"name": "any", "capability": (9, 0), "memory_bytes": 2**50})
_CONFIGS = {
    name: dict(config)
    for name, config in GRID.items()
    if architecture(config["model_type"]).family == "decoder" and "n_positions" not in config
}
_CONFIGS |= {case.name: dict(case.config) for case in CASES}
_CONFIGS["Gemma-2-2B"] |= {"sliding_window": 4096}  # as its file has it; rows elsewhere are shorter
_CONFIGS["Qwen1.5-MoE-A2.7B"] |= {"use_sliding_window": False, "sliding_window": 32768}
_LENGTHS, _STRATEGIES = (2048, 8192, 32768, 131072), ("lora", "full")
_EVALUATED = 4
_PARTS = {"evaluation": ("evaluation: ",), "training": ("forward", "loss", "backward", "clip", "optimiser")}


class Worst(NamedTuple):
    """The largest difference below and above, in percent."""

    below: float = 0.0
    above: float = 0.0

    def with_one(self, gap: float) -> Worst:
        """With one difference more."""
        return Worst(min(self.below, gap), max(self.above, gap))


@dataclass(frozen=True, slots=True)
class Point:
    """A job by both methods."""

    form: MemoryEstimate
    found: MemoryEstimate

    def peaks(self, part: str) -> tuple[PhasePeak, PhasePeak]:
        """The largest moments of a part of the run."""
        phases = (
            [one for one in each.phases if one.phase.startswith(_PARTS[part])] for each in (self.form, self.found)
        )
        form, found = (max(few, key=lambda one: one.peak_bytes) for few in phases)
        return form, found

    @property
    def is_beyond(self) -> bool:
        """Whether the run would take more than the estimate's range has."""
        return self.found.process.expected > self.form.process.high


def main() -> None:
    """Prints the table."""
    asked = _arguments()
    worst: dict[tuple[str, str, str], Worst] = defaultdict(Worst)
    count = beyond = 0
    for name in asked.names or _CONFIGS:
        for kernel, strategy, length, draft in _drafts(name, asked):
            point = Point(by_closed_form(draft), by_trace(draft, trace(question(draft))))
            where = f"{name:20} {strategy:5} {kernel:17} {length:7,}"
            print(where, " | ".join(_words(part, point, worst, (strategy, kernel)) for part in _PARTS), flush=True)
            count, beyond = count + 1, beyond + point.is_beyond
    for (part, strategy, kernel), gaps in sorted(worst.items()):
        print(f"{part:10} {strategy:5} {kernel:17} {gaps.below:+6.1f} to {gaps.above:+6.1f} %")
    print(f"{count} points, {beyond} above the estimate's range")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(_CONFIGS)}; all where none is given")
    parser.add_argument("--lengths", nargs="*", type=int, default=_LENGTHS, metavar="TOKENS", help="of a row")
    parser.add_argument(
        "--strategies", nargs="*", default=_STRATEGIES, metavar="KIND", help="as `strategy.kind` has it"
    )
    parser.add_argument("--attention", nargs="*", default=[], metavar="KERNEL", help="as `model.attention` has it")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in _CONFIGS]:
        parser.error(f"no architecture of this benchmark: {', '.join(unknown)}")
    return asked


def _drafts(name: str, asked: argparse.Namespace) -> Iterator[tuple[str, str, int, ClosedDraft]]:
    config = {**_CONFIGS[name], "max_position_embeddings": max(asked.lengths)}
    facts = grid_facts(config)
    for kernel in asked.attention or _kernels(config):
        for strategy in asked.strategies:
            for length in asked.lengths:
                yield kernel, strategy, length, _draft(facts, kernel, strategy, length)


def _kernels(config: dict[str, Any]) -> list[str]:
    """What transformers' class can have."""
    kind: Any = transformers.AutoModelForCausalLM._model_mapping[type(model_config(config))]
    kernels = {"sdpa": kind._supports_sdpa, "flash_attention_2": kind._supports_flash_attn, "eager": True}
    return [name for name, has in kernels.items() if has]


def _draft(facts: ModelFacts, kernel: str, strategy: str, length: int) -> ClosedDraft:
    settled = {"precision": "bfloat16", "packing": False, "micro_batch": 1, "batch_size": 8}
    draft = draft_of(
        facts=facts,
        device=_CARD,
        model={"base": "models/tiny", "attention": kernel},
        task={"kind": "pretraining"},
        strategy={"kind": strategy},
        train={**settled, "activation_checkpointing": True},
        eval={"batch_size": _EVALUATED},
    )
    report, packages = split_report(100, length_max=length, supervised_max=length - 1), dict.fromkeys(("flash-attn",))
    splits = dict.fromkeys(draft.splits, report)
    return decided(replace(draft, splits=splits, platform="linux_x86_64", packages={**draft.packages, **packages}))


def _words(part: str, point: Point, worst: dict[tuple[str, str, str], Worst], of: tuple[str, str]) -> str:
    form, found = point.peaks(part)
    gap = 100 * (form.peak_bytes / found.peak_bytes - 1)
    worst[part, *of] = worst[part, *of].with_one(gap)
    places = "" if form.phase == found.phase else f" {form.phase} by estimate"
    return f"{form.peak_bytes / GIB:8.2f} {found.peak_bytes / GIB:8.2f} GiB {gap:+6.1f} % {found.phase}{places}"


if __name__ == "__main__":
    main()
