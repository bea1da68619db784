"""Memory of the loss in chunks beside all logits at once: public architectures with long rows on a GPU with 80 GB.

    python benchmarks/loss_chunks.py [NAME …]

Each job is planned as a recipe's would be, by the analytical estimate, and both ways are then traced. A line for each:
the chunk that `auto` takes, the largest moment with all logits at once, and in chunks. Nothing is trained.
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


def _cases() -> list[Case]:
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
    names = parser.parse_args().names
    for case in _cases():
        if names and case.name not in names:
            continue
        whole, chunked = (_plan(case, chunks) for chunks in ("none", "auto"))
        told = f"{chunked.candidate.loss_chunk_size or 'whole':>5}"
        sizes = " | ".join(_words(draft) for draft in (whole, chunked))
        print(f"{case.name:16} {case.strategy:4} {case.length:6,} {told} {sizes}", flush=True)


def _plan(case: Case, chunks: str) -> ClosedDraft:
    facts = grid_facts(case.config)
    task = {"decoder": "pretraining", "encoder_decoder": "summarization"}[facts.family]
    settled = {"precision": "bfloat16", "packing": False, "micro_batch": 1, "batch_size": 8, "loss_chunk_size": chunks}
    draft = draft_of(facts=facts, device=_H100, task={"kind": task}, strategy={"kind": case.strategy}, train=settled)
    report = split_report(100, length_max=case.length, supervised_max=case.length - 1)
    return decided(replace(draft, splits=dict.fromkeys(draft.splits, report), platform="linux_x86_64"))


def _words(draft: ClosedDraft) -> str:
    form = by_closed_form(draft)
    found: MemoryEstimate = by_trace(draft, trace(question(draft)))
    mode = "recomputed" if draft.candidate.activation_checkpointing else "kept"
    sizes = f"{found.process.expected / GIB:6.2f} GiB ({form.allocated_bytes / found.allocated_bytes - 1:+.1%})"
    return f"{sizes} {found.verdict:12} {mode:10} {found.peak_phase:24}"


if __name__ == "__main__":
    main()
