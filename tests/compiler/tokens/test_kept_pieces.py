"""Tokens of rows are kept in pieces: what didn't change is not tokenized again, and nothing else comes out."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from ftc import api
from ftc.compiler.resolve.rows import in_processes, row_digests
from ftc.compiler.resolve.rows.in_processes import with_jobs
from ftc.compiler.resolve.rows.row_store import stored
from ftc.compiler.tokens import kept_pieces, make_streams, row_tokens
from ftc.compiler.tokens.kept_pieces import KeptPieces, Piece, pieces_of
from ftc.spec.documents.plan import Plan
from tests.support.small_pieces import project_of_small_pieces
from tests.support.vision_models import make_vision_project

RECIPE = """\
ftc: 1
name: tiny
task: {kind: classification}
data: {source: [{path: a.csv}, {path: b.csv}], max_length: 8, split: {by: hash}}
model: {base: ./model}
strategy: {kind: full}
"""
TOPICS = ("sun", "warm"), ("rain", "cold")


def write_rows(file: Path, count: int, words: str) -> None:
    rows = [
        f"{words} {one} is {TOPICS[one % 2][0]}{' long' * (one % 7)},{TOPICS[one % 2][1]}\n" for one in range(count)
    ]
    file.write_text("text,label\n" + "".join(rows), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = project_of_small_pieces(tmp_path, monkeypatch, RECIPE, row_tokens)
    write_rows(folder / "a.csv", 90, "text number")
    write_rows(folder / "b.csv", 60, "another text")
    return folder


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each piece that was tokenized in this process."""
    counts: list[int] = []
    made = KeptPieces._made

    def counted(self: KeptPieces, piece: Piece, *ways: Any) -> bytes:
        counts.append(len(piece.rows))
        return made(self, piece, *ways)

    monkeypatch.setattr(KeptPieces, "_made", counted)
    return counts


def replanned(jobs: int = 1) -> api.Planned:
    """Plans with streams that are made now, of what is kept of the rows."""
    shutil.rmtree(Path(os.environ["FTC_CACHE"]) / "streams", ignore_errors=True)
    with with_jobs(jobs):
        return api.plan("recipe.yaml", offline=True, keep_lock=True)


def planned(jobs: int = 1) -> Plan:
    """The plan alone."""
    return replanned(jobs).plan


def kept() -> list[Path]:
    return sorted(Path(os.environ["FTC_CACHE"]).glob("pieces/*/*.json"))


@pytest.mark.parametrize("overflow", ["cut", "drop"])
def test_a_plan_of_kept_pieces_is_the_same(
    project: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch, overflow: str
) -> None:
    recipe = RECIPE.replace("max_length: 8", f"max_length: 8, overflow: {overflow}")
    (project / "recipe.yaml").write_text(recipe, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(row_tokens, "FEWEST_ROWS", 10_000)
        without = planned()
    assert (encoded, kept()) == ([], [])
    first = planned()
    assert sum(encoded) == 150
    assert len(encoded) > 10
    again = planned()
    assert sum(encoded) == 150, "nothing is tokenized twice"
    assert without == first == again
    lost = [report.truncated_rows if overflow == "cut" else report.dropped_rows for report in first.data.values()]
    assert all(lost), "what is cut or left out is counted, too"


@pytest.mark.parametrize("jobs", [2, 3])
def test_several_processes_make_the_same_pieces(project: Path, jobs: int) -> None:
    one = planned()
    files = {file.name: file.read_bytes() for file in kept()}
    for file in kept():
        file.unlink()
    assert planned(jobs) == one
    assert {file.name: file.read_bytes() for file in kept()} == files


def test_a_changed_file_alone_is_tokenized_again(project: Path, encoded: list[int]) -> None:
    planned()
    encoded.clear()
    write_rows(project / "b.csv", 60, "quite another text")
    planned()
    assert 60 <= sum(encoded) <= 60 + 3 * 16, "its own rows, and those of pieces that reach into the other file"
    encoded.clear()
    rows = (project / "a.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (project / "a.csv").write_text("".join([rows[0], "a new row of sun,warm\n", *rows[1:]]), encoding="utf-8")
    moved = planned()
    assert 1 <= sum(encoded) <= 3 * 16, "rows that moved by one are where they were in their piece"
    assert sum(report.rows_read for report in moved.data.values()) == 151


def test_an_interrupted_plan_goes_on(project: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    made = KeptPieces._made

    def interrupted(self: KeptPieces, piece: Piece, *ways: Any) -> bytes:
        if len(encoded) == 5:
            raise KeyboardInterrupt
        return made(self, piece, *ways)

    with monkeypatch.context() as patch:
        patch.setattr(KeptPieces, "_made", interrupted)
        with pytest.raises(KeyboardInterrupt):
            planned()
    assert len(kept()) == 5
    planned()
    assert sum(encoded) == 150, "the five pieces were not made again"


def test_another_length_is_another_piece(project: Path, encoded: list[int]) -> None:
    planned()
    (project / "recipe.yaml").write_text(RECIPE.replace("max_length: 8", "max_length: 9"), encoding="utf-8")
    planned()
    assert sum(encoded) == 300


def test_a_changed_piece_is_made_again_and_told(project: Path, encoded: list[int]) -> None:
    first = planned()
    encoded.clear()
    file = kept()[3]
    content = file.read_text()
    file.write_text(content.replace('"value":"', '"value":"AAAA'))
    found = replanned()
    assert found.plan == first
    assert "FTC655" in {one.code for one in found.diagnostics}
    assert len(encoded) == 1
    assert file.read_text() == content


def test_pieces_end_by_what_rows_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_SHORTEST", 3), ("_MEAN", 5), ("LONGEST", 20)):
        monkeypatch.setattr(kept_pieces, name, size)
    rows: list[dict[str, Any]] = [{"text": f"row {number}"} for number in range(300)]
    of_a_list, of_stored = [*pieces_of(rows)], [*pieces_of(stored(rows))]
    assert of_a_list == of_stored
    assert [number for piece in of_stored for number in piece.rows] == [*range(300)]
    assert all(3 <= len(piece.rows) <= 20 for piece in of_stored[:-1])
    some = stored(rows).some([*range(0, 300, 2)])
    assert [*pieces_of(some)] == [*pieces_of(rows[::2])]
    later = {piece.sha256 for piece in pieces_of([{"text": "new"}, *rows])}
    assert len(later & {piece.sha256 for piece in of_stored}) > len(of_stored) - 10
    assert [*pieces_of([])] == []


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_CACHE", str(tmp_path))

    def fill(made_from: str, count: int) -> KeptPieces:
        pieces = [Piece(range(1), f"{number}".ljust(64, "0")) for number in range(count)]
        made = KeptPieces("tokens", {"of": made_from})
        assert all(made.through(pieces, lambda _: b"x" * 100))
        return made

    def old(age: int) -> Iterator[Path]:
        for file in kept():
            if file not in aged:
                os.utime(file, ns=(age, age))
                aged.add(file)
                yield file

    aged = set[Path]()
    fill("a", 3)
    first = {*old(1)}
    fill("b", 3)
    second = {*old(2)}
    last = fill("c", 3)
    size = kept()[0].stat().st_size
    monkeypatch.setattr(kept_pieces, "MOST_BYTES", 6 * size)
    last.trim()
    assert not first & {*kept()}
    assert second < {*kept()}
    monkeypatch.setattr(kept_pieces, "MOST_BYTES", 1)
    last.trim()
    assert len(kept()) == 3, "those of the plan that was just made stay"


def test_each_kind_of_pieces_has_room_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan whose pieces of both kinds fill their room finds all of them again; those of no kind are trimmed too."""
    monkeypatch.setenv("FTC_CACHE", str(tmp_path))
    pieces = [Piece(range(1), f"{number}".ljust(64, "0")) for number in range(5)]

    def made(kind: Literal["texts", "tokens"], of: str) -> int:
        count = [0]

        def encode(_: range) -> bytes:
            count[0] += 1
            return b"x" * 100

        some = KeptPieces(kind, {"of": of})
        with with_jobs(1):
            assert len([*some.through(pieces, encode)]) == 5
        some.finish()
        return count[0]

    assert made("texts", "a") == 5
    monkeypatch.setattr(kept_pieces, "MOST_BYTES", sum(file.stat().st_size for file in kept()))
    earlier = tmp_path / "pieces" / ("0" * 32)
    shutil.copytree(kept()[0].parent, earlier)
    for file in earlier.iterdir():
        os.utime(file, (1, 1))
    assert made("tokens", "b") == 5
    assert (made("texts", "a"), made("tokens", "b")) == (0, 0)
    assert not [*earlier.iterdir()]
    assert made("tokens", "c") == 5
    assert (made("texts", "a"), made("tokens", "b")) == (0, 5), "of its own kind the oldest go"


SIDES = """\
ftc: 1
name: sides
task: {kind: embedding}
data: {source: {path: sides.jsonl}, fields: {query: QUERY, positive: POSITIVE}, max_length: 8, split: {by: hash}}
model: {base: ./model}
strategy: {kind: full}
"""


def test_exchanged_columns_are_other_pieces(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "sides.jsonl").write_text(
        "".join(f'{{"left": "sun {one}", "right": "the rain {one} is long"}}\n' for one in range(40)), encoding="utf-8"
    )

    def digests(query: str, positive: str) -> dict[str, str]:
        recipe = SIDES.replace("QUERY", query).replace("POSITIVE", positive)
        (project / "recipe.yaml").write_text(recipe, encoding="utf-8")
        return {split: report.stream_digest for split, report in planned().data.items()}

    digests("left", "right")
    of_kept = digests("right", "left")
    monkeypatch.setattr(row_tokens, "FEWEST_ROWS", 10_000)
    assert of_kept == digests("right", "left")


@pytest.mark.slow
def test_rows_with_images_are_kept_by_what_their_files_hold(
    project: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch", "transformers", "PIL"):
        pytest.importorskip(name)
    from PIL import Image

    monkeypatch.setattr(make_streams, "ask_for_pixels", lambda *_: (None, "not asked"))  # another process, for seconds
    make_vision_project(project, model_type="qwen2_vl", data="{source: {path: data/rows.jsonl}, split: {by: hash}}")
    with monkeypatch.context() as patch:
        patch.setattr(row_tokens, "FEWEST_ROWS", 10_000)
        without = planned()
    assert (encoded, kept()) == ([], [])
    assert planned() == without
    assert sum(encoded) == 40
    assert planned() == without
    assert sum(encoded) == 40, "nothing is tokenized twice"

    encoded.clear()
    Image.new("RGB", (100, 60), "red").save(project / "data/pictures/003.png")
    larger = planned()
    assert 0 < sum(encoded) < 30, "the pieces of one row, of two splits at most"
    tokens = [sum(split.tokens for split in one.data.values()) for one in (without, larger)]
    assert tokens[1] > tokens[0], "a larger image has more of them"
    shutil.rmtree(Path(os.environ["FTC_CACHE"]) / "pieces")
    assert planned() == larger

    encoded.clear()
    file = project / "models/qwen2_vl/preprocessor_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**settings, "image_mean": [0.5, 0.5, 0.5]}), encoding="utf-8")
    planned()
    assert sum(encoded) == 40, "other settings of the image processor, other pieces"


def made_of(count: int) -> list[bytes]:
    """Pieces of 3,000 bytes that no compression makes smaller."""
    pieces = [Piece(range(number, number + 1), f"{number:032}".ljust(64, "0")) for number in range(count)]
    made = KeptPieces("tokens", {"of": "noise"})
    return [*made.through(pieces, lambda rows: random.Random(rows.start).randbytes(3_000))]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_plan_keeps_no_more_than_all_pieces_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.setenv("FTC_CACHE", str(tmp_path))
    monkeypatch.setattr(kept_pieces, "MOST_BYTES", 20_000)
    with with_jobs(jobs):
        first = made_of(12)
        assert 8_000 < sum(file.stat().st_size for file in kept()) <= 20_000
        assert made_of(12) == first
        assert sum(file.stat().st_size for file in kept()) <= 20_000
    assert len(set(first)) == 12


def test_nothing_is_kept_where_the_disk_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_CACHE", str(tmp_path))
    known = shutil.disk_usage(tmp_path)
    short = 2 * 12 * 3_000  # what twelve pieces take in a stream, twice
    monkeypatch.setattr(shutil, "disk_usage", lambda _: known._replace(free=short))
    assert len({*made_of(12)}) == 12
    assert kept() == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: known._replace(free=short + 5_000))
    made_of(12)
    assert len(kept()) == 12


def test_half_written_pieces_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_CACHE", str(tmp_path))
    made_of(1)
    other = tmp_path / "pieces" / "other"
    other.mkdir()
    old, young = other / ".entry-old", other / ".entry-young"
    for file in (old, young):
        file.write_bytes(b"{")
    os.utime(old, (1, 1))
    KeptPieces("tokens", {"of": "noise"}).trim()
    assert (old.exists(), young.exists(), len(kept())) == (False, True, 1)


def by_each_row(rows: list[dict[str, Any]]) -> list[Piece]:
    """The rule, row by row: a piece ends where a row says so and it is long enough, or where it is as long as any."""
    pieces, begin = list[Piece](), 0
    texts = [row_digests.canonical_text(row).encode() + b"," for row in rows]
    for number, text in enumerate(texts):
        length = number + 1 - begin
        says_so = length >= kept_pieces._SHORTEST and zlib.crc32(text) % kept_pieces._MEAN == 0
        if says_so or length == kept_pieces.LONGEST or number + 1 == len(rows):
            sha256 = hashlib.sha256(b"".join(texts[begin : number + 1])).hexdigest()
            pieces.append(Piece(range(begin, number + 1), sha256))
            begin = number + 1
    return pieces


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(("mean", "longest"), [(3, 7), (50, 6), (1, 5), (4, 4)])
def test_pieces_end_by_their_rows(jobs: int, mean: int, longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_SHORTEST", 3), ("_MEAN", mean), ("LONGEST", longest)):
        monkeypatch.setattr(kept_pieces, name, size)
    monkeypatch.setattr(in_processes, "ROWS_AT_ONCE", 8)
    rows = [{"text": f"row {number}"} for number in range(60)]
    with with_jobs(jobs):
        for count in (0, 1, 2, 6, 7, 8, 33, 60):
            assert [*pieces_of(stored(rows[:count]))] == by_each_row(rows[:count]) == [*pieces_of(rows[:count])]


@pytest.mark.parametrize("jobs", [1, 3])
def test_texts_in_blocks_are_tokenized_in_pieces_too(
    project: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    task = "{kind: pretraining}", "[{path: a.csv, fields: {text: text}}, {path: b.csv, fields: {text: text}}]"
    recipe = RECIPE.replace("{kind: classification}", task[0]).replace("[{path: a.csv}, {path: b.csv}]", task[1])
    (project / "recipe.yaml").write_text(recipe, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(row_tokens, "FEWEST_ROWS", 10_000)
        without = planned()
    assert (encoded, kept()) == ([], [])
    assert planned(jobs) == without
    assert len(kept()) > 10
    encoded.clear()
    write_rows(project / "b.csv", 61, "another text")
    changed = planned(jobs)
    assert changed.data["train"].stream_digest != without.data["train"].stream_digest
    assert sum(encoded) <= 16, "the other pieces are not tokenized again"
    encoded.clear()
    (project / "recipe.yaml").write_text(recipe.replace("max_length: 8", "max_length: 16"), encoding="utf-8")
    assert planned(jobs).data["train"].rows < changed.data["train"].rows, "blocks are longer"
    assert encoded == [], "and made of the same tokens"
