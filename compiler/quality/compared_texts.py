"""What is found in the text of each row, and what texts are compared by: in pieces, which the cache keeps.

Of a changed file only the changed pieces are read again. What takes all texts together, such as which of their runs of
words are common and which texts are near duplicates, is found again from what the pieces give.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import partial

from ftc.compiler.quality.near import TEXTS_AT_ONCE, Likeness, ReadTexts, find_likeness
from ftc.compiler.quality.seen import SeenTexts, inspect_texts
from ftc.compiler.quality.sensitive import Presidio
from ftc.compiler.quality.texts import RowTexts
from ftc.compiler.resolve.rows.in_processes import frame, ranges, spread, unframed
from ftc.compiler.stages import advance, begin_stage
from ftc.compiler.tokens.kept_pieces import FEWEST_ROWS, KeptPieces, pieces_of
from ftc.spec.sections.data import QualityRules
from ftc.spec.version import VERSION

__all__ = ["compare_texts"]

_FORMAT = 1
"""Raised when the same texts would give something else."""


def compare_texts(
    texts: Mapping[str, RowTexts], rules: QualityRules, presidio: Presidio | None
) -> tuple[Likeness, dict[str, SeenTexts]]:
    """Which texts are alike, and what was found in each that holds something, in one pass.

    Args:
        texts: Those of each file, by its use.
        rules: What is looked for.
        presidio: Its recognizers, where the recipe asks for them.
    """
    begin_stage("comparing", sum(map(len, texts.values())))
    seen = {use: SeenTexts() for use in texts}

    def received() -> Iterator[ReadTexts]:
        for use, some in texts.items():
            for piece, data in _read(some, rules, presidio):
                (found, gave_up, counts), (digests, runs) = unframed(data)
                for row, rules_, damages in found:
                    seen[use].add(piece.start + row, rules_, damages)
                if presidio is not None and gave_up:
                    presidio.timed_out.happened = True
                advance("comparing", len(piece))
                yield ReadTexts(digests, runs, counts)

    return find_likeness(received(), {use: len(some) for use, some in texts.items()}, rules.similarity), seen


def _read(texts: RowTexts, rules: QualityRules, presidio: Presidio | None) -> Iterator[tuple[range, bytes]]:
    """Each piece of the texts with what was found in it, from the cache or read now in several processes."""
    read = partial(_found_in, texts, by_runs=rules.similarity is not None, presidio=presidio)
    if len(texts) < FEWEST_ROWS:
        pieces = ranges(len(texts), TEXTS_AT_ONCE)
        work = spread(len(pieces), lambda which: (read(pieces[number]) for number in which))
        yield from zip(pieces, work, strict=True)
        return
    kept = KeptPieces(
        "texts",
        {
            "kind": "what is found in texts",
            "format": _FORMAT,
            "ftc": VERSION,
            "columns": [*texts.columns],
            "by_runs": rules.similarity is not None,
            "presidio": rules.presidio.to_json() if rules.presidio else None,
            "unicode": unicodedata.unidata_version,
            "releases": presidio.releases() if presidio else None,
        },
    )
    some = [*pieces_of(texts.rows)]
    yield from zip((one.rows for one in some), kept.through(some, read, keeps=_is_whole), strict=True)
    kept.finish()


def _found_in(texts: RowTexts, piece: range, *, by_runs: bool, presidio: Presidio | None) -> bytes:
    """What is found in some texts, counted from the first of them."""
    some = texts[piece.start : piece.stop]
    found = [(row, *one) for row, one in inspect_texts(some, presidio)]
    gave_up = presidio is not None and presidio.timed_out.happened
    digests, runs, counts = ReadTexts.of(some, by_runs=by_runs)
    return frame([found, gave_up, counts], [digests, runs])


def _is_whole(data: bytes) -> bool:
    """Whether nothing was given up, which another plan may find."""
    (_, gave_up, _), _ = unframed(data)
    return not gave_up
