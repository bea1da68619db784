"""What an audit has found so far: findings, what was compared, and what this level can't say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ftc.spec.companions import Role
from ftc.spec.documents.audit import Finding

__all__ = ["ROWS", "SAMPLES", "SEEN_BY", "SERVED", "WEIGHTS", "Tally", "difference", "finding", "plural"]

WEIGHTS = "whether training again gives the same weights: nothing was executed"
SAMPLES = "whether the answers in answers.ndjson are what was written in training: `--level replay` writes them again"
SERVED = (
    "whether a server wrote the answers in answers.ndjson with the weights of their step: it promises no bits, so that "
    "a replay trains on the recorded answers and no server is asked"
)
ROWS = (
    "loss, confidence and answer of each row in predictions.ndjson, beyond what the run's metrics depend on: "
    "`--level full` computes them again"
)
SEEN_BY = {"replay": (WEIGHTS, SAMPLES), "full": (WEIGHTS, SAMPLES, ROWS)}
"""What the static level can't say and executing can, by level."""


@dataclass(slots=True)
class Tally:
    """Findings and remarks of one audit.

    Attributes:
        strict: Whether remarks count as findings.
        findings: What is not as the record says.
        damaged: Files with other bytes, by the subject of their finding.
        checked: What was compared, in words.
        files: Files that were read and hashed.
        bytes: Their size.
        not_checked: What can't be said, in words.
        changed: Models beside the base whose files aren't those that were locked, by role.
        other_rows: Whether a token stream, or the groups of its rows, isn't the one that was locked.
    """

    strict: bool = False
    findings: list[Finding] = field(default_factory=list)
    damaged: dict[str, Path] = field(default_factory=dict)
    checked: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    not_checked: list[str] = field(default_factory=list)
    changed: set[Role] = field(default_factory=set)
    other_rows: bool = False

    def remark(self, words: str, of: Finding) -> None:
        """Notes what no honest run has to explain; a strict audit takes it for a finding."""
        if self.strict:
            self.findings.append(of)
        else:
            self.not_checked.append(words)


def finding(code: str, subject: str, expected: object, found: object, hint: str) -> Finding:
    """A finding with both values as text."""
    return Finding(code=code, subject=subject, expected=str(expected), found=str(found), hint=hint)


def difference(subject: str, said: object, told: object, source: str) -> list[Finding]:
    """A finding where two documents say different things; none where they agree."""
    if said == told:
        return []
    return [finding("FTC537", subject, said, told, f"compare it with {source}; restore the run's folder from a copy")]


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """`1 step`, `2 steps`; `nouns` where the plural is not made by an `s`."""
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"
