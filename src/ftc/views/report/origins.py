"""Where a run came from: data, checks, settings, provenance, and the quality of its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.quality import Agreement, QualityReport
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.streams import SplitReport
from ftc.views import numbers
from ftc.views.report.elements import details, facts, section, table, text
from ftc.views.words import learned_of_rows

__all__ = [
    "checks_section",
    "data_section",
    "provenance_section",
    "quality_section",
    "setting_words",
    "settings_section",
]


def data_section(plan: Plan) -> str:
    """Rows and tokens of each split, and what became of the rest."""
    header = ("split", "rows", "tokens", "length p50", "p95", "max", "truncated", "dropped", "supervised")
    rows = [
        (
            text(name),
            numbers.count(split.rows),
            numbers.count(split.tokens),
            numbers.count(split.length_p50),
            numbers.count(split.length_p95),
            numbers.count(split.length_max),
            _share(split.truncated_rows, split.rows),
            _share(split.dropped_rows, split.rows_read),
            _supervised(plan, split),
        )
        for name, split in plan.splits
    ]
    grid = table("Splits, with lengths of rows in tokens", header, rows, right=range(1, 9))
    audit = f"<h3>Token audit</h3><p>{text(_token_audit(plan))}</p>"
    # Counts that are zero in clean data.
    notes = []
    for name, split in plan.splits:
        counts = (
            (
                split.unsupervised_turns,
                "answers are not learned, since the template shows them otherwise in generation",
            ),
            (split.rows_without_stop_token, "rows have no stop token after an answer"),
            (split.rows_with_merged_boundary, "rows have a token that spans prompt and answer"),
        )
        notes += [f"{name}: {numbers.count(number)} {words}" for number, words in counts if number]
    dropped_rows = [
        (text(name), numbers.count(row.row), text(row.reason))
        for name, split in plan.splits
        for row in split.first_dropped
    ]
    return section(
        "data",
        "Data",
        _sources(plan),
        audit,
        grid,
        f"<ul>{''.join(f'<li>{text(note)}</li>' for note in notes)}</ul>" if notes else "",
        details(
            "Rows that were dropped",
            table("The first of each split", ("split", "row", "why"), dropped_rows, right=(1,)),
        ),
    )


def _token_audit(plan: Plan) -> str:
    """How many rows the model doesn't see as they were written, in a sentence."""
    splits = [split for _, split in plan.splits]
    rows, cut = sum(split.rows for split in splits), sum(split.truncated_rows for split in splits)
    read, dropped = sum(split.rows_read for split in splits), sum(split.dropped_rows for split in splits)
    limit = numbers.plural(plan.settings.text.max_length, "token")
    words = [
        f"{numbers.count(cut)} of {numbers.plural(rows, 'row')} are cut at {limit}" if cut else "",
        f"{numbers.count(dropped)} of {numbers.count(read)} that were read are dropped" if dropped else "",
    ]
    found = "; ".join(filter(None, words))
    return f"{found}." if found else f"No row is cut or dropped: the longest of {limit} allowed has {_longest(splits)}."


def _longest(splits: Sequence[SplitReport]) -> str:
    return numbers.count(max((split.length_max for split in splits), default=0))


def checks_section(plan: Plan) -> str:
    """What was looked at before the run, and what was not."""
    rows = [(text(check.name), text(check.result), text(check.code or "")) for check in plan.checks]
    grid = table("Checked before the run", ("check", "result", "code"), rows)
    items = "".join(f"<li>{text(item)}</li>" for item in plan.not_checked)
    unchecked = f'<h3>Not checked</h3><ul class="unchecked">{items}</ul>' if items else ""
    return section("checks", "Checks", grid, unchecked)


def settings_section(plan: Plan) -> str:
    """Every value that the run used, with where it came from; folded."""
    settings = plan.settings.to_json()
    rows = [
        (
            f"<code>{text(path)}</code>",
            f"<code>{text(_words(_at(settings, path)))}</code>",
            origin.kind,
            text(origin.reason),
        )
        for path, origin in sorted(plan.origins.items())
    ]
    kinds = [origin.kind for origin in plan.origins.values()]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("written", "derived", "default") if kind in kinds)
    grid = table("Every setting", ("setting", "value", "origin", "where or why"), rows, kind="settings")
    return section("settings", "Settings", details(f"{numbers.plural(len(rows), 'value')}: {counts}", grid))


def provenance_section(plan: Plan, record: RunRecord) -> str:
    """Digests, versions, device and seeds."""
    main = facts(
        (term, _code(value))
        for term, value in (
            ("run", record.id),
            ("plan", record.plan_sha256),
            ("lock", plan.lock.digest()),
            ("record", record.sha256),
            ("model commit", plan.lock.model.commit or ""),
            ("chat template", plan.lock.text.chat_template_sha256 or ""),
            ("weights before the first step", record.initial_weights_sha256 or ""),
            ("weights of the result", record.final_weights_sha256 or ""),
        )
        if value
    )
    machine = facts(_machine(plan, record))
    packages = [
        (text(name), text(facts.version), _code(facts.sha256))
        for name, facts in sorted(record.observed.environment.packages.items())
    ]
    model = _files(plan.lock.model.files)
    outputs = _files(record.outputs)
    segments = [
        (
            text(one.started_at),
            text(one.ended_at or "–"),
            str(one.from_step),
            str(one.to_step),
            text(one.ended_by or "–"),
        )
        for one in record.segments
    ]
    file_header = ("file", "size", "sha256")
    return section(
        "provenance",
        "Provenance",
        main,
        "<h3>Machine</h3>",
        machine,
        "".join(
            (
                _fold("Packages", ("package", "version", "digest of its files"), packages, ()),
                _fold(f"Files of {plan.model.name}", file_header, model, (1,)),
                _fold("Files of the run", file_header, outputs, (1,)),
                _fold("Stretches", ("started", "ended", "from step", "to step", "ended by"), segments, (2, 3)),
            )
        ),
    )


def setting_words(plan: Plan, path: str) -> str:
    """The value of a setting by its dotted path, as plan.json has it."""
    return _words(_at(plan.settings.to_json(), path))


def _share(part: int, whole: int) -> str:
    return f"{numbers.count(part)} <small>({numbers.percent(part, whole)})</small>" if part else "0"


def _supervised(plan: Plan, split: SplitReport) -> str:
    if learned := learned_of_rows(plan.settings.text.form, split):
        return text(learned)
    return f"{numbers.count(split.supervised_tokens)} <small>({numbers.percent(split.supervised_share)})</small>"


def _sources(plan: Plan) -> str:
    rows = []
    for use, source in plan.lock.data.sources.items():
        asked = source.asked.get("path") or ", ".join(str(value) for value in source.asked.values())
        size = f"{numbers.plural(source.rows, 'row')}, {numbers.byte_size(source.file.size)}"
        commit = f", commit {source.commit}" if source.commit else ""
        rows.append((use, f"{text(asked)}{' · ' if asked else ''}{size}{text(commit)}<br>{_code(source.file.sha256)}"))
    return facts(rows)


def _at(values: Any, path: str) -> Any:
    """The value under a dotted path, None where a part of it is absent."""
    for key in path.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _words(value: Any) -> str:
    """A value as plan.json has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _code(value: str) -> str:
    return f"<code>{text(value)}</code>"


def _machine(plan: Plan, record: RunRecord) -> Iterator[tuple[str, str]]:
    seen, seeds = record.observed, plan.settings.seeds
    yield "planned for", text(plan.device.label)
    yield "ran on", text(seen.device)
    yield "processes", f"{numbers.count(seen.world_size)}, with {numbers.plural(seen.threads, 'CPU thread')} each"
    if seen.wrapper:
        yield "model class", _code(seen.wrapper)
    yield "python", text(f"{seen.environment.python}, {seen.environment.platform}")
    yield "ftc", text(record.ftc_version)
    yield "seeds", f"init {seeds.init}, order {seeds.order}, dropout {seeds.dropout}"


def _files(files: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(text(path), numbers.byte_size(one.size), _code(one.sha256)) for path, one in sorted(files.items())]


def _fold(title: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: tuple[int, ...]) -> str:
    return details(f"{title} ({len(rows)})", table(title, header, rows, right=right))


_KINDS = {
    "copies": "copies",
    "overlap": "overlap",
    "labels": "classes",
    "encoding": "damaged text",
    "length": "length",
    "personal": "personal data",
    "secrets": "secret",
}


def quality_section(plan: Plan) -> str:
    """What was found in the rows, with the first places of each finding."""
    report = plan.quality
    # How much of the measured rows stands in training rows, token by token.
    rows = [
        (
            text(one.split),
            text(numbers.count(one.of)),
            text(numbers.count(one.rows)),
            text(numbers.count(one.mostly)),
            text(numbers.percent(one.share)),
        )
        for one in report.contamination
    ]
    run = report.contamination[0].run if report.contamination else 0
    caption = f"Contamination: runs of {run} tokens that training rows have too"
    # Rows of each class, part by part.
    names = list(dict.fromkeys(name for counts in report.labels.values() for name in counts))
    parts = list(report.labels)
    balance_rows = [
        (text(name), *(text(numbers.count(report.labels[part].get(name, 0))) for part in parts)) for name in names
    ]
    return section(
        "quality",
        "Quality of the rows",
        facts(_facts(report)),
        table("What was found", ("part", "kind", "what", "rows", "of"), list(_rows(report)), right=(3, 4)),
        details(
            "Where it was found",
            table(
                "Places",
                ("place", "what", "there"),
                [
                    (
                        text(sample.place),
                        text(one.rule),
                        text(sample.shown or ("not shown here" if one.kind in ("personal", "secrets") else "")),
                    )
                    for one in report.findings
                    for sample in one.samples
                ],
            ),
        ),
        table(caption, ("part", "rows", "with such a run", "four fifths of it", "tokens"), rows, right=range(1, 5)),
        table("Rows by class", ("class", *parts), balance_rows, right=range(1, len(parts) + 1)),
        _agreement(report.agreement),
    )


def _facts(report: QualityReport) -> Iterator[tuple[str, str]]:
    yield "looked at", text(numbers.plural(report.rows, "row"))
    near = "not looked for" if report.similarity is None else f"Jaccard similarity of {report.similarity:g} or more"
    yield "near duplicates", text(near)
    for reason in report.not_checked:
        yield "not looked at", text(reason)


def _rows(report: QualityReport) -> Iterator[tuple[str, ...]]:
    for one in report.findings:
        counts = (text(numbers.count(one.rows)), text(numbers.count(one.of)))
        yield (text(one.split), text(_KINDS[one.kind]), text(one.rule), *counts)


def _agreement(found: Agreement | None) -> str:
    if found is None:
        return ""
    pairs = [
        (text(" and ".join(pair.columns)), text("Cohen's kappa"), text(numbers.count(pair.rows)), _figure(pair.cohen))
        for pair in found.pairs
    ]
    everybody = text("all annotators")
    pairs.append((everybody, text("Fleiss' kappa"), text(numbers.count(found.complete_rows)), _figure(found.fleiss)))
    alpha = _figure(found.krippendorff)
    pairs.append((everybody, text("Krippendorff's alpha"), text(numbers.count(found.rows)), alpha))
    return table("Agreement beyond chance", ("annotators", "figure", "rows", "value"), pairs, right=(2, 3))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
