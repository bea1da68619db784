"""Each kind of thing in the cache, poisoned: it is made again or gone, and nothing else comes out than before."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.compiler.audit.model_texts import remember_texts, text_part
from ftc.compiler.memory.trace_client import Tracer
from ftc.compiler.resolve.files.digests import recall_tensors, remember_tensors
from ftc.compiler.resolve.files.remote import cached_file
from ftc.compiler.resolve.machine import package_code
from ftc.compiler.resolve.machine.device import keep_calibration, read_calibration, resolve_device
from ftc.compiler.resolve.rows.row_digests import Digests, rows_digest
from ftc.compiler.tokens import row_tokens
from ftc.compiler.tokens.row_index import recall_rows, remember_rows
from ftc.runtime.exports import converter
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.calibration import Calibration, Measurement
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.memory_trace import TraceAnswer, TraceResult
from ftc.spec.storage import cached
from ftc.spec.storage.cached import CACHED, Cached
from ftc.spec.storage.model_files import TensorDigest, content_digest
from tests.e2e.conftest import Ftc, MakeProject, finished_project, in_a_copy
from tests.support.trace_jobs import trace_job

ROOT = Path(__file__).parents[2]
CACHE = "FTC_CACHE"


@dataclass(frozen=True)
class Place:
    """What the kinds are made of."""

    project: MakeProject
    patch: pytest.MonkeyPatch
    scratch: Path

    @property
    def cache(self) -> Path:
        return Path(os.environ[CACHE])


Read = Callable[[], object]
"""Reads what the cache has, and makes it where it has none; None where it can't be made."""


def planned(place: Place) -> Read:
    """A plan, which also counts what a judge would be sent."""
    recipe = place.project("generation") / "recipe.yaml"
    judge = 'judge: {url: "http://127.0.0.1:9/v1", model: large}'
    recipe.write_text(recipe.read_text().replace("samples: 2", f"samples: 2, {judge}"))
    return lambda: api.plan("recipe.yaml").plan.sha256


def tokenized(place: Place) -> Read:
    """Rows whose streams are gone, so that they are made of what is kept of the rows."""
    place.patch.setattr(row_tokens, "FEWEST_ROWS", 1)
    place.project("classification")

    def read() -> object:
        shutil.rmtree(cached.STREAMS.under(place.cache), ignore_errors=True)
        return api.plan("recipe.yaml").plan.sha256

    return read


def of_a_package(place: Place) -> Read:
    def read() -> object:
        package_code._known.clear()  # as another process
        return package_code.code_digest("tokenizers", place.cache)

    return read


def traced(place: Place) -> Read:
    versions: dict[str, str] = dict.fromkeys(("ftc", "torch", "transformers", "peft", "bitsandbytes"), "1")
    answer = TraceResult(
        phases=(PhasePeak(phase="load", peak_bytes=1, components={"weights": 1}),),
        allocated_bytes=1,
        reserved_bytes=2,
        traced_layers=5,
        versions=versions,
    )
    place.patch.setattr(Tracer, "_ask", lambda *_: TraceAnswer(answer))
    return lambda: Tracer(cached.TRACES.under(place.cache), versions=versions).answer(trace_job()).result


def calibrated(place: Place) -> Read:
    here = resolve_device("cpu")
    found = Calibration(
        device=here.name,
        label=here.label,
        threads=1,
        measured_at="2026-05-04T03:02:01Z",
        measured=Measurement(
            torch="2.13.0",
            flops={"float32": 10**11},
            bandwidth=10**10,
            operation_seconds=1e-6,
            import_seconds=2.0,
            context_bytes=None,
            steps=(),
            looks=(),
        ),
    )
    keep_calibration(place.cache, here, found)
    return lambda: read_calibration(place.cache, here, 1)


def indexed(place: Place) -> Read:
    rows = Digests(b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(9)))

    def read() -> object:
        remember_rows(place.cache, rows)
        return recall_rows(place.cache, rows_digest(rows))

    return read


def hashed(place: Place) -> Read:
    tensors = {name: TensorDigest("F32", (2, 3), name * 64) for name in "ab"}

    def read() -> object:
        remember_tensors(place.cache, tensors)
        return recall_tensors(place.cache, content_digest(tensors))

    return read


def texts(place: Place) -> Read:
    before, after = place.scratch / "before" / "config.json", place.scratch / "after" / "config.json"
    for file, text in ((before, '{"a": 1}'), (after, '{"a": 2}')):
        file.parent.mkdir()
        file.write_text(text)
    facts = FileFacts(size=8, sha256=file_digest(before))

    def read() -> object:
        remember_texts(place.cache, before.parent, {"config.json": facts})
        return text_part(after, facts.sha256, place.cache) or None

    return read


def fetched(place: Place) -> Read:
    """Offline, so that it can't be fetched again."""
    content, url = b"text,label\nred,warm\nblue,cold\n", "https://files.example/rows.csv"
    sha256 = hashlib.sha256(content).hexdigest()
    file = cached.REMOTE.under(place.cache) / sha256 / "rows.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)

    def read() -> object:
        found = cached_file(place.cache, url, sha256)
        return found and found.read_bytes()

    return read


def unpacked(place: Place) -> Read:
    source = place.scratch / "source"
    for name in ("LICENSE", "conversion/base.py", "convert_hf_to_gguf.py", "gguf-py/gguf/gguf.py"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(f"the content of {name}")
    archive = place.scratch / "package.tar.gz"
    with tarfile.open(archive, "w:gz") as opened:
        opened.add(source, str(converter._ROOT))
    place.patch.setattr(converter, "_ARCHIVE_SHA256", file_digest(archive))
    place.patch.setattr(converter, "_FILES_SHA256", converter._digest_of(source))
    converter.converter_folder(archive, offline=True)

    def read() -> object:
        try:
            return converter._digest_of(converter.converter_folder(None, offline=True))
        except Refusal:
            return None

    return read


def explained(place: Place) -> Read:
    pytest.importorskip("pygls", reason="pip install 'ftc[lsp]'")
    from ftc.lsp import server

    def read() -> object:
        server._page.cache_clear()  # as another session of an editor
        assert server._page("FTC104")
        return (cached.PAGES.under(place.cache) / "FTC104.md").read_bytes()

    return read


READS: dict[str, tuple[Cached, Callable[[Place], Read]]] = {
    "streams": (cached.STREAMS, planned),
    "judged tokens": (cached.JUDGED_TOKENS, planned),
    "pieces": (cached.PIECES, tokenized),
    "digests": (cached.DIGESTS, planned),
    "packages": (cached.PACKAGES, of_a_package),
    "environments": (cached.ENVIRONMENTS, planned),
    "traces": (cached.TRACES, traced),
    "calibrations": (cached.CALIBRATIONS, calibrated),
    "rows": (cached.ROWS, indexed),
    "tensors": (cached.TENSORS, hashed),
    "texts": (cached.TEXTS, texts),
    "remote": (cached.REMOTE, fetched),
    "converters": (cached.CONVERTERS, unpacked),
    "pages": (cached.PAGES, explained),
}
UNREPEATABLE = {"calibrations", "remote", "converters"}
"""Measuring takes a minute, and fetching a network: these are gone, not made again."""


def files_of(kind: Cached, cache: Path) -> list[Path]:
    return sorted({file for pattern in kind.files for file in cache.glob(pattern) if file.is_file()})


def entry_in(file: Path) -> dict[str, Any] | None:
    """An authenticated entry; None of another file."""
    try:
        entry = json.loads(file.read_bytes())
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "mac" in entry else None


def flipped(file: Path) -> None:
    """Other content of the same size, with the times that it had."""
    state, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def revalued(file: Path) -> None:
    """An entry that says something else, and is as well formed as before."""
    entry = entry_in(file)
    if entry is None:
        flipped(file)
        return
    text = json.dumps(entry["value"])
    number = next(place for place, letter in enumerate(text) if letter.isdigit())
    digit = str((int(text[number]) + 1) % 9 + 1)
    file.write_text(json.dumps({**entry, "value": json.loads(text[:number] + digit + text[number + 1 :])}))


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def of_another(file: Path) -> None:
    """The entry of something else under this one's name."""
    entry = entry_in(file)
    if entry is None:
        file.write_text('{"a": ["F32", [1], "b"]}')
        return
    file.write_text(json.dumps({**entry, "key": {**entry["key"], "kind": "another kind"}}))


POISONS: dict[str, Callable[[Path], object]] = {
    "other content": flipped,
    "other values": revalued,
    "torn": torn,
    "another's entry": of_another,
}


@pytest.fixture
def place(project: MakeProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    """Every file is old enough for its stamp to prove something."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600 * 10**9)
    monkeypatch.setenv("FTC_CACHE_KEY", os.environ["FTC_CACHE_KEY"])
    return Place(project, monkeypatch, tmp_path)


def test_no_kind_is_without_a_poison() -> None:
    assert [kind for kind, _ in READS.values()] == list(CACHED)


@pytest.mark.sample(2)
@pytest.mark.parametrize("how", POISONS)
@pytest.mark.parametrize("name", READS)
def test_a_poisoned_entry_changes_nothing(place: Place, name: str, how: str) -> None:
    kind, prepare = READS[name]
    read = prepare(place)
    before = read()
    assert before is not None
    assert read() == before
    poisoned = files_of(kind, place.cache)
    assert poisoned, f"nothing of this kind was kept under {kind.files}"
    for file in poisoned:
        POISONS[how](file)
    gone = None if name in UNREPEATABLE else before
    allowed = (before, None) if name in ("rows", "tensors", "texts") else (gone,)
    assert read() in allowed
    assert read() == gone, "it is made again"


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", READS)
def test_another_users_cache_changes_nothing(place: Place, name: str) -> None:
    """All of it, with another secret: what is named after its own content still is what its name says."""
    _, prepare = READS[name]
    read = prepare(place)
    before = read()
    place.patch.setenv("FTC_CACHE_KEY", str(place.scratch / "another.key"))
    assert read() == (None if name == "calibrations" else before)


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run, and the cache that it left."""
    return finished_project(tmp_path_factory.mktemp("cached"), models, 2)


def test_every_file_of_the_cache_is_of_a_kind(finished: Path) -> None:
    cache = finished.parent / "cache"
    known = {file for kind in CACHED for file in files_of(kind, cache)}
    assert {file for file in cache.rglob("*") if file.is_file()} == known


def product_files() -> Iterator[Path]:
    folders = [ROOT / name for name in ("spec", "compiler", "runtime")]
    folders += [one for one in (ROOT / "src" / "ftc").iterdir() if one.is_dir() and not one.is_symlink()]
    for folder in folders:
        yield from folder.rglob("*.py")
    yield from (ROOT / "src" / "ftc").glob("*.py")


def joined_to_the_cache(tree: ast.AST) -> list[int]:
    """Lines that go below the cache's folder by something else than a card."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            left = node.left
            is_call = isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id == "cache_folder"
            if is_call or (isinstance(left, ast.Name) and left.id in ("cache", "cache_folder")):
                found.append(node.lineno)
    return found


def test_nothing_goes_below_the_cache_but_by_a_card() -> None:
    assert joined_to_the_cache(ast.parse('cache_folder() / "new"')) == [1], "the check bites"
    texts = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in product_files()}
    found = {name: joined_to_the_cache(ast.parse(text)) for name, text in texts.items() if "cache" in text}
    assert len(found) > 20
    assert [name for name, lines in found.items() if lines] == ["spec/storage/cached.py"]


def renumber(file: Path) -> None:
    """Other numbers and names of rows: what no digest of a stream covers."""
    import pyarrow as pa

    with pa.ipc.open_file(file.read_bytes()) as source:
        table = source.read_all()
    rows = pa.array(list(reversed(table.column("row").to_pylist())), table.schema.field("row").type)
    table = table.set_column(table.column_names.index("row"), "row", rows)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("how", [flipped, torn, renumber])
def test_what_is_done_with_a_finished_run_believes_no_poisoned_stream(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ftc: Ftc, how: Callable[[Path], object]
) -> None:
    """The run is whole, so that nobody accuses it; what needs its rows names the plan that makes them again."""
    in_a_copy(finished, tmp_path, monkeypatch)
    (file,) = Path(os.environ[CACHE]).glob("streams/*/test.arrow")
    how(file)
    (run,) = Path("runs").glob("*/*")
    audited = ftc("audit", run.name)
    assert audited.code == 0, audited.text
    assert "the token streams: not in the cache as they were made" in audited.text
    replayed = ftc("audit", run.name, "--level", "replay", "--steps", "1")
    assert (replayed.code, "FTC522" in replayed.text, "`ftc plan recipe.yaml`" in replayed.text) == (8, True, True)
    evaluated = ftc("eval", run.name)
    assert (evaluated.code, "FTC685" in evaluated.text) == (1, True), evaluated.text
    assert ftc("plan", "recipe.yaml").code == 0
    assert "3 token streams" in ftc("audit", run.name).text


def test_a_replay_without_streams_is_no_verdict(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ftc: Ftc
) -> None:
    in_a_copy(finished, tmp_path, monkeypatch)
    shutil.rmtree(os.environ[CACHE])
    (run,) = Path("runs").glob("*/*")
    replayed = ftc("audit", run.name, "--level", "full")
    assert (replayed.code, "FTC522" in replayed.text) == (8, True), replayed.text
