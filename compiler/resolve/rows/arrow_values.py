"""Which values of Parquet and Arrow files a row of JSON can hold: plain ones, and the bytes of images as text."""

from __future__ import annotations

import base64
from typing import Any

__all__ = ["holds_bytes", "is_plain", "with_text_for_bytes"]


def is_plain(kind: Any) -> bool:
    """Whether values are text, numbers, truth values or nothing, or lists and objects of these."""
    from pyarrow import types

    if types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return is_plain(kind.value_type)
    if types.is_struct(kind):
        return all(is_plain(kind.field(number).type) for number in range(kind.num_fields))
    is_text = types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view"
    return is_text or any(test(kind) for test in (types.is_null, types.is_boolean, types.is_integer, types.is_floating))


def holds_bytes(kind: Any) -> bool:
    """Whether values are bytes, `{bytes, path}` as `datasets` writes images, or lists of these."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind):
        return holds_bytes(kind.value_type)
    if types.is_struct(kind):
        fields = {kind.field(number).name: kind.field(number).type for number in range(kind.num_fields)}
        return "bytes" in fields and all(is_plain(one) for name, one in fields.items() if name != "bytes")
    return any(test(kind) for test in (types.is_binary, types.is_large_binary))


def with_text_for_bytes(value: Any) -> Any:
    """A value in which base64 stands for bytes, since a row of JSON can't hold them."""
    match value:
        case bytes():
            return f"data:;base64,{base64.b64encode(value).decode()}"
        case list():
            return [with_text_for_bytes(item) for item in value]
        case dict():
            return {name: with_text_for_bytes(item) for name, item in value.items()}
        case _:
            return value
