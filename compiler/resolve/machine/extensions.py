"""Installed packages that a recipe names, such as for a metric or a loss: what they declare, read without an import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ftc.compiler.resolve.rows.source_paths import source_paths
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.plan import Check
from ftc.spec.documents.quality import CheckName
from ftc.spec.extension_points import ExtensionPoint, PackageEntry, extension_point, package_entry
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.sections.data import PathSource
from ftc.spec.sections.recipe import Recipe
from ftc.spec.storage.installed import InstalledPackage, installed_package

__all__ = ["NamedEntry", "asked_packages", "named_entries", "reading_packages", "resolve_extensions"]


class NamedEntry(NamedTuple):
    """What a recipe names of a package."""

    entry: PackageEntry
    point: ExtensionPoint
    path: str
    """Its place in the recipe."""


def named_entries(recipe: Recipe) -> Iterator[NamedEntry]:
    """Everything that a recipe names of packages, in the order of its sections."""
    for path, source in source_paths(recipe.data).values():
        if isinstance(source, PathSource) and source.reader and (entry := package_entry(source.reader)):
            yield NamedEntry(entry, extension_point("row_reader"), f"{path}.reader")
    rewards = recipe.task.sampling.rewards if recipe.task.sampling else ()
    for number, reward in enumerate(rewards):
        if reward.name and (entry := package_entry(reward.name)):
            yield NamedEntry(entry, extension_point("reward"), f"task.rewards[{number}].name")
    if (loss := recipe.train.loss) and (entry := package_entry(loss)) and (point := recipe.task.loss_point):
        yield NamedEntry(entry, extension_point(point), "train.loss")
    for name, path in recipe.eval.named():
        if entry := package_entry(name):
            yield NamedEntry(entry, extension_point("metric"), path)


def asked_packages(recipe: Recipe) -> frozenset[str]:
    """Packages that a run of this recipe imports, by their normal names."""
    return frozenset(named.entry.distribution for named in named_entries(recipe))


def reading_packages(recipe: Recipe) -> frozenset[str]:
    """Packages that read this recipe's rows, by their normal names."""
    reads = extension_point("row_reader")
    return frozenset(named.entry.distribution for named in named_entries(recipe) if named.point == reads)


def resolve_extensions(recipe: Recipe, span_of: Callable[[str], Span | None]) -> tuple[Check, ...]:
    """What a plan says of each package: its version, and what is asked of it.

    Raises:
        Refusal: A package isn't installed (FTC480), doesn't offer what is named (FTC481), or can't be locked (FTC482).
    """
    each = [*named_entries(recipe)]
    named = [*{(one.entry, one.point): one for one in reversed(each)}.values()][::-1]  # each once, at its first place
    packages = {one.entry.distribution: installed_package(one.entry.distribution) for one in named}
    found: list[Diagnostic] = []
    for one in named:
        code, summary, help = _fault(one, packages[one.entry.distribution])
        if summary:
            found.append(diagnostic(code, summary, span_of(one.path), help=help, path=one.path))
    if found:
        raise Refusal(found)
    asked: dict[str, dict[str, None]] = {name: {} for name in packages}
    called: dict[str, dict[str, None]] = {name: {} for name in packages}
    for one in named:
        asked[one.entry.distribution][f"{one.point.title} `{one.entry.name}`"] = None
        called[one.entry.distribution][one.point.called] = None
    lines = (
        f"{name} {package.version}: {', '.join(asked[name])}; {'; '.join(called[name])}"
        for name, package in sorted(packages.items())
        if package is not None
    )
    return tuple(Check(name=CheckName.PACKAGE, code=None, result=line) for line in lines)


def _fault(named: NamedEntry, package: InstalledPackage | None) -> tuple[str, str, str]:
    """Code, summary and help; without a summary where nothing is wrong."""
    (distribution, name), group = named.entry, named.point.group
    if package is None:
        help = f"`pip install {distribution}` installs it, and a run executes its code: install only what you trust"
        return "FTC480", f"the package `{distribution}` is not installed", help
    offered = sorted(one for of, one in package.entries if of == group)
    if name not in offered:
        close = nearest(name, offered)
        known = f"it offers {', '.join(f'`{distribution}:{one}`' for one in offered)}" if offered else "it offers none"
        help = f"did you mean `{distribution}:{close}`?" if close else known
        return "FTC481", f"`{distribution}` {package.version} declares no `{name}` in the group `{group}`", help
    if (fault := package.fault()) is not None:
        return "FTC482", f"the files of `{distribution}` can't be locked: {fault}", "install it with `pip install`"
    return "", "", ""
