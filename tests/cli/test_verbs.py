"""Each verb, in this process: what it prints, where, and its exit code."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.cli.faults import Restart
from ftc.cli.main import main
from ftc.cli.verbs import VERBS
from ftc.spec.diagnostics import diagnostic
from ftc.spec.documents.started import Started
from ftc.spec.storage.processes import PINNED
from ftc.verbs import text
from tests.cli.conftest import World
from tests.support import documents

Capture = pytest.CaptureFixture[str]


class Keyboard(io.StringIO):
    """Standard input with a person before it."""

    def isatty(self) -> bool:
        return True


def test_plan_goes_to_stdout_and_warnings_to_stderr(world: World, capsys: Capture) -> None:
    assert main(["plan", "bbc-news.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("bbc-news   classification")
    assert out.endswith(
        "Not saved; -o FILE saves it for apply.\nPlan 7f3a…c91e: 1 to train, 2 to evaluate. Fits. 1 warning.\n"
    )
    assert "FTC002" in err
    assert "FTC002" not in out


def test_plan_quietly_and_at_length(world: World, capsys: Capture) -> None:
    assert main(["plan", "bbc-news.yaml", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out == "Plan 7f3a…c91e: 1 to train, 2 to evaluate. Fits. 1 warning.\n"
    assert "FTC002" in err
    assert main(["plan", "bbc-news.yaml", "--verbose"]) == 0
    out, err = capsys.readouterr()
    assert "  model.attention sdpa (every device has sdpa)" in out
    assert "plan took" in err
    assert main(["plan", "bbc-news.yaml", "--origins"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("Plan "), "the verdict is last"


def test_a_finding_is_shown_once(world: World, capsys: Capture) -> None:
    world.warnings = (diagnostic("FTC342", "154 rows lose their end"),)
    assert main(["plan", "bbc-news.yaml"]) == 0
    out, err = capsys.readouterr()
    assert (out + err).count("154 rows lose their end") == 1
    assert main(["show", "bbc.plan.json"]) == 0
    assert capsys.readouterr().out.count("! truncation          154 rows lose their end (FTC342)") == 1


def test_something_is_shown_before_torch_is_loaded(
    world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr("ftc.cli.training.find_spec", lambda name: name)
    monkeypatch.setattr(sys, "stdin", Keyboard("y\n"))
    order: list[str] = []

    def apply(target: object, **more: Any) -> api.Run:
        order.append(capsys.readouterr().err)
        return world.execute(target, **more)

    monkeypatch.setattr(api, "apply", apply)
    assert main(["apply", "bbc-news.yaml"]) == 0
    assert order[0].endswith("Apply this plan? [y/N] \nLoading torch …\n")
    assert main(["apply", "bbc-news.yaml", "--yes", "--quiet"]) == 0
    assert "Loading" not in order[1]


def test_plan_saves_where_told(world: World, capsys: Capture) -> None:
    assert main(["plan", "bbc-news.yaml", "-o", "bbc.plan.json"]) == 0
    assert [path.name for path in world.saved] == ["bbc.plan.json"]
    assert "`ftc apply bbc.plan.json` runs it." in " ".join(capsys.readouterr().out.split())


def test_plan_as_json_is_one_document(world: World, capsys: Capture) -> None:
    assert main(["plan", "bbc-news.yaml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["plan"] == world.plan.to_json()
    assert found["lock"]["state"] == "new"
    assert found["run"] is None
    assert [one["code"] for one in found["diagnostics"]] == ["FTC002"]


def test_plan_tells_all_origins(world: World, capsys: Capture) -> None:
    assert main(["plan", "bbc-news.yaml", "--origins"]) == 0
    assert "every device has sdpa" in capsys.readouterr().out


def test_a_refusal_gives_its_exit_code_and_no_plan(world: World, capsys: Capture) -> None:
    assert main(["plan", "bbc-news.yaml", "--locked"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error[FTC001]: the lock is stale")
    assert err.endswith("1 error.\n")


def test_a_refusal_as_json(world: World, capsys: Capture) -> None:
    assert main(["plan", "bbc-news.yaml", "--locked", "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["diagnostics"][0]["code"] == "FTC001"
    assert err == ""


def test_apply_without_anybody_to_ask_stops(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert main(["apply", "bbc-news.yaml"]) == 64
    assert world.applied == []
    assert "--yes" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "code", "runs"), [("y\n", 0, 1), ("YES\n", 0, 1), ("\n", 130, 0), ("", 130, 0)])
def test_apply_asks(world: World, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, runs: int) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard(answer))
    assert main(["apply", "bbc-news.yaml"]) == code
    assert len(world.applied) == runs


def test_apply_shows_plan_progress_and_result(world: World, capsys: Capture) -> None:
    assert main(["apply", "bbc-news.yaml", "--yes"]) == 0
    out, err = capsys.readouterr()
    assert out.index("Plan ") < out.index("evaluated on test") < out.index("run        ")
    assert "training    step 2/2" in err
    assert "-o FILE" not in out


def test_a_saved_plan_is_not_asked_about(world: World, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard("n\n"))
    assert main(["apply", "bbc.plan.json"]) == 0
    assert world.applied == ["bbc.plan.json"]
    assert "Apply this plan?" not in capsys.readouterr().err


@pytest.mark.parametrize("target", ["bbc-news.yaml", "bbc.plan.json"])
def test_a_finished_plan_has_nothing_to_do(world: World, capsys: Capture, target: str) -> None:
    world.run_status = "finished"
    assert main(["apply", target]) == 0
    assert world.applied == []
    assert "bbc-news is up to date" in capsys.readouterr().out


def test_again_runs_a_finished_plan(world: World) -> None:
    world.run_status = "finished"
    assert main(["apply", "bbc-news.yaml", "--yes", "--again"]) == 0
    assert len(world.applied) == 1


@pytest.mark.parametrize(
    ("outcome", "code"), [("finished", 0), ("gate_failed", 7), ("interrupted", 130), ("failed", 1)]
)
def test_the_outcome_is_the_exit_code(world: World, outcome: str, code: int) -> None:
    world.outcome = outcome
    assert main(["apply", "bbc-news.yaml", "--yes"]) == code


def test_an_interrupted_run_tells_how_to_go_on(world: World, capsys: Capture) -> None:
    world.outcome = "interrupted"
    main(["apply", "bbc.plan.json"])
    assert capsys.readouterr().err.endswith("`ftc apply bbc.plan.json` goes on from there.\n")


def test_apply_as_json_is_one_value_a_line(world: World, capsys: Capture) -> None:
    assert main(["apply", "bbc-news.yaml", "--yes", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines] == ["run_started", "step", "step", "phase_ended", "result"]
    assert lines[-1]["record"]["status"] == "finished"


def test_show_a_run_and_a_plan(world: World, capsys: Capture) -> None:
    assert main(["show", "7f3a"]) == 0
    assert f"adapter 1.20 MiB · runs/bbc-news/{documents.RUN_ID}" in capsys.readouterr().out
    report = world.run("finished").folder / "report.html"
    report.parent.mkdir(parents=True)
    report.touch()
    assert main(["show", "7f3a"]) == 0
    assert f"report runs/bbc-news/{documents.RUN_ID}/report.html" in capsys.readouterr().out
    assert main(["show", "bbc.plan.json"]) == 0
    assert "`ftc apply bbc.plan.json` runs it." in " ".join(capsys.readouterr().out.split())
    assert main(["show", "bbc.plan.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == world.plan.sha256
    assert main(["show", "7f3a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["record"]["id"] == documents.RUN_ID
    assert main(["show", "7f3a", "--origins"]) == 0
    assert capsys.readouterr().out.startswith("model.attention")


def test_runs(world: World, capsys: Capture) -> None:
    assert main(["runs"]) == 0
    assert capsys.readouterr().out.startswith("No runs yet.")
    world.run_status = "finished"
    assert main(["runs"]) == 0
    assert documents.RUN_ID in capsys.readouterr().out
    assert main(["runs", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


def test_an_audit_exits_with_its_verdict(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "audit", lambda run, **options: documents.audit_report())
    assert main(["audit", "7f3a"]) == 6
    assert "TAMPERED" in capsys.readouterr().out
    assert main(["audit", "7f3a", "--json"]) == 6
    assert json.loads(capsys.readouterr().out)["verdict"] == "TAMPERED"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--steps", "4"], "--steps goes with --level replay"),
        (["--level", "full", "--from", "2", "--to", "4"], "--from-step, --to-step goes with --level replay"),
        (["--force"], "static executes nothing"),
        (["--level", "replay", "--steps", "4", "--to", "9"], "both say where the replay ends"),
        (["--level", "replay", "--steps", "0"], "at least 1"),
        (["--level", "everything"], "invalid choice"),
    ],
)
def test_what_an_audit_cannot_do_is_wrong_usage(words: list[str], told: str, capsys: Capture) -> None:
    assert main(["audit", "7f3a", *words]) == 64
    assert told in capsys.readouterr().err


def test_a_command_that_needs_another_environment_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "ftc: 1\nname: tiny\ntask: {kind: classification}\ndata: {source: {path: rows.csv}}\nmodel: {base: ./model}\n"
        "strategy: {kind: lora}\ntrain: {determinism: bitwise}\n"
    )
    monkeypatch.setenv("PYTHONHASHSEED", "5")
    with pytest.raises(Restart) as restart:
        main(["apply", str(tmp_path / "recipe.yaml")], may_restart=True)
    assert restart.value.environment["PYTHONHASHSEED"] == "0"
    for name, value in PINNED.items():
        monkeypatch.setenv(name, value)
    assert main(["apply", str(tmp_path / "recipe.yaml")], may_restart=True) != 0, "it goes on, and finds no model"


def test_of_several_processes_only_the_first_one_speaks(
    world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert main(["apply", "bbc-news.yaml"]) == 0, "nobody is asked"
    assert main(["apply", "bbc-news.yaml", "--json"]) == 0
    assert capsys.readouterr() == ("", "")
    waived: list[object] = []
    plan = api.plan
    monkeypatch.setattr(api, "plan", lambda recipe, **asked: waived.append(asked["waive"]) or plan(recipe, **asked))
    assert main(["apply", "bbc-news.yaml", "--waive", "memory=it is lent"]) == 0
    assert waived == [{"memory": "it is lent"}], "a rule that is passed over is so in every process"
    monkeypatch.setenv("RANK", "0")
    assert main(["apply", "bbc-news.yaml", "--yes"]) == 0
    assert "bbc-news" in capsys.readouterr().out


def checked(*codes: str) -> api.Checked:
    return api.Checked(None, tuple(diagnostic(code, "a problem") for code in codes), {})


def test_validate(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "validate", lambda recipe, **_: checked())
    assert main(["validate", "a.yaml", "b.yaml"]) == 0
    assert capsys.readouterr() == ("a.yaml is valid.\nb.yaml is valid.\n", "")
    monkeypatch.setattr(text, "validate", lambda recipe, **_: checked("FTC001", "FTC002"))
    assert main(["validate", "a.yaml"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("2 errors. Nothing was loaded, nothing was written.\n")


@pytest.mark.parametrize(
    ("arguments", "begin"),
    [
        (["--format", "json"], "{"),
        (["--json"], "{"),
        (["--format", "sarif"], "{"),
        (["--format", "github"], "::error"),
        ([], ""),
    ],
)
def test_validate_for_programs(
    world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch, arguments: list[str], begin: str
) -> None:
    monkeypatch.setattr(text, "validate", lambda recipe, **_: checked("FTC001"))
    assert main(["validate", "a.yaml", *arguments]) == 3
    assert capsys.readouterr().out.startswith(begin)


def test_validate_speaks_github_in_a_workflow(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setattr(text, "validate", lambda recipe, **_: checked("FTC001"))
    assert main(["validate", "a.yaml"]) == 3
    assert capsys.readouterr().out.startswith("::error title=FTC001")


def test_init_and_schema(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Started(file="recipe.yaml", task="classification", base="models/minilm", is_calibrated=True)
    monkeypatch.setattr(api, "init", lambda file, *, task, data, base: begun)
    assert main(["init"]) == 0
    assert capsys.readouterr().out == "Wrote recipe.yaml\n\nNext: `ftc plan recipe.yaml`\n"
    monkeypatch.setattr(api, "schema", lambda: {"type": "object"})
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == {"type": "object"}


@pytest.mark.parametrize("word", ["FTC002", "ftc002", "002"])
def test_explain(capsys: Capture, word: str) -> None:
    assert main(["explain", word]) == 0
    assert capsys.readouterr().out.startswith("FTC002: ")


def test_explain_an_unknown_code(capsys: Capture) -> None:
    assert main(["explain", "banana"]) == 64
    assert "no code `banana`" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: Capture) -> None:
    assert main([*verb.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: ftc {verb}")
    assert main(["help", *verb.split()]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["paln"], "did you mean `plan`?"),
        (["frobnicate"], "unknown verb `frobnicate`; one of init, import"),
        ([], "usage: ftc"),
        (["device", "calibrate", "--threads", "x"], "not a whole number"),
        (["plan", "x.yaml", "--frob"], "unrecognized arguments: --frob"),
        (["plan", "x.yaml", "--off"], "unrecognized arguments: --off"),
        (["plan", "x.yaml", "--orgins"], "unrecognized arguments: --orgins; did you mean `--origins`?"),
        (["plan", "x.yaml", "--forse=1", "--frob"], "did you mean `--force`?"),
        (["apply", "x.yaml", "-y"], "unrecognized arguments: -y; did you mean `--yes`?"),
        (["apply", "x.yaml", "-f"], "unrecognized arguments: -f\n"),
        (["plan", "x.yaml", "more", "--orgins"], "did you mean `--origins`?"),
        (["plan", "x.yaml", ""], "unrecognized arguments: \n"),
        (["--color", "sometimes", "plan"], "invalid choice"),
    ],
)
def test_usage_errors(capsys: Capture, arguments: list[str], words: str) -> None:
    assert main(arguments) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err


def test_color_may_stand_before_or_after_the_verb(capsys: Capture) -> None:
    main(["--color", "always", "explain", "FTC002"])
    before = capsys.readouterr().out
    main(["explain", "FTC002", "--color", "always"])
    assert before == capsys.readouterr().out
    assert "\x1b[" in before
