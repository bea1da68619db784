"""Which interpreter and which installed packages a run would use, with a digest of each package's files; and WordNet.

The digest is over RECORD, the list of files and digests that every installer writes, less what installers add of
their own. It tells two builds of one version apart. A file that was edited after installation shows in the packages
that decide about numbers, whose files have a digest besides (`package_code`).
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError

from ftc.compiler.resolve.machine.extensions import asked_packages
from ftc.compiler.resolve.machine.package_code import DECIDES_NUMBERS, code_digest, files_digest
from ftc.spec import canonical
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.companion_settings import WordnetSettings
from ftc.spec.documents.facts import EnvironmentFacts, PackageFacts
from ftc.spec.fused_kernels import EXTRA as FUSED
from ftc.spec.metrics import WORDNET, needs_of
from ftc.spec.optimizer_choice import candidates
from ftc.spec.precisions import asks_float8
from ftc.spec.quantized_weights import TORCHAO
from ftc.spec.row_files import WORKBOOKS
from ftc.spec.sections.data import PathSource, PresidioRules
from ftc.spec.sections.evaluation import Eval
from ftc.spec.sections.recipe import Recipe
from ftc.spec.storage.cache import Cache
from ftc.spec.storage.cached import ENVIRONMENTS
from ftc.spec.storage.installed import installed_package
from ftc.spec.storage.paths import cache_folder
from ftc.spec.storage.wordnet import find_wordnet, wordnet_places

__all__ = [
    "asked_extras",
    "environment_of",
    "missing_presidio",
    "platform_tag",
    "record_digest",
    "resolve_environment",
    "resolve_wordnet",
]

_EXTRAS = frozenset(("train", "quant"))
_OURSELVES = "ftc"
_REQUIRED_EXTRA = "train"
_INSTALLERS_OWN = frozenset(
    {
        "INSTALLER",
        "REQUESTED",
        "RECORD",
        "RECORD.jws",
        "RECORD.p7s",
        "direct_url.json",
        "uv_cache.json",
        "uv_build.json",
    }
)
_OPTIONAL = ("flash-attn",)
"""Packages that a run uses where they are installed, and that no extra asks for, since few machines can build them."""
_FORMAT = 3  # of the remembered document; a new number forgets the old ones


def asked_extras(recipe: Recipe, *, reads_images: bool) -> frozenset[str]:
    """Extras whose packages can change what this recipe compiles to, beside those of every run.

    Args:
        recipe: What is wanted.
        reads_images: Whether the model does.
    """
    of_metrics = {need.extra for need in recipe.eval.needs()}
    of_optimizers = {card.extra for card in candidates(recipe.train.optimizer.kind, recipe.train.precision)} - _EXTRAS
    of_rows = {"pii"} if recipe.data.quality.presidio is not None else set()
    sources = recipe.data.source if isinstance(recipe.data.source, tuple) else (recipe.data.source,)
    paths = [source.path for source in sources if isinstance(source, PathSource)]
    of_rows |= {"excel"} if any(path.lower().endswith(WORKBOOKS) for path in paths) else set()
    of_model = {"vision"} if reads_images else set()
    rounds = recipe.train.quantize_aware is not None or asks_float8(recipe.train.precision)
    of_model |= {TORCHAO} if rounds else set()
    of_model |= {FUSED} if recipe.train.kernels != "torch" else set()
    return frozenset(of_metrics | of_optimizers | of_rows | of_model)


def environment_of(recipe: Recipe, *, reads_images: bool, folder: Path | None = None) -> EnvironmentFacts:
    """Facts of the running interpreter's environment, with all that a run of this recipe can use.

    Args:
        recipe: What is wanted.
        reads_images: Whether its model does.
        folder: Where the answer is remembered; None for ftc's cache.

    Raises:
        Refusal: FTC601, ftc isn't installed as a package.
    """
    return resolve_environment(folder, asked_extras(recipe, reads_images=reads_images), asked_packages(recipe))


def missing_presidio(rules: PresidioRules | None) -> Iterator[Diagnostic]:
    """A finding where a recipe asks for presidio and it isn't installed."""
    if rules is not None and find_spec("presidio_analyzer") is None:
        help, note = "`pip install 'ftc[pii]'` installs what `presidio` needs", "`presidio-analyzer` is not installed"
        summary = "`data.quality.presidio` needs more packages"
        yield diagnostic("FTC650", summary, help=help, notes=note, path="data.quality.presidio")


def resolve_environment(
    folder: Path | None = None, also: frozenset[str] = frozenset(), packages: frozenset[str] = frozenset()
) -> EnvironmentFacts:
    """Facts of the running interpreter's environment, with the packages of further extras where a recipe asks for them,
    and those that it names itself, with all that they need.

    The answer is remembered in `folder`, by default ftc's cache, and holds as long as no installed package's metadata
    changes, so a warm call costs a listing, two stats a package, and one a file of those that decide about numbers.

    Raises:
        Refusal: FTC601, ftc isn't installed as a package.
    """
    extras = _EXTRAS | also
    folder = folder or cache_folder()
    named = [["packages", *sorted(packages)]] if packages else []
    made_from = [_FORMAT, sys.version, platform_tag(), sorted(extras), *named, *_installed_stamps(sys.path)]
    digest = canonical.digest(made_from)
    cache, name, key = (
        Cache(ENVIRONMENTS.under(folder)),
        f"environment-{digest[:32]}.json",
        {"kind": "environment", "made_from": digest},
    )
    try:
        facts = EnvironmentFacts.model_validate_json(json.dumps(cache.recall(name, key)))
    except ValidationError:
        facts = _facts(extras, packages, digest)
        cache.keep(name, key, facts.to_json())
    return _with_code(facts, folder, packages)


def _with_code(facts: EnvironmentFacts, folder: Path, named: frozenset[str]) -> EnvironmentFacts:
    """The facts with digests of the files of those packages that decide about numbers, or that the recipe names, as
    these are now.
    """
    found = {name: code_digest(name, folder) for name in DECIDES_NUMBERS if name in facts.packages}
    found |= {name: files_digest(one) for name in named if (one := installed_package(name)) is not None}
    packages = {
        name: package.model_copy(update={"code_sha256": found[name]}) if found.get(name) else package
        for name, package in facts.packages.items()
    }
    return facts.model_copy(update={"packages": packages})


def platform_tag() -> str:
    """System, machine and interpreter, such as `linux-x86_64-cp311`."""
    implementation = "cp" if sys.implementation.name == "cpython" else sys.implementation.name
    return (
        f"{sys.platform}-{platform.machine().lower()}-{implementation}{sys.version_info.major}{sys.version_info.minor}"
    )


def record_digest(record: str) -> str:
    """Digest of a RECORD file's text: the files' paths and digests, whoever installed them.

    Left out: byte code, installers' own notes, and files outside the package folder, which are scripts whose first line
    names the interpreter.
    """
    rows = []
    for row in filter(None, csv.reader(record.splitlines())):
        path = row[0].replace("\\", "/")
        folder, _, name = path.rpartition("/")
        is_own = folder.endswith(".dist-info") and name in _INSTALLERS_OWN
        if not is_own and not path.endswith(".pyc") and not path.startswith(("..", "/")) and ":" not in path:
            rows.append((path, row[1] if len(row) > 1 else ""))
    return canonical.digest(sorted(rows))


def _installed_stamps(folders: Iterable[str]) -> list[tuple[str | int, ...]]:
    """One entry for each installed distribution, which changes when it is installed again."""
    return [
        (info.name, *_stamp(info / "RECORD"), *_stamp(info))
        for folder in folders
        for info in _metadata_folders(Path(folder))
    ]


def _metadata_folders(folder: Path) -> list[Path]:
    try:
        return sorted(item for item in folder.iterdir() if item.name.endswith((".dist-info", ".egg-info")))
    except OSError:  # import paths may name archives, or folders that aren't there
        return []


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        status = file.stat()
    except OSError:
        return ()
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@lru_cache(maxsize=8)
def _facts(extras: frozenset[str], named: frozenset[str], _stamps: str) -> EnvironmentFacts:
    """What is installed while `_stamps`, a digest of the metadata's stamps, holds: a process reads it once."""
    found, missing = _closure(extras, named)
    packages, unverified = {}, []
    for name in sorted(found):
        try:
            origin = json.loads(found[name].read_text("direct_url.json") or "{}")
            is_editable = bool(origin.get("dir_info", {}).get("editable"))
        except (ValueError, AttributeError):
            is_editable = False
        record = None if is_editable else found[name].read_text("RECORD")
        if not record:
            unverified.append(name)
        packages[name] = PackageFacts(version=found[name].version, sha256=record_digest(record or ""))
    return EnvironmentFacts(
        python=platform.python_version(),
        platform=platform_tag(),
        packages=packages,
        missing=tuple(sorted(missing)),
        unverified=tuple(unverified),
    )


def _closure(
    extras: frozenset[str], named: frozenset[str]
) -> tuple[dict[str, importlib.metadata.Distribution], set[str]]:
    """Installed distributions that ftc with these extras and packages can use, and names of the `train` extra that
    aren't installed.

    ftc itself is left out: the plan holds its version and the digest of its code. So is what an extra asks for by
    way of another one, whose packages have no say in what a run computes.
    """
    found: dict[str, importlib.metadata.Distribution] = {}
    pending = list(_requirements((*_own_requirements(), *_OPTIONAL, *sorted(named)), extras))
    missing = {name for name, _ in _requirements(_own_requirements(), frozenset({_REQUIRED_EXTRA}))}
    seen: set[tuple[str, frozenset[str]]] = set()
    while pending:
        name, its_extras = pending.pop()
        if (name, its_extras) in seen or name == _OURSELVES:
            continue
        seen.add((name, its_extras))
        try:
            found[name] = found.get(name) or importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        pending.extend(_requirements(found[name].requires or (), its_extras))
    return found, missing - found.keys() - {_OURSELVES}


def _own_requirements() -> list[str]:
    try:
        return importlib.metadata.requires(_OURSELVES) or []
    except importlib.metadata.PackageNotFoundError:
        help = "install it with `pip install ftc`, or `pip install -e .` in a checkout"
        raise Refusal([diagnostic("FTC601", "ftc isn't installed as a package", help=help)]) from None


def _requirements(lines: Iterable[str], extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Normalized name and extras of each requirement that holds on this platform, with any of `extras` or none."""
    from packaging.requirements import Requirement

    for line in lines:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in sorted({*extras, ""})):
            yield re.sub(r"[-_.]+", "-", requirement.name).lower(), frozenset(requirement.extras)


_HELP = "`apt-get install wordnet-base` or `python -m nltk.downloader wordnet` installs it; ftc doesn't download it"


def resolve_wordnet(asked: Eval, span_of: Callable[[str], Span | None]) -> WordnetSettings | None:
    """The WordNet of this machine by its digest; None where nothing is measured by METEOR.

    Raises:
        Refusal: nltk isn't installed (FTC650), or WordNet isn't here (FTC652).
    """
    path = next((path for name, path in asked.named() if WORDNET in needs_of([name])), None)
    if path is None:
        return None
    span = span_of(path)
    if find_spec(WORDNET.package) is None:
        help = f"`pip install 'ftc[{WORDNET.extra}]'` installs what METEOR needs"
        note = f"`{WORDNET.package}` is not installed"
        raise Refusal([diagnostic("FTC650", "METEOR needs more packages", span, help=help, notes=note, path=path)])
    found = find_wordnet()
    if found is None:
        places = dict.fromkeys(str(place.with_suffix("")) for place in wordnet_places())
        note = f"no complete copy in {', '.join(places)}"
        raise Refusal([diagnostic("FTC652", "METEOR needs WordNet", span, help=_HELP, notes=note, path=path)])
    return WordnetSettings(release=found.release, sha256=found.sha256)
