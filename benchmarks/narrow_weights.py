"""Full training with weights in bfloat16 beside float32: public architectures on one GPU, planned and traced.

    python benchmarks/narrow_weights.py [NAME …]

Each job is planned as a recipe's would be, from the sizes in the model's published configuration. The arithmetic beside
it: bfloat16 with AdamW takes 16 bytes a weight (float32 weight 4, gradient 4, two moments 8), `pure_bfloat16` with
Kahan summation 10 (weight 2, gradient 2, two moments 4, what rounding took 2). Nothing is trained.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' small jobs are made there

from benchmarks.support import GIB
from benchmarks.support.measured_points import CONFIGS
from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.memory import by_closed_form, by_trace, question
from ftc.runtime.memory_trace.child import trace
from ftc.spec.devices import CARDS
from ftc.spec.documents.estimates import MemoryEstimate
from tests.support.drafts import CARD, decided, draft_of, split_report
from tests.support.grid import grid_facts


@dataclass(frozen=True, slots=True)
class Case:
    """A job: a model's public name, a GPU, and rows of so many tokens."""

    name: str
    card: str
    length: int


CASES = (
    Case("meta-llama/Llama-3.2-1B-Instruct", "rtx-4090", 1024),
    Case("Qwen/Qwen2.5-1.5B-Instruct", "rtx-4090", 1024),
    Case("meta-llama/Llama-3.2-3B-Instruct", "l40s", 736),
    Case("Qwen/Qwen2.5-3B-Instruct", "l40s", 1024),
    Case("mistralai/Mistral-7B-Instruct-v0.3", "h100-80gb", 1024),
)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; all where none is given")
    names = parser.parse_args().names
    for case in CASES:
        for precision in ("bfloat16", "pure_bfloat16"):
            if not names or case.name in names:
                print(f"{case.name:36} {case.card:9} {precision:13} {_words(planned(case, precision))}", flush=True)


def planned(case: Case, precision: str) -> ClosedDraft:
    """The draft of a recipe that trains a whole model."""
    known, train = CARDS[case.card], {"precision": precision, "packing": False, "batch_size": 16}
    changes = {"name": case.card, "label": known.label, "capability": known.capability, "speed": known.speed}
    device = CARD.model_copy(update={**changes, "memory_bytes": known.memory_bytes})
    facts = grid_facts({**CONFIGS[case.name], "max_position_embeddings": 4096})
    draft = draft_of(facts=facts, device=device, task={"kind": "chat"}, strategy={"kind": "full"}, train=train)
    report = split_report(1000, length_max=case.length, supervised_max=case.length // 2)
    splits = dict.fromkeys(draft.splits, report)
    return decided(replace(draft, splits=splits, platform="linux_x86_64", packages=frozenset(("torch-optimi",))))


def _words(draft: ClosedDraft) -> str:
    form, weights = by_closed_form(draft), draft.model.num_parameters
    found: MemoryEstimate = by_trace(draft, trace(question(draft)))
    step = next(one.components for one in found.phases if one.phase == "optimiser step")
    each = sum(step[name] for name in ("weights", "gradients", "optimiser state")) / weights
    refused = ", ".join(one.code for one in draft.diagnostics if one.is_error) or "fits"
    mode = "recomputed" if draft.candidate.activation_checkpointing else "kept"
    return (
        f"{weights / 1e9:.2f} G weights, {each:5.2f} bytes each, batch {draft.candidate.micro_batch:2} {mode:10} "
        f"{found.process.expected / GIB:6.2f} of {draft.device.memory_bytes / GIB:.1f} GiB {refused:6} "
        f"(estimate {form.allocated_bytes / found.allocated_bytes - 1:+.1%})"
    )


if __name__ == "__main__":
    main()
