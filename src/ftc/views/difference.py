"""What differs between two things, for a terminal and as Markdown for a pull request; a file before and after."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import unified_diff
from typing import Any

from ftc.spec.base import Effect
from ftc.spec.documents.difference import Action, ChangedRows, Difference
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, blocks, escaped, pad, shorten, visible_width
from ftc.views.words import metric_title

__all__ = ["change_lines", "diff_text", "difference_markdown", "difference_text"]

_MOST_MARKDOWN_CHANGES = 200
"""A comment on a pull request has room for about 65,000 characters."""
_VALUE_COLUMNS = 40
_MARK_CELLS = 6
_EFFECT_CELLS = max(len(effect.value) for effect in Effect)
_MARKS: dict[Action, str] = {"retrain": "-/+", "evaluate": "!", "resume": "~", "nothing": "="}
_WORDS: dict[Action, str] = {
    "retrain": "forces retraining",
    "evaluate": "evaluation only",
    "resume": "continues",
    "nothing": "nothing to do",
}
_VERDICTS: dict[Action, str] = {
    "retrain": "train again and evaluate",
    "evaluate": "evaluate again; the weights stay the same",
    "resume": "continue the run",
    "nothing": "nothing to do",
}


def difference_text(found: Difference, *, page: Page = PLAIN) -> str:
    """The comparison for people: the heaviest changes first, what they call for at the end."""
    title = f"{page.strong(escaped(found.old.name))} → {page.strong(escaped(found.new.name))}"
    level = {"recipe": "recipes", "asked": "the recipes themselves", "lock": "locks", "plan": "plans"}[found.level]
    head = f"{title}   {found.old.kind} and {found.new.kind}, compared as {level}"
    width = max((visible_width(metric_title(one.metric)) for one in found.outcomes), default=0)
    outcomes = [
        f"  {pad(metric_title(one.metric), width)}  {_metric(one.old)} → {page.strong(_metric(one.new))}"
        for one in found.outcomes
    ]
    verdict = page.good("No difference.") + f" {_VERDICTS[found.action].capitalize()}."
    if found.changes and found.action == "nothing":
        both = "; both runs are finished" if found.old.kind == found.new.kind == "run" else ""
        counts = numbers.plural(len(found.changes), "change")
        verdict = f"{page.strong(counts)}. {_VERDICTS[found.action].capitalize()}{both}."
    elif found.changes:
        retrain, evaluate = (sum(one.action == action for one in found.changes) for action in ("retrain", "evaluate"))
        counts = f"{numbers.plural(len(found.changes), 'change')}: {retrain} to retrain, {evaluate} to evaluate"
        verdict = f"{page.strong(counts)}. To do: {_VERDICTS[found.action]}."
    end = [*page.listed("Unchecked", map(escaped, found.not_checked)), *page.wrap(verdict)]
    return blocks(
        [
            page.wrap(head) if visible_width(head) > page.columns else [head],
            change_lines(found, page=page),
            outcomes,
            end,
        ]
    )


def change_lines(found: Difference, *, page: Page = PLAIN) -> list[str]:
    """A line for each change, with its effect and what it calls for, and how much is equal."""
    rows = []
    for change in found.changes:
        if change.rows:
            both = _row_words(change.rows)
        elif change.old is None:
            both = f"+ {_shown(change.new)}"
        elif change.new is None:
            both = f"- {_shown(change.old)}"
        else:
            both = f"{_shown(change.old)} → {_shown(change.new)}"
        rows.append((change, change.path, both))
    paths = max((visible_width(path) for _, path, _ in rows), default=0)
    values = min(_VALUE_COLUMNS, max((visible_width(text) for _, _, text in rows), default=0))
    lines: list[str] = []
    for change, path, text in rows:
        mark = _painted(page, change.action, pad(_MARKS[change.action], 3))
        to_do = _painted(page, change.action, f"# {_WORDS[change.action]}")
        end = f"{pad(change.effect.value, _EFFECT_CELLS)}  {to_do}"
        if _MARK_CELLS + paths + values + 4 + visible_width(end) <= page.columns:
            lines.append(f"  {mark} {pad(path, paths)}  {pad(text, values)}  {end}")
        else:
            lines += [f"  {mark} {path}", *page.wrap(f"        {text}"), f"        {end}"]
        lines += [f"        {page.faint(escaped(one))}" for one in (change.rows.examples if change.rows else ())]
    if found.unchanged:
        lines.append(page.faint(f"      {numbers.count(found.unchanged)} unchanged"))
    return lines


def difference_markdown(found: Difference) -> str:
    """The comparison for a pull request: the verdict first, then a table."""
    lines = [
        f"**`{_code(found.old.name)}` → `{_code(found.new.name)}`**: {_VERDICTS[found.action]}.",
        "",
    ]
    if found.changes:
        lines += ["| | what | old | new | changes | to do |", "|---|---|---|---|---|---|"]
        for one in found.changes[:_MOST_MARKDOWN_CHANGES]:
            rows = f" ({_row_words(one.rows)})" if one.rows else ""
            old, new = f"`{_code(_shown(one.old))}`", f"`{_code(_shown(one.new))}`{rows}"
            cells = (f"`{_MARKS[one.action]}`", f"`{_code(one.path)}`", old, new, one.effect.value, _WORDS[one.action])
            lines.append(f"| {' | '.join(cells)} |")
        more = len(found.changes) - _MOST_MARKDOWN_CHANGES
        lines += [*([f"| | and {more} more | | | | |"] if more > 0 else []), ""]
    if found.outcomes:
        lines += ["| metric | old | new |", "|---|---|---|"]
        lines += [f"| {metric_title(one.metric)} | {_metric(one.old)} | {_metric(one.new)} |" for one in found.outcomes]
        lines.append("")
    lines += [f"Not checked: {escaped(one)}" for one in found.not_checked]
    return "\n".join(lines).rstrip() + "\n"


def _code(text: str) -> str:
    """Text that can't end a code span or a table's cell."""
    return escaped(text).replace("`", "'").replace("|", "¦")


def _metric(value: float | None) -> str:
    return "-" if value is None else numbers.metric(value)


def _row_words(rows: ChangedRows) -> str:
    words = [f"{sign}{number:,} rows" for sign, number in (("+", rows.added), ("-", rows.removed)) if number]
    if rows.reordered:
        words.append("others in another order" if words else "the same rows in another order")
    return ", ".join(words) or "the same rows"


def _shown(value: Any) -> str:
    match value:
        case str() if len(value) == 64 and set(value) <= set("0123456789abcdef"):
            return numbers.digest(value)
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case list():
            return shorten(", ".join(map(str, value)) or "none", _VALUE_COLUMNS // 2)
        case _:
            return shorten(str(value), _VALUE_COLUMNS)


def _painted(page: Page, action: Action, text: str) -> str:
    match action:
        case "retrain":
            return page.alert(text)
        case "evaluate" | "resume":
            return page.accent(text)
        case "nothing":
            return page.faint(text)


def diff_text(before: Sequence[str], after: Sequence[str], file: str, *, page: Page = PLAIN) -> str:
    """The difference between two texts of one file, with three lines around each change; empty where there is none.

    Args:
        before: Lines as they are, as `shown_lines` gives them: a diff shows no secret.
        after: Lines as they would be.
        file: Name of the file.
        page: Colors.
    """
    lines = unified_diff(before, after, f"a/{file}", f"b/{file}", lineterm="")
    paints = {"-": page.alert, "+": page.good, "@": page.faint}
    painted = []
    for line in map(escaped, lines):
        paint = page.strong if line.startswith(("---", "+++")) else paints.get(line[:1], str)
        painted.append(f"{paint(line)}\n")
    return "".join(painted)
