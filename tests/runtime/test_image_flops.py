"""Operations of towers and projectors counted from shapes are those that torch counts in a real step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ftc.compiler.draft import ClosedDraft, PastRun
from ftc.compiler.resolve.models.image_processor import sized
from ftc.compiler.time.image_work import image_work
from ftc.compiler.time.run_time import run_time
from ftc.compiler.time.run_work import run_work
from ftc.runtime.memory_trace.images import with_stand_in_images
from ftc.runtime.memory_trace.rows import stand_in_rows
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.spec.checkpointing import Recomputing
from ftc.spec.documents.estimates import Phase, Work
from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.vision_models import VISION_MODELS
from tests.support.trace_jobs import trace_job
from tests.support.vision_grid import job_with_images, vision_grid_facts
from tests.support.vision_models import MODELS
from tests.support.vision_towers import TOWERS

pytest.importorskip("PIL")
LENGTH, SUPERVISED, SIZE = 120, 7, (40, 52)
TRAINED = {
    "frozen": ["language_model"],
    "projector": ["projector", "language_model"],
    "all": ["vision_tower", "projector", "language_model"],
}
KINDS = [card.model_type for card in VISION_MODELS]
EVERY = [(kind, parts, again) for kind in KINDS for parts in TRAINED for again in (False, "selective", True)]
USUAL = [*[(kind, "all", False) for kind in ("llava", "qwen2_5_vl", "qwen3_vl")], ("smolvlm", "projector", True)]


@pytest.mark.parametrize(
    ("kind", "parts", "checkpointing"),
    [pytest.param(*one, marks=() if one in USUAL else pytest.mark.slow) for one in EVERY],
)
def test_operations_on_images_are_those_that_torch_counts(
    kind: str, parts: str, checkpointing: Recomputing, tmp_path: Path
) -> None:
    MODELS[kind](tmp_path / kind)
    draft = _draft(tmp_path / kind, train_parts=TRAINED[parts], checkpointing=checkpointing)
    assert draft.model.vision is not None
    image = draft.model.vision.shape(*SIZE)
    counted = _counted(draft, tmp_path / kind, ((image,),)) - _counted(draft, tmp_path / kind, ((),))
    work = image_work(draft, "train", rows=1, passes=1, training=True)
    assert work.flops == pytest.approx(counted, rel=1e-6)
    assert image_work(draft, "train", rows=6, passes=2, training=True).flops == pytest.approx(6 * counted, rel=1e-6)


def _draft(folder: Path, *, train_parts: list[str], checkpointing: Recomputing) -> ClosedDraft:
    config = json.loads((folder / "config.json").read_text())
    facts = vision_grid_facts({key: value for key, value in config.items() if key != "architectures"})
    return job_with_images(
        facts.model_copy(update={"vision": sized(facts.vision, folder)}),
        LENGTH,
        SUPERVISED,
        SIZE,
        {},
        attention="eager",
        strategy={"kind": "full", "train_parts": train_parts},
        precision="float32",
        activation_checkpointing=checkpointing,
    )


def _counted(draft: ClosedDraft, folder: Path, images: tuple[tuple[ImageShape, ...], ...]) -> int:
    """What torch counts forward and backward for a row, with images or without."""
    settings, shape = draft.settings(), BatchShape(length=LENGTH, supervised=SUPERVISED, padded=False, images=images)
    model = build_model(settings, FolderBase(folder), torch.device("cpu")).train()
    scorer = make_scorer(model, settings)
    job = trace_job({"model_type": "llama"}).model_copy(update={"settings": settings})
    rows: Any = stand_in_rows(settings, shape, 1)
    rows = with_stand_in_images(job, shape, rows, model.config, torch.device("cpu"))
    batch = scorer.batch(rows, [0])
    with FlopCounterMode(display=False) as counter:
        scorer.losses(scorer.logits(model, batch), batch).sum().backward()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("kind", ["gemma3", "qwen2_5_vl"])
def test_every_phase_of_a_run_reads_its_rows_images(kind: str) -> None:
    facts = vision_grid_facts(TOWERS[kind])
    few, many = (
        job_with_images(facts, 700, 7, size, {"train": 64, "validation": 8, "test": 8}, strategy={"kind": "lora"})
        for size in ((56, 56), (56, 560))
    )
    without, less, more = (run_work(draft).phases for draft in (replace(few, row_images={}), few, many))
    for phase in ("train", "validate", "evaluate"):
        assert without[phase][1].flops < less[phase][1].flops <= more[phase][1].flops
        assert (less[phase][1].flops == more[phase][1].flops) == (kind == "gemma3"), "it makes all images of one size"
        assert without[phase][1].pixels == 0 < less[phase][1].pixels < more[phase][1].pixels


def test_a_record_without_pixels_tells_no_pace() -> None:
    """Earlier releases counted the language model alone, so that their seconds belong to more work than they say."""
    facts = vision_grid_facts(TOWERS["gemma3"])
    draft = job_with_images(facts, 700, 7, (56, 56), {"train": 64}, strategy={"kind": "lora"})
    work = run_work(draft)
    counted: dict[Phase, Work] = {phase: expected for phase, (_, expected, _) in work.phases.items()}
    language_model: dict[Phase, Work] = {
        phase: one.model_copy(update={"pixels": 0.0}) for phase, one in counted.items()
    }
    methods = []
    for known in (counted, language_model):
        past = PastRun(
            model=draft.model.name,
            strategy=draft.recipe.strategy.kind,
            device=draft.device.name,
            precision=draft.train.precision,
            threads=draft.threads,
            work=known,
            seconds={"train": 100.0},
        )
        found = run_time(replace(draft, past_runs=(past,)), work)
        methods.append(found.speed.source if found else "unknown")
    assert methods[0] == "earlier runs"
    assert methods[1] != "earlier runs"
