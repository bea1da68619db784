"""Rows: where they are, and what task their shape implies. A recipe names files; other tools name data sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ftc.compiler.importers import words
from ftc.compiler.importers.translation import Key, Translation, Value
from ftc.spec.preference_losses import PREFERENCE_LOSSES, preference_loss_named
from ftc.spec.reward_losses import REWARD_LOSSES
from ftc.spec.row_files import SUFFIXES

__all__ = [
    "SCORES",
    "as_alpaca",
    "as_asked",
    "as_chat",
    "as_compared",
    "as_instruction",
    "as_preference",
    "as_questions",
    "as_rated",
    "as_steps",
    "as_text",
    "columns_fit",
    "mixed",
    "place_named_rows",
    "place_rows",
    "validation_share",
    "with_last_break",
]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_COLUMN = re.compile(r"[A-Za-z_]\w{0,63}")
_CONVERSATIONS, _PLAIN_TEXT = words.task_of("messages"), words.task_of("text")
_PREFERENCES, _ANSWERS = words.task_of("prompt", "chosen", "rejected"), words.task_of("prompt", "completion")
_QUESTIONS = words.task_of("prompt", "reference")
SCORES = words.task_called("rm")
"""Tasks by the parts that rows have for them."""
_GIVE = "add the rows with `--data FILE`"


def place_rows(
    t: Translation, key: str | Key, *, file_key: str | Key | None = None, revision_key: str | Key | None = None
) -> None:
    """Writes where the rows are, from a key with a path or an id, and one with a file in the data set."""
    keys = [one for one in (key, file_key) if one is not None]
    if t.options.data:
        t.add("data.source.path", t.options.data, "given by --data")
        for one in (*keys, revision_key or ()):
            t.needless(one, "`--data` gives the rows")
        return
    where = t.text(key) if not isinstance(t.value(key), tuple | dict) else None
    # the one file that a key names, also as a list of one
    value = t.value(file_key) if file_key is not None else None
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    file = value if isinstance(value, str) else None
    if where in ("json", "csv", "parquet", "text", "arrow") and file:
        _local(t, [key, *keys[1:]], file)
        t.needless(key, "the suffix decides the kind of file")
    elif where and (where.endswith(SUFFIXES) or where.startswith((".", "/", "~"))) and not _is_web(where):
        _local(t, [key], where)
    elif where and _HUB_ID.fullmatch(where):
        _hub(t, keys, where, file, revision_key)
    elif where and _is_web(where):
        t.block(key, "rows at a web address are not supported", f"download the file, and {_GIVE}")
    elif where:
        t.block(key, f"`{where[:80]}` is neither a data file nor an id on the hub", _GIVE)
    else:
        t.block(key, "no rows are named", _GIVE)


def place_named_rows(
    t: Translation, key: str | Key, *, path: str | None = None, hub: str | None = None, unreachable: str = ""
) -> None:
    """Writes where rows are that a registry of the other tool's leads to; `key` holds their name there."""
    if t.options.data:
        t.add("data.source.path", t.options.data, "given by --data")
    elif path is not None:
        _local(t, [key], path)
    elif hub is not None:
        _hub(t, [key], hub, None, None)
    else:
        t.block(key, unreachable, _GIVE)


def _local(t: Translation, keys: list[str | Key], where: str) -> None:
    found = t.around.locate(where)
    if not where.lower().endswith(SUFFIXES):
        t.block(keys[-1], f"`{where[:80]}` is not a data file that ftc reads", f"one of {', '.join(SUFFIXES)}")
    elif found is None and where.startswith(("/", "~")):
        inside = "/".join(part for part in where.split("/") if part not in ("", "~", ".", ".."))
        t.carry(keys[-1], "data.source.path", inside, f"`{where[:80]}` is outside the project: copy it to this place")
    else:
        t.carry(keys[-1], "data.source.path", found or where, "" if found else "not found from here")


def _hub(t: Translation, keys: list[str | Key], where: str, file: str | None, revision_key: str | Key | None) -> None:
    is_open = not (file or t.options.hub_file)
    t.carry(keys[0], "data.source.hub", where, "the plan finds out which file has the rows" if is_open else "")
    if t.options.hub_file:
        t.add("data.source.file", t.options.hub_file, "given by --hub-file")
        for key in keys[1:]:
            t.needless(key, "`--hub-file` names the file")
    elif file:
        t.carry(keys[1], "data.source.file", file)
    if revision_key is not None and (revision := t.text(revision_key)):
        t.carry(revision_key, "data.source.revision", revision)


def _is_web(where: str) -> bool:
    return "://" in where


def as_asked(t: Translation, key: str | Key, unknown: str, word: str = "") -> None:
    """The task that the user named, since the configuration does not tell the shape of the rows.

    Args:
        t: The sheet.
        key: Where the configuration names the rows.
        unknown: What is unknown of them.
        word: What it calls their shape, which may be somebody's word for a task.
    """
    match t.options.task:
        case None:
            help = "say `--task chat` for rows with `messages`, `--task generation` for `prompt` and `completion`"
            named = words.named_task(word)
            t.block(key, unknown, named[2] if named else help)
        case task:
            t.add("task.kind", task, "given by --task")
            t.needless(key, "`--task` sets the format of the rows")


def as_chat(t: Translation, key: str | Key, column_key: str | Key | None, column: str | None = None) -> None:
    """Conversations of `role` and `content`, or of `from` and `value`, which ftc reads as well."""
    if _is_overruled(t, key, _CONVERSATIONS):
        return
    t.carry(key, "task.kind", _CONVERSATIONS)
    named = t.text(column_key) if column_key is not None else None
    if named and column_key is not None:
        t.carry(column_key, "data.fields.messages", named)
    elif column and column != "messages":
        t.carry(key, "data.fields.messages", column)


def as_text(t: Translation, key: str | Key, column: str) -> None:
    """Plain text that is continued: all of it is learned."""
    if _is_overruled(t, key, _PLAIN_TEXT):
        return
    t.carry(key, "task.kind", _PLAIN_TEXT, "plain text, all of it trained on")
    if column != "text":
        t.carry(key, "data.fields.text", column)


def as_compared(t: Translation, key: str, named: str, numbers: Mapping[str, str], usual: Mapping[str, float]) -> None:
    """The loss of preferences and its numbers.

    Args:
        t: The translation.
        key: Where the loss is named.
        named: What it is called there.
        numbers: Keys of the other tool by the recipe's key below `task`; several may stand for one.
        usual: What the other tool takes where nobody gives a number.
    """
    card = preference_loss_named(named)
    if card is None:
        known = ", ".join(f"`{one.foreign[-1]}`" for one in PREFERENCE_LOSSES)
        t.block(key, f"the preference loss `{named[:40]}` is not supported", f"choose one of {known}")
        return
    if t.has(key):
        t.carry(key, "task.loss", card.kind)
    known_keys = ("beta", *card.reads)
    for foreign, own in numbers.items():
        if own in known_keys and f"task.{own}" not in t.values and (value := t.number(foreign)) is not None:
            t.carry(foreign, f"task.{own}", value)
        t.needless(foreign, f"has no effect with {card.label}")
    for own, value in usual.items():
        if own in known_keys and f"task.{own}" not in t.values and own in card.usual and card.usual[own] != value:
            t.add(f"task.{own}", value, "the other tool's default")


def as_questions(t: Translation, key: str | Key) -> bool:
    """Prompts that the model answers in training; tells whether no other task was asked for."""
    if _is_overruled(t, key, _QUESTIONS):
        return False
    t.carry(key, "task.kind", _QUESTIONS)
    return True


def as_preference(
    t: Translation, key: str | Key, columns: Mapping[str, str], reason: str = "", *, kind: str = _PREFERENCES
) -> None:
    """A prompt with a chosen and a rejected answer; `columns` are those that are named otherwise than these parts.

    `kind` is the task that learns from them: preferences, or a reward model.
    """
    if _is_overruled(t, key, kind):
        return
    t.carry(key, "task.kind", kind, reason)
    for part, column in columns.items():
        if column != part:
            t.carry(key, f"data.fields.{part}", column)


def as_steps(
    t: Translation, key: str | Key, separator: str | Key, last_step_alone: str | Key, reason: str = ""
) -> None:
    """Answers in steps, each with its rating, in TRL's columns.

    Args:
        t: The sheet.
        key: What says so.
        separator: Key of the text behind each step.
        last_step_alone: Key of whether the last step alone is trained on, which a recipe can't say.
        reason: Why rows have these columns.
    """
    if _is_overruled(t, key, SCORES):
        return
    t.carry(key, "task.kind", SCORES, reason)
    loss = next(card.kind for card in REWARD_LOSSES if card.rows == "steps")
    t.carry(key, "task.loss", loss)
    for part, column in {"steps": "completions", "step_labels": "labels"}.items():
        t.carry(key, f"data.fields.{part}", column)
    if t.has(separator):
        t.carry(separator, "task.step_separator", t.text(separator))
    if t.flag(last_step_alone):
        t.block(last_step_alone, "training on the last step alone is not supported", "set it to false")
    t.needless(last_step_alone, "every step is trained on")


def as_rated(t: Translation, key: str | Key, columns: Mapping[str, str], reason: str = "") -> None:
    """An answer with a rating; `columns` are those of the parts."""
    if _is_overruled(t, key, _PREFERENCES):
        return
    t.carry(key, "task.kind", _PREFERENCES, reason)
    for part, column in columns.items():
        t.carry(key, f"data.fields.{part}", column)


def mixed(t: Translation, key: str | Key, sets: Sequence[Callable[[], None]], weights: Sequence[Key] = ()) -> bool:
    """Several data sets as one list of sources, where their rows become text in the same way.

    Args:
        t: The sheet.
        key: What lists them.
        sets: Writes one data set each, as if it were the only one.
        weights: Keys of their shares, in the same order, where the tool has such.

    Returns:
        Whether the sources have weights.
    """
    if t.options.data:
        t.add("data.source.path", t.options.data, "given by --data")
        as_asked(t, key, "the format of the rows is not given")
        return False
    if not sets:
        t.block(key, "no data set is named", _GIVE)
        return False
    before, found = dict(t.values), []
    for one in sets:
        t.values = dict(before)
        one()
        found.append({path: value for path, value in t.values.items() if before.get(path) != value})
    t.values = before
    tasks = [{path: value.value for path, value in one.items() if path.startswith("task.")} for one in found]
    if any(task != tasks[0] for task in tasks):
        help = "join them into rows of one format, then use `--data FILE --task TASK`"
        t.block(key, f"{len(sets)} data sets with different prompt formats", help)
        return False
    fields = [_below(one, "data.fields.") for one in found]
    is_alike = all(one == fields[0] for one in fields)
    shared = ("task.", "data.fields.") if is_alike else ("task.",)
    t.values |= {path: value for path, value in found[0].items() if path.startswith(shared)}
    sources = [
        {**_below(one, "data.source."), **({} if is_alike else {"fields": own})}
        for one, own in zip(found, fields, strict=True)
    ]
    carried = [value for values in found for path, value in values.items() if path.startswith("data.source.")]
    keys: list[str | Key] = list(dict.fromkeys(key for value in carried for key in value.keys))
    shares = [t.number(weight) or 0.0 for weight in weights]
    is_weighted = bool(shares) and min(shares) > 0
    if is_weighted:
        keys += weights
        sources = [{**source, "weight": share} for source, share in zip(sources, shares, strict=True)]
    for weight in weights:
        if not is_weighted and t.has(weight):
            t.drop(weight, "not all of the data sets have one", "give each source a `weight`")
    reason = "mixed by their weights" if is_weighted else "mixed row by row, in proportion to their sizes"
    t.move(keys, "data.source")
    t.carry(keys or key, "data.source", tuple(sources), reason)
    return is_weighted


def _below(values: Mapping[str, Value], prefix: str) -> dict[str, Any]:
    return {path.removeprefix(prefix): value.value for path, value in values.items() if path.startswith(prefix)}


def as_alpaca(t: Translation, key: str | Key, instruction: str, query: str, output: str) -> None:
    """Rows of instruction, input and output, in the form with `###` headings."""
    if _is_overruled(t, key, _ANSWERS) or not columns_fit(t, key, instruction, query):
        return
    prompt = (  # templates drop the line break behind a block, and the one at their end
        f"### Instruction:\n{{{{ {instruction} }}}}\n\n"
        f"{{% if {query} %}}\n### Input:\n{{{{ {query} }}}}\n\n{{% endif %}}\n### Response:\n"
    )
    _instruction(t, key, with_last_break(prompt), output, "the Alpaca format in ftc's words; compare the prompt")


def as_instruction(
    t: Translation,
    key: str | Key,
    instruction: str,
    query: str | None,
    output: str,
    *,
    between: str = "\\n",
    marked: str = "",
) -> None:
    """Rows of instruction, perhaps input, and output.

    Args:
        t: The sheet.
        key: What names the rows.
        instruction: Column of the prompt, or of its first part.
        query: Column of its second part; None for none.
        output: Column of the answer.
        between: What stands before the second part, with its escapes unread.
        marked: What is left out of the prompt: where an image stands, which ftc puts in front.
    """
    if _is_overruled(t, key, _ANSWERS) or not columns_fit(t, key, instruction, query or instruction):
        return
    second = f'"{between}" ~ {query} if {query} else ""'
    if marked:
        whole = f"({instruction} ~ ({second}))" if query else instruction
        _instruction(t, key, f'{{{{ {whole} | replace("{marked}", "") }}}}', output)
        return
    if query:
        _instruction(t, key, f"{{{{ {instruction} }}}}{{{{ {second} }}}}", output)
        return
    t.carry(key, "task.kind", _ANSWERS)
    t.carry(key, "data.fields.prompt", instruction)
    t.carry(key, "data.fields.completion", output)


def _instruction(t: Translation, key: str | Key, prompt: str, output: str, reason: str = "") -> None:
    t.carry(key, "task.kind", _ANSWERS, reason)
    t.carry(key, "task.prompt", prompt, reason)
    t.carry(key, "data.fields.completion", output, reason)


def columns_fit(t: Translation, key: str | Key, *columns: str) -> bool:
    """Whether the columns can be named in a prompt's template."""
    strange = next((column for column in columns if not _COLUMN.fullmatch(column)), None)
    if strange is None:
        return True
    help = "rename it in the rows to letters, digits and underscores"
    t.block(key, f"the column `{strange[:40]}` can't be named in a prompt", help)
    return False


def with_last_break(template: str) -> str:
    """A template whose last line break is rendered; as it stands, templates drop it."""
    return template.removesuffix("\n") + '{{ "\\n" }}' if template.endswith("\n") else template


def _is_overruled(t: Translation, key: str | Key, kind: str) -> bool:
    """Whether `--task` says otherwise; what the user says about rows counts more than what the file does."""
    if t.options.task in (None, kind):
        return False
    as_asked(t, key, "")
    return True


def validation_share(t: Translation, key: str) -> bool:
    """The share of the rows for validation; whether there is any. A number of rows can't become a share here."""
    share = t.number(key)
    t.add("data.split.test", 0, f"{t.tool} keeps no test rows; a share such as 0.1 makes ftc measure the result")
    if share is None or share <= 0:
        if share is None:
            t.add("data.split.validation", 0, f"{t.tool}'s default")
        else:
            t.carry(key, "data.split.validation", 0)
        return False
    if share < 1:
        t.carry(key, "data.split.validation", share)
    else:
        reason = f"{share:g} rows are a share that depends on the number of rows"
        t.drop(key, reason, "set to a tenth instead, in `data.split.validation`")
        t.add("data.split.validation", 0.1, "ftc's default, instead of a number of rows")
    return True
