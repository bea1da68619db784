"""What `ftc pack` and `ftc unpack` say. Pure functions from documents to text."""

from __future__ import annotations

import shlex

from ftc.spec.documents.package import PackReport, UnpackReport
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped

__all__ = ["packed_text", "unpacked_text"]


def packed_text(found: PackReport, *, page: Page = PLAIN) -> str:
    """The answer of `ftc pack`."""
    holds = [numbers.plural(found.files, "file"), numbers.byte_size(found.size)]
    parts = [f"token streams {numbers.byte_size(found.stream_bytes)}"]
    parts += [f"models {numbers.byte_size(found.model_bytes)}"] if found.model_bytes else []
    lines = [
        *page.flow("packed", [page.strong(escaped(found.file)), *holds]),
        *page.flow("plan", [f"{found.plan_sha256[:12]} of {escaped(found.name)}"]),
        *page.flow("holds", parts),
        *page.flow("rows", ["no data files; the token streams can be decoded into their texts"]),
    ]
    if found.left_out:
        lines += page.flow("left out", [escaped(name) for name in found.left_out])
    words = ["ftc", "unpack", found.file, "--expect", found.sha256[:12]]
    lines += page.flow("there", [escaped(shlex.join(words))])
    return "\n".join(lines) + "\n"


def unpacked_text(found: UnpackReport, *, page: Page = PLAIN) -> str:
    """The answer of `ftc unpack`."""
    holds = [numbers.plural(found.files, "file"), numbers.byte_size(found.size)]
    lines = [
        *page.flow(found.status, [page.strong(escaped(found.folder)), *holds]),
        *page.flow("plan", [f"{found.plan_sha256[:12]} of {escaped(found.name)}"]),
        *page.flow("compared", ["every file with the package's list, and the list with the plan"]),
    ]
    for name in found.missing:
        lines += page.flow("missing", [f"{escaped(name)}: put it where the recipe names it, or into the hub's cache"])
    words = ["ftc", "apply", f"{found.folder}/{found.plan}", "--expect", found.plan_sha256[:12]]
    lines += page.flow("run it", [escaped(shlex.join(words))])
    return "\n".join(lines) + "\n"
