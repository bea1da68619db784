"""Killed runs of numbers, of rated answers and steps, and of vectors go on to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.runtime.jobs import reopen_job
from tests.runtime.test_resume import assert_same, run_killed
from tests.support.streams import write_columns
from tests.support.tiny_models import VOCAB_SIZE, write_tiny_model

_PLAIN = {"mean": 0.0, "spread": 1.0}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "regression": (
        "bert",
        {
            "model__head": "regression",
            "text__form": "score",
            "text__labels": ("score",),
            "train__regression": {"loss": "mse", "scales": ({"mean": 2.0, "spread": 1.5},)},
            "eval__metrics": ("mae", "pearson"),
        },
    ),
    "ratings": (
        "llama",
        {
            "model__head": "regression",
            "text__form": "answer",
            "text__labels": ("reward",),
            "train__regression": {"loss": "binary_cross_entropy", "scales": (_PLAIN,)},
            "eval__metrics": ("rating_accuracy",),
        },
    ),
    "steps": (
        "llama",
        {
            "model__head": "token_classification",
            "text__form": "steps",
            "text__labels": ("wrong", "right"),
            "eval__metrics": ("step_accuracy", "first_error_accuracy"),
        },
    ),
    "embedding": (
        "bert",
        {
            "model__head": "embedding",
            "text__form": "embed",
            "train__embedding": {
                "loss": "multiple_negatives",
                "temperature": 0.1,
                "pooling": "mean",
                "normalize": True,
                "matryoshka": (8,),
            },
            "eval__metrics": ("ndcg_at_10",),
        },
    ),
}
"""Kind of model, and what is in the plan."""


def _write(file: Path, name: str, count: int, seed: int) -> None:
    """Rows of a split: texts with a number, answers in steps, or a query with its passage."""
    generator = np.random.default_rng(seed)

    def text(size: int) -> list[int]:
        return [1, *generator.integers(4, VOCAB_SIZE, size=size).tolist()]

    sizes = generator.integers(2, 5, size=count).tolist()
    if name == "embedding":
        rows = [(text(size), text(6 - size)) for size in sizes]
        masks = [[flag for one in row for flag in (1, *[0] * (len(one) - 1))] for row in rows]
        ids = [[*first, *second] for first, second in rows]
        longest = [[max(map(len, row))] for row in rows]
        write_columns(file, ids, masks, prompts=[len(first) for first, _ in rows], targets=longest)
    elif name == "steps":
        ids, masks = [text(2 * size) for size in sizes], [[0, *[0, 1] * size] for size in sizes]
        ratings = [generator.integers(0, 2, size=size).tolist() for size in sizes]
        write_columns(file, ids, masks, prompts=[1] * count, targets=ratings)
    else:
        ids = [text(size) for size in sizes]
        numbers = generator.integers(0, 2 if name == "ratings" else 6, size=(count, 1)).astype(np.float32)
        bits, texts = numbers.view(np.int32).tolist(), [[repr(float(one))] for (one,) in numbers]
        masks = [[0] * len(row) for row in ids]
        write_columns(file, ids, masks, prompts=[len(row) for row in ids], targets=bits, texts=texts)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    kind, changes = RUNS[name]
    write_tiny_model(tmp_path / f"model-{kind}", kind)
    for seed, (part, count) in enumerate({"train": 22, "validation": 7, "test": 9}.items()):
        _write(tmp_path / "streams-0" / f"{part}.arrow", name, count, seed)
    job = reopen_job(tmp_path, kind, "full", **changes, eval__max_new_tokens=None)
    whole = job.run("whole")
    run_killed(job, "killed", "step", 5)
    assert_same(job, "killed", whole)
