"""Brings the ways in which people write one and the same row into a single one, before anything is checked.

What can't be understood stays as it is: the checks behind this step tell what is wrong with it, and where.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, assert_never

from ftc.compiler.resolve.rows.columns import Columns, value_of
from ftc.compiler.resolve.rows.content_parts import image_references, with_parts
from ftc.compiler.resolve.rows.conversation_checks import asked_fault, is_conversation, is_plain
from ftc.compiler.resolve.rows.joined_labels import labels_in
from ftc.compiler.resolve.rows.message_forms import as_messages, as_tools, as_turns
from ftc.compiler.resolve.rows.ratings import answers_in, flag_of, number_in, rating_of, said_in, step_rating_of
from ftc.compiler.resolve.rows.row_checks import is_exchange, label_text
from ftc.compiler.resolve.rows.row_store import AS_IT_IS, Row, rewrite
from ftc.compiler.resolve.rows.table import Table
from ftc.compiler.resolve.rows.transcripts import split_transcripts
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import (
    ANSWER_COLUMN,
    ASKED_COLUMN,
    FUNCTIONS_COLUMN,
    IMAGELESS_MARK,
    INSTRUCTION_PROMPT,
    LABELS_COLUMN,
    NEGATIVES_COLUMN,
    NUMBERS_COLUMN,
    RATING_COLUMN,
    REFERENCES_COLUMN,
    STAND_IN,
    TRAIN_MARK,
    TURNS_COLUMN,
    AnswerRows,
    InstructionRows,
    LabelRows,
    MessageRows,
    NumberRows,
    PairRows,
    PromptRows,
    RatedRows,
    ScoredAnswerRows,
    StepRows,
    TagRows,
    TextGroupRows,
    TextRows,
)

__all__ = ["turns_before", "with_turns", "write_canonical"]


def write_canonical(task: Task, columns: Columns, table: Table) -> None:
    """Rewrites the rows of a table in place."""
    by_part, rows = columns.by_part, task.rows()
    change: Callable[[Row], object]
    match rows:
        case PromptRows(has_tests=True) if "reference" in by_part:
            change = partial(_write_tested, by_part=by_part)
        case MessageRows() | AnswerRows() | TextGroupRows() | PromptRows() | RatedRows():
            change = _of_columns(_BY_PART[type(rows)], by_part)
        case PairRows():
            change = partial(_write_pair, by_part=by_part)
        case ScoredAnswerRows(by=by):
            change = partial(_write_scored, by_part=by_part, by=by)
        case StepRows(labels=labels):
            change = partial(_write_steps, column=by_part["step_labels"], labels=labels)
        case NumberRows():
            change = partial(_write_numbers, columns=rows.columns or (by_part["score"],))
        case LabelRows() if rows.several or rows.written:
            change = _of_labels(rows, by_part)
        case TagRows() if "tokens" in by_part:
            columns_ = by_part["tokens"], by_part["tags"]  # one text with spaces is the only way that a CSV file has
            change = partial(_rewrite, columns=columns_, form=lambda v: v.split() if isinstance(v, str) else v)
        case InstructionRows() if by_part.keys() & {"prompt", "instruction", "system", "history", "image"}:
            change = partial(_write_prompt, by_part=by_part)
        case TextRows() | LabelRows() | TagRows() | InstructionRows():
            return
        case _:
            assert_never(rows)
    rewrite(table.rows, change, apart=True)


def _rewrite(row: Row, columns: Sequence[str], form: Callable[[Any], Any]) -> None:
    for column in columns:
        if column in row:
            row[column] = form(row[column])


def _write_pair(row: Row, by_part: Mapping[str, str]) -> None:
    """Conversations in one form, with the system message of a column first, or as what stands before a prompt."""
    chosen, rejected = by_part["chosen"], by_part["rejected"]
    if "prompt" not in by_part and (pair := split_transcripts(row.get(chosen), row.get(rejected))) is not None:
        row[chosen], row[rejected] = pair
    present = tuple(by_part[part] for part in ("prompt", "chosen", "rejected") if part in by_part)
    asked = _asked(value_of(row, by_part, "prompt"))
    _rewrite(row, present, partial(_of_each, as_turns))
    if asked is not None:
        row[by_part["prompt"]] = asked[-1]["content"]
        row[TURNS_COLUMN] = _as_asked(row, asked)
        answers = [one for column in present[-2:] for one in answers_in(row.get(column))]
        are_texts = all(isinstance(said_in(one), str) for one in answers)
        _rewrite(row, present[-2:], partial(_of_each, said_in if are_texts else partial(_behind, asked)))
    _write_system(row, by_part, present[-2:])


def _asked(prompt: Any) -> list[dict[str, Any]] | None:
    """The turns of a prompt that is a conversation up to a question; None for any other."""
    turns = as_messages(prompt)
    return turns if is_conversation(turns) and asked_fault(turns) is None else None


def _behind(asked: list[dict[str, Any]], answer: Any) -> Any:
    """An answer that is turns, as the end of the conversation that asks for it; any other as it is."""
    match answer:
        case [{"role": "assistant"}, *_]:
            return [*asked, *answer]
    return answer


def _write_asked(row: Row, by_part: Mapping[str, str]) -> list[dict[str, Any]]:
    """A prompt that is a conversation as its last question, and its completion as text. Returns the turns before."""
    prompt = as_messages(value_of(row, by_part, "prompt"))
    if (asked := _asked(prompt)) is None:
        if is_conversation(prompt):
            row[by_part["prompt"]] = prompt  # the checks say what is wrong with it in its one form
        return []
    row[by_part["prompt"]] = asked[-1]["content"]
    if isinstance(answer := said_in(as_messages(value_of(row, by_part, "completion"))), str):
        row[by_part["completion"]] = answer
    return _as_asked(row, asked)


def _as_asked(row: Row, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns before a question, of which no answer is trained; they are a part of the row's content."""
    before = [{**turn, TRAIN_MARK: False} if turn["role"] == "assistant" else turn for turn in asked[:-1]]
    if before:
        row[ASKED_COLUMN] = before
    return before


def _write_system(row: Row, by_part: Mapping[str, str], answers: Sequence[str]) -> None:
    """The system message of a column, in each conversation that has none and before the prompt of texts."""
    if turns := _system_turns(value_of(row, by_part, "system")):
        _rewrite(row, answers, partial(with_turns, turns))
        row[TURNS_COLUMN] = with_turns(turns, before) if (before := turns_before(row)) else turns


def turns_before(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The turns that stand before a row's prompt, or none."""
    return row.get(TURNS_COLUMN) or []


def with_turns(turns: list[dict[str, Any]], value: Any) -> Any:
    """A conversation, or each of several, that begins with the turns, unless it has its own; a text as it is."""
    if not isinstance(value, list) or not value or isinstance(value[0], str):
        return value
    if all(isinstance(one, list) for one in value):
        return [with_turns(turns, one) for one in value]
    begins = isinstance(value[0], dict) and value[0].get("role") == "system"
    return value if begins else [*turns, *value]


def _system_turns(system: Any) -> list[dict[str, Any]]:
    return [{"role": "system", "content": system}] if isinstance(system, str) and system.strip() else []


def _write_rating(row: Row, by_part: Mapping[str, str]) -> None:
    """A rating as a truth value, and what it is of in one form; what is no rating stays for the checks."""
    _write_rated(row, by_part)
    if (rating := rating_of(row.get(by_part["rating"]))) is not None:
        row[RATING_COLUMN] = rating


def _write_rated(row: Row, by_part: Mapping[str, str]) -> None:
    """A single answer with what asks for it: a conversation in one form, or a prompt, and the system message before."""
    if "messages" in by_part:
        _rewrite(row, (by_part["messages"],), as_messages)
    if turns := _write_asked(row, by_part):
        row[TURNS_COLUMN] = turns
    _write_system(row, by_part, [by_part["messages"]] if "messages" in by_part else [])


def _write_scored(row: Row, by_part: Mapping[str, str], by: str) -> None:
    """A rating or number as a list of one number, and what it is of in one form."""
    _write_rated(row, by_part)
    if by == "score":
        _write_numbers(row, (by_part["score"],))
    elif (rating := rating_of(row.get(by_part["rating"]))) is not None:
        row[NUMBERS_COLUMN] = [float(rating)]


def _write_steps(row: Row, column: str, labels: tuple[str, str]) -> None:
    """Ratings of steps by their names; what is no rating stays for the checks."""
    if isinstance(values := row.get(column), list) and None not in (ratings := [step_rating_of(one) for one in values]):
        row[column] = [labels[bool(one)] for one in ratings]


def _of_each(form: Callable[[Any], Any], value: Any) -> Any:
    """An answer in a form, or each of several."""
    one, *others = answers_in(value)
    return [form(answer) for answer in (one, *others)] if others else form(one)


def _of_labels(rows: LabelRows, by_part: Mapping[str, str]) -> Callable[[Row], None]:
    if rows.columns:
        return partial(_write_flags, columns=rows.columns)
    if rows.several:
        return partial(_rewrite, columns=(by_part["label"],), form=partial(_as_labels, rows.separator))
    return partial(_write_label, column=by_part["label"])


def _as_labels(separator: str | None, value: Any) -> Any:
    """The labels in a text, which is the only way that a CSV file has for several; anything else as it is."""
    found = labels_in(value, separator) if isinstance(value, str) else None
    return value if found is None else found


def _write_flags(row: Row, columns: Sequence[str]) -> None:
    """The labels whose columns say so; what says neither stays for the checks."""
    row[LABELS_COLUMN] = [column for column in columns if flag_of(row.get(column))]


def _write_label(row: Row, column: str) -> None:
    """The text of a label, which a model learns to write."""
    if isinstance(label := row.get(column), str | int | float):
        row[ANSWER_COLUMN] = label_text(label)


def _write_conversation(row: Row, by_part: Mapping[str, str]) -> object:
    """Messages in one form; the system message of a column comes first, unless the conversation has its own.

    A column of images keeps those alone that no message took, for the checks.
    """
    column, system, image = by_part["messages"], value_of(row, by_part, "system"), by_part.get("image")
    is_older = (tools := by_part.get("tools", "")).lower() == FUNCTIONS_COLUMN and row.get(tools) is not None
    if is_older:
        row[tools] = as_tools(row[tools])
    if column not in row or (image is None and system is None and is_plain(row[column])):
        return None if is_older else AS_IT_IS
    references = None if image is None else row.pop(image, None)
    turns, left = with_parts(as_messages(row[column]), image_references(references))
    if image is not None and left:
        row[image] = left
    row[column] = with_turns(_system_turns(system), turns)
    return None


def _write_numbers(row: Row, columns: Sequence[str]) -> None:
    """The numbers as one list, where all of them are numbers."""
    values = [row.get(column) for column in columns]
    given = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    numbers = [number_in(value) for value in given]
    if numbers and None not in numbers:
        row[NUMBERS_COLUMN] = numbers


def _write_group(row: Row, by_part: Mapping[str, str]) -> None:
    """Passages as texts, and wrong ones, the score of two texts and a teacher's margins as lists, perhaps empty."""
    for part in ("score", "margin"):
        if part in by_part:
            _write_numbers(row, (by_part[part],))
    for part in ("positive", "negative"):
        if isinstance(found := value_of(row, by_part, part), list):
            row[by_part[part]] = [_passage(one) for one in found]
    if "positive" in by_part and isinstance(found := row.get(by_part["positive"]), list) and len(found) == 1:
        row[by_part["positive"]] = found[0]
    value = value_of(row, by_part, "negative")
    texts = [] if value is None else value if isinstance(value, list) else [value]
    row[NEGATIVES_COLUMN] = [text for text in texts if isinstance(text, str) and text.strip()]


def _passage(value: Any) -> Any:
    """The text of a passage of MS MARCO's and Tevatron's form, `{docid, title, text}`, with its title before it."""
    match value:
        case {"title": str(title), "text": str(text)} if title.strip():
            return f"{title} {text}"
        case {"text": str(text)}:
            return text
        case _:
            return value


def _write_answers(row: Row, by_part: Mapping[str, str]) -> None:
    """Answers as SQuAD has them, `{text: […], answer_start: […]}`, from any of the usual ways, and images as a list."""
    _write_images(row, by_part)
    column = by_part["answers"]
    row[column] = answers = _as_answers(row.get(column), value_of(row, by_part, "answer_start"))
    if isinstance(answers, dict) and isinstance(texts := answers.get("text"), list):
        row[ANSWER_COLUMN] = texts[0] if texts else ""
        row[REFERENCES_COLUMN] = texts


def _as_answers(value: Any, start: Any) -> Any:
    match value:
        case None | "" | []:
            return {"text": [], "answer_start": []}
        case str():
            if isinstance(start, str) and start.isascii() and start.isdecimal():
                start = int(start)
            return {"text": [value], "answer_start": [] if start in (None, "") else [start]}
        case {"text": list(texts), **others}:
            return {"text": texts, "answer_start": others.get("answer_start") or []}
        case [*items] if all(isinstance(item, str) for item in items):
            return {"text": items, "answer_start": start if isinstance(start, list) else []}
        case [*items] if all(isinstance(item, dict) and "text" in item for item in items):
            starts = [item["answer_start"] for item in items if "answer_start" in item]
            return {"text": [item["text"] for item in items], "answer_start": starts}
        case _:
            return value


def _write_question(row: Row, by_part: Mapping[str, str]) -> None:
    """The turns before a prompt, a stand-in for the answer, and the reference as text where there is one."""
    _write_prompt(row, by_part)
    row[ANSWER_COLUMN] = STAND_IN
    reference = value_of(row, by_part, "reference")
    row[REFERENCES_COLUMN] = [label_text(reference)] if isinstance(reference, str | int | float) else []


def _write_tested(row: Row, by_part: Mapping[str, str]) -> None:
    """The same with tests of code, as text where they are a list or an object."""
    _rewrite(row, (by_part["reference"],), lambda v: json.dumps(v) if isinstance(v, list | dict) else v)
    _write_question(row, by_part)


def _write_images(row: Row, by_part: Mapping[str, str]) -> None:
    """The images of a column as a list."""
    if (column := by_part.get("image")) is not None:
        if row.get(column, ()) in (None, ""):
            row[IMAGELESS_MARK] = True
        row[column] = image_references(row.get(column))


def _write_prompt(row: Row, by_part: Mapping[str, str]) -> None:
    """An instruction, with its input below it where it has one, and the turns before it."""
    _write_images(row, by_part)
    if TURNS_COLUMN in row:  # a row of one of several sources, which was written before they were joined
        return
    system, history = value_of(row, by_part, "system"), value_of(row, by_part, "history")
    before, turns = _write_asked(row, by_part), _system_turns(system)
    if before and before[0]["role"] == "system":
        turns = []
    for question, answer in (one for one in history if is_exchange(one)) if isinstance(history, list) else ():
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer, TRAIN_MARK: False}]
    if turns or before:
        row[TURNS_COLUMN] = [*turns, *before]
    instruction, given = value_of(row, by_part, "instruction"), value_of(row, by_part, "input")
    if isinstance(instruction, str):
        row[INSTRUCTION_PROMPT] = (
            f"{instruction}\n\n{given}" if isinstance(given, str) and given.strip() else instruction
        )


def _of_columns(
    change: Callable[[Row, Mapping[str, str]], object], by_part: Mapping[str, str]
) -> Callable[[Row], object]:
    return lambda row: change(row, by_part)


_BY_PART: dict[type, Callable[[Row, Mapping[str, str]], object]] = {
    MessageRows: _write_conversation,
    AnswerRows: _write_answers,
    TextGroupRows: _write_group,
    PromptRows: _write_question,
    RatedRows: _write_rating,
}
"""What rewrites a row whose columns alone decide, by the kind of rows."""
