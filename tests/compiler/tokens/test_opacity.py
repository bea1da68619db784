"""The proof accepts templates that copy text, and gives up on everything that looks at it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ftc.compiler.tokens.opacity import copies_messages, copies_variables, used_names

COPIES = [
    "{% for m in messages %}{{ m.content }}{% endfor %}",
    "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] ~ eos_token }}{% endfor %}",
    "{% set first = messages[0].content %}{{ first }}{% for m in messages[1:] %}{{ m.content }}{% endfor %}",
    "{% set ns = namespace(s='') %}{% set ns.s = messages[0]['content'] %}{{ ns.s }}",
    "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content if loop.last else '' }}{% endfor %}",
    "{% if messages | length > 1 and messages[-1].role == 'user' %}{{ messages[-1].content }}{% endif %}",
    "{% for m in messages %}{% if m.content is string and 'x' not in m %}{{ m.content }}{% endif %}{% endfor %}",
    "{% for m in messages %}{{ loop.previtem.content if loop.previtem is defined else '' }}{% endfor %}",
]
LOOKS = [
    "{% for m in messages %}{{ m.content | trim }}{% endfor %}",
    "{% for m in messages %}{% if m.content %}x{% endif %}{% endfor %}",
    "{% for m in messages %}{{ m.content[1:] }}{% endfor %}",
    "{% for m in messages %}{{ m.content.strip() }}{% endfor %}",
    "{% for m in messages %}{{ m.content == 'a' }}{% endfor %}",
    "{% for m in messages %}{{ 'a' in m.content }}{% endfor %}",
    "{% for m in messages %}{{ m.content * 2 }}{% endfor %}",
    "{% for m in messages %}{{ m }}{% endfor %}",
    "{{ messages }}",
    "{{ messages | tojson }}",
    "{{ messages | map(attribute='content') | join }}",
    "{% for m in messages %}{{ m[key] }}{% endfor %}",
    "{% for m in messages %}{{ m.values() | list }}{% endfor %}",
    "{% for m in messages %}{{ m.get('content') | length }}{% endfor %}",
    "{% for m in messages %}{{ loop.changed(m.content) }}{% endfor %}",
    "{% for m in messages %}{% for k in m %}{{ m[k] }}{% endfor %}{% endfor %}",
    "{% set ns = namespace() %}{% set other = ns %}{% set ns.s = messages[0].content %}{{ other.s | upper }}",
    "{% set ns = namespace(s=messages[0].content) %}{{ ns.s | upper }}",
    "{% set ns = namespace() %}{% for m in messages %}{{ ns.s | upper }}{% set ns.s = m.content %}{% endfor %}",
    "{% set x %}{{ messages[0].content }}{% endset %}{{ x | upper }}",
    "{% macro f(m) %}{{ m.content | upper }}{% endmacro %}{{ f(messages[0]) }}",
    "{% filter upper %}{{ messages[0].content }}{% endfilter %}",
    "{% autoescape true %}{{ messages[0].content }}{% endautoescape %}",
    "{{ ('<b>' | safe) + messages[0].content }}",
    "{{ ('<b>' | escape) ~ messages[0].content }}",
    "{{ raise_exception(messages[0].content) }}",
    "{{ ['a', messages[0].content] | join }}",
    "{{ 'x' | join(*messages) }}",
    "{% set l = messages[0].content or 'x' %}{{ l }}",
    "{% for m in messages recursive %}{{ m.content }}{% endfor %}",
    "{% if %}",
    "{{ messages" + "[0]" * 60_000 + " }}",
    "{{ " + "messages | length | " * 30_000 + "length }}",
    "{{ " + "a + " * 60_000 + "a }}",
]


@pytest.mark.parametrize("source", COPIES)
def test_copying_is_proven(source: str) -> None:
    assert copies_messages(source)


@pytest.mark.sample(27)
@pytest.mark.parametrize("source", LOOKS, ids=range(len(LOOKS)))
def test_looking_is_found(source: str) -> None:
    assert not copies_messages(source)


@pytest.mark.parametrize(
    ("name", "is_opaque"),
    [
        ("chatml_default_system", True),
        ("chatml_generation_tag", True),
        ("mistral", True),
        ("zephyr", True),
        ("plain_names", True),
        ("llama3", False),
        ("gemma", False),
        ("qwen_reasoning", False),
    ],
)
def test_well_known_kinds_of_template(name: str, is_opaque: bool, template: Callable[[str], str]) -> None:
    assert copies_messages(template(name)) is is_opaque


def test_row_variables() -> None:
    names = frozenset({"text", "question"})
    assert copies_variables("Q: {{ question }}\n{{ text ~ '!' }}", names)
    assert not copies_variables("{{ text | trim }}", names)
    assert not copies_variables("{% if text %}x{% endif %}", names)
    assert not copies_variables("{% set x = text %}{{ x == 'a' }}", names)


def test_names_are_found_without_running_anything() -> None:
    assert used_names("{{ a.b }}{% set c = d %}{{ 'x' * 10 ** 12 }}{{ e | f }}") == {"a", "d", "e"}
    assert used_names("{% if %}") == frozenset()
    assert used_names("{{ " + "a + " * 50_000 + "a }}") == frozenset()
