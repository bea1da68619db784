"""What `ftc run push` and `ftc run pull` say. Pure functions from documents to text."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.spec.documents.pushed import PulledRun, PushReport
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped, table

__all__ = ["pulled_text", "pushed_text"]

_DONE = {"dry run": "would push", "up to date": "up to date", "pushed": "pushed"}


def pushed_text(found: PushReport, card: str, *, page: Page = PLAIN) -> str:
    """The answer of `ftc run push`; a dry run shows the files and the card, too."""
    seen = "private" if found.is_private else "public: everybody may read it"
    lines = [*page.flow(_DONE[found.status], [f"{found.what} of run {page.strong(found.run_id)}", escaped(found.repo)])]
    lines += page.flow("repository", [seen])
    if found.commit:
        stands = [f"on {found.parent}"] if found.parent else []
        lines += page.flow("commit", [found.commit, *stands])
    size = sum(facts.size for facts in found.files.values())
    lines += page.flow("files", [numbers.plural(len(found.files), "file"), numbers.byte_size(size)])
    if found.status == "dry run":
        sizes = [(f"  {escaped(name)}", numbers.byte_size(facts.size)) for name, facts in found.files.items()]
        lines += table(sizes)
    elif found.status == "pushed":
        lines += page.flow("compared", ["the hub lists the same digest for each file"])
    if found.deleted:
        lines += page.flow("deleted", [escaped(name) for name in found.deleted])
    if found.without_rows:
        lines += page.flow("no rows in", [escaped(name) for name in found.without_rows])
    if found.left_out:
        lines += page.flow("stays here", [_shortened(found.left_out)])
    if found.waived:
        lines += page.flow("waived", [escaped(name) for name in found.waived])
    lines += [line for note in found.notes for line in page.flow("note", [escaped(note)])]
    if found.status == "dry run":
        lines += ["", card.rstrip()]
    elif found.what in ("adapter", "model"):
        lines += page.flow("bring back", [f"ftc run pull {escaped(found.repo)}@{found.commit}"])
    return "\n".join(lines) + "\n"


def pulled_text(found: PulledRun, bring: str, *, page: Page = PLAIN) -> str:
    """The answer of `ftc run pull`; `bring` says what to do where the base model is not here."""
    done = "pulled" if found.status == "pulled" else "up to date"
    lines = [
        *page.flow(done, [f"run {page.strong(found.run_id)} of {escaped(found.name)}", escaped(found.repo)]),
        *page.flow("commit", [found.commit]),
        *page.flow("folder", [escaped(found.folder), numbers.byte_size(found.size)]),
    ]
    if found.base_is_here:
        lines += page.flow("base", [escaped(found.base), "is here"])
        lines += page.flow("use it", [f'ftc predict {found.run_id} "…"'])
    else:
        lines += page.flow("base", [f"{escaped(found.base)} is not here: {escaped(bring)}"])
    if found.left_out:
        lines += page.flow("not pushed", [_shortened(found.left_out)])
    return "\n".join(lines) + "\n"


def _shortened(names: Sequence[str]) -> str:
    """Names of files, those of a folder as one."""
    parts = dict.fromkeys(f"{name.partition('/')[0]}/" if "/" in name else name for name in names)
    return ", ".join(escaped(name) for name in parts)
