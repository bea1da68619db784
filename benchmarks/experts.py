"""Mixtures of experts at their real sizes: parameters, FLOPs and memory of a plan beside arithmetic by hand.

    python benchmarks/experts.py [NAME …] [--out FILE]

Sizes are those of the published `config.json`; no weight is read. For each model the arithmetic below gives its
parameters, those that a token goes through, and the bytes that frozen weights and checkpoints of layers take. A LoRA on
attention is then planned for one row of 4,096 tokens on a GPU with 141 GB, and traced, whether or not it fits; and the
same with an adapter of the experts beside it. Nothing is trained.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' small jobs are made there

from benchmarks.support import GIB
from benchmarks.support.published_models import run_cases
from ftc.compiler.memory.memory import by_closed_form, by_trace, question
from ftc.compiler.time.network import network_of
from ftc.compiler.time.operator_costs import flop_rates
from ftc.runtime.memory_trace.child import trace
from ftc.spec.documents.estimates import MemoryEstimate
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.experts import NUM_EXPERTS
from tests.support.drafts import H200, decided, draft_of, split_report
from tests.support.grid import grid_facts

_TOKENS = 4096
_RANK = 16


@dataclass(frozen=True, slots=True)
class Case:
    """A model's published sizes, and what by hand comes to."""

    name: str
    config: dict[str, Any]
    parameters: int
    active: int


def _case(name: str, outside: int, dense: int, layers: int, around: int, expert: int, **config: Any) -> Case:
    """By hand: what is outside of layers, dense layers whole, and of the others what is around experts, and experts."""
    count = next(config[key] for key in NUM_EXPERTS if key in config)
    chosen, depth = config["num_experts_per_tok"], config["num_hidden_layers"]
    sizes = (outside + dense + layers * (around + number * expert) for number in (count, chosen))
    assert depth >= layers
    return Case(name, {"tie_word_embeddings": False, "max_position_embeddings": 32768, **config}, *sizes)


_LATENT_V3 = 7168 * 1536 + 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 + 512 * 128 * 256 + 128 * 128 * 7168 + 2 * 7168
"""Of a layer of DeepSeek-V3: queries, keys and values by way of latents with a norm each, the output, two norms."""
CASES = (
    _case(
        "Qwen3-30B-A3B",
        outside=2 * 151936 * 2048 + 2048,
        dense=0,
        layers=48,
        # queries and output 2048 x 4096, keys and values 2048 x 512, two norms of heads, two of states, the router
        around=2 * 2048 * 4096 + 2 * 2048 * 512 + 2 * 128 + 2 * 2048 + 128 * 2048,
        expert=3 * 2048 * 768,
        model_type="qwen3_moe", hidden_size=2048, intermediate_size=6144, moe_intermediate_size=768,
        num_hidden_layers=48, num_attention_heads=32, num_key_value_heads=4, head_dim=128, vocab_size=151936,
        num_experts=128, num_experts_per_tok=8,
    ),
    _case(
        "Mixtral-8x7B",
        outside=2 * 32000 * 4096 + 4096,
        dense=0,
        layers=32,
        around=2 * 4096 * 4096 + 2 * 4096 * 1024 + 2 * 4096 + 8 * 4096,
        expert=3 * 4096 * 14336,
        model_type="mixtral", hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, vocab_size=32000, num_local_experts=8, num_experts_per_tok=2,
    ),
    _case(
        "OLMoE-1B-7B",
        outside=2 * 50304 * 2048 + 2048,
        dense=0,
        layers=16,
        around=4 * 2048 * 2048 + 4 * 2048 + 64 * 2048,
        expert=3 * 2048 * 1024,
        model_type="olmoe", hidden_size=2048, intermediate_size=1024, num_hidden_layers=16, num_attention_heads=16,
        num_key_value_heads=16, vocab_size=50304, num_experts=64, num_experts_per_tok=8,
    ),
    _case(
        "DeepSeek-V2-Lite",
        outside=2 * 102400 * 2048 + 2048,
        # the first layer: latent attention as below, and a feed-forward part of 10944
        dense=2048 * 16 * 192 + 2048 * 576 + 512 + 512 * 16 * 256 + 2048 * 2048 + 2 * 2048 + 3 * 2048 * 10944,
        layers=26,
        # and there the router, and two experts that all tokens share
        around=2048 * 16 * 192 + 2048 * 576 + 512 + 512 * 16 * 256 + 2048 * 2048 + 2 * 2048
        + 64 * 2048 + 3 * 2048 * 2816,
        expert=3 * 2048 * 1408,
        model_type="deepseek_v2", hidden_size=2048, intermediate_size=10944, moe_intermediate_size=1408,
        num_hidden_layers=27, num_attention_heads=16, num_key_value_heads=16, vocab_size=102400, n_routed_experts=64,
        n_shared_experts=2, num_experts_per_tok=6, first_k_dense_replace=1, q_lora_rank=None, kv_lora_rank=512,
        qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128,
    ),
    _case(
        "gpt-oss-20b",
        outside=2 * 201088 * 2880 + 2880,
        dense=0,
        layers=24,
        # queries and output with biases, keys and values with biases, sinks, two norms, the router with its bias
        around=2 * 2880 * 4096 + 4096 + 2880 + 2 * (2880 * 512 + 512) + 64 + 2 * 2880 + 32 * 2880 + 32,
        expert=3 * 2880 * 2880 + 2 * 2880 + 2880,
        model_type="gpt_oss", hidden_size=2880, intermediate_size=2880, num_hidden_layers=24, num_attention_heads=64,
        num_key_value_heads=8, head_dim=64, vocab_size=201088, num_local_experts=32, num_experts_per_tok=4,
    ),
    _case(
        "Qwen1.5-MoE-A2.7B",
        outside=2 * 151936 * 2048 + 2048,
        dense=0,
        layers=24,
        # four projections, three of them with biases, two norms, the router, the expert of all tokens and its gate
        around=4 * 2048 * 2048 + 3 * 2048 + 2 * 2048 + 60 * 2048 + 3 * 2048 * 5632 + 2048,
        expert=3 * 2048 * 1408,
        model_type="qwen2_moe", hidden_size=2048, intermediate_size=5632, moe_intermediate_size=1408,
        shared_expert_intermediate_size=5632, num_hidden_layers=24, num_attention_heads=16, num_key_value_heads=16,
        vocab_size=151936, num_experts=60, num_experts_per_tok=4,
    ),
    _case(
        "Granite-3.0-1B-A400M",
        outside=49155 * 1024 + 1024,  # embeddings are the output layer, too
        dense=0,
        layers=24,
        around=2 * 1024 * 1024 + 2 * 1024 * 512 + 2 * 1024 + 32 * 1024,
        expert=3 * 1024 * 512,
        model_type="granitemoe", hidden_size=1024, intermediate_size=512, num_hidden_layers=24, num_attention_heads=16,
        num_key_value_heads=8, vocab_size=49155, num_local_experts=32, num_experts_per_tok=8, tie_word_embeddings=True,
    ),
    _case(
        "DeepSeek-V3",
        outside=2 * 129280 * 7168 + 7168,
        # three layers: latent attention with latent queries, two norms, and a feed-forward part of 18432
        dense=3 * (_LATENT_V3 + 3 * 7168 * 18432),
        layers=58,
        # and there the router, and an expert that all tokens share
        around=_LATENT_V3 + 256 * 7168 + 3 * 7168 * 2048,
        expert=3 * 7168 * 2048,
        model_type="deepseek_v3", hidden_size=7168, intermediate_size=18432, moe_intermediate_size=2048,
        num_hidden_layers=61, num_attention_heads=128, num_key_value_heads=128, vocab_size=129280, n_routed_experts=256,
        n_shared_experts=1, num_experts_per_tok=8, n_group=8, topk_group=4, first_k_dense_replace=3, q_lora_rank=1536,
        kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128,
    ),
)  # fmt: skip


def main() -> None:
    """Prints the table."""
    run_cases(CASES, measure, _line, about=__doc__)


def measure(case: Case) -> dict[str, Any]:
    """What ftc counts, estimates and traces of a model; bytes, and FLOPs of a token's forward pass."""
    facts = grid_facts(case.config)
    form, found = _planned(facts, {})
    with_experts, traced = _planned(facts, {"target_parameters": "all-experts"})
    return {
        "name": case.name,
        "model_type": case.config["model_type"],
        "parameters": facts.num_parameters,
        "active": facts.num_active,
        "forward_flops": _flops(facts),
        "weights": max(phase.components.get("weights", 0) for phase in found.phases),
        "training": _in_training(found),
        "traced": found.allocated_bytes,
        "estimated": form.allocated_bytes,
        "experts_training": _in_training(traced),
        "experts_traced": traced.allocated_bytes,
        "experts_estimated": with_experts.allocated_bytes,
    }


def _in_training(memory: MemoryEstimate) -> int:
    return max(one.peak_bytes for one in memory.phases if one.phase.startswith(("forward", "backward")))


def _planned(facts: ModelFacts, more: dict[str, Any]) -> tuple[MemoryEstimate, MemoryEstimate]:
    """By formula and by trace, of a LoRA of rank 16 on attention with something more."""
    settled = {"precision": "bfloat16", "packing": False, "micro_batch": 1, "batch_size": 8}
    settled |= {"activation_checkpointing": True, "loss_chunk_size": 1024}
    targets = sorted({name.rpartition(".")[2] for name in facts.linear_modules if ".self_attn." in name})
    draft = draft_of(
        facts=facts, device=H200, task={"kind": "pretraining"}, train=settled,
        strategy={"kind": "lora", "rank": _RANK, "targets": targets, **more},
    )  # fmt: skip
    report = split_report(100, length_max=_TOKENS, supervised_max=_TOKENS - 1)
    draft = decided(replace(draft, splits=dict.fromkeys(draft.splits, report), platform="linux_x86_64"))
    return by_closed_form(draft), by_trace(draft, trace(question(draft)))


def by_hand(case: Case) -> dict[str, float]:
    """The same figures by arithmetic: weights in 16 bits, and the inputs of layers, the rest of which is recomputed.

    Adapters of experts add their weights, their gradients and AdamW's two moments, in 32 bits each. The gradients of
    all layers are there, since a step has several micro-batches. In the layer whose backward pass runs, experts have
    two products, of which the weights with their adapters added are kept in 16 bits. Beside them are, at one moment,
    the gradient of the second product's sum of weights, or at another the inputs of both products: frozen experts alone
    need neither. The larger of the two counts.
    """
    tables = 1 if case.config["tie_word_embeddings"] else 2
    outside = tables * case.config["vocab_size"] * case.config["hidden_size"]
    hidden, inner = (
        case.config["hidden_size"],
        case.config.get("moe_intermediate_size", case.config["intermediate_size"]),
    )
    layers = case.config["num_hidden_layers"] - case.config.get("first_k_dense_replace", 0)
    count = next(case.config[key] for key in NUM_EXPERTS if key in case.config)
    inputs = case.config["num_hidden_layers"] * _TOKENS * hidden * 2
    adapters = layers * _RANK * count * (3 * inner + 2 * hidden)
    sums, gradient = 2 * count * 3 * hidden * inner, 2 * count * hidden * inner
    given = 2 * _TOKENS * case.config["num_experts_per_tok"] * (hidden + inner)
    return {
        "parameters": case.parameters,
        "active": case.active,
        "forward_flops": 2 * (case.active - outside),
        "weights": 2 * case.parameters,
        "training": 2 * case.parameters + inputs,
        "experts": (4 + 4 + 8) * adapters + sums + max(gradient, given),
    }


def _line(case: Case, found: dict[str, Any]) -> str:
    hand = by_hand(case)
    assert (found["parameters"], found["active"]) == (case.parameters, case.active), (found, case)
    return (
        f"{case.name:20} {case.parameters / 1e9:6.2f} B, {case.active / 1e9:5.2f} B active | "
        f"forward {found['forward_flops'] / 1e9:5.2f} GFLOP a token, "
        f"{found['forward_flops'] / hand['forward_flops'] - 1:+.1%} of 2 an active weight | "
        f"weights {found['weights'] / GIB:7.2f} GiB, by hand {hand['weights'] / GIB:7.2f} | "
        f"training {found['training'] / GIB:7.2f} GiB, weights and inputs of layers {hand['training'] / GIB:7.2f} | "
        f"formula {found['estimated'] / found['traced'] - 1:+.1%} | "
        f"with adapters of experts training {found['experts_training'] / GIB:7.2f} GiB, "
        f"{(found['experts_training'] - found['training']) / hand['experts'] - 1:+.1%} of what they add by hand, "
        f"formula {found['experts_estimated'] / found['experts_traced'] - 1:+.1%}"
    )


def _flops(facts: ModelFacts) -> float:
    network = network_of(
        facts, beside={}, trained=(), flows_from_start=False, trainable=0, new_outputs=0, attention="flash"
    )
    return flop_rates(network, checkpointing=False).forward.tokens


if __name__ == "__main__":
    main()
