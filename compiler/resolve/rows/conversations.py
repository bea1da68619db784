"""What a conversation must look like to be trained on."""

from __future__ import annotations

from typing import Any

from ftc.spec.language.did_you_mean import nearest

__all__ = ["ROLES", "conversation_fault"]

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
    if not isinstance(messages, list):
        return "FTC363", _no_list(messages)
    before = ""
    for message in messages:
        if fault := _message_fault(message):
            return fault
        role = message["role"]
        if role not in _MAY_FOLLOW[before]:
            return "FTC365", f"has turns out of order: `{role}` {f'after `{before}`' if before else 'comes first'}"
        before = role
    if not messages:
        return "FTC365", "holds no turn"
    if before != "assistant":
        return "FTC366", f"ends with a turn of `{before}`, so that its end teaches nothing"
    if not any(message["role"] == "assistant" and _says_something(message) for message in messages):
        return "FTC364", "has no answer but empty ones"
    return None


def _no_list(messages: Any) -> str:
    if isinstance(messages, str) and messages.lstrip().startswith("["):
        return "is text that holds a list; JSON lines can hold the list itself"
    return "is no list of turns"


def _says_something(message: dict[str, Any]) -> bool:
    return bool(message.get("tool_calls")) or bool((message.get("content") or "").strip())


def _message_fault(message: Any) -> tuple[str, str] | None:
    if isinstance(message, dict) and "from" in message and "value" in message:
        return "FTC367", "is in the ShareGPT form, but not as a whole"
    if not isinstance(message, dict) or "role" not in message:
        return "FTC365", "holds a turn that is no `{role, content}`"
    role = message["role"]
    if role not in ROLES:
        guess = nearest(role, ROLES) if isinstance(role, str) else None
        known = f"did you mean `{guess}`?" if guess else f"known are {', '.join(ROLES)}"
        return "FTC365", f"holds a turn of an unknown role; {known}"
    if message.get("tool_calls"):
        return _calls_fault(message)
    if "content" not in message:
        return "FTC365", "holds a turn that is no `{role, content}`"
    if not isinstance(message["content"], str):
        return "FTC365", "holds a turn whose content is no text"
    return None


def _calls_fault(message: dict[str, Any]) -> tuple[str, str] | None:
    """What is wrong with a turn that calls tools; it may say nothing beside."""
    calls = message["tool_calls"]
    if message["role"] != "assistant":
        return "FTC365", "holds a turn that calls tools and isn't the assistant's"
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        return "FTC365", "holds `tool_calls` that are no list of objects"
    if not isinstance(message.get("content"), str | None):
        return "FTC365", "holds a turn whose content is no text"
    return None
