"""A run that pauses or is pruned goes on with the same bits, and looks at no test row before it is asked to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import Event
from ftc.spec.documents.ledger import NotedEvaluation, read_ledger
from ftc.spec.exit_codes import ExitCode
from tests.e2e.conftest import Ftc, MakeProject


def looks(root: Path) -> int:
    """How often test rows were evaluated."""
    return sum(isinstance(entry, NotedEvaluation) for entry in read_ledger(root))


@pytest.mark.slow
def test_a_run_pauses_twice_and_ends_with_the_same_weights(project: MakeProject) -> None:
    root = project(steps=8)
    whole = api.apply("recipe.yaml")
    paused = api.apply("recipe.yaml", again=True, until=3)
    assert (paused.record.status, paused.record.steps_done) == ("paused", 3)
    assert paused.record.interruptions[-1].kind == "paused"
    assert paused.record.interruptions[-1].reason == "until step 3"
    before = looks(root)

    trained = api.apply("recipe.yaml", until="train")
    assert trained.folder == paused.folder
    assert (trained.record.status, trained.record.steps_done) == ("paused", 8)
    assert trained.record.final_weights_sha256 == whole.record.final_weights_sha256
    assert looks(root) == before
    assert api.apply("recipe.yaml", until="train").record == trained.record  # as far as that already

    done = api.apply("recipe.yaml")
    assert done.folder == paused.folder
    assert done.record.status == "finished"
    assert looks(root) > before
    assert done.evaluation is not None
    assert whole.evaluation is not None
    assert done.evaluation.tuned.metrics == whole.evaluation.tuned.metrics
    assert api.audit(done).verdict == "CONSISTENT"


def test_a_caller_prunes_and_the_reason_stays(project: MakeProject, ftc: Ftc) -> None:
    project(steps=6)

    def stop(event: Event) -> str | None:
        return "worse than the median" if event.kind == "step" and event.step == 2 else None

    pruned = api.apply("recipe.yaml", stop=stop)
    assert (pruned.record.status, pruned.record.steps_done) == ("pruned", 2)
    shown = ftc("show", pruned.record.id)
    assert "worse than the median" in shown.text
    assert "pruned" in ftc("run", "list").text
    assert "continues from step 2" in ftc("plan").text
    assert api.apply("recipe.yaml").record.status == "finished"


def test_the_command_line_pauses(project: MakeProject, ftc: Ftc) -> None:
    project(steps=4)
    answer = ftc("apply", "--yes", "--until", "2")
    assert answer.code == 0
    assert "until step 2" in answer.text
    assert "`ftc apply recipe.yaml` goes on from there" in answer.text
    lines = ftc("run", "list", "--json").out
    assert json.loads(lines)[0]["record"]["status"] == "paused"


@pytest.mark.parametrize("words", ["0", "half", "-1", "1.5"])
def test_what_is_no_step_is_named(words: str, ftc: Ftc) -> None:
    answer = ftc("apply", f"--until={words}")
    assert answer.code == ExitCode.USAGE
    assert f"`{words}` is neither a step from 1 nor `train`" in answer.text


def test_a_step_that_the_plan_lacks(project: MakeProject) -> None:
    project(steps=4)
    with pytest.raises(Refusal, match="FTC580: there is no step 5"):
        api.apply("recipe.yaml", until=5)
