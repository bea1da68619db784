"""Who used a digest, and where a file of weights comes from."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from ftc import api
from ftc.compiler.resolve.models.weights import read_metadata
from tests.e2e.conftest import Ftc, MakeProject


@pytest.fixture
def run(project: MakeProject, ftc: Ftc) -> api.Run:
    project(steps=1)
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.err
    (found,) = api.runs()
    return found


def places(ftc: Ftc, digest: str) -> set[tuple[str, str]]:
    answer = ftc("who-used", digest, "--json")
    assert answer.code == 0, answer.err
    return {(use["kind"], use["path"]) for use in json.loads(answer.out)["uses"]}


@pytest.mark.slow
def test_who_used_a_file_a_row_a_model_a_package(run: api.Run, ftc: Ftc) -> None:
    locked = "data.sources.rows.file.sha256"
    assert {("lock", locked), ("run", f"lock.{locked}")} <= places(ftc, "rows.csv")
    assert {("lock", "model.content_sha256")} <= places(ftc, run.plan.lock.model.content_sha256[:12])
    package = run.plan.lock.platforms[run.plan.platform].packages["torch"].sha256
    assert any(path.endswith("packages.torch.sha256") for _, path in places(ftc, package))
    assert ("run", "outputs.adapter/adapter_model.safetensors.sha256") in places(
        ftc, str(run.folder / "adapter" / "adapter_model.safetensors")
    )
    from ftc.compiler.resolve.rows.row_digests import canonical_text
    from ftc.compiler.resolve.rows.tables import read_rows

    row = read_rows(run.root / "rows.csv", "rows.csv").rows[6]
    digest = hashlib.sha256(canonical_text(row).encode()).hexdigest()
    assert ("lock", "data.sources.rows, row 7") in places(ftc, digest)
    assert places(ftc, "0" * 64) == set()
    assert "recipe.lock.json: data.sources.rows, row 7" in ftc("who-used", digest).out


@pytest.mark.parametrize("word", ["abc", "nothing-here", "0" * 65])
def test_what_is_no_digest(project: MakeProject, ftc: Ftc, word: str) -> None:
    project()
    refused = ftc("who-used", word)
    assert (refused.code, "[FTC517]" in refused.err) == (64, True)


@pytest.mark.slow
def test_where_a_file_comes_from(run: api.Run, ftc: Ftc, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    made = run.folder / "adapter" / "adapter_model.safetensors"
    answer = json.loads(ftc("whence", str(run.folder / "adapter"), "--json").out)
    assert (answer["confirmed"], answer["runs"]) == ("same bytes", [run.record.id])
    assert answer["says"]["recipe_file"] == "recipe.yaml"
    assert answer["says"]["base_content_sha256"] == run.plan.lock.model.content_sha256
    assert answer["says"]["rows_sha256"] == {"rows": run.plan.lock.data.sources["rows"].rows_sha256}
    shown = ftc("whence", str(made))
    assert f"{run.plan.run_id} of tiny" in shown.text
    assert f"same bytes, run {run.record.id}" in shown.text

    bare, header = tmp_path / "bare.safetensors", read_metadata(made)
    tensors = load_file(made)
    save_file(tensors, bare)
    assert json.loads(ftc("whence", str(bare), "--json").out)["confirmed"] == "same tensors"

    changed = {name: tensor + 1 for name, tensor in tensors.items()}
    save_file(changed, bare)
    silent = ftc("whence", str(bare))
    assert (silent.code, "[FTC518]" in silent.err) == (8, True)
    save_file(changed, bare, metadata=header)
    liar = ftc("whence", str(bare))
    assert (liar.code, "[FTC519]" in liar.err) == (6, True)

    shutil.rmtree(run.root / "runs")
    alone = json.loads(ftc("whence", str(bare), "--json").out)
    assert (alone["confirmed"], alone["says"]["name"]) == ("no record here", "tiny")


@pytest.mark.slow
def test_what_a_plan_tells_by_its_exit_code(run: api.Run, ftc: Ftc) -> None:
    assert ftc("plan", "recipe.yaml", "--detailed-exitcode").code == 0
    moved = run.root / "rows.csv"
    assert ftc("plan", "recipe.yaml", "--refresh-only", "--detailed-exitcode").code == 0
    moved.write_text(moved.read_text().replace("n3,", "n4,", 1))
    before = (run.root / "recipe.lock.json").read_bytes()
    refreshed = ftc("plan", "recipe.yaml", "--refresh-only", "--detailed-exitcode")
    assert (refreshed.code, "data.sources.rows.rows_sha256" in refreshed.text) == (2, True)
    assert (run.root / "recipe.lock.json").read_bytes() == before
    assert ftc("plan", "recipe.yaml", "--detailed-exitcode").code == 2
