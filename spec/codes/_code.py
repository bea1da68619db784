"""What the table holds for each code."""

from dataclasses import dataclass

from ftc.spec.exit_codes import ExitCode
from ftc.spec.severity import Severity

__all__ = ["Code", "Severity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One kind of finding, for `ftc explain` and the error reference.

    Attributes:
        id: `FTC` and three digits.
        title: The kind of problem in a few words.
        cause: Why it happens and why it matters, in plain sentences.
        wrong: A short example that gives the finding.
        right: The same example, corrected.
        severity: What `diagnostic()` gives unless told otherwise.
        exit_code: What a verb exits with when this finding stops it.
    """

    id: str
    title: str
    cause: str
    wrong: str = ""
    right: str = ""
    severity: Severity = Severity.ERROR
    exit_code: int = ExitCode.RECIPE_INVALID
