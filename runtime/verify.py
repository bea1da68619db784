"""Before the first step: everything that the plan rests on is compared with what is there, and all differences told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from ftc.runtime.inputs import Inputs
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.facts import EnvironmentFacts
from ftc.spec.plan import Plan
from ftc.spec.streams import open_stream

__all__ = ["verify", "verify_inputs"]


def verify(plan: Plan, inputs: Inputs, folder: Path) -> None:
    """Compares model files, token streams, packages and disk with the plan.

    Raises:
        Refusal: Something differs; one finding for each thing, with both values.
    """
    findings = [*_inputs(plan, inputs), *_packages(plan, inputs.environment), *_disk(plan, folder)]
    if findings:
        raise Refusal(findings)


def verify_inputs(plan: Plan, inputs: Inputs) -> None:
    """Compares model files and token streams alone with the plan.

    Raises:
        Refusal: Something differs; one finding for each thing, with both values.
    """
    if findings := [*_inputs(plan, inputs)]:
        raise Refusal(findings)


def _inputs(plan: Plan, inputs: Inputs) -> Iterator[Diagnostic]:
    yield from _model_files(plan, inputs.model_folder)
    yield from _streams(plan, inputs.streams_folder)


def _model_files(plan: Plan, folder: Path) -> Iterator[Diagnostic]:
    for name, expected in sorted(plan.lock.model.files.items()):
        path = folder / name
        if not path.is_file():
            yield _model_file(name, "it is missing")
        elif path.stat().st_size != expected.size:
            yield _model_file(name, f"it has {path.stat().st_size:,} bytes, the plan says {expected.size:,}")
        elif (found := file_digest(path)) != expected.sha256:
            yield _model_file(name, f"its sha256 is {found}, the plan says {expected.sha256}")


def _streams(plan: Plan, folder: Path) -> Iterator[Diagnostic]:
    for split, expected in sorted(plan.lock.data.splits.items()):
        try:
            found = open_stream(folder / f"{split}.arrow").digest()
        except OSError:
            yield _stream(split, "its file is missing or no Arrow file")
        except ValueError as error:
            yield _stream(split, str(error))
        else:
            if found != expected.stream_sha256:
                yield _stream(split, f"its digest is {found}, the plan says {expected.stream_sha256}")


def _packages(plan: Plan, found: EnvironmentFacts) -> Iterator[Diagnostic]:
    locked = plan.lock.platforms[plan.platform]
    if plan.platform != found.platform:
        yield _package("platform", found.platform, f"the plan is for {plan.platform}")
        return
    if locked.python != found.python:
        yield _package("python", found.python, f"the lock says {locked.python}")
    for name in sorted(locked.packages.keys() | found.packages.keys()):
        want, have = locked.packages.get(name), found.packages.get(name)
        if want == have:
            continue
        if have is None or want is None or want.version != have.version:
            yield _package(
                name, have.version if have else "absent", f"the lock says {want.version if want else 'absent'}"
            )
        else:
            yield _package(name, f"{have.version} with digest {have.sha256[:12]}", f"the lock says {want.sha256[:12]}")


def _disk(plan: Plan, folder: Path) -> Iterator[Diagnostic]:
    free = shutil.disk_usage(folder).free
    if free < plan.disk_bytes:
        yield diagnostic(
            "FTC631",
            f"the run can take {_mib(plan.disk_bytes)} of disk, {_mib(free)} are free",
            help="free some space, or lower `train.keep_checkpoints`",
            path="train.keep_checkpoints",
        )


def _model_file(name: str, why: str) -> Diagnostic:
    return diagnostic(
        "FTC620",
        f"model file `{name}` is not the plan's",
        notes=why,
        help="put the file back, or plan again",
    )


def _stream(split: str, why: str) -> Diagnostic:
    return diagnostic(
        "FTC621",
        f"the token stream of `{split}` is not the plan's",
        notes=why,
        help="plan again; it compiles the rows anew",
    )


def _package(name: str, found: str, locked: str) -> Diagnostic:
    return diagnostic(
        "FTC622",
        f"`{name}` here: {found}; {locked}",
        help="install the locked version, or plan again and review the lock",
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
