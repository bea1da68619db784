"""Pairs of whole transcripts as texts, as HH-RLHF has them, with `Human:` and `Assistant:` behind empty lines. Pure."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["is_transcript", "split_transcripts"]

_MARK = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_ASSISTANT, _HUMAN = "\n\nAssistant:", "\n\nHuman:"
_ROLES = {"Human": "user", "Assistant": "assistant"}

_Turns = list[dict[str, Any]]


def is_transcript(text: str) -> bool:
    """Whether a text is one that begins with what a person says."""
    return (begin := _MARK.match(text)) is not None and begin[1] == "Human"


def split_transcripts(chosen: Any, rejected: Any) -> tuple[_Turns, _Turns] | None:
    """Both transcripts as conversations that differ in their last turn; None for texts that aren't such a pair.

    They are split where the assistant begins to say what is its last in the chosen one, as the field does: what stands
    behind that place is the answer of each, the rejected one's too where it has further turns.
    """
    if not isinstance(chosen, str) or not isinstance(rejected, str) or not is_transcript(chosen):
        return None
    marks = [*_MARK.finditer(chosen)]
    while marks and marks[-1][1] == "Human":
        marks.pop()
    while len(marks) > 1 and marks[-2][1] == "Assistant":
        marks.pop()
    if not marks or not rejected.startswith(prompt := chosen[: marks[-1].end()]):
        return None
    turns = _turns(chosen[: marks[-1].start()])
    answers = (_answer(text[len(prompt) :]) for text in (chosen, rejected))
    first, second = ([*turns, {"role": "assistant", "content": answer}] for answer in answers)
    return first, second


def _answer(text: str) -> str:
    """What the assistant says, neighboring turns as one; what a person says behind that stays in it as it is."""
    said, mark, more = text.partition(_HUMAN)
    return (_joined(said.split(_ASSISTANT)) + mark + more).strip()


def _joined(turns: list[str]) -> str:
    return "\n\n".join(said for one in turns if (said := one.strip()))


def _turns(text: str) -> _Turns:
    """The turns of a transcript; neighbors of one role are one turn."""
    marks = [*_MARK.finditer(text)]
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    turns: _Turns = []
    for mark, end in zip(marks, ends, strict=True):
        role, said = _ROLES[mark[1]], text[mark.end() : end].strip()
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] = _joined([turns[-1]["content"], said])
        else:
            turns.append({"role": role, "content": said})
    return turns
