"""Why a document that ftc wrote can't be read back, in one line for people."""

from __future__ import annotations

from pydantic import ValidationError

__all__ = ["reason_of"]


def reason_of(problem: ValidationError | OSError) -> str:
    """The first thing that is wrong, with its place in the document where there is one."""
    if isinstance(problem, OSError):
        return problem.strerror or str(problem)
    first = problem.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"at `{where}`: {first['msg']}" if where else first["msg"]
