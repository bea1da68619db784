"""Children that never outlive the process that started them."""

from __future__ import annotations

import sys
from collections.abc import Callable

__all__ = ["ends_with_parent"]

_PR_SET_PDEATHSIG = 1
_SIGTERM = 15


def ends_with_parent() -> Callable[[], None] | None:
    """What a new process calls, as `preexec_fn`, so that SIGTERM reaches it when the thread that started it is gone.

    It holds even where that one is killed. None where the system knows no such thing.
    """
    if sys.platform != "linux":
        return None
    import ctypes

    library = ctypes.CDLL(None)

    def ask() -> None:
        library.prctl(_PR_SET_PDEATHSIG, _SIGTERM)

    return ask
