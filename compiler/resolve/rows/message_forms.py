"""Turns of conversations as people write them, brought into one form: ShareGPT's, and both of OpenAI's. Pure.

What can't be understood stays as it is, for the checks.
"""

from __future__ import annotations

from typing import Any

from ftc.compiler.resolve.rows.conversation_checks import is_turn
from ftc.spec.tasks.rows import FOREIGN_MARKS, TRAIN_MARK

__all__ = ["as_messages", "as_tools", "as_turns"]

_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard", "model", "function_call"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function", "function_response"), "tool"),
    "system": "system",
}
"""Our name of a role by ShareGPT's."""


def as_messages(value: Any) -> Any:
    """ShareGPT's `{from, value}` as `{role, content}`, `developer` as `system`, and one mark for untrained turns."""
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        return value
    if all({"from", "value"} <= turn.keys() for turn in value):
        marks = [{key: turn[key] for key in FOREIGN_MARKS if key in turn} for turn in value]
        said = [{"role": _role(turn["from"]), "content": turn["value"]} for turn in value]
        value = [{**turn, **own} for turn, own in zip(said, marks, strict=True)]
    value = [{**turn, "role": "system"} if turn.get("role") == "developer" else turn for turn in value]
    value = [_with_tool_calls(turn) for turn in value]
    return [_marked(turn) if turn.keys() & set(FOREIGN_MARKS) else turn for turn in value]


def _with_tool_calls(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn of OpenAI's older form as one of the newer: `function_call` as `tool_calls`, and the role `function`."""
    turn = {**turn, "role": "tool"} if turn.get("role") == "function" else turn
    if "function_call" not in turn or turn.get("tool_calls"):
        return turn
    call, kept = turn["function_call"], {key: value for key, value in turn.items() if key != "function_call"}
    if call is None:
        return kept
    return {**kept, "tool_calls": [{"type": "function", "function": call}]} if isinstance(call, dict) else turn


def as_tools(functions: Any) -> Any:
    """The functions that a model may call, in OpenAI's older form, as tools; what has no name stays for the checks."""
    if not isinstance(functions, list) or not all(isinstance(one, dict) and "name" in one for one in functions):
        return functions
    return [{"type": "function", "function": one} for one in functions]


def as_turns(value: Any) -> Any:
    """The same of an answer, of which a single turn may stand without a list around it."""
    return as_messages([value] if is_turn(value) else value)


def _role(name: Any) -> Any:
    return _ROLES.get(name, name) if isinstance(name, str) else name


def _marked(turn: dict[str, Any]) -> dict[str, Any]:
    """A message with `train: false` where its marks say so; marks that can't be understood stay for the checks."""
    marks = [turn[key] for key in FOREIGN_MARKS if key in turn]
    if any(isinstance(mark, str) or mark not in (0, 1, None) for mark in marks):
        return turn
    plain = {key: value for key, value in turn.items() if key not in FOREIGN_MARKS}
    return {**plain, TRAIN_MARK: False} if any(mark is not None and not mark for mark in marks) else plain
