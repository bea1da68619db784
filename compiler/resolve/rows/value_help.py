"""What to do about values that a task can't use: by the code, and by the words where one fix fits them."""

from __future__ import annotations

__all__ = ["FRACTION_AS_LABEL", "NUMBER_AS_TEXT", "TAGS_AS_NUMBERS", "TEXT_AS_TOOLS", "help_of"]

_BY_CODE = {
    "FTC363": "fix or remove the rows",
    "FTC364": "leave these rows out with `data: {empty: drop}`, or fill them in",
    "FTC365": 'write a turn as `{"role": "user", "content": "…"}`; after an optional system turn, user and '
    "assistant take turns",
    "FTC366": "remove the last turn or the whole row",
    "FTC367": "write `from` as `human`, `gpt`, `system`, `tool` or one of their common synonyms",
    "FTC378": 'write answers as `{"text": ["…"], "answer_start": [0]}`, as a text or as a list of texts',
}
NUMBER_AS_TEXT = "is text and not a number such as 4.5"
TAGS_AS_NUMBERS = "contains numbers; a tag is a name, such as `B-PER`"
FRACTION_AS_LABEL = "is a number with a fraction; a label is text, a whole number, true or false"
TEXT_AS_TOOLS = "is text, not a list of JSON schemas"
_BY_WORDS = {
    TEXT_AS_TOOLS: (
        "JSON that is written as text becomes a list by `jq -c '.tools |= fromjson'`, with the column's name; a column "
        "that holds something else needs another name than `tools` or `functions`"
    ),
    NUMBER_AS_TEXT: (
        "write numbers with a decimal point, and without a unit or thousands separator: 1234.5 in place of `1.234,5` "
        "or `$1,234.50`; a CSV file with decimal commas is read with `source: {path: …, decimal: ','}`"
    ),
    "is text, not a list of labels": (
        'write the labels of a row as a list, `["…", "…"]`, which a CSV cell may hold as JSON writes it, or name what '
        "separates them, such as `task: {label_separator: ';'}`"
    ),
    TAGS_AS_NUMBERS: (
        "write each tag's name in place of its number; a data set of the hub lists them in its card and in "
        "`features[…].feature.names`"
    ),
    FRACTION_AS_LABEL: ("predict numbers with `task: {kind: regression}`, or write classes"),
    "is a list, not text": (
        "write text, a row for each where a query has several right passages, or name the column that has it in "
        "`data.fields`"
    ),
    "is an object, not text": (
        "write text in a column of its own, outside the object, or name the column that has it in `data.fields`"
    ),
}


def help_of(code: str, words: str) -> str:
    """The fix for a fault of values.

    Args:
        code: Its code, FTC363 to FTC367 or FTC378.
        words: What it says of a column.
    """
    return _BY_WORDS.get(words) or _BY_CODE[code]
