"""A person rates by keyboard in a real browser; the server dies in the middle, and nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftc.rating.ballots import open_ballot
from tests.support.contests import answered_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROWS = 100


def start(root: Path, rater: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "ftc", "rate", "aaa", "--rater", rater, "--no-browser"]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.match(r"open (\S+)", line):
            return process, found[1]
    raise AssertionError("the server showed no address")


def rate_by_key(page: Page, wanted: int) -> None:
    """Prefers the tuned answer, whichever side it is on, until so many are rated."""
    while (done := rated(page)) < wanted:
        is_left = (page.locator("#left").text_content() or "").startswith("tuned")
        page.keyboard.press("ArrowLeft" if is_left else "ArrowRight")
        wait_until_rated(page, done + 1)


def rated(page: Page) -> int:
    return int((page.locator("#progress").text_content() or "").split()[0])


def wait_until_rated(page: Page, count: int) -> None:
    page.locator("#progress", has_text=re.compile(rf"^{count} of")).wait_for()


def shown(page: Page) -> None:
    page.locator("#progress", has_text="rated").wait_for()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".ftc").mkdir()
    answered_run(tmp_path, "aaa", ROWS)
    return tmp_path


def test_a_hundred_ratings_by_keyboard_survive_a_kill_in_the_middle(page: Page, project: Path) -> None:
    process, address = start(project, "ann")
    page.goto(address)
    shown(page)
    rate_by_key(page, 40)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    page.keyboard.press("ArrowLeft")
    page.locator("#fault").wait_for(state="visible")
    assert "Start the same command again" in (page.locator("#fault").text_content() or "")
    process, address = start(project, "ann")
    page.goto(address)
    shown(page)
    assert rated(page) == 40
    rate_by_key(page, ROWS)
    page.locator("#result").wait_for(state="visible")
    assert "tuned was preferred to base in 100.0 %" in (page.locator("#verdict").text_content() or "")
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate()
    assert process.returncode == 0
    assert f"ann: preferred in 100.0 % · {ROWS} for tuned" in told
    ballot = open_ballot(project / "ratings" / "aaa", "ann")
    assert {rating.choice for rating in ballot.latest.values()} == {"second"}
    assert len(ballot.latest) == ROWS


def test_a_decision_can_be_changed_and_ties_and_the_reference_have_keys(page: Page, project: Path) -> None:
    process, address = start(project, "bob")
    page.goto(address)
    shown(page)
    first = page.locator("#prompt").text_content()
    page.keyboard.press("r")
    assert (page.locator("#expected").text_content() or "").startswith("answer ")
    page.keyboard.press("t")
    wait_until_rated(page, 1)
    assert page.locator("#prompt").text_content() != first
    page.keyboard.press("Backspace")
    page.locator("[data-choice=tie][aria-pressed=true]").wait_for()
    assert page.locator("#prompt").text_content() == first
    page.get_by_role("button", name="Right is better").click()
    page.locator("[aria-pressed=true]").wait_for(state="detached")
    process.send_signal(signal.SIGINT)
    process.communicate()
    (rating,) = open_ballot(project / "ratings" / "aaa", "bob").latest.values()
    assert rating.choice not in (None, "tie", rating.left)
