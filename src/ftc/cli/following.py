"""What is told while something takes time: a run by lines that are redrawn, lines that stay, or JSON; a plan by one."""

from __future__ import annotations

import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ftc.cli.terminal import is_interactive, page

if TYPE_CHECKING:
    from ftc.spec.documents.events import Event, EventListener

__all__ = ["following", "tracing"]

_CLEAR = "\r\x1b[K"


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
            yield _while_heard(listener)


def _while_heard(listener: EventListener) -> EventListener:
    """Tells until nobody reads any longer, which is no reason to stop a run."""
    is_heard = True

    def tell(event: Event) -> None:
        nonlocal is_heard
        if is_heard:
            try:
                listener(event)
            except BrokenPipeError:
                is_heard = False

    return tell


@contextmanager
def tracing(args: Namespace) -> Iterator[Callable[[int], None]]:
    """Tells on a terminal, in a line that goes away, that a plan waits for the memory trace."""
    look, told = page(sys.stderr, args), False

    def tell(number: int) -> None:
        nonlocal told
        told = True
        words = "loading the libraries" if number == 0 else f"training step {number + 1}"
        sys.stderr.write(f"{_CLEAR}{look.faint(f'tracing memory: {words} …')}")
        sys.stderr.flush()

    if not is_interactive(sys.stderr, os.environ):
        yield lambda _: None
        return
    try:
        yield tell
    finally:
        if told:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()


@contextmanager
def _listener(args: Namespace) -> Iterator[EventListener]:
    from ftc.views.progress import JsonProgress, PlainProgress

    look = page(sys.stderr, args)
    if args.json:
        yield JsonProgress(sys.stdout)
    elif is_interactive(sys.stderr, os.environ):
        from ftc.views.progress import LiveProgress

        with LiveProgress(sys.stderr, page=look) as live:
            yield live
    else:
        yield PlainProgress(sys.stderr, page=look)
