"""No command writes over a user's file: every verb that takes an output, by everything that may be there already."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from ftc import api
from ftc.cli.main import main
from ftc.cli.verbs import VERBS as COMMAND_LINE
from ftc.spec.documents.predictions import RowPrediction
from ftc.verbs.drift import Drifted
from ftc.verbs.inspect import Inspected
from ftc.verbs.plan import save_plan
from ftc.verbs.predict import Predictions
from ftc.verbs.profile import Profiled
from ftc.views.exports.common import as_text
from ftc.views.exports.cyclonedx import cyclonedx_bom
from ftc.views.exports.slsa import slsa_statement
from tests.cli.conftest import World
from tests.cli.test_command_line import options_of
from tests.support import documents

Verb = Callable[[Path], list[str]]

VERBS: dict[str, Verb] = {
    "plan": lambda path: ["plan", "r.yaml", "-o", str(path)],
    "export slsa": lambda path: ["run", "export", "RUN", "--format", "slsa", "-o", str(path)],
    "export cyclonedx": lambda path: ["run", "export", "RUN", "--format", "cyclonedx", "-o", str(path)],
    "export croissant": lambda path: ["run", "export", "RUN", "--format", "croissant", "-o", str(path)],
    "export gguf": lambda path: ["run", "export", "RUN", "--format", "gguf", "-o", str(path)],
    "merge": lambda path: ["run", "merge", "RUN", "-o", str(path)],
    "sign": lambda path: ["run", "sign", "signed", "--key", "key.pem", "-o", str(path)],
    "predict": lambda path: ["predict", "RUN", "a text", "-o", str(path)],
    "show": lambda path: ["show", "RUN", "--format", "html", "-o", str(path)],
    "compare": lambda path: ["run", "compare", "RUN", "RUN", "--format", "html", "-o", str(path)],
    "sweep": lambda path: ["sweep", "show", "a.sweep.yaml", "--format", "html", "-o", str(path)],
    "drift": lambda path: ["drift", "RUN", "--data", "train.jsonl", "--format", "html", "-o", str(path)],
    "inspect": lambda path: ["run", "inspect", "RUN", "--format", "html", "-o", str(path)],
    "profile": lambda path: ["run", "profile", "RUN", "--format", "html", "-o", str(path)],
    "watch": lambda path: ["watch", "--once", "--format", "html", "-o", str(path)],
    "pack": lambda path: ["pack", "a.plan.json", "-o", str(path)],
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
PAGES = ("show", "compare", "sweep", "drift", "inspect", "profile", "watch")
TAKES_FORCE = ("plan", "export slsa", "export cyclonedx", "export croissant", "sign", "predict", *PAGES)


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
    for verbs in ("merge", "export_model"):
        monkeypatch.setattr(f"ftc.verbs.{verbs}.find_run", lambda *_: run)
    said = Predictions(("text",), [{"text": "a text"}], (RowPrediction(row=0, prediction="a"),), ())
    monkeypatch.setattr(api, "predict", lambda *_, **__: said)
    monkeypatch.setattr(api, "data_drift", lambda *_, **__: Drifted(run, documents.data_drift(verdict="no drift")))
    monkeypatch.setattr(api, "inspect", lambda *_, **__: Inspected(run, documents.inspected()))
    monkeypatch.setattr(api, "profile", lambda *_, **__: Profiled(run, documents.profiled()))
    views = ("verbs.pages.report_page", "verbs.compare.comparison_page")
    reports = (
        "sweep.sweep_html",
        "runs.runs_html",
        "drift.drift_html",
        "inspected.inspected_html",
        "profiled.profiled_html",
    )
    for page in (*views, *(f"views.report.{one}" for one in reports)):
        monkeypatch.setattr(f"ftc.{page}", lambda *_, **__: '{"a": "page"}')
    monkeypatch.setattr("ftc.verbs.doubts.changed_documents", lambda _: ())
    monkeypatch.setattr("ftc.cli.sweeps._opened", lambda _: (None, None))
    if find_spec("optuna"):
        monkeypatch.setattr("ftc.sweep.results.report_of", lambda *_: None)
    monkeypatch.setattr(api, "save_plan", save_plan)
    monkeypatch.setattr(api, "export", lambda _run, format: texts[format])
    (world.folder / "signed").mkdir()
    (world.folder / "trl.yaml").write_text("model_name_or_path: m\nlearning_rate: 1.0e-4\n", encoding="utf-8")
    _rows(world.folder / "train.jsonl")
    _recipe(world.folder / "r.yaml")
    return world.folder


def test_every_verb_that_writes_where_a_user_says_is_tried() -> None:
    tried = {words[0] if words[0] in COMMAND_LINE else " ".join(words[:2]) for words in map(_words, VERBS)}
    takes_a_name = {name for name in COMMAND_LINE if "--output" in options_of(name)} | {"init"}
    assert takes_a_name - tried == {"run show"}, "which is `show` by another name"


def _words(verb: str) -> list[str]:
    return VERBS[verb](Path("file"))


def _skip_without_library(verb: str) -> None:
    if verb == "sweep":
        pytest.importorskip("optuna")


def _state(path: Path) -> tuple[object, ...]:
    found = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(found.st_mode) else path.readlink() if path.is_symlink() else None
    return found.st_mode, found.st_ino, found.st_mtime_ns, content


@pytest.mark.parametrize("there", [*REPLACEABLE, *FIXED])
@pytest.mark.parametrize("verb", VERBS)
def test_what_is_there_stays(verb: str, there: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _skip_without_library(verb)
    path = project / "out" / "named.json"
    path.parent.mkdir()
    (REPLACEABLE | FIXED)[there](path)
    before, names = _state(path), sorted(path.parent.iterdir())
    assert main(VERBS[verb](path)) == 1
    assert (_state(path), sorted(path.parent.iterdir())) == (before, names)
    assert "FTC651" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no devices among files")
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("verb", VERBS)
def test_nothing_is_written_to_a_device(
    verb: str, force: bool, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _skip_without_library(verb)
    if force and verb not in TAKES_FORCE:
        return
    code = main([*VERBS[verb](Path(os.devnull)), *(["--force"] if force else [])])
    needs_suffix = verb in ("plan", "predict")
    assert code == (64 if needs_suffix else 1)
    assert ("no suffix" if verb == "predict" else ".json" if needs_suffix else "FTC651") in capsys.readouterr().err
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.parametrize("there", FIXED)
@pytest.mark.parametrize("verb", TAKES_FORCE)
def test_force_replaces_no_link_folder_or_device(verb: str, there: str, project: Path) -> None:
    _skip_without_library(verb)
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
    _skip_without_library(verb)
    path = project / "named.json"
    REPLACEABLE[there](path)
    assert main([*VERBS[verb](path), "--force"]) in (0, 2)
    assert isinstance(json.loads(path.read_bytes()), list if verb == "predict" else dict)


@pytest.mark.parametrize("verb", ["plan", "export slsa", "export cyclonedx"])
def test_ones_own_document_is_renewed(verb: str, project: Path) -> None:
    path = project / "named.json"
    for _ in range(2):
        assert main(VERBS[verb](path)) == 0


@pytest.mark.parametrize("verb", TAKES_FORCE)
def test_no_folder_is_made(verb: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _skip_without_library(verb)
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


def test_a_place_that_takes_nothing_is_named_before_the_work(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Predictions of hours must not end at a name that is too long, or a folder that can't be written to."""
    monkeypatch.setattr(api, "predict", lambda *_, **__: pytest.fail("it was refused too late"))
    assert main(["predict", "RUN", "a text", "-o", f"{'n' * 252}.csv"]) == 3
    assert "a part of the path has 256 characters" in capsys.readouterr().err
    assert main(["predict", "RUN", "a text", "-o", "/proc/answers.csv"]) == 1
    assert "error: /proc/answers.csv: " in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["merge", "export gguf"])
def test_a_folder_that_can_not_be_made_is_named_before_a_model_is_loaded(
    verb: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for verbs in ("merge", "export_model"):
        monkeypatch.setattr(f"ftc.verbs.{verbs}._obstacles", lambda *_: ())
        monkeypatch.setattr(f"ftc.verbs.{verbs}.refuse_faults", lambda _: pytest.fail("it was refused too late"))
    assert main(VERBS[verb](Path("/proc/model"))) == 1
    assert "error: /proc/model: " in capsys.readouterr().err


def test_the_longest_name_can_be_written(project: Path) -> None:
    name = f"{'n' * 250}.json"
    assert main(["plan", "r.yaml", "-o", name]) == 0
    assert sorted(file.name for file in project.iterdir() if file.name[0] in "n.") == [name]
