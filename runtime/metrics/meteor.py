"""METEOR by nltk's own function, on WordNet as the plan has it. For English: stems and synonyms are English ones."""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.settings import OpenEval, WordnetSettings
from ftc.spec.storage.wordnet import WordNet, find_wordnet, wordnets

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

__all__ = ["data_findings", "meteor_scores", "meteor_tokens", "wordnet_findings"]

_LEXICOGRAPHER_FILES = 45
_LEXNAMES = "".join(f"{number:02d}\tfile{number:02d}\t0\n" for number in range(_LEXICOGRAPHER_FILES)).encode()
"""A stand-in for the file `lexnames`, which Debian's package lacks. METEOR asks for no name in it."""


def meteor_scores(expected: Sequence[str], answers: Sequence[str], wordnet: WordnetSettings) -> list[float]:
    """Each answer's METEOR beside what is expected, from 0 to 1, as nltk computes it by default.

    Raises:
        Refusal: WordNet isn't here as the plan has it (FTC636).
    """
    from nltk.translate.meteor_score import meteor_score

    reader = _reader(wordnet.sha256)
    return [
        float(meteor_score([meteor_tokens(want)], meteor_tokens(got), wordnet=reader))
        for want, got in zip(expected, answers, strict=True)
    ]


def meteor_tokens(text: str) -> list[str]:
    """Words and signs by nltk's `word_tokenize`, each line taken for a sentence.

    Where sentences end within a line, nltk tells by a model that it downloads, which ftc doesn't do; so a full stop
    within a line stays at its word, and only the line's last one stands alone.
    """
    from nltk.tokenize import word_tokenize

    return [token for line in text.splitlines() for token in word_tokenize(line, preserve_line=True)]


def data_findings(asked: OpenEval) -> Iterator[Diagnostic]:
    """A finding where the WordNet that a plan pins isn't on this machine."""
    if asked.wordnet is not None:
        yield from wordnet_findings(asked.wordnet.sha256)


def wordnet_findings(wanted: str) -> Iterator[Diagnostic]:
    """A finding where the plan's WordNet, by its digest, isn't on this machine."""
    others = []
    for found in wordnets():
        if found.sha256 == wanted:
            return
        others.append(f"{found.place} has digest {found.sha256[:12]}")
    summary = f"the plan's WordNet is not here: digest {wanted[:12]}"
    note = "; ".join(others) or "there is none where it is looked for"
    help = "bring it back to where it was, or plan again"
    yield diagnostic("FTC636", summary, notes=note, help=help)


@functools.lru_cache(maxsize=1)
def _reader(sha256: str) -> WordNetCorpusReader:
    """nltk's reader of the WordNet with a digest. Takes two seconds and 100 MiB."""
    found = find_wordnet(sha256)
    if found is None:
        raise Refusal(wordnet_findings(sha256))
    return _read(found)


def _read(found: WordNet) -> Any:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.data import PathPointer, SeekableUnicodeStreamReader

    files = {**found.files, "lexnames": _LEXNAMES}

    class Nowhere(PathPointer):  # type: ignore[misc]
        """The reader's folder, which it has no need of."""

        def open(self, encoding: str | None = None) -> Any:
            raise OSError(encoding)

        def file_size(self) -> Any:
            raise OSError

        def join(self, fileid: str) -> Any:
            raise OSError(fileid)

    class Verified(WordNetCorpusReader):  # type: ignore[misc]
        """Reads the bytes that were hashed, wherever they lay."""

        def open(self, file: str) -> Any:
            return SeekableUnicodeStreamReader(io.BytesIO(files[file]), "utf8")

        def map_wn(self, version: str = "wordnet") -> None:
            """Other releases' synsets by this one's: for other languages alone, and from nltk's own data."""

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The multilingual functions are not available")
        return Verified(Nowhere(), None)
