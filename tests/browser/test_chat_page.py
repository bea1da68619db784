"""A person chats with two models in a real browser, by keyboard; what models write is text and no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import pytest

from ftc.chatting.server import ChatServer
from tests.support.parrots import Parrot

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = "<img src=x onerror=\"document.title='x'\"><script>document.title='x'</script> \u202e&lt;b&gt; {{x}}"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    about = {"name": "desk <b>", "run": "7f3a2b", "memory": "", "sampling": "greedy", "who": "tuned base"}
    with ChatServer(Parrot(), about) as found:
        thread = threading.Thread(target=found.serve)
        thread.start()
        yield found
        found.end()
        thread.join()


def answers(page: Page) -> list[str]:
    return [text.strip() for text in page.locator("#talk .answers .text").all_text_contents()]


def type_line(page: Page, text: str) -> None:
    """Types once the page listens: its field has the focus, and no answer is still being written."""
    page.locator("#send:enabled").wait_for()
    page.locator("#line:focus").wait_for()
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def say(page: Page, text: str, turns: int) -> None:
    type_line(page, text)
    page.locator(f"#talk li:nth-child({turns}) .note").wait_for()


def test_both_models_answer_a_person_at_the_keyboard(page: Page, server: ChatServer) -> None:
    page.goto(server.url)
    page.get_by_text("desk <b>, run 7f3a2b").wait_for()
    say(page, "where is it", 1)
    assert answers(page) == ["where is it", "where is it"]
    assert page.locator("#talk h2").all_text_contents() == ["Tuned", "Base"]
    say(page, "and now", 2)
    page.keyboard.press("Tab")  # to who answers, and on to the base alone
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+Tab")
    say(page, "third", 3)
    assert answers(page)[4:] == ["third"]
    page.get_by_role("button", name="New conversation").press("Enter")
    page.locator("#talk li").first.wait_for(state="detached")
    assert isinstance(server.chat, Parrot)
    assert server.chat.lines == []
    assert page.evaluate("document.activeElement.id") == "line"


def test_an_answer_is_shown_as_it_is_written_and_stops(page: Page, server: ChatServer) -> None:
    page.goto(server.url)
    type_line(page, "long")
    page.locator(".writing", has_text="long long long").wait_for()
    assert page.locator("#send").is_disabled()
    page.keyboard.press("Escape")
    page.get_by_text("Stopped; this line is forgotten.").wait_for()
    assert isinstance(server.chat, Parrot)
    assert server.chat.stopped.wait(60)
    say(page, "next", 2)
    assert server.chat.lines == ["next"]


def test_a_page_that_is_loaded_again_shows_what_the_models_remember(page: Page, server: ChatServer) -> None:
    page.goto(server.url)
    say(page, "where is it", 1)
    page.reload()
    say(page, "and now", 1)
    assert isinstance(server.chat, Parrot)
    assert server.chat.lines == ["and now"]


def test_hostile_texts_are_text(page: Page, server: ChatServer) -> None:
    page.goto(server.url)
    say(page, HOSTILE, 1)
    assert answers(page)[0] == " ".join(HOSTILE.split())
    assert page.title() == "desk <b>: base and tuned model"
    assert page.locator("#talk img, #talk script, #talk b").count() == 0
    type_line(page, "no")
    page.get_by_text("this can't be answered. it gives no tokens. another").wait_for()


def test_a_server_that_is_gone_is_told(page: Page, server: ChatServer) -> None:
    page.goto(server.url)
    page.locator("#about", has_text="7f3a2b").wait_for()
    server.shutdown()
    server.server_close()
    type_line(page, "where")
    page.locator("#fault", has_text="ftc no longer runs").wait_for(state="visible")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 420])
def test_it_fits_any_width_and_breaks_no_rule_of_accessibility(
    page: Page, server: ChatServer, width: int, scheme: Literal["light", "dark"]
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.goto(server.url)
    say(page, f"a{'b' * 300} and more", 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    left, right = (page.locator("#talk section").nth(number).bounding_box() for number in (0, 1))
    assert left is not None
    assert right is not None
    assert (left["y"] == right["y"]) is (width > 640)
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response
    assert [f"{one['id']}: {node['target']}" for one in found["violations"] for node in one["nodes"]] == []
