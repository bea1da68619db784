"""A chat in the terminal: answers as they are written, of two models one after the other or side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self, TextIO

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.sampling import Sampling
from ftc.views.page import Page, escaped, pad, shorten, width, wrapped

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["InTurn", "SideBySide", "help_lines", "is_wide", "opening", "page_facts", "side_by_side"]

_HELP = (
    ("/tuned", "the tuned model answers"),
    ("/base", "its base answers"),
    ("/both", "both answer; the conversation continues with the tuned model's answer"),
    ("/reset", "forget the conversation"),
    ("/system TEXT", "replace the system message; without TEXT, the run's own"),
    ("/help", "show these commands"),
    ("/exit", "leave; so do Ctrl-D and Ctrl-C"),
)
_LABELS = 7
_BAR = " │ "
_LEAST_WIDE = 80
_REFRESH_PER_SECOND = 12


def opening(
    plan: Plan,
    run_id: str,
    memory: str,
    sampling: Sampling,
    *,
    system: str | None,
    max_new_tokens: int | None,
    page: Page,
) -> str:
    """What is said before the first line: the run, how it answers, and how to leave."""
    most = max_new_tokens or plan.settings.eval.max_new_tokens
    parts = [f"run {run_id}", plan.recipe.task.kind.replace("_", " "), sampling_text(sampling)]
    parts += [f"answers up to {most:,} tokens"] if most else []
    lines = page.flow(page.strong(f"{shorten(plan.name, 40)}  "), parts, indent=len(shorten(plan.name, 40)) + 2)
    said = system if system is not None else plan.recipe.task.system_message
    if said:
        lines += page.wrap(page.faint(f"System: {shorten(said, page.columns - 9)}"))
    if memory == "none":
        lines += page.wrap(page.faint("Each line is answered by itself, as the run's rows were."))
    lines += page.wrap(page.faint("/tuned, /base, /both choose the model · /reset · /help · Ctrl-D leaves"))
    return "\n".join(lines) + "\n"


def page_facts(plan: Plan, run_id: str, memory: str, sampling: Sampling) -> dict[str, str]:
    """What a chat's page shows of the run, in words."""
    alone = "each text is answered by itself, as the run's rows were" if memory == "none" else ""
    return {"name": plan.name, "run": run_id, "sampling": sampling_text(sampling), "memory": alone}


def sampling_text(sampling: Sampling) -> str:
    """How words are chosen, in a few."""
    if sampling.is_greedy:
        return "greedy"
    words = [f"temperature {sampling.temperature:g}"]
    words += [f"top-p {sampling.top_p:g}"] if sampling.top_p < 1 else []
    words += [f"top-k {sampling.top_k}"] if sampling.top_k else []
    words += [f"seed {sampling.seed}"] if sampling.seed is not None else []
    return ", ".join(words)


def help_lines(page: Page) -> list[str]:
    """The commands, each with what it does."""
    indent = max(len(command) for command, _ in _HELP) + 4
    return [line for command, does in _HELP for line in page.flow(f"  {command}", [does], indent=indent)]


def is_wide(page: Page) -> bool:
    """Whether two answers fit side by side."""
    return page.columns >= _LEAST_WIDE


class InTurn:
    """Writes answers one after the other, broken at blanks, each behind its model's name where there are several.

    Args:
        stream: Where to.
        page: Width and colors.
        names: The models that answer.
    """

    def __init__(self, stream: TextIO, page: Page, names: Sequence[str]) -> None:
        self._stream, self._page = stream, page
        self._indent = _LABELS if len(names) > 1 else 0
        self._name = ""
        self._column = 0
        self._word = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the last line."""
        self._flush()
        if self._name:
            self._stream.write("\n")
        self._stream.flush()

    def say(self, name: str, part: str) -> None:
        """Writes a part of an answer as far as its words are whole."""
        if name != self._name:
            self._flush()
            self._stream.write("\n" if self._name else "")
            self._name, self._column = name, self._indent
            self._stream.write(self._page.accent(pad(name, self._indent)) if self._indent else "")
        for character in part:
            if character in " \n":
                self._flush()
                if character == "\n":
                    self._break()
                elif self._column < self._page.columns - 1:
                    self._stream.write(" ")
                    self._column += 1
            else:
                self._word += character if character.isprintable() else escaped(character)
                if width(self._word) >= self._page.columns - self._indent:  # no blank comes soon, as in Chinese
                    self._flush()
        self._stream.flush()

    def _break(self) -> None:
        self._stream.write("\n" + " " * self._indent)
        self._column = self._indent

    def _flush(self) -> None:
        cells = width(self._word)
        if self._column + cells > self._page.columns and self._column > self._indent:
            self._break()
        self._stream.write(self._word)
        self._column += cells
        self._word = ""


class SideBySide:
    """Draws two answers beside each other while they are written, and leaves the last picture.

    Args:
        stream: A terminal.
        page: Its width, and colors.
        names: The models that answer.
    """

    def __init__(self, stream: TextIO, page: Page, names: Sequence[str]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._stream, self._page = stream, page
        self._texts = dict.fromkeys(names, "")
        console = Console(file=stream, force_terminal=True, no_color=not page.color, highlight=False, soft_wrap=True)
        self._rows = max(4, console.height - 2)
        self._live = Live(
            console=console,
            refresh_per_second=_REFRESH_PER_SECOND,
            transient=True,
            get_renderable=self._picture,
        )

    def __enter__(self) -> Self:
        """Starts to redraw."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Writes both answers whole."""
        self._live.stop()
        self._stream.write("\n".join(side_by_side(self._texts, self._page)) + "\n")
        self._stream.flush()

    def say(self, name: str, part: str) -> None:
        """Takes a part of an answer; the picture follows."""
        self._texts[name] += part

    def _picture(self) -> Text:
        from rich.text import Text

        head, *lines = side_by_side(self._texts, self._page)
        return Text.from_ansi("\n".join([head, *lines[-self._rows :]]))


def side_by_side(texts: Mapping[str, str], page: Page) -> list[str]:
    """Lines with a column for each text, under its name."""
    room = (page.columns - len(_BAR) * (len(texts) - 1)) // len(texts)
    cells = [
        [row for line in text.splitlines() or [""] for row in wrapped(escaped(line), room)] for text in texts.values()
    ]
    bar, height = page.faint(_BAR), max(map(len, cells))
    head = bar.join(pad(page.accent(name), room) for name in texts).rstrip()
    rows = [[column[line] if line < len(column) else "" for column in cells] for line in range(height)]
    return [head, *(bar.join(pad(cell, room) for cell in row).rstrip() for row in rows)]
