"""A stranger's export of support tickets: what stops a plan, what is pointed out, and the keys that settle it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.cli.main import main
from ftc.spec.diagnostics import Diagnostic, Refusal
from tests.diagnostics.worlds import write_plain_model
from tests.support.tickets import tickets_csv

RECIPE = """\
ftc: 1
name: tickets
task: {kind: classification}
data:
  source: {path: data/tickets.csv}
  fields: {text: Body, label: Queue}
model: {base: ./model}
strategy: {kind: lora}
"""


@pytest.mark.parametrize("ends", [None, KeyboardInterrupt(), OSError("full")])
def test_init_benchmarks_a_machine_that_somebody_watches(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, ends: BaseException | None
) -> None:
    asked = []

    def calibrate() -> None:
        asked.append(1)
        if ends:
            raise ends

    monkeypatch.setattr(api, "calibrate", calibrate)
    monkeypatch.setattr("ftc.cli.starting.find_spec", lambda _: True)
    begin = ("init", "--data", "data/tickets.csv")
    assert main([*begin, "piped.yaml"]) == 0
    assert not asked, "nobody watches a pipe"
    monkeypatch.setattr("ftc.cli.starting.is_interactive", lambda *_: True)
    assert main([*begin, "calm.yaml", "--no-calibrate"]) == 0
    assert not asked
    assert "ftc device calibrate" in capsys.readouterr().out
    assert main([*begin, "recipe.yaml"]) == 0
    said = capsys.readouterr().out
    assert asked
    assert said.endswith("Next: `ftc plan recipe.yaml`\n")
    assert ("ftc device calibrate" in said) is (ends is not None)
    assert (project / "recipe.yaml").exists()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ftc").mkdir()
    (tmp_path / "data").mkdir()
    write_plain_model(tmp_path / "model")
    (tmp_path / "data" / "tickets.csv").write_bytes(tickets_csv())
    (tmp_path / "tickets.yaml").write_text(RECIPE, encoding="utf-8")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(*overrides: str) -> api.Planned:
    return api.plan("tickets.yaml", overrides=overrides, offline=True)


def of_code(code: str, found: tuple[Diagnostic, ...]) -> Diagnostic:
    (one,) = (one for one in found if one.code == code)
    return one


def test_empty_cells_stop_a_plan_with_the_edit_that_leaves_them_out(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "tickets.yaml", "--offline", "--json"]) == 3
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["diagnostics"]
    assert [one["code"] for one in found] == ["FTC364", "FTC364"]
    assert [len(one["rows"]) for one in found] == [9, 11], "all of them, not the first few"
    lines = (project / "data" / "tickets.csv").read_text(encoding="utf-8-sig").splitlines()
    for name in found[0]["rows"]:
        file, _, line = name.rpartition(":")
        assert (file, lines[int(line) - 1].split(",")[3]) == ("data/tickets.csv", "")
    assert found[0]["help"] == ["leave these rows out with `data: {empty: drop}`, or fill them in"]
    ((edit,),) = ([edit for fix in found[0]["fixes"] for edit in fix["edits"]],)
    text = RECIPE.splitlines(keepends=True)
    line, column = edit["span"]["line"] - 1, edit["span"]["column"] - 1
    text[line] = text[line][:column] + edit["text"] + text[line][column:]
    (project / "tickets.yaml").write_text("".join(text), encoding="utf-8")
    assert planned().plan.recipe.data.empty == "drop"


def test_dropped_rows_are_counted_and_the_others_keep_their_names(project: Path) -> None:
    found = planned("data.empty=drop")
    note = of_code("FTC393", found.diagnostics)
    assert note.summary == "20 of 800 rows are left out, since a part of them is empty"
    assert len(note.rows) == 20
    assert sum(report.rows_read for report in found.plan.data.values()) == 780
    locked = found.plan.lock.data.sources["rows"]
    assert (locked.rows, locked.dropped_rows) == (800, 20)
    last = api.tokens(found, rows=("data/tickets.csv:801",)) if "data/tickets.csv:801" not in note.rows else None
    shown = last or api.tokens(found)
    lines = (project / "data" / "tickets.csv").read_text(encoding="utf-8-sig").splitlines()
    for row in shown.rows:
        assert row.label == lines[int(row.place.rpartition(":")[2]) - 1].split(",")[-2]


def test_labels_that_differ_by_case_or_blanks_are_shown_in_quotes_and_made_one(project: Path) -> None:
    found = planned("data.empty=drop")
    warning = of_code("FTC394", found.diagnostics)
    assert warning.summary == "2 labels differ from another one only by case or white space"
    assert '"Billing" 4 (data/tickets.csv:' in warning.notes[0]
    assert '"billing " 3 (data/tickets.csv:' in warning.notes[0]
    assert warning.remedy == (("data.labels.normalize", "[case, space]"),)
    assert warning.fixes, "the place in the recipe is known"
    labels = next(check.result for check in found.plan.checks if check.name == "labels of train")
    assert '"billing " ' in labels, "a blank at the end is seen"
    assert all("Billing" not in note for one in found.diagnostics if one.code == "FTC387" for note in one.notes)
    one = planned("data.empty=drop", "data.labels.normalize=[case, space]")
    assert one.plan.settings.text.labels == ("account", "billing", "shipping", "technical")
    assert not [found for found in one.diagnostics if found.code == "FTC394"]
    spelled = next(check.result for check in one.plan.checks if check.name == "label spellings")
    assert spelled == '"Billing" 4 as billing, "billing " 3 as billing'


def test_a_file_of_empty_rows_alone_is_refused_all_the_same(project: Path) -> None:
    (project / "data" / "tickets.csv").write_text("Body,Queue\n,a\n,b\n", encoding="utf-8")
    with pytest.raises(Refusal) as refused:
        planned("data.empty=drop")
    assert [one.summary for one in refused.value.diagnostics] == ["column `Body` is empty in 2 of 2 rows"]


def test_a_typing_slip_is_pointed_out_and_no_more_rows_of_it_are_asked_for(project: Path) -> None:
    text = "Body,Queue\n" + "".join(f"text {n} of {w},{w}\n" for n in range(30) for w in ("warm", "cold"))
    (project / "data" / "tickets.csv").write_text(f"{text}the soup,wram\n", encoding="utf-8")
    found = planned()
    warning = of_code("FTC395", found.diagnostics)
    assert warning.rows == ("data/tickets.csv:62",)
    assert warning.notes[0].startswith('"wram" 1 (data/tickets.csv:62), beside "warm" 30 (')
    assert "FTC387" not in {one.code for one in found.diagnostics}, "more rows of a slip would fix nothing"


def test_a_label_of_five_thousand_letters_is_shortened(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Body,Queue\n" + "".join(f"text {n} of {w},{w}\n" for n in range(30) for w in ("x" * 5000, "cold"))
    (project / "data" / "tickets.csv").write_text(text, encoding="utf-8")
    assert main(["plan", "tickets.yaml", "--offline"]) == 0
    out, err = capsys.readouterr()
    assert "x" * 60 not in (out + err).replace("\n", "").replace(" ", "")


def test_threads_of_the_environment_that_a_plan_does_not_take_are_named(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Body,Queue\n" + "".join(f"text {n} of {w},{w}\n" for n in range(30) for w in ("warm", "cold"))
    (project / "data" / "tickets.csv").write_text(text, encoding="utf-8")
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    for more, is_named in (((), True), (("--set", "budget.threads=77"), False)):
        assert main(["plan", "tickets.yaml", "--offline", *more]) == 0
        assert ("`--set budget.threads=77`" in capsys.readouterr().err) is is_named
