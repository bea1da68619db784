"""Models that read images: a step without memory allocates what a real one does, whatever a model makes of an image."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.compiler.resolve.models.image_processor import sized
from ftc.compiler.resolve.models.vision_config import vision_facts
from ftc.runtime.memory_trace.log import peaks
from ftc.runtime.memory_trace.step import run_steps
from ftc.runtime.memory_trace.whole import log_of, whole_groups
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.spec.checkpointing import Recomputing
from ftc.spec.documents.memory_trace import BatchShape, TraceJob
from ftc.spec.documents.vision_facts import PanCuts
from ftc.spec.vision_models import VISION_MODELS
from tests.support.shelves import Folder
from tests.support.trace_jobs import PROCESSOR, trace_job
from tests.support.vision_models import MODELS
from tests.support.vision_settings import as_settled

FIRST_PALIGEMMA = "paligemma of 2024"
"""With a Gemma inside, which has two kernels; the usual one has a Gemma 2."""
KINDS = [*(card.model_type for card in VISION_MODELS), FIRST_PALIGEMMA]

pytest.importorskip("PIL")
OF_THE_HOST = {"load", "clip"}
CPU = torch.device("cpu")
CASES = [
    (kind, checkpointing, precision)
    for kind in KINDS
    for checkpointing in (False, "selective", True)
    for precision in ("float32", "bfloat16")
]
USUAL = [
    *[(kind, False, "float32") for kind in KINDS],
    *[(kind, True, "bfloat16") for kind in KINDS],
    ("qwen2_5_vl", "selective", "bfloat16"),
    ("gemma3", "selective", "bfloat16"),
]
"""Cases of the usual suite; `nox -s traces` runs all."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        MODELS["paligemma" if kind == FIRST_PALIGEMMA else kind](root / kind)
    _write_first_paligemma(root / FIRST_PALIGEMMA)
    return {kind: root / kind for kind in KINDS}


def _write_first_paligemma(folder: Path) -> None:
    """Puts a Gemma into a PaliGemma's folder."""
    import transformers as t

    config = t.PaliGemmaConfig.from_pretrained(folder)
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "head_dim")
    inner = {name: getattr(config.text_config, name) for name in (*sizes, "num_key_value_heads", "pad_token_id")}
    config.text_config = t.GemmaConfig(**inner)
    t.PaliGemmaForConditionalGeneration(config).save_pretrained(folder)


def job_for(folder: Path, sizes: list[list[tuple[int, int]]], pans: PanCuts | None = None, **changes: Any) -> TraceJob:
    """A job of a tiny model, of rows with images of so many pixels, and with crops of them where it takes some."""
    facts, faults = vision_facts(json.loads((folder / "config.json").read_text()))
    assert not faults
    facts = sized(facts, folder)
    assert facts is not None
    facts = facts.panned(pans) if pans else facts
    images = tuple(tuple(facts.shape(width, height) for width, height in row) for row in sizes)
    length = max(sum(one.tokens + 1 for one in row) for row in images) + 12
    return trace_job(
        facts.config,
        shape=BatchShape(length=length, supervised=7, padded=False, images=images),
        device=PROCESSOR,
        num_modules=4,
        model__vision=as_settled(facts).model_dump(),
        model__architecture=folder.name,
        eval__batch_size=len(images),
        eval__max_new_tokens=8,
        **changes,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "checkpointing", "precision"), CASES if os.environ.get("FTC_TRACES") else USUAL)
def test_a_step_with_images_is_traced_as_it_runs(
    kind: str, checkpointing: Recomputing, precision: str, models: dict[str, Path], tmp_path: Path
) -> None:
    for attention in ("eager",) if kind == "paligemma" else ("eager", "sdpa"):
        job = job_for(
            models[kind],
            [[(40, 32), (28, 28)], [(20, 60)]],
            model__attention=attention,
            train__activation_checkpointing=checkpointing,
            train__precision=precision,
        )
        assert gaps(job, models[kind], tmp_path / attention) == {}


@pytest.mark.slow
def test_crops_of_images_are_traced_as_they_run(models: dict[str, Path], tmp_path: Path) -> None:
    pans = PanCuts(least=16, cuts=4, ratio=1.2, each=4)
    job = job_for(models["gemma3"], [[(40, 32), (28, 28)], [(20, 90)]], pans)
    assert [[image.squares for image in row] for row in job.train.images] == [[3, 1], [5]]
    assert gaps(job, models["gemma3"], tmp_path) == {}


def gaps(job: TraceJob, model: Path, runs: Path) -> dict[str, int]:
    """How many bytes the trace says otherwise than a run, by phase; without what a CPU alone has."""
    without = peaks(log_of(job, (2, 2), whole_groups((2, 2))))
    built = build_model(job.settings, FolderBase(model), CPU)
    real = peaks(run_steps(job, built, whole_groups((2, 2)), CPU, Folder(runs)))
    assert real.keys() == without.keys()
    assert not any(name.startswith("backward: image") for name in real), "no way back goes through a frozen tower"
    apart = {name: without[name].size - real[name].size for name in real.keys() - OF_THE_HOST}
    return {name: size for name, size in apart.items() if size}
