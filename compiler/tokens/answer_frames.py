"""The text around each row's answer as a reward model reads it: its own template, the row's prompt, and what ends it.

An answer is written in the run, where no template is rendered. So a template is rendered here with a mark in the
answer's place, and a template that writes answers otherwise than as they are is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ftc.compiler.resolve.rows.data import ResolvedData
from ftc.compiler.resolve.rows.row_store import some_of
from ftc.compiler.resolve.rows.table import PartRows, Row
from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.forms import PromptForm, TextForm
from ftc.compiler.tokens.opacity import marks_for
from ftc.compiler.tokens.rendering import RenderedRow
from ftc.compiler.tokens.sandbox import TemplateProblem, TemplateRenderer
from ftc.compiler.tokens.sources import ChatSource, PromptSource, text_source
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec.companions import Role
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.reward_models import AnswerFrames, FrameFacts, RewardModelFacts
from ftc.spec.documents.streams import SPLITS, Split
from ftc.spec.storage.tokenizer_file import FILE

__all__ = ["FramedRows", "framed_rows"]

_ANSWERS = ("Yes.", "One line,\n\nand another one: {x} <b>&amp;</b>", "<think>\nfirst\n</think>\n\nthen")
"""Answers that a template has to write as they are."""
_AT_ONCE = 256


class FramedRows(NamedTuple):
    """The text around the answers of all splits that a reward model scores, and what is known of it."""

    frames: AnswerFrames
    facts: FrameFacts


def framed_rows(
    models: Mapping[Role, RewardModelFacts],
    data: ResolvedData,
    form: TextForm,
    splits: Mapping[str, TokenRows],
    folders: Mapping[Role, Path],
) -> dict[Role, FramedRows]:
    """The text around each answer for the reward models that score it: in all splits for rewards, else in the test's.

    Args:
        models: The reward models, by role.
        data: The rows.
        form: What a row's text is.
        splits: The rows in the trained model's tokens.
        folders: Where the models lie, by role.

    Raises:
        Refusal: A template or tokenizer can't be used for the rows (FTC459).
    """
    found = dict[Role, FramedRows]()
    for role, known in models.items():
        scored: list[Split] = [one for one in SPLITS if one in splits and (role == "reward_model" or one == "test")]
        found[role] = _framed_rows(data, form, splits, (known, folders[role], scored))
    return found


def _framed_rows(
    data: ResolvedData,
    form: TextForm,
    splits: Mapping[str, TokenRows],
    asked: tuple[RewardModelFacts, Path, Sequence[Split]],
) -> FramedRows:
    """The text around the answers for one reward model, which lies in a folder and scores answers of some splits."""
    known, folder, names = asked
    if not isinstance(form, PromptForm) or form.images is not None:
        what = "rows with images" if isinstance(form, PromptForm) else f"answers to rows of the form `{form.kind}`"
        raise Refusal([_unusable(known, f"a reward model can't read {what}", "remove it")])
    form = form.model_copy(update={"is_split": False, "references": None})
    tokenizer, facts = TextTokenizer(folder / FILE), known.model.tokenizer
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    tokens: dict[str, int] = {}
    longest = 0
    with TemplateRenderer() as renderer:
        try:
            source = text_source(form, tokenizer, facts, renderer, by_shape=True)
        except Refusal as refusal:
            first = refusal.diagnostics[0]
            raise Refusal([_unusable(known, first.summary, *first.help)]) from None
        for name in names:
            part, rows = data.parts[name], splits[name]
            whole = some_of(part.table.rows, rows.row.tolist())
            _prove(known, form, source, whole[:1])
            found[name] = tuple(_framed(known, form, source, whole, part, rows.row.tolist()))
            lengths = [len(source.before) + len(source.after) + one for one in _lengths(tokenizer, found[name])]
            tokens[name], longest = sum(lengths), max([longest, *lengths])
        frames = AnswerFrames(before=source.before, after=source.after, splits=found)
    return FramedRows(frames, FrameFacts(sha256=frames.digest(), tokens=tokens, longest=longest))


def _prove(known: RewardModelFacts, form: PromptForm, source: PromptSource | ChatSource, rows: Sequence[Row]) -> None:
    """Lets pass a template that writes answers as they are.

    Raises:
        Refusal: It doesn't (FTC459).
    """
    for row in rows:
        around = _around(known, form, source, [row])[0]
        if isinstance(around, str):
            return  # the row's own finding says why
        before, behind = around
        for answer, text in zip(
            _ANSWERS, source.render([{**row, form.completion: one} for one in _ANSWERS]), strict=True
        ):
            if not isinstance(text, RenderedRow) or text.text != before + answer + behind:
                summary = f"the chat template of `{known.model.name}` writes some answers otherwise than as they are"
                note = f"such as {answer!r}"
                help = "give it a template that copies the answer's text, in chat_template.jinja"
                raise Refusal([_unusable(known, summary, help, notes=note)])


def _around(
    known: RewardModelFacts, form: PromptForm, source: PromptSource | ChatSource, rows: Sequence[Row]
) -> list[tuple[str, str] | str]:
    """The text before and behind the answer of each row, or why there is none."""
    (mark,) = marks_for(known.model.tokenizer.chat_template or "", 1)
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
    known: RewardModelFacts,
    form: PromptForm,
    source: PromptSource | ChatSource,
    rows: Sequence[Row],
    part: PartRows,
    numbers: Sequence[int],
) -> Iterator[tuple[str, str]]:
    for start in range(0, len(rows), _AT_ONCE):
        places = numbers[start : start + _AT_ONCE]
        for number, found in zip(places, _around(known, form, source, rows[start : start + _AT_ONCE]), strict=True):
            if isinstance(found, str):
                summary = f"`{known.model.name}` can't read {part.place(number)}: {found}"
                help = "use a reward model that was trained on such rows, or remove the row"
                raise Refusal([_unusable(known, summary, help, rows=(part.place(number),))])
            yield found


def _lengths(tokenizer: TextTokenizer, frames: Sequence[tuple[str, str]]) -> Iterator[int]:
    for start in range(0, len(frames), _AT_ONCE):
        yield from tokenizer.num_tokens([before + behind for before, behind in frames[start : start + _AT_ONCE]])


def _unusable(
    known: RewardModelFacts, summary: str, *help: str, notes: str = "", rows: tuple[str, ...] = ()
) -> Diagnostic:
    return diagnostic("FTC459", summary, help=help, notes=notes or (), path=known.path, rows=rows)
