"""Runs on the hub: pushed in one commit, compared, brought back; whatever the hub does, a finding says what to do."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.compiler.resolve.files.hub_repository import HubRepository
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.exported import AnswersKept
from ftc.spec.documents.ledger import RunPulled, RunPushed, read_ledger
from ftc.spec.documents.record import GateResult
from ftc.spec.documents.segments import ProcessSeen
from ftc.verbs.push_checks import require_shareable
from tests.e2e.conftest import TOKEN, Ftc, finished_project, in_a_copy, pushed_as_made
from tests.support.hub_server import HubRepo, HubServer
from tests.support.xet_store import XetStore

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the hub's own library

REPO = "me/tiny"


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run; its tests work on copies."""
    return finished_project(tmp_path_factory.mktemp("sharing"), models, steps=2)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> api.Run:
    in_a_copy(finished, tmp_path, monkeypatch)
    (found,) = api.runs()
    return found


def refused(run: api.Run, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        api.push(run, REPO, **options)
    return caught.value


def codes(refusal: Refusal) -> list[str]:
    return [found.code for found in refusal.diagnostics]


def answers(run: api.Run) -> list[str | None]:
    return [one.prediction for one in api.predict(run, ["the bank raised the price", "the actor sang"]).predictions]


def test_a_push_and_a_pull(
    run: api.Run, server: HubServer, ftc: Ftc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dry = ftc("run", "push", run.record.id, REPO, "--dry-run")
    assert (dry.code, server.requests) == (0, []), dry.err
    assert "adapter_model.safetensors" in dry.out
    assert f"ftc run pull {REPO}" in dry.out, "the card"
    assert str(run.root) not in dry.out

    pushed = ftc("run", "push", run.record.id, REPO, "--json", "--language", "en")
    assert pushed.code == 0, pushed.err
    report, repo = json.loads(pushed.out), server.repos[REPO]
    assert (report["status"], report["commit"], report["parent"]) == ("pushed", repo.commit, "1" * 40)
    assert repo.private
    assert set(repo.files) == {".gitattributes", *report["files"]}
    assert [path for path in server.paths("POST") if path.endswith("/commit/main")] == [
        f"/api/models/{REPO}/commit/main"
    ]
    assert [one.commit for one in read_ledger(run.root) if isinstance(one, RunPushed)] == [repo.commit]
    rows = [row.split(",")[0] for row in Path("rows.csv").read_text().splitlines()[1:]]
    everything = b"".join(content for name, content in repo.files.items() if not name.endswith(".safetensors")).decode()
    assert not [row for row in rows if row in everything], "texts of rows stay here"
    assert str(run.root) not in everything
    card = repo.files["README.md"].decode()
    assert 'language:\n  - "en"' in card
    assert f'PeftModel.from_pretrained(model, "{REPO}")' in card
    assert "base_model" not in card.partition("---\n\n")[0], "a folder here is no model of the hub"

    again = ftc("run", "push", run.record.id, REPO, "--language", "en")
    assert (again.code, "up to date" in again.out, repo.commit) == (0, True, report["commit"]), again.text

    said = answers(run)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(run.root / "encoder", elsewhere / "encoder")
    monkeypatch.chdir(elsewhere)
    shutil.move("encoder", "away")
    pulled = ftc("run", "pull", f"{REPO}@{repo.commit}")
    assert pulled.code == 0, pulled.err
    place = f"put it at `{elsewhere.resolve() / 'encoder'}`"
    assert place in " ".join(pulled.out.split())
    assert place in " ".join(ftc("predict", run.record.id, "a goal").err.split()), "there is no recipe to read it in"
    shutil.move("away", "encoder")
    (found,) = api.runs()
    assert (found.folder.name, found.is_pulled) == (run.record.id, True)
    assert [one.commit for one in read_ledger(elsewhere) if isinstance(one, RunPulled)] == [repo.commit]
    assert answers(found) == said
    shown = ftc("show", run.record.id)
    assert (shown.code, shown.err) == (0, ""), "no document counts as changed"
    assert "accuracy" in shown.out
    assert ftc("show", run.record.id, "--format", "html", "-o", "report.html").code == 0
    assert "up to date" in ftc("run", "pull", REPO).out
    shutil.rmtree(tmp_path / "copy" / "cache" / "streams")
    merged = ftc("run", "merge", run.record.id, "-o", "merged", "--json")
    assert merged.code == 0, merged.err
    agreement = json.loads(merged.out)["merge"]["agreement"]
    assert (agreement["split"], agreement["same_choices"]) == ("fixed texts", agreement["choices"])
    audited = ftc("audit", run.record.id)
    assert (audited.code, "[FTC779]" in audited.err) == (8, True)
    assert "[FTC770]" in ftc("run", "push", run.record.id, REPO).err
    (found.folder / "eval.json").write_text((run.folder / "eval.json").read_text())
    assert "[FTC551]" in ftc("show", run.record.id).err


def test_a_changed_repository_is_left_alone(run: api.Run, server: HubServer) -> None:
    assert api.push(run, REPO).report.status == "pushed"
    repo = server.repos[REPO]
    repo.push("e" * 40, {"README.md": b"---\nlicense: mit\n---\nedited by hand\n"})
    moved = refused(run)
    assert (codes(moved), moved.exit_code) == (["FTC774"], 5)
    assert f"--parent {'e' * 40}" in moved.diagnostics[0].help[0]
    assert codes(refused(run, parent="f" * 40)) == ["FTC774"]
    assert repo.files["README.md"].endswith(b"by hand\n")
    repo.files["notes.txt"] = b"theirs"
    done = api.push(run, REPO, parent="e" * 40).report
    assert (done.status, done.parent) == ("pushed", "e" * 40)
    assert b"by hand" not in repo.files["README.md"]
    assert repo.files["notes.txt"] == b"theirs"

    server.repos["me/theirs"] = HubRepo({"model.safetensors": b"1"}, "a" * 40, private=True)
    with pytest.raises(Refusal) as caught:
        api.push(run, "me/theirs")
    assert codes(caught.value) == ["FTC774"]
    server.repos["me/open"] = HubRepo({}, "a" * 40)
    with pytest.raises(Refusal) as caught:
        api.push(run, "me/open")
    assert codes(caught.value) == ["FTC774"]
    assert api.push(run, "me/open", public=True).report.status == "pushed"


def test_what_should_not_be_shared(run: api.Run, server: HubServer, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = run.plan.recipe.model_copy(update={"name": "write to jane.doe@example.com"})
    license = run.plan.lock.model.model_copy(update={"license": "cc-by-nc-nd-4.0"})
    plan = run.plan.model_copy(update={"recipe": recipe, "lock": run.plan.lock.model_copy(update={"model": license})})
    gates = (GateResult(metric="accuracy", bound=">= 1", value=0.5, passed=False),)
    assert run.evaluation is not None
    odd = replace(run, plan=plan, evaluation=run.evaluation.model_copy(update={"gates": gates}))
    events = run.folder / "events.ndjson"
    events.write_bytes(events.read_bytes()[:-2] + b" \n")
    found = refused(odd)
    assert sorted(codes(found)) == ["FTC771", "FTC772", "FTC772", "FTC773"]
    assert server.requests == []
    named = ("license", "accuracy", "audit", "personal-data")
    for name in named:
        assert len(refused(odd, waive=[other for other in named if other != name]).diagnostics) == 1
    assert codes(refused(run, waive=["acuracy"])) == ["FTC770"]
    server.repos |= {"org/asks": HubRepo({}, asks_consent=True), "org/shut": HubRepo({}, gated=True)}
    place = HubRepository(REPO)
    asked = [place.is_gated(name, None) for name in ("org/asks", "org/shut", "org/gone")]
    assert asked == [True, True, None]
    model = run.plan.settings.model.model_copy(update={"base": "org/asks", "commit": "c" * 40})
    settings = run.plan.settings.model_copy(update={"model": model})
    asks = replace(run, plan=run.plan.model_copy(update={"settings": settings}))
    assert codes(refused(asks, waive=["audit"])) == ["FTC771"]
    with pytest.raises(Refusal) as caught:
        require_shareable(asks, ["audit"], lambda base, commit: base == "org/asks")
    assert codes(caught.value) == ["FTC771"]
    assert require_shareable(asks, ["audit"], None)[0].startswith("whether `org/asks` asks for consent is not known")
    server.requests.clear()
    for words in (("--parent", "main"), ("--language", "English")):
        assert ftc("run", "push", run.record.id, REPO, *words).code == 64
    assert "[FTC321]" in ftc("run", "push", run.record.id, "tiny").err
    (folder := run.root / "dist" / "made").mkdir(parents=True)
    monkeypatch.chdir(run.root)
    for path in ("./out", str(folder), "dist/made/", f"runs/{run.plan.name}/{run.folder.name}"):
        error = " ".join(ftc("run", "push", run.record.id, path).err.split())
        assert "[FTC321]" in error, path
        assert f"ftc run merge {run.record.id} -o FOLDER" in error, path
        assert "OWNER/NAME --from FOLDER" in error, path
    allowed = ftc("run", "push", run.record.id, "dist/made", "--dry-run", "--waive", "audit")
    assert (allowed.code, "would push" in allowed.out) == (0, True), allowed.err
    (folder / "merge.json").touch()
    assert "[FTC321]" in ftc("run", "push", run.record.id, "dist/made", "--dry-run").err
    assert "[FTC321]" not in ftc("run", "push", run.record.id, "dist/made", "--from", "dist/made", "--dry-run").err
    monkeypatch.setenv("FTC_OFFLINE", "1")
    assert "[FTC777]" in ftc("run", "push", run.record.id, REPO).err
    assert "[FTC777]" in ftc("run", "pull", REPO).err
    assert server.requests == []


def test_a_record_that_names_machines_stays_here(run: api.Run, server: HubServer) -> None:
    last = run.record.segments[-1]
    seen = ProcessSeen(rank=0, local_rank=0, host="node17", device="cpu", machine_sha256=last.machine_sha256,
                       ftc_sha256=last.ftc_sha256)  # fmt: skip
    segments = (*run.record.segments[:-1], last.model_copy(update={"processes": (seen,)}))
    named = replace(run, record=run.record.model_copy(update={"segments": segments}))
    refusal = refused(named, waive=["audit"])
    assert codes(refusal) == ["FTC773"]
    assert "node17" in refusal.diagnostics[0].summary
    assert server.requests == []


@pytest.mark.slow
def test_whatever_the_hub_does_is_a_finding(
    run: api.Run, server: HubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [
        *[("create", status, "FTC775") for status in (401, 403, 404, 429, 500)],
        ("create", 409, "FTC774"),
        ("create", "cut", "FTC775"),
        ("info", 401, "FTC315"),
        ("info", 503, "FTC317"),
        ("preupload", 403, "FTC775"),
        ("lfs", 403, "FTC775"),
        ("put", 403, "FTC775"),
        ("commit", 412, "FTC774"),
        ("commit", 429, "FTC775"),
        ("commit", 507, "FTC775"),
        ("commit", "cut", "FTC775"),
    ]
    for kind, fault, code in faults:
        server.faults = {kind: [fault]}
        assert (kind, fault, codes(refused(run))) == (kind, fault, [code])
        assert not any(name.startswith("adapter") for repo in server.repos.values() for name in repo.files)
    server.faults = {"commit": ["late"]}
    lost = api.push(run, REPO).report
    assert (lost.status, lost.commit) == ("pushed", server.repos[REPO].commit), "its answer alone was lost"

    out, err = capsys.readouterr()
    seen = [*Path().rglob("*"), *run.folder.rglob("*")]
    assert not [file for file in seen if file.is_file() and TOKEN.encode() in file.read_bytes()]
    assert TOKEN not in out + err
    assert "X-Signature" not in out + err, "an address that is as good as a key"
    monkeypatch.delenv("HF_TOKEN")
    assert codes(refused(run)) == ["FTC775"]


def test_files_that_differ_on_the_hub(run: api.Run, server: HubServer, tmp_path: Path, ftc: Ftc) -> None:
    api.push(run, REPO)
    repo, elsewhere = server.repos[REPO], tmp_path / "elsewhere"
    elsewhere.mkdir()

    def pulled() -> list[str]:
        with pytest.raises(Refusal) as caught:
            api.pull(REPO, folder=elsewhere)
        assert not list((elsewhere / "runs").glob("*/*")), "nothing is left behind"
        return codes(caught.value)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.hf_hub_download", full)
        with pytest.raises(OSError, match="No space left"):
            api.pull(REPO, folder=elsewhere)
    whole = dict(repo.files)
    repo.files["adapter_model.safetensors"] = whole["adapter_model.safetensors"][:-1] + b"?"
    assert pulled() == ["FTC776"]
    del repo.files["adapter_config.json"]
    assert pulled() == ["FTC776"]
    listed = json.loads(whole["ftc/pushed.json"])
    for changes in (
        {"run_id": "../../x"},
        {"files": {**listed["files"], "../x": listed["files"]["README.md"]}},
        {"what": "merged"},
        {"name": "other/x"},
    ):
        repo.files = {**whole, "ftc/pushed.json": json.dumps({**listed, **changes}).encode()}
        assert pulled() == ["FTC778"]
    record = json.loads(whole["ftc/record.json"])
    record["steps_done"] += 1
    content = json.dumps(record).encode()
    facts = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    lie = {**listed, "files": {**listed["files"], "ftc/record.json": facts}}
    repo.files = {**whole, "ftc/record.json": content, "ftc/pushed.json": json.dumps(lie).encode()}
    assert pulled() == ["FTC776"]
    del repo.files["ftc/pushed.json"]
    assert pulled() == ["FTC778"]
    server.repos.clear()
    assert pulled() == ["FTC314"]


def test_what_was_made_of_a_run(run: api.Run, server: HubServer) -> None:
    api.merge(run, "merged")
    done = api.push(run, REPO, made="merged")
    repo = server.repos[REPO]
    assert done.report.what == "merged"
    assert {"model.safetensors", "config.json", "merge.json", "ftc/record.json"} < set(repo.files)
    assert f'from_pretrained("{REPO}")' in done.card
    with pytest.raises(Refusal) as caught:
        api.pull(REPO)
    assert codes(caught.value) == ["FTC778"]
    back = api.push(run, REPO)
    assert "model.safetensors" in back.report.deleted
    assert "model.safetensors" not in repo.files
    Path("merged/config.json").write_text("{}")
    assert codes(refused(run, made="merged")) == ["FTC770"]
    assert codes(refused(run, made="encoder")) == ["FTC770"]


@pytest.mark.slow
def test_what_was_exported_for_transformers(run: api.Run, server: HubServer) -> None:
    api.export_model(run, "merged", "dist/x", weight_type="f32")
    card = pushed_as_made(run, server, "dist/x", kind="merged", library="transformers")
    assert 'from_pretrained("me/merged")' in card


@pytest.mark.slow
def test_a_gate_that_an_exported_file_failed_has_to_be_waived_again(run: api.Run, server: HubServer) -> None:
    made = api.export_model(run, "merged", "dist/x", weight_type="f32").model
    gate = GateResult(metric="accuracy", bound=">= 0.99", value=0.5, interval=None, passed=False)
    kept = {"split": "validation", "rows": 9, "same_answers": 9, "tuned": {}, "exported": {}, "changes": {}}
    answers = AnswersKept(**kept, gates=(gate,), waived=("accuracy",))  # type: ignore[arg-type]
    Path("dist/x/export.json").write_text(made.model_copy(update={"answers": answers}).to_text())
    assert codes(refused(run, made="dist/x")) == ["FTC772"]
    assert server.requests == [] or not server.repos


@pytest.mark.slow
def test_weights_go_to_the_storage_of_the_hub_and_come_back(
    run: api.Run, server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hf_xet itself, which cuts files into chunks, sends those and puts them together again."""
    from huggingface_hub import constants

    pytest.importorskip("hf_xet")
    server.storage = XetStore(tmp_path / "storage")
    server.storage.folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    sent = (run.folder / "adapter/adapter_model.safetensors").read_bytes()
    server.faults["write token"] = [503, 503]
    done = api.push(run, REPO)
    assert done.report.status == "pushed"
    assert server.paths("PUT") == [], "no large file goes the old way"
    assert not [path for path in server.paths("POST") if path.endswith("/batch")]
    assert f"/api/models/{REPO}/xet-write-token/main" in server.paths("GET")
    assert server.storage.content(hashlib.sha256(sent).hexdigest()) == sent
    assert server.repos[REPO].files["adapter_model.safetensors"] == sent
    assert api.push(run, REPO).report.status == "up to date"

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(run.root / "encoder", elsewhere / "encoder")
    monkeypatch.chdir(elsewhere)
    api.pull(REPO)
    (found,) = api.runs()
    assert any("/xet-read-token/" in path for path in server.paths("GET"))
    assert (found.folder / "adapter/adapter_model.safetensors").read_bytes() == sent


def test_a_storage_that_refuses_is_a_finding(
    run: api.Run, server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    pytest.importorskip("hf_xet")
    server.storage = XetStore(tmp_path / "storage")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    server.faults["write token"] = [403] * 20
    assert codes(refused(run)) == ["FTC775"]
    assert set(server.repos[REPO].files) == {".gitattributes"}, "nothing was written"
