"""What models are read as by the names and shapes of their weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftc.compiler.memory.memory import by_closed_form
from ftc.compiler.time.network import composes_norms, network_of, rotates
from ftc.spec.documents.facts import ModelFacts, TensorFacts
from tests.support.drafts import decided, draft_of, model_facts


def renamed(attention: str, mlp: str, **changes: Any) -> ModelFacts:
    """A model whose closing layers have these names."""
    names = {"self_attn.v_proj": attention, "mlp.down_proj": mlp}
    plain = model_facts()

    def name_of(name: str) -> str:
        return next((name.replace(old, new) for old, new in names.items() if old in name), name)

    linear = {name_of(name): size for name, size in plain.linear_modules.items()}
    tensors = {name_of(name): tensor for name, tensor in plain.tensors.items()}
    return plain.model_copy(update={"linear_modules": linear, "tensors": tensors, **changes})


def kept(facts: ModelFacts, **strategy: Any) -> int:
    """Bytes of activations that are kept at the peak."""
    drafted = decided(draft_of(facts=facts, strategy=strategy))
    candidate = replace(
        drafted.candidate,
        micro_batch=2,
        activation_checkpointing=False,
        eval_batch=2,
        packing=False,
        micro_batch_tokens=None,
    )
    return by_closed_form(drafted.at(candidate)).components["saved activations"]


@pytest.mark.parametrize(
    ("attention", "mlp"),
    [
        ("self_attn.o_proj", "mlp.down_proj"),
        ("self_attention.dense", "mlp.dense_4h_to_h"),
        ("self_attn.dense", "mlp.fc2"),
        ("attn.Wo", "mlp.Wo"),
        ("attn.c_proj", "mlp.c_proj"),
    ],
)
def test_what_closes_a_layer_is_known_by_any_of_its_names(attention: str, mlp: str) -> None:
    facts = renamed(attention, mlp)
    network = network_of(
        facts, beside={}, trained=(), flows_from_start=False, trainable=0, new_outputs=0, attention="processor"
    )
    parts = {one.part: one.name.partition("layers.")[2][2:] for one in network.linears}
    assert (parts["attention out"], parts["feed out"]) == (attention, mlp)
    assert kept(facts, kind="full") == kept(renamed("self_attn.o_proj", "mlp.down_proj"), kind="full")


@pytest.mark.parametrize(
    ("kind", "family", "tensor", "composed", "turned"),
    [
        ("llama", "decoder", "layers.0.input_layernorm.weight", True, True),
        ("cohere", "decoder", "layers.0.input_layernorm.weight", True, True),
        ("phi", "decoder", "layers.0.input_layernorm.bias", False, True),
        ("olmo", "decoder", "layers.0.mlp.up_proj.weight", False, True),
        ("gpt2", "decoder", "h.0.ln_1.bias", False, False),
        ("biogpt", "decoder", "position_embeddings.weight", True, False),
        ("mpt", "decoder", "blocks.0.norm_1.weight", False, False),
        ("modernbert", "encoder", "layers.0.attn_norm.weight", False, True),
        ("bert", "encoder", "layer.0.LayerNorm.beta", False, False),
        ("t5", "encoder_decoder", "encoder.block.0.layer_norm.weight", True, False),
    ],
)
def test_norms_and_places(kind: str, family: str, tensor: str, composed: bool, turned: bool) -> None:
    facts = model_facts(model_type=kind, tensors={tensor: TensorFacts(dtype="F32", shape=(64,))})
    facts = facts.model_copy(update={"family": family})
    assert (composes_norms(facts), rotates(facts)) == (composed, turned)


def test_adapters_keep_by_their_own_rank() -> None:
    targets = ["q_proj", "v_proj"]
    plain = kept(model_facts(), kind="lora", rank=4, targets=targets)
    wide = kept(model_facts(), kind="lora", rank=4, targets=targets, ranks={"v_proj": 12})
    assert wide - plain == (kept(model_facts(), kind="lora", rank=12, targets=targets) - plain) / 2 > 0
