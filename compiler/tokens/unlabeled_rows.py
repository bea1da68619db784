"""Rows that nobody has labeled, as a run's plan would have read them: what a trained model is to answer.

A stand-in takes the place of each answer, so that rows go the way of those that the run was evaluated on. What a row
says beside its input is never read. A row that can't be used, such as one without a text, costs no other row its
prediction; it is named with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.model_config import read_config
from ftc.compiler.resolve.models.tokenizer import read_tokenizer
from ftc.compiler.resolve.rows.canonical_rows import turns_before, with_turns, write_canonical
from ftc.compiler.resolve.rows.columns import Columns, value_of
from ftc.compiler.resolve.rows.images import ImageStore, image_faults
from ftc.compiler.resolve.rows.labels import label_column
from ftc.compiler.resolve.rows.row_checks import CHECKS
from ftc.compiler.resolve.rows.table import Row, Table
from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.forms import ChatForm, EmbedForm, PromptForm, RerankForm, TagForm, TextForm
from ftc.compiler.tokens.image_tokens import tokens_of_images
from ftc.compiler.tokens.other_rows import measuring, planned_vision, without_probes
from ftc.compiler.tokens.row_form import Wording, row_form, turns_column
from ftc.compiler.tokens.row_inputs import RANKED_COLUMN, check_columns, input_columns, scores_answers
from ftc.compiler.tokens.row_tokens import encode_rows
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.compiler.tokens.stream_writer import write_images, write_stream
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec.documents.facts import TokenizerFacts
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.stream_images import IMAGES_FILE
from ftc.spec.heads import head_card
from ftc.spec.storage.own_tokenizer import tokenizer_folder
from ftc.spec.tasks import PARTS
from ftc.spec.tasks.rows import (
    ANSWER_COLUMN,
    INSTRUCTION_PROMPT,
    NEGATIVES_COLUMN,
    NUMBERS_COLUMN,
    STAND_IN,
)
from ftc.spec.text_forms import form_card

__all__ = ["UnlabeledRows", "compile_unlabeled"]

_COPIED = "{{ " + INSTRUCTION_PROMPT + " }}"


@dataclass(frozen=True, slots=True)
class UnlabeledRows:
    """Rows to predict for.

    Attributes:
        plan: The run's plan with them as its test split; None where no row can be used.
        problems: Why a row has no prediction, by its number from 0.
        cut: Numbers of the rows of which the model sees a part.
        unfit: Numbers of the rows whose values are fine and that give no tokens, most often as they are too long.
    """

    plan: Plan | None
    problems: Mapping[int, str]
    cut: frozenset[int]
    unfit: frozenset[int] = frozenset()


def compile_unlabeled(
    plan: Plan, model_folder: Path, table: Table, folder: Path, *, max_new_tokens: int | None = None
) -> UnlabeledRows:
    """Writes rows as the test split of a plan, and gives that plan.

    Args:
        plan: The run's plan: its columns, labels, prompt and lengths hold.
        model_folder: Where tokenizer and template lie.
        table: The rows.
        folder: Where the stream goes.
        max_new_tokens: Most tokens of a written answer; None for as many as the run allows.

    Raises:
        Refusal: A column is missing (FTC688), or a template or the tokenizer can't be used (FTC331 to FTC339).
    """
    check_columns(plan, table)
    by_part, named = input_columns(plan, table.columns)
    rows = _with_stand_ins(plan, by_part, named, table)
    problems = {number: words for number, row in enumerate(rows) if (words := _fault(by_part, row)) is not None}
    store, kept_rows = ImageStore(planned_vision(plan, model_folder)), replace(table, rows=rows)
    if plan.settings.model.vision is not None:
        faults = image_faults(Columns(by_part), _sound(kept_rows, problems), store)
        problems |= {number: fault.summary for number, fault in faults.items()}
    numbers = [number for number in range(len(rows)) if number not in problems]
    longest, new_tokens = _lengths(plan, model_folder, max_new_tokens)
    if not numbers:
        return UnlabeledRows(None, problems, frozenset())
    found = _encoded(
        plan, by_part, model_folder, [rows[number] for number in numbers], numbers, table.where, longest, store
    )
    kept = set(found.row.tolist())
    reasons = {dropped.row: dropped.reason for dropped in found.counts.first_dropped}
    usual, unfit = f"longer than {longest:,} tokens", frozenset(numbers) - kept
    if form_card(plan.settings.text.form).redraws:  # texts are cut, and nothing but a mask can be missing
        usual = next(iter(reasons.values()), usual)
    problems |= {number: reasons.get(number, usual) for number in sorted(unfit)}
    if not kept:
        return UnlabeledRows(None, problems, frozenset(), unfit)
    report = write_stream(folder / "test.arrow", found)
    if store.pictures:
        write_images(folder / IMAGES_FILE, store.contents())
    measured = without_probes(measuring(plan, report, None))
    evaluate = measured.settings.eval.model_copy(update={"max_new_tokens": new_tokens})
    settings = measured.settings.model_copy(update={"eval": evaluate})
    if scores_answers(plan):  # one answer a row, in place of a pair
        settings = settings.model_copy(update={"text": settings.text.model_copy(update={"form": "score"})})
    cut = frozenset(kept.intersection(found.counts.cut))
    return UnlabeledRows(measured.model_copy(update={"settings": settings}), problems, cut, unfit)


def _sound(table: Table, problems: Mapping[int, str]) -> Table:
    """The table in which rows that can't be used are empty, so that nothing of them is read."""
    return replace(table, rows=[{} if number in problems else row for number, row in enumerate(table.rows)])


def _with_stand_ins(plan: Plan, by_part: Mapping[str, str], named: Sequence[str], table: Table) -> list[Row]:
    """The rows in the form that is encoded, each with an answer that is never read."""
    answers = plan.settings.text.columns.keys() - by_part.keys()
    hidden = {plan.settings.text.columns[part] for part in answers} - {*by_part.values(), *named}
    rows = [{name: value for name, value in row.items() if name not in hidden} for row in table.rows]
    task = plan.recipe.task.settled(plan.settings.model.family)
    write_canonical(task, Columns(plan.settings.text.columns), Table(table.file, table.columns, rows))
    stand_in = _stand_in(plan, by_part)
    for row in rows:
        stand_in(row)
    return rows


def _asked_in(by_part: Mapping[str, str]) -> str:
    """The column of what is asked: a prompt, a text or a conversation."""
    return by_part.get("prompt") or by_part.get("text") or by_part["messages"]


def _stand_in(plan: Plan, by_part: Mapping[str, str]) -> Callable[[Row], None]:
    """What gives a row, in place, the answer that its form needs."""
    text, columns = plan.settings.text, plan.settings.text.columns
    task = plan.recipe.task.settled(plan.settings.model.family)

    def written(row: Row) -> None:
        row[_written_column(plan)] = text.labels[0] if text.labels else STAND_IN

    def copied(row: Row) -> None:
        source = _asked_in(by_part)
        row[INSTRUCTION_PROMPT], row[ANSWER_COLUMN] = row.get(source), STAND_IN
        row["messages"] = with_turns(turns_before(row), _asked(row.get(source)))

    match text.form:
        case "classify":
            several = task.mode_for(plan.settings.model.family).labels == "several"
            return lambda row: row.update({label_column(columns): [] if several else text.labels[0]})
        case "score" | "answer":
            return lambda row: row.update({NUMBERS_COLUMN: [0.0] * len(text.labels)})
        case "tag" | "steps":
            rated, tags = ("tokens", "tags") if text.form == "tag" else ("steps", "step_labels")
            return lambda row: row.update(
                {columns["spans"]: []}
                if "spans" in columns
                else {columns[tags]: [text.labels[0]] * _length(row.get(columns[rated]))}
            )
        case "extract":
            return lambda row: row.update({columns["answers"]: {"text": [], "answer_start": []}})
        case "embed" | "rerank":
            return partial(_rank_all, plan)
        case "chat":
            return lambda row: row.update({columns["messages"]: _asked(row.get(columns["messages"]))})
        case "prompt" | "sample":
            return written
        case "preference" | "raw" | "masked" | "spans":
            return partial(_write_scored, by_part) if scores_answers(plan) else copied
        case _:
            assert_never(text.form)


def _write_scored(by_part: Mapping[str, str], row: Row) -> None:
    """The answer to score as if it were to be written, or the conversation that ends with it."""
    if "messages" in by_part:
        row["messages"] = with_turns(turns_before(row), row.get("messages"))
    row[INSTRUCTION_PROMPT], row[ANSWER_COLUMN] = value_of(row, by_part, "prompt"), row.get("completion")


def _rank_all(plan: Plan, row: Row) -> None:
    """Has a reranker order all texts of a row: also the right one, which rows of training know."""
    if form_card(plan.settings.text.form).ranks_texts:
        right = row.get(plan.settings.text.columns["positive"])
        row[NEGATIVES_COLUMN] = row.get(RANKED_COLUMN) or [right, *row[NEGATIVES_COLUMN]]


def _length(words: Any) -> int:
    return len(words) if isinstance(words, list) else 0


def _written_column(plan: Plan) -> str:
    """The column of the text that a model learned to write."""
    written, columns = plan.recipe.task.CARD.written_parts, plan.settings.text.columns
    return next((columns[part] for part in written if part in columns), ANSWER_COLUMN)


def _asked(messages: Any) -> Any:
    """A conversation up to the turn that is to be answered, and a stand-in for the answer; others as they are."""
    if not isinstance(messages, list) or not all(isinstance(turn, dict) for turn in messages):
        return messages
    end = len(messages) - (bool(messages) and messages[-1].get("role") == "assistant")
    return [*messages[:end], {"role": "assistant", "content": STAND_IN}]


def _fault(by_part: Mapping[str, str], row: Row) -> str | None:
    """What is wrong with a row's input, or None."""
    for part, column in by_part.items():
        if (fault := CHECKS[PARTS[part].values](row.get(column))) is not None:
            return f"column `{column}` {fault[1]}"
    if by_part.get("negative") == RANKED_COLUMN and not (isinstance(row[RANKED_COLUMN], list) and row[RANKED_COLUMN]):
        return f"column `{RANKED_COLUMN}` is not a list of texts"
    return None


def _lengths(plan: Plan, model_folder: Path, asked: int | None) -> tuple[int, int | None]:
    """Longest row, and most new tokens of an answer; together no more than the model has positions for.

    What the run itself allows stays as it is, so that its own rows get the answers of its evaluation.
    """
    settings, longest = plan.settings, plan.settings.text.max_length
    if not head_card(settings.model.head).writes:
        return longest, None
    if asked is None and settings.eval.max_new_tokens is not None:
        return longest, settings.eval.max_new_tokens
    new = asked or plan.data["train"].supervised_max
    positions = read_config(read_json_object(model_folder / "config.json", None)).max_positions
    positions = settings.model.rope.positions if settings.model.rope is not None else positions
    if positions is None or settings.model.family == "encoder_decoder":
        return longest, new
    free = positions - settings.strategy.traits.num_virtual
    new = min(new, max(1, free // 2)) if asked is None else new
    return max(1, min(longest, free - new)), new


def _encoded(
    plan: Plan,
    by_part: Mapping[str, str],
    model_folder: Path,
    rows: Sequence[Row],
    numbers: Sequence[int],
    place: Callable[[int], str],
    longest: int,
    store: ImageStore,
) -> TokenRows:
    config = read_config(read_json_object(model_folder / "config.json", None))
    texts = tokenizer_folder(model_folder, plan.settings.model.tokenizer)
    facts = read_tokenizer(texts, config.model_type)
    tokenizer = TextTokenizer(texts / "tokenizer.json")
    form, facts = _form(plan, by_part, rows, facts)
    with TemplateRenderer() as renderer:
        return encode_rows(
            rows,
            form,
            tokenizer,
            facts,
            renderer,
            max_length=longest,
            cuts=not form_card(plan.settings.text.form).is_conversation,  # else an earlier turn would be answered
            numbers=numbers,
            place=place,
            images=tokens_of_images(store.vision, tokenizer, store.pictures),
        )


def _form(
    plan: Plan, by_part: Mapping[str, str], rows: Sequence[Row], facts: TokenizerFacts
) -> tuple[TextForm, TokenizerFacts]:
    """How the rows are read, and the tokenizer's facts as far as they are used for that."""
    text, family = plan.settings.text, plan.settings.model.family
    task = plan.recipe.task.settled(family)
    if form_card(text.form).redraws:  # masks and sentinels stand in the text
        form = row_form(task, text.columns, text.labels, Wording(text.form, None, None, family, facts.eos_id), rows)
        return form.model_copy(update={"is_given": True}), facts
    if form_card(text.form).is_self_supervised:  # a text goes on as it began, whatever template a tokenizer has
        prompt = PromptForm(prompt=_COPIED, completion=ANSWER_COLUMN)
        return prompt, facts.model_copy(update={"chat_template": None})
    if form_card(text.form).is_pair:
        turns = turns_column(text.columns, rows)
        asked = PromptForm(prompt=_COPIED, completion=ANSWER_COLUMN, system=text.system, turns=turns)
        return (ChatForm() if isinstance(rows[0].get(_asked_in(by_part)), list) else asked), facts
    wording = Wording(text.form, text.prompt, text.system, family, facts.eos_id)
    form = row_form(task, text.columns, text.labels, wording, rows)
    if isinstance(form, ChatForm):  # whatever was trained on, the assistant's next turn is what is asked for
        return form.model_copy(update={"train_on": "last"}), facts
    if isinstance(form, RerankForm):
        return form.model_copy(update={"positive": None, "margins": None}), facts
    if isinstance(form, EmbedForm):
        texts = {column: prefix for column, prefix in form.texts.items() if column in by_part.values()}
        return EmbedForm(texts=texts), facts
    return (form.model_copy(update={"keeps_places": True}) if isinstance(form, TagForm) else form), facts
