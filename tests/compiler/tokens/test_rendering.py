"""Both ways of rendering agree, and exactly the answers are supervised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.tokens.forms import PromptForm
from ftc.compiler.tokens.rendering import ChatTemplate, PromptTemplate, RenderedRow
from ftc.compiler.tokens.sandbox import TemplateProblem, TemplateRenderer

VARIABLES = {"bos_token": "<s>", "eos_token": "</s>"}
STOPS = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
STOPS += ["<start_of_turn>", "<end_of_turn>"]
NAMES = sorted(file.stem for file in (Path(__file__).parent / "templates").glob("*.jinja"))
TALK = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "So long"},
]


def chat(source: str, renderer: TemplateRenderer, by_shape: bool = True) -> ChatTemplate:
    return ChatTemplate(source, VARIABLES, STOPS, renderer, by_shape=by_shape)


def answers(row: RenderedRow | TemplateProblem) -> list[str]:
    assert isinstance(row, RenderedRow)
    return [row.text[start:end] for start, end in row.spans]


@pytest.mark.parametrize("name", NAMES)
def test_by_shape_and_row_by_row_agree(
    name: str, template: Callable[[str], str], conversations: list[list[dict[str, str]]], renderer: TemplateRenderer
) -> None:
    by_shape = chat(template(name), renderer).render(conversations)
    by_row = chat(template(name), renderer, by_shape=False).render(conversations)
    assert by_shape == by_row
    assert any(isinstance(row, RenderedRow) and row.spans for row in by_shape)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chatml_default_system", ["Hello<|im_end|>", "So long<|im_end|>"]),
        ("chatml_generation_tag", ["Hello<|im_end|>", "So long<|im_end|>"]),
        ("llama3", ["Hello<|eot_id|>", "So long<|eot_id|>"]),
        ("mistral", [" Hello</s>", " So long</s>"]),
        ("gemma", ["Hello<end_of_turn>", "So long<end_of_turn>"]),
        ("zephyr", ["Hello</s>", "So long</s>"]),
    ],
)
def test_supervised_is_what_the_model_will_write(
    name: str, expected: list[str], template: Callable[[str], str], renderer: TemplateRenderer
) -> None:
    (row,) = chat(template(name), renderer).render([TALK])
    assert answers(row) == expected
    assert isinstance(row, RenderedRow)
    assert (row.unsupervised_turns, row.stop_missing) == (0, False)


@pytest.mark.parametrize("name", NAMES)
def test_each_supervised_stretch_follows_its_generation_prompt(
    name: str, template: Callable[[str], str], renderer: TemplateRenderer
) -> None:
    (row,) = chat(template(name), renderer).render([TALK])
    assert isinstance(row, RenderedRow)
    variables = {**VARIABLES, "messages": TALK[:3], "add_generation_prompt": True}
    (prompt,) = renderer.render(template(name), [variables])
    assert row.text[: row.spans[-1][0]] == prompt


def test_turns_that_generation_would_see_differently_are_counted(
    template: Callable[[str], str], renderer: TemplateRenderer
) -> None:
    thinking = [dict(turn) for turn in TALK]
    thinking[1]["content"] = "<think>\nhm\n</think>\n\nHello"
    thinking[3]["content"] = "<think>\nso\n</think>\n\nSo long"
    (row,) = chat(template("qwen_reasoning"), renderer).render([thinking])
    assert answers(row) == ["<think>\nso\n</think>\n\nSo long<|im_end|>"]
    assert isinstance(row, RenderedRow)
    assert row.unsupervised_turns == 1


def test_a_missing_stop_token_is_reported_and_not_invented(
    template: Callable[[str], str], renderer: TemplateRenderer
) -> None:
    (row,) = chat(template("plain_names"), renderer).render([TALK[:2]])
    assert answers(row) == [" Hello\n"]
    assert isinstance(row, RenderedRow)
    assert row.stop_missing


def test_a_stop_token_inside_an_answer_does_not_end_it(
    template: Callable[[str], str], renderer: TemplateRenderer
) -> None:
    talk = [TALK[0], {"role": "assistant", "content": "a<|im_end|>b"}]
    (row,) = chat(template("chatml_default_system"), renderer).render([talk])
    assert answers(row) == ["a<|im_end|>b<|im_end|>"]


def test_a_template_refuses_a_row_and_not_its_neighbors(
    template: Callable[[str], str], renderer: TemplateRenderer
) -> None:
    wrong = [TALK[1], TALK[0]]
    for by_shape in (True, False):
        rows = chat(template("mistral"), renderer, by_shape).render([TALK, wrong, TALK])
        assert [isinstance(row, RenderedRow) for row in rows] == [True, False, True]
        assert isinstance(rows[1], TemplateProblem)
        assert (rows[1].kind, rows[1].message) == ("raised", "user and assistant must take turns")


def test_other_keys_reach_the_template(renderer: TemplateRenderer) -> None:
    source = "{% for m in messages %}{{ m.name }}{{ m.content }}{% endfor %}"
    (row,) = chat(source, renderer).render([[{"role": "user", "name": "Ada: ", "content": "Hi"}]])
    assert isinstance(row, RenderedRow)
    assert row.text == "Ada: Hi"


@pytest.mark.parametrize("prompt", ["Q: {{ q }}\n{{ text }}\nA:", "{{ text | trim }} {{ q }}", "fixed"])
def test_prompts_agree_too(prompt: str, renderer: TemplateRenderer) -> None:
    rows: list[dict[str, Any]] = [
        {"q": "Why?", "text": " long enough ", "n": 3},
        {"q": "", "text": "x"},
        {"q": "Why?", "text": "Why?"},
    ]
    form = PromptForm(prompt=prompt, completion="a")
    assert PromptTemplate(form, renderer).render(rows) == PromptTemplate(form, renderer, by_shape=False).render(rows)


def test_prompts_take_columns_that_are_not_text_and_name_those_that_are_missing(renderer: TemplateRenderer) -> None:
    template = PromptTemplate(PromptForm(prompt="{{ a }}-{{ n }}", completion="c"), renderer)
    first, second = template.render([{"a": "x", "n": 3}, {"a": "x"}])
    assert not isinstance(first, TemplateProblem)
    assert first.text == "x-3"
    assert isinstance(second, TemplateProblem)
    assert (second.kind, second.message) == ("undefined", "'n' is undefined")
