"""Models that read images at their real sizes: parameters and memory of a plan beside arithmetic by hand.

    python benchmarks/images.py [NAME …] [--out FILE]

Sizes are those of the published `config.json`; no weight is read. For each model the arithmetic below gives its
parameters, the tokens of an image of 1,024 x 768 pixels, and what weights, inputs of layers and the tower take. A LoRA
on the language model is then planned for one row of 4,096 tokens with one such image, or a longer one where that has no
room, on a GPU with 141 GB, and traced. Rows are evaluated one by one. Then the most of a run by the analytical estimate
is compared with the trace's for LoRA, QLoRA and full training, where 64 rows are evaluated, as many of them at once as
fit. Layers are computed again. Nothing is trained.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' small jobs are made there

from benchmarks.support import GIB
from benchmarks.support.image_models import CASES, Case
from benchmarks.support.published_models import run_cases
from ftc.compiler.memory.memory import by_closed_form, by_trace, question
from ftc.runtime.memory_trace.child import trace
from ftc.spec.documents.estimates import MemoryEstimate
from ftc.spec.documents.facts import ModelFacts
from tests.support.vision_grid import job_with_images, largest, vision_grid_facts

_ANSWER, _WIDTH, _HEIGHT = 256, 1024, 768
_TARGETS = ["k_proj", "o_proj", "q_proj", "v_proj"]
_WAYS: dict[str, dict[str, Any]] = {
    "lora": {"kind": "lora", "targets": _TARGETS},
    "qlora": {"kind": "qlora", "targets": _TARGETS},
    "full": {"kind": "full", "train_parts": ["vision_tower", "projector", "language_model"]},
}
_EVALUATED = 64


def main() -> None:
    """Prints the table."""
    run_cases(CASES, measure, _line, about=__doc__)


def measure(case: Case) -> dict[str, Any]:
    """What ftc counts, estimates and traces of a model, in bytes."""
    facts = vision_grid_facts(case.config, case.longest)
    assert facts.vision is not None
    form, found = _both(facts, case, "lora", 1)
    traced = {phase.phase: phase.peak_bytes for phase in found.phases}
    weights = max(phase.components.get("weights", 0) for phase in found.phases)
    return {
        "name": case.name,
        "model_type": case.config["model_type"],
        "parameters": facts.num_parameters,
        "tokens": facts.vision.shape(_WIDTH, _HEIGHT).tokens,
        "length": case.length,
        "weights": weights,
        "training": max(size for name, size in traced.items() if name.startswith(("forward", "backward"))),
        "tower": largest(found.phases, "forward: images", "forward: image layers"),
        "estimated_tower": largest(form.phases, "forward: images"),
        "traced": found.allocated_bytes,
        "estimated": form.allocated_bytes,
        "ratios": {way: _ratio(facts, case, way) for way in _WAYS},
    }


def _both(facts: ModelFacts, case: Case, way: str, rows: int) -> tuple[MemoryEstimate, MemoryEstimate]:
    """A plan's memory by the analytical estimate and by the trace, where so many rows are evaluated."""
    draft = job_with_images(
        facts,
        case.length,
        _ANSWER,
        (_WIDTH, _HEIGHT),
        {"train": 100, "validation": rows, "test": rows},
        attention=case.attention,
        strategy=_WAYS[way],
        activation_checkpointing=True,
        loss_chunk_size=1024,
    )
    return by_closed_form(draft), by_trace(draft, trace(question(draft)))


def _ratio(facts: ModelFacts, case: Case, way: str) -> float | None:
    if way == "qlora" and facts.vision is not None and facts.vision.card.features_as_tower:  # a plan refuses that
        return None
    form, found = _both(facts, case, way, _EVALUATED)
    return round(form.allocated_bytes / found.allocated_bytes, 4)


def by_hand(case: Case) -> dict[str, float]:
    """The same figures by arithmetic: weights in 16 bits, inputs of layers, the rest of which is recomputed, scores.

    What one layer makes on its way comes on top.
    """
    text, tower = case.config.get("text_config", case.config), case.config["vision_config"]
    embeddings = 2 * case.length * text["hidden_size"]
    inputs = text["num_hidden_layers"] * embeddings
    width = tower.get("embed_dim", tower["hidden_size"])
    inner, halves = tower.get("intermediate_size", 4 * width), 3 if case.config["model_type"] == "qwen2_5_vl" else 2
    is_eager = case.attention == "eager"
    scores = 10 * tower["num_attention_heads"] * case.patches**2 if is_eager else 0
    attended = 10 * text["num_attention_heads"] * case.length**2 if is_eager else 0
    return {
        "parameters": case.parameters,
        "tokens": case.tokens,
        "weights": 2 * case.parameters,
        # scores, their logarithms and gradients in 32 bits, or those of a layer's attention where they are held
        "training": 2 * case.parameters + inputs + max(12 * _ANSWER * text["vocab_size"], attended),
        # The text's embeddings; pixels in 32 bits and in 16; what goes into a layer and its norm; and what stands
        # between the halves of its feed-forward part, or the scores of attention.
        "tower": embeddings
        + 6 * case.pixels
        + 2 * case.patches * 2 * width
        + max(2 * case.patches * halves * inner, scores),
    }


def _line(case: Case, found: dict[str, Any]) -> str:
    hand = by_hand(case)
    assert (found["parameters"], found["tokens"]) == (case.parameters, case.tokens), (found, case)
    return (
        f"{case.name:20} {case.parameters / 1e9:6.2f} B, {case.tokens:5,} tokens an image | "
        f"weights {found['weights'] / GIB:6.2f} GiB, by hand {hand['weights'] / GIB:6.2f} | "
        f"training {found['training'] / GIB:6.2f} GiB, by hand {hand['training'] / GIB:6.2f} | "
        f"tower {found['tower'] / GIB:6.3f} GiB, by hand {hand['tower'] / GIB:6.3f}, "
        f"formula {found['estimated_tower'] / GIB:6.3f} | "
        f"formula in all {found['estimated'] / found['traced'] - 1:+.1%}, with {_EVALUATED} rows "
        + ", ".join(f"{name} {ratio - 1:+.1%}" for name, ratio in found["ratios"].items() if ratio is not None)
    )


if __name__ == "__main__":
    main()
