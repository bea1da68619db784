"""A server that the run starts itself: planned, started, asked, ended with the run; and what keeps it from starting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import Ftc, MakeProject
from tests.support.tiny_models import write_anew

REPOSITORY = Path(__file__).parents[2]
_PROGRAM = f"""#!{sys.executable}
import json, os, sys
words = sys.argv[1:]
with open({{told!r}}, "w") as file:
    json.dump({{{{"words": words, "pid": os.getpid(), "hub": os.environ["HF_HUB_OFFLINE"]}}}}, file)
os.chdir({str(REPOSITORY)!r})
command = [sys.executable, "-m", "tests.support.answer_server", words[1], words[words.index("--port") + 1]]
os.execv(sys.executable, command)
"""
"""What stands for `vllm`: it notes its words, and becomes a process that speaks vLLM's protocol."""
_MEMORY = "64MiB"


def with_own_server(root: Path, program: str, memory: str = _MEMORY) -> Path:
    """Has the recipe start a server, by a program of these lines; gives the file in which it notes its words."""
    file, told = root / "bin" / "vllm", root / "told.json"
    file.parent.mkdir()
    file.write_text(program.format(told=str(told)))
    file.chmod(0o755)
    (root / "ftc.launch.yaml").write_text(f"ftc_launch: 1\nwriters: {{vllm: {{program: {file}}}}}\n")
    recipe = root / "recipe.yaml"
    words = f"group_size: 4, writer: vllm, writer_memory: {memory}"
    recipe.write_text(recipe.read_text().replace("group_size: 4", words))
    return told


def is_gone(pid: int) -> bool:
    """Whether a process has ended, within a minute."""
    for _ in range(600):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_the_run_starts_it_and_ends_it(project: MakeProject, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # where nobody answers: the server isn't asked through it
    root = project("reinforcement", steps=3)
    told = with_own_server(root, _PROGRAM)
    planned = ftc("plan", "recipe.yaml", "-o", "plan.json")
    assert planned.code == 0, planned.text
    memory = json.loads(Path("plan.json").read_text())["memory"]
    assert memory["components"]["vLLM server"] == 64 * 2**20
    assert "vLLM server that the run starts with 64.0 MiB" in planned.text
    applied = ftc("apply", "plan.json", "--yes")
    assert applied.code == 0, applied.text
    first = json.loads(Path("plan.json").read_text())["lock"]["data"]["splits"]
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(_MEMORY, "65MiB"))
    assert ftc("plan", "recipe.yaml", "-o", "larger.json").code == 0
    larger = json.loads(Path("larger.json").read_text())
    assert larger["lock"]["data"]["splits"] == first, "the tokens are the same"
    assert larger["memory"]["process"]["low"] - memory["process"]["low"] == 2**20
    assert "are sent to" not in applied.text, "nothing leaves the machine"
    noted = json.loads(told.read_text())
    words = noted["words"]
    value = {word: words[words.index(word) + 1] for word in words if word.startswith("--") and word != words[-1]}
    share = 64 * 2**20 / psutil.virtual_memory().total
    assert share - 1e-4 <= float(value["--gpu-memory-utilization"]) <= share
    assert value["--host"] == "127.0.0.1"
    assert value["--dtype"] == "float32"
    assert value["--max-lora-rank"] == "8", "the smallest that vLLM takes, and the adapter's rank is at most that"
    assert noted["hub"] == "1"
    assert is_gone(noted["pid"]), "it ends with training"
    (record,) = (root / "runs").glob("*/*/record.json")
    assert (record.parent / "server.log").is_file()
    audited = ftc("audit", record.parent.name)
    assert audited.code == 0, audited.text
    told.unlink()
    replayed = ftc("audit", record.parent.name, "--level", "replay")
    assert replayed.code == 0, replayed.text
    assert not told.exists(), "a replay trains on the recorded answers, without a server"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the system ends the children of a killed process there")
def test_it_ends_with_a_run_that_is_killed(project: MakeProject) -> None:
    root = project("reinforcement", steps=2000)
    told = with_own_server(root, _PROGRAM)
    command = [sys.executable, "-m", "ftc", "apply", "--yes", "recipe.yaml"]
    with (root / "output.txt").open("wb") as output:
        running = subprocess.Popen(command, cwd=root, stdout=output, stderr=output)
        try:
            while not list((root / "runs").glob("*/*/answers.ndjson")):
                assert running.poll() is None, (root / "output.txt").read_text()
                time.sleep(0.1)
            running.send_signal(signal.SIGKILL)
        finally:
            running.kill()
            running.wait()
    assert is_gone(json.loads(told.read_text())["pid"])


@pytest.mark.slow
def test_a_server_that_ends_at_once_says_why(project: MakeProject, ftc: Ftc) -> None:
    root = project("reinforcement", steps=2)
    with_own_server(root, "#!/bin/sh\necho 'No available memory for the cache blocks.' >&2\nexit 3\n")
    ended = ftc("apply", "recipe.yaml", "--yes")
    assert ended.code == 1, ended.text
    assert "FTC469" in ended.text
    assert "No available memory for the cache blocks." in ended.text
    assert "larger `writer_memory`" in ended.text
    (root / "bin" / "vllm").unlink()
    missing = ftc("apply", "recipe.yaml", "--yes")
    assert missing.code == 1, missing.text
    assert "is no program that runs here" in missing.text
    (root / "bin" / "vllm").mkdir()
    folder = ftc("apply", "recipe.yaml", "--yes")
    assert folder.code == 1, folder.text
    assert "is no program that runs here" in folder.text
    (root / "ftc.launch.yaml").unlink()
    os.environ["PATH"], before = str(root / "bin"), os.environ["PATH"]
    try:
        nowhere = ftc("apply", "recipe.yaml", "--yes")
    finally:
        os.environ["PATH"] = before
    assert nowhere.code == 1, nowhere.text
    assert "there is no `vllm` on the PATH" in nowhere.text


@pytest.mark.traces
def test_memory_that_cannot_hold_the_weights_is_refused(project: MakeProject, ftc: Ftc) -> None:
    root = project("reinforcement")
    with_own_server(root, "", "1KiB")
    refused = ftc("plan", "recipe.yaml")
    assert refused.code == 3, refused.text
    assert "FTC464" in refused.text
    assert "write at least `writer_memory: " in refused.text


def test_only_a_server_that_can_be_kept_within_its_memory_is_started(project: MakeProject, ftc: Ftc) -> None:
    root = project("reinforcement")
    with_own_server(root, "")
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("writer: vllm", "writer: sglang"))
    refused = ftc("validate", "recipe.yaml")
    assert refused.code == 3, refused.text
    assert "FTC464" in refused.text
    assert "`vllm`" in refused.text


@pytest.mark.slow
def test_vllm_itself_is_started(project: MakeProject, ftc: Ftc) -> None:
    """The real program, on a processor: `FTC_VLLM` names it, since it doesn't go into one environment with ftc."""
    if (program := os.environ.get("FTC_VLLM")) is None:
        pytest.skip("FTC_VLLM doesn't name a vLLM")
    root = project("reinforcement", steps=3)
    write_anew(root / "decoder", {"hidden_size": 64, "num_attention_heads": 2, "head_dim": 32})  # it has no narrower
    with_own_server(root, "", "4GiB")
    (root / "ftc.launch.yaml").write_text(f"ftc_launch: 1\nwriters: {{vllm: {{program: {program}}}}}\n")
    applied = ftc("apply", "recipe.yaml", "--yes")
    (record,) = (root / "runs").glob("*/*/record.json")
    assert applied.code == 0, applied.text + (record.parent / "server.log").read_text()[-4000:]
    answers = [json.loads(line) for line in (record.parent / "answers.ndjson").read_text().splitlines()]
    assert len(answers) == 3 * 8
    for one in answers:
        pairs = zip(map(float, one["log_probs"]), map(float, one["own_log_probs"]), strict=True)
        assert all(abs(theirs - own) < 1e-3 for theirs, own in pairs), "the server had the weights of the step"
    assert not [one for one in psutil.process_iter(["cmdline"]) if program in (one.info["cmdline"] or ())]
