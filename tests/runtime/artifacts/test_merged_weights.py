"""Weights with an adapter in them: what they say alone is what base and adapter say beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ftc.runtime.artifacts.merge import agreement
from ftc.runtime.artifacts.merged_weights import MergedWeights, NotFinite, unpacked
from ftc.runtime.artifacts.tensor_files import content_digest
from ftc.runtime.models.base_model import FolderBase, auto_class, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.spec.heads import Choices
from ftc.spec.strategies.lora import LoraSettings
from ftc.spec.strategies.qlora import QLoraSettings
from tests.runtime.jobs import make_job

CPU = torch.device("cpu")
RANKS = {"rank_stabilized": True, "dora": True, "ranks": {"layers.1.self_attn.q_proj": 8}, "alphas": {"v_proj": 3}}
HEAD = {"num_modules": 4, "trained_modules": ("classifier",)}
JOBS: tuple[tuple[str, int, dict[str, Any], dict[str, Any]], ...] = (
    ("llama", 0, {}, RANKS),
    ("gpt2", 0, {}, {"init": "pissa"}),
    ("bert", 3, {}, {}),
    ("bert", 3, {"kind": "ia3", **HEAD, "num_modules": 6}, {}),
    ("bert", 3, {"kind": "ln_tuning", **HEAD, "num_modules": 5}, {}),
    ("llama", 0, {}, {"targets": ("embed_tokens", "q_proj"), "num_modules": 3}),
)
"""Kind of model, classes, a strategy instead of LoRA, and changes of LoRA; the last adapts a table that also writes."""


def adapted_model(settings: Any, folder: Path) -> Any:
    """As if something had been learned."""
    model: Any = build_model(settings, FolderBase(folder), CPU)
    torch.manual_seed(1)
    with torch.no_grad():
        for part in trainable_tensors(model).values():
            part.add_(torch.randn_like(part), alpha=0.1)
    return model


def logits(model: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.arange(4, 16).view(2, 6)).logits
    return found


def loaded(settings: Any, folder: Path, weights: MergedWeights) -> Any:
    """A model of the base's class with these weights alone."""
    found = {name: weights(name) for name in weights.forms}
    assert content_digest(found) == weights.content_digest()
    options: dict[str, Any] = {"num_labels": 3} if settings.text.labels else {}
    tied = weights.model.config.tie_word_embeddings
    model = auto_class(settings).from_pretrained(folder, tie_word_embeddings=tied, **options).eval()
    missing = model.load_state_dict(found, strict=False)
    assert missing.unexpected_keys == []
    assert set(missing.missing_keys) <= ({"lm_head.weight"} if tied else set())
    return model


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings:UserWarning")
@pytest.mark.parametrize(("kind", "classes", "strategy", "changes"), JOBS)
def test_alone_they_say_the_same(
    tmp_path: Path, kind: str, classes: int, strategy: dict[str, Any], changes: dict[str, Any]
) -> None:
    job = make_job(tmp_path, kind, classes=classes)
    settings = job.plan.settings
    plain = settings.model_dump()["strategy"]
    plain["adapter"] |= changes
    settings = type(settings).model_validate({**settings.model_dump(), "strategy": strategy or plain})
    adapted = adapted_model(settings, job.inputs.model_folder)
    before, base = logits(adapted), logits(build_model(settings, FolderBase(job.inputs.model_folder), CPU))
    assert (before - base).abs().max() > 0.01, "the adapter says something"
    merged = loaded(settings, job.inputs.model_folder, MergedWeights.of(adapted, torch.float32, {}))
    torch.testing.assert_close(logits(merged), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("quantization", "close", "far"), [("nf4", 1e-5, 0.01), ("int8", 0.01, 0.0)])
def test_packed_weights_become_what_they_stand_for(tmp_path: Path, quantization: str, close: float, far: float) -> None:
    """Merged into what the run computed with, the model is the run's; into the weights before packing it is another."""
    pytest.importorskip("bitsandbytes")
    job = make_job(tmp_path, "bert", "lora", classes=3)
    settings = job.plan.settings
    assert isinstance(settings.strategy, LoraSettings)
    packing = QLoraSettings(
        kind="qlora",
        adapter=settings.strategy.adapter,
        quantization=quantization,  # type: ignore[arg-type]
        double_quantization=False,
    )
    adapted = adapted_model(settings.model_copy(update={"strategy": packing}), job.inputs.model_folder)
    plain = [adapted_model(settings, job.inputs.model_folder) for _ in range(2)]
    before, packed = logits(adapted), unpacked(adapted)
    ours, others = (
        logits(loaded(settings, job.inputs.model_folder, MergedWeights.of(one, torch.float32, some)))
        for one, some in zip(plain, (packed, {}), strict=True)
    )
    spread = before.max() - before.min()
    assert (ours - before).abs().max() < close * spread
    assert (others - before).abs().max() > far * spread


def test_a_weight_beyond_its_type_is_named(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    adapted = adapted_model(job.plan.settings, job.inputs.model_folder)
    weights = MergedWeights.of(adapted, torch.float16, {})
    name = "model.layers.0.self_attn.q_proj.weight"
    weights.model.get_parameter(name).data.fill_(1e6)
    with pytest.raises(NotFinite, match=name):
        weights(name)


def test_scores_are_held_against_their_spread() -> None:
    """A place that can't be chosen scores minus infinity in both; one that is a number in one alone is no agreement."""
    never = -torch.inf
    before = [torch.tensor([[0.0, 4.0, never]])]

    def found(*scores: float, choices: Choices = "exclusive") -> Any:
        return agreement(before, [torch.tensor([scores])], split="validation", allowed=0.1, choices=choices)

    assert (found(0.2, 4.0, never).share, found(0.2, 4.0, never).holds) == (pytest.approx(0.05), True)
    assert (found(3.0, 2.0, never).same_choices, found(3.0, 2.0, never).holds) == (0, False)
    below, above = (found(one, 3.0, never, choices="independent").same_choices for one in (-1.0, 1.0))
    assert (below, above) == (3, 2)
    assert not found(0.0, 4.0, 1.0).holds
    assert not found(0.0, torch.nan, never).holds
