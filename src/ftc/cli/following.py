"""Which listener follows a run: lines that are redrawn, lines that stay, or JSON."""

from __future__ import annotations

import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ftc.cli.terminal import is_interactive, page

if TYPE_CHECKING:
    from ftc.spec.events import EventListener

__all__ = ["following"]


@contextmanager
def following(args: Namespace) -> Iterator[EventListener]:
    """A listener for as long as the run goes on. JSON goes to standard output, all else to standard error.

    Meanwhile the libraries' warnings, which speak to their callers and not to users, are kept still, unless `-W` or
    `PYTHONWARNINGS` asks for them.
    """
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        with _listener(args) as listener:
            yield listener


@contextmanager
def _listener(args: Namespace) -> Iterator[EventListener]:
    from ftc.views.progress import JsonProgress, PlainProgress

    look = page(sys.stderr, args)
    if args.json:
        yield JsonProgress(sys.stdout)
    elif is_interactive(sys.stderr, os.environ):
        from ftc.views.progress_live import LiveProgress

        with LiveProgress(sys.stderr, page=look) as live:
            yield live
    else:
        yield PlainProgress(sys.stderr, page=look)
