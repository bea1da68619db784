"""Personal data and secrets in text: by ftc's own rules, and by presidio's. They are counted and never shown.

ftc's own rules stand in `ftc.spec.personal_data`.

Of presidio's recognizers only those that need no language model are taken, so nothing is downloaded. Presidio
would fetch a list of domain suffixes for e-mail addresses; the list that its own dependency ships is used instead.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.quality import PresidioUse
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.sections.data import PresidioRules

__all__ = ["Presidio", "load_presidio"]

_NAME_NOBODY = frozenset(("DATE_TIME", "URL", "UUID"))
"""Kinds that presidio knows and that are no personal data by themselves."""
_PREFIX = "presidio's "
_DECIDING = ("phonenumbers", "regex", "tldextract")
"""Packages whose releases decide what presidio's recognizers find."""


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

    def releases(self) -> dict[str, str | None]:
        """Releases of all that decides what is found, by package; None for one that isn't installed."""
        return {"presidio-analyzer": self.version, **{name: _release(name) for name in _DECIDING}}

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


def _release(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


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
