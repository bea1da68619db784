"""Metrics of written answers, by the libraries that define them: rouge-score, sacrebleu and nltk.

Answers that were found in a text are compared by the rules of SQuAD 2.0 (Rajpurkar et al. 2018): in lower case, without
punctuation and without the articles a, an and the. F1 is that of the words they have in common. Of several right
answers the best one counts; no answer is an empty one, and is right only where none was to be found.
"""

from __future__ import annotations

import functools
import io
import re
import string
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ftc.runtime.extensions import metric_value
from ftc.runtime.metrics.statistics import Floats, Statistics, mean_of
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.companion_settings import WordnetSettings
from ftc.spec.documents.settings import OpenEval
from ftc.spec.storage.reading import parse_json
from ftc.spec.storage.wordnet import WordNet, find_wordnet, wordnets

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

__all__ = [
    "FOUND",
    "WRITTEN",
    "Found",
    "Written",
    "answer_f1",
    "data_findings",
    "is_exact",
    "is_json",
    "meteor_scores",
    "meteor_tokens",
    "normalized",
    "of_a_package",
    "wordnet_findings",
    "wordnet_reader",
]

_LEXICOGRAPHER_FILES = 45
_LEXNAMES = "".join(f"{number:02d}\tfile{number:02d}\t0\n" for number in range(_LEXICOGRAPHER_FILES)).encode()
"""A stand-in for the file `lexnames`, which Debian's package lacks. METEOR asks for no name in it."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> str:
    """What of an answer is compared."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_NO_PUNCTUATION)).split())


def is_exact(answer: str, right: Sequence[str]) -> bool:
    """Whether it is one of the right answers."""
    return normalized(answer) in map(normalized, _comparable(right))


def answer_f1(answer: str, right: Sequence[str]) -> float:
    """The best F1 of an answer's words against those of a right one."""
    return max(_f1(normalized(answer).split(), normalized(one).split()) for one in _comparable(right))


def _comparable(right: Sequence[str]) -> Sequence[str]:
    """Right answers of which anything is left to compare; none means that there was no answer to find."""
    return [one for one in right if normalized(one)] or [""]


def _f1(answer: Sequence[str], right: Sequence[str]) -> float:
    if not answer or not right:
        return float(answer == right)
    common = (Counter(answer) & Counter(right)).total()
    if not common:
        return 0.0
    precision, recall = common / len(answer), common / len(right)
    return 2 * precision * recall / (precision + recall)


def meteor_scores(expected: Sequence[str], answers: Sequence[str], wordnet: WordnetSettings | None) -> list[float]:
    """Each answer's METEOR beside what is expected, from 0 to 1, as nltk computes it by default, on the plan's WordNet.

    For English: stems and synonyms are English ones.

    Raises:
        Refusal: WordNet isn't here as the plan has it (FTC636).
    """
    from nltk.translate.meteor_score import meteor_score

    assert wordnet is not None, "a plan with METEOR names its WordNet"

    reader = _reader(wordnet.sha256)
    return [
        float(meteor_score([meteor_tokens(want)], meteor_tokens(got), wordnet=reader))
        for want, got in zip(expected, answers, strict=True)
    ]


def meteor_tokens(text: str) -> list[str]:
    """Words and signs by nltk's `word_tokenize`, each line taken for a sentence.

    Where sentences end within a line, nltk decides by a model that it downloads, which ftc doesn't do; so a full stop
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
    summary = f"the plan's WordNet is missing: digest {wanted[:12]}"
    note = "none found".join(others) or "none found"
    help = "restore it, or plan again"
    yield diagnostic("FTC636", summary, notes=note, help=help)


@functools.lru_cache(maxsize=1)
def _reader(sha256: str) -> WordNetCorpusReader:
    """nltk's reader of the WordNet with a digest. Takes two seconds and 100 MiB."""
    found = find_wordnet(sha256)
    if found is None:
        raise Refusal(wordnet_findings(sha256))
    return wordnet_reader(found)


def wordnet_reader(found: WordNet) -> Any:
    """nltk's reader of a WordNet, wherever its files lay when they were hashed."""
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


@dataclass(frozen=True, slots=True)
class Written:
    """Answers that were written.

    Attributes:
        expected: What each should be.
        answers: What was written.
        wordnet: What METEOR takes synonyms from.
    """

    expected: Sequence[str]
    answers: Sequence[str]
    wordnet: WordnetSettings | None


@dataclass(frozen=True, slots=True)
class Found:
    """Answers of which several may be right.

    Attributes:
        right: The right ones of each question; none where there is no answer.
        answers: What was said.
    """

    right: Sequence[Sequence[str]]
    answers: Sequence[str]


def _by_pair(score: Callable[[str, str], float]) -> Callable[[Written], Statistics]:
    return lambda one: mean_of([float(score(*pair)) for pair in zip(one.expected, one.answers, strict=True)])


def _by_answer(score: Callable[[str, Sequence[str]], float]) -> Callable[[Found], Statistics]:
    return lambda one: mean_of([float(score(*pair)) for pair in zip(one.answers, one.right, strict=True)])


def of_a_package(name: str, one: Written | Found) -> Statistics:
    """A metric of a package: the score that it gives each answer beside the right ones."""
    right = [[text] for text in one.expected] if isinstance(one, Written) else one.right
    return mean_of([metric_value(name, answer, texts) for answer, texts in zip(one.answers, right, strict=True)])


def is_json(text: str) -> bool:
    """Whether a text is an object or a list in JSON."""
    try:
        return isinstance(parse_json(text), dict | list)
    except ValueError:
        return False


def _is_same_form(expected: str, answer: str) -> bool:
    """Whether an answer is JSON of the same type as the expected one, with the same keys."""
    try:
        want, got = parse_json(expected), parse_json(answer)
    except ValueError:
        return False
    return type(want) is type(got) and (not isinstance(want, dict) or want.keys() == got.keys())


def _rouge(kind: str) -> Callable[[Written], Statistics]:
    """F-measures without stemming; for `rougeLsum` a line is a sentence."""

    def statistics(found: Written) -> Statistics:
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer([kind])
        return mean_of([scorer.score(*pair)[kind].fmeasure for pair in zip(found.expected, found.answers, strict=True)])

    return statistics


def _corpus(name: str) -> Callable[[Written], Statistics]:
    """What sacrebleu counts of each row, and its score of such counts, by its defaults; in percent."""

    def statistics(found: Written) -> Statistics:
        from sacrebleu.metrics import METRICS

        metric: Any = METRICS[name]()
        # sacrebleu resamples by these two itself, and offers no public way to them.
        rows = np.array(metric._extract_corpus_statistics(list(found.answers), [list(found.expected)]), np.float64)

        def score(sums: Floats) -> float:
            return float(metric._compute_score_from_stats(sums.astype(int).tolist()).score)

        return Statistics(rows, lambda sums: np.asarray(np.apply_along_axis(score, -1, sums)))

    return statistics


WRITTEN: dict[str, Callable[[Written], Statistics]] = {
    "exact_match": _by_pair(lambda expected, answer: expected.strip() == answer.strip()),
    "valid_json": _by_pair(_is_same_form),
    "rouge_1": _rouge("rouge1"),
    "rouge_2": _rouge("rouge2"),
    "rouge_l": _rouge("rougeL"),
    "rouge_lsum": _rouge("rougeLsum"),
    "meteor": lambda found: mean_of(meteor_scores(found.expected, found.answers, found.wordnet)),
    "bleu": _corpus("BLEU"),
    "chrf": _corpus("CHRF"),
    "ter": _corpus("TER"),
}
"""Metrics of written answers."""
FOUND: dict[str, Callable[[Found], Statistics]] = {
    "exact_match": _by_answer(is_exact),
    "answer_f1": _by_answer(answer_f1),
}
"""Metrics of answers of which several may be right, by SQuAD's rules."""
