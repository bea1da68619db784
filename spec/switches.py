"""Variables of the environment that switch something on, in a module without imports of weight."""

from __future__ import annotations

import os

__all__ = ["OFFLINE", "is_switched_on"]

OFFLINE = "FTC_OFFLINE"
"""Stands for `--offline`: nothing is fetched, whichever verb or function is called."""


def is_switched_on(name: str) -> bool:
    """Whether a variable says yes: anything but nothing, `0`, `false`, `no` or `off`."""
    return os.environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off")
