"""The archive in which a service sends weights: read as data, and nothing in it is believed but its bytes."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath

from ftc.spec.storage.atomic_write import building_folder
from ftc.verbs.hosted.service import ServiceFault

__all__ = ["unpack"]

_MOST_FILES = 2000
_PIECE = 1 << 20
_COMPRESSIONS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip"}
"""By the first bytes."""


def unpack(archive: Path, kind: str, target: Path) -> None:
    """Writes the regular files of a tar archive, compressed by zstd or gzip or plain, into a new folder.

    Args:
        archive: The file.
        kind: Its media type, for the words of a fault.
        target: The folder, which is there whole or not at all.

    Raises:
        ServiceFault: It is no such archive, or a name in it leads out of the folder.
    """
    import pyarrow as pa

    with archive.open("rb") as file:
        begin = file.read(4)
    packed = next((name for magic, name in _COMPRESSIONS.items() if begin.startswith(magic)), None)
    room = shutil.disk_usage(archive.parent).free
    try:
        with (
            building_folder(target) as folder,
            pa.OSFile(str(archive)) as source,
            pa.CompressedInputStream(source, packed) if packed else source as stream,
            tarfile.open(fileobj=stream, mode="r|") as listed,
        ):
            count = 0
            for member in listed:
                if member.isdir():
                    continue
                path = PurePosixPath(member.name)
                count += 1
                if not member.isreg() or path.is_absolute() or ".." in path.parts or "\\" in member.name:
                    raise ServiceFault("the archive holds something else than files inside of its folder")
                room -= member.size
                if room < 0 or count > _MOST_FILES:
                    raise ServiceFault("the archive holds more than this disk, or more files than weights have")
                place = folder.joinpath(*path.parts)
                place.parent.mkdir(parents=True, exist_ok=True)
                content = listed.extractfile(member)
                assert content is not None, "a regular file has content"
                with place.open("xb") as out:
                    shutil.copyfileobj(content, out, _PIECE)
            if not count:
                raise ServiceFault("the archive is empty")
    except (tarfile.TarError, pa.ArrowException, EOFError, FileExistsError, NotADirectoryError, ValueError) as error:
        raise ServiceFault(f"the archive ({kind[:40] or 'of no stated type'}) can't be read") from error
