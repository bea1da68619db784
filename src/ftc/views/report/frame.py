"""The frame of a page that opens from disk: head, contents, parts, foot. It fetches nothing, and may run nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from ftc.spec.storage.drawings import marked, signature
from ftc.views.report.charts import Drawer
from ftc.views.report.elements import text

__all__ = ["framed"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What the browser may load for this page: nothing but its own styles."""
_NO_CHARTS = "No charts: <code>pip install 'ftc[report]'</code> brings what draws them."


def framed(title: str, header: str, parts: Sequence[tuple[str, str, str]], footer: str, drawn: Drawer) -> str:
    """The whole page.

    Args:
        title: What the browser shows as its name, as text.
        header: What stands first, as HTML.
        parts: Key, name in the contents, and HTML of each part; one whose HTML is empty is left out.
        footer: What stands last, as HTML.
        drawn: Who drew the charts.
    """
    style = resources.files("ftc.views.report").joinpath("report.css").read_text(encoding="utf-8")
    present = [(key, name, part) for key, name, part in parts if part]
    links = "".join(f'<li><a href="#{key}">{text(name)}</a></li>' for key, name, _ in present)
    body = "\n".join(part for _, _, part in present)
    charts = f"Charts drawn by {text(drawn.name)}." if drawn.name else _NO_CHARTS
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"{signature(drawn.name)}<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#content">Skip to the content</a>\n'
        f'{header}\n<nav aria-label="Contents"><ul>{links}</ul></nav>\n'
        f'<main id="content">\n{body}\n</main>\n'
        f"<footer><p>{footer} {marked(charts)}</p></footer>\n</body>\n</html>\n"
    )
