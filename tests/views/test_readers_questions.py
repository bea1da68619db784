"""What readers of pages and screens stumbled over once: each question has its answer in one place, said one way."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from ftc.spec.documents.difference import ComparedMetric, ComparedRun, RunComparison, Standing
from ftc.views.card import model_card
from ftc.views.page import Page
from ftc.views.report.charts import Chart, Drawer, Lines, Ranges
from ftc.views.report.comparison import Side, comparison_html
from ftc.views.report.run_report import report_html
from ftc.views.run import run_text
from tests.support import documents
from tests.views.report.test_run_report import page, whole_run

ROOT = Path(__file__).parent.parent.parent


def test_a_kind_of_tensor_has_one_color_in_every_picture() -> None:
    plan = documents.plan()
    html = report_html(plan, documents.record(plan), documents.evaluation(), whole_run())
    colors = defaultdict[str, set[str]](set)
    for number, name in re.findall(r'class="swatch s(\d+)">\d+</span></span>([^<]+)', html):
        colors[name].add(number)
    assert {"weights", "gradients"} <= colors.keys()
    assert {name: found for name, found in colors.items() if len(found) > 1} == {}
    assert len({*map(min, colors.values())}) == len(colors), "and no two kinds share one"


def test_a_run_has_one_mark_in_every_picture_of_a_comparison() -> None:
    drawn: list[Chart] = []

    def note(chart: Chart) -> str:
        drawn.append(chart)
        return ""

    plan = documents.plan()
    records = [documents.record(plan), documents.record(plan, id="0123456789ab")]
    runs = tuple(ComparedRun(id=one.id, name="n", model="m", strategy="lora", rows=60) for one in records)
    standings = tuple(Standing(value=value, interval=None, gain=None) for value in (0.9, 0.8))
    accuracy = ComparedMetric(metric="accuracy", standings=standings)
    found = RunComparison(runs=runs, rows=60, metrics=(accuracy,), not_compared=())
    comparison_html(found, [Side(plan, one, whole_run(), []) for one in records], Drawer(draw=note))
    (ranges,) = [one for one in drawn if isinstance(one, Ranges)]
    lines = [one for one in drawn if isinstance(one, Lines)]
    assert len(lines) == 2
    for chart in lines:
        assert [one.color for one in chart.series] == [color for _, color in ranges.marks]
        assert [one.label for one in chart.series] == [label for label, _ in ranges.rows]
    validation = next(one for one in lines if one.key == "val-loss")
    assert [(one.style, one.color) for one in validation.series] == list(ranges.marks)


def test_the_head_says_when_from_what_and_how_often_the_test_set_was_used() -> None:
    head = page(whole_run()).text.partition("Result on the test split")[0]
    for words in (
        "date 2026-11-24 10:",
        "recipe recipes/bbc-news.yaml",
        "commit of the project",
        "license of the model apache-2.0",
        "evaluations on the test set 2 by this run: base once, tuned once",
    ):
        assert words in head, words


def test_one_run_took_one_time() -> None:
    plan = documents.plan()
    record = documents.record(plan)
    (shown,) = re.findall(r"measured ([\d\w ]+?) from start to end", page(whole_run()).text)
    assert f"time       {shown} ·" in run_text(plan, record, documents.evaluation(), "runs/x")


def test_the_page_is_prose_and_no_source() -> None:
    shown = page(whole_run(steps=1200)).text
    assert "`" not in shown
    assert "macro f1" not in shown
    assert not re.search(r"[123]th step", shown)


def test_a_system_message_stands_above_the_rows_once() -> None:
    system = "You are a careful assistant of the news desk. " * 3
    rows = tuple(
        {"row": n, "text": f"{system}{n} is asked", "expected": "no", "base": None, "tuned": "yes"} for n in range(6)
    )
    plan = documents.plan()
    html = report_html(plan, documents.record(plan), documents.evaluation(predictions=rows), [])
    assert html.count("careful assistant of the news desk") == 3
    assert html.count(" is asked") == 6


def test_a_result_on_sixty_columns_keeps_its_intervals() -> None:
    plan = documents.plan()
    text = run_text(plan, documents.record(plan), documents.evaluation(), "runs/x", page=Page(columns=60))
    assert "(+0.685 to +0.803)" in " ".join(text.split())


def test_the_packages_of_a_card_are_folded() -> None:
    plan = documents.plan()
    card = model_card(plan, documents.record(plan), documents.evaluation())
    folded = re.search(r"<details>\n<summary>\d+ packages</summary>(.*?)</details>", card, re.DOTALL)
    assert folded
    assert "torch" in folded[1]


@pytest.mark.parametrize("name", ["recipe.md", "cli.md", "errors.md", "guide.md"])
def test_each_heading_of_a_reference_can_be_linked_to(name: str) -> None:
    titles = re.findall(r"^#{2,4} (.+)$", (ROOT / "docs" / name).read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted({title for title in titles if titles.count(title) > 1}) == []
