"""Images of rows: every way to write one, and every fault of a file as a finding with its place."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.quality.texts import row_text
from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.image_processor import sized
from ftc.compiler.resolve.models.model_config import read_config
from ftc.compiler.resolve.rows.canonical_rows import write_canonical
from ftc.compiler.resolve.rows.columns import Columns, task_columns
from ftc.compiler.resolve.rows.images import ImageStore, Picture, image_faults, read_images, without_reader
from ftc.compiler.resolve.rows.reading import Reading
from ftc.compiler.resolve.rows.row_checks import check_values
from ftc.compiler.resolve.rows.table import Home, Table
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.spec.diagnostics import Diagnostic, Refusal, Severity
from ftc.spec.storage.images import MOST_PIXELS, BadImage, decode_image
from ftc.spec.tasks.chat import Chat
from ftc.spec.tasks.generation import Generation
from tests.support.vision_models import write_qwen

Image = pytest.importorskip("PIL.Image")

ASKED = {"prompt": "What is it?", "completion": "A square."}
BESIDE = Columns({"image": "image", "prompt": "prompt", "completion": "completion"})


def png(color: str | int = "red", size: tuple[int, int] = (6, 4), mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, color).save(file, "PNG")
    return file.getvalue()


def looked_at(folder: Path, *values: Any) -> tuple[ImageStore, list[Diagnostic], list[dict[str, Any]]]:
    rows = [{"image": value, **ASKED} for value in values]
    lines = list(range(1, len(rows) + 1))
    table = Table("data/rows.jsonl", ("image", "prompt", "completion"), rows, lines, home=Home(folder / "data", folder))
    write_canonical(Generation(kind="generation"), BESIDE, table)
    assert check_values(Generation(kind="generation"), BESIDE, table) == []
    return *read_images(BESIDE, {"rows": table}), rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_bytes(png())
    return tmp_path


def test_an_image_is_named_by_its_bytes_however_it_is_written(folder: Path) -> None:
    data = base64.b64encode(png()).decode()
    (folder / "data" / "copy.png").write_bytes(png())
    ways: list[Any] = [
        "a.png",
        "../data/copy.png",
        {"path": "a.png"},
        {"bytes": f"data:;base64,{data}", "path": None},
        {"url": f"data:image/png;base64,{data}"},
        ["a.png", "copy.png"],
    ]
    store, found, rows = looked_at(folder, *ways, '["a.png", "../data/copy.png"]', "['a.png']", [], "[]")
    assert found == []
    (digest,) = store.pictures
    found_in = [row["image"] for row in rows]
    assert found_in == [*[[digest]] * 5, [digest, digest], [digest, digest], [digest], [], []]
    assert store.pictures[digest] == (6, 4)
    assert sorted(store.files) == ["data/a.png", "data/copy.png"], "relative to the project"
    assert [data for _, data in store.contents()] == [png()]


def test_an_empty_cell_for_an_image_is_named_with_its_row(folder: Path) -> None:
    """Rows without an image on purpose, beside rows with images, have an empty list."""
    _, (found,), rows = looked_at(folder, "a.png", "", [], None)
    assert (found.code, found.severity) == ("FTC492", Severity.WARNING)
    assert found.summary == "column `image` is empty in 2 of 4 rows, which are read as text alone"
    assert found.notes == ("data/rows.jsonl:2, 4",)
    assert [row["image"] for row in rows][1:] == [[], [], []]
    (folder / "data" / "rows.csv").write_text("image,prompt,completion\na.png,Who?,Me.\n,What?,This.\n", "utf-8")
    table = replace(read_rows(folder / "data" / "rows.csv", "rows.csv"), home=Home(folder / "data", folder))
    write_canonical(Generation(kind="generation"), BESIDE, table)
    _, (found,) = read_images(BESIDE, {"rows": table})
    assert found.notes == ("rows.csv:3",)


def turned() -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4), "red").save(file, "JPEG", exif=exif)
    return file.getvalue()


def animated() -> bytes:
    file = io.BytesIO()
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    first.save(file, "GIF", save_all=True, append_images=[second])
    return file.getvalue()


def cmyk() -> bytes:
    file = io.BytesIO()
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(file, "JPEG")
    return file.getvalue()


def bomb() -> bytes:
    """A PNG whose header promises more pixels than any model reads; the rest is never looked at."""
    small = png(size=(1, 1), mode="L", color=0)
    import struct
    import zlib

    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


FAULTS = {
    "no image": ("FTC121", b"<svg/>"),
    "empty": ("FTC121", b""),
    "cut off": ("FTC121", png(size=(64, 64), color="#123456")[:-30]),
    "a program": ("FTC121", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n"),
    "bomb": ("FTC122", bomb()),
    "16 bits": ("FTC123", png(mode="I;16", color=0)),
    "animated": ("FTC124", animated()),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_file_that_is_no_usable_image_is_named_with_its_row(folder: Path, kind: str) -> None:
    code, data = FAULTS[kind]
    (folder / "data" / "odd.png").write_bytes(data)
    store, (found,), rows = looked_at(folder, "a.png", "odd.png", "odd.png")
    assert (found.code, found.span and found.span.line, found.rows) == (
        code,
        2,
        ("data/rows.jsonl:2", "data/rows.jsonl:3"),
    )
    assert "odd.png" in found.summary
    assert found.help
    assert rows[1]["image"] == ["odd.png"]
    assert len(store.pictures) == 1


@pytest.mark.parametrize("body", ["é", "a", "$$$$"])
def test_a_data_uri_that_is_no_base64_is_named(folder: Path, body: str) -> None:
    _, (found,), _ = looked_at(folder, f"data:image/png;base64,{body}")
    assert found.code == "FTC121"
    assert "not valid base64" in found.summary


def test_files_go_through_the_one_door(folder: Path) -> None:
    outside = folder.parent / f"{folder.name}-outside.png"
    outside.write_bytes(png())
    (folder / "data" / "link.png").symlink_to(outside)
    os.mkfifo(folder / "data" / "pipe.png")
    (folder / "data" / "folder.png").mkdir()
    ways = ["link.png", "/etc/passwd", "../../x.png", "https://example.org/x.png", "pipe.png", "folder.png", "gone.png"]
    _, found, _ = looked_at(folder, *ways)
    assert {one.code: len(one.rows) for one in found} == {"FTC300": 4, "FTC121": 2, "FTC120": 1}
    (gone,) = (one for one in found if one.code == "FTC120")
    assert "relative to the data file" in str(gone.help)


def test_an_image_that_is_gone_when_it_is_read_again_is_named(folder: Path) -> None:
    store, _, _ = looked_at(folder, "a.png")
    (folder / "data" / "a.png").unlink()
    with pytest.raises(Refusal, match="FTC120"):
        list(store.contents())


def test_images_are_upright_and_in_three_channels() -> None:
    assert decode_image(turned()).size == (4, 6)
    assert decode_image(cmyk()).mode == "RGB"
    assert decode_image(png(mode="LA")).mode == "RGB"
    with pytest.raises(BadImage, match=f"{MOST_PIXELS:,}"):
        decode_image(bomb())


def conversation(*content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}, {"role": "assistant", "content": "A square."}]


TEXT = {"type": "text", "text": "What is it?"}
MESSAGES: list[tuple[Any, Any]] = [
    (conversation({"type": "image", "image": "a.png"}, TEXT), None),
    (conversation({"type": "image", "path": "a.png"}, TEXT), None),
    (conversation({"type": "image_url", "image_url": {"url": "a.png"}}, TEXT), None),
    (conversation({"type": "image"}, TEXT), ["a.png"]),
    ([{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A square."}], "a.png"),
]


@pytest.mark.parametrize(("messages", "beside"), MESSAGES)
def test_parts_of_messages_take_one_form(folder: Path, messages: Any, beside: Any) -> None:
    row = {"messages": messages, **({} if beside is None else {"image": beside})}
    table = Table("rows.jsonl", tuple(row), [row], [1], home=Home(folder / "data", folder))
    columns = task_columns(Chat(kind="chat"), {}, table.columns, reads_images=True)
    write_canonical(Chat(kind="chat"), columns, table)
    assert check_values(Chat(kind="chat"), columns, table) == []
    store, found = read_images(columns, {"rows": table})
    assert found == []
    (digest,) = store.pictures
    assert row["messages"][0]["content"] == [{"type": "image", "image": digest}, TEXT]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"type": "image"}], "without a path"),
        ([{"type": "video", "video": "a.mp4"}], "`video`"),
        ([{"type": "text"}], "not text"),
    ],
)
def test_parts_that_are_no_text_and_no_image_are_named(content: Any, words: str) -> None:
    table = Table("rows.jsonl", ("messages",), [{"messages": conversation(*content)}], [1])
    columns = Columns({"messages": "messages"})
    write_canonical(Chat(kind="chat"), columns, table)
    (found,) = check_values(Chat(kind="chat"), columns, table)
    assert found.code in ("FTC363", "FTC365")
    assert words in found.summary


@pytest.mark.parametrize(
    ("said", "beside", "words"),
    [
        ("What is it?", "a.png", "place"),
        ("<image> What is it?", ["a.png", "b.png"], "place"),
        ("What?", 5, "not an image's path"),
    ],
)
def test_no_image_beside_a_conversation_is_left_out_in_silence(said: str, beside: Any, words: str) -> None:
    asked, answer = {"role": "user", "content": said}, {"role": "assistant", "content": "A square."}
    table = Table("rows.jsonl", ("messages", "image"), [{"messages": [asked, answer], "image": beside}], [1])
    columns = task_columns(Chat(kind="chat"), {}, table.columns, reads_images=True)
    write_canonical(Chat(kind="chat"), columns, table)
    (found,) = check_values(Chat(kind="chat"), columns, table)
    assert found.code == "FTC363"
    assert words in found.summary


def test_parts_of_text_alone_are_text() -> None:
    row = {"messages": conversation(TEXT, {"type": "text", "text": " Say it."})}
    write_canonical(Chat(kind="chat"), Columns({"messages": "messages"}), Table("rows.jsonl", ("messages",), [row]))
    assert row["messages"][0]["content"] == "What is it? Say it."


def test_rows_with_another_image_are_another_text(folder: Path) -> None:
    (folder / "data" / "b.png").write_bytes(png("blue"))
    _, _, (one, other) = looked_at(folder, "a.png", "b.png")
    assert row_text(one, BESIDE) != row_text(other, BESIDE)


def test_an_image_of_a_shape_that_the_model_does_not_take_costs_its_own_row(folder: Path) -> None:
    """FTC128: a strip beside an image of a usual shape, for a model whose images keep their shape."""
    pytest.importorskip("torch")
    write_qwen(folder / "qwen")
    vision = sized(read_config(read_json_object(folder / "qwen" / "config.json", None)).vision, folder / "qwen")
    assert vision is not None
    (folder / "data" / "strip.png").write_bytes(png(size=(402, 2)))
    rows = [{"image": [name], **ASKED} for name in ("strip.png", "a.png", "strip.png")]
    table = Table("rows.jsonl", ("image", *ASKED), rows, [1, 2, 3], home=Home(folder / "data", folder))
    store = ImageStore(vision)
    faults = image_faults(BESIDE, table, store)
    assert {number: fault.code for number, fault in faults.items()} == {0: "FTC128", 2: "FTC128"}
    assert "`strip.png` has 402 x 2 pixels" in faults[0].summary
    assert [*store.pictures.values()] == [Picture(6, 4)]
    assert image_faults(BESIDE, replace(table, rows=[{"image": ["strip.png"], **ASKED}]), ImageStore()) == {}


def test_images_in_a_parquet_file(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {"image": pa.array([{"bytes": png(), "path": "a.png"}], kind), **{k: [v] for k, v in ASKED.items()}}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    assert "image" not in read_rows(tmp_path / "rows.parquet", "rows.parquet").columns, "to a text model it is nothing"
    table = read_rows(tmp_path / "rows.parquet", "rows.parquet", reading=Reading(images=("image",)))
    write_canonical(Generation(kind="generation"), BESIDE, table)
    store, found = read_images(BESIDE, {"rows": table})
    assert (found, [data for _, data in store.contents()]) == ([], [png()])


def test_a_model_that_reads_text_alone_refuses_images(folder: Path) -> None:
    columns = task_columns(Generation(kind="generation"), {}, ("image", *ASKED))
    assert "image" not in columns.by_part, "a column of that name may be anything"
    columns = task_columns(Generation(kind="generation"), {"image": "photo"}, ("photo", *ASKED))
    table = Table("rows.jsonl", ("photo", *ASKED), [{"photo": ["a.png"], **ASKED}], [1])
    (found,) = without_reader(columns, {"rows": table})
    assert found.code == "FTC125"


def test_without_pillow_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from ftc.spec.diagnostics import Refusal

    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(Refusal) as refused:
        looked_at(folder, "a.png")
    (found,) = refused.value.diagnostics
    assert found.code == "FTC129"
    assert "ftc[vision]" in found.help[0]
