"""What the environment must say before Python starts, in the words of the libraries that read it."""

from __future__ import annotations

from pathlib import Path

import tokenizers

from ftc.spec.storage.processes import PINNED, unpinned


def test_the_switch_of_tokenizers_is_the_one_that_the_library_reads() -> None:
    (name,) = (name for name in PINNED if name.startswith("TOKENIZERS_"))
    (library,) = (file for file in Path(tokenizers.__file__).parent.iterdir() if file.suffix in (".so", ".pyd"))
    assert name.encode() in library.read_bytes()


def test_what_is_pinned_is_not_asked_for_again() -> None:
    assert unpinned(PINNED) == {}
    assert unpinned({**PINNED, "OMP_DYNAMIC": "TRUE"}) == {"OMP_DYNAMIC": "FALSE"}
