"""Models that read images, trained in other ways than by an adapter beside whole weights: traced as they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftc.runtime.memory_trace.log import peaks
from ftc.runtime.memory_trace.step import run_steps
from ftc.runtime.memory_trace.whole import log_of, whole_groups, whole_log
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.spec.documents.memory_trace import TraceJob
from tests.runtime.memory_trace.test_images import CPU, OF_THE_HOST, job_for
from tests.support.shelves import Folder
from tests.support.vision_models import MODELS

pytest.importorskip("PIL")
IMAGES = [[(40, 32), (28, 28)], [(20, 60)]]


def job_of(folder: Path, frozen: tuple[str, ...], strategy: str = "full", **changes: Any) -> TraceJob:
    """A job of a tiny model, of which these modules in front of the language model are frozen."""
    job = job_for(folder, IMAGES, strategy=strategy, model__attention="sdpa", **changes)
    vision = job.settings.model.vision
    assert vision is not None
    model = job.settings.model.model_copy(update={"vision": vision.model_copy(update={"frozen": frozen})})
    return job.model_copy(update={"settings": job.settings.model_copy(update={"model": model})})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "frozen", "changes"),
    [
        ("llava", ("vision_tower",), {"strategy__freeze": ("vision_tower",)}),
        (
            "llava",
            ("vision_tower",),
            {"strategy__freeze": ("vision_tower",), "train__activation_checkpointing": True},
        ),
        ("llava", (), {"train__activation_checkpointing": True}),
        ("llava_next", (), {"train__precision": "bfloat16"}),
        ("qwen2_5_vl", ("visual",), {"strategy__freeze": ("visual.blocks", "visual.patch_embed")}),
        ("qwen3_vl", ("visual", "merger"), {"strategy": "qlora", "train__precision": "bfloat16"}),
        ("llava", ("vision_tower", "multi_modal_projector"), {"strategy": "qlora", "train__precision": "bfloat16"}),
    ],
)
def test_a_step_is_traced_as_it_runs(
    kind: str, frozen: tuple[str, ...], changes: dict[str, Any], tmp_path: Path
) -> None:
    if changes.get("strategy") == "qlora":
        pytest.importorskip("bitsandbytes")
    MODELS[kind](tmp_path / kind)
    job = job_of(tmp_path / kind, frozen, **changes)
    without = peaks(log_of(job, (2, 2), whole_groups((2, 2))))
    model = build_model(job.settings, FolderBase(tmp_path / kind), CPU)
    real = peaks(run_steps(job, model, whole_groups((2, 2)), CPU, Folder(tmp_path / "kept")))
    assert real.keys() == without.keys()
    apart = {name: without[name].size - real[name].size for name in real.keys() - OF_THE_HOST}
    assert set(apart.values()) == {0}, {k: v for k, v in apart.items() if v}


@pytest.mark.slow
def test_layers_of_a_trained_tower_stand_for_each_other(tmp_path: Path) -> None:
    """A tower with a backward pass is traced with few layers, and has as many bytes as with all of them."""
    MODELS["qwen2_vl"](tmp_path)
    job = job_of(tmp_path, ())
    config = {**job.config, "vision_config": {**job.config["vision_config"], "depth": 9}}
    job = job.model_copy(update={"config": config, "layer_weights": ()})
    log, traced = whole_log(job)
    assert traced < 11
    whole, few = peaks(log_of(job, (9, 2), whole_groups((9, 2)))), peaks(log)
    assert {name: one.size for name, one in few.items()} == {name: one.size for name, one in whole.items()}
