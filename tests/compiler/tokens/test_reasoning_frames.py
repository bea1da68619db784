"""What chat templates make of reasoning becomes a rule, which then gives what the template gives for any answer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ftc.compiler.tokens.opacity import marks_for
from ftc.compiler.tokens.reasoning_frames import REASONED, reasoning_of
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.spec.documents.reward_models import AnswerFrames, Reasoning

_TURNS = "{% for m in messages %}{% if m.role == 'user' %}[{{ m.content }}]{% else %}"
_END = "{% endif %}{% endfor %}"
_SPLIT = (
    "{% set r = m.content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{% set c = m.content.split('</think>')[-1].lstrip('\n') %}"
)
WRITES = {
    "between tags of its own, empty for an answer without": _TURNS
    + "{% set r = '' %}{% set c = m.content %}{% if '</think>' in m.content %}"
    + _SPLIT
    + "{% endif %}{{ '<think>\n' + r.strip('\n') + '\n</think>\n\n' + c.lstrip('\n') + '~' }}"
    + _END,
    "only where there is some": _TURNS
    + "{% if '</think>' in m.content %}"
    + _SPLIT
    + "{{ '<think>\n' + r + '\n</think>\n\n' + c }}{% else %}{{ m.content }}{% endif %}~"
    + _END,
    "not at all": _TURNS
    + "{% if '</think>' in m.content %}{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}~"
    + _END,
    "not at all, and trims": _TURNS + "{{ m.content.split('</think>')[-1] | trim }}~" + _END,
    "on a line, with nothing behind it where nothing follows": _TURNS
    + "{% set r = '' %}{% set c = m.content %}{% if '</think>' in m.content %}"
    + _SPLIT
    + "{% endif %}{{ '\n<think>' + r.strip() + '</think>' }}{% if c.strip() %}{{ '\n' + c.strip() }}{% endif %}~"
    + _END,
}
OTHERS = ("<think>\nA b,\n\nc\n</think>\n\n**d**\n", "no tag\n\n</think>e", "<think>f</think>\n \n g <think> h")


def _written(template: str, renderer: TemplateRenderer, answers: Sequence[str]) -> list[str | None]:
    requests = [
        {"messages": [{"role": "user", "content": "ask"}, {"role": "assistant", "content": one}]} for one in answers
    ]
    return [one if isinstance(one, str) else None for one in renderer.render(template, requests)]


def _learned(template: str, renderer: TemplateRenderer) -> tuple[tuple[str, str], Reasoning | None]:
    marks = marks_for(template, 2)
    (plain,) = _written(template, renderer, marks[:1])
    assert plain is not None
    before, _, behind = plain.partition(marks[0])
    return (before, behind), reasoning_of(marks, (before, behind), lambda some: _written(template, renderer, some))


@pytest.mark.parametrize("name", WRITES)
def test_a_rule_gives_what_the_template_gives(name: str, renderer: TemplateRenderer) -> None:
    frame, rule = _learned(WRITES[name], renderer)
    assert rule is not None
    frames = AnswerFrames(before=(), after=(), splits={"train": (frame,)}, reasoning=rule)
    asked = [*REASONED, *(one.strip() for one in OTHERS), "Yes."]
    assert [frames.whole("train", 0, one) for one in asked] == _written(WRITES[name], renderer, asked)
    assert AnswerFrames.model_validate_json(frames.to_text()) == frames


@pytest.mark.parametrize(
    "changed", ["{{ m.content | replace('first', 'second') }}~", "{{ m.content.split('</think>')[0] }}~"]
)
def test_another_change_has_no_rule(changed: str, renderer: TemplateRenderer) -> None:
    assert _learned(_TURNS + changed + _END, renderer)[1] is None


def test_frames_without_reasoning_are_written_as_before() -> None:
    frames = AnswerFrames(before=(1,), after=(), splits={"train": (("[", "]"),)})
    assert "reasoning" not in frames.to_text()
    assert frames.whole("train", 0, "<think>a</think>b") == "[<think>a</think>b]"
