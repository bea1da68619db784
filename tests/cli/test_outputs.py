"""No command writes over a user's file: every verb that takes an output, by everything that may be there already."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ftc import api
from ftc.cli.main import main
from ftc.verbs.plan import save_plan
from ftc.views.exports.common import as_text
from ftc.views.exports.cyclonedx import cyclonedx_bom
from ftc.views.exports.slsa import slsa_statement
from tests.cli.conftest import World
from tests.support import documents

Verb = Callable[[Path], list[str]]

VERBS: dict[str, Verb] = {
    "plan": lambda path: ["plan", "r.yaml", "-o", str(path)],
    "export slsa": lambda path: ["export", "RUN", "--format", "slsa", "-o", str(path)],
    "export cyclonedx": lambda path: ["export", "RUN", "--format", "cyclonedx", "-o", str(path)],
    "export croissant": lambda path: ["export", "RUN", "--format", "croissant", "-o", str(path)],
    "sign": lambda path: ["sign", "signed", "--key", "key.pem", "-o", str(path)],
    "init": lambda path: ["init", str(path)],
    "import": lambda path: [
        "import",
        "trl.yaml",
        "--from",
        "trl",
        "--data",
        "train.jsonl",
        "--task",
        "chat",
        "-o",
        str(path),
    ],
}
TAKES_FORCE = ("plan", "export slsa", "export cyclonedx", "export croissant", "sign")


def _rows(path: Path) -> None:
    path.write_text('{"text": "a", "label": "b"}\n', encoding="utf-8")


def _model_file(path: Path) -> None:
    path.write_text('{"model_type": "llama"}', encoding="utf-8")


def _lock(path: Path) -> None:
    path.write_text('{"schema": "ftc.lock/1"}', encoding="utf-8")


def _recipe(path: Path) -> None:
    path.write_text("ftc: 1\nname: mine\n", encoding="utf-8")


def _deep(path: Path) -> None:
    path.write_text("[" * 100_000, encoding="utf-8")


def _empty(path: Path) -> None:
    path.touch()


def _link(path: Path) -> None:
    _rows(path.with_name("rows behind a link"))
    path.symlink_to("rows behind a link")


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _write_protected(path: Path) -> None:
    path.write_text('{"schema": "ftc.plan/1"}', encoding="utf-8")
    path.chmod(0o444)


def _of_a_run(path: Path) -> None:
    path.write_text('{"schema": "ftc.plan/1"}', encoding="utf-8")
    path.with_name("record.json").touch()


REPLACEABLE = {
    "rows": _rows,
    "model file": _model_file,
    "lock": _lock,
    "recipe": _recipe,
    "deep": _deep,
    "empty": _empty,
}
FIXED: dict[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "link": _link,
    "dangling link": _dangling,
    "pipe": os.mkfifo,
    "write-protected": _write_protected,
    "file of a run": _of_a_run,
}


@pytest.fixture
def project(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a recipe, a finished run, a folder to sign and another tool's configuration."""
    world.run_status = "finished"
    plan, run = world.plan, world.run("finished")
    texts = {
        "slsa": as_text(slsa_statement(plan, run.record)),
        "cyclonedx": as_text(cyclonedx_bom(plan, run.record, documents.evaluation())),
        "croissant": '{"@type": "sc:Dataset"}\n',
    }
    monkeypatch.setattr(api, "save_plan", save_plan)
    monkeypatch.setattr(api, "export", lambda _run, format: texts[format])
    (world.folder / "signed").mkdir()
    (world.folder / "trl.yaml").write_text("model_name_or_path: m\nlearning_rate: 1.0e-4\n", encoding="utf-8")
    _rows(world.folder / "train.jsonl")
    _recipe(world.folder / "r.yaml")
    return world.folder


def _state(path: Path) -> tuple[object, ...]:
    found = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(found.st_mode) else path.readlink() if path.is_symlink() else None
    return found.st_mode, found.st_ino, found.st_mtime_ns, content


@pytest.mark.parametrize("there", [*REPLACEABLE, *FIXED])
@pytest.mark.parametrize("verb", VERBS)
def test_what_is_there_stays(verb: str, there: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "out" / "named.json"
    path.parent.mkdir()
    (REPLACEABLE | FIXED)[there](path)
    before, names = _state(path), sorted(path.parent.iterdir())
    assert main(VERBS[verb](path)) == 1
    assert (_state(path), sorted(path.parent.iterdir())) == (before, names)
    assert "FTC651" in capsys.readouterr().err


@pytest.mark.parametrize("there", FIXED)
@pytest.mark.parametrize("verb", TAKES_FORCE)
def test_force_replaces_no_link_folder_or_device(verb: str, there: str, project: Path) -> None:
    path = project / "out" / "named.json"
    path.parent.mkdir()
    FIXED[there](path)
    before = _state(path)
    assert main([*VERBS[verb](path), "--force"]) == 1
    assert _state(path) == before


@pytest.mark.parametrize(
    "name",
    ["base/tokenizer.json", "base/model-00001-of-00002.safetensors", "run/adapter/adapter_config.json"]
    + ["run/checkpoints/step-00000002/state.json"],
)
def test_force_replaces_no_part_of_a_model_or_a_run(name: str, project: Path) -> None:
    for beside in ("base/config.json", "run/plan.json", "run/record.json"):
        (project / beside).parent.mkdir(exist_ok=True)
        (project / beside).touch()
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    _model_file(path)
    before = _state(path)
    assert main([*VERBS["export croissant"](path), "--force"]) == 1
    assert _state(path) == before


@pytest.mark.parametrize("there", REPLACEABLE)
@pytest.mark.parametrize("verb", [verb for verb in TAKES_FORCE if verb != "sign"])  # which needs its library
def test_force_replaces_a_file(verb: str, there: str, project: Path) -> None:
    path = project / "named.json"
    REPLACEABLE[there](path)
    assert main([*VERBS[verb](path), "--force"]) in (0, 2)
    assert isinstance(json.loads(path.read_bytes()), dict)


@pytest.mark.parametrize("verb", ["plan", "export slsa", "export cyclonedx"])
def test_ones_own_document_is_renewed(verb: str, project: Path) -> None:
    path = project / "named.json"
    for _ in range(2):
        assert main(VERBS[verb](path)) == 0


@pytest.mark.parametrize("verb", TAKES_FORCE)
def test_no_folder_is_made(verb: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(VERBS[verb](project / "mistyped" / "named.json")) == 1
    assert "FTC653" in capsys.readouterr().err
    assert not (project / "mistyped").exists()


def test_a_checking_plan_leaves_the_lock_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CI job plans with `--detailed-exitcode` and then checks the lock, which must not be renewed in between."""
    calls: list[bool] = []
    make: Callable[..., api.Planned] = api.plan

    def plan(recipe: str, *, keep_lock: bool, **others: bool) -> api.Planned:
        calls.append(keep_lock)
        return make(recipe, **others)

    monkeypatch.setattr(api, "plan", plan)
    assert main(["plan", "r.yaml", "--detailed-exitcode"]) == 2  # the run is finished, and there is no lock yet
    assert main(["plan", "r.yaml"]) == 0
    assert calls == [True, False]
