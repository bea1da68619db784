"""A base model from the hub: the lock keeps the commit, whatever happens upstream, and the cache is enough offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftc.spec.documents.lockfile import Lock, sealed
from tests.e2e.conftest import MakeProject
from tests.support.hub_server import HubRepo, HubServer, hub_server

OLD, NEW = "c" * 40, "d" * 40
Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def server(models: Path) -> Iterator[HubServer]:
    files = {file.name: file.read_bytes() for file in (models / "encoder").iterdir()}
    with hub_server({"org/tiny": HubRepo(files)}) as running:
        yield running


@pytest.fixture
def root(project: MakeProject) -> Path:
    root = project(steps=1)
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("./encoder", "org/tiny"))
    return root


@pytest.fixture
def ftc(root: Path, server: HubServer) -> Process:
    """The command in a process of its own, since huggingface_hub reads its settings once."""

    def run(
        *words: str, offline: bool = False, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        settings = {"HF_ENDPOINT": server.endpoint, "HF_HUB_OFFLINE": "1" if offline else "0"}
        env = {**os.environ, **settings, **(environment or {})}
        command = [sys.executable, "-m", "ftc", *words]
        return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)

    return run


def locked(root: Path) -> dict[str, object]:
    model = json.loads((root / "recipe.lock.json").read_text())["model"]
    assert isinstance(model, dict)
    return model


@pytest.mark.slow
def test_a_package_brings_a_model_of_the_hub(root: Path, tmp_path: Path, ftc: Process) -> None:
    """Unpacked where no hub answers and its cache is empty, the model is found by its digests."""
    assert ftc("plan", "recipe.yaml", "-o", "job.plan.json").returncode == 0
    assert ftc("pack", "job.plan.json", "-o", "job.tar", offline=True).returncode == 0
    bare = ftc("pack", "job.plan.json", "-o", "bare.tar", "--models", "local", offline=True)
    assert "org/tiny" in bare.stdout
    there = {"FTC_CACHE": str(tmp_path / "there"), "HF_HOME": str(tmp_path / "no hub")}
    unpacked = ftc("unpack", "job.tar", str(tmp_path / "job"), offline=True, environment=there)
    assert unpacked.returncode == 0, unpacked.stderr
    (model,) = (tmp_path / "job" / ".ftc" / "models").iterdir()
    assert (model / "model.safetensors").is_file()
    applied = ftc("apply", str(tmp_path / "job" / "job.plan.json"), offline=True, environment=there)
    assert applied.returncode == 0, applied.stderr


@pytest.mark.slow
def test_the_lock_keeps_the_commit(root: Path, server: HubServer, ftc: Process) -> None:
    first = ftc("plan", "recipe.yaml")
    assert first.returncode == 0, first.stderr
    assert locked(root)["commit"] == OLD
    assert locked(root)["asked"] == {"base": "org/tiny", "revision": None}
    lock = (root / "recipe.lock.json").read_bytes()

    server.repos["org/tiny"].push(NEW, {"README.md": b"---\nlicense: mit\n---\n"})
    second = ftc("plan", "recipe.yaml", "--locked")
    assert second.returncode == 0, second.stderr
    assert "up to date" in second.stdout
    assert (root / "recipe.lock.json").read_bytes() == lock

    server.requests.clear()
    third = ftc("plan", "recipe.yaml", "--offline", "-o", "job.plan.json")
    assert third.returncode == 0, third.stderr
    assert server.requests == []
    assert (root / "recipe.lock.json").read_bytes() == lock

    applied = ftc("apply", "job.plan.json", offline=True)
    assert applied.returncode == 0, applied.stderr
    assert server.requests == []
    (record,) = (root / "runs").glob("*/*/record.json")
    audited = ftc("audit", record.parent.name, offline=True)
    assert audited.returncode == 0, audited.stdout

    (root / "recipe.lock.json").unlink()
    anew = ftc("plan", "recipe.yaml")
    assert anew.returncode == 0, anew.stderr
    assert locked(root)["commit"] == NEW
    assert locked(root)["license"] == "mit"


def test_offline_without_a_cache(root: Path, server: HubServer, ftc: Process) -> None:
    refused = ftc("plan", "recipe.yaml", "--offline")
    assert refused.returncode == 3
    assert "[FTC318]" in refused.stderr
    assert "recipe.yaml:8:15" in refused.stderr
    assert "or name a folder that holds the model, such as `./models/NAME`" in refused.stderr
    assert server.requests == []
    by_variable = ftc("plan", "recipe.yaml", environment={"FTC_OFFLINE": "1"})
    assert (by_variable.returncode, server.requests) == (3, [])
    assert "[FTC318]" in by_variable.stderr
    assert not (root / "recipe.lock.json").exists()


@pytest.mark.slow
def test_a_pinned_ref_moves_when_it_is_named(root: Path, server: HubServer, ftc: Process) -> None:
    assert ftc("lock", "recipe.yaml").returncode == 0
    server.repos["org/tiny"].push(NEW, {"README.md": b"---\nlicense: mit\n---\n"})
    stays = ftc("lock", "recipe.yaml", "--check")
    assert stays.returncode == 0, stays.stderr
    assert ftc("lock", "recipe.yaml", "--upgrade-package", "rows").returncode == 0
    assert locked(root)["commit"] == OLD
    moved = ftc("lock", "recipe.yaml", "--upgrade-package", "model")
    assert moved.returncode == 0, moved.stderr
    assert "model.commit: cccc" in moved.stdout
    assert locked(root)["commit"] == NEW


@pytest.mark.slow
def test_an_upgraded_split_has_the_files_of_its_new_commit(root: Path, server: HubServer, ftc: Process) -> None:
    pieces = [
        "\n".join(["text,label", *(f"text {n} of {piece},{n % 2}" for n in range(40))]).encode() for piece in range(3)
    ]
    server.repos["org/rows"] = HubRepo({f"train-{number}.csv": pieces[number] for number in range(2)})
    recipe, file = root / "recipe.yaml", root / "recipe.lock.json"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace("{path: rows.csv}", "{hub: org/rows, split: train}"), encoding="utf-8")
    assert ftc("lock", "recipe.yaml").returncode == 0
    server.repos["org/rows"].push(NEW, {"train-2.csv": pieces[2]})
    assert ftc("lock", "recipe.yaml").returncode == 0
    names = [f"train-{number}.csv" for number in range(3)]
    assert [*Lock.model_validate_json(file.read_bytes()).data.sources["rows"].files] == names[:2]
    moved = ftc("lock", "recipe.yaml", "--upgrade")
    assert moved.returncode == 0, moved.stderr
    assert "data.sources.rows.files.train-2.csv: absent" in moved.stdout
    rows = Lock.model_validate_json(file.read_bytes()).data.sources["rows"]
    assert ([*rows.files], rows.commit, rows.rows) == (names, NEW, 120)


@pytest.mark.slow
def test_a_plan_has_the_names_of_classes_that_its_lock_has(root: Path, server: HubServer, ftc: Process) -> None:
    """Streams of rows with names are no streams of the same rows without."""
    rows = "\n".join(["text,label", *(f"text {n} of the hub,{n % 2}" for n in range(60))])
    card = "---\ndataset_info: {features: [{name: label, dtype: {class_label: {names: [cold, warm]}}}]}\n---\n"
    server.repos["org/rows"] = HubRepo({"train.csv": rows.encode(), "README.md": card.encode()})
    recipe, file = root / "recipe.yaml", root / "recipe.lock.json"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace("{path: rows.csv}", "{hub: org/rows, file: train.csv}"), encoding="utf-8")
    first = ftc("plan", "recipe.yaml")
    assert first.returncode == 0, first.stderr
    lock = Lock.model_validate_json(file.read_bytes())
    assert lock.text.settings["labels"] == ["cold", "warm"]
    assert lock.data.sources["rows"].class_names == {"label": ("cold", "warm")}
    assert ftc("plan", "recipe.yaml", "--locked", offline=True).returncode == 0

    older = {"rows": lock.data.sources["rows"].model_copy(update={"class_names": {}})}
    lock = sealed(lock.model_copy(update={"data": lock.data.model_copy(update={"sources": older})}))
    file.write_text(lock.to_text(), encoding="utf-8")
    second = ftc("lock", "recipe.yaml", offline=True)
    assert second.returncode == 0, second.stderr
    assert Lock.model_validate_json(file.read_bytes()).text.settings["labels"] == ["0", "1"]
    third = ftc("lock", "recipe.yaml", "--upgrade")
    assert third.returncode == 0, third.stderr
    assert Lock.model_validate_json(file.read_bytes()).text.settings["labels"] == ["cold", "warm"]
