"""Where a run came from: data, checks, settings, provenance, and the quality of its rows."""

from __future__ import annotations

import json
from typing import Any

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.quality import Agreement
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.streams import SPLITS
from ftc.spec.row_names import shown_row
from ftc.views import numbers
from ftc.views.report.elements import details, facts, marked_up, section, table, text
from ftc.views.row_texts import RowTexts
from ftc.views.words import ORIGIN_WORDS, continued_words, interruption_words, learned_of_rows, value_at

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
    header = ("split", "rows", "tokens", "length p50", "p95", "max", "truncated", "dropped", "trained on")
    splits = [split for _, split in plan.splits]
    rows, notes = [], []
    for name, split in plan.splits:
        share = f"{numbers.count(split.supervised_tokens)} <small>({numbers.percent(split.supervised_share)})</small>"
        rows.append(
            (
                text(name),
                *map(numbers.count, (split.rows, split.tokens, split.length_p50, split.length_p95, split.length_max)),
                _share(split.truncated_rows, split.rows),
                _share(split.dropped_rows, split.rows_read),
                text(learned_of_rows(plan, split)) or share,
            )
        )
        unusual = (
            (
                split.unsupervised_turns,
                "answers are not trained on, because the template renders them differently during generation",
            ),
            (split.rows_without_stop_token, "rows have no stop token after an answer"),
            (split.rows_with_merged_boundary, "rows have a token that spans prompt and answer"),
        )
        notes += [f"<li>{text(f'{name}: {numbers.count(number)} {words}')}</li>" for number, words in unusual if number]
    grid = table("Splits, with row lengths in tokens", header, rows, right=range(1, 9))
    # How many rows the model doesn't see as they were written.
    whole, cut = sum(split.rows for split in splits), sum(split.truncated_rows for split in splits)
    read, dropped = sum(split.rows_read for split in splits), sum(split.dropped_rows for split in splits)
    limit = numbers.plural(plan.settings.text.max_length, "token")
    audit = [f"{numbers.count(cut)} of {numbers.plural(whole, 'row')} are truncated at {limit}"] if cut else []
    audit += [f"{numbers.count(dropped)} of {numbers.count(read)} rows are dropped"] if dropped else []
    longest = numbers.count(max((split.length_max for split in splits), default=0))
    clean = f"No row is truncated or dropped: the longest of {limit} allowed has {longest}"
    sources = []
    for use, source in plan.lock.data.sources.items():
        asked = source.asked.get("path") or ", ".join(str(value) for value in source.asked.values())
        size = f"{numbers.plural(source.rows, 'row')}, {numbers.byte_size(source.file.size)}"
        words = f"{asked}{' · ' if asked else ''}{size}" + (f", commit {source.commit}" if source.commit else "")
        sources.append((use, f"{text(words)}<br>{_code(source.file.sha256)}"))
    dropped_rows = [
        (text(name), text(shown_row(row.place, row.row)), text(row.reason))
        for name, split in plan.splits
        for row in split.first_dropped
    ]
    return section(
        "data",
        "Data",
        facts(sources),
        f"<h3>Token audit</h3><p>{text('; '.join(audit) or clean)}.</p>",
        grid,
        f"<ul>{''.join(notes)}</ul>" if notes else "",
        details(
            "Rows that were dropped",
            table("The first of each split", ("split", "row", "why"), dropped_rows),
        ),
    )


def checks_section(plan: Plan) -> str:
    """What was checked before the run, and what was not."""
    rows = [(text(check.name), marked_up(check.result), text(check.code or "")) for check in plan.checks]
    grid = table("Checked before the run", ("check", "result", "code"), rows)
    items = "".join(f"<li>{marked_up(item)}</li>" for item in plan.not_checked)
    unchecked = f'<h3>Not checked</h3><ul class="unchecked">{items}</ul>' if items else ""
    return section("checks", "Checks", grid, unchecked)


def settings_section(plan: Plan) -> str:
    """Every value that the run used, with where it came from; folded."""
    settings = plan.settings.to_json()
    rows = [
        (
            f"<code>{text(path)}</code>",
            f"<code>{text(_words(value_at(settings, path)))}</code>",
            ORIGIN_WORDS[origin.kind],
            marked_up(origin.reason),
        )
        for path, origin in sorted(plan.origins.items())
    ]
    kinds = [origin.kind for origin in plan.origins.values()]
    counts = ", ".join(f"{kinds.count(kind)} {word}" for kind, word in ORIGIN_WORDS.items() if kind in kinds)
    grid = table("Every setting", ("setting", "value", "origin", "reason"), rows, kind="settings")
    return section("settings", "Settings", details(f"{numbers.plural(len(rows), 'value')}: {counts}", grid))


def provenance_section(plan: Plan, record: RunRecord) -> str:
    """Digests, versions, device and seeds."""
    lock, seen, seeds = plan.lock, record.observed, plan.settings.seeds
    digests = (
        ("run", record.id),
        ("plan", record.plan_sha256),
        ("lock", lock.digest()),
        ("record", record.sha256),
        ("model commit", lock.model.commit),
        ("chat template", lock.text.chat_template_sha256),
        ("weights before the first step", record.initial_weights_sha256),
        ("weights of the result", record.final_weights_sha256),
    )
    threads = numbers.plural(seen.threads, "CPU thread")
    machine = (
        ("planned for", text(plan.device.label)),
        ("ran on", text(seen.device)),
        ("processes", f"{numbers.count(seen.world_size)}, with {threads} each"),
        *(("continues", text(words)) for words in continued_words(record)),
        *([("model class", _code(seen.wrapper))] if seen.wrapper else []),
        ("python", text(f"{seen.environment.python}, {seen.environment.platform}")),
        ("ftc", text(record.ftc_version)),
        ("seeds", f"init {seeds.init}, order {seeds.order}, dropout {seeds.dropout}"),
    )
    packages = [
        (text(name), text(facts.version), _code(facts.sha256))
        for name, facts in sorted(seen.environment.packages.items())
    ]
    segments = [
        (*map(text, (one.started_at, one.ended_at or "–", one.from_step, one.to_step, one.ended_by or "–")),)
        for one in record.segments
    ]
    file_header = ("file", "size", "sha256")
    folded = (
        ("Packages", ("package", "version", "digest of its files"), packages, ()),
        (f"Files of {plan.model.name}", file_header, _files(lock.model.files), (1,)),
        ("Files of the run", file_header, _files(record.outputs), (1,)),
        ("Segments", ("started", "ended", "from step", "to step", "ended by"), segments, (2, 3)),
    )
    stops = [(text(one.at), text(interruption_words(one))) for one in record.interruptions]
    return section(
        "provenance",
        "Provenance",
        facts((term, _code(value)) for term, value in digests if value),
        *(["<h3>Interruptions</h3>", table("Interruptions", ("when", "why"), stops)] if stops else []),
        "<h3>Machine</h3>",
        facts(machine),
        *(
            details(f"{title} ({len(rows)})", table(title, header, rows, right=right))
            for title, header, rows, right in folded
        ),
    )


def setting_words(plan: Plan, path: str) -> str:
    """The value of a setting by its dotted path, as plan.json has it."""
    return _words(value_at(plan.settings.to_json(), path))


def _share(part: int, whole: int) -> str:
    return f"{numbers.count(part)} <small>({numbers.percent(part, whole)})</small>" if part else "0"


def _words(value: Any) -> str:
    """A value as plan.json has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _code(value: str) -> str:
    return f"<code>{text(value)}</code>"


def _files(files: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(text(path), numbers.byte_size(one.size), _code(one.sha256)) for path, one in sorted(files.items())]


_KINDS = {
    "copies": "copies",
    "overlap": "overlap",
    "labels": "classes",
    "encoding": "encoding errors",
    "length": "length",
    "personal": "personal data",
    "secrets": "secret",
}


def quality_section(plan: Plan, texts: RowTexts) -> str:
    """What was found in the rows, with the first places of each finding."""
    report = plan.quality
    near = "not checked" if report.similarity is None else f"Jaccard similarity of {report.similarity:g} or more"
    about = [("compared", numbers.plural(report.rows, "row")), ("near duplicates", near)]
    about += [("not checked", reason) for reason in report.not_checked]
    found, places = [], []
    for one in report.findings:
        what = (one.split, _KINDS[one.kind], one.rule, numbers.count(one.rows), numbers.count(one.of))
        found.append(tuple(map(text, what)))
        unshown = "not shown here" if one.kind in ("personal", "secrets") else ""
        for each in one.samples:
            (shown,) = texts.row(each.place, each.shown)
            places.append(tuple(map(text, (each.place, one.rule, shown or unshown))))
    # How much of the measured rows stands in training rows, token by token.
    contaminated = [
        (text(one.split), *map(numbers.count, (one.of, one.rows, one.mostly)), numbers.percent(one.share))
        for one in report.contamination
    ]
    run = report.contamination[0].run if report.contamination else 0
    caption = f"N-gram overlap: {run}-grams that training rows contain too"
    shares = ("part", "rows", "with a shared n-gram", "with at least 80 %", "tokens")
    # Rows of each class, part by part.
    by_split = {split: report.labels[split] for split in SPLITS if split in report.labels}
    names = list(dict.fromkeys(name for counts in by_split.values() for name in counts))
    balance = [(text(name), *(numbers.count(part.get(name, 0)) for part in by_split.values())) for name in names]
    return section(
        "quality",
        "Data quality",
        facts((term, marked_up(words)) for term, words in about),
        table("What was found", ("part", "kind", "what", "rows", "of"), found, right=(3, 4)),
        details("Where it was found", table("Places", ("place", "what", "there"), places)),
        table(caption, shares, contaminated, right=range(1, 5)),
        table("Rows by class", ("class", *by_split), balance, right=range(1, len(by_split) + 1)),
        _agreement(report.agreement),
    )


def _agreement(found: Agreement | None) -> str:
    if found is None:
        return ""
    rows = [(" and ".join(pair.columns), "Cohen's kappa", pair.rows, pair.cohen) for pair in found.pairs]
    rows += [
        ("all annotators", "Fleiss' kappa", found.complete_rows, found.fleiss),
        ("all annotators", "Krippendorff's alpha", found.rows, found.krippendorff),
    ]
    cells = [
        (text(who), text(figure), numbers.count(count), "–" if value is None else f"{value:.3f}")
        for who, figure, count, value in rows
    ]
    return table("Agreement between annotators", ("annotators", "figure", "rows", "value"), cells, right=(2, 3))
