"""Runs held against each other on the rows that they share."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.cli.main import main
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.loss_settings import PreferenceSettings, SamplingSettings
from ftc.spec.documents.outcomes import Outcome
from ftc.spec.documents.thumbnails import Thumbnail
from ftc.spec.rewards import RewardTerm
from ftc.spec.storage.atomic_write import write_text
from ftc.spec.storage.paths import RunFolder
from ftc.verbs.compare import comparison_page, statistics_of
from ftc.verbs.runs import Run
from ftc.views.comparison import comparison_markdown, comparison_text
from ftc.views.page import Page
from tests.support import documents
from tests.support.contests import answered_run


def classified(root: Path, run_id: str, right: set[int], rows: int = 60) -> Path:
    """A run whose model is right on some rows."""
    folder = answered_run(root, run_id, rows, tuned=lambda row: f"{'answer' if row in right else 'wrong'} {row}")
    result = {"metrics": {"accuracy": len(right) / rows, "loss": 0.25}, "rows": rows, "seconds": 1.0}
    write_text(
        RunFolder(folder).evaluation, documents.evaluation(tuned=result, base=None, gains={}, gates=()).to_text()
    )
    return folder


def test_a_clear_gain_is_shown_and_an_even_one_is_not(tmp_path: Path) -> None:
    few, many, even = set(range(20)), set(range(45)), {*range(1, 20), 40}
    folders = [classified(tmp_path, name, right) for name, right in (("aaa", few), ("bbb", many), ("ccc", even))]
    found = api.compare(folders)
    assert (found.rows, [run.id for run in found.runs]) == (60, ["aaa", "bbb", "ccc"])
    accuracy = found.metrics[0]
    assert [standing.value for standing in accuracy.standings] == pytest.approx([20 / 60, 45 / 60, 20 / 60])
    _, better, same = (standing.gain for standing in accuracy.standings)
    assert better and better.is_shown and better.value == pytest.approx(25 / 60)  # noqa: PT018
    assert same and not same.is_shown  # noqa: PT018
    text = comparison_text(found)
    assert "bbb  demo" in text
    assert "better" in text
    assert text.count("not significant") == 3, "accuracy of ccc, and two losses that are all alike"
    assert "| accuracy | `bbb` demo | 0.750 |" in comparison_markdown(found)
    narrow = comparison_text(found, page=Page(columns=60)).splitlines()
    assert max(map(len, narrow)) <= 80
    assert any(line.startswith("      +0.417 (") and line.endswith("better") for line in narrow)


def test_runs_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    folders = [classified(tmp_path, name, {1, 2}) for name in ("aaa", "bbb")]
    assert "  aaa  demo · lora" in comparison_text(api.compare(folders)), "nothing differs but the run"
    runs = [api.find_run(str(folder)) for folder in folders]
    settings = runs[1].plan.settings
    train = settings.train.model_copy(update={"learning_rate": 1e-3, "micro_batch": 4})
    plan = runs[1].plan.model_copy(update={"settings": settings.model_copy(update={"train": train})})
    found = api.compare([runs[0], replace(runs[1], plan=plan)])
    before, after = (run.settings for run in found.runs)
    assert {*before, *after} == {"train.learning_rate"}, "what the recipe sets, and not what follows from the machine"
    text = comparison_text(found, page=Page(columns=60))
    assert "  bbb  learning_rate 0.001\n" in text
    recipe = runs[1].plan.recipe
    shorter = recipe.model_copy(update={"train": recipe.train.model_copy(update={"max_steps": 24})})
    found = api.compare([runs[0], replace(runs[1], plan=plan.model_copy(update={"recipe": shorter}))])
    assert [run.settings.get("train.max_steps") for run in found.runs] == [None, "24"]
    text = comparison_text(found, page=Page(columns=60))
    assert max(map(len, text.splitlines())) <= 80


def test_nothing_is_to_do_between_finished_runs(tmp_path: Path) -> None:
    runs = [api.find_run(str(classified(tmp_path, name, {1, 2}))) for name in ("aaa", "bbb")]
    train = runs[1].plan.settings.train.model_copy(update={"learning_rate": 1e-3})
    settings = runs[1].plan.settings.model_copy(update={"train": train})
    other = replace(runs[1], plan=runs[1].plan.model_copy(update={"settings": settings}))
    found = api.diff(runs[0], other)
    assert [change.path for change in found.changes] == ["train.learning_rate"]
    assert found.action == "nothing"
    left = replace(other, record=other.record.model_copy(update={"status": "interrupted"}))
    assert api.diff(runs[0], left).action == "retrain"


def test_a_comparison_goes_to_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ftc").mkdir()
    for name in ("aaa", "bbb"):
        classified(tmp_path, name, {1, 2, 3})
    monkeypatch.chdir(tmp_path)
    for format in ("text", "json", "markdown", "html"):
        words = ["run", "compare", "aaa", "bbb", "--format", format]
        assert main(words) == 0
        shown = capsys.readouterr().out
        for _ in range(2):  # the second time over what ftc wrote itself
            assert main([*words, "-o", "compared"]) == 0
            assert capsys.readouterr().out == "Wrote compared.\n"
            assert (tmp_path / "compared").read_text(encoding="utf-8") == shown
    (tmp_path / "mine.html").write_text("<!doctype html><title>Runs of mine</title>", encoding="utf-8")
    assert main(["run", "compare", "aaa", "bbb", "-o", "mine.html"]) == 1
    assert "FTC651" in capsys.readouterr().err


def rewarded(root: Path, run_id: str, rewards: tuple[RewardTerm, ...]) -> Run:
    """A run whose sampled answers earned these rewards."""
    folder = answered_run(root, run_id, 4)
    measured = {"metrics": {"mean_reward": 0.5, "correct": 0.25}, "rows": 4, "seconds": 1.0}
    found = documents.evaluation(tuned=measured, base=None, gains={}, gates=())
    write_text(RunFolder(folder).evaluation, found.to_text())
    run = api.find_run(str(folder))
    settings = run.plan.settings
    sampling = SamplingSettings(
        rewards=rewards, loss="grpo", group_size=4, max_new_tokens=8, temperature=1.0, top_k=0, beta=0.0
    )
    train = settings.train.model_copy(update={"sampling": sampling})
    text = settings.text.model_copy(update={"form": "sample"})
    settings = settings.model_copy(update={"train": train, "text": text})
    return replace(run, plan=run.plan.model_copy(update={"settings": settings}))


def test_rewards_that_differ_are_not_compared(tmp_path: Path) -> None:
    right, brief = RewardTerm(kind="exact_match"), RewardTerm(kind="length", max_characters=9)
    first = rewarded(tmp_path, "aaa", (right, brief))
    same = rewarded(tmp_path, "bbb", (brief, right))
    found = api.compare([first, same])
    assert [one.metric for one in found.metrics] == ["correct", "mean_reward"], "their order changes no sum"
    assert not found.not_compared
    heavier = rewarded(tmp_path, "ccc", (right.model_copy(update={"weight": 2.0}), brief))
    found = api.compare([first, same, heavier])
    assert [one.metric for one in found.metrics] == ["correct"], "weights don't say which answer is correct"
    assert found.not_compared == ("mean_reward: the rewards that it adds up differ between these runs",)
    looser = rewarded(tmp_path, "ddd", (right.model_copy(update={"ignore_case": True}), brief))
    found = api.compare([first, looser])
    assert not found.metrics
    assert [reason.partition(":")[0] for reason in found.not_compared] == ["mean_reward", "correct"]
    assert "left out" in comparison_text(found)


def test_only_common_rows_count(tmp_path: Path) -> None:
    one, two = classified(tmp_path, "aaa", {0, 1}, rows=10), classified(tmp_path, "bbb", {0, 1, 2, 3, 4, 5}, rows=6)
    found = api.compare([one, two])
    assert found.rows == 6
    assert [run.rows for run in found.runs] == [10, 6]
    assert [standing.value for standing in found.metrics[0].standings] == pytest.approx([2 / 6, 1.0])


def test_the_command_tells_it_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ftc").mkdir()
    classified(tmp_path, "aaa", {1, 2, 3})
    classified(tmp_path, "bbb", set(range(50)))
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "aaa", "bbb"]) == 0
    assert "compared with aaa" in capsys.readouterr().out
    assert main(["compare", "aaa", "bbb", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "ftc.comparison/1"
    assert main(["compare", "aaa", "bbb", "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("On 60 test rows")
    assert main(["compare", "aaa", "bbb", "--format", "html"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert page.startswith("<!doctype html>")
    assert "Accuracy of aaa is 0.050; bbb 0.833 (better). On 60 test rows common to all runs." in page
    assert "Of 60 common rows both runs are correct on 3, only bbb on 47, only aaa on 0." in page


def test_what_can_not_be_compared_says_so(tmp_path: Path) -> None:
    one = classified(tmp_path, "aaa", {1})
    empty = answered_run(tmp_path, "bbb", 0)
    other = answered_run(tmp_path, "ccc", 5, prompt=lambda row: f"something else {row}")
    for pair, code in (((one, empty), "FTC683"), ((one, other), "FTC681")):
        with pytest.raises(Refusal) as refused:
            api.compare(pair)
        assert [finding.code for finding in refused.value.diagnostics] == [code]


@pytest.mark.parametrize(
    ("head", "metric", "fields", "value"),
    [
        ("multi_label", "micro_f1", {"targets": (0, 1), "predicted": (0.0,)}, 2 / 3),
        ("multi_label", "recall of cold", {"targets": (0, 1), "predicted": (0.0,)}, 1.0),
        ("token_classification", "entity_f1", {"targets": (1, 2, 0), "predicted": (1.0, 2.0, 1.0)}, 2 / 3),
        ("token_classification", "precision of A", {"targets": (1, 2, 0), "predicted": (1.0, 2.0, 1.0)}, 0.5),
        ("token_classification", "accuracy", {"targets": (1, 2, 0), "predicted": (1.0, 2.0, 1.0)}, 2 / 3),
        ("span", "answer_f1", {"right": ("a cat", "the dog"), "text": "dog"}, 1.0),
        ("span", "exact_match", {"right": (), "text": "(no answer)"}, 1.0),
        ("preference", "reward_margin", {"predicted": (-1.0, -2.0, 0.5)}, 0.5),
        ("classification", "calibration_error", {"text": "cold", "expected": "cold", "confidence": 0.75}, 0.25),
    ],
)
def test_every_head_s_metrics_can_be_compared(head: str, metric: str, fields: dict[str, Any], value: float) -> None:
    """What is kept of a row is enough for its metric."""
    if head == "token_classification" and metric != "accuracy":
        pytest.importorskip("seqeval")
    said: dict[str, Any] = {"text": None, "loss_sum": 1.0, "targets": 1}
    tuned = said | {key: fields[key] for key in ("text", "predicted", "confidence") if key in fields}
    row = {key: fields[key] for key in ("targets", "right", "expected") if key in fields}
    outcome = Outcome.model_validate({"row": 0, "prompt": "", "expected": None, "base": None, **row, "tuned": tuned})
    settings = documents.plan().settings
    labels = {"token_classification": ("O", "B-A", "I-A"), "preference": ()}.get(head, ("cold", "warm"))
    kind = "lm" if head == "preference" else head
    settings = settings.model_copy(
        update={
            "model": settings.model.model_copy(update={"head": kind}),
            "text": settings.text.model_copy(
                update={"labels": labels, "form": "preference" if head == "preference" else settings.text.form}
            ),
            "train": settings.train.model_copy(
                update={"preference": PreferenceSettings(beta=0.1) if head == "preference" else None}
            ),
        }
    )
    assert statistics_of(metric, settings, [outcome, outcome]).observed == pytest.approx(value)


def test_a_page_has_the_images_that_runs_kept(tmp_path: Path) -> None:
    for name, losses in (("a1", [2.0, 1.0]), ("b2", [1.0, 2.0])):
        folder = classified(tmp_path, name, {1}, 2)
        lines = [json.loads(line) for line in (folder / "predictions.ndjson").read_text(encoding="utf-8").splitlines()]
        for line, loss in zip(lines, losses, strict=True):
            line["tuned"]["loss_sum"], line["images"] = loss, [f"image of {line['row']}"]
        (folder / "predictions.ndjson").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        kept = Thumbnail(image=f"image of {'ab'.index(name[0])}", width=4, height=3, jpeg=f"{name}==")
        (folder / "thumbnails.ndjson").write_text(f"{json.dumps(kept.to_json())}\n", encoding="utf-8")
    page = comparison_page(["a1", "b2"], tmp_path)
    assert "data:image/jpeg;base64,a1==" in page
    assert "data:image/jpeg;base64,b2==" in page
