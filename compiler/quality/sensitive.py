"""Personal data and secrets in text: by ftc's own rules, and by presidio's. They are counted and never shown.

A rule is a pattern of linear cost behind a cheap test, and a proof where the thing has one: check digits of cards and
account numbers. Names, addresses and whatever else takes a language model to see are not looked for.

Of presidio's recognizers only those that need no language model are taken, so nothing is downloaded. Presidio
would fetch a list of domain suffixes for e-mail addresses; the list that its own dependency ships is used instead.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.quality import PresidioUse
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.text_checks import secrets_in
from ftc.spec.sections.data import PresidioRules

__all__ = [
    "PERSONAL",
    "SECRETS",
    "Presidio",
    "Rule",
    "load_presidio",
    "matching",
    "missing_presidio",
    "passes_luhn",
    "passes_mod_97",
]

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_PHONE = re.compile(
    r"(?<![\w+.-])(?:"
    r"\+\d[\d .()/-]{6,24}"  # +49 (0)30 123456
    r"|\(?\d{3}\)?[ .-]\d{3}[.-]\d{4}(?![\w-]|\.\d)"  # (555) 123-4567
    r"|(?<!\d )0\d{2,4}[ /-]\d{3,4}[ -]?\d{3,5}(?![\w-]| \d|\.\d)"  # 030/1234567
    r"|0\d{9,10}(?![\w-]|\.\d)"  # 07123456789
    r")"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\w.-])[2-6](?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:AIza[A-Za-z0-9_-]{35}|[rs]k_live_[A-Za-z0-9]{16,}|npm_[A-Za-z0-9]{36}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})(?![A-Za-z0-9])"
)
_LONG_WORD = re.compile(r"[A-Za-z0-9_-]{19}")  # every kind of key has one
_IN_URL = "a user name or password in a URL"
_FEWEST_PHONE_DIGITS, _MOST_PHONE_DIGITS = 8, 15


class Rule(NamedTuple):
    """One thing that is looked for."""

    words: str
    """What it finds, in the plural."""
    is_in: Callable[[str], bool]
    """Whether a text holds one."""


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
    return "@" in text and _EMAIL.search(text) is not None


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
    return bool(_LONG_WORD.search(text)) and bool(_TOKENS.search(text) or {*secrets_in(text)} - {_IN_URL})


PERSONAL = (
    Rule("e-mail addresses", _email),
    Rule("telephone numbers", _phone),
    Rule("IBANs", _iban),
    Rule("credit card numbers", _card),
)
"""What may belong to a person."""
SECRETS = (
    Rule("API keys and tokens", _api_key),
    Rule("passwords in URLs", lambda text: "://" in text and _IN_URL in secrets_in(text)),
    Rule("private keys", lambda text: "PRIVATE KEY" in text and _PRIVATE_KEY.search(text) is not None),
)
"""What opens a door."""

_DIGITS = re.compile(r"\d{3}")


def matching(text: str) -> Iterator[str]:
    """Words of each rule, personal or secret, that a text matches."""
    has_digits = _DIGITS.search(text) is not None
    for rule in PERSONAL:
        if (rule.is_in is _email or has_digits) and rule.is_in(text):
            yield rule.words
    for rule in SECRETS:
        if rule.is_in(text):
            yield rule.words


_NAME_NOBODY = frozenset(("DATE_TIME", "URL", "UUID"))
"""Kinds that presidio knows and that are no personal data by themselves."""
_PREFIX = "presidio's "


class _TimedOut(logging.Filter):
    """Notes that presidio gave up a pattern on a row, which it tells by a log line alone."""

    happened = False

    def filter(self, record: logging.LogRecord) -> bool:
        self.happened = self.happened or "timed out" in str(record.msg)
        return False


@dataclass(frozen=True, slots=True)
class Presidio:
    """Recognizers that are ready.

    Attributes:
        version: Presidio's release.
        recognizers: One of each class; each has one kind of thing that it finds.
        least_score: What is surer than this counts.
        timed_out: Whether a pattern was given up on some row.
    """

    version: str
    recognizers: tuple[Any, ...]
    least_score: float
    timed_out: _TimedOut

    def matching(self, text: str) -> Iterator[str]:
        """Words of each rule that a text matches."""
        for recognizer in self.recognizers:
            kinds = recognizer.supported_entities
            found = recognizer.analyze(text=text, entities=kinds, nlp_artifacts=None) or ()
            if any(one.score >= self.least_score for one in found):
                yield f"{_PREFIX}{kinds[0]}"

    def use(self) -> PresidioUse:
        """What was looked for, for the report."""
        return PresidioUse(
            version=self.version, kinds=tuple(sorted(one.supported_entities[0] for one in self.recognizers))
        )

    def not_checked(self) -> Iterator[str]:
        """What presidio would do with a language model, and what it gave up."""
        yield (
            "names and addresses of people: presidio's patterns can't find them without a language model, and none "
            "was loaded"
        )
        if self.timed_out.happened:
            yield "personal data: presidio stopped a pattern on one row, because it took longer than its limit"


def missing_presidio(rules: PresidioRules | None) -> Iterator[Diagnostic]:
    """A finding where a recipe asks for presidio and it isn't installed."""
    if rules is not None and find_spec("presidio_analyzer") is None:
        help, note = "`pip install 'ftc[pii]'` installs what `presidio` needs", "`presidio-analyzer` is not installed"
        summary = "`data.quality.presidio` needs more packages"
        yield diagnostic("FTC650", summary, help=help, notes=note, path="data.quality.presidio")


def load_presidio(rules: PresidioRules) -> Presidio:
    """The recognizers that a recipe asks for. Takes a second or two, most of it imports.

    Raises:
        Refusal: FTC382, presidio knows nothing of a country.
    """
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer
    from tldextract import TLDExtract

    by_country = _classes()
    known = sorted(country for country in by_country if country is not None)
    found = []
    for position, country in enumerate(rules.countries):
        if country not in by_country:
            close = nearest(country, known)
            summary = f"presidio has no patterns for the country `{country}`"
            help = f"{f'did you mean `{close}`? ' if close else ''}it has patterns for {', '.join(known)}"
            path = f"data.quality.presidio.countries[{position}]"
            found.append(diagnostic("FTC382", summary, help=help, path=path))
    if found:
        raise Refusal(found)
    made: list[Any] = []
    domains = TLDExtract(suffix_list_urls=(), cache_dir=None)
    for kind in (one for country in (None, *rules.countries) for one in by_country[country]):
        made.append(kind())
        if kind.__name__ == "EmailRecognizer":  # looks domains up in the list at hand
            made[-1].validate_result = lambda pattern_text: bool(domains(pattern_text).fqdn)
    given_up = _noted()
    regions = ["GB" if country == "uk" else country.upper() for country in rules.countries]
    made.append(PhoneRecognizer(supported_regions=regions) if regions else PhoneRecognizer())
    return Presidio(
        version=importlib.metadata.version("presidio-analyzer"),
        recognizers=tuple(made),
        least_score=rules.least_score,
        timed_out=given_up,
    )


def _noted() -> _TimedOut:
    """A filter that sees presidio's log lines; that of an earlier plan in this process would keep them from it."""
    log, noted = logging.getLogger("presidio-analyzer"), _TimedOut()
    for earlier in [one for one in log.filters if isinstance(one, _TimedOut)]:
        log.removeFilter(earlier)
    log.addFilter(noted)
    return noted


def _classes() -> dict[str | None, list[type[Any]]]:
    """Presidio's classes of patterns by country; None for what every country has."""
    from presidio_analyzer import PatternRecognizer, predefined_recognizers

    found: dict[str | None, list[type[Any]]] = {}
    for name in sorted(predefined_recognizers.__all__):
        one = getattr(predefined_recognizers, name)
        if inspect.isclass(one) and issubclass(one, PatternRecognizer):
            found.setdefault(getattr(one, "COUNTRY_CODE", None), []).append(one)
    kept = [one for one in found[None] if not _NAME_NOBODY & set(one().supported_entities)]
    return {**found, None: kept}
