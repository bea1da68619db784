"""What a hosted service trained, as a run of the project: measured here, and known to every verb."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.hosted import HostedJob
from ftc.spec.documents.plan import Plan
from ftc.spec.providers import PROVIDERS
from ftc.verbs.hosted.launch import launch_hosted
from ftc.verbs.hosted.result import planned_result
from ftc.verbs.launch import launch_of
from ftc.views.plan import plan_text
from tests.e2e.conftest import Ftc
from tests.support.hosted_server import KEY, HostedServer, hosted_server
from tests.support.projects import make_project

TOGETHER = PROVIDERS[0]
ADAPTER = "adapter/adapter_model.safetensors"


@pytest.fixture(scope="module")
def trained(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a saved plan of a chat, and a run of it that stands for what a service trained."""
    folder = tmp_path_factory.mktemp("hosted-result")
    root = make_project(folder / "project", models, "chat")
    recipe = root / "recipe.yaml"
    text = recipe.read_text().replace("epochs: 100, max_steps: 4, ", "epochs: 2, ").replace(", evaluate_every: 2", "")
    recipe.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(folder / "cache"))
        planned = api.plan(recipe)
        api.save_plan(planned, root / "job.plan.json")
        run = api.apply(planned)
        shutil.move(run.folder, folder / "theirs")
    return root


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostedServer]:
    """A copy of it, with a service that gives that adapter, in bfloat16."""
    import torch
    from safetensors.torch import load_file, save

    shutil.copytree(trained.parent, tmp_path / "copy")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "copy" / "cache"))
    monkeypatch.chdir(tmp_path / "copy" / "project")
    monkeypatch.setenv(TOGETHER.key, KEY)
    theirs = tmp_path / "copy" / "theirs" / "adapter"
    tensors = {name: one.to(torch.bfloat16) for name, one in load_file(theirs / "adapter_model.safetensors").items()}
    with hosted_server() as found:
        found.weights = {
            "adapter_model.safetensors": save(tensors),
            "adapter_config.json": (theirs / "adapter_config.json").read_bytes(),
        }
        keys = f"model: tiny/base, base_url: '{found.url}', poll_seconds: 0.001"
        Path("ftc.launch.yaml").write_text(f"ftc_launch: 1\ntogether: {{{keys}}}\n")
        yield found


def fetched() -> Path:
    """Launches, and gives the job's folder."""
    file = Path("job.plan.json")
    launch = launch_of(file, api.load_plan(file))
    job = launch_hosted(launch, TOGETHER, waived=("tokens", "price"), sleep=lambda _: None, today=date(2026, 11, 29))
    assert job is not None
    return Path("runs/tiny") / job.id


def refused(folder: Path) -> str:
    with pytest.raises(Refusal) as refusal:
        api.apply(str(folder))
    assert {one.code for one in refusal.value.diagnostics} == {"FTC798"}
    return " ".join(" ".join((one.summary, *one.notes)) for one in refusal.value.diagnostics)


@pytest.mark.slow
def test_a_fetched_adapter_is_a_run_like_any_other(here: HostedServer, ftc: Ftc) -> None:
    import torch
    from safetensors.torch import load_file

    job = fetched()
    assert f"ftc apply {job.name}" in ftc("show", job.name).text
    done = ftc("apply", job.name, "--json")
    assert done.code == 0, done.err
    run = api.find_run(json.loads(done.out.splitlines()[-1])["record"]["id"])

    record, taken = run.record, run.plan.settings.model.fetched
    assert taken is not None
    assert (record.status, record.steps_done, taken.provider) == ("finished", 0, "together")
    assert run.plan.lock.hosted is not None
    assert {*TOGETHER.not_pinned} <= {*run.plan.lock.hosted.not_pinned}
    assert "not pinned at together" in plan_text(run.plan)
    unknown = record.train_seconds, record.tokens, record.supervised_tokens, record.selected_step
    assert unknown == (None, None, None, None), "nobody said, which is no zero"
    assert record.initial_weights_sha256 is None
    assert run.evaluation is not None
    assert run.evaluation.base is not None, "it is measured beside the base"
    ours, theirs = load_file(run.folder / ADAPTER), load_file(job / ADAPTER)
    assert all(torch.equal(one, theirs[name].float()) for name, one in ours.items())

    report = api.audit(run)
    assert report.findings == ()
    assert report.verdict == "CONSISTENT"
    assert any("nobody can do it again" in one for one in report.not_checked)
    assert api.audit(run, level="replay").verdict == "INCONCLUSIVE"
    assert ftc("audit", record.id, "--level", "full").code == 8
    shown = ftc("show", record.id)
    assert "Together AI" in shown.text
    assert "0 of 0" not in shown.text
    assert "unknown" in shown.text
    assert "together" in ftc("run", "list").text
    listed = {one["folder"]: one for one in json.loads(ftc("run", "list", "--json").out)}
    assert listed[str(run.folder.relative_to(Path.cwd()) if run.folder.is_absolute() else run.folder)]["record"]
    assert listed[str(job)]["hosted"]["id"] == job.name
    assert ftc("predict", record.id, "the bank").code == 0
    assert ftc("eval", record.id).code == 0
    assert ftc("provenance", str(run.folder / ADAPTER)).code == 0
    assert ftc("merge", record.id, "-o", "merged/it", "--json").code == 0
    card = (run.folder / "README.md").read_text()
    assert "Together AI" in card
    assert "- training: by Together AI" in card
    page = (run.folder / "report.html").read_text()
    assert "Together AI" in page
    assert ftc("run", "push", record.id, "someone/it", "--dry-run").code == 0
    assert api.apply(str(job)).record == record, "a second call changes nothing"
    assert here.kinds("create") == 1


@pytest.mark.slow
def test_the_audit_compares_the_run_with_what_was_sent(here: HostedServer) -> None:
    from safetensors.torch import load_file, save_file

    job = fetched()
    run = api.apply(str(job))
    kept = (job / ADAPTER).read_bytes()
    tensors: dict[str, Any] = load_file(job / ADAPTER)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name] * 1.01}, job / ADAPTER)
    report = api.audit(run)
    assert report.verdict == "TAMPERED"
    assert {one.code for one in report.findings} == {"FTC567"}
    (job / ADAPTER).write_bytes(kept)
    assert api.audit(run).verdict == "CONSISTENT"
    shutil.rmtree(job)
    report = api.audit(run)
    assert report.verdict == "CONSISTENT", "the run stands by itself"
    assert any("not in this project" in one for one in report.not_checked)


def test_another_adapter_than_was_asked_for_is_no_run(here: HostedServer) -> None:
    config = json.loads(here.weights["adapter_config.json"])
    here.weights["adapter_config.json"] = json.dumps({**config, "lora_alpha": 64}).encode()
    job = fetched()
    assert "lora_alpha is 64" in refused(job)
    assert not [one for one in Path("runs/tiny").iterdir() if (one / "record.json").exists()]


def test_a_scale_that_nobody_states_is_unknown(here: HostedServer) -> None:
    here.weights["adapter_config.json"] = b"{}"
    assert "r is None" in refused(fetched())


def test_tensors_that_the_model_does_not_take_are_refused(here: HostedServer) -> None:
    from safetensors.torch import load, save

    tensors = load(here.weights["adapter_model.safetensors"])
    name = min(tensors)
    here.weights["adapter_model.safetensors"] = save({one: tensor for one, tensor in tensors.items() if one != name})
    assert f"lacks 1 tensors and has 0 others, such as {name}" in refused(fetched())


def test_a_job_without_a_result_is_no_run_yet(here: HostedServer) -> None:
    job = fetched()
    notes, plan = (job / "hosted.json").read_text(), (job / "plan.json").read_text()
    waiting = HostedJob.model_validate_json(notes).model_copy(update={"fetched": False})
    (job / "hosted.json").write_text(waiting.sealed().to_text())
    with pytest.raises(Refusal, match="not here yet"):
        planned_result(job)
    (job / "hosted.json").write_text(waiting.to_text())
    assert "hosted.json of" in refused(job), "somebody wrote into it"
    (job / "hosted.json").write_text(notes)
    sent = Plan.model_validate_json(plan)
    (job / "plan.json").write_text(sent.model_copy(update={"disk_bytes": 1}).to_text())
    assert "plan.json of" in refused(job)
