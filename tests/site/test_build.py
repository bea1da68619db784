"""The site: it builds, finds what one searches for when it is opened from disk, and a broken link fails."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("zensical", reason="`nox -s site` has it")


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs" / "site" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = builder().build(tmp_path_factory.mktemp("site"))
    assert isinstance(built, Path)
    return built


def test_no_link_is_broken_and_nothing_is_fetched(site: Path) -> None:
    assert (site / "index.html").is_file()
    assert list(builder().broken_links(site)) == []


@pytest.mark.parametrize(
    ("html", "link"),
    [
        ('<a href="gone.yml">', "gone.yml"),
        ('<a href="ci.html#gone">', "ci.html#gone"),
        ('<script src="https://example.com/x.js"></script>', "https://example.com/x.js"),
        ('<a href="https://example.com">', None),
    ],
)
def test_a_broken_link_is_found(site: Path, html: str, link: str | None) -> None:
    page = site / "docs" / "extra.html"
    page.write_text(html, encoding="utf-8")
    try:
        assert list(builder().broken_links(site)) == ([("docs/extra.html", link)] if link else [])
    finally:
        page.unlink()


def test_a_link_to_a_page_or_heading_that_is_not_there_stops_the_build(tmp_path: Path) -> None:
    module: Any = builder()
    for name in ("docs/site", "spec"):
        (tmp_path / "root" / name).mkdir(parents=True)
    for page in module.SOURCES:
        for path in ROOT.glob(page):
            copy = tmp_path / "root" / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    with (tmp_path / "root" / "docs" / "ci.md").open("a", encoding="utf-8") as stream:
        stream.write("\n[gone](exports.md#no-such-heading)\n")
    module.ROOT = tmp_path / "root"
    assert module.build(tmp_path / "work") is None


@pytest.mark.skipif(sys.platform == "win32", reason="Chromium is looked for as on Linux")
def test_search_works_from_disk_and_no_server_is_asked(site: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 420, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "docs" / "ci.html").as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type("warmup", delay=30)
    page.get_by_role("option").or_(page.get_by_role("link", name="train.schedule")).first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
