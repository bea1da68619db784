"""Precisions of 16 bits with every strategy, and with every task: planned, trained, measured and audited."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("bitsandbytes")

from ftc import api
from ftc.compiler.resolve.models.weights import read_header
from ftc.spec.documents.record import RunRecord
from ftc.spec.precisions import PRECISIONS, PrecisionCard
from ftc.spec.strategies import STRATEGIES as STRATEGY_CARDS
from tests.matrix.cells import BASES, FAMILIES, STRATEGIES, TASKS, project_of
from tests.support.projects import make_model

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


@pytest.mark.sample(1)
@pytest.mark.parametrize(("task", "strategy"), CELLS)
@pytest.mark.parametrize("precision", [card.kind for card in PRECISIONS if card.scales_loss])
def test_a_run(
    precision: str, task: str, strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Path
) -> None:
    record = _trained(tmp_path, monkeypatch, models, task, strategy, precision)
    assert record.skipped_steps is not None
    assert api.audit(record.id).verdict == "CONSISTENT"


OWN = [card.kind for card in STRATEGY_CARDS if card.is_whole]
"""Strategies that train the model's own weights."""


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("task", "strategy"),
    [
        *(("classification" if one == "bitfit" else "chat", one) for one in OWN),
        *((task, "full") for task in TASKS if task != "chat"),
    ],
)
@pytest.mark.parametrize("card", [one for one in PRECISIONS if one.trained.size == 2], ids=lambda card: card.kind)
def test_a_run_whose_weights_have_16_bits(
    card: PrecisionCard, task: str, strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Path
) -> None:
    pytest.importorskip("optimi")
    if not any(one.startswith("torch-optimi") for one in importlib.metadata.requires("ftc") or ()):
        pytest.skip("ftc was installed before it asked for this package: install it again")
    record = _trained(tmp_path, monkeypatch, models, task, strategy, card.kind)
    assert api.audit(record.id).verdict == "CONSISTENT"
    (folder,) = (tmp_path / "p" / "runs").glob(f"*/{record.id}/model")
    assert {one.dtype for one in read_header(folder / "model.safetensors").values()} == {card.trained.stored}
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["dtype"] == card.trained.name


def _trained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, models: Path, task: str, strategy: str, precision: str
) -> RunRecord:
    """The record of a run of three steps in a project of its own."""
    monkeypatch.setenv("FTC_CACHE", str(folder / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    family = "encoder" if strategy == "bitfit" else _FAMILY.get(task, "decoder")
    project_of(folder / "p", models, task, strategy, family)
    recipe = folder / "p" / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8").replace("train: {", f"train: {{precision: {precision}, ")
    assert precision in text
    text = text.replace("max_length: 32", "max_length: 60")  # a written prompt of a summary takes more
    recipe.write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder / "p")
    record = api.apply(Path("recipe.yaml")).record
    assert record.is_finished
    return record
