"""The program for a GPU works at the first try, since it works on a CPU, with tiny models and the same parts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("torch")

from benchmarks.gpu_memory import CASES  # noqa: E402
from benchmarks.support.gpu_parts import PARTS  # noqa: E402

pytestmark = pytest.mark.slow


def _called(out: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.gpu", "--tiny", "--out", str(out), "--work", str(out.parent / "work")]
    return subprocess.run([*command, *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_parts_leave_lines_and_are_not_run_again(tmp_path: Path) -> None:
    out = tmp_path / "gpu.jsonl"
    ways = [f"run 0.5B lora 2048 packed {way}" for way in ("kernels torch", "kernels liger", "checkpointing selective")]
    for only in ("run 0.5B lora 2048", *ways, "repeat", "repeat 0.5B full 512", "answers", "kill and resume"):
        _called(out, "--only", only)
    lines = {line["part"]: line for line in map(json.loads, out.read_text(encoding="utf-8").splitlines())}
    assert not [line["problem"] for line in lines.values() if line["problem"]]
    measured = lines["run 0.5B lora 2048"]["figures"]
    assert measured["tokens_a_second"] > 0
    assert measured["peak_measured"] > measured["peak_planned"]["low"] / 4
    assert {phase["phase"] for phase in measured["time_by_phase"]} >= {"load", "train", "evaluate"}
    assert lines["repeat"]["figures"]["same_weights"]
    assert lines["repeat 0.5B full 512"]["figures"]["same_weights"]
    assert lines["answers"]["figures"]["answers"] == 128
    assert lines["answers"]["figures"]["tokens_a_second"] > 0
    assert lines["kill and resume"]["figures"]["same_weights"]
    assert lines["kill and resume"]["figures"]["segments"] == 1 + lines["kill and resume"]["figures"]["killed"]
    assert _called(out, "--only", "repeat").startswith("0 parts are left")
    assert len(out.read_text(encoding="utf-8").splitlines()) == len(lines)


def test_a_line_that_was_cut_off_is_measured_again(tmp_path: Path) -> None:
    out = tmp_path / "gpu.jsonl"
    out.write_text('{"part": "calibrate", "problem": ""}\n{"part": "memory GPT-2 lora", "figu', encoding="utf-8")
    _called(out, "--only", "memory GPT-2 lora")
    line = json.loads(out.read_text(encoding="utf-8").splitlines()[-1])
    assert line["part"] == "memory GPT-2 lora"
    assert not line["problem"]
    assert line["figures"]["predicted"] > 0
    assert _called(out, "--only", "calibrate").startswith("0 parts are left")


def test_a_copy_without_git_tells_the_commit_that_it_is_given(tmp_path: Path) -> None:
    copy, out = tmp_path / "copy", tmp_path / "gpu.jsonl"
    for name in ("benchmarks", "compiler", "runtime", "spec", "src", "tests"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "FTC_COMMIT": "abc", "PATH": "", "PYTHONPATH": str(copy / "src")}
    command = [sys.executable, "-m", "benchmarks.gpu", "--tiny", "--out", str(out), "--only", "memory GPT-2 full"]
    subprocess.run(command, cwd=copy, env=environment, check=True, capture_output=True)
    line = json.loads(out.read_text(encoding="utf-8").splitlines()[0])
    assert not line["problem"]
    assert line["commit"] == "abc"


def test_the_memory_of_all_jobs_is_measured() -> None:
    assert {f"memory {case}" for case in CASES} == {part.name for part in PARTS if part.name.startswith("memory ")}
    assert len(CASES) == 36


def test_a_word_that_no_part_holds_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--tiny", "--out", str(tmp_path / "a"), "--only", "nothing"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no part's name holds 'nothing'" in done.stderr


def test_a_part_that_takes_too_long_is_ended_and_told(tmp_path: Path) -> None:
    out = tmp_path / "gpu.jsonl"
    _called(out, "--only", "kill and resume", "--minutes", "0.34")
    line = json.loads(out.read_text(encoding="utf-8"))
    assert line["figures"] is None
    assert line["problem"].startswith("longer than")


def test_without_a_card_it_says_so(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a card")
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path / "gpu.jsonl")]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no CUDA device here" in done.stderr
