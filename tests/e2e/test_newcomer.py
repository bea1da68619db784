"""The path of somebody new, from a data file to an audited run, for each kind of task and strategy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import contents, metadata, write_rows


def run_folder(root: Path) -> Path:
    (record,) = (root / "runs").glob("*/*/record.json")
    return record.parent


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("task", "strategy", "artifact"),
    [
        ("classification", "lora", "adapter/adapter_model.safetensors"),
        ("classification", "full", "model/model.safetensors"),
        ("generation", "lora", "adapter/adapter_model.safetensors"),
        ("chat", "full", "model/model.safetensors"),
    ],
)
def test_from_recipe_to_audit(project: MakeProject, ftc: Ftc, task: str, strategy: str, artifact: str) -> None:
    root = project(task, strategy)
    assert ftc("validate", "recipe.yaml").code == 0
    planned = ftc("plan", "recipe.yaml", "-o", "job.plan.json")
    assert planned.code == 0, planned.err
    assert "`ftc apply job.plan.json` runs it" in planned.text
    assert (root / "recipe.lock.json").is_file()

    applied = ftc("apply", "job.plan.json")
    assert applied.code == 0, applied.err
    folder = run_folder(root)
    record = json.loads((folder / "record.json").read_text())
    assert record["status"] == "finished"
    assert record["steps_done"] == 4
    assert artifact in record["outputs"]
    if strategy == "lora":
        saved = json.loads((folder / "adapter" / "adapter_config.json").read_text())["modules_to_save"] or []
        assert len(saved) == len(set(saved)), "each name once"
    evaluation = json.loads((folder / "eval.json").read_text())
    assert evaluation["base"]["rows"] == evaluation["tuned"]["rows"] > 0
    if strategy == "full":
        (base,) = (root / name / "config.json" for name in ("encoder", "decoder") if (root / name).is_dir())
        written = json.loads((folder / "model" / "config.json").read_text())
        assert json.loads(base.read_text()).keys() <= written.keys()
        assert written["torch_dtype"] == "float32"
        assert written.get("rope_theta") == written.get("rope_parameters", {}).get("rope_theta"), (
            "as transformers 4 reads it"
        )

    shown = ftc("show", folder.name[:6])
    assert shown.code == 0
    assert folder.name in shown.text
    listed = ftc("runs")
    assert folder.name in listed.text
    audited = ftc("audit", folder.name)
    assert audited.code == 0, audited.text
    assert "CONSISTENT" in audited.text

    before = contents(root), metadata(root)
    for target in ("job.plan.json", "recipe.yaml"):
        again = ftc("apply", target)
        assert again.code == 0
        assert "up to date" in again.text
    assert ftc("plan", "recipe.yaml").code == 0
    assert (contents(root), metadata(root)) == before


@pytest.mark.slow
def test_from_a_data_file_alone(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ftc: Ftc) -> None:
    root = tmp_path / "project"
    (root / ".ftc").mkdir(parents=True)
    monkeypatch.chdir(root)
    rows = write_rows(root / "headlines.csv", "classification")
    rows.write_text(rows.read_text().replace("text,label", "headline,section", 1))
    shutil.copytree(models / "encoder", root / "models" / "mini")

    wrote = ftc("init", "news.yaml", "--data", "headlines.csv", "--base", "models/mini")
    assert wrote.code == 0
    assert "Next: `ftc plan news.yaml`" in wrote.text
    recipe = (root / "news.yaml").read_text()
    assert "fields: {text: headline, label: section}" in recipe

    (root / "news.yaml").write_text(recipe.replace("{kind: lora}", "{kind: lora, rnk: 4}"))
    wrong = ftc("validate", "news.yaml")
    assert wrong.code == 3
    assert "did you mean `rank`?" in wrong.text
    (root / "news.yaml").write_text(recipe.replace("{kind: lora}", "{kind: lora, rank: 4}"))
    assert ftc("validate", "news.yaml").code == 0
    applied = ftc("apply", "news.yaml", "--yes")
    assert applied.code == 0, applied.err
    assert "accuracy" in applied.text

    again = ftc("init", "news.yaml")
    assert again.code == 1
    assert "[FTC651]: `news.yaml` exists already" in again.err
    assert "rank: 4" in (root / "news.yaml").read_text()
