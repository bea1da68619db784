"""What end-to-end tests share: tiny models made once, projects, and the command line in this process."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from ftc import api  # after the packages without which there is nothing to test
from ftc.cli.main import main
from ftc.spec.diagnostics import Refusal
from tests.support.cards import CardRunner
from tests.support.hub_server import HubServer, hub_server
from tests.support.projects import contents, make_model, make_project


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams with white space folded, so that line breaks don't matter."""
        return " ".join((self.out + self.err).split())


TOKEN = "hf_neverInAnyLog0123456789abcdefgh"
"""Of the hub on this machine."""
Ftc = Callable[..., Answer]
MakeProject = Callable[..., Path]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    for kind in ("encoder", "masked_encoder", "decoder", "encoder_decoder", "span_encoder_decoder", "bart"):
        make_model(folder / kind, kind)
    return folder


@pytest.fixture(scope="session")
def cards() -> Iterator[CardRunner]:
    """Runs the code of model cards."""
    runner = CardRunner()
    yield runner
    runner.close()


_FINISHED: dict[str, Path] = {}
"""Finished projects by what they were made of: files with the same one share its run."""


def finished_project(
    folder: Path,
    models: Path,
    steps: int,
    *,
    prepare: Callable[[Path], None] | None = None,
    task: str = "classification",
    shared: bool = True,
    **recipe: Any,
) -> Path:
    """A project in `folder` with one finished run and a cache beside it; its tests work on copies.

    `prepare` may change the project before it runs. A run in changed surroundings is not to be `shared`.
    """
    root, key = folder / "project", repr((models, steps, task, sorted(recipe.items())))
    shared = shared and prepare is None
    if shared and key in _FINISHED:
        for name in ("project", "cache"):
            shutil.copytree(_FINISHED[key].parent / name, folder / name, symlinks=True)
        return root
    make_project(root, models, task, steps=steps, **recipe)
    if prepare is not None:
        prepare(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(folder / "cache"))
        from ftc import api

        assert api.apply(root / "recipe.yaml").record.status == "finished"
    if shared:
        _FINISHED[key] = root
    return root


def in_a_copy(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Goes into a copy of such a project, with a copy of its cache."""
    shutil.copytree(finished.parent, tmp_path / "copy", symlinks=True)
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "copy" / "cache"))
    monkeypatch.chdir(tmp_path / "copy" / "project")
    return tmp_path / "copy" / "project"


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own, one thread, no network."""
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("FORCE_COLOR", "GITHUB_ACTIONS", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeProject:
    """`project("chat", "lora", name="one")` makes a project and goes into it."""

    def make(task: str = "classification", strategy: str = "lora", *, name: str = "project", **recipe: Any) -> Path:
        root = make_project(tmp_path / name, models, task, strategy, **recipe)
        monkeypatch.chdir(root)
        return root

    return make


@pytest.fixture
def ftc(capsys: pytest.CaptureFixture[str]) -> Ftc:
    """`ftc("plan", "recipe.yaml")` runs the command in this process."""

    def run(*words: str | os.PathLike[str]) -> Answer:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return run


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub that takes what this process pushes."""
    from huggingface_hub import constants

    with hub_server({}) as running:
        running.token = TOKEN
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        template = running.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        yield running


def pushed_as_made(
    run: api.Run, server: HubServer, folder: str, *, kind: str, library: str, waive: tuple[str, ...] = ()
) -> str:
    """Pushes an exported folder, compares the repository with it, and gives the card."""
    done = api.push(run, f"me/{kind}", made=folder, waive=waive)
    assert (done.report.status, done.report.what) == ("pushed", kind)
    repo, files = server.repos[f"me/{kind}"], contents(Path(folder))
    assert {path: hashlib.sha256(repo.files[path]).hexdigest() for path in files} == files
    assert {"README.md", "ftc/record.json", "ftc/plan.json"} < repo.files.keys()
    assert f'library_name: "{library}"' in done.card
    assert f"me/{kind}" in done.card
    assert api.push(run, f"me/{kind}", made=folder, waive=waive).report.status == "up to date"
    with pytest.raises(Refusal) as caught:
        api.pull(f"me/{kind}")
    assert [one.code for one in caught.value.diagnostics] == ["FTC778"], "it lacks what was trained"
    return done.card
