"""A package that somebody else wrote, from its installation to a run: planned without an import, locked, noticed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("setuptools")

from tests.e2e.conftest import MakeProject

SOURCE = Path(__file__).parents[2] / "recipes" / "extension" / "courtesy-metrics"
_NAME = "courtesy-metrics:courtesy"
_METRICS = f"metrics: [exact_match, '{_NAME}'], gates: ['{_NAME} >= 0.5'], samples: 2"


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the example, without anything of this environment."""
    folder = tmp_path_factory.mktemp("extension")
    shutil.copytree(SOURCE, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(folder / "source")], check=True, cwd=folder)
    return folder / "site"


@pytest.fixture
def site(wheelhouse: Path, tmp_path: Path) -> Path:
    """A copy of it whose import leaves a mark."""
    copy = Path(shutil.copytree(wheelhouse, tmp_path / "site"))
    module = copy / "courtesy_metrics" / "__init__.py"
    mark = f"\nPath({str(tmp_path / 'imported')!r}).touch()\n"
    module.write_text(module.read_text(encoding="utf-8") + mark, encoding="utf-8")
    return copy


def _ftc(site: Path | None, *args: str) -> tuple[int, str]:
    """The command line in a process of its own."""
    paths = [str(site)] if site else []
    path = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH", "")])])
    ran = subprocess.run(
        [sys.executable, "-m", "ftc", *args],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, " ".join((ran.stdout + ran.stderr).split())


def _evaluation() -> dict[str, Any]:
    (file,) = Path("runs").glob("*/*/eval.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_a_metric_is_locked_imported_by_a_run_alone_and_its_change_noticed(
    project: MakeProject, site: Path, tmp_path: Path
) -> None:
    project("generation", "lora", steps=2, evaluation=_METRICS)
    mark = tmp_path / "imported"
    code, text = _ftc(None, "plan", "recipe.yaml")
    assert code == 3, text
    assert "FTC480" in text
    assert "recipe.yaml:11" in text, "the place"
    assert "pip install courtesy-metrics" in text
    code, text = _ftc(site, "plan", "recipe.yaml", "-o", "job.plan.json")
    assert code == 0, text
    assert "courtesy-metrics 0.1.0: metric `courtesy`; a run imports it" in text
    assert not mark.exists(), "a plan imports nothing"
    plan = json.loads(Path("job.plan.json").read_text(encoding="utf-8"))
    (platform,) = plan["lock"]["platforms"].values()
    pinned = platform["packages"]["courtesy-metrics"]
    assert pinned["version"] == "0.1.0"
    assert len(pinned["sha256"]) == len(pinned["code_sha256"]) == 64

    phrases = site / "courtesy_metrics" / "phrases.txt"
    before = phrases.read_text(encoding="utf-8")
    phrases.write_text(before + "cheers\n", encoding="utf-8")
    code, text = _ftc(site, "apply", "job.plan.json")
    assert code != 0
    assert "courtesy-metrics" in text
    assert not mark.exists(), "a changed package is not imported"

    phrases.write_text(before, encoding="utf-8")
    code, text = _ftc(site, "apply", "job.plan.json", "--until", "1")
    assert code == 0, text
    phrases.write_text(before + "cheers\n", encoding="utf-8")
    code, text = _ftc(site, "apply", "job.plan.json")
    assert code != 0, "a run that goes on looks again"
    assert "courtesy-metrics" in text
    phrases.write_text(before, encoding="utf-8")
    code, text = _ftc(site, "apply", "job.plan.json")
    assert code == 0, text
    assert mark.exists()
    assert _evaluation()["tuned"]["metrics"][_NAME] in ("1", "1.0", 1)
    mark.unlink()
    (run,) = Path("runs").glob("*/*/")
    code, text = _ftc(site, "audit", run.name)
    assert code == 0, text
    assert not mark.exists(), "an audit imports nothing"
    assert "a package computes it, which an audit doesn't run" in text
    phrases.write_text(before + "cheers\n", encoding="utf-8")
    code, text = _ftc(site, "audit", run.name)
    assert "courtesy-metrics" in text


@pytest.mark.slow
def test_rewards_of_a_package_train_a_model(project: MakeProject, site: Path, tmp_path: Path) -> None:
    root = project("reinforcement", "lora", steps=2)
    recipe = root / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    rewards = "rewards: [{kind: package, name: 'courtesy-metrics:brevity'}]"
    start = text.index("rewards: [")
    recipe.write_text(text[:start] + rewards + text[text.index("]}\n", text.index("weight")) + 1 :], encoding="utf-8")
    recipe.write_text(recipe.read_text(encoding="utf-8").replace(", reference: answer", ""), encoding="utf-8")
    code, said = _ftc(site, "plan", "recipe.yaml")
    assert code == 0, said
    assert not (tmp_path / "imported").exists()
    code, said = _ftc(site, "apply", "recipe.yaml", "--yes")
    assert code == 0, said
    (file,) = Path("runs").glob("*/*/answers.ndjson")
    rewarded = [json.loads(line)["rewards"][0] for line in file.read_text(encoding="utf-8").splitlines()]
    assert set(map(float, rewarded)) <= {0.0, 1.0}, "six tokens are fewer than twelve words"
    code, said = _ftc(site, "audit", file.parent.name)
    assert code == 0, said
    assert "which an audit doesn't run" in said


@pytest.mark.slow
@pytest.mark.parametrize(("task", "title"), [("classification", "labels"), ("generation", "tokens")])
def test_a_loss_of_a_package_is_traced_trained_with_and_replayed(
    project: MakeProject, site: Path, tmp_path: Path, task: str, title: str
) -> None:
    root = project(task, "lora", steps=4)
    recipe = root / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    with_loss = text.replace("train: {", "train: {loss: 'courtesy-metrics:bounded', ")
    recipe.write_text(with_loss, encoding="utf-8")
    code, said = _ftc(None, "plan", "recipe.yaml")
    assert code == 3, said
    assert "FTC480" in said
    code, said = _ftc(site, "plan", "recipe.yaml", "-o", "job.plan.json")
    assert code == 0, said
    assert f"loss over {title} `bounded`; a run imports it, and so does a memory trace for a GPU" in said
    assert "memory of the loss `courtesy-metrics:bounded`" in said, "an estimate without a trace doesn't know it"
    mark = tmp_path / "imported"
    assert not mark.exists()
    for_a_card = ("plan", "recipe.yaml", "--set", "budget.device=a100-80gb")
    code, said = _ftc(site, *for_a_card)
    assert code == 0, said
    assert "memory of the loss" not in said, "it was traced"
    assert mark.exists(), "the trace called it"
    mark.unlink()
    code, said = _ftc(site, *for_a_card)
    assert not mark.exists(), "the trace's answer is remembered"

    for until in (("--until", "2"), ()):
        code, said = _ftc(site, "apply", "job.plan.json", *until)
        assert code == 0, said
    (run,) = Path("runs").glob("*/*/")
    losses = [json.loads(line)["loss"] for line in (run / "ladder.ndjson").read_text().splitlines() if '"loss"' in line]
    assert len(losses) == 4
    assert max(map(float.fromhex, losses)) < 1 / 0.7, "no target can cost more"
    mark.unlink()
    code, said = _ftc(site, "audit", run.name)
    assert code == 0, said
    assert not mark.exists(), "measured losses are cross entropies, which an audit computes without it"
    if title == "tokens":
        return  # a replay is the same for both
    code, said = _ftc(site, "audit", run.name, "--level", "replay")
    assert code == 0, said
    assert "bitwise, steps 0–4 of 4" in said


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("FTC481", "entry"),
        ("FTC482", "record"),
        ("FTC482", "shadow"),
    ],
)
def test_a_package_that_can_not_be_used_is_refused(
    project: MakeProject, site: Path, tmp_path: Path, code: str, change: str
) -> None:
    project("generation", "lora", steps=2, evaluation=_METRICS)
    (info,) = site.glob("*.dist-info")
    if change == "entry":
        recipe = Path("recipe.yaml")
        recipe.write_text(recipe.read_text(encoding="utf-8").replace(":courtesy'", ":courtsey'"), encoding="utf-8")
    elif change == "record":
        kept = [line for line in (info / "RECORD").read_text().splitlines() if not line.startswith("courtesy_metrics/")]
        (info / "RECORD").write_text("\n".join(kept) + "\n")
    else:
        shutil.copytree(site / "courtesy_metrics", "courtesy_metrics")  # where ftc is started
    ended, text = _ftc(site, "plan", "recipe.yaml")
    assert ended == 3, text
    assert code in text
    assert change != "entry" or "did you mean `courtesy-metrics:courtesy`?" in text
    assert not (tmp_path / "imported").exists()


def test_a_strangers_folder_is_no_installation(project: MakeProject, site: Path, tmp_path: Path) -> None:
    project("generation", "lora", steps=2, evaluation=_METRICS)
    for folder in site.iterdir():
        shutil.copytree(folder, folder.name)
    ended, text = _ftc(None, "plan", "recipe.yaml")
    assert ended == 3, text
    assert "FTC480" in text
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 7", "returned 7, which is not a number from 0 to 1"),
        ("return None", "returned None"),
        ("raise KeyError('x')", "raised KeyError: 'x'"),
    ],
)
def test_a_function_that_gives_no_value_ends_the_run(
    site: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    from ftc.runtime import extensions
    from ftc.spec.diagnostics import Refusal

    monkeypatch.syspath_prepend(str(site))
    module = site / "courtesy_metrics" / "__init__.py"
    module.write_text(f"def courtesy(answer, references):\n    {body}\n", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "courtesy_metrics", raising=False)
    extensions.package_function.cache_clear()
    with pytest.raises(Refusal) as refused:
        extensions.metric_value(_NAME, "an answer", ["right"])
    (found,) = refused.value.diagnostics
    assert found.code == "FTC483"
    assert words in found.summary
    extensions.package_function.cache_clear()
    monkeypatch.delitem(sys.modules, "courtesy_metrics", raising=False)
