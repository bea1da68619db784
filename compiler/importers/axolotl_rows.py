"""Rows by the types of Axolotl's data sets: which task they imply, and in which columns its parts are."""

from __future__ import annotations

import re

from ftc.compiler.importers import rows, words
from ftc.compiler.importers.translation import Key, Translation

__all__ = ["data_set", "preferred_rows", "rated_rows", "raw_text", "scored_rows"]

_IN_FORMAT = re.compile(r"\{\{|\}\}|\{(system|instruction|input)\}|\{")
_SHAREGPT = {"role": "from", "content": "value"}
_BOTH_NAMES = "ftc reads `role` and `content`, and `from` and `value`"


def data_set(t: Translation, key: Key) -> None:
    """Rows for supervised training; their type tells the task and the columns, or a mapping describes them."""
    rows.place_rows(t, (*key, "path"), file_key=(*key, "data_files"), revision_key=(*key, "revision"))
    kind = t.value((*key, "type"))
    if isinstance(kind, dict):
        _own_format(t, (*key, "type"))
        return
    word = str(kind or "").split(".")[0].split(":")[0]
    match word:
        case "alpaca":
            rows.as_alpaca(t, (*key, "type"), "instruction", "input", "output")
        case "chat_template":
            _chat(t, key)
        case "completion":
            rows.as_text(t, (*key, "type"), t.text((*key, "field")) or "text")
            t.needless((*key, "field"), "named as the text's column")
        case "sharegpt":
            rows.as_chat(t, (*key, "type"), (*key, "conversation"), "conversations")
        case _:
            rows.as_asked(t, (*key, "type"), f"rows of the type `{str(kind)[:40]}` are not supported", word)


def _chat(t: Translation, key: Key) -> None:
    renamed = _renamed(t, key)
    if renamed and not t.options.data and _names(t, key) != _SHAREGPT:
        help = "rewrite the rows as `messages` of `role` and `content`, then use `--data FILE`"
        t.block(renamed, "messages with other names than `role` and `content`", help)
        return
    for part in ("role", "content"):
        t.needless((*key, f"message_field_{part}"), _BOTH_NAMES)
    t.needless((*key, "message_property_mappings"), _BOTH_NAMES)
    t.needless((*key, "roles"), "ftc reads `user` and `assistant`")
    rows.as_chat(t, (*key, "type"), (*key, "field_messages"))


def _names(t: Translation, key: Key) -> dict[str, str]:
    """What the parts of a message are called."""
    mapping = t.value((*key, "message_property_mappings"))
    given = mapping if isinstance(mapping, dict) else {}
    return {
        part: str(given.get(part) or t.text((*key, f"message_field_{part}")) or part) for part in ("role", "content")
    }


def preferred_rows(t: Translation, key: Key) -> None:
    """Rows with a better and a worse answer; their type tells the columns, or a mapping names them."""
    rows.place_rows(t, (*key, "path"), file_key=(*key, "data_files"), revision_key=(*key, "revision"))
    kind = t.value((*key, "type"))
    if isinstance(kind, dict):
        columns = {part: str(kind.get(f"field_{part}") or part) for part in ("prompt", "chosen", "rejected")}
        rows.as_preference(t, (*key, "type"), columns)
        return
    word = str(kind or "").rpartition(".")[2]
    prompt = {"intel": "question", "default": t.text((*key, "field_messages")) or "messages"}.get(word, "prompt")
    columns = {part: t.text((*key, f"field_{part}")) or part for part in ("chosen", "rejected")}
    reason = f"the columns that `{str(kind)[:40]}` reads; compare them with the rows"
    rows.as_preference(t, (*key, "type"), {"prompt": prompt, **columns}, reason)
    for part in ("field_messages", "field_chosen", "field_rejected", "message_property_mappings", "roles"):
        t.needless((*key, part), "its columns are in the recipe")


def rated_rows(t: Translation, key: Key) -> None:
    """Answers with a rating; a mapping names the columns, or they have their usual names."""
    rows.place_rows(t, (*key, "path"), file_key=(*key, "data_files"), revision_key=(*key, "revision"))
    kind = t.value((*key, "type"))
    named = kind if isinstance(kind, dict) else {}
    parts = {"prompt": "prompt", "completion": "completion", "rating": "label"}
    columns = {part: str(named.get(f"field_{usual}") or usual) for part, usual in parts.items()}
    reason = "" if named else f"the columns that `{str(kind)[:40]}` reads; compare them with the rows"
    rows.as_rated(t, (*key, "type"), columns, reason)


def scored_rows(t: Translation, key: Key) -> None:
    """Pairs for a reward model, in the columns that Axolotl's `bradley_terry` types read."""
    rows.place_rows(t, (*key, "path"), file_key=(*key, "data_files"), revision_key=(*key, "revision"))
    kind = t.text((*key, "type")) or ""
    if not (kind.startswith("bradley_terry") or t.options.task):
        help = "name the columns in `data.fields`: `prompt`, `chosen` and `rejected`"
        t.drop((*key, "type"), f"rows of the type `{kind[:40]}` of a reward model", help)
    t.needless((*key, "type"), "its columns are in the recipe; a column `system` is not read")
    reason = "compare the columns with the rows"
    rows.as_preference(t, "reward_model", {"prompt": "input"}, reason, kind=rows.SCORES)


def stepwise_rows(t: Translation, key: Key) -> None:
    """Answers in steps for a process reward model, as Axolotl's type `stepwise_supervised` reads them."""
    rows.place_rows(t, (*key, "path"), file_key=(*key, "data_files"), revision_key=(*key, "revision"))
    reason = "compare the columns with the rows"
    rows.as_steps(t, "process_reward_model", (*key, "step_separator"), (*key, "train_on_last_step_only"), reason)
    t.needless((*key, "type"), "its columns are in the recipe")
    if t.has((*key, "max_completion_length")):
        t.drop((*key, "max_completion_length"), "answers have no separate limit; `data.max_length` applies to the row")


def raw_text(t: Translation, key: Key) -> None:
    """Text that Axolotl streams: the same rows, which ftc reads whole."""
    rows.place_rows(t, (*key, "path"), file_key=(*key, "data_files"), revision_key=(*key, "revision"))
    rows.as_text(t, (*key, "type") if t.has((*key, "type")) else key, t.text((*key, "text_column")) or "text")
    t.needless((*key, "text_column"), "named as the text's column")


def _renamed(t: Translation, key: Key) -> Key | None:
    """The key that gives the parts of a message other names, if one does."""
    mapping = t.value((*key, "message_property_mappings"))
    for part in ("role", "content"):
        if isinstance(mapping, dict) and mapping.get(part, part) != part:
            return (*key, "message_property_mappings")
        if (t.text((*key, f"message_field_{part}")) or part) != part:
            return (*key, f"message_field_{part}")
    return None


def _own_format(t: Translation, key: Key) -> None:
    """A prompt of the user's own: Python's format strings with `{instruction}`, `{input}` and `{system}` in them."""
    columns = {part: t.text((*key, f"field_{part}")) or part for part in ("instruction", "input", "output")}
    form, without = t.text((*key, "format")), t.text((*key, "no_input_format"))
    lost = "`system_format` is not imported" if t.has((*key, "system_format")) else ""
    if system := t.text((*key, "system_prompt")):
        t.carry(key, "task.system", system, lost)
    if not form:
        rows.as_instruction(t, key, columns["instruction"], columns["input"], columns["output"])
        return
    if system_column := t.text((*key, "field_system")):
        columns["system"] = system_column
    if not rows.columns_fit(t, key, *(column for part, column in columns.items() if part != "output")):
        return
    prompt = _as_jinja(form, columns)
    if without and without != form:
        prompt = f"{{% if {columns['input']} %}}{prompt}{{% else %}}{_as_jinja(without, columns)}{{% endif %}}"
    t.carry(key, "task.kind", words.task_of("prompt", "completion"), lost)
    t.carry(key, "task.prompt", rows.with_last_break(prompt), lost)
    t.carry(key, "data.fields.completion", columns["output"], lost)


def _as_jinja(form: str, columns: dict[str, str]) -> str:
    """A format string as a template. Doubled braces are braces there, and no brace of the text is a tag's here."""

    def part(match: re.Match[str]) -> str:
        if match[1] in columns:
            return f"{{{{ {columns[match[1]]} }}}}"
        return "}" if match[0] == "}}" else "{{ '{' }}" + match[0].removeprefix("{{").removeprefix("{")

    return _IN_FORMAT.sub(part, form)
