"""The one door to peft.

peft looks whether bitsandbytes is installed, and then imports it, which takes more processor time than torch itself.
Only 4-bit weights need it; for everything else it is out of sight while peft is at work.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

__all__ = ["peft_with_bitsandbytes", "peft_without_bitsandbytes"]

_NAME = "bitsandbytes"


@contextmanager
def peft_without_bitsandbytes() -> Iterator[ModuleType]:
    """peft, for a block in which no weight is quantized."""
    hidden = _NAME not in sys.modules
    if hidden:
        sys.modules[_NAME] = None  # type: ignore[assignment]  # python's own way to say that a module can't be imported
    try:
        import peft

        yield peft
    finally:
        if hidden:
            del sys.modules[_NAME]
            _forget_what_is_installed()


def peft_with_bitsandbytes() -> ModuleType:
    """peft, for a model whose weights are quantized."""
    import peft

    _forget_what_is_installed()
    return peft


def _forget_what_is_installed() -> None:
    if checks := sys.modules.get("peft.import_utils"):
        checks.is_bnb_available.cache_clear()
        checks.is_bnb_4bit_available.cache_clear()
