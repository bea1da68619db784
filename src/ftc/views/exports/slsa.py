"""SLSA provenance v1 in an in-toto statement v1: which inputs and settings gave the files of a run's result.

`docs/exports.md` is the description that the build type asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ftc.spec.companions import COMPANIONS
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.views.exports.common import (
    base_address,
    companion_address,
    ended_at,
    known,
    result_files,
    source_files,
    started_at,
)

__all__ = ["BUILDER", "BUILD_TYPE", "slsa_statement"]

BUILD_TYPE = "urn:ftc:apply:1"
"""What the parameters below mean; a changed meaning gets another number."""

BUILDER = "urn:ftc:local"
"""The record's word is that of whoever ran `ftc apply`, and no service vouches for it."""


def slsa_statement(plan: Plan, record: RunRecord) -> dict[str, Any]:
    """The statement about a finished run."""
    documents = {"plan.json": plan.sha256, "lock of the plan": plan.lock.digest(), "record.json": record.sha256}
    files = {name: facts.sha256 for name, facts in record.outputs.items()}
    results = {name for name, _ in result_files(record)}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in result_files(record)],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": known(
                    recipe_file=plan.recipe_file, recipe=plan.recipe.said(), overrides=list(plan.overrides)
                ),
                "internalParameters": {
                    "settings": plan.settings.to_json(),
                    "platform": record.observed.platform,
                    "device": record.observed.device,
                    "determinism": record.determinism.level,
                },
                "resolvedDependencies": list(_dependencies(plan, record)),
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER,
                    "version": {"ftc": record.ftc_version},
                    "builderDependencies": [
                        {"name": "ftc", "annotations": {"source_files_sha256": record.observed.code.ftc_sha256}}
                    ],
                },
                "metadata": known(invocationId=record.id, startedOn=started_at(record), finishedOn=ended_at(record)),
                "byproducts": [
                    *({"name": name, "annotations": {"content_sha256": sha256}} for name, sha256 in documents.items()),
                    *({"name": name, "digest": {"sha256": files[name]}} for name in sorted(files.keys() - results)),
                ],
            },
        },
    }


def _dependencies(plan: Plan, record: RunRecord) -> Iterator[dict[str, Any]]:
    """Every file of model and data with its digest, then the project's commit and the packages."""
    base = base_address(plan)
    for name, file in sorted(plan.lock.model.files.items()):
        yield _input(f"{base}/{name}", file.sha256, role="base model")
    for card in COMPANIONS:
        if card.shapes_weights and (pinned := card.pinned(plan.settings)):
            for name, file in sorted(pinned.files.items()):
                yield _input(f"{companion_address(pinned)}/{name}", file.sha256, role=card.title)
    if (parent := plan.settings.model.parent) is not None:
        for name, file in sorted(parent.files.items()):
            yield _input(f"{parent.adapter}/{name}", file.sha256, role="adapter that is continued")
    for use, source in sorted(plan.lock.data.sources.items()):
        for _, address, file in source_files(use, source):
            yield _input(address, file.sha256, role=f"data: {use}", rows_sha256=source.rows_sha256)
    if commit := record.observed.code.project_commit:
        yield {"name": "project", "digest": {"gitCommit": commit}}
    environment = record.observed.environment
    yield {"name": "python", "annotations": {"version": environment.python}}
    for name, package in sorted(environment.packages.items()):
        notes = known(installed_files_sha256=package.sha256)
        yield known(name=name, uri=f"pkg:pypi/{name}@{package.version}", annotations=notes)


def _input(address: str, sha256: str, **notes: str) -> dict[str, Any]:
    """A file by its digest, and by its address where that is a URI; a path is a name."""
    where = {"uri": address} if "://" in address else {"name": address}
    return {**where, "digest": {"sha256": sha256}, "annotations": notes}
