"""Models outside the project, where the machine's owner allows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.diagnostics import Diagnostic, Refusal
from tests.diagnostics.worlds import write_plain_model, write_plain_rows

RECIPE = """\
ftc: 1
name: tiny
task: {kind: classification}
data: {source: {path: rows.csv}}
model: {base: BASE}
strategy: {kind: lora, rank: 2}
"""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models beside a project; a home without configuration."""
    project = tmp_path / "project"
    (project / ".ftc").mkdir(parents=True)
    write_plain_rows(project / "rows.csv")
    (tmp_path / "shelf" / "org").mkdir(parents=True)
    write_plain_model(tmp_path / "shelf" / "org" / "tiny")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("FTC_MODEL_PATHS", raising=False)
    monkeypatch.chdir(project)
    return tmp_path / "shelf"


def planned(base: str) -> api.Planned:
    Path("recipe.yaml").write_text(RECIPE.replace("BASE", base), encoding="utf-8")
    return api.plan("recipe.yaml", offline=True)


def refused(base: str) -> Diagnostic:
    with pytest.raises(Refusal) as caught:
        planned(base)
    return caught.value.diagnostics[0]


def test_a_refusal_names_the_way(shelf: Path) -> None:
    found = refused(str(shelf / "org" / "tiny"))
    assert found.code == "FTC300"
    assert any("FTC_MODEL_PATHS" in one and "config.toml" in one for one in found.help)


@pytest.mark.parametrize("way", ["variable", "file"])
def test_a_model_on_the_owners_shelf(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "variable":
        monkeypatch.setenv("FTC_MODEL_PATHS", os.pathsep.join(("/nowhere", str(shelf))))
    else:
        (tmp_path / "config" / "ftc").mkdir(parents=True)
        (tmp_path / "config" / "ftc" / "config.toml").write_text(f"model_paths = [{str(shelf)!r}]\n", encoding="utf-8")
    found = planned("org/tiny").plan
    assert found.model.name == "org/tiny"
    assert str(shelf) not in found.lock.to_text(), "the lock pins by digest, and holds no path of this machine"
    absolute = planned(str(shelf / "org" / "tiny")).plan
    assert absolute.model.name == "org/tiny"
    assert absolute.lock.model.content_sha256 == found.lock.model.content_sha256


def test_what_is_not_on_the_shelf_stays_out_of_reach(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTC_MODEL_PATHS", str(shelf / "org"))
    write_plain_model(tmp_path / "private")
    (shelf / "org" / "link").symlink_to(tmp_path / "private")
    assert refused(str(tmp_path / "private")).code == "FTC300"
    assert refused(str(shelf / "org" / "link")).code == "FTC300"
    assert refused("../../private").code == "FTC300"
    assert refused("link").code in ("FTC318", "FTC321", "FTC317"), "no folder, so an id on the hub"


def test_the_projects_own_folder_goes_first(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_MODEL_PATHS", str(shelf))
    write_plain_model(Path("org") / "tiny", hidden_act="gelu")
    assert planned("org/tiny").plan.lock.model.asked["base"] == "org/tiny"
    assert (Path("org") / "tiny" / "config.json").read_bytes() != (shelf / "org" / "tiny" / "config.json").read_bytes()
    locked = planned("org/tiny").plan.lock.model.files["config.json"]
    assert locked.size == (Path("org") / "tiny" / "config.json").stat().st_size


def test_a_configuration_that_can_not_be_read(shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "config" / "ftc").mkdir(parents=True)
    for text in ("model_paths = /srv\n", "model_paths = 3\n"):
        (tmp_path / "config" / "ftc" / "config.toml").write_text(text, encoding="utf-8")
        assert refused("org/tiny").code == "FTC345"
