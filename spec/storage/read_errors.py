"""Why a document that ftc wrote can't be read back, in one line for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["reason_of"]


def reason_of(problem: ValidationError | OSError) -> str:
    """The first thing that is wrong, with its place in the document where there is one."""
    if isinstance(problem, OSError):
        return problem.strerror or str(problem)
    first = problem.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"`{where}` {_words(first)}" if where else _words(first)


def _words(error: ErrorDetails) -> str:
    """What completes a sentence about a place; pydantic's own words are for those who write the model."""
    more = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is no key of this document"
        case "literal_error":
            return f"is not {more['expected']}".replace("'", "`")
        case "json_invalid":
            return f"not JSON: {more['error']}"
        case _:
            return f"can't be this: {error['msg']}" if error["loc"] else error["msg"]
