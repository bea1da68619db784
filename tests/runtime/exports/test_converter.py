"""llama.cpp's converter is the one whose digest is known, or it isn't used."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from ftc.runtime.exports import converter
from ftc.runtime.exports.children import Llama
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive as the package has it, with files of our own, that counts as the pinned one."""
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "source"
    for name in ("LICENSE", "conversion/base.py", "convert_hf_to_gguf.py", "gguf-py/gguf/gguf.py", "src/llama.cpp"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    file = tmp_path / "package.tar.gz"
    with tarfile.open(file, "w:gz") as opened:
        opened.add(source, str(converter._ROOT))
        opened.add(source / "LICENSE", f"{converter._ROOT}/../../escaped")
    monkeypatch.setattr(converter, "_ARCHIVE_SHA256", file_digest(file))
    for name in ("src", "LICENSE"):
        assert (source / name).exists()
    (source / "src" / "llama.cpp").unlink()
    (source / "src").rmdir()
    monkeypatch.setattr(converter, "_FILES_SHA256", converter._digest_of(source))
    return file


def refused(file: Path | None) -> str:
    with pytest.raises(Refusal) as found:
        converter.converter_folder(file, offline=True)
    (one,) = found.value.diagnostics
    assert one.code == "FTC667"
    return " ".join(one.notes)


def test_what_is_needed_is_unpacked_once(archive: Path) -> None:
    folder = converter.converter_folder(archive, offline=True)
    files = {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}
    assert files == {"LICENSE", "conversion/base.py", "convert_hf_to_gguf.py", "gguf-py/gguf/gguf.py"}
    archive.unlink()
    (folder / "torch.pyc").write_bytes(b"code that nobody has the source of")
    assert converter.converter_folder(None, offline=True) == folder
    assert not (folder / "torch.pyc").exists(), "Python would run it"
    (folder / "conversion" / "base.py").write_text("import os")
    assert "nothing is fetched" in refused(None), "an edited file is not run"


def test_another_archive_is_refused(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter, "_FILES_SHA256", "0" * 64)
    assert "its files have another digest" in refused(archive)
    archive.write_bytes(archive.read_bytes() + b"\0")
    assert "another digest than" in refused(archive)


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as found:
        Llama(tmp_path / "none.gguf", tmp_path, 1, 16).tokenize(["text"])
    (one,) = found.value.diagnostics
    assert (one.code, "`none.gguf`" in one.summary, bool(one.notes)) == ("FTC668", True, True)
