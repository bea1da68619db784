"""A model's tokenizer.json, loaded: what the library can't load or fails on is a finding that names the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.storage.native import LibraryFault, native

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["FILE", "load_tokenizer", "refused_tokenizer", "tokenizer_call"]

FILE = "tokenizer.json"

P = ParamSpec("P")
T = TypeVar("T")


def load_tokenizer(file: Path) -> Tokenizer:
    """The tokenizer in a file, as the installed library reads it.

    Raises:
        Refusal: The library can't load it (FTC311).
    """
    from tokenizers import Tokenizer

    try:
        return native(Tokenizer.from_file, str(file))
    except LibraryFault as fault:
        raise refused_tokenizer(file, str(fault)) from fault.cause


def refused_tokenizer(file: Path, reason: str) -> Refusal:
    """What is said of a tokenizer's file that can't be used (FTC311)."""
    import importlib.metadata

    version = importlib.metadata.version("tokenizers")
    found = diagnostic(
        "FTC311",
        f"`{file.name}` of the model can't be loaded",
        notes=[
            f"{file.parent.name}/{file.name}: {reason}",
            f"read by tokenizers {version}",
        ],
        help=(
            "fetch the file again, or take it from the model's original folder",
            "a newer release of `tokenizers` may know what this one doesn't",
        ),
        path="model.base",
    )
    return Refusal([found])


def tokenizer_call(file: Path, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a loaded tokenizer makes of texts or ids.

    Raises:
        Refusal: The library failed (FTC325).
        TypeError: A text has no UTF-8 form.
    """
    try:
        return native(call, *args, **kwargs)
    except LibraryFault as fault:
        if isinstance(fault.cause, TypeError):  # how tokenizers reports half of a surrogate pair
            raise fault.cause from None
        raise Refusal([_failed(file, str(fault))]) from fault.cause


def _failed(file: Path, reason: str) -> Diagnostic:
    return diagnostic(
        "FTC325",
        f"`{file.name}` of the model fails on the text that it is given",
        notes=f"{file.parent.name}/{file.name}: {reason}",
        help=(
            "compare the file with the one in the model's original folder",
            "its normalizer, its pre-tokenizer and its post-processor are what such a failure comes from",
        ),
        path="model.base",
    )
