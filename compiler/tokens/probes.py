"""What test rows are told apart by, and what is measured beside them: general text, and rows with words exchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.draft import Draft
from ftc.compiler.resolve.rows.data import ResolvedData, lock_entry
from ftc.compiler.resolve.rows.data_files import DataFiles
from ftc.compiler.resolve.rows.row_digests import row_digests
from ftc.compiler.resolve.rows.table import PartRows, Row, Table, without_form
from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.forms import (
    AnswerForm,
    ChatForm,
    ClassifyForm,
    EmbedForm,
    ExtractForm,
    MaskedForm,
    PreferenceForm,
    PromptForm,
    RawForm,
    RerankForm,
    ScoreForm,
    SpanForm,
    StepForm,
    TagForm,
    TextForm,
)
from ftc.compiler.tokens.prompted_rows import PromptedRows, prompted_rows
from ftc.compiler.tokens.row_tokens import encode_rows
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.compiler.tokens.token_rows import TokenRows, taken
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.lockfile import SourceLock
from ftc.spec.documents.probes import Swapped
from ftc.spec.documents.slices import MOST_GROUPS, NO_VALUE, Groups
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.safe_repr import quoted

__all__ = ["PROBES", "Probes", "groups_of", "make_probes"]


def groups_of(
    slices: Sequence[str],
    part: PartRows,
    rows: Sequence[int],
    builtin: Sequence[str],
    known: Mapping[str, Sequence[str]] | None = None,
) -> Groups:
    """The groups of the test rows.

    Args:
        slices: Names of columns, and of slices that need none.
        part: The test rows as they were read.
        rows: Number in the table of each row of the stream.
        builtin: Slices that need no column.
        known: Values of further slices that need no column, in the order of the rows.

    Raises:
        Refusal: There is no such column, or it has too many values to be groups (FTC241).
    """
    found: list[Diagnostic] = []
    columns: dict[str, tuple[str, ...]] = {}
    known = known or {}
    for place, name in enumerate(slices):
        path = f"eval.slices[{place}]"
        if name in part.table.columns:
            columns[name] = tuple(_group(part.table.rows[number].get(name)) for number in rows)
            if (count := len(set(columns[name]))) > MOST_GROUPS:
                summary = f"column `{name}` has {count:,} values in {len(rows):,} test rows"
                help = f"slice by a column of at most {MOST_GROUPS} values, such as a kind or a range"
                found.append(diagnostic("FTC241", summary, help=help, path=path))
        elif name in known:
            columns[name] = tuple(known[name])
        elif name not in builtin:
            names = (*part.table.columns, *builtin, *known)
            close = nearest(name, names)
            help = f"did you mean `{close}`?" if close else f"slice by one of {', '.join(names[:12])}"
            unread = without_form(part.table, name, None, path)
            found.append(unread or diagnostic("FTC241", f"the test rows have no column `{name}`", help=help, path=path))
    if found:
        raise Refusal(found)
    return Groups(columns=columns)


def _group(value: Any) -> str:
    """A value as the name of a group."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return NO_VALUE
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


PROBES = ("retention", "swaps")
"""Uses of files that give no rows of the data's own."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What is measured beside the test split.

    Attributes:
        retention: General text in blocks; None where the recipe has none.
        swaps: Test rows with words exchanged.
        swapped: Which rows and words these are.
        sources: Lock entry of each file, by use.
        prompted: The test rows behind each prompt of `eval.baselines`.
        warnings: What should be said of these prompts.
    """

    retention: TokenRows | None
    swaps: TokenRows | None
    swapped: Swapped | None
    sources: dict[str, SourceLock]
    prompted: Sequence[PromptedRows]
    warnings: Sequence[Diagnostic]


def make_probes(
    draft: Draft,
    files: DataFiles,
    data: ResolvedData,
    form: TextForm,
    splits: Mapping[str, TokenRows],
    tokenizer: TextTokenizer,
) -> Probes:
    """Reads the files of `eval.retention` and `eval.swaps`, and makes tokens of what they and `eval.baselines` call
    for.

    Raises:
        Refusal: A file can't be read or used (FTC242, FTC350 to FTC361), or a prompt leaves no room (FTC254).
    """
    tables: dict[str, Table] = {}
    test = splits.get("test")
    for use, file in ((use, files[use]) for use in PROBES if use in files):
        path = f"{file.recipe_path}.path"
        try:
            tables[use] = file.read(draft.source.span(path))
        except Refusal as refusal:
            raise Refusal([replace(one, path=path) for one in refusal.diagnostics]) from None
    with TemplateRenderer() as renderer:

        def encode(rows: Sequence[Row], of: TextForm) -> TokenRows:
            length, cuts = draft.shape.max_length, draft.shape.overflow == "cut"
            facts = draft.model.tokenizer
            return encode_rows(rows, of, tokenizer, facts, renderer, max_length=length, cuts=cuts)

        retention = encode(_texts(draft, tables["retention"]), RawForm(text="text")) if "retention" in tables else None
        swaps, swapped = None, None
        if "swaps" in tables and test is not None:
            rows, swapped = _exchanged(tables["swaps"], data, form, test)
            swaps = _reaching(encode(rows, form), form, test, swapped.rows)
            kept = swaps.row.tolist()
            swapped = swapped.model_copy(
                update={
                    "rows": tuple(swapped.rows[number] for number in kept),
                    "pair": tuple(swapped.pair[number] for number in kept),
                }
            )
    sources = {use: lock_entry(files[use], row_digests(table.rows)) for use, table in tables.items()}
    prompted, warnings = list[PromptedRows](), list[Diagnostic]()
    if draft.recipe.eval.baselines and isinstance(form, PromptForm | ChatForm) and test is not None:
        prompted, warnings = prompted_rows(draft, data, form, splits, tokenizer)
    return Probes(retention, swaps, swapped, sources, prompted, warnings)


def _texts(draft: Draft, table: Table) -> list[Row]:
    column = draft.recipe.eval.retention.text if draft.recipe.eval.retention else "text"
    wrong = next((n for n, row in enumerate(table.rows) if not isinstance(row.get(column), str)), None)
    if wrong is not None or not table.rows:
        where = table.file if wrong is None else table.where(wrong)
        path, help = "eval.retention", "name the column with the text, as `text: COLUMN`"
        summary = f"{where} has no text in the column `{column}`"
        raise Refusal([diagnostic("FTC242", summary, draft.source.span(path), help=help, path=path)])
    return [{"text": row[column]} for row in table.rows]


def _exchanged(table: Table, data: ResolvedData, form: TextForm, test: TokenRows) -> tuple[list[Row], Swapped]:
    """Each test row once for every pair whose first phrase stands in it, with the second in its place."""
    pairs = [_pair(table, number, row) for number, row in enumerate(table.rows)]
    first: dict[tuple[str, str], int] = {}
    for number, pair in enumerate(pairs):
        if (before := first.setdefault(pair, number)) != number:  # it would count twice
            summary = f"{table.where(number)} repeats the substitution of {table.where(before)}"
            raise Refusal([diagnostic("FTC242", summary, help="remove one of the two", path="eval.swaps")])
    patterns = [re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)") for phrase, _ in pairs]
    rows: list[Row] = []
    places: list[int] = []
    which: list[int] = []
    source = data.parts["test"].table.rows
    for place, number in enumerate(test.row.tolist()):
        for index, (pattern, (_, other)) in enumerate(zip(patterns, pairs, strict=True)):
            varied = _with(source[number], form, pattern, other)
            if varied is not None:
                rows.append(varied)
                places.append(place)
                which.append(index)
    if not rows:
        raise Refusal([_no_phrase()])
    return rows, Swapped(pairs=tuple(pairs), rows=tuple(places), pair=tuple(which))


def _reaching(swaps: TokenRows, form: TextForm, test: TokenRows, places: Sequence[int]) -> TokenRows:
    """Those of the exchanged rows whose model is given something else than of the row that they come from.

    A phrase may stand in a column that the prompt never shows, or beyond the length; such a row says nothing.
    """
    origins = [places[number] for number in swaps.row.tolist()]
    reached = [
        number
        for number, place in enumerate(origins)
        if not np.array_equal(_given(swaps, form, number), _given(test, form, place))
    ]
    if not reached:
        raise Refusal([_no_phrase()])
    return taken(swaps, reached)


def _given(rows: TokenRows, form: TextForm, number: int) -> NDArray[np.int32]:
    """Tokens that a model is given of a row: of a prompt without what follows it."""
    begin, end = rows.boundaries[number : number + 2].tolist()
    return rows.ids[begin : begin + int(rows.prompt_length[number]) if isinstance(form, PromptForm) else end]


def _pair(table: Table, number: int, row: Mapping[str, Any]) -> tuple[str, str]:
    phrase, other = row.get("from"), row.get("to")
    if isinstance(phrase, str) and isinstance(other, str) and phrase.strip():
        if phrase.strip() != other.strip():
            return phrase.strip(), other.strip()
        summary, help = f"{table.where(number)} substitutes {quoted(phrase.strip())} with itself", "remove the line"
        raise Refusal([diagnostic("FTC242", summary, help=help, path="eval.swaps")])
    help = "write a column `from` with a phrase and a column `to` with its substitute"
    raise Refusal([diagnostic("FTC242", f"{table.where(number)} has no substitution", help=help, path="eval.swaps")])


def _with(row: Row, form: TextForm, pattern: re.Pattern[str], other: str) -> Row | None:
    """The row with the phrase exchanged in what the model is given; None where it doesn't stand there."""
    changed = {
        name: pattern.sub(lambda _: other, value)
        for name, value in row.items()
        if isinstance(value, str) and _is_given(name, form) and pattern.search(value)
    }
    return {**row, **changed} if changed else None


def _is_given(column: str, form: TextForm) -> bool:
    """Whether the model is given a column's text."""
    match form:
        case ClassifyForm() | ScoreForm():
            return column in (form.text, form.text_pair)
        case PromptForm():
            return column not in (form.completion, form.references)
        case (
            ChatForm()
            | TagForm()
            | ExtractForm()
            | EmbedForm()
            | RerankForm()
            | PreferenceForm()
            | AnswerForm()
            | StepForm()
            | RawForm()
            | MaskedForm()
            | SpanForm()
        ):
            return False
        case _:
            assert_never(form)


def _no_phrase() -> Diagnostic:
    help = "write phrases exactly as in the test rows; matching is case-sensitive and by whole words"
    summary = "no phrase of the substitutions occurs in the input of a test row"
    return diagnostic("FTC242", summary, help=help, path="eval.swaps")
