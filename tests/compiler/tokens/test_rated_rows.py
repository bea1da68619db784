"""Each rated answer gets an answer to another prompt."""

from __future__ import annotations

from ftc.compiler.resolve.rows.table import PartRows, Table
from ftc.compiler.tokens.rated_rows import write_other_answers
from ftc.spec.tasks.rows import OTHER_ANSWER_COLUMN

COLUMNS = {"prompt": "p", "completion": "c", "rating": "r"}


def others(prompts: str) -> str:
    rows = [{"p": prompt, "c": str(number)} for number, prompt in enumerate(prompts)]
    write_other_answers(PartRows.whole(Table("rows.jsonl", ("p", "c"), rows)), COLUMNS)
    return "".join(row[OTHER_ANSWER_COLUMN] for row in rows)


def test_the_next_row_with_another_prompt_gives_it() -> None:
    assert others("abc") == "120"
    assert others("aabbc") == "22440"
    assert others("abba") == "1331"
    assert others("aaa") == "120", "there is no other prompt"
    assert others("a") == "0"


def test_of_conversations_the_last_turn_is_exchanged() -> None:
    rows = [{"m": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in ("qa", "rb")]
    write_other_answers(PartRows.whole(Table("rows.jsonl", ("m",), rows)), {"messages": "m", "rating": "r"})
    assert [turn["content"] for turn in rows[0][OTHER_ANSWER_COLUMN]] == ["q", "b"]
