"""Functions of installed packages that a plan names: the one place where ftc imports what others wrote.

A run compares the packages with its plan first (`ftc.runtime.execution.verify`). A static audit never comes here; a
plan does in child processes alone, and only for what a card says so.
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.extension_points import ExtensionPoint, extension_point, package_entry
from ftc.spec.storage.installed import installed_package

__all__ = ["failed_at", "metric_value", "package_function", "reward_value", "words_of"]


def metric_value(name: str, answer: str, references: Sequence[str]) -> float:
    """What a package's metric gives an answer.

    Args:
        name: Package and metric, such as `courtesy-metrics:courtesy`.
        answer: As the model wrote it.
        references: Right answers of the row; none where no answer is right.

    Raises:
        Refusal: The package isn't installed (FTC480), or gives no such value (FTC483).
    """
    return _value(extension_point("metric"), name, answer, tuple(references))


def reward_value(name: str, answer: str, reference: str) -> float:
    """What a package's reward gives an answer; `reference` is empty where the recipe compares with none.

    Raises:
        Refusal: The package isn't installed (FTC480), or gives no such value (FTC483).
    """
    return _value(extension_point("reward"), name, answer, reference)


def _value(point: ExtensionPoint, name: str, *given: Any) -> float:
    function = package_function(point, name)
    try:
        value = function(*given)
    except Exception as error:
        raise failed_at(point, name, f"raised {words_of(error)}") from error
    if isinstance(value, bool | int | float) and math.isfinite(value) and point.least <= value <= point.most:
        return float(value)
    bounds = "a finite number" if math.isinf(point.most) else f"a number from {point.least:g} to {point.most:g}"
    raise failed_at(point, name, f"returned {repr(value)[:80]}, which is not {bounds}")


@lru_cache(maxsize=64)
def package_function(point: ExtensionPoint, name: str) -> Callable[..., Any]:
    """What a package offers at a point under a name.

    Raises:
        Refusal: The package isn't installed (FTC480), its files can't be checked (FTC482) or imported (FTC483).
    """
    group, entry = point.group, package_entry(name)
    assert entry is not None, "a recipe's name is one of a package"
    package = installed_package(entry.distribution)
    value = package.entries.get((group, entry.name)) if package else None
    if package is None or value is None:
        summary = f"`{entry.distribution}` with the {point.title} `{entry.name}` is not installed"
        raise Refusal([diagnostic("FTC480", summary, help="install what the plan's lock names")])
    if fault := package.fault():
        raise Refusal([diagnostic("FTC482", f"the files of `{entry.distribution}` can't be checked: {fault}")])
    try:
        found = importlib.metadata.EntryPoint(entry.name, value, group).load()
    except Exception as error:
        raise failed_at(point, name, f"can't be imported: {words_of(error)}") from error
    if not callable(found):
        raise failed_at(point, name, f"is {type(found).__name__}, not a function {point.signature}")
    function: Callable[..., Any] = found
    return function


def words_of(error: Exception) -> str:
    """An exception's type and the first line of its text."""
    line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {line[:200]}" if line else type(error).__name__


def failed_at(point: ExtensionPoint, name: str, what: str) -> Refusal:
    """The refusal of a package's function that doesn't do what its point asks for."""
    help = f"fix the package, or remove it from the recipe; a {point.title} is a function {point.signature}"
    return Refusal([diagnostic("FTC483", f"the {point.title} `{name}` {what}", help=help)])
