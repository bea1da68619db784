"""The recipe of handwritten digits: its images are made, and its model learns to read them as the README says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ftc import api

pytest.importorskip("torch")
pytest.importorskip("PIL")
pytest.importorskip("sklearn")

FOLDER = Path(__file__).parents[2] / "recipes" / "images"


@pytest.mark.slow
def test_a_tiny_llava_learns_to_read_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("make.py", "digits.yaml"):
        shutil.copy(FOLDER / name, tmp_path / name)
    subprocess.run([sys.executable, "make.py"], check=True, capture_output=True, cwd=tmp_path)
    (tmp_path / ".ftc").mkdir()
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    applied = api.apply("digits.yaml")
    assert applied.record.status == "finished"
    (run,) = api.runs()
    assert run.evaluation is not None
    assert run.evaluation.tuned.metrics["exact_match"] > 0.9
    assert (run.folder / "report.html").read_text().count("<img ") >= 2 * run.plan.settings.eval.samples
