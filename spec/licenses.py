"""What licenses say about sharing a model that was tuned from another one, as far as their names tell."""

from __future__ import annotations

__all__ = ["forbids_derivatives"]

_CLOSED = ("all-rights-reserved", "proprietary", "unlicensed")


def forbids_derivatives(license: str | None) -> bool:
    """Whether a license keeps people from sharing what they made of the work; False where nobody knows.

    Args:
        license: Its SPDX-like id in lower case, such as `cc-by-nc-nd-4.0`; None where none is stated.
    """
    parts = (license or "").split("-")
    return license in _CLOSED or (parts[0] == "cc" and "nd" in parts)
