"""Images in rows, as people write them, brought into one form: a list of references, and parts of a message's content.

OpenAI's `image_url`, the `image` of transformers' templates with path, address or bytes, the `{bytes, path}` of
`datasets`, parts that refer to a column beside the messages, and LLaVA's `<image>` inside of a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ftc.compiler.resolve.rows.joined_labels import list_in

__all__ = ["image_references", "with_parts"]

_MARK = "<image>"
"""Where an image stands in a text, in rows as LLaVA was trained on."""


def image_references(value: Any) -> Any:
    """The references in a column of images as a list of texts, which a CSV cell has as text; what can't be understood
    stays as it is.
    """
    if value is None or value == "":
        return []
    if isinstance(value, str) and (listed := list_in(value)) is not None:
        value = listed
    items = value if isinstance(value, list) else [value]
    found = [_reference(item) for item in items]
    return found if all(isinstance(one, str) for one in found) else value


def _reference(value: Any) -> str | None:
    """A path, or a data URI."""
    match value:
        case str():
            return value
        case {"bytes": str(data)} if data:
            return data
        case {"path": str(path)} | {"url": str(path)} | {"image": str(path)} if path:
            return path
        case {"base64": str(data)}:
            return f"data:;base64,{data}"
        case {"image_url": inner} | {"image": dict() as inner}:
            return _reference(inner)
        case _:
            return None


def with_parts(messages: Any, beside: Any) -> tuple[Any, Any]:
    """Messages whose content is text, or a list of texts and images where it has any; and images that none took.

    Args:
        messages: In our own form of roles and contents.
        beside: References of a column beside them, for images that have none of their own.
    """
    if not isinstance(messages, list) or not isinstance(beside, list):
        return messages, beside
    waiting = iter(beside)
    return [_message(message, waiting, marks=bool(beside)) for message in messages], [*waiting]


def _message(message: Any, waiting: Iterator[str], *, marks: bool) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list) or (marks and isinstance(content, str) and _MARK in content):
        return {**message, "content": _content(content, waiting)}
    return message


def _content(content: list[Any] | str, waiting: Iterator[str]) -> Any:
    if isinstance(content, str):
        first, *rest = content.split(_MARK)
        pieces: list[dict[str, Any]] = [{"type": "text", "text": first}] if first.strip() else []
        for text in rest:
            pieces.append(_image(next(waiting, None)))
            pieces += [{"type": "text", "text": text.removeprefix("\n")}] if text.strip() else []
        return pieces
    parts = [_part(part, waiting) for part in content]
    if all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str) for part in parts
    ):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: Any, waiting: Iterator[str]) -> Any:
    match part:
        case {"type": "image" | "image_url" | "input_image"}:
            own = {key: value for key, value in part.items() if key != "type"}
            return _image(_reference(own) or next(waiting, None))
        case {"type": "input_text", "text": text}:
            return {"type": "text", "text": text}
        case {"type": "text", "text": text}:
            return {"type": "text", "text": text}
        case _:
            return part


def _image(reference: str | None) -> dict[str, Any]:
    return {"type": "image"} if reference is None else {"type": "image", "image": reference}
