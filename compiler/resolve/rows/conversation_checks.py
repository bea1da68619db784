"""Checks conversations: their turns, the order of these, and what each says. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from ftc.spec.language.did_you_mean import nearest
from ftc.spec.tasks.rows import FOREIGN_MARKS

__all__ = ["asked_fault", "conversation_fault", "is_conversation", "is_empty", "is_plain", "is_turn", "plain_text"]

ROLES = ("system", "user", "assistant", "tool")
_MAY_FOLLOW = {
    "": ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}
"""Roles by the role before; chat templates refuse other orders, or leave turns out in silence."""


def conversation_fault(messages: Any) -> tuple[str, str] | None:
    """Code and words for the first thing wrong with a row's messages, or None. The words complete "`messages` …"."""
    if _is_plain_exchange(messages):
        return None
    if not isinstance(messages, list):
        if isinstance(messages, str) and messages.lstrip().startswith("["):
            return "FTC363", "is text that contains a list; JSON lines can contain the list itself"
        return "FTC363", "is not a list of turns"
    before = ""
    for message in messages:
        if fault := _message_fault(message):
            return fault
        role = message["role"]
        if role not in _MAY_FOLLOW[before]:
            return "FTC365", f"has turns out of order: `{role}` {f'after `{before}`' if before else 'comes first'}"
        before = role
    if not messages:
        return "FTC365", "has no turns"
    if before != "assistant":
        return "FTC366", f"ends with a turn of `{before}`, which is not trained on"
    answers = [message for message in messages if message["role"] == "assistant"]
    if all(not message.get("tool_calls") and is_empty(_words(message.get("content"))) for message in answers):
        return "FTC364", "has only empty answers"
    return None


def _is_plain_exchange(messages: Any) -> bool:
    """Whether messages are what most are: texts in a right order, at whose end the assistant says something."""
    if type(messages) is not list:
        return False
    before = answer = ""
    for turn in messages:
        text = plain_text(turn, _MAY_FOLLOW[before])
        if text is None:
            return False
        before, answer = turn["role"], text
    return before == "assistant" and not is_empty(answer)


def is_plain(messages: Any) -> bool:
    """Whether messages are in their one form already, as most are: roles and texts, and nothing else."""
    return type(messages) is list and all(plain_text(turn, ROLES) is not None for turn in messages)


def plain_text(turn: Any, roles: Sequence[str]) -> str | None:
    """The text of a turn that is one of some roles, a text and nothing else; None for any other turn."""
    if type(turn) is not dict or len(turn) != 2 or turn.get("role") not in roles:
        return None
    return content if type(content := turn.get("content")) is str else None


def is_conversation(value: Any) -> bool:
    """Whether a prompt is meant as turns and not as text."""
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) for turn in value)


def is_turn(value: Any) -> bool:
    """Whether a value is a single turn, such as an answer of LLaMA-Factory's preferences: `{from, value}`."""
    return isinstance(value, dict) and any(one <= value.keys() for one in ({"role", "content"}, {"from", "value"}))


def asked_fault(turns: list[dict[str, Any]]) -> tuple[str, str] | None:
    """Code and words for what is wrong with a prompt of turns, of which the last is the user's, or None."""
    if (last := turns[-1].get("role")) == "assistant":
        return "FTC365", "ends with a turn of `assistant`; a prompt ends with one of `user`"
    if fault := conversation_fault([*turns, {"role": "assistant", "content": "x"}]):
        return fault
    if not all(isinstance(turn.get("content"), str) for turn in turns):
        return "FTC365", "has a turn whose content is not text"
    return None if last == "user" else ("FTC365", f"ends with a turn of `{last}`; a prompt ends with one of `user`")


def _words(content: Any) -> str:
    """The text of a turn's content, images left out."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


def _message_fault(message: Any) -> tuple[str, str] | None:
    if isinstance(message, dict) and "from" in message and "value" in message:
        return "FTC367", "mixes the ShareGPT format with another one"
    if not isinstance(message, dict) or "role" not in message:
        return "FTC365", "has a turn that is not a `{role, content}` object"
    role = message["role"]
    if role not in ROLES:
        guess = nearest(role, ROLES) if isinstance(role, str) else None
        known = f"did you mean `{guess}`?" if guess else f"known are {', '.join(ROLES)}"
        return "FTC365", f"has a turn with an unknown role; {known}"
    if calls := message.get("tool_calls"):  # such a turn may say nothing beside
        if role != "assistant":
            return "FTC365", "has tool calls in a turn that is not the assistant's"
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            return "FTC365", "has `tool_calls` that are not a list of objects"
    elif "content" not in message:
        return "FTC365", "has a turn that is not a `{role, content}` object"
    if fault := _content_fault(message.get("content"), role, may_be_absent=bool(calls)):
        return fault
    if mark := next((key for key in FOREIGN_MARKS if message.get(key) not in (None, False)), None):
        return "FTC363", f"has a turn whose `{mark}` is not 0, 1, false or true"
    return None


def _content_fault(content: Any, role: str, *, may_be_absent: bool) -> tuple[str, str] | None:
    """What is wrong with a turn's content, which is text, or a list of texts and images in their one form."""
    if isinstance(content, str) or (may_be_absent and content is None):
        return None
    if not isinstance(content, list):
        return "FTC365", "has a turn whose content is not text"
    for part in content:
        match part:
            case {"type": "text", "text": str()}:
                continue
            case {"type": "image", "image": str()} if role == "user":
                continue
            case {"type": "image", "image": str()}:
                return "FTC365", f"has an image in a turn of `{role}`; a model reads images of the user"
            case {"type": "image"}:
                return "FTC365", "has an image without a path, an address or bytes"
            case {"type": str(kind)} if kind != "text":
                return "FTC365", f"has a part of the type `{str(kind)[:40]}`; known are `text` and `image`"
            case _:
                return "FTC365", "has a turn whose content is not text"
    return None


def is_empty(text: str) -> bool:
    """Whether nothing of a text can be seen: white space, and characters without width such as U+200B."""
    return all(char.isspace() or unicodedata.category(char) in _UNSEEN for char in text)


_UNSEEN = ("Cc", "Cf")
