"""`ftc import`: where recipe and report go, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc.cli.main import main

Capture = pytest.CaptureFixture[str]

TEXT = """\
base_model: acme/brook-3b
datasets:
  - path: rows.jsonl
    type: alpaca
micro_batch_size: 2
learning_rate: 1e-4
sample_packing: true
lora_rnk: 8
warmup_steps: 9
warmup_ratio: 0.1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "job.yml").write_text(TEXT)
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a", "input": "", "output": "b"}\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_recipe_goes_to_stdout_and_the_report_to_stderr(folder: Path, capsys: Capture) -> None:
    assert main(["import", "job.yml"]) == 0
    out, err = capsys.readouterr()
    assert "learning_rate: 1e-4 " in out
    assert "# from learning_rate, line 6" in out
    assert "Axolotl  9 keys" in err
    assert "7  sample_packing" in err
    assert "possibly a typo of `lora_r" in " ".join(err.split())
    assert "in conflict" in err
    assert sorted(path.name for path in folder.iterdir()) == ["job.yml", "rows.jsonl"]


def test_a_dash_stands_for_standard_output(folder: Path, capsys: Capture) -> None:
    assert main(["import", "job.yml", "-o", "-"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("ftc: 1") or "\nftc: 1" in out
    assert "Wrote" not in out
    assert sorted(path.name for path in folder.iterdir()) == ["job.yml", "rows.jsonl"]


def test_a_written_recipe_is_valid_and_never_written_over(folder: Path, capsys: Capture) -> None:
    assert main(["import", "job.yml", "-o", "recipe.yaml"]) == 0
    assert "`ftc plan recipe.yaml`" in capsys.readouterr().out
    assert main(["validate", "recipe.yaml"]) == 0
    before = (folder / "recipe.yaml").read_bytes()
    assert main(["import", "job.yml", "-o", "recipe.yaml"]) == 1
    assert "FTC651" in capsys.readouterr().err
    assert (folder / "recipe.yaml").read_bytes() == before


def test_paths_are_relative_to_the_recipe_that_is_written(folder: Path) -> None:
    (folder / "recipes").mkdir()
    (folder / ".ftc").mkdir()
    assert main(["import", "job.yml", "-o", "recipes/r.yaml", "--data", "rows.jsonl"]) == 0
    assert "path: ../rows.jsonl" in (folder / "recipes" / "r.yaml").read_text()


def test_reasons_instead_of_a_recipe(folder: Path, capsys: Capture) -> None:
    (folder / "job.yml").write_text(TEXT + "rl: gdpo\n")
    assert main(["import", "job.yml", "-o", "recipe.yaml"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("error[FTC392]") == 1
    assert "job.yml:11:1" in err
    assert "No recipe was written." in err
    assert not (folder / "recipe.yaml").exists()


def test_json_tells_everything(folder: Path, capsys: Capture) -> None:
    (folder / "job.yml").write_text(TEXT + "comet_project_name: brook\n")
    assert main(["import", "job.yml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tool"] == "Axolotl"
    assert found["recipe"].startswith("# Imported from Axolotl")
    assert {key["fate"] for key in found["keys"]} == {"carried", "not carried", "ignored", "conflict"}
    assert found["reasons"] == []
    (rate,) = [key for key in found["keys"] if key["key"] == "learning_rate"]
    assert rate == {
        "key": "learning_rate",
        "line": 6,
        "fate": "carried",
        "reason": "",
        "help": "",
        "paths": ["train.learning_rate"],
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [("a: !!python/name:os.system", "FTC390"), ("a: 1", "FTC391")],
)
def test_refusals_show_the_place(folder: Path, capsys: Capture, text: str, code: str) -> None:
    (folder / "job.yml").write_text(text)
    assert main(["import", "job.yml"]) == 3
    err = capsys.readouterr().err
    assert f"error[{code}]" in err
    assert "job.yml:1:" in err


def test_an_absent_file_is_one_line(folder: Path, capsys: Capture) -> None:
    assert main(["import", "absent.yml"]) == 1
    assert capsys.readouterr().err.splitlines() == ["error: absent.yml: No such file or directory"]
