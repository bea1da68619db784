"""Files that are no plain files, or that a library chokes on: each is named, with what it is and what to do.

A row is a world, the code, and the words that a user must get to read.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pytest

from ftc.cli.main import main
from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.spec.diagnostics import Refusal, Span
from tests.diagnostics.worlds import edit_json, write_plain_model, write_plain_rows
from tests.support.bad_inputs import Case, check, files, recipe, row, rows

NFC, NFD = (unicodedata.normalize(form, "données.csv") for form in ("NFC", "NFD"))


def data(path: str) -> str:
    return recipe(data=f"{{source: {{path: {path}}}}}")


def pipe(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return make


def listening(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        before = Path.cwd()
        os.chdir(folder)  # an address may have a hundred characters
        one.bind("s.csv")
        os.chdir(before)


def link(name: str, target: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return make


def shards(odd: Callable[[str], Callable[[Path], None]]) -> Callable[[Path], None]:
    """A folder of two files, the second of which is odd."""

    def make(folder: Path) -> None:
        (folder / "shards").mkdir(exist_ok=True)
        write_plain_rows(folder / "shards" / "a.csv")
        odd("shards/b.csv")(folder)

    return make


def decomposed(folder: Path) -> None:
    write_plain_rows(folder / NFD)


def tokenizer(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "model" / "tokenizer.json", **changes)


def processor(folder: Path) -> None:
    single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    one = {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": {}}
    tokenizer(post_processor=one)(folder)


def cut_merges(folder: Path) -> None:
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "<s>": 2}, "merges": ["zzqq qqzz"]}
    tokenizer(model=model)(folder)


def odd_offsets(folder: Path) -> None:
    """A table whose texts lie behind the end of the file: followed, they end the process."""
    table = pa.table({"text": ["abcde", "f"], "label": ["a", "b"]})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    offsets = struct.pack("<3i", 0, 5, 6)
    assert sink.getvalue().count(offsets) == 1
    (folder / "rows.arrow").write_bytes(sink.getvalue().replace(offsets, struct.pack("<3i", 0, 2**22, 2**23)))


def halves(folder: Path) -> None:
    template = "{% for m in messages %}{{ m.content }}{{ '\\ud800' }}</s>{% endfor %}"
    (folder / "model" / "chat_template.jinja").write_text(template, encoding="utf-8")


PAIRS = [
    json.dumps({"messages": [{"role": "user", "content": f"q {n}"}, {"role": "assistant", "content": f"a {n}"}]})
    for n in range(24)
]
DAYS = [json.dumps({"text": f"t {n}", "label": "ab"[n % 2], "day": 10**400 if n == 5 else n}) for n in range(20)]
FUTURE = {"type": "FutureSplit", "mode": 3}
CHARSMAP = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
ENDLESS = {"type": "Split", "pattern": {"Regex": "(a|aa)+$"}, "behavior": "Isolated", "invert": False}
REPETITIVE = [f"{'a' * 60}{number}!,{number % 2}" for number in range(30)]
LOADED = ("`tokenizer.json` of the model can't be loaded", "model/tokenizer.json: ")

CASES = [
    Case("pipe", data("p.csv"), "FTC326", ("`p.csv` is a named pipe", "write the content to a file"),
         world=pipe("p.csv")),
    Case("socket", data("s.csv"), "FTC326", ("`s.csv` is a socket",), world=listening),
    Case("link", data("l.csv"), "FTC326", ("a link to `archive/rows.csv`, which isn't there", "delete the link"),
         world=link("l.csv", "archive/rows.csv")),
    Case("pipe in a folder", data("shards"), "FTC326", ("`shards/b.csv` is a named pipe",), world=shards(pipe)),
    Case("link to itself", data("l.csv"), "FTC300", ("the path `l.csv` can't be followed: its links form a loop",),
         world=link("l.csv", "l.csv")),
    Case("unclosed quote", recipe(), "FTC355", ("rows.csv:26:1", "a quote that opens in this row is never closed"),
         world=rows("rows.csv", "text,label", *(f"text {n},{n % 2}" for n in range(24)), '"text 24,0', "text 25,1")),
    Case("link in a folder", data("shards"), "FTC326", ("a link to `gone.csv`, which isn't there",),
         world=shards(lambda name: link(name, "gone.csv"))),
    Case("pipe in a pattern", data("'shards/*.csv'"), "FTC326", ("`shards/b.csv` is a named pipe",),
         world=shards(pipe)),
    Case("long", data("r" * 300 + ".csv"), "FTC300", ("recipe.yaml:4:23", "a name of 304 bytes", "allow 255")),
    Case("address", data("ftp://host/rows.csv"), "FTC346", ("doesn't fetch from", "s3://")),
    Case("database", data("'sqlite:///app.db?query=SELECT 1'"), "FTC346", ("ftc reads no databases", "as CSV")),
    Case("form", data(NFC), "FTC328", ("another Unicode form", "all forms look the same"), 0, world=decomposed),
    Case("model pipe", recipe(), "FTC326", ("`model/config.json` is a named pipe",), world=pipe("model/config.json")),
    Case("model link", recipe(), "FTC326", ("`model/tokenizer_config.json` is a link to `gone`",),
         world=link("model/tokenizer_config.json", "gone")),
    Case("weights pipe", recipe(), "FTC326", ("`model/model.safetensors` is a named pipe",),
         world=pipe("model/model.safetensors")),
    Case("newer", recipe(), "FTC311", (*LOADED, "PreTokenizer"), world=tokenizer(pre_tokenizer=FUTURE)),
    Case("merges", recipe(), "FTC311", LOADED, world=cut_merges),
    Case("charsmap", recipe(), "FTC311", (*LOADED, "precompiled_charsmap"), world=tokenizer(normalizer=CHARSMAP)),
    Case("processor", recipe(), "FTC325", ("fails on the text", "model/tokenizer.json: no entry found for key"),
         world=processor),
    Case("no model", recipe(), "FTC311", ("`tokenizer.json` of the model can't be",), world=tokenizer(model=None)),
    Case("types", recipe(), "FTC311", LOADED,
         world=tokenizer(added_tokens=[{"id": 3, "content": "<s>", "special": 7}])),
    Case("endless", recipe(), "FTC325", ("fails on the text", "retry-limit-in-match"),
         world=files(tokenizer(pre_tokenizer=ENDLESS), rows("rows.csv", "text,label", *REPETITIVE))),
    Case("commas", data("rows.jsonl"), "FTC355", ("a comma ends the line", "rows.jsonl:1:", "1 error"),
         world=rows("rows.jsonl", *(row(f"text {n}", "ab"[n % 2]) + "," for n in range(30)))),
    Case("too large a number", data("rows.jsonl"), "FTC355", ("the number 1e999 is too large",),
         world=rows("rows.jsonl", '{"text": "a", "label": "b", "n": 1e999}')),
    Case("offsets", data("rows.arrow"), "FTC353", ("not a complete .arrow file", "offsets"), world=odd_offsets),
    Case("no text of answers", recipe(task="{kind: question_answering}", data="{source: {path: rows.jsonl}}"), "FTC378",
         ("has no answers",), world=rows("rows.jsonl", '{"question": "a?", "context": "a", "answers": {"a": 1}}')),
    Case("a day of 400 digits", recipe(data="{source: {path: rows.jsonl}, split: {time: day}}"), "FTC380",
         ("has no valid time in 1 of 20 rows", "rows.jsonl:6 contains"), world=rows("rows.jsonl", *DAYS)),
    Case("a column without a name", data("rows.jsonl"), "", (), 0,
         world=rows("rows.jsonl", *(row(f"text {n}", "ab"[n % 2]).replace("{", '{"": 7, ', 1) for n in range(30)))),
    Case("half a character", recipe(), "FTC311",
         ("model/tokenizer_config.json: `\\ud800` in it is half of a surrogate pair",),
         world=lambda folder: edit_json(folder / "model" / "tokenizer_config.json", eos_token="\ud800")),
    Case("half a character written", recipe(task="{kind: chat}", data="{source: {path: rows.jsonl}}"), "FTC339",
         ("a rendered row contains an invalid Unicode character",),
         world=files(rows("rows.jsonl", *PAIRS), halves)),
    Case("dtype", recipe(), "FTC304", ("`model.safetensors` of the model is damaged", "unknown dtype"),
         world=lambda folder: odd_dtype(folder / "model" / "model.safetensors")),
]  # fmt: skip
CASES = [replace(case, verb="plan") for case in CASES]


def odd_dtype(file: Path) -> None:
    head = json.dumps({"a": {"dtype": {}, "shape": [1], "data_offsets": [0, 4]}}).encode()
    file.write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))


@pytest.mark.sample(10)
@pytest.mark.skipif(sys.platform == "win32", reason="no pipes among files")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number)
def test_a_file_that_is_odd_is_named(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    check(case, tmp_path, monkeypatch, capfd)  # `capfd` sees what a native library prints by itself


def swallowed(folder: Path) -> None:
    """Two quotes, fifteen lines apart: line 17 begins with one, line 32 has one in its middle."""
    before, inside, behind = ([f"text {n},{n % 2}" for n in range(*span)] for span in ((15,), (16, 30), (31, 45)))
    rows("rows.csv", "text,label", *before, '"text x,b', *inside, 'text y",1', *behind)(folder)


def written(name: str, write: Callable[[IO[bytes]], object]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with (folder / name).open("wb") as file:
            write(file)

    return make


def nothing_but_zeros(file: IO[bytes]) -> None:
    file.write(b"text,label\n")
    file.truncate(64 * 2**20)  # takes no room on the disk


LARGE = [
    Case("cell", recipe(), "FTC361",
         ("rows.csv: a quote in line 17 makes one cell of the rows in lines 18 to 31", "14 lines", "stray"), 0,
         world=swallowed),
    Case("zeros", recipe(), "FTC355", ("rows.csv:2:1", "a line of more than 16 MiB"),
         world=written("rows.csv", nothing_but_zeros)),
    Case("record", recipe(), "FTC355", ("rows.csv:2:1", "it is longer than 16 MiB"),
         world=written("rows.csv", lambda file: file.write(b'text,label\n"' + b"line, line\n" * 1_700_000))),
    Case("item", data("rows.json"), "FTC355", ("rows.json:2:1", "more than 16 MiB"),
         world=written("rows.json", lambda file: file.write(b'[{"text": "a"},\n{"text": "' + b"a" * 2**24 + b'"}]'))),
    Case("an item without an end", data("rows.json"), "FTC355", ("rows.json:2:10", "Unterminated string"),
         world=written("rows.json", lambda file: file.write(b'[{"text": "a"},\n{"text": "' + b"a" * 2**25))),
    Case("an object without an end", data("rows.json"), "FTC356", ("must be an array of objects",),
         world=written("rows.json", lambda file: file.write(b'{"a": ' * 5000))),
]  # fmt: skip


@pytest.mark.sample(3)
@pytest.mark.parametrize("case", LARGE, ids=lambda case: case.number)
def test_no_file_is_read_without_a_limit(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check(replace(case, verb="plan"), tmp_path, monkeypatch, capsys)


def test_a_file_that_never_fits_is_refused_before_it_is_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ftc.compiler.resolve.rows.large_files.free_bytes", lambda: 2**25)
    hashed: list[str] = []
    digest = DigestCache.file
    monkeypatch.setattr(DigestCache, "file", lambda cache, path: (hashed.append(path.name), digest(cache, path))[1])
    case = Case("", recipe(), "FTC327", ("rows.csv is too large: 0.06 GiB", "has 0.03 GiB left"))
    check(replace(case, verb="plan", world=written("rows.csv", nothing_but_zeros)), tmp_path, monkeypatch, capsys)
    assert "rows.csv" not in hashed


def test_memory_that_runs_out_while_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("ftc.compiler.resolve.rows.separated_rows._records", fail)
    check(Case("", recipe(), "FTC327", ("rows.csv is too large",), verb="plan"), tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_an_odd_byte_far_into_a_file_has_its_place(tmp_path: Path, ends: str) -> None:
    lines = ["text,label", *(f"text é {n},a" for n in range(20_000)), "café"]
    start = ends.join(lines).encode()
    (tmp_path / "rows.csv").write_bytes(b"\xef\xbb\xbf" + start + b"\xff,b" + ends.encode())
    with pytest.raises(Refusal) as refused:
        read_rows(tmp_path / "rows.csv", "rows.csv")
    (found,) = refused.value.diagnostics
    assert found.code == "FTC354"
    assert found.span == Span("rows.csv", 20_002, 5, 20_002, 6)
    assert f"byte 0xff at offset {len(start) + 3:,}" in found.summary
    assert '"café"' in found.notes[0]


def test_an_array_of_many_pieces_is_read_as_json_reads_it(tmp_path: Path) -> None:
    written = [{"text": f"row {n} " + 'é\\n"' * (n % 50), "n": [n, {"a": None}]} for n in range(4000)]
    table = None
    for indent in (None, 1):
        (tmp_path / "rows.json").write_text(json.dumps(written, indent=indent, ensure_ascii=False), encoding="utf-8")
        table = read_rows(tmp_path / "rows.json", "rows.json")
        assert table.rows == written
    text = (tmp_path / "rows.json").read_text(encoding="utf-8").split("\n")
    assert table
    assert table.lines
    assert all(text[line - 1] == " {" for line in table.lines)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits and locales of POSIX")
@pytest.mark.parametrize("world", ["a limit of sizes", "an ASCII locale"])
def test_what_the_system_limits_is_named(tmp_path: Path, world: str) -> None:
    import resource

    (tmp_path / ".ftc").mkdir()
    (tmp_path / "recipe.yaml").write_text(data("rows.csv" if "sizes" in world else NFC), encoding="utf-8")
    write_plain_model(tmp_path / "model")
    write_plain_rows(tmp_path / ("rows.csv" if "sizes" in world else NFC))
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"} if "ASCII" in world else {}

    def limit() -> None:
        if "sizes" in world:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    done = subprocess.run(
        [sys.executable, "-m", "ftc", "plan", "recipe.yaml"],
        cwd=tmp_path,
        env={**os.environ, **ascii_only, "FTC_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        preexec_fn=limit,  # nothing of this process holds a lock
        check=False,
    )
    text = done.stderr.decode()
    if "ASCII" in world:
        assert done.returncode == 0, text
    else:
        assert done.returncode == 1
        assert re.search(r"error: \S+cache\S+: File too large \(a limit on the size of files", text), text
    assert "bug in ftc" not in text


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("a.csv", "te\u202ext,label\na,b\nc,d\n", "FTC607", "invisible character: U+202E"),
        ("a.csv", f"{'a' * 70_000},label\na,b\nc,d\n", "FTC607", "the longest has 65,536"),
        ("https://host/rows.csv", None, "FTC350", "reads files, not addresses (`https://`)"),
        ("s3://bucket/rows.csv", None, "FTC350", "reads files, not addresses (`s3://`)"),
        ("n" * 300 + ".csv", None, "FTC351", "file systems allow 255 bytes a name"),
        ("n" * 300 + "*.csv", None, "FTC398", "no data file is"),
    ],
)
def test_no_recipe_is_begun_that_the_next_command_refuses(
    name: str,
    content: str | None,
    code: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_text(content, encoding="utf-8")
    assert main(["init", "recipe.yaml", "--data", name]) == 3
    text = " ".join(capsys.readouterr().err.split())
    assert f"[{code}]" in text
    assert said in text
    assert not Path("recipe.yaml").exists()


def test_a_recipe_is_no_pipe_and_no_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.yaml")
    assert main(["plan", "pipe.yaml"]) == 3
    assert "`pipe.yaml` is a named pipe" in capsys.readouterr().err
    assert main(["validate", "/dev/zero"]) == 3
    assert "`zero` is a character device" in capsys.readouterr().err


def turns(*texts: str) -> str:
    roles = ("system", "user", "assistant", "user", "assistant")
    return json.dumps({"messages": [{"role": r, "content": t} for r, t in zip(roles, texts, strict=True)]})


TURNS = [turns(f"brief {n}", f"question {n}", f"answer {n}", f"more {n}", f"last {n}") for n in range(24)]
EACH = "{% for m in messages %}<s>{{ m.role }} {{ m.content }}</s>{% endfor %}"
GENERATE = "{% if add_generation_prompt %}<s>assistant {% endif %}"
TEMPLATES = [
    ("no answers", EACH.replace("<s>", "{% if m.role != 'assistant' %}<s>", 1).replace("</s>", "</s>{% endif %}"), 3,
     ("leaves out the assistant turns", "turn 3 (assistant), 5 (assistant) of 5", "learn nothing")),
    ("no system", EACH.replace("messages", "messages[1:]") + GENERATE, 0,
     ("leaves out the system turn", "turn 1 (system) of 5")),
    ("twice", "{{ messages[0].content }}" + EACH + GENERATE, 0, ("writes more than once the system turn",)),
    ("the system last", EACH.replace("messages", "messages[1:]") + "{{ messages[0].content }}" + GENERATE, 3,
     ("moves to another place the user turn",)),
    ("trimmed and in capitals", EACH.replace("m.content", "m.content|trim|upper") + GENERATE, 0, ()),
]  # fmt: skip


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("template", "code", "words"), [row[1:] for row in TEMPLATES], ids=[row[0] for row in TEMPLATES]
)
@pytest.mark.parametrize("is_file", [True, False], ids=["file", "key"])
def test_a_template_that_changes_a_conversation_is_named(
    template: str,
    code: int,
    words: tuple[str, ...],
    is_file: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def world(folder: Path) -> None:
        rows("rows.jsonl", *TURNS)(folder)
        if is_file:
            (folder / "model" / "chat_template.jinja").write_text(template, encoding="utf-8")
        else:
            edit_json(folder / "model" / "tokenizer_config.json", chat_template=template)

    named = "model/chat_template.jinja" if is_file else "`chat_template` in model/tokenizer_config.json"
    said = ("FTC329", (*words, f"compare {named}", "rows.jsonl:")) if words else ("", ())
    chat = recipe(task="{kind: chat}", data="{source: {path: rows.jsonl}, max_length: 64}")
    check(Case("", chat, *said, code, "plan", world), tmp_path, monkeypatch, capsys)


def test_a_pipe_that_is_named_on_the_command_line_is_no_missing_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.csv")
    with pytest.raises(Refusal, match="FTC326"):
        read_rows(tmp_path / "rows.csv", "rows.csv")
