"""The report and the model card of a run: they follow from its documents, so they are made again and compared.

Charts are compared by the page's checksum that the ledger noted when the page was written. Only where that differs are
they drawn again, which takes longer than all else that the static level does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ftc.compiler.audit.tally import Tally, finding
from ftc.spec.canonical import file_digest
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.ledger import Entry, PagesWritten
from ftc.spec.documents.record import RunRecord
from ftc.spec.storage.outputs import drawn_by, without_drawings
from ftc.spec.storage.paths import RunFolder
from ftc.spec.version import VERSION

__all__ = ["Pages", "check_pages"]


@dataclass(frozen=True, slots=True)
class Pages:
    """What a run's pages should say, by file name.

    Attributes:
        plain: With words in the place of each chart.
        drawn: The same with the charts, as the library here draws them.
    """

    plain: Callable[[], Mapping[str, str]]
    drawn: Callable[[], Mapping[str, str]]


def check_pages(
    tally: Tally, run: RunFolder, record: RunRecord, pages: Pages, ledger: Sequence[Entry], *, ours: bool
) -> None:
    """Compares the pages; other code of ftc words them otherwise, so that they can't be compared then."""
    names = (run.report.name, run.card.name)
    if not ours:
        theirs = f"ftc {record.ftc_version}" if record.ftc_version != VERSION else f"other code of ftc {VERSION}"
        tally.not_checked.append(f"{' and '.join(names)}, and what ftc makes of the recipe: {theirs} wrote them")
        return
    if not record.is_finished:
        tally.not_checked.append(f"{' and '.join(names)}: they are written when the run is finished")
        return
    if tally.findings:
        tally.not_checked.append(f"{' and '.join(names)}: what they would be made of is changed or missing")
        return
    noted = [one.files_sha256 for one in ledger if isinstance(one, PagesWritten) and one.run_id == record.id]
    known = noted[-1] if noted else {}
    for name, text in pages.plain().items():
        tally.findings += _page(tally, run, name, text, known.get(name), pages)
    tally.checked.append(f"{len(names)} pages")


def _page(tally: Tally, run: RunFolder, name: str, plain: str, noted: str | None, pages: Pages) -> list[Finding]:
    file, subject = run.path / name, f"the run's folder: {name}"
    if not file.is_file():
        return [finding("FTC522", subject, "a page", "nothing", "restore the file")]
    tally.files += 1
    tally.bytes += file.stat().st_size
    found = file_digest(file)
    page = file.read_bytes().decode(errors="replace")
    same_words = without_drawings(page) == without_drawings(plain)
    if not same_words or (drawn_by(page) is None and page != plain):
        return [_changed(subject, plain, found)]
    if drawn_by(page) is None:
        if name == run.report.name:
            tally.not_checked.append(
                f"the charts in {name}: there are none, since nothing that draws them was installed"
            )
        return []
    if found == noted:
        return []
    if noted is None and not tally.strict:
        tally.not_checked.append(f"the charts in {name}: the ledger has no checksum of them; --strict draws them again")
        return []
    again = pages.drawn()[name]
    if page == again:
        return []
    theirs, here = drawn_by(page), drawn_by(again)
    if theirs == here:
        return [_changed(subject, again, found)]
    other = f"{theirs} drew them, and here is {here or 'no library that does'}"
    tally.not_checked.append(f"the charts in {name}: {other}; its text and figures match")
    return []


def _changed(subject: str, text: str, found: str) -> Finding:
    ought = hashlib.sha256(text.encode()).hexdigest()
    return finding("FTC521", subject, ought, found, "compare it with a copy, or with git's version")
