"""Rows in many shards: planned, applied, packed and audited as in one file, and a damaged shard has its name said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ftc import api
from ftc.compiler.tokens import stream_writer
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.stream_shards import read_shards
from ftc.spec.storage.paths import streams_folder
from tests.e2e.conftest import Ftc, MakeProject, finished_project, in_a_copy


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run whose streams have shards of some hundred tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_writer, "SHARD_BYTES", 500)
        patch.setenv("OMP_NUM_THREADS", "1")
        return finished_project(tmp_path_factory.mktemp("shards"), models, 4, shared=False)


@pytest.fixture
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stream_writer, "SHARD_BYTES", 500)
    return in_a_copy(finished, tmp_path, monkeypatch)


def shards_of(root: Path, split: str = "train") -> list[Path]:
    folder = streams_folder(api.find_run("tiny", root).plan.stream_key)
    return [folder / one.file for one in read_shards(folder / f"{split}.arrow")]


def test_a_run_over_shards_is_done_and_audited(copied: Path, ftc: Ftc) -> None:
    shards = shards_of(copied)
    assert len(shards) > 4
    run = api.find_run("tiny", copied)
    assert run.plan.lock.data.splits["train"].stream_sha256 == run.plan.data["train"].stream_digest
    audited = ftc("audit", run.record.id)
    assert (audited.code, "3 token streams" in audited.text) == (0, True), audited.text


@pytest.mark.slow
def test_a_replay_reads_the_same_rows(copied: Path, ftc: Ftc) -> None:
    run = api.find_run("tiny", copied)
    replayed = ftc("audit", run.record.id, "--level", "replay", "--steps", "1")
    assert replayed.code == 0, replayed.text


@pytest.mark.slow
def test_prompts_of_sampled_answers_are_those_of_the_run(
    project: MakeProject, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_writer, "SHARD_BYTES", 100)
    root = project("reinforcement", steps=2)
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    assert len(shards_of(root)) > 4
    audited = ftc("audit", api.find_run("tiny", root).record.id)
    assert audited.code == 0, audited.text
    assert "sampled answers" in audited.text


def removed(file: Path) -> None:
    file.unlink()


def flipped(file: Path) -> None:
    """Another token."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [removed, flipped])
def test_a_damaged_shard_ends_a_run_before_it_begins(
    project: MakeProject, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(stream_writer, "SHARD_BYTES", 500)
    root = project("classification", steps=2)
    planned = api.plan(root / "recipe.yaml")
    folder = streams_folder(planned.plan.stream_key)
    shard = folder / read_shards(folder / "train.arrow")[1].file
    damage(shard)
    with pytest.raises(Refusal) as refused:
        api.apply(planned)
    found = [one for one in refused.value.diagnostics if one.code == "FTC621"]
    assert len(found) == 1
    assert "`train.00001.arrow`" in " ".join(found[0].notes)


@pytest.mark.parametrize("damage", [removed, flipped])
def test_a_plan_makes_damaged_shards_again(copied: Path, damage: Callable[[Path], None]) -> None:
    before = {file.name: file.read_bytes() for file in shards_of(copied)}
    damage(shards_of(copied)[2])
    api.plan(copied / "recipe.yaml", keep_lock=True)
    assert {file.name: file.read_bytes() for file in shards_of(copied)} == before


@pytest.mark.slow
def test_shards_travel_in_a_package(project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_writer, "SHARD_BYTES", 500)
    monkeypatch.setenv("FTC_CACHE_KEY", str(tmp_path / "secret"))
    root = project("classification", steps=2)
    planned = api.save_plan(api.plan(root / "recipe.yaml"), root / "job.plan.json")
    api.pack(root / "job.plan.json", tmp_path / "job.tar")
    before = streams_folder(planned.plan.stream_key)
    names = {file.name for file in before.glob("*.arrow")}
    assert "train.00001.arrow" in names
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "another"))
    api.unpack(tmp_path / "job.tar", tmp_path / "there")
    after = streams_folder(planned.plan.stream_key)
    assert after != before
    assert all((after / name).read_bytes() == (before / name).read_bytes() for name in names)
    done = api.apply(tmp_path / "there" / "job.plan.json")
    assert done.record.status == "finished"
