"""Test rows as the untouched base model is asked for them: with the labels listed, or behind examples of training rows.

The examples are the same for all rows. So does an application that has one prompt, they can be read in one place, and
what all prompts begin with goes through the model once. What the draw of the examples does to the score is not in its
interval; another `seed` shows it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from ftc.compiler.draft import Draft
from ftc.compiler.resolve.rows.data import ResolvedData
from ftc.compiler.resolve.rows.row_digests import row_digests
from ftc.compiler.resolve.rows.table import PartRows, Row
from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.forms import ChatForm, PromptForm
from ftc.compiler.tokens.rendering import PromptTemplate
from ftc.compiler.tokens.row_tokens import encode_rows
from ftc.compiler.tokens.sandbox import TemplateProblem, TemplateRenderer
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.prompted import ExampleRow, PromptBaseline
from ftc.spec.prompt_baselines import PromptBaselineKind
from ftc.spec.sections.evaluation import FewShot
from ftc.spec.tasks.rows import TURNS_COLUMN

__all__ = ["Asked", "PromptedRows", "asked_baselines", "prompted_rows"]

_SEPARATOR = "\n\n"
_USUAL_SEED = FewShot.model_fields["seed"].default


class Asked(NamedTuple):
    """A baseline as the recipe asks for it."""

    name: str
    kind: PromptBaselineKind
    examples: int
    """How many stand before each row."""
    seed: int | None
    path: str


def asked_baselines(baselines: Sequence[str | FewShot]) -> tuple[Asked, ...]:
    """The baselines of a recipe, each with the name of its stream."""
    found = []
    for number, one in enumerate(baselines):
        path = f"eval.baselines[{number}]"
        if isinstance(one, FewShot):
            seed = "" if one.seed == _USUAL_SEED else f"_seed_{one.seed}"
            found.append(Asked(f"few_shot_{one.few_shot}{seed}", "few_shot", one.few_shot, one.seed, path))
        else:
            found.append(Asked("zero_shot", "zero_shot", 0, None, path))
    return tuple(found)


class PromptedRows(NamedTuple):
    """The test rows behind one baseline's prompt."""

    baseline: PromptBaseline
    rows: TokenRows


def prompted_rows(
    draft: Draft,
    data: ResolvedData,
    form: PromptForm | ChatForm,
    splits: Mapping[str, TokenRows],
    tokenizer: TextTokenizer,
) -> tuple[list[PromptedRows], list[Diagnostic]]:
    """The prompts of `eval.baselines` as tokens, and warnings about them.

    Raises:
        Refusal: A baseline has too few training rows, leaves test rows no room, or can't stand before conversations
            (FTC254).
    """
    test, train, found, warnings = splits["test"], data.parts["train"], [], []
    prompt, separator, asking = "", None, form
    if isinstance(form, PromptForm):
        prompt = _with_labels(form.prompt, data.labels)
        asking = form.model_copy(update={"prompt": prompt})
        separator = None if draft.shape.uses_chat_template else _separator(train, form)
    own = float(np.mean(test.prompt_length))
    with TemplateRenderer() as renderer:
        for asked in asked_baselines(draft.recipe.eval.baselines):
            chosen = _drawn(draft, data, splits["train"], asked) if asked.examples else []
            drawn = [train.table.rows[n] for n in chosen]
            if isinstance(asking, PromptForm):
                shown = _turns(asking, drawn, separator, renderer)
            else:
                shown = _conversations(asking, drawn, asked)
            rows = _encoded(draft, data, asking, splits["test"], shown, tokenizer, renderer)
            if rows.row.tolist() != test.row.tolist():
                raise Refusal([_no_room(draft, asked, rows, test)])
            rows = _answers_alone(rows, test)
            if not np.array_equal(rows.ids[rows.mask], test.ids[test.mask]):
                raise Refusal([_written_otherwise(asked)])
            cut = sorted({*rows.counts.cut} - {*test.counts.cut})
            if cut:
                warnings.append(_cut(asked, data.parts["test"], cut, len(test.row)))
            baseline = PromptBaseline(
                name=asked.name,
                kind=asked.kind,
                path=asked.path,
                prompt=prompt,
                separator=separator,
                seed=asked.seed,
                examples=tuple(
                    ExampleRow(row=n, place=train.place(n), sha256=row_digests([train.table.rows[n]])[0].hex())
                    for n in chosen
                ),
                prompt_tokens=float(np.mean(rows.prompt_length)),
                own_tokens=own,
                cut_rows=len(cut),
                stream_sha256="",
                is_own=np.array_equal(rows.boundaries, test.boundaries) and np.array_equal(rows.ids, test.ids),
            )
            found.append(PromptedRows(baseline, rows))
    return found, warnings


def _with_labels(prompt: str, labels: Sequence[str]) -> str:
    """The prompt with the labels before it, where it doesn't name each of them."""
    if all(label in prompt for label in labels):
        return prompt
    # As a literal, since a name may hold what a template would read.
    listed = json.dumps(f"Answer with one of these: {', '.join(labels)}.", ensure_ascii=False)
    return f"{{{{ {listed} }}}}\n\n{prompt}"


def _separator(train: PartRows, form: PromptForm) -> str:
    """What stands after an example: a blank line, or a line of hashes where answers have blank lines."""
    answers, separator, hashes = [str(row.get(form.completion)) for row in train.rows], _SEPARATOR, "##"
    while any(separator in answer for answer in answers):
        hashes += "#"
        separator = f"\n{hashes}\n"
    return separator


def _drawn(draft: Draft, data: ResolvedData, train: TokenRows, asked: Asked) -> list[int]:
    """Numbers of the training rows that stand as examples: of each class in turn, in an order that the seed draws.

    A row's place in the order hangs on its own columns, so that adding rows changes few examples.
    """
    table, label = data.parts["train"].table, data.columns.by_part.get("label") if draft.mode.writes_labels else None
    digests = row_digests(table.rows)
    numbers = {digests[n]: n for n in sorted({*train.row.tolist()}, reverse=True)}  # of equal rows the first
    order = sorted(numbers, key=lambda one: hashlib.sha256(f"{asked.seed}:{one.hex()}".encode()).digest())
    groups: dict[Any, list[int]] = {}
    for digest in order:
        row = table.rows[numbers[digest]]
        groups.setdefault(str(row.get(label)) if label else None, []).append(numbers[digest])
    taken = [n for some in zip_longest(*groups.values()) for n in some if n is not None][: asked.examples]
    if len(taken) < asked.examples:
        summary = f"{asked.examples} examples are asked for, and training has {len(taken)} different rows"
        raise Refusal([diagnostic("FTC254", summary, help=f"write at most {len(taken)}", path=asked.path)])
    places = {digest: place for place, digest in enumerate(order)}
    return sorted(taken, key=lambda n: places[digests[n]])


def _turns(
    form: PromptForm, examples: Sequence[Row], separator: str | None, renderer: TemplateRenderer
) -> list[dict[str, Any]]:
    """The examples as turns before a prompt: two of a chat template, or one text each where there is none."""
    turns: list[dict[str, Any]] = []
    for row, prompt in zip(examples, PromptTemplate(form, renderer).render(examples), strict=True):
        assert not isinstance(prompt, TemplateProblem), "the row is in the training stream, with this very template"
        before = [one for one in row.get(TURNS_COLUMN) or () if one["role"] != "system"]
        answer = row[form.completion]
        if separator is None:
            said = (("user", prompt.text), ("assistant", answer))
            turns += [*before, *({"role": role, "content": text} for role, text in said)]
        else:  # a line end follows each turn
            above = "".join(f"{turn['content']}\n" for turn in before)
            turns.append({"role": "user", "content": f"{above}{prompt.text}{answer}{separator[:-1]}"})
    return turns


def _conversations(form: ChatForm, examples: Sequence[Row], asked: Asked) -> list[dict[str, Any]]:
    """The examples' turns up to their last answer, without their system messages: a row has its own.

    Raises:
        Refusal: The examples would call tools that a row does not offer (FTC254).
    """
    if examples and form.tools is not None:
        summary = "examples of conversations with tools would call tools that a test row does not offer"
        raise Refusal([diagnostic("FTC254", summary, help="use `zero_shot` alone", path=asked.path)])
    turns: list[dict[str, Any]] = []
    for row in examples:
        said = [dict(turn) for turn in row[form.messages] if turn["role"] != "system"]
        while said and said[-1]["role"] != "assistant":
            said.pop()
        turns += said
    return turns


def _encoded(
    draft: Draft,
    data: ResolvedData,
    form: PromptForm | ChatForm,
    test: TokenRows,
    examples: Sequence[Mapping[str, Any]],
    tokenizer: TextTokenizer,
    renderer: TemplateRenderer,
) -> TokenRows:
    """The test rows with the examples between their system message and all else."""
    part = data.parts["test"]
    rows = [part.table.rows[number] for number in test.row.tolist()]
    cuts = draft.shape.overflow == "cut"
    if examples:
        column = TURNS_COLUMN
        if isinstance(form, ChatForm):  # to cut a conversation drops its last answer, which is what is measured
            column, cuts = form.messages, False
        else:
            form = form.model_copy(update={"turns": TURNS_COLUMN})
        for place, row in enumerate(rows):
            turns = list(row.get(column) or ())
            first = [turn for turn in turns[:1] if turn["role"] == "system"]
            rows[place] = {**row, column: [*first, *examples, *turns[len(first) :]]}
    return encode_rows(
        rows,
        form,
        tokenizer,
        draft.model.tokenizer,
        renderer,
        max_length=draft.shape.max_length,
        cuts=cuts,
        numbers=test.row.tolist(),
        place=part.place,
    )


def _answers_alone(rows: TokenRows, test: TokenRows) -> TokenRows:
    """The rows with as many target tokens as they have without examples, whose answers are no targets."""
    mask = rows.mask.copy()
    wanted = np.add.reduceat(test.mask.astype(np.int64), test.boundaries[:-1])
    for begin, end, count in zip(rows.boundaries[:-1], rows.boundaries[1:], wanted, strict=True):
        places = begin + np.flatnonzero(mask[begin:end])
        mask[places[: len(places) - count]] = False
    return TokenRows(**{**{name: getattr(rows, name) for name in rows.__dataclass_fields__}, "mask": mask})


def _no_room(draft: Draft, asked: Asked, rows: TokenRows, test: TokenRows) -> Diagnostic:
    lost = len(test.row) - len(rows.row)
    first = rows.counts.first_dropped[0]
    limit = f"the longest sequence of {draft.shape.max_length:,} tokens"
    summary = f"{lost:,} of {len(test.row):,} test rows don't fit into {limit} with the prompt of `{asked.name}`"
    help = "raise `data.max_length`, or use fewer examples" if asked.examples else "raise `data.max_length`"
    return diagnostic("FTC254", summary, help=help, notes=f"{first.place}: {first.reason}", path=asked.path)


def _written_otherwise(asked: Asked) -> Diagnostic:
    summary = f"behind the examples of `{asked.name}` the chat template writes answers of test rows otherwise"
    notes = "the tokens that the tuned model is measured on would not be the same"
    return diagnostic("FTC254", summary, help="use `zero_shot` alone", notes=notes, path=asked.path)


def _cut(asked: Asked, test: PartRows, cut: Sequence[int], count: int) -> Diagnostic:
    summary = f"{len(cut):,} of {count:,} test rows are cut to make room for the prompt of `{asked.name}`"
    help = "raise `data.max_length`, or use fewer examples" if asked.examples else "raise `data.max_length`"
    notes = "the base model sees less of these rows than the tuned one, so that its score is too low"
    return diagnostic("FTC255", summary, help=help, notes=notes, path=asked.path, rows=tuple(map(test.place, cut[:5])))
