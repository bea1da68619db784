"""The report in a real browser: no rule of WCAG 2.2 AA is broken, nothing is cut off, the keyboard reaches it all."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from ftc.spec.documents.difference import ComparedMetric, ComparedRun, RunComparison, Standing
from ftc.spec.documents.events import Evaluated, Event, PhaseEnded, StepDone
from ftc.spec.documents.outcomes import Outcome, Said
from ftc.spec.documents.record import Gain, Interval
from ftc.views.report.comparison import Side, comparison_html
from ftc.views.report.run_report import report_html
from tests.support import documents
from tests.support.measured import BY_REGION, CONTAMINATION, FLAGGED, GATE, JUDGED, RETENTION, SWAPS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.charts
Scheme = Literal["light", "dark"]
Media = Literal["screen", "print"]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LABELS = ("business", "entertainment", "politics", "sport", "tech")


def outcome(row: int) -> Outcome:
    expected, other = LABELS[row % 5], LABELS[(row + 1 + row // 5 % 3) % 5]
    base = Said(text=other, loss_sum=1.6, targets=1, confidence=0.3)
    tuned = Said(text=other if row % 11 == 3 else expected, loss_sum=0.01 * row, targets=1, confidence=0.9)
    return Outcome(row=row, prompt=f"Story {row}. " + "word " * row, expected=expected, base=base, tuned=tuned)


def events() -> list[Event]:
    steps: list[Event] = [
        StepDone(
            step=number,
            epoch=number / 54,
            loss=1.5 * math.exp(-number / 40) + 0.2,
            learning_rate=2e-4,
            grad_norm=1.25,
            tokens=1000 + number,
            supervised=32,
            seconds=0.2,
        )
        for number in range(1, 163)
    ]
    look = Evaluated(step=108, metrics={"val_loss": 0.43, "accuracy": 0.9}, best=True, seconds=0.5)
    return [*steps, look, PhaseEnded(phase="train", detail="", seconds=29.5)]


@pytest.fixture(params=["report", "comparison"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    made = report() if request.param == "report" else comparison()
    (tmp_path / "report.html").write_text(made, encoding="utf-8")
    return tmp_path / "report.html"


def report() -> str:
    quality = documents.plan().quality.model_copy(update={"contamination": (CONTAMINATION,), "chosen_by": 2})
    plan = documents.plan(quality=quality)
    outcomes = [outcome(row) for row in range(213)]
    evaluation = documents.evaluation(
        slices=(BY_REGION,), retention=RETENTION, swaps=SWAPS, judge=JUDGED, classifier=FLAGGED
    )
    evaluation = evaluation.model_copy(update={"gates": (*evaluation.gates, GATE)})
    return report_html(plan, documents.record(plan), evaluation, events(), outcomes)


def comparison() -> str:
    plan = documents.plan()
    train = plan.settings.train.model_copy(update={"learning_rate": 1e-3})
    other = plan.model_copy(update={"settings": plan.settings.model_copy(update={"train": train})})
    outcomes = [outcome(row) for row in range(60)]
    worse = [one.model_copy(update={"tuned": one.base}) for one in outcomes]
    sides = [
        Side(plan, documents.record(plan), events(), outcomes),
        Side(other, documents.record(other, id="0123456789ab"), events()[::2], worse),
    ]
    standings = (
        Standing(value=0.94, interval=Interval(low=0.9, high=0.97), gain=None),
        Standing(
            value=0.2,
            interval=Interval(low=0.1, high=0.3),
            gain=Gain(value=-0.74, interval=Interval(low=-0.8, high=-0.7)),
        ),
    )
    runs = [ComparedRun(id=side.record.id, name="bbc-news", model="minilm", strategy="lora", rows=60) for side in sides]
    metrics = (ComparedMetric(metric="accuracy", standings=standings),)
    return comparison_html(
        RunComparison(runs=tuple(runs), rows=60, metrics=metrics, not_compared=("bleu: not measured by <b>",)), sides
    )


@pytest.mark.slow
def test_every_part_that_an_evaluation_may_have_is_looked_at() -> None:
    shown = report()
    for part in ("slices", "retention", "swaps", "judge", "classifier"):
        assert f'id="{part}"' in shown, part


def unfold(page: Page) -> None:
    """Opens what is folded, by keyboard."""
    for summary in page.locator("summary").all():
        summary.press("Enter")


@pytest.mark.parametrize(
    ("width", "media", "scheme"),
    [
        (1100, "screen", "light"),
        (1100, "screen", "dark"),
        (390, "screen", "light"),
        (390, "screen", "dark"),
        (720, "print", "dark"),
    ],
)
def test_no_rule_of_accessibility_is_broken(page: Page, file: Path, width: int, media: Media, scheme: Scheme) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(media=media, color_scheme=scheme)
    page.goto(file.as_uri())
    unfold(page)
    found = axe.run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response
    broken = [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
    assert broken == []


@pytest.mark.parametrize("width", [1100, 390])
def test_the_page_itself_never_scrolls_sideways(page: Page, file: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(file.as_uri())
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1100, 700, 390])
def test_charts_are_drawn_for_the_width_and_their_text_stays_readable(page: Page, file: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(file.as_uri())
    for one in page.locator("figure.chart").all():
        assert one.locator("svg:visible").count() == 1
    sizes = page.locator("svg:visible text").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
    assert sizes
    assert min(sizes) >= 10, "pixels from the highest to the lowest letter"
    beyond = page.locator("svg:visible text").evaluate_all(
        """all => all.filter(one => {
            const [text, sheet] = [one, one.closest("svg")].map(found => found.getBoundingClientRect());
            return text.left < sheet.left - 1 || text.right > sheet.right + 1 || text.top < sheet.top - 1;
        }).map(one => one.textContent)"""
    )
    assert beyond == []


def test_an_edge_behind_which_columns_are_hidden_has_a_shadow(page: Page, file: Path) -> None:
    """Without one a table that ends with a column at the edge looks whole."""
    page.set_viewport_size({"width": 420, "height": 900})
    page.goto(file.as_uri())
    drawn = page.locator(".scroll:visible").evaluate_all(
        """all => all.filter(one => one.scrollWidth > one.clientWidth)
            .map(one => getComputedStyle(one).backgroundAttachment)"""
    )
    assert drawn
    assert set(drawn) == {"local, local, scroll, scroll"}


def test_print_unfolds_everything_and_cuts_no_table(page: Page, file: Path) -> None:
    page.set_viewport_size({"width": 720, "height": 1000})  # a sheet of A4 less its margins
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(file.as_uri())
    hidden = page.locator("details table").evaluate_all("all => all.filter(one => !one.checkVisibility()).length")
    assert hidden == 0
    wide = page.locator("table").evaluate_all(
        "all => all.filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.textContent)"
    )
    assert wide == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_headings_are_an_outline(page: Page, file: Path) -> None:
    page.goto(file.as_uri())
    levels = [int(one.evaluate("heading => heading.tagName[1]")) for one in page.locator("h1, h2, h3, h4").all()]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_contents_lead_to_every_part_and_tab_reaches_every_wide_table(page: Page, file: Path) -> None:
    page.goto(file.as_uri())
    parts = page.locator("main > section").evaluate_all("parts => parts.map(part => part.id)")
    links = page.locator("nav a").evaluate_all("links => links.map(link => link.getAttribute('href').slice(1))")
    assert links == parts
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached = set()
    for _ in range(page.locator("a, summary, [tabindex]").count()):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    tables = page.locator(".scroll:visible").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert set(tables) <= reached


def test_the_page_asks_the_network_for_nothing(page: Page, file: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert asked == [file.as_uri()]
