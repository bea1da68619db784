"""Every strategy: the plan counts what the model trains, and the model computes what peft's own does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ftc import api
from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.spec.documents.plan import Plan
from tests.e2e.conftest import MakeProject

CPU = torch.device("cpu")
JOBS = (
    ("classification", "partial, layers: 1"),
    ("classification", "full, freeze: [embeddings, layer.0, output.dense]"),
    ("chat", "partial, parameters: [layers.1.self_attn, norm]"),
    ("chat", "partial, layers: 1, parameters: [mlp, norm], freeze: [up_proj]"),
    ("summarization", "partial, layers: 1, parameters: [SelfAttention, 'Enc*'], freeze: [v, relative_*]"),
    ("classification", "bitfit"),
    ("chat", "ln_tuning"),
    ("summarization", "lora, dora: true, rank_stabilized: true, init: gaussian"),
    ("chat", "lora, ranks: {down_proj: 8, q_proj: 2}, alphas: {v_proj: 3}"),
    ("chat", "lora, patterns: [{layers: [1], rank: 8}, {modules: [q_proj], rank: 2, alpha: 3}]"),
    ("summarization", "lora, patterns: [{modules: [decoder.block.0.layer.0.SelfAttention.q], rank: 9}]"),
    ("summarization", "partial, layers: 1"),
    ("chat", "lora, modules_to_save: [norm, input_layernorm]"),
    ("classification", "lora, modules_to_save: [word_embeddings], targets: [query], dora: true"),
    ("chat", "ia3"),
    ("summarization", "bottleneck, placement: houlsby"),
    ("summarization", "prompt_tuning"),
    ("classification", "p_tuning"),
    ("chat", "p_tuning, encoder: lstm, encoder_size: 12"),
    ("summarization", "prefix_tuning"),
    ("chat", "prefix_tuning, projection_size: 24"),
)
"""A task and a strategy, so that each strategy and each family of models is among them."""


def planned(project: MakeProject, task: str, strategy: str, **more: Any) -> Plan:
    project(task, strategy, steps=2, **more)
    return api.plan(Path("recipe.yaml")).plan


def model_of(plan: Plan) -> Any:
    return build_model(plan.settings, FolderBase(Path(plan.settings.model.base)), CPU)


@pytest.mark.sample(2)
@pytest.mark.parametrize(("task", "strategy"), JOBS)
def test_the_plan_counts_what_the_model_trains(project: MakeProject, task: str, strategy: str) -> None:
    plan = planned(project, task, strategy)
    trained = trainable_tensors(model_of(plan))
    assert plan.model.num_trainable == sum(tensor.numel() for tensor in trained.values())
    assert all(tensor.dtype == torch.float32 for tensor in trained.values())


def test_what_patterns_name_is_trained_and_nothing_else(project: MakeProject) -> None:
    plan = planned(project, "classification", "full, freeze: [embeddings, layer.0, output.dense]")
    trained = trainable_tensors(model_of(plan))
    assert {"classifier.weight", "classifier.bias", "bert.encoder.layer.1.attention.self.query.weight"} <= set(trained)
    assert not [name for name in trained if ".embeddings." in name or ".layer.0." in name or ".output.dense." in name]


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_quantized_weights_of_both_widths(project: MakeProject, quantization: str) -> None:
    pytest.importorskip("bitsandbytes")
    plan = planned(project, "chat", f"qlora, quantization: {quantization}")
    model = model_of(plan)
    assert plan.model.num_trainable == sum(tensor.numel() for tensor in trainable_tensors(model).values())
    assert getattr(model, f"is_loaded_in_{8 if quantization == 'int8' else 4}bit")


LAYER_WISE = "patterns: [{modules: [layers.0.self_attn.q_proj], rank: 2}, {layers: [1], rank: 8, alpha: 5}]"
PATTERNS = [
    ("ranks: {down_proj: 8}, alphas: {v_proj: 3}", {"down_proj": 8}, {"v_proj": 3}),
    (LAYER_WISE, {"layers.0.self_attn.q_proj": 2, r"layers\.1\..*": 8}, {r"layers\.1\..*": 5}),
]
"""Words of the recipe, and what peft calls a rank pattern and an alpha pattern."""


@pytest.mark.parametrize(("words", "ranks", "alphas"), PATTERNS)
def test_every_variant_is_peft_s_own(
    words: str, ranks: dict[str, int], alphas: dict[str, int], project: MakeProject
) -> None:
    """One model as the plan has it built, one as somebody would with peft: the same bits from the same weights."""
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    plan = planned(project, "chat", f"lora, dora: true, rank_stabilized: true, {words}")
    ours = model_of(plan)
    torch.manual_seed(1)
    with torch.no_grad():
        for tensor in trainable_tensors(ours).values():
            tensor.add_(torch.randn_like(tensor), alpha=0.1)
    config = peft.LoraConfig(
        r=4,
        lora_alpha=8,
        lora_dropout=0.1,
        target_modules="all-linear",
        use_dora=True,
        use_rslora=True,
        rank_pattern=ranks,
        alpha_pattern=alphas,
        task_type="CAUSAL_LM",
    )
    base = transformers.AutoModelForCausalLM.from_pretrained(plan.settings.model.base, dtype=torch.float32)
    theirs = peft.get_peft_model(base, config).eval()
    peft.set_peft_model_state_dict(theirs, peft.get_peft_model_state_dict(ours, save_embedding_layers=False))
    ids = torch.arange(24).reshape(2, 12)
    with torch.no_grad():
        assert torch.equal(ours(input_ids=ids).logits, theirs(input_ids=ids).logits)


def test_the_last_layer_of_a_t5_is_the_last_of_each_of_its_stacks(project: MakeProject) -> None:
    trained = trainable_tensors(model_of(planned(project, "summarization", "partial, layers: 1")))
    blocks = {name.partition(".layer.")[0] for name in trained if ".layer." in name}
    assert blocks == {"encoder.block.1", "decoder.block.1"}, "a layer has sublayers, which are none themselves"


@pytest.mark.parametrize("init", ["pissa", "olora", "orthogonal"])
def test_a_beginning_within_the_weight_is_the_base_model(project: MakeProject, init: str) -> None:
    plan = planned(project, "chat", f"lora, init: {init}, dora: {str(init == 'orthogonal').lower()}")
    ids = torch.arange(24).reshape(2, 12)
    base = pytest.importorskip("transformers").AutoModelForCausalLM.from_pretrained(plan.settings.model.base)
    with torch.no_grad():
        torch.testing.assert_close(model_of(plan)(input_ids=ids).logits, base(input_ids=ids).logits, atol=1e-5, rtol=0)
