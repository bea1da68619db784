"""A bill of materials in CycloneDX 1.6: the tuned model with its card, and what it was made of."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from ftc.spec.companions import COMPANIONS
from ftc.spec.documents.companion_settings import CompanionModel
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.text_forms import form_card
from ftc.views import numbers
from ftc.views.exports.common import ended_at, known, result_files, source_address, source_files
from ftc.views.words import pipeline

__all__ = ["cyclonedx_bom"]

_SPDX = {
    id.lower(): id
    for id in (
        *("AGPL-3.0", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0"),
        *("CC-BY-SA-4.0", "CC0-1.0", "GPL-2.0", "GPL-3.0", "LGPL-3.0", "MIT", "MPL-2.0", "Unlicense"),
    )
}
"""Spelling of the licenses that ftc knows by their words; others are given by name."""


def cyclonedx_bom(plan: Plan, record: RunRecord, evaluation: Evaluation | None) -> dict[str, Any]:
    """The bill of a finished run."""
    parts = [_base(plan), *_beside(plan), *_data(plan), *_libraries(record)]
    facts = {
        "run": record.id,
        "status": record.status,
        "plan_sha256": plan.sha256,
        "lock_sha256": plan.lock.digest(),
        "record_sha256": record.sha256,
        "weights_sha256": record.final_weights_sha256,
        "determinism": record.determinism.level,
        "device": record.observed.device,
        **{f"rows_of_{name}": str(report.rows) for name, report in plan.splits},
    }
    approach = "self-supervised" if form_card(plan.settings.text.form).is_self_supervised else "supervised"
    parameters = {
        "approach": {"type": approach},
        "task": pipeline(plan),
        "architectureFamily": f"transformer, {plan.settings.model.family.replace('_', '-')}",
        "modelArchitecture": plan.settings.model.architecture,
        "datasets": [{"ref": _data_ref(use)} for use in sorted(plan.lock.data.sources)],
    }
    limits = [f"not checked: {item}" for item in plan.not_checked]
    result = {
        "type": "machine-learning-model",
        "bom-ref": f"run:{record.id}",
        "name": plan.name,
        "version": record.id,
        "description": f"{plan.settings.strategy.words()}, from {plan.model.name}",
        "modelCard": known(
            modelParameters=known(**parameters),
            quantitativeAnalysis=known(performanceMetrics=list(_metrics(evaluation))),
            considerations=known(technicalLimitations=limits),
        ),
        "components": [
            {"type": "file", "bom-ref": f"run:{record.id}/{name}", "name": name, "hashes": _sha256(sha256)}
            for name, sha256 in result_files(record)
        ],
        "properties": _properties(facts),
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'{record.schema_}:{record.sha256}')}",
        "version": 1,
        "metadata": known(
            timestamp=ended_at(record),
            lifecycles=[{"phase": "build"}],
            tools={"components": [{"type": "application", "name": "ftc", "version": record.ftc_version}]},
            component=result,
        ),
        "components": parts,
        "dependencies": [{"ref": result["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}],
    }


def _metrics(evaluation: Evaluation | None) -> Iterator[dict[str, Any]]:
    """Each metric of the tuned model and, under a slice of its own, of the base model."""
    if evaluation is None:
        return
    for subject, result in (("tuned", evaluation.tuned), ("base", evaluation.base)):
        if result is None:
            continue
        for name, value in result.metrics.items():
            bounds = result.intervals.get(name)
            yield known(
                type=name,
                value=repr(value),
                slice=f"{subject} model, test split, {result.rows} rows",
                confidenceInterval=bounds and {"lowerBound": repr(bounds.low), "upperBound": repr(bounds.high)},
            )


def _base(plan: Plan) -> dict[str, Any]:
    lock = plan.lock.model
    files = [
        {"type": "file", "bom-ref": f"base:{name}", "name": name, "hashes": _sha256(file.sha256)}
        for name, file in sorted(lock.files.items())
    ]
    return known(
        **{"bom-ref": "base"},
        type="machine-learning-model",
        name=plan.model.name,
        version=lock.commit,
        purl=f"pkg:huggingface/{plan.settings.model.base}@{lock.commit}" if lock.commit else None,
        licenses=_licenses(lock.license),
        modelCard={"modelParameters": {"modelArchitecture": plan.model.architecture}},
        components=files,
        properties=_properties({"tensors_sha256": lock.content_sha256, "parameters": str(lock.num_parameters)}),
    )


def _beside(plan: Plan) -> Iterator[dict[str, Any]]:
    """The models that the weights were learned from beside the rows."""
    for card in COMPANIONS:
        one = card.pinned(plan.settings) if card.shapes_weights else None
        if isinstance(one, CompanionModel):
            ref = card.title.replace(" ", "-")
            yield known(
                **{"bom-ref": ref},
                type="machine-learning-model",
                name=one.base,
                version=one.commit,
                purl=f"pkg:huggingface/{one.base}@{one.commit}" if one.commit else None,
                licenses=_licenses(one.license),
                modelCard={"modelParameters": {"modelArchitecture": one.architecture}},
                components=[
                    {"type": "file", "bom-ref": f"{ref}:{name}", "name": name, "hashes": _sha256(file.sha256)}
                    for name, file in sorted(one.files.items())
                ],
                properties=_properties({"role": card.title, "parameters": str(one.num_parameters)}),
            )


def _licenses(license: str | None) -> list[dict[str, Any]] | None:
    if not license:
        return None
    return [{"license": {"id": _SPDX[license]} if license in _SPDX else {"name": license}}]


def _data(plan: Plan) -> Iterator[dict[str, Any]]:
    for use, source in sorted(plan.lock.data.sources.items()):
        files = [
            {"type": "file", "bom-ref": _data_ref(id), "name": address, "hashes": _sha256(file.sha256)}
            for id, address, file in source_files(use, source)
            if source.files  # a single file is the component itself
        ]
        yield known(
            **{"bom-ref": _data_ref(use)},
            type="data",
            name=source_address(source),
            version=source.commit,
            hashes=None if files else _sha256(source.file.sha256),
            data=[{"type": "dataset", "name": use, "description": numbers.plural(source.rows, "row")}],
            components=files,
            properties=_properties({"rows_sha256": source.rows_sha256}),
        )


def _data_ref(use: str) -> str:
    return f"data:{use}"


def _libraries(record: RunRecord) -> Iterator[dict[str, Any]]:
    for name, package in sorted(record.observed.environment.packages.items()):
        purl = f"pkg:pypi/{name}@{package.version}"
        yield known(
            **{"bom-ref": purl},
            type="library",
            name=name,
            version=package.version,
            purl=purl,
            properties=_properties({"installed_files_sha256": package.sha256}),
        )


def _sha256(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}]


def _properties(facts: dict[str, str | None]) -> list[dict[str, str]]:
    """ftc's own facts under its own prefix."""
    return [{"name": f"ftc:{name}", "value": value} for name, value in facts.items() if value]
