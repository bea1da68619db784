"""`ftc sweep` as a user runs it: planned first, no look at test rows, a verdict, and an edited recipe."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

pytest.importorskip("optuna")

from ftc import api
from ftc.spec.documents.ledger import NotedEvaluation, read_ledger
from ftc.spec.exit_codes import ExitCode
from ftc.sweep.files import read_sweep
from ftc.sweep.study import Study, drawn_again
from tests.e2e.conftest import Ftc, MakeProject

SWEEP = """\
ftc_sweep: 1
recipe: recipe.yaml
space:
  train: {learning_rate: {log: [1e-4, 3e-2]}}
  strategy: {rank: [2, 4]}
search: {kind: random, trials: 3, startup: 3}
"""


@pytest.fixture
def sweep(project: MakeProject) -> Path:
    root = project(steps=4)
    (root / "small.sweep.yaml").write_text(SWEEP, encoding="utf-8")
    return root


def looks(root: Path) -> int:
    """How often test rows were evaluated."""
    return sum(isinstance(entry, NotedEvaluation) for entry in read_ledger(root))


@pytest.mark.slow
def test_a_sweep_from_plan_to_pick(sweep: Path, ftc: Ftc) -> None:
    planned = ftc("sweep", "plan", "small.sweep.yaml")
    assert planned.code == ExitCode.FINE, planned.text
    assert "4 corners" in planned.text
    assert "3 first trials" in planned.text
    assert not list(sweep.glob("runs/*/*"))

    done = ftc("sweep", "apply", "small.sweep.yaml", "--yes", "--quiet")
    assert done.code in (ExitCode.FINE, ExitCode.INCONCLUSIVE), done.text
    assert looks(sweep) == 0
    shown = json.loads(ftc("sweep", "show", "small.sweep.yaml", "--json").out)
    assert [one["status"] for one in shown["trials"]] == ["complete"] * 3
    assert len({run for one in shown["trials"] for run in one["runs"]}) == 3
    best = shown["trials"][shown["best"][0]]
    assert float(best["values"][0]) == min(float(one["values"][0]) for one in shown["trials"])
    assert (done.code == ExitCode.FINE) == shown["verdict"]["is_better"]

    audited = ftc("sweep", "audit", "small.sweep.yaml")
    assert audited.code == ExitCode.FINE, audited.text
    page = ftc("sweep", "show", "small.sweep.yaml", "--format", "html", "-o", "sweep.html")
    assert page.code == ExitCode.FINE, page.text
    assert "Parallel coordinates of 3 trials" in (sweep / "sweep.html").read_text(encoding="utf-8")
    assert ftc("sweep", "show", "small.sweep.yaml", "--format", "html", "-o", "sweep.html").code == ExitCode.FINE

    own = api.find_run("tiny")
    assert not own.plan.overrides, "the recipe's name means its own values, and none of the trials"

    damage_is_named(sweep / ".ftc" / "sweeps" / "small", ftc)

    # a comment of the recipe stays, and the trial's own run is the one that is evaluated, and named from now on
    assert ftc("apply", "recipe.yaml", "--set", "train.learning_rate=0.02", "--yes", "--quiet").code == ExitCode.FINE
    assert looks(sweep) == 2
    recipe = sweep / "recipe.yaml"
    recipe.write_text("# kept\n" + recipe.read_text(encoding="utf-8"), encoding="utf-8")
    picked = ftc("sweep", "pick", "small.sweep.yaml", "--write", "--anyway", "--quiet")
    assert picked.code == ExitCode.FINE, picked.text
    assert recipe.read_text(encoding="utf-8").startswith("# kept\n")
    run = api.find_run(best["runs"][0])
    assert run.record.status == "finished"
    assert looks(sweep) == 4  # base and tuned, once for each run
    assert api.plan("recipe.yaml").plan.run_id == best["runs"][0] == api.find_run("tiny").record.id


@pytest.mark.slow
def damage_is_named(folder: Path, ftc: Ftc) -> None:
    """A sweep's files that aren't what was written end in a finding, and nothing is written into them."""
    journal, own = folder / "journal.log", folder / "own.json"
    whole, lines = journal.read_bytes(), journal.read_bytes().splitlines(keepends=True)
    points = re.sub(rb'"point":\{[^}]*\}', b'"point":7', whole)
    for file, content in (
        (journal, b"\x80\x04.\xff" * 99),
        (journal, b"[" * 100_000),
        (journal, b'{"a": 1}\n' + whole),
        (journal, b"".join([lines[0], *lines[3:]])),
        (journal, re.sub(rb'"param_name":"[^"]*"', b'"param_name":"odd"', whole)),
        (journal, points.replace(b'"runs":[', b'"runs":[4,')),
        (own, b"{"),
        (own, b"[7]"),
    ):
        kept = file.read_bytes()
        file.write_bytes(content)
        for verb in ("show", "audit"):
            said = ftc("sweep", verb, "small.sweep.yaml")
            assert "bug in ftc" not in said.text, (content[:80], said.text)
            assert said.code == 0 or re.search(r"FTC\d{3}|fault", said.text), (content[:80], said.text)
        assert file.read_bytes() == content, content[:80]
        file.write_bytes(kept)
    journal.rename(folder / "kept")
    os.mkfifo(journal)
    assert "FTC609" in ftc("sweep", "show", "small.sweep.yaml").text
    (folder / "kept").replace(journal)


@pytest.mark.slow
def test_more_trials_go_on_and_another_search_is_refused(sweep: Path, ftc: Ftc) -> None:
    assert ftc("sweep", "apply", "small.sweep.yaml", "--yes", "--quiet").code in (0, ExitCode.INCONCLUSIVE)
    before = json.loads(ftc("sweep", "show", "small.sweep.yaml", "--json").out)["trials"]
    file = sweep / "small.sweep.yaml"
    file.write_text(SWEEP.replace("trials: 3", "trials: 4"), encoding="utf-8")
    assert ftc("sweep", "apply", "small.sweep.yaml", "--yes", "--quiet").code in (0, ExitCode.INCONCLUSIVE)
    after = json.loads(ftc("sweep", "show", "small.sweep.yaml", "--json").out)["trials"]
    assert after[:3] == before
    assert len(after) == 4
    file.write_text(SWEEP.replace("[2, 4]", "[2, 4, 8]"), encoding="utf-8")
    refused = ftc("sweep", "show", "small.sweep.yaml")
    assert refused.code == ExitCode.PLAN_STALE
    assert "FTC583" in refused.text


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("space:", "objective: {metric: accuracy}\nspace:", "FTC581", "must not choose"),
        ("space:", "objective: {metric: val_mcc}\nspace:", "FTC584", "does not measure `mcc`"),
        ("recipe: recipe.yaml", "recipe: other.yaml", "FTC582", "other.yaml"),
        ("kind: random", "kind: tpee", "FTC581", "`tpe`"),
        ("strategy: {rank: [2, 4]}", "strategy: {rankk: [2, 4]}", "FTC104", "the sweep has a trial with"),
        ("rank: [2, 4]", f"rank: {list(range(1, 200))}", "FTC585", "398 corners"),
        ("search:", "budget: {time: 1s}\nsearch:", "FTC586", "budget"),
    ],
)
def test_mistakes_have_a_place(sweep: Path, ftc: Ftc, old: str, new: str, code: str, words: str) -> None:
    (sweep / "small.sweep.yaml").write_text(SWEEP.replace(old, new), encoding="utf-8")
    answer = ftc("sweep", "plan", "small.sweep.yaml")
    assert answer.code != ExitCode.FINE
    assert code in answer.text, answer.text
    assert words in answer.text, answer.text


def test_what_is_not_there_yet(sweep: Path, ftc: Ftc) -> None:
    answer = ftc("sweep", "show", "small.sweep.yaml")
    assert answer.code == ExitCode.COULD_NOT_WORK
    assert "FTC588" in answer.text
    recipe = sweep / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    shared = re.sub(r"(?m)^budget:.*\n", "", text) + "budget: {device: h100-80gb, devices: 2}\n"
    recipe.write_text(shared, encoding="utf-8")
    answer = ftc("sweep", "plan", "small.sweep.yaml")
    assert answer.code == ExitCode.RECIPE_INVALID
    assert "FTC587" in answer.text


@pytest.mark.slow
def test_trials_are_pruned_and_what_was_killed_goes_on(sweep: Path, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = sweep / "recipe.yaml"
    text = SWEEP.replace("trials: 3", "trials: 4") + "prune: {kind: halving, from_step: 1}\n"
    (sweep / "small.sweep.yaml").write_text(text, encoding="utf-8")
    every_step = re.sub(r"evaluate_every: [^,}]+", "evaluate_every: 1", recipe.read_text(encoding="utf-8"))
    recipe.write_text(every_step, encoding="utf-8")
    seen: list[str] = []

    def killed(*words: object, **settings: object) -> None:
        seen.append("trial")
        if len(seen) == 3:  # as a kill does, nothing is told
            raise KeyboardInterrupt
        original(*words, **settings)  # type: ignore[arg-type]

    from ftc.sweep import trials

    original = trials._run_trial
    monkeypatch.setattr(trials, "_run_trial", killed)
    assert ftc("sweep", "apply", "small.sweep.yaml", "--yes", "--quiet").code == ExitCode.INTERRUPTED
    left = json.loads(ftc("sweep", "show", "small.sweep.yaml", "--json").out)["trials"]
    assert left[2]["status"] == "running"
    shown = ftc("sweep", "show", "small.sweep.yaml").out
    assert re.search(r"^2 .* unfinished", shown, re.MULTILINE), "nobody knows here whether its process lives"
    ftc("sweep", "apply", "small.sweep.yaml", "--yes", "--quiet")
    found = json.loads(ftc("sweep", "show", "small.sweep.yaml", "--json").out)["trials"]
    assert [one["settings"] for one in found[:3]] == [one["settings"] for one in left]
    states = [one["status"] for one in found]
    assert len(states) == 4
    assert set(states) == {"complete", "pruned"}
    pruned = next(one for one in found if one["status"] == "pruned")
    assert "not among the best at this step" in pruned["reason"]
    assert api.find_run(pruned["runs"][0]).record.status == "pruned"
    assert ftc("sweep", "audit", "small.sweep.yaml").code == ExitCode.FINE


@pytest.mark.slow
def test_two_objectives_and_two_seeds(sweep: Path, ftc: Ftc) -> None:
    text = SWEEP.replace("kind: random, trials: 3", "kind: grid").replace("{log: [1e-4, 3e-2]}", "[1e-3, 1e-2]")
    text += "objective: [{metric: val_loss}, {metric: trainable_parameters}]\nseeds: [1, 2]\n"
    (sweep / "small.sweep.yaml").write_text(text, encoding="utf-8")
    ftc("sweep", "apply", "small.sweep.yaml", "--yes", "--quiet")
    found = json.loads(ftc("sweep", "show", "small.sweep.yaml", "--json").out)
    assert [list(one["settings"].values()) for one in found["trials"]] == [
        ["0.001", 2],
        ["0.001", 4],
        ["0.01", 2],
        ["0.01", 4],
    ]
    assert all(len(one["runs"]) == 2 for one in found["trials"])
    values = [tuple(map(float, one["values"])) for one in found["trials"]]
    for number in found["best"]:
        assert not any(
            a <= values[number][0] and b <= values[number][1] and (a, b) != values[number] for a, b in values
        )
    assert "Student's t" in ftc("sweep", "show", "small.sweep.yaml").text
    assert ftc("sweep", "audit", "small.sweep.yaml").code == ExitCode.FINE


def test_points_of_trials_that_ran_beside_each_other_are_drawn_again(sweep: Path) -> None:
    """What was known when a point was drawn: a trial that ended later was running then, and had ended for the next."""
    text = SWEEP.replace("kind: random, trials: 3, startup: 3", "kind: tpe, trials: 8, startup: 2")
    (sweep / "small.sweep.yaml").write_text(text, encoding="utf-8")
    asked = read_sweep(sweep / "small.sweep.yaml").sweep
    study = Study(asked, None)
    numbers = [study.ask().number, study.ask().number]
    for loss in (0.5, 0.9, 0.2, 0.7, 0.4, 0.1):
        study.end(numbers.pop(0), [loss], "complete", "", 0.0)
        numbers.append(study.ask().number)
    again = list(drawn_again(asked, study))
    assert len(again) == 8
    assert [trial.point for trial, _ in again] == [point for _, point in again]
