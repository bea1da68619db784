"""What was found in the rows themselves: duplicates, leakage, labels, encoding, lengths, personal data, agreement.

The plan holds it with counts and places. Personal data and secrets are counted and never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from ftc.spec.base import Document, Real
from ftc.spec.documents.streams import SPLITS, Split

__all__ = [
    "COPIES",
    "NEAR_DUPLICATES",
    "SEEN_SHARE",
    "TOKENS_UNSEARCHED",
    "Agreement",
    "CheckName",
    "Contamination",
    "Kind",
    "PairAgreement",
    "PresidioUse",
    "QualityFinding",
    "QualityReport",
    "Sample",
    "overlap_rule",
]


COPIES = "duplicates"
"""Likeness of an overlap whose rows are equal, character by character."""
NEAR_DUPLICATES = "near duplicates"
"""How an entry of `QualityReport.not_checked` begins where the search for near duplicates was left out or cut short."""
TOKENS_UNSEARCHED = "test rows were not searched for training rows, which are no longer in the cache"
"""What is said where `QualityReport.trained_on` is None."""


class CheckName:
    """What a plan calls its checks of the rows, of who is sent them, and of whose code a run imports."""

    LEAKAGE = "leakage"
    CHOICE = "test rows in validation"
    DUPLICATES = "duplicates"
    ROWS = "rows"
    JUDGE = "judge"
    PACKAGE = "package"
    EARLIER: ClassVar[Mapping[str, str]] = {"overlap": LEAKAGE, "choice": CHOICE, "copies": DUPLICATES}
    """Names in plans of earlier releases, and what they are called now."""

    @staticmethod
    def ngrams(split: str) -> str:
        """The check of one part for n-grams of training rows."""
        return f"n-gram overlap of {split}"


class Sample(Document):
    """One row that a finding is about."""

    place: str
    """Where it stands, such as `data/train.csv, line 18`."""
    shown: str
    """What is there, shortened, escaped and masked; the place of the other row where two are alike; empty for what
    must not be shown."""


Kind = Literal["copies", "overlap", "labels", "encoding", "length", "personal", "secrets"]


class QualityFinding(Document):
    """Rows of one part that one rule matched."""

    kind: Kind
    rule: str
    """What was looked for, in words, such as `near duplicates of train rows` or `IBANs`."""
    split: Split
    """The part that the rows belong to."""
    rows: int
    """Rows that matched."""
    of: int
    """Rows that were checked."""
    samples: tuple[Sample, ...]
    """The first few of them."""

    @property
    def other(self) -> Split | None:
        """The part that has the rows, too; None for what is no overlap."""
        return next((one for one in SPLITS if self.rule == overlap_rule(self.likeness, one)), None)

    @property
    def likeness(self) -> str:
        """What these rows are of the other part's, such as `near duplicates`; of what is no overlap, its rule."""
        return self.rule.partition(" of ")[0]


def overlap_rule(likeness: str, other: Split) -> str:
    """The rule of an overlap: what its rows are of the rows of another part."""
    return f"{likeness} of {other} rows"


class PairAgreement(Document):
    """Two annotators, beyond chance."""

    columns: tuple[str, str]
    rows: int
    """Rows that both have judged."""
    cohen: Real | None
    """Cohen's kappa (1960); None where both give a single label to all rows, which leaves chance nothing to explain."""


class Agreement(Document):
    """How far several annotators agree beyond chance: 1 is always, 0 is as often as chance does."""

    columns: tuple[str, ...]
    rows: int
    """Rows that at least two have judged."""
    complete_rows: int
    """Rows that all have judged."""
    pairs: tuple[PairAgreement, ...]
    fleiss: Real | None
    """Fleiss' kappa (1971) over the complete rows; None where there are none, or where all labels are one."""
    krippendorff: Real | None
    """Krippendorff's alpha for nominal data, which takes incomplete rows as well; None where all labels are one."""


SEEN_SHARE = 0.8
"""Share of a row's tokens inside n-grams of training rows from which the row counts as seen in training."""


class Contamination(Document):
    """N-gram overlap: what validation or test rows share with training rows, counted on tokens."""

    split: Split
    run: int
    """n: consecutive tokens that have to be equal."""
    of: int
    """Rows that were checked."""
    rows: int
    """Rows with at least one shared n-gram."""
    mostly: int
    """Rows with at least `SEEN_SHARE` of their own tokens, without a template's, in shared n-grams."""
    share: Real
    """Share of all tokens in shared n-grams, without those of a template."""


class PresidioUse(Document):
    """What presidio searched for."""

    version: str
    """Release of presidio-analyzer."""
    kinds: tuple[str, ...]
    """What its recognizers find, by presidio's names, sorted."""


class QualityReport(Document):
    """What was found in the rows."""

    rows: int
    """Rows that were looked at, over all parts."""
    similarity: Real | None
    """Jaccard similarity from which two texts count as near duplicates; None where nobody looked for them."""
    findings: tuple[QualityFinding, ...]
    rows_by_kind: dict[str, int]
    """Rows with at least one finding of a kind, over all rules and parts."""
    labels: dict[Split, dict[str, int]]
    """Rows by class, for each part; empty for tasks without classes."""
    agreement: Agreement | None
    contamination: tuple[Contamination, ...] = ()
    """Of validation and test, by training rows."""
    chosen_by: int = 0
    """Test rows that are validation rows as well: a checkpoint that is chosen by validation is chosen by them."""
    trained_on: int | None = 0
    """Test rows that are training rows as well, token for token; None where nobody could look."""
    presidio: PresidioUse | None = None
    """What presidio looked for; None where nobody asked for it."""
    not_checked: tuple[str, ...]
    """What was not looked at, with the reason."""

    def unsearched_leakage(self) -> str | None:
        """Which part of the search for leakage was not done, with the reason; None where all of it was."""
        if self.trained_on is None:
            return TOKENS_UNSEARCHED
        return next((one for one in self.not_checked if one.startswith(NEAR_DUPLICATES)), None)
