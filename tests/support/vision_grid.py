"""Models that read images, by their configurations alone, in jobs that are planned for a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.resolve.models.model_config import read_config
from ftc.compiler.resolve.models.model_form import linear_modules
from ftc.compiler.resolve.models.vision_config import without_vision
from ftc.compiler.row_images import images_of_splits
from ftc.runtime.memory_trace.meta_model import model_config
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.facts import ModelFacts, TensorFacts
from ftc.spec.documents.stream_images import ImageSizes
from tests.support.drafts import H200, decided, draft_of, model_facts, split_report

__all__ = ["in_passing", "job_with_images", "largest", "vision_grid_facts"]

_THROUGHOUT = ("weights", "adapter", "optimiser state", "gradients", "workspace")
"""What stands in a whole step."""


def vision_grid_facts(config: Mapping[str, Any], longest: int | None = None) -> ModelFacts:
    """What a plan would know of a model with this configuration.

    Args:
        config: As config.json has it, but for its classes.
        longest: Pixels of the longer side of an image that is cut into squares, by the processor's file.
    """
    import transformers as t

    read = read_config({**config, "architectures": ["GridForConditionalGeneration"]})
    vision = read.vision
    assert vision is not None, "the model reads images"
    if longest is not None:
        assert vision.squares is not None, "images are cut into squares"
        vision = vision.model_copy(update={"squares": vision.squares.model_copy(update={"longest": longest})})
    with torch.device("meta"):
        model = t.AutoModelForImageTextToText.from_config(model_config(vision.config))
    tensors = {name: TensorFacts(dtype="BF16", shape=tuple(one.shape)) for name, one in model.named_parameters()}
    return model_facts(
        config=dict(vision.config["text_config"]),
        model_type=read.model_type,
        family=read.family,
        hidden_size=read.hidden_size,
        intermediate_size=read.intermediate_size,
        num_layers=read.num_layers,
        num_heads=read.num_heads,
        num_kv_heads=read.num_kv_heads,
        head_dim=read.head_dim,
        vocab_size=read.vocab_size,
        tied_embeddings="lm_head.weight" not in tensors,
        tensors=tensors,
        linear_modules=linear_modules(without_vision(tensors, vision), read.model_type),
        vision=vision,
    )


def job_with_images(
    facts: ModelFacts,
    length: int,
    supervised: int,
    size: tuple[int, int],
    rows: Mapping[str, int],
    *,
    attention: str = "sdpa",
    strategy: Mapping[str, Any],
    **train: Any,
) -> ClosedDraft:
    """A job of rows with an image each, decided for one GPU with 141 GB.

    Args:
        facts: The model.
        length: Tokens of each row.
        supervised: Target tokens of each.
        size: (width, height) of each image in pixels.
        rows: Of each split.
        attention: The kernel.
        strategy: The recipe's section.
        train: What the recipe says under `train`.
    """
    assert facts.vision is not None, "the model reads images"
    draft = draft_of(
        facts=facts,
        device=H200,
        task={"kind": "generation"},
        train={"precision": "bfloat16", "packing": False, "micro_batch": 1, "batch_size": 8, **train},
        model={"base": "models/tiny", "attention": attention},
        strategy=dict(strategy),
        data={"source": {"path": "data/rows.jsonl"}, "max_length": length},
    )
    counts = {name: rows.get(name, 1) for name in draft.splits}
    splits = {name: split_report(some, length_max=length, supervised_max=supervised) for name, some in counts.items()}
    sizes = {
        name: ImageSizes(np.arange(some), np.full(some, size[0]), np.full(some, size[1]))
        for name, some in counts.items()
    }
    seen = images_of_splits(sizes, facts.vision, splits)
    return decided(replace(draft, splits=splits, row_images=seen, platform="linux_x86_64"))


def in_passing(phase: PhasePeak) -> int:
    """Bytes that a phase holds beside what stands in a whole step."""
    return phase.peak_bytes - sum(phase.components.get(part, 0) for part in _THROUGHOUT)


def largest(phases: Sequence[PhasePeak], *names: str) -> int:
    """The most that phases of these names hold in passing."""
    return max(in_passing(phase) for phase in phases if phase.phase in names)
