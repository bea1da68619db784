"""The text around each row's answer as a reward model reads it: its own template, the row's prompt, and what ends it.

An answer is written in the run, where no template is rendered. So a template is rendered here with a mark in the
answer's place. A template that writes reasoning otherwise than as it is gives a rule for that, and one that changes
answers in another way is refused. A model that scores steps has read prompt and steps without any template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ftc.compiler.resolve.rows.row_store import some_of
from ftc.compiler.resolve.rows.table import PartRows, Row
from ftc.compiler.tokens.encoder import MarkedText, TextTokenizer
from ftc.compiler.tokens.forms import PromptForm, TextForm
from ftc.compiler.tokens.opacity import marks_for
from ftc.compiler.tokens.reasoning_frames import REASONED, Written, reasoning_of
from ftc.compiler.tokens.rendering import RenderedRow
from ftc.compiler.tokens.sandbox import TemplateProblem, TemplateRenderer
from ftc.compiler.tokens.sources import ChatSource, PromptSource, text_source
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec.companions import Role, companion
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.facts import TokenizerFacts
from ftc.spec.documents.reward_models import AnswerFrames, FrameFacts, Reasoning, RewardModelFacts, StepReading
from ftc.spec.documents.streams import SPLITS, Split
from ftc.spec.storage.tokenizer_file import FILE

__all__ = ["FramedRows", "Reader", "framed_rows", "readers"]

_ANSWERS = ("Yes.", "One line,\n\nand another one: {x} <b>&amp;</b>", "<think>\nwithout an end")
"""Answers that a template has to write as they are."""
_AT_ONCE = 256


class Reader(NamedTuple):
    """What reading rows needs of a reward model.

    Attributes:
        name: What people call it.
        tokenizer: Its tokenizer, with its chat template.
        steps: How it scores an answer by its steps; None for one that scores whole answers.
        path: Place in the recipe of what names it.
        folder: Where it lies.
    """

    name: str
    tokenizer: TokenizerFacts
    steps: StepReading | None
    path: str
    folder: Path


def readers(models: Mapping[Role, RewardModelFacts], folders: Mapping[Role, Path]) -> dict[Role, Reader]:
    """What reading rows needs of a plan's reward models, which lie in these folders."""
    return {
        role: Reader(one.model.name, one.model.tokenizer, one.steps, one.path, folders[role])
        for role, one in models.items()
    }


class FramedRows(NamedTuple):
    """The text around the answers of all splits that a reward model scores, and what is known of it."""

    frames: AnswerFrames
    facts: FrameFacts


def framed_rows(
    models: Mapping[Role, Reader], parts: Mapping[Split, PartRows], form: TextForm, splits: Mapping[str, TokenRows]
) -> dict[Role, FramedRows]:
    """The text around each answer for the reward models that score it: in all splits for rewards, else in the test's.

    Args:
        models: The reward models, by role.
        parts: The rows.
        form: What a row's text is.
        splits: The rows in the trained model's tokens.

    Raises:
        Refusal: A template or tokenizer can't be used for the rows (FTC459).
    """
    found = dict[Role, FramedRows]()
    for role, known in models.items():
        scored: list[Split] = [
            one for one in SPLITS if one in splits and (companion(role).shapes_weights or one == "test")
        ]
        found[role] = _framed_rows(parts, form, splits, known, scored)
    return found


def _framed_rows(
    parts: Mapping[Split, PartRows],
    form: TextForm,
    splits: Mapping[str, TokenRows],
    known: Reader,
    names: Sequence[Split],
) -> FramedRows:
    """The text around the answers for one reward model, which scores answers of some splits."""
    if not isinstance(form, PromptForm) or form.images is not None:
        what = "rows with images" if isinstance(form, PromptForm) else f"answers to rows of the form `{form.kind}`"
        raise Refusal([_unusable(known, f"a reward model can't read {what}", "remove it")])
    form = form.model_copy(update={"is_split": False, "references": None})
    tokenizer, facts = TextTokenizer(known.folder / FILE), known.tokenizer
    if known.steps is not None:
        facts = facts.model_copy(update={"chat_template": None})
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    tokens: dict[str, int] = {}
    reasoning, longest = None, 0
    with TemplateRenderer() as renderer:
        try:
            source = text_source(form, tokenizer, facts, renderer, by_shape=True)
        except Refusal as refusal:
            first = refusal.diagnostics[0]
            raise Refusal([_unusable(known, first.summary, *first.help)]) from None
        after = source.after if known.steps is None else _ids(tokenizer, known.steps.separator)
        for name in names:
            part, rows = parts[name], splits[name]
            whole = some_of(part.table.rows, rows.row.tolist())
            if whole and not any(found.values()):
                reasoning = _proved(known, form, source, whole[0])
            found[name] = _framed(known, form, source, whole, part, rows.row.tolist(), reasoning)
            lengths = [len(source.before) + len(after) + one for one in _lengths(tokenizer, found[name])]
            tokens[name], longest = sum(lengths), max([longest, *lengths])
        frames = AnswerFrames(before=source.before, after=after, splits=found, reasoning=reasoning)
    return FramedRows(frames, FrameFacts(sha256=frames.digest(), tokens=tokens, longest=longest))


def _ids(tokenizer: TextTokenizer, text: str) -> tuple[int, ...]:
    (found,) = tokenizer.encode([MarkedText(text, ())])
    return tuple(found.ids)


def _proved(known: Reader, form: PromptForm, source: PromptSource | ChatSource, row: Row) -> Reasoning | None:
    """How a template writes reasoning, for one that writes all other answers as they are; None where it does always.

    Raises:
        Refusal: It changes answers in another way (FTC459).
    """
    around = _around(known, form, source, [row])[0]
    if isinstance(around, str):
        return None  # the row's own finding says why
    before, behind = around

    def written(answers: Sequence[str]) -> list[str | None]:
        texts = source.render([{**row, form.completion: one} for one in answers])
        return [text.text if isinstance(text, RenderedRow) else None for text in texts]

    changed = _first_changed(_ANSWERS, before, behind, written)
    if changed is None and (changed := _first_changed(REASONED, before, behind, written)) is not None:
        marks = marks_for(known.tokenizer.chat_template or "", 2)
        if (found := reasoning_of(marks, around, written)) is not None:
            return found
    if changed is not None:
        summary = f"the chat template of `{known.name}` writes some answers otherwise than as they are"
        help = "give it a template that copies the answer's text, in chat_template.jinja"
        raise Refusal([_unusable(known, summary, help, notes=f"such as {changed!r}")])
    return None


def _first_changed(answers: Sequence[str], before: str, behind: str, written: Written) -> str | None:
    """The first answer that a template doesn't write as it is; None where it writes all so."""
    texts = zip(answers, written(answers), strict=True)
    return next((answer for answer, text in texts if text != before + answer + behind), None)


def _around(
    known: Reader, form: PromptForm, source: PromptSource | ChatSource, rows: Sequence[Row]
) -> list[tuple[str, str] | str]:
    """The text before and behind the answer of each row, or why there is none."""
    (mark,) = marks_for(known.tokenizer.chat_template or "", 1)
    found: list[tuple[str, str] | str] = []
    for text in source.render([{**row, form.completion: mark} for row in rows]):
        if isinstance(text, TemplateProblem):
            found.append(text.message)
        elif text.text.count(mark) != 1:
            found.append("its chat template leaves the answer out, changes it or writes it twice")
        else:
            before, _, behind = text.text.partition(mark)
            found.append((before, behind))
    return found


def _framed(
    known: Reader,
    form: PromptForm,
    source: PromptSource | ChatSource,
    rows: Sequence[Row],
    part: PartRows,
    numbers: Sequence[int],
    reasoning: Reasoning | None,
) -> tuple[tuple[str, str], ...]:
    """The text around the answer of each row."""
    frames = list[tuple[str, str]]()
    for start in range(0, len(rows), _AT_ONCE):
        places, some = numbers[start : start + _AT_ONCE], rows[start : start + _AT_ONCE]
        for number, found in zip(places, _around(known, form, source, some), strict=True):
            if isinstance(found, str):
                raise _unreadable(known, part.place(number), found)
            frames.append(found)
        texts = source.render([{**row, form.completion: REASONED[0]} for row in some])
        for number, text, (before, behind) in zip(places, texts, frames[start:], strict=True):
            reasoned = before + REASONED[0] if reasoning is None else reasoning.written(before, REASONED[0])
            if getattr(text, "text", None) != reasoned + behind:
                raise _unreadable(known, part.place(number), "its chat template writes reasoning as in no other row")
    return tuple(frames)


def _unreadable(known: Reader, place: str, why: str) -> Refusal:
    help = "use a reward model that was trained on such rows, or remove the row"
    return Refusal([_unusable(known, f"`{known.name}` can't read {place}: {why}", help, rows=(place,))])


def _lengths(tokenizer: TextTokenizer, frames: Sequence[tuple[str, str]]) -> Iterator[int]:
    for start in range(0, len(frames), _AT_ONCE):
        yield from tokenizer.num_tokens([before + behind for before, behind in frames[start : start + _AT_ONCE]])


def _unusable(known: Reader, summary: str, *help: str, notes: str = "", rows: tuple[str, ...] = ()) -> Diagnostic:
    return diagnostic("FTC459", summary, help=help, notes=notes or (), path=known.path, rows=rows)
