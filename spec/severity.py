"""How much a finding weighs."""

from enum import StrEnum

__all__ = ["Severity"]


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
