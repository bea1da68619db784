"""A file that doesn't change any more under a second name, which takes no room where the disk has such names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["link_or_copy"]


def link_or_copy(source: Path, target: Path) -> None:
    """Gives a file another name, in place of what has it; a copy where the disk has no such names.

    Raises:
        OSError: The disk refused.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
