"""On-policy distillation from rows to audit, the same bits after an interruption, and forged answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from ftc import api
from ftc.spec.storage.paths import RunFolder
from tests.e2e.conftest import Ftc, MakeProject
from tests.e2e.use import predicts_as_evaluated
from tests.support.forging import edit_lines, rechain, reseal
from tests.support.lessons import ON_POLICY, taught


def run_of(root: Path) -> Path:
    (record,) = (root / "runs").glob("*/*/record.json")
    return record.parent


def lines_of(file: Path) -> list[dict[str, JsonValue]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.slow
def test_from_rows_to_audit_and_the_same_bits_after_an_interruption(project: MakeProject, ftc: Ftc) -> None:
    root = taught(project("chat", steps=4), "decoder")
    planned = ftc("plan", "recipe.yaml", "-o", "plan.json")
    assert planned.code == 0, planned.text
    shown = " ".join(planned.out.split())
    assert "the whole loss generalized JSD with beta 0.3 at temperature 1" in shown, planned.out
    assert "50 % of the steps on the model's own answers, up to 6 tokens each, sampled at temperature 1" in shown
    plan = json.loads((root / "plan.json").read_text())
    assert any(phase["phase"].startswith("sampling") for phase in plan["memory"]["phases"])
    assert ftc("apply", "plan.json", "--until", "3").code == 0
    kept = (run_of(root) / "answers.ndjson").read_bytes()
    assert [line["step"] for line in lines_of(run_of(root) / "answers.ndjson")] == [2] * 8
    # A crash behind the checkpoint leaves answers of a step that is done again.
    extra = kept.splitlines(keepends=True)[-1].replace(b'"step":2', b'"step":4')
    (run_of(root) / "answers.ndjson").write_bytes(kept + extra)
    applied = ftc("apply", "plan.json")
    assert applied.code == 0, applied.text
    whole = (run_of(root) / "answers.ndjson").read_bytes()
    assert whole.startswith(kept)
    assert len(whole.splitlines()) == 2 * 8
    steps = [line for line in lines_of(run_of(root) / "ladder.ndjson") if line["kind"] == "step"]
    (root / "runs").rename(root / "before")
    assert ftc("apply", "plan.json", "--again").code == 0
    run = run_of(root)
    assert (run / "answers.ndjson").read_bytes() == whole
    assert [line for line in lines_of(run / "ladder.ndjson") if line["kind"] == "step"] == steps
    assert "answers.ndjson" in json.loads((run / "record.json").read_bytes())["outputs"]
    predicts_as_evaluated(api.find_run(run.name), "chat", ftc, root)
    assert "50 % of the steps on the model's own answers" in (run / "README.md").read_text()
    assert "Length of written answers" in (run / "report.html").read_text()
    audited = ftc("audit", run.name)
    assert audited.code == 0, audited.text
    assert "batches of 2 steps made again from written answers" in " ".join(audited.text.split())
    replayed = ftc("audit", run.name, "--level", "full", "--json")
    assert json.loads(replayed.out)["verdict"] == "REPRODUCED_BITWISE", replayed.text
    # Other tokens of an answer, as long as before, with all checksums made again.
    folder = RunFolder(run.absolute())
    edit_lines(
        folder.answers, lambda number, line: number or line["ids"].__setitem__(0, 9 if line["ids"][0] != 9 else 8)
    )
    reseal(folder, with_ledger=False)
    rechain(folder)
    forged = ftc("audit", run.name, "--json")
    assert forged.code == 6
    assert [one["subject"] for one in json.loads(forged.out)["findings"]] == ["answers.ndjson, step 2: tokens"]


@pytest.mark.slow
@pytest.mark.parametrize("heat", [0, 0.8])
def test_a_teacher_writes_the_answers(project: MakeProject, ftc: Ftc, heat: float) -> None:
    root = taught(project("chat", steps=4), "decoder", f"seq_kd: {{max_new_tokens: 6, temperature: {heat}}}")
    planned = ftc("plan", "recipe.yaml", "-o", "plan.json")
    assert planned.code == 0, planned.text
    shown = " ".join(planned.out.split())
    assert "it writes the answers that are learned, up to 6 tokens each" in shown, planned.out
    assert "of the loss" not in shown, "its answers alone are learned"
    assert ftc("apply", "plan.json", "--until", "3").code == 0
    kept = (run_of(root) / "answers.ndjson").read_bytes()
    assert [line["step"] for line in lines_of(run_of(root) / "answers.ndjson")] == [1] * 8 + [2] * 8 + [3] * 8
    applied = ftc("apply", "plan.json")
    assert applied.code == 0, applied.text
    run = run_of(root)
    whole = (run / "answers.ndjson").read_bytes()
    assert whole.startswith(kept)
    assert "it writes the answers that are learned" in (run / "README.md").read_text()
    audited = ftc("audit", run.name, "--level", "full", "--json")
    assert json.loads(audited.out)["verdict"] == "REPRODUCED_BITWISE", audited.text
    assert any(
        "batches of 4 steps made again from written answers" in one for one in json.loads(audited.out)["checked"]
    )
    folder = RunFolder(run.absolute())
    edit_lines(
        folder.answers, lambda number, line: number or line["ids"].__setitem__(0, 9 if line["ids"][0] != 9 else 8)
    )
    reseal(folder, with_ledger=False)
    rechain(folder)
    assert ftc("audit", run.name).code == 6, "another token of an answer"


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_several_devices_are_planned_for(project: MakeProject, ftc: Ftc, sharding: str) -> None:
    root = taught(project("chat"), "decoder", ON_POLICY)
    shared = ("--set", "budget.devices=2", "--set", f"train.sharding={sharding}")
    planned = ftc("plan", "recipe.yaml", "-o", "plan.json", *shared)
    assert planned.code == 0, planned.text
    plan = json.loads((root / "plan.json").read_text())
    assert plan["settings"]["train"]["world_size"] == 2
    assert any(phase["phase"].startswith("sampling") for phase in plan["memory"]["phases"])


@pytest.mark.parametrize(
    ("key", "code"), [("train.packing=true", "FTC446"), ("train.distillation.weight=0.5", "FTC446")]
)
def test_what_written_answers_cannot_be_combined_with(project: MakeProject, ftc: Ftc, key: str, code: str) -> None:
    taught(project("chat"), "decoder", ON_POLICY)
    refused = ftc("validate", "recipe.yaml", "--set", key)
    assert refused.code == 3
    assert code in refused.text


@pytest.mark.parametrize(
    ("task", "lesson", "code"),
    [
        ("pretraining", "seq_kd: {}", "FTC280"),
        ("chat", "seq_kd: {max_new_tokens: 60}", "FTC448"),
        ("chat", "seq_kd: {}, on_policy: {}", "FTC446"),
        ("chat", "weight: 0", "FTC230"),
        ("pretraining", "on_policy: {}", "FTC280"),
        ("chat", "on_policy: {max_new_tokens: 60}", "FTC448"),
    ],
)
def test_who_cannot_answer_is_refused_by_name(
    project: MakeProject, ftc: Ftc, task: str, lesson: str, code: str
) -> None:
    taught(project(task), "decoder", lesson)
    refused = ftc("plan", "recipe.yaml", "--offline")
    assert refused.code == 3, refused.text
    assert code in refused.text
    assert lesson.partition(":")[0] in refused.text


@pytest.mark.slow
def test_an_encoder_decoder_writes_too(project: MakeProject, ftc: Ftc) -> None:
    root = taught(project("translation", steps=3), "encoder_decoder")
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    run = run_of(root)
    steps = [line["step"] for line in lines_of(run / "answers.ndjson")]
    assert steps == [2] * len(steps) != []
    audited = ftc("audit", run.name, "--level", "full", "--json")
    assert json.loads(audited.out)["verdict"] == "REPRODUCED_BITWISE", audited.text
    assert any("made again from written answers" in one for one in json.loads(audited.out)["checked"])
