"""Builds the site out of the pages of this repository: `python docs/site/build.py FOLDER`, or `nox -s site`.

The pages keep their places beside each other, so that a link works on a forge, in the site and in an editor alike. The
site opens from disk, is searchable there, and fetches nothing. A link to a missing page, file or heading fails.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nbconvert import MarkdownExporter

__all__ = ["broken_links", "build", "main"]

ROOT = Path(__file__).parents[2]
CONFIGURATION = Path(__file__).with_name("zensical.toml")
THEME = Path(__file__).with_name("theme")
SOURCES = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"),
    *("benchmarks/README.md", "docs/*.md", "docs/*.yml", "docs/*.json", "docs/*.ipynb", "docs/*/*.md", "docs/*/*.svg"),
    *("docs/*/*.png", "recipes/README.md", "recipes/*/README.md", "recipes/*/*.yaml", "recipes/*/*.py"),
)
"""What the site holds; the rest of the repository is code."""


def main(arguments: list[str]) -> int:
    """Builds the site into a folder, by default `build/site`, and gives 1 where something is wrong with it."""
    folder = Path(arguments[0]) if arguments else ROOT / "build" / "site"
    if folder.exists() and not (folder / "search.js").exists():
        print(f"{folder} is no site: name another folder, or delete it")
        return 1
    with tempfile.TemporaryDirectory() as name:
        built = build(Path(name))
        if built is None:
            return 1
        broken = sorted(broken_links(built))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(built, folder)
    for page, link in broken:
        print(f"{page}: nothing stands at {link}")
    print(f"{len(list(folder.rglob('*.html')))} pages in {folder}; open index.html")
    return 1 if broken else 0


def build(work: Path) -> Path | None:
    """Builds the site inside an empty folder and gives where it is; None where zensical refused, which it explains."""
    for pattern in SOURCES:
        for path in ROOT.glob(pattern):
            place = work / "pages" / path.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
            if path.suffix == ".ipynb":
                page, _ = MarkdownExporter().from_filename(str(path))
                place.with_name(f"{path.stem}_notebook.md").write_text(page, encoding="utf-8")
    shutil.copy(CONFIGURATION, work)
    shutil.copytree(THEME, work / "theme")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", CONFIGURATION.name]
    return work / "site" if subprocess.run(command, cwd=work, check=False).returncode == 0 else None


def broken_links(site: Path) -> Iterator[tuple[str, str]]:
    """Pages and their links to files or headings that aren't there, and scripts or styles of other servers.

    Zensical checks links between pages in their Markdown; this also knows other files and tags in HTML.
    """
    pages = {path: _Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    for path, page in pages.items():
        for tag, link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if tag != "a":
                    yield path.relative_to(site).as_posix(), link
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            found = pages.get(target)
            missing = parts.fragment and found and unquote(parts.fragment) not in found.anchors
            if not target.is_file() or missing:
                yield path.relative_to(site).as_posix(), link


class _Page(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.anchors = {"", "__top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes the tag's addresses and its id."""
        for name, value in attrs:
            if name in ("href", "src") and value is not None and not value.startswith(("data:", "javascript:")):
                self.links.append((tag, value))
            elif name in ("id", "name") and value:
                self.anchors.add(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
