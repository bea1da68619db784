"""A WordNet of a handful of synsets, in WordNet's own format, so that METEOR is tested without the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["SYNSETS", "write_wordnet"]

SYNSETS: dict[str, tuple[tuple[str, ...], ...]] = {
    "noun": (("car", "auto", "motor_car"), ("man", "guy"), ("dog", "hound"), ("guy", "cable")),
    "verb": (("buy", "purchase"), ("say", "tell", "state")),
    "adj": (("large", "big"), ("quick", "fast")),
    "adv": (("quickly", "rapidly"),),
}
_LETTERS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
_EXCEPTIONS = {"noun": "men man\n", "verb": "bought buy\nsaid say\n", "adj": "", "adv": ""}
_HEADER = "  1 This software and database is a stand-in. WordNet 3.0 Copyright by nobody.\n"


def write_wordnet(folder: Path, synsets: Mapping[str, Sequence[Sequence[str]]] = SYNSETS) -> Path:
    """Writes the files, those that METEOR has no need of included, and gives the folder."""
    folder.mkdir(parents=True)
    senses: list[str] = []
    for part, letter in _LETTERS.items():
        data, index = _HEADER, dict[str, list[int]]()
        for words in synsets.get(part, ()):
            offset = len(data)
            named = " ".join(f"{word} 0" for word in words)
            data += f"{offset:08d} 00 {letter} {len(words):02x} {named} 000 | as said\n"
            for word in words:
                index.setdefault(word, []).append(offset)
                senses.append(f"{word}%{' nvar'.index(letter)}:00:00:: {offset:08d} 1 0\n")
        lines = [
            f"{word} {letter} {len(at)} 0 {len(at)} 0 {' '.join(f'{offset:08d}' for offset in at)}  \n"
            for word, at in sorted(index.items())
        ]
        (folder / f"data.{part}").write_text(data, encoding="ascii")
        (folder / f"index.{part}").write_text(_HEADER + "".join(lines), encoding="ascii")
        (folder / f"{part}.exc").write_text(_EXCEPTIONS[part], encoding="ascii")
    (folder / "index.sense").write_text("".join(sorted(senses)), encoding="ascii")
    (folder / "lexnames").write_text("00\tall\t0\n", encoding="ascii")
    return folder
