"""A disk that refuses is named with the file that could not be written, and what was there stays."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ftc.rating.ballots import open_ballot
from ftc.spec.documents.ledger import Begun, append_entry, read_ledger
from ftc.spec.storage.atomic_write import building_folder, rewrite_file, write_text
from ftc.spec.storage.paths import ledger_file


def begin(folder: Path) -> None:
    append_entry(folder, Begun, name="a", run_id="b", job_sha256="c" * 64, plan_sha256="d" * 64)


def build(folder: Path) -> None:
    with building_folder(folder / "built") as place:
        (place / "part").write_text("new")


def rate(folder: Path) -> None:
    open_ballot(folder, "ann").rate(2, "first", "first")


WRITERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a document": (lambda folder: write_text(folder / "a.json", "new"), "a.json"),
    "a recipe that is fixed": (lambda folder: rewrite_file(folder / "a.json", b"new"), "a.json"),
    "a folder": (build, "built"),
    "the ledger": (begin, "ledger.ndjson"),
    "a rating": (rate, "ann.ndjson"),
}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize("writer", WRITERS)
def test_what_could_not_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, number: int
) -> None:
    write, name = WRITERS[writer]
    (tmp_path / "a.json").write_text("old")
    begin(tmp_path)
    before = read_ledger(tmp_path)

    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match=os.strerror(number)) as raised:
            write(tmp_path)
    assert Path(str(raised.value.filename)).name == name
    assert (tmp_path / "a.json").read_text() == "old"
    assert not (tmp_path / "built").exists()
    assert read_ledger(tmp_path)[: len(before)] == before
    write(tmp_path)  # with room it goes on
    assert ledger_file(tmp_path).is_file()
