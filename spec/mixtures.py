"""Mixtures of experts as model types have them: what rows of `ftc.spec.architectures` share."""

from __future__ import annotations

from dataclasses import replace

from ftc.spec.architecture_card import Mixture

__all__ = [
    "DEEPSEEK_EXPERTS",
    "DEEPSEEK_V3_EXPERTS",
    "EXPERTS",
    "GPT_OSS_EXPERTS",
    "GRANITE_EXPERTS",
    "MIXTRAL_EXPERTS",
    "OLMOE_EXPERTS",
    "SHARED_EXPERTS",
]

_GATED, _NUMBERED = ("gate", "gate_proj", "up_proj", "down_proj"), ("gate", "w1", "w3", "w2")
EXPERTS = Mixture(
    inner="moe_intermediate_size",
    experts=("experts",),
    matrices=("mlp.experts.gate_up_proj", "mlp.experts.down_proj"),
    routers=("mlp.gate",),
    has_loss=True,
    widths_between=4,
    shares_first=False,
    wide_shares=False,
    peft_names=_GATED,
)
MIXTRAL_EXPERTS = replace(
    EXPERTS,
    inner="intermediate_size",
    routers=("mlp.gate", "block_sparse_moe.gate"),
    wide_shares=True,
    peft_names=_NUMBERED,
)
SHARED_EXPERTS = replace(EXPERTS, routers=("mlp.gate", "mlp.shared_expert_gate"), shares_first=True, peft_names=())
GRANITE_EXPERTS = Mixture(
    inner="intermediate_size",
    experts=("experts", "input_linear", "output_linear"),
    matrices=("block_sparse_moe.experts.gate_up_proj", "block_sparse_moe.experts.down_proj"),
    routers=("block_sparse_moe.router",),
    has_loss=True,
    widths_between=4,
    shares_first=False,
    wide_shares=False,
    peft_names=(),
)
GPT_OSS_EXPERTS = replace(
    EXPERTS,
    inner="intermediate_size",
    routers=("mlp.router",),
    # Both halves of biases and of what the product gave; gate, value, activation, value and one, and their product.
    widths_between=9,
    peft_names=(),
)
DEEPSEEK_V3_EXPERTS = replace(EXPERTS, has_loss=False)
DEEPSEEK_EXPERTS = replace(DEEPSEEK_V3_EXPERTS, wide_shares=True)
OLMOE_EXPERTS = replace(EXPERTS, inner="intermediate_size")
