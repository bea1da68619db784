"""What a chat template leaves out of rows that hold more than roles and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ftc.compiler.tokens.forms import ChatForm, PreferenceForm, TextForm
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.compiler.tokens.template_check import template_findings
from ftc.spec.diagnostics import Diagnostic
from ftc.spec.documents.facts import TokenizerFacts

PLAIN = "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>{% endfor %}"
JOINED = "{% for m in messages %}{{ '<s>' + m['role'] + m['content'] + '</s>' }}{% endfor %}"
"""As many older templates are: it raises where a content is null."""
CALLING = (
    "{% if tools %}<tools>{{ tools | tojson }}</tools>{% endif %}"
    "{% for m in messages %}<s>{{ m.role }}\n{{ m.content or '' }}"
    "{% for call in m.tool_calls or [] %}<call>{{ call | tojson }}</call>{% endfor %}</s>{% endfor %}"
)
CALLING_IF_NULL = (
    "{% for m in messages %}<s>{{ m.role }}"
    "{% if m.content is none %}{% for call in m.tool_calls %}{{ call | tojson }}{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}</s>{% endfor %}"
)
THINKING = (
    "{% for m in messages %}<s>{{ m.role }}"
    "{% if loop.last and m.thinking %}<think>{{ m.thinking }}</think>{% endif %}{{ m.content }}</s>{% endfor %}"
)
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"town": "Ulm"}}}


def conversation(words: str | None, **answer: Any) -> list[dict[str, Any]]:
    """A question, a first answer with more than words, what a tool gives, and a last answer."""
    first = {"role": "assistant", "content": words, **answer}
    asked, given = {"role": "user", "content": "Rain?"}, {"role": "tool", "content": "none"}
    return [asked, first, given, {"role": "assistant", "content": "No."}]


def reasoned(key: str, *, early: bool = False) -> list[dict[str, Any]]:
    asked, answer = {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}
    more = {**answer, key: "One and one."}
    return [asked, more, asked, answer] if early else [asked, more]


def found(
    template: str,
    messages: Sequence[Any],
    tools: Any = None,
    form: TextForm | None = None,
    later: Sequence[Sequence[Any]] = (),
) -> list[Diagnostic]:
    tokens: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": None}
    ids: dict[str, Any] = {"bos_id": 1, "eos_id": 2, "pad_id": None}
    facts = TokenizerFacts(vocab_size=8, model_max_length=None, chat_template=template, **tokens, **ids)
    row = {"messages": messages, "tools": tools or [], "chosen": messages, "rejected": messages}
    plain = {
        **row,
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi"}],
        "tools": [],
    }
    chosen = form or ChatForm(tools="tools")
    with TemplateRenderer() as renderer:
        rows = [plain, row, *({**row, "messages": one} for one in later)] if form is None else [row]
        return template_findings(chosen, rows, facts, renderer, file="t.jinja", place=lambda n: f"rows.jsonl:{n + 1}")


def words(one: Diagnostic) -> str:
    return " ".join([one.severity.value, one.code, one.summary, *one.help, *one.notes])


def test_a_call_that_is_all_of_an_answer_and_is_left_out_is_an_error() -> None:
    for template in (PLAIN, JOINED):
        for content in (None, ""):
            (only,) = found(template, conversation(content, tool_calls=[CALL]))
            assert only.is_error
            assert "leaves out `tool_calls`" in only.summary
            assert "rows.jsonl:2" in words(only), "the first row that has a call"
            assert "turn 2 (assistant)" in words(only)
            assert "empty answer" in words(only)


def test_a_call_that_is_not_trained_on_is_a_warning() -> None:
    """Of the last answer alone, and of turns that are marked as context, nothing is lost from the loss."""
    called = conversation(None, tool_calls=[CALL])
    marked = [{**turn, "train": False} if "tool_calls" in turn else turn for turn in called]
    for form, messages in ((ChatForm(tools="tools", train_on="last"), called), (ChatForm(tools="tools"), marked)):
        (only,) = found(PLAIN, messages, form=form)
        assert not only.is_error
        assert "not see the call" in words(only)


def test_rows_in_any_order_have_the_same_error() -> None:
    beside, alone = (conversation(content, tool_calls=[CALL]) for content in ("Let me see.", None))
    for first, second, place in ((beside, alone, 3), (alone, beside, 2)):
        (only,) = found(PLAIN, first, later=[second])
        assert only.is_error
        assert f"rows.jsonl:{place}" in words(only)


def test_a_call_beside_words_that_is_left_out_is_a_warning() -> None:
    (only,) = found(PLAIN, conversation("Let me see.", tool_calls=[CALL]))
    assert not only.is_error
    assert "leaves out `tool_calls`" in only.summary


def test_tools_that_are_left_out_are_a_warning_of_their_own() -> None:
    calls, tools = sorted(found(PLAIN, conversation("", tool_calls=[CALL]), TOOLS), key=lambda one: not one.is_error)
    assert (calls.is_error, tools.is_error) == (True, False)
    assert "leaves out `tools`" in tools.summary
    assert "model.chat_template" in words(tools)


@pytest.mark.parametrize("template", [CALLING, CALLING_IF_NULL])
def test_what_a_template_writes_is_no_finding(template: str) -> None:
    tools = TOOLS if template == CALLING else None
    assert found(template, conversation(None, tool_calls=[CALL]), tools) == []


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_that_is_left_out_is_a_warning(key: str) -> None:
    (only,) = found(PLAIN, reasoned(key))
    assert not only.is_error
    assert f"leaves out `{key}`" in only.summary
    assert "without its reasoning" in words(only)
    assert "into `content`" in words(only)


def test_reasoning_under_a_key_of_another_template_says_which_one_it_reads() -> None:
    assert found(THINKING, reasoned("thinking")) == []
    (only,) = found(THINKING, reasoned("reasoning_content"))
    assert "the template reads `thinking`: name the key so in the rows" in words(only)


def test_reasoning_of_an_earlier_answer_may_be_left_out() -> None:
    """Templates of models that reason drop it by design; FTC341 counts such turns."""
    assert found(THINKING, reasoned("thinking", early=True)) == []


def test_answers_that_are_compared_are_tried_too() -> None:
    form = PreferenceForm(chosen=ChatForm(messages="chosen"), rejected=ChatForm(messages="rejected"))
    (only,) = found(PLAIN, reasoned("reasoning_content"), form=form)
    assert "leaves out `reasoning_content`" in only.summary
