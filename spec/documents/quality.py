"""What was found in the rows themselves: copies, overlap, labels, encoding, lengths, personal data, agreement.

The plan holds it with counts and places. Personal data and secrets are counted and never shown.
"""

from __future__ import annotations

from typing import Literal

from ftc.spec.base import Document, Real
from ftc.spec.documents.streams import Split

__all__ = [
    "Agreement",
    "CheckName",
    "Contamination",
    "Kind",
    "PairAgreement",
    "PresidioUse",
    "QualityFinding",
    "QualityReport",
    "Sample",
]


class CheckName:
    """What a plan calls its checks of the rows, and of who is sent them."""

    OVERLAP = "overlap"
    CHOICE = "choice"
    COPIES = "copies"
    ROWS = "rows"
    JUDGE = "judge"

    @staticmethod
    def contamination(split: Split) -> str:
        """The check of one part for text of training rows."""
        return f"contamination of {split}"


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
    """Rows that were looked at."""
    samples: tuple[Sample, ...]
    """The first few of them."""


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


class Contamination(Document):
    """What measured rows share with training rows, counted on tokens."""

    split: Split
    run: int
    """Tokens in a row that have to be the same."""
    of: int
    """Rows that were looked at."""
    rows: int
    """Rows with at least one such run."""
    mostly: int
    """Rows of which four fifths or more lie in such runs, what a template writes aside."""
    share: Real
    """Share of all tokens that do, what a template writes aside."""


class PresidioUse(Document):
    """What presidio looked for."""

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
