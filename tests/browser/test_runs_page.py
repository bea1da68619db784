"""The page of all runs in a real browser: filters work without script and stay when the page is loaded again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftc.spec.documents.events import Event
from ftc.views.report.runs import Listed, runs_html
from tests.support import documents
from tests.support.tracked_runs import EVENTS

if TYPE_CHECKING:
    from playwright.sync_api import Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def listed(name: str, number: int, status: str, folder: Path, events: tuple[Event, ...] = EVENTS) -> Listed:
    plan = documents.plan(name=name)
    record = documents.record(plan, id=f"{number:012x}", name=name, status=status)
    report = folder / "runs" / name / record.id / "report.html"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("<!doctype html><title>report</title>", encoding="utf-8")
    return Listed(plan, record, documents.evaluation() if status == "finished" else None, events, report)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    runs = [
        listed("news", 1, "running", tmp_path, EVENTS[:4]),
        listed("news", 2, "finished", tmp_path),
        listed("tickets", 3, "finished", tmp_path),
        listed("tickets", 4, "failed", tmp_path, ()),
    ]
    page = tmp_path / "runs.html"
    page.write_text(runs_html(runs, tmp_path), encoding="utf-8")
    return page


def shown(page: Page) -> list[str]:
    names: list[str] = page.locator(".run:visible h3 code").all_inner_texts()
    return [name[-1] for name in names]


def test_a_filter_leaves_its_runs_and_stays_when_the_page_is_loaded_again(page: Page, file: Path) -> None:
    page.goto(file.as_uri())
    assert shown(page) == ["1", "2", "3", "4"]
    page.get_by_role("link", name="tickets", exact=True).click()
    assert shown(page) == ["3", "4"]
    page.reload()
    assert shown(page) == ["3", "4"]
    page.get_by_role("link", name="finished", exact=True).click()
    assert shown(page) == ["2", "3"]
    page.get_by_role("link", name="all runs").click()
    assert shown(page) == ["1", "2", "3", "4"]


def test_a_run_leads_to_its_report_and_has_its_curve(page: Page, file: Path) -> None:
    page.goto(file.as_uri())
    assert page.locator(".run svg").count() == 3, "one has no step yet"
    page.locator(".run", has_text="000000000003").get_by_role("link").click()
    assert page.title() == "report"


def test_the_page_is_loaded_again_by_itself_while_a_run_goes_on(page: Page, file: Path) -> None:
    page.goto(file.as_uri())
    assert page.locator('meta[http-equiv="refresh"]').count() == 1
    with page.expect_event("load", timeout=20_000):
        pass


@pytest.mark.parametrize("width", [1100, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_never_scrolls_sideways(page: Page, file: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response
    broken = [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
    assert [one for one in broken if not one.startswith("meta-refresh")] == []
