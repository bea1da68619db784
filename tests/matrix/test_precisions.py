"""Precisions of 16 bits with every strategy, and with every task: planned, trained, measured and audited."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("bitsandbytes")

from ftc import api
from ftc.spec.precisions import PRECISIONS
from tests.matrix.cells import BASES, FAMILIES, STRATEGIES, TASKS
from tests.support.projects import make_model, make_project

_FAMILY = {
    "token_classification": "encoder",
    "extraction": "encoder",
    "embedding": "encoder",
    "translation": "encoder_decoder",
    **{task: base for (task, _), base in BASES.items()},
}
CELLS = [
    *(("chat", strategy) for strategy in STRATEGIES if strategy != "bitfit"),  # a Llama has no biases
    ("classification", "bitfit"),
    *((task, "lora") for task in TASKS if task != "chat"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model of each family."""
    folder = tmp_path_factory.mktemp("models")
    for family in (*FAMILIES, *BASES.values()):
        make_model(folder / family, family)
    return folder


@pytest.mark.sample(2)
@pytest.mark.parametrize(("task", "strategy"), CELLS)
@pytest.mark.parametrize("precision", [card.kind for card in PRECISIONS if card.scales_loss])
def test_a_run(
    precision: str, task: str, strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Path
) -> None:
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    family = "encoder" if strategy == "bitfit" else _FAMILY.get(task, "decoder")
    make_project(tmp_path / "p", models, task, STRATEGIES[strategy], steps=3, model=family)
    recipe = tmp_path / "p" / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8").replace("train: {", f"train: {{precision: {precision}, ")
    assert precision in text
    text = text.replace("max_length: 32", "max_length: 60")  # a written prompt of a summary takes more
    recipe.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "p")
    record = api.apply(Path("recipe.yaml")).record
    assert record.is_finished
    assert record.skipped_steps is not None
    assert api.audit(record.id).verdict == "CONSISTENT"
