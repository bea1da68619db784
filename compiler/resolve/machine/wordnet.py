"""The WordNet that METEOR takes synonyms from, where a recipe is measured by METEOR."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from ftc.spec.diagnostics import Refusal, Span, diagnostic
from ftc.spec.documents.settings import WordnetSettings
from ftc.spec.metrics import WORDNET, needs_of
from ftc.spec.sections.evaluation import Eval
from ftc.spec.storage.wordnet import find_wordnet, wordnet_places

__all__ = ["resolve_wordnet"]

_HELP = "`apt-get install wordnet-base` or `python -m nltk.downloader wordnet` brings it; ftc downloads none"


def resolve_wordnet(asked: Eval, span_of: Callable[[str], Span | None]) -> WordnetSettings | None:
    """The WordNet of this machine by its digest; None where nothing is measured by METEOR.

    Raises:
        Refusal: nltk isn't installed (FTC650), or WordNet isn't here (FTC652).
    """
    path = next((path for name, path in asked.named() if WORDNET in needs_of([name])), None)
    if path is None:
        return None
    span = span_of(path)
    if find_spec(WORDNET.package) is None:
        help = f"`pip install 'ftc[{WORDNET.extra}]'` brings what METEOR needs"
        note = f"`{WORDNET.package}` is not installed"
        raise Refusal([diagnostic("FTC650", "METEOR needs more packages", span, help=help, notes=note, path=path)])
    found = find_wordnet()
    if found is None:
        places = dict.fromkeys(str(place.with_suffix("")) for place in wordnet_places())
        note = f"it is complete in none of {', '.join(places)}"
        raise Refusal([diagnostic("FTC652", "METEOR needs WordNet", span, help=_HELP, notes=note, path=path)])
    return WordnetSettings(release=found.release, sha256=found.sha256)
