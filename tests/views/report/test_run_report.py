"""The page of a run: well-formed, self-contained, and every figure in it one of the documents'."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import pytest

from ftc.spec.documents.difference import ComparedRun, RunComparison
from ftc.spec.documents.events import Evaluated, Event, Noticed, PhaseEnded, Resumed, StepDone
from ftc.spec.documents.expected import phase_groups
from ftc.spec.documents.lineage import Fetched
from ftc.spec.documents.plan import Plan
from ftc.views import numbers
from ftc.views.card import model_card
from ftc.views.report.charts import Drawer
from ftc.views.report.comparison import Side, comparison_html
from ftc.views.report.run_report import report_html
from ftc.views.report.training import history, smoothed, thinned
from ftc.views.run import runs_text
from tests.support import documents

VOID = {"meta", "br", "link", "img", "hr", "input"}
ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """Elements and text of a page; says at once where a tag doesn't match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def step(number: int, loss: float, seconds: float = 0.2) -> StepDone:
    return StepDone(
        step=number,
        epoch=number / 54,
        loss=loss,
        learning_rate=2e-4,
        grad_norm=1.25,
        tokens=1000 + number,
        supervised=32,
        seconds=seconds,
    )


def look(number: int, loss: float, best: bool = True) -> Evaluated:
    return Evaluated(step=number, metrics={"val_loss": loss, "accuracy": 0.75}, best=best, seconds=0.5)


def whole_run(steps: int = 162) -> list[Event]:
    return [
        *(step(number, 1.5 * math.exp(-number / 40) + 0.2) for number in range(1, steps + 1)),
        look(54, 0.4321),
        look(108, 0.2987),
        PhaseEnded(phase="train", detail="", seconds=29.5),
        Noticed(code="FTC342", text="154 rows lose their end"),
    ]


def page(events: Sequence[Event] = (), **changes: object) -> Page:
    plan = documents.plan()
    return Page(report_html(plan, documents.record(plan, **changes), documents.evaluation(), events))


def fetched(**changes: Any) -> Plan:
    """A plan that takes what a service trained, which says an attack in each of its words."""
    plan = documents.plan()
    told: dict[str, str] = dict.fromkeys(("token_count", "total_price"), ATTACK)
    taken = Fetched(
        provider="together", base_url="https://example.org", job=ATTACK, folder="runs/a/b", request_sha256="0" * 64,
        plan_sha256="1" * 64, num_steps=5, fixed=(), told=told, files={},
    )  # fmt: skip
    model = plan.settings.model.model_copy(update={"fetched": taken.model_copy(update=changes)})
    return plan.model_copy(update={"settings": plan.settings.model_copy(update={"model": model})})


def test_words_of_a_service_stay_words() -> None:
    plan = fetched()
    unknown = dict.fromkeys(("train_seconds", "tokens", "supervised_tokens", "selected_step"))
    record = documents.record(plan, steps_done=0, **unknown)
    shown = Page(report_html(plan, record, documents.evaluation(), []))
    assert "script" not in shown.tags
    assert "onerror" not in dict(shown.attributes)
    assert f"it says total_price {ATTACK}" in shown.text
    other = fetched(provider=ATTACK)
    run = ComparedRun(id=record.id, name="n", model="m", strategy="lora", rows=60)
    compared = RunComparison(runs=(run,), rows=60, metrics=(), not_compared=())
    page = Page(comparison_html(compared, [Side(other, record, [], [])], Drawer()))
    assert "onerror" not in dict(page.attributes)
    assert f"trained by {ATTACK}" in page.text
    assert ATTACK not in model_card(other, record, None)
    assert "\x1b" not in runs_text([(fetched(provider="\x1b[2J"), record, None)])


def test_the_answer_comes_first() -> None:
    text = page(whole_run()).text
    answer = "Macro F1 rose from 0.112 to 0.941 on 213 test rows. The gate macro F1 ≥ 0.9 passed."
    assert answer in text
    assert text.index(answer) < text.index("Result on the test split")


def test_figures_are_those_of_the_documents() -> None:
    plan, shown = documents.plan(), page(whole_run()).text
    record = documents.record(plan)
    for figure in (
        *(
            "0.197",
            "0.944",
            "+0.746, 95 % interval +0.685 to +0.803 (better)",
            "0.112",
            "0.941",
            "+0.774 to +0.870 (better)",
            "gate ≥ 0.9: passed",
        ),
        *("1,701", "680,400", "412", "498", "512", "154 (9.1 %)"),
        f"planned {numbers.byte_size(plan.memory.allocated_bytes)} (analytical estimate)",
        "backward: 1.11 GiB",
        "Memory by phase: allocated on the device",
        "measured 1.28 GiB (allocated on the device)",
        "the weights are those of step 108",
        "69,193 tokens/s",
        "time: no earlier run on this device",
        "init 1701, order 1702, dropout 1703",
        *(record.plan_sha256, record.sha256, plan.lock.digest(), "2b" * 32, "4d" * 32),
        *("torch 2.13.0", "NVIDIA GeForce RTX 4090", "PeftModel"),
        *("0.432", "0.299", "154 rows lose their end"),
    ):
        assert figure in shown, figure


def test_every_setting_stands_with_its_origin() -> None:
    plan, shown = documents.plan(), page().text
    for path, origin in plan.origins.items():
        assert path in shown
        assert origin.reason in shown


def test_right_and_wrong_are_told_in_words() -> None:
    shown = page().text
    assert "business sport wrong business right" in shown
    assert "Tuned: 1 right. Base: 0 right." in shown


def test_nothing_is_fetched_and_nothing_runs() -> None:
    plan = documents.plan()
    source = report_html(plan, documents.record(plan), documents.evaluation(), whole_run())
    parsed = Page(source)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(parsed.tags)
    assert all(value and value.startswith("#") for name, value in parsed.attributes if name in {"href", "src"})
    assert not re.search(r"https?:|url\(|@import|javascript:", source)
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]


def test_text_of_strangers_stays_text() -> None:
    prediction = {"row": 1, "text": ATTACK + "\x00\ud800", "expected": ATTACK, "base": ATTACK, "tuned": ATTACK}
    plan = documents.plan(not_checked=(ATTACK,), name="bbc-news")
    events: list[Event] = [step(1, 1.0), Noticed(code="FTC342", text=ATTACK)]
    source = report_html(plan, documents.record(plan), documents.evaluation(predictions=(prediction,)), events)
    parsed = Page(source)
    assert not {"script", "img"} & set(parsed.tags)
    assert parsed.text.count(ATTACK) >= 5
    assert "\x00" not in source
    source.encode()


def test_ids_are_unique_and_references_lead_somewhere() -> None:
    attributes = page(whole_run()).attributes
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for name, value in attributes:
        if name == "href":
            assert (value or "")[1:] in ids
        if name == "aria-labelledby":
            assert set((value or "").split()) <= set(ids)


def test_attributes_for_screen_readers_have_the_names_of_the_standard() -> None:
    used = {name for name, _ in page(whole_run()).attributes if name.startswith("aria-")}
    assert used == {"aria-hidden", "aria-label", "aria-labelledby"}


def test_a_run_that_measured_nothing() -> None:
    segment = documents.open_segment("2026-11-24T10:00:00Z", 9)
    plan = documents.plan()
    changes = {"status": "interrupted", "segments": (segment,), "steps_done": 9, "selected_step": None, "outputs": {}}
    record = documents.record(plan, **changes, peak_memory_bytes=None, final_weights_sha256=None, train_seconds=0.0)
    parsed = Page(report_html(plan, record, None, [step(1, 1.5)]))
    assert "Not evaluated on the test split. The run is interrupted, with 9 of 162 steps done." in parsed.text
    assert "Result on the test split" not in parsed.text
    assert "measured 1" not in parsed.text


def test_no_base_means_no_gain() -> None:
    plan = documents.plan()
    prediction = {"row": 1, "text": "a", "expected": "b", "base": None, "tuned": "b"}
    result = documents.evaluation(base=None, predictions=(prediction,))
    shown = Page(report_html(plan, documents.record(plan), result, [])).text
    assert "Macro F1 is 0.941 on 213 test rows." in shown
    assert "The base model was not evaluated, so the gain is unknown." in shown
    assert "Base:" not in shown


def test_a_worse_result_and_failed_gates_are_said() -> None:
    gate = {"metric": "accuracy", "bound": ">= 0.95", "value": 0.1, "passed": False}
    worse = {"metrics": {"accuracy": 0.1}, "rows": 213, "seconds": 1.0}
    plan = documents.plan()
    result = documents.evaluation(tuned=worse, gates=(gate,))
    shown = Page(report_html(plan, documents.record(plan, status="gate_failed"), result, [])).text
    assert "Accuracy fell from 0.197 to 0.100, which is worse, on 213 test rows." in shown
    assert "The gate accuracy ≥ 0.95 failed." in shown


@pytest.mark.parametrize(
    "events",
    [[], [step(1, 1.5)], [step(1, 0.0)], [step(1, 1.0), step(2, 1.0)], [step(1, 1.0, seconds=0.0)], [look(3, 0.5)]],
)
def test_few_events(events: list[Event]) -> None:
    page(events)


def test_thousands_of_steps_stay_one_small_page() -> None:
    plan = documents.plan()
    events = [step(number, 2 / number) for number in range(1, 5001)]
    source = report_html(plan, documents.record(plan), documents.evaluation(), events)
    Page(source)
    assert len(source) < 300_000
    assert "Every 84th step" in source


def test_steps_that_were_done_again_count_once() -> None:
    events: list[Event] = [
        step(1, 1.0),
        step(2, 2.0),
        look(2, 0.9),
        step(3, 3.0),
        Resumed(step=1),
        step(2, 4.0),
        step(3, 5.0),
    ]
    run = history(events)
    assert run.points("loss") == [(1, 1.0), (2, 4.0), (3, 5.0)]
    assert run.evaluations == ()


def test_thinning_keeps_spikes_and_both_ends() -> None:
    points = [(float(number), 1.0) for number in range(10_000)]
    points[1234] = (1234.0, 50.0)
    kept = thinned(points, 100)
    assert len(kept) <= 102
    assert (1234.0, 50.0) in kept
    assert (kept[0][0], kept[-1][0]) == (0.0, 9999.0)
    assert kept == sorted(kept)


def test_smoothing_is_a_mean_around_each_point() -> None:
    assert smoothed([(1, 0.0), (2, 3.0), (3, 6.0), (4, 0.0)], 3) == [(1, 1.5), (2, 3.0), (3, 3.0), (4, 3.0)]


def test_what_is_planned_along_the_run_stands_in_a_table_as_well() -> None:
    """Picture or none, each part of each phase can be read."""
    plan = documents.plan()
    page = report_html(plan, documents.record(plan), None, [])
    grid = page[page.index("Values of the chart of planned tensors") :].partition("</details>")[0]
    for peak in phase_groups(plan.memory.phases).values():
        assert all(
            numbers.byte_size(size) in grid for size in (peak.peak_bytes, *filter(None, peak.components.values()))
        )


def test_a_spike_takes_nothing_from_the_means_behind_it() -> None:
    points = [(float(number), 1e17 if number == 5 else 0.1) for number in range(40)]
    assert {value for step, value in smoothed(points, 9) if step > 9} == {0.1}
    assert smoothed([(0.0, 3e38), (1.0, 5e-324)], 1) == [(0.0, 3e38), (1.0, 5e-324)]
