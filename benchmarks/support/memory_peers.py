"""What three other estimators say of published runs; runs where they are installed, and imports nothing of ftc.

    PYTHON benchmarks/support/memory_peers.py < POINTS > PREDICTIONS

A line of JSON holds a list of runs: sizes of a model, its number of weights, and the run's settings. The answer is a
line with a list of predictions in bytes for each of the three, `null` where one refuses.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

Run = dict[str, Any]


def fitcheck(run: Run) -> float:
    """The whole process, by fitcheck-llm."""
    from fitcheck.config_parser import ModelConfig
    from fitcheck.estimator import TrainingConfig, estimate
    from fitcheck.gpu_db import GpuSpec

    sizes = run["config"]
    model = ModelConfig(
        name=run["model"],
        num_params=run["weights"],
        hidden_size=sizes["hidden_size"],
        num_layers=sizes["num_hidden_layers"],
        num_attention_heads=sizes["num_attention_heads"],
        num_kv_heads=sizes["num_key_value_heads"],
        intermediate_size=sizes["intermediate_size"],
        vocab_size=sizes["vocab_size"],
        head_dim=sizes.get("head_dim") or sizes["hidden_size"] // sizes["num_attention_heads"],
        tie_word_embeddings=sizes["tie_word_embeddings"],
    )
    training = TrainingConfig(
        precision=run["precision"],
        quantization="nf4" if run["quantised"] else "none",
        double_quant=run["double_quantised"],
        optimizer="adam8bit" if run["states_in_8_bits"] else "adamw",
        batch_size=run["batch"],
        seq_len=run["length"],
        lora_rank=run["rank"],
        lora_targets=["q_proj", "k_proj", "v_proj", "o_proj"],
        grad_checkpoint=run["checkpointing"],
        flash_attn=not run["eager"],
    )
    card = GpuSpec("Tesla T4", 14_912, 14_000) if run["is_t4"] else GpuSpec("RTX 4080", 16_376, 15_500)
    return float(estimate(model, training, card).total_mib) * 2**20


def canifinetune(run: Run) -> float:
    """What torch reserves, by canifinetune, its safety margin left out."""
    from canifinetune.estimator.memory import EstimateRequest, estimate

    request = EstimateRequest(
        model_id=run["model"],
        gpu_vram_gb=14.56 if run["is_t4"] else 16.0,
        method="qlora" if run["quantised"] else "lora",
        seq_len=run["length"],
        micro_batch_size=run["batch"],
        lora_rank=run["rank"],
        lora_target_scope="attention",
        attention_implementation="eager" if run["eager"] else "sdpa",
        base_dtype=run["precision"],
        optimizer="paged_adamw_8bit" if run["states_in_8_bits"] else "adamw_torch",
        gradient_checkpointing=run["checkpointing"],
        override={**run["config"], "total_params": run["weights"]},
        use_network=False,
    )
    memory = estimate(request).memory
    return float(memory.total_estimated_gb - memory.safety_margin_gb) * 2**30


def fitscout(run: Run) -> float:
    """The whole process, by fitscout."""
    from fitscout.memory.estimator import estimate_memory
    from fitscout.model.profile import ModelProfile

    sizes = run["config"]
    profile = ModelProfile(
        params=run["weights"],
        num_layers=sizes["num_hidden_layers"],
        hidden_size=sizes["hidden_size"],
        num_attention_heads=sizes["num_attention_heads"],
        num_kv_heads=sizes["num_key_value_heads"],
        intermediate_size=sizes["intermediate_size"],
        vocab_size=sizes["vocab_size"],
        tie_word_embeddings=sizes["tie_word_embeddings"],
    )
    found = estimate_memory(
        profile,
        method="qlora" if run["quantised"] else "lora",
        micro_batch=run["batch"],
        seq_len=run["length"],
        grad_ckpt=run["checkpointing"],
        opt_8bit=run["states_in_8_bits"],
        lora_rank=run["rank"],
    )
    return float(found.total_gb) * 2**30


PEERS: dict[str, Callable[[Run], float]] = {
    "fitcheck-llm": fitcheck,
    "canifinetune": canifinetune,
    "fitscout": fitscout,
}


def main() -> None:
    """Answers the one line of standard input."""
    runs = json.loads(sys.stdin.readline())
    print(json.dumps({name: [_said(peer, run) for run in runs] for name, peer in PEERS.items()}))


def _said(peer: Callable[[Run], float], run: Run) -> float | None:
    try:
        return peer(run)
    except Exception as error:  # noqa: BLE001 - a refusal of another tool is an answer
        print(f"{type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        return None


if __name__ == "__main__":
    main()
