"""Operations counted from shapes are those that torch counts while a real step is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ftc.compiler.resolve.models.model_config import read_config
from ftc.compiler.resolve.models.model_form import linear_modules
from ftc.compiler.resolve.models.weights import read_header
from ftc.compiler.time.amounts import batch_amounts, cost, kernel_of
from ftc.compiler.time.network import network_of
from ftc.compiler.time.operator_costs import flop_rates
from ftc.runtime.evaluation.scoring import eval_mode, score_rows
from ftc.runtime.execution.accelerator import make_accelerator
from ftc.runtime.memory_trace.kernels import KernelRules, choose
from ftc.runtime.memory_trace.rows import stand_in_rows
from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.runtime.training.signals import StopRequest
from ftc.spec.checkpointing import Recomputing
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.settings import Settings
from ftc.spec.strategies.common import low_rank
from tests.support.drafts import CARD, CPU, model_facts
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import trace_job

ROWS, LENGTH, SCORED, RANK = 3, 40, 12, 8
TARGETS = {
    "llama": ("q_proj", "v_proj", "up_proj", "down_proj"),
    "gemma2": ("q_proj", "v_proj"),
    "bert": ("query", "value"),
    "gpt2": ("c_attn", "c_fc"),
    "t5": ("q", "v"),
    "bart": ("q_proj", "fc1"),
}
ENCODER_DECODERS = ("t5", "bart")
SLOW = ("gemma2", "bart")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for kind in TARGETS:
        write_tiny_model(root / kind, kind)
    return {kind: root / kind for kind in TARGETS}


def facts_of(folder: Path) -> Any:
    config = read_config(json.loads((folder / "config.json").read_text()))
    tensors = read_header(folder / "model.safetensors")
    return model_facts().model_copy(
        update={
            **{name: getattr(config, name) for name in ("family", "model_type", "hidden_size", "intermediate_size")},
            **{name: getattr(config, name) for name in ("num_layers", "num_decoder_layers", "num_heads", "vocab_size")},
            **{name: getattr(config, name) for name in ("num_kv_heads", "head_dim")},
            "tensors": tensors,
            "linear_modules": linear_modules(tensors, config.model_type),
        }
    )


def settings_of(kind: str, strategy: str, num_modules: int, *, checkpointing: Recomputing) -> Settings:
    base = "bert" if kind == "bert" else "llama"
    settings = trace_job({"model_type": base}, strategy, rank=RANK, num_modules=num_modules).settings
    plain = settings.model_dump()
    if strategy == "lora":
        plain["strategy"]["adapter"] |= {"targets": TARGETS[kind], "dropout": 0.0}
    if kind in ENCODER_DECODERS:
        plain["model"] |= {"family": "encoder_decoder", "decoder_start_id": 0}
    plain["model"] |= {"attention": "eager"}
    plain["train"] |= {"activation_checkpointing": checkpointing, "precision": "float32"}
    return Settings.model_validate(plain)


def counted(folder: Path, settings: Settings) -> int:
    """What torch counts in one forward and backward pass of the run's own model and scorer."""
    model = build_model(settings, FolderBase(folder), torch.device("cpu")).train()
    scorer = make_scorer(model, settings)
    rows = stand_in_rows(settings, BatchShape(length=LENGTH, supervised=SCORED, padded=False), ROWS)
    batch = scorer.batch(rows, list(range(ROWS)))
    assert trainable_tensors(model)
    with FlopCounterMode(display=False) as counter:
        scorer.losses(scorer.logits(model, batch), batch).sum().backward()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("checkpointing", [False, "selective", True], ids=["kept", "selective", "recomputed"])
@pytest.mark.parametrize("strategy", ["full", "lora"])
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in SLOW else kind for kind in TARGETS]
)
def test_operations_are_those_that_torch_counts(
    kind: str, strategy: str, checkpointing: Recomputing, models: dict[str, Path]
) -> None:
    facts = facts_of(models[kind])
    adapted = {name: size for name, size in facts.linear_modules.items() if name.rsplit(".", 1)[-1] in TARGETS[kind]}
    settings = settings_of(kind, strategy, len(adapted), checkpointing=checkpointing)
    network = network_of(
        facts,
        beside={name: low_rank(RANK, *size) for name, size in adapted.items()} if strategy == "lora" else {},
        trained=facts.linear_modules if strategy == "full" else (),
        flows_from_start=strategy == "full",
        trainable=0,
        new_outputs=len(settings.text.labels) if kind == "bert" else 0,
        attention="formula",
    )
    if kind in ENCODER_DECODERS:
        amounts = batch_amounts(ROWS, LENGTH - SCORED, target_length=SCORED, scored=ROWS * SCORED)
    else:
        amounts = batch_amounts(ROWS, LENGTH, scored=ROWS if kind == "bert" else ROWS * SCORED)
    expected = cost(flop_rates(network, checkpointing=checkpointing).step, amounts)
    assert expected == pytest.approx(counted(models[kind], settings), rel=0.01)


@pytest.mark.parametrize("checkpointing", [False, "selective", True], ids=["kept", "selective", "recomputed"])
def test_layers_below_the_lowest_trained_one_have_no_backward_pass(
    checkpointing: Recomputing, models: dict[str, Path]
) -> None:
    facts, settings = facts_of(models["llama"]), settings_of("llama", "partial", 0, checkpointing=checkpointing)
    last = f"layers.{facts.num_layers - 1}."
    network = network_of(
        facts,
        beside={},
        trained={name for name in facts.linear_modules if last in name},
        flows_from_start=False,
        trainable=0,
        new_outputs=0,
        attention="formula",
    )
    amounts = batch_amounts(ROWS, LENGTH, scored=ROWS * SCORED)
    expected = cost(flop_rates(network, checkpointing=checkpointing).step, amounts)
    assert expected == pytest.approx(counted(models["llama"], settings), rel=0.01)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_operations_of_a_look_whose_rows_get_classes(kind: str, models: dict[str, Path]) -> None:
    """Behind the last attention the run computes one place of each row."""
    plain = settings_of(kind, "full", 0, checkpointing=False).model_dump()
    plain["model"] |= {"head": "classification"}
    plain["text"] |= {"form": "classify", "labels": ("a", "b", "c")}
    plain["device"] |= {"name": "cpu", "kind": "cpu"}
    settings = Settings.model_validate(plain)
    model = build_model(settings, FolderBase(models[kind]), torch.device("cpu"))
    work = ModelWithScorer(model, make_scorer(model, settings))
    rows = stand_in_rows(settings, BatchShape(length=LENGTH, supervised=1, padded=False), ROWS)

    def look() -> None:
        list(score_rows(work, rows, ROWS, make_accelerator(settings), StopRequest()))

    with eval_mode(model), FlopCounterMode(display=False) as counter:
        look()  # finds out what the head reads
        before = counter.get_total_flops()
        look()
    network = network_of(
        facts_of(models[kind]), beside={}, trained=(), flows_from_start=False, trainable=0, new_outputs=3,
        attention="formula",
    )  # fmt: skip
    rates = flop_rates(network, checkpointing=False, one_place=True)
    expected = cost(rates.forward, batch_amounts(ROWS, LENGTH, scored=ROWS))
    assert expected == pytest.approx(counter.get_total_flops() - before, rel=0.01)


OTHERS: dict[str, dict[str, Any]] = {
    "partial": {"kind": "partial", "layers": 1, "embeddings": False},
    "ln_tuning": {"kind": "ln_tuning", "num_modules": 5},
    "ia3": {"kind": "ia3", "num_modules": 6},
    "bottleneck": {
        "kind": "bottleneck", "num_modules": 2, "placement": "pfeiffer", "size": RANK, "activation": "relu",
    },
    "prompt_tuning": {"kind": "prompt_tuning", "virtual_tokens": 4, "init": "random"},
}  # fmt: skip


@pytest.mark.parametrize("strategy", list(OTHERS))
def test_operations_of_other_strategies(strategy: str, models: dict[str, Path]) -> None:
    facts = facts_of(models["llama"])
    plain = settings_of("llama", "full", 0, checkpointing=False).model_dump()
    settings = Settings.model_validate({**plain, "strategy": OTHERS[strategy]})
    outputs = [name for name in facts.linear_modules if name.endswith("down_proj")]
    scaled = [name for name in facts.linear_modules if name.endswith(("k_proj", "v_proj", "down_proj"))]
    ranks = {"bottleneck": dict.fromkeys(outputs, RANK), "ia3": dict.fromkeys(scaled, 0)}
    network = network_of(
        facts,
        beside={name: low_rank(rank, *facts.linear_modules[name]) for name, rank in ranks.get(strategy, {}).items()},
        trained=[name for name in facts.linear_modules if ".layers.1." in name] if strategy == "partial" else (),
        flows_from_start=strategy in ("ln_tuning", "prompt_tuning"),
        trainable=0,
        new_outputs=0,
        attention="formula",
    )
    length = LENGTH + OTHERS[strategy].get("virtual_tokens", 0)
    expected = cost(flop_rates(network, checkpointing=False).step, batch_amounts(ROWS, length, scored=ROWS * SCORED))
    assert expected == pytest.approx(counted(models["llama"], settings), rel=0.01)


@pytest.mark.parametrize("capability", [None, (7, 5), (8, 0), (9, 0)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_kernel_that_is_counted_is_the_one_that_is_traced(capability: Any, precision: str) -> None:
    device = CPU if capability is None else CARD.model_copy(update={"capability": capability})
    for head, dropout in ((64, 0.0), (64, 0.1), (320, 0.0)):
        facts = model_facts().model_copy(update={"head_dim": head, "config": {"attention_dropout": dropout}})
        traced = choose(
            KernelRules(capability), getattr(torch, precision), has_mask=False, groups=1, head_dim=head, dropout=dropout
        )
        counted = kernel_of(facts, device, "sdpa", precision, training=True)
        assert counted.replace("processor", "flash") == traced.replace("math", "formula")
