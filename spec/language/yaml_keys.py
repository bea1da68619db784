"""Which words may be keys, and what a wrong one was probably meant to be."""

from __future__ import annotations

import re
import unicodedata

from ftc.spec.diagnostics import Diagnostic, Fix, TextEdit, diagnostic
from ftc.spec.language.text_checks import STAND_IN, described
from ftc.spec.language.yaml_nodes import Scalar

__all__ = ["key_fault", "shown_word"]

_KEY = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST_SHOWN = 64
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_WORD = re.compile(r"[^a-z0-9]+")
# Letters of other alphabets that most fonts draw like a Latin one.
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝьɡɑαονρυκικгпАВЕКМНОРСТХ",
    "aeopcyxijshdqwbgaaovpukikrnABEKMHOPCTX",
)


def key_fault(key: Scalar, path: str | None) -> Diagnostic | None:
    """What is wrong with a key, or None. `path` leads to the mapping that holds it."""
    if _KEY.fullmatch(key.text) or STAND_IN in key.text:  # a stand-in's character was reported before
        return None
    if key.text == "<<" and not key.quoted:
        help = "write the values out, or share them through `extends`"
        return diagnostic("FTC005", "a merge key", key.span, help=help, path=path)
    if not key.text:
        return diagnostic("FTC010", "a key without a name", key.span, help="name the key", path=path)
    return _misspelled(key, path)


def _misspelled(key: Scalar, path: str | None) -> Diagnostic:
    foreign = next((character for character in key.text if not character.isascii()), None)
    suggestion = _plain_form(key.text)
    return diagnostic(
        "FTC010",
        f"`{shown_word(key.text)}` is no key",
        key.span,
        label=f"did you mean `{suggestion}`?" if suggestion else "",
        help=_help(key, suggestion),
        notes=[*([f"it contains {described(foreign)}"] if foreign else []), *_foreign_word(suggestion)],
        fixes=_fixes(key, suggestion),
        path=path,
    )


def _foreign_word(word: str | None) -> list[str]:
    from ftc.spec.language.foreign_keys import KEYS

    section, _, name = KEYS.get(word or "", "").rpartition(".")
    return [f"ftc calls it `{name}`, in `{section}`"] if name else []


def _help(key: Scalar, suggestion: str | None) -> str:
    if suggestion and key.text.replace("-", "_") == suggestion:
        return "write an underscore for each hyphen; `ftc validate --fix` does it"
    if not key.quoted and ":" in key.text:
        return "put a space behind the colon"
    return "keys are lower-case letters, digits and underscores, starting with a letter"


def _fixes(key: Scalar, suggestion: str | None) -> list[Fix]:
    if suggestion is None:
        return []
    # A hyphen can stand for nothing but an underscore. Any other guess is for a person to judge.
    safe = key.text.replace("-", "_") == suggestion
    return [Fix(f"rename the key to `{suggestion}`", (TextEdit(key.span, suggestion),), safe=safe)]


def _plain_form(key: str) -> str | None:
    """The key spelled by the rules, or None where the rules don't lead to one."""
    if len(key) > _LONGEST_SHOWN or ":" in key:
        return None
    latin = unicodedata.normalize("NFKC", key).translate(_LOOKALIKES)
    if not latin.isascii():
        return None
    word = _NOT_WORD.sub("_", _CAMEL.sub("_", latin).lower()).strip("_")
    return word if _KEY.fullmatch(word) else None


def shown_word(word: str) -> str:
    """A word of the file for a message: short, and as escapes where not ASCII, so that nothing looks alike."""
    short = word if len(word) <= _LONGEST_SHOWN else word[:_LONGEST_SHOWN] + "…"
    return "".join(c if (c.isascii() and c.isprintable()) or c == "…" else f"\\u{{{ord(c):x}}}" for c in short)
