"""Names of files and folders in documents: those that stay in the folder that they are relative to.

A document may come from a stranger, and what it names is opened, hashed or written. So a name that leads elsewhere
makes a document unreadable, wherever it stands.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticKnownError, core_schema

__all__ = ["NAME_PATTERN", "FileName", "InsidePath", "Spelled"]

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
"""What a job may be called; its runs lie in a folder of this name."""


class Spelled(NamedTuple):
    """Marks text that has to match a whole pattern, as `Field(pattern=…)` does, for patterns that repeat letters often.

    pydantic's engine writes out all of Unicode's letters for each repetition as it builds a validator: 100 of them take
    longer than everything else that `ftc validate` does. Python's reads the pattern, and only once a text is there.
    """

    pattern: str
    """Without `^` and `$`."""

    def _check(self, text: str) -> str:
        """The text, where it matches."""
        if re.fullmatch(self.pattern, text) is None:
            raise PydanticKnownError("string_pattern_mismatch", {"pattern": f"^{self.pattern}$"})
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """The text's own schema, and then the pattern."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The same as JSON Schema says it."""
        return {**handler(schema), "pattern": f"^{self.pattern}$"}


_MOST_BYTES = 255  # of one part of a path; what file systems take


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if not path.parts or path.is_absolute() or ".." in path.parts or PureWindowsPath(text).drive or "\0" in text:
        raise ValueError("not a path inside of its folder")
    if any(len(part.encode("utf-8", "replace")) > _MOST_BYTES for part in path.parts):
        raise ValueError(f"a name of more than {_MOST_BYTES} bytes")
    return text


def _single(text: str) -> str:
    if len(PurePosixPath(_inside(text)).parts) != 1:
        raise ValueError("not the name of one folder")
    return text


InsidePath = Annotated[str, AfterValidator(_inside)]
"""A path with slashes, relative to a folder that it doesn't leave."""
FileName = Annotated[str, AfterValidator(_single)]
"""The name of one file or folder."""
