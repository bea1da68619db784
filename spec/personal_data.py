"""Personal data and secrets in text, by ftc's own rules.

A rule is a pattern of linear cost behind a cheap test, and a proof where the thing has one: check digits of cards and
account numbers. Names, addresses and whatever else takes a language model to see are not looked for.

Rows are checked as they are read, and once more where a page shows them. There the text has been through a tokenizer,
which may set spaces around `@` and dots; `in_decoded` finds these too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ftc.spec.language.text_checks import secrets_in

__all__ = ["PERSONAL", "SECRETS", "Rule", "Run", "in_decoded", "matching", "passes_luhn", "passes_mod_97"]

# Chinese and Japanese set no space around an address or a number, so that what stands beside it is looked at as ASCII.
_EMAIL = re.compile(
    r"(?:(?<![\w.+-])[\w.+-]{1,64}|(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.+-]{1,64})"
    r"@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?a:\b)"
)
_PHONE = re.compile(
    r"(?<![A-Za-z0-9_+.-])(?:"
    r"\+\d[\d .()/-]{6,24}"  # +49 (0)30 123456
    r"|\(?\d{3}\)?[ .-]\d{3}[.-]\d{4}(?![A-Za-z0-9_-]|\.\d)"  # (555) 123-4567
    r"|(?<!\d )0\d{2,4}[ /-]\d{3,4}[ -]?\d{3,5}(?![A-Za-z0-9_-]| \d|\.\d)"  # 030/1234567
    r"|0\d{9,10}(?![A-Za-z0-9_-]|\.\d)"  # 07123456789
    r")"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![A-Za-z0-9_.-])[2-6](?:[ -]?\d){12,18}(?![A-Za-z0-9_-]|\.\d)")
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:AIza[A-Za-z0-9_-]{35}|[rs]k_live_[A-Za-z0-9]{16,}|npm_[A-Za-z0-9]{36}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})(?![A-Za-z0-9])"
)
_IN_URL = "a user name or password in a URL"
_FEWEST_PHONE_DIGITS, _MOST_PHONE_DIGITS = 8, 15


class Run(NamedTuple):
    """Characters of one kind behind one another."""

    kind: str
    """The kind, as within the brackets of a regular expression; it has no white space."""
    length: int
    """How many there are at least."""

    def is_in(self, text: str) -> bool:
        """Whether a text holds such a run."""
        if self.length > _SHORT and max(map(len, text.split()), default=0) < self.length:
            return False  # cheaper than the pattern, which most texts lack
        return re.search(f"[{self.kind}]{{{self.length}}}", text) is not None


_SHORT = 8


class Rule(NamedTuple):
    """One thing that is looked for."""

    words: str
    """What it finds, in the plural."""
    needs: str | Run
    """What a text has to hold before it is looked through: some characters as they stand, or a run."""
    is_in: Callable[[str], bool]
    """Whether a text that holds what is needed holds one."""


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit that ISO/IEC 7812 gives to the others."""
    values = [int(digit) for digit in reversed(digits)]
    doubled = sum(sum(divmod(2 * value, 10)) for value in values[1::2])
    return (sum(values[::2]) + doubled) % 10 == 0


def passes_mod_97(account: str) -> bool:
    """Whether an account number has the check digits of ISO 13616."""
    moved = account[4:] + account[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def _email(text: str) -> bool:
    return _EMAIL.search(text) is not None


def _phone(text: str) -> bool:
    rest = _CARD.sub(" ", _IBAN.sub(" ", text))  # digits of an account are no telephone number
    return any(_FEWEST_PHONE_DIGITS <= len(_digits(match[0])) <= _MOST_PHONE_DIGITS for match in _PHONE.finditer(rest))


def _iban(text: str) -> bool:
    accounts = (match[0].replace(" ", "") for match in _IBAN.finditer(text))
    return any(15 <= len(account) <= 34 and passes_mod_97(account) for account in accounts)


def _card(text: str) -> bool:
    cards = map(_digits, _CARD.findall(_IBAN.sub(" ", text)))
    return any(passes_luhn(digits) and len(set(digits)) > 1 for digits in cards)


def _digits(text: str) -> str:
    return "".join(character for character in text if "0" <= character <= "9")


def _api_key(text: str) -> bool:
    return bool(_TOKENS.search(text) or {*secrets_in(text)} - {_IN_URL})


_DIGITS = Run(r"\d", 3)
_LONG_WORD = Run("A-Za-z0-9_-", 19)  # every kind of key has one
PERSONAL = (
    Rule("e-mail addresses", "@", _email),
    Rule("telephone numbers", _DIGITS, _phone),
    Rule("IBANs", _DIGITS, _iban),
    Rule("credit card numbers", _DIGITS, _card),
)
"""What may belong to a person."""
SECRETS = (
    Rule("API keys and tokens", _LONG_WORD, _api_key),
    Rule("passwords in URLs", "://", lambda text: _IN_URL in secrets_in(text)),
    Rule("private keys", "PRIVATE KEY", lambda text: _PRIVATE_KEY.search(text) is not None),
)
"""What opens a door."""

_NEEDED = tuple(dict.fromkeys(rule.needs for rule in (*PERSONAL, *SECRETS)))


def matching(text: str) -> Iterator[str]:
    """Words of each rule, personal or secret, that a text matches."""
    held = [one for one in _NEEDED if (one in text if isinstance(one, str) else one.is_in(text))]
    for rule in (*PERSONAL, *SECRETS):
        if rule.needs in held and rule.is_in(text):
            yield rule.words


_PLUS = re.compile(r"\+\s+(?=\d)")
_SPACED = re.compile(r"\s*([@.+/():_-])\s*")


def in_decoded(text: str) -> tuple[str, ...]:
    """Words of each rule that a text matches as it stands, or with the spaces taken out around signs."""
    joined, numbers = _SPACED.sub(r"\1", text), _PLUS.sub("+", text)  # `call+49…`, without its blank, is no number
    return tuple(dict.fromkeys((*matching(text), *matching(joined), *matching(numbers))))
