"""Answers that a server writes: from rows to audit, with a real process that speaks the protocols, and its faults."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Ftc, MakeProject

pytestmark = pytest.mark.slow


class Server:
    """The process, and what it is told."""

    def __init__(self, model: Path, port: int = 0) -> None:
        command = [sys.executable, "-m", "tests.support.answer_server", str(model), str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def tell(self, path: str, **body: Any) -> Any:
        """What a path answers."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())  # noqa: S310
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return json.loads(answer.read())

    def end(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.communicate()


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    begun: list[Server] = []

    def start(root: Path, writer: str, port: int = 0) -> Server:
        server = Server(root / "decoder", port)
        (root / "ftc.launch.yaml").write_text(f"ftc_launch: 1\nwriters: {{{writer}: {{url: '{server.url}'}}}}\n")
        recipe = root / "recipe.yaml"
        text = recipe.read_text()
        if "writer:" not in text:
            recipe.write_text(text.replace("group_size: 4", f"group_size: 4, writer: {writer}"))
        begun.append(server)
        return server

    yield start
    for one in begun:
        one.end()


def _run(root: Path) -> Path:
    (record,) = (root / "runs").glob("*/*/record.json")
    return record.parent


def _answers(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_run(root) / "answers.ndjson").read_text().splitlines()]


def test_from_rows_to_audit(project: MakeProject, ftc: Ftc, serve: Serve) -> None:
    root = project("reinforcement", steps=4)
    server = serve(root, "vllm")
    planned = ftc("plan", "recipe.yaml", "-o", "plan.json")
    assert planned.code == 0, planned.text
    applied = ftc("apply", "plan.json")
    assert applied.code == 0, applied.text
    answers = _answers(root)
    assert len(answers) == 4 * 8
    for one in answers:
        pairs = list(zip(map(float, one["log_probs"]), map(float, one["own_log_probs"]), strict=True))
        assert len(pairs) == len(one["ids"])
        assert all(abs(theirs - own) < 1e-3 for theirs, own in pairs), "the server had the weights of the step"
    assert server.tell("/seen").count("/v1/load_lora_adapter") >= 3, "each step's weights, where they are other ones"
    assert not (_run(root) / "handed-over").exists()
    audited = ftc("audit", _run(root).name)
    assert audited.code == 0, audited.text
    assert "32 sampled answers" in audited.text
    server.end()
    replayed = ftc("audit", _run(root).name, "--level", "replay")
    assert replayed.code == 0, replayed.text
    assert "no server is asked" in replayed.text
    # A probability that somebody changes is found: the step was fed another importance.
    lines = (_run(root) / "answers.ndjson").read_text().splitlines()
    first = json.loads(lines[0])
    first["log_probs"][0] = str(float(first["log_probs"][0]) - 0.5)
    (_run(root) / "answers.ndjson").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    forged = ftc("audit", _run(root).name)
    assert forged.code != 0
    assert "log prob gap" in forged.text


def test_a_server_that_dies_costs_no_finished_step(project: MakeProject, ftc: Ftc, serve: Serve) -> None:
    root = project("reinforcement", "full", steps=4)
    server = serve(root, "sglang")
    assert ftc("plan", "recipe.yaml", "-o", "plan.json").code == 0
    assert ftc("apply", "plan.json", "--until", "2").code == 0
    kept = (_run(root) / "answers.ndjson").read_bytes()
    server.end()
    refused = ftc("apply", "plan.json")
    assert refused.code == 1, refused.text
    assert "FTC466" in refused.text
    assert "sglang.launch_server" in refused.text
    again = serve(root, "sglang", server.port)
    applied = ftc("apply", "plan.json")
    assert applied.code == 0, applied.text
    assert (_run(root) / "answers.ndjson").read_bytes().startswith(kept)
    assert len(_answers(root)) == 4 * 8
    assert "/update_weights_from_disk" in again.tell("/seen")
    audited = ftc("audit", _run(root).name)
    assert audited.code == 0, audited.text
