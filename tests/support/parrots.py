"""A chat without models, for its page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.verbs.chat import Reply

__all__ = ["Parrot"]


@dataclass
class Parrot:
    """Answers with what was said, word by word; `no` is refused, `much` fails, and `long` never ends by itself."""

    lines: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def ask(self, line: Any, subjects: Sequence[Any], say: Callable[[Any, str], None]) -> Reply:
        if line == "no":
            raise Refusal([diagnostic("FTC751", "this can't be answered", notes="it gives no tokens", help="another")])
        if line == "much":
            raise RuntimeError("CUDA out of memory")
        try:
            for _ in range(10**9 if line == "long" else 1):
                for subject in subjects:
                    for word in line.split():
                        say(subject, f"{word} ")
                        if line == "long":
                            time.sleep(0.02)  # as a model takes its time
        finally:
            self.stopped.set()
        self.lines.append(line)
        return Reply(dict.fromkeys(subjects, line), (diagnostic("FTC691", "it was truncated", help="shorten it"),))

    def reset(self) -> None:
        self.lines.clear()
