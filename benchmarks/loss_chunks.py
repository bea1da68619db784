"""Memory of the loss in chunks beside all logits at once: public architectures with long rows on a GPU with 80 GB.

    python benchmarks/loss_chunks.py [NAME …] [--lengths TOKENS …] [--attention KERNEL]

Each job is planned as a recipe's would be, by the analytical estimate, and both ways are then traced. A line for each:
the chunk that `auto` takes, the largest moment with all logits at once, and in chunks; each with the difference of the
estimate, and the largest moment of training alone. Nothing is trained. `--lengths` takes rows of so many tokens instead
of the usual ones, with LoRA alone, and `--attention` another kernel than the solver's.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' small jobs are made there

from benchmarks.support import GIB
from benchmarks.support.measured_points import CONFIGS
from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.memory import by_closed_form, by_trace, question
from ftc.runtime.memory_trace.child import trace
from ftc.spec.documents.estimates import MemoryEstimate
from tests.support.drafts import CARD, decided, draft_of, split_report
from tests.support.grid import GRID, grid_facts

_QWEN = {**CONFIGS["Qwen/Qwen2.5-7B-Instruct"], "max_position_embeddings": 32768}
_H100 = CARD.model_copy(update={"name": "h100-80gb", "capability": (9, 0), "memory_bytes": 85_520_809_984})


@dataclass(frozen=True, slots=True)
class Case:
    """A job: a model's sizes, a strategy, and rows of so many tokens, all of them trained on."""

    name: str
    config: dict[str, Any]
    strategy: str
    length: int


def _cases(lengths: list[int]) -> list[Case]:
    if lengths:
        names = [name for name, config in GRID.items() if config["model_type"] == "llama"]
        return [
            Case(name, {**GRID[name], "max_position_embeddings": max(lengths)}, "lora", length)
            for name in names
            for length in lengths
        ]
    long = {"max_position_embeddings": 32768}
    found = [
        Case("Qwen2.5-7B", _QWEN, "lora", 32768),
        Case("Gemma-3-1B", GRID["Gemma-3-1B"] | long, "full", 32768),
    ]
    for name, config in GRID.items():
        if grid_facts(config).family != "encoder":
            key = "n_positions" if "n_positions" in config else "max_position_embeddings"
            found += [Case(name, {**config, key: 4096}, strategy, 4096) for strategy in ("lora", "full")]
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; all where none is given")
    parser.add_argument("--lengths", nargs="*", type=int, default=[], metavar="TOKENS", help="of a row, for Llamas")
    parser.add_argument("--attention", default="auto", metavar="KERNEL", help="as `model.attention` has it")
    asked = parser.parse_args()
    for case in _cases(asked.lengths):
        if asked.names and case.name not in asked.names:
            continue
        whole, chunked = (_plan(case, chunks, asked.attention) for chunks in ("none", "auto"))
        told = f"{chunked.candidate.loss_chunk_size or 'whole':>5}"
        sizes = " | ".join(_words(draft) for draft in (whole, chunked))
        print(f"{case.name:16} {case.strategy:4} {case.length:6,} {told} {sizes}", flush=True)


def _plan(case: Case, chunks: str, attention: str) -> ClosedDraft:
    facts = grid_facts(case.config)
    task = {"decoder": "pretraining", "encoder_decoder": "summarization"}[facts.family]
    settled = {"precision": "bfloat16", "packing": False, "micro_batch": 1, "batch_size": 8, "loss_chunk_size": chunks}
    model = {"base": "models/tiny", "attention": attention}
    sections = {"model": model, "task": {"kind": task}, "strategy": {"kind": case.strategy}, "train": settled}
    draft = draft_of(facts=facts, device=_H100, **sections)
    report = split_report(100, length_max=case.length, supervised_max=case.length - 1)
    return decided(replace(draft, splits=dict.fromkeys(draft.splits, report), platform="linux_x86_64"))


def _words(draft: ClosedDraft) -> str:
    form = by_closed_form(draft)
    found: MemoryEstimate = by_trace(draft, trace(question(draft)))
    way = draft.candidate.activation_checkpointing
    mode = way if isinstance(way, str) else "recomputed" if way else "kept"
    sizes = f"{found.process.expected / GIB:6.2f} GiB ({form.allocated_bytes / found.allocated_bytes - 1:+.1%})"
    training = max(one.peak_bytes for one in found.phases if one.phase.startswith(("forward", "backward")))
    return f"{sizes} {found.verdict:12} {mode:10} {found.peak_phase:24} training {training / GIB:6.2f}"


if __name__ == "__main__":
    main()
