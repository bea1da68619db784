"""How far the closed form of memory is from the trace: public architectures, strategies, with and without recomputing.

    python benchmarks/closed_form.py

Both are asked for the same training step in bfloat16 on a card of capability 8.0: micro-batches of 2 rows of 1,024
tokens, 256 of them supervised. A line for each point, and the largest and the median difference at the end.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' small jobs are made there

from memory import CONFIGS

from ftc.compiler.budget.closed_form import Job, estimate
from ftc.compiler.resolve.linear_modules import linear_modules
from ftc.runtime.trace.child import trace
from ftc.runtime.trace.meta_model import model_config
from ftc.spec.facts import ModelFacts, TensorFacts
from ftc.spec.trace import BatchShape
from tests.support.drafts import model_facts
from tests.support.trace_jobs import trace_job

_ROWS, _LENGTH, _SUPERVISED, _RANK = 2, 1024, 256, 16
_NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
_TARGETS = ("q_proj", "v_proj")


def main() -> None:
    """Prints the table."""
    gaps = []
    for name, config in CONFIGS.items():
        facts = _facts(config)
        for strategy in ("lora", "qlora", "full"):
            for recomputing in (False, True):
                form, traced = _by_form(facts, strategy, recomputing), _by_trace(config, strategy, recomputing)
                gaps.append(100 * (form / traced - 1))
                where = f"{name.rpartition('/')[2]:28} {strategy:5} {'recomputing' if recomputing else '':11}"
                print(f"{where} {form / 2**30:7.2f} {traced / 2**30:7.2f} GiB {gaps[-1]:+6.1f} %", flush=True)
    sizes = [abs(gap) for gap in gaps]
    print(f"{len(gaps)} points: median {statistics.median(sizes):.1f} %, largest {max(sizes):.1f} %")


def _facts(config: dict[str, Any]) -> ModelFacts:
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(model_config(config))
    tensors = {name: TensorFacts(dtype="F32", shape=tuple(one.shape)) for name, one in model.named_parameters()}
    heads = config["num_attention_heads"]
    return model_facts(
        model_type=config["model_type"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=config["num_key_value_heads"],
        head_dim=config.get("head_dim", config["hidden_size"] // heads),
        vocab_size=config["vocab_size"],
        tensors=tensors,
        linear_modules=linear_modules(tensors, config["model_type"]),
    )


def _by_form(facts: ModelFacts, strategy: str, recomputing: bool) -> int:
    targets = {name: size for name, size in facts.linear_modules.items() if name.endswith(_TARGETS)}
    full = strategy == "full"
    trained = facts.num_parameters if full else sum(_RANK * (i + o) for i, o in targets.values())
    job = Job(
        model=facts,
        trained_linear={} if full else targets,
        rank=0 if full else _RANK,
        num_trainable=trained,
        head_width=facts.vocab_size,
        head_rows=_ROWS * _SUPERVISED,
        tokens=_ROWS * _LENGTH,
        weight_bytes={"full": 4.0, "lora": 2.0, "qlora": _mean_nf4_bytes(facts)}[strategy],
        activation_bytes=2,
        checkpointing=recomputing,
        accumulates=True,
        residual_bytes=4 if strategy == "qlora" else None,
    )
    return estimate(job).peak_bytes


def _mean_nf4_bytes(facts: ModelFacts) -> float:
    linear = sum(inputs * outputs for inputs, outputs in facts.linear_modules.values())
    return (linear * _NF4 + (facts.num_parameters - linear) * 4) / facts.num_parameters


def _by_trace(config: dict[str, Any], strategy: str, recomputing: bool) -> int:
    job = trace_job(
        config,
        strategy,
        shape=BatchShape(length=_LENGTH, supervised=_SUPERVISED, padded=False),
        rank=_RANK,
        train__activation_checkpointing=recomputing,
        train__precision="bfloat16",
        train__micro_batch=_ROWS,
    )
    return trace(job.model_copy(update={"evaluation": None})).allocated_bytes


if __name__ == "__main__":
    main()
