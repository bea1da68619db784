"""Ollama's template is derived from the model's own, or there is none: both write one text out of a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.views.exports.modelfile import CONVERSATIONS, SPACED, Message, Parts, Render, modelfile, parts_of

RENDERER = TemplateRenderer()
CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\n"
    "Be helpful.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEADERS = (
    "{{ bos_token }}{% for m in messages %}<h>{{ m.role }}</h>\n\n{{ m.content | trim }}<eot>{% endfor %}"
    "{% if add_generation_prompt %}<h>assistant</h>\n\n{% endif %}"
)
TURNS = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}</turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
INSTRUCTION = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
SHORTENING = CHATML.replace("{{ m.content }}", "{{ m.content if loop.last else m.content[:4] }}")
COUNTING = CHATML.replace("{{ m.content }}", "{{ loop.index }} {{ m.content }}")


def rendering(source: str) -> Render:
    def render(messages: Sequence[Message], generation: bool) -> str | None:
        names = {"messages": list(messages), "add_generation_prompt": generation, "bos_token": "<s>"}
        (text,) = RENDERER.render(source, [names])
        return text if isinstance(text, str) else None

    return render


@pytest.fixture(scope="module", autouse=True)
def renderer() -> Iterator[None]:
    yield
    RENDERER.close()


def derived(source: str) -> Parts:
    found = parts_of(rendering(source))
    assert found is not None
    return found


@pytest.mark.parametrize(("source", "keeps_spaces"), [(CHATML, True), (HEADERS, False), (TURNS, True)])
def test_both_write_one_text(source: str, keeps_spaces: bool) -> None:
    render, parts = rendering(source), derived(source)
    known = [(one, text) for one in CONVERSATIONS if (text := render(*one)) is not None]
    assert len(known) >= 3
    assert all(parts.text(*one) == text for one, text in known)
    assert (parts.text(*SPACED) == render(*SPACED)) == keeps_spaces


@pytest.mark.parametrize("source", [SHORTENING, COUNTING])
def test_a_template_that_is_more_than_its_parts_is_seen(source: str) -> None:
    render, parts = rendering(source), parts_of(rendering(source))
    assert parts is None or any(parts.text(*one) != render(*one) for one in CONVERSATIONS)


def test_a_template_without_the_system_message_is_seen() -> None:
    """It drops what a conversation says, which no template of Ollama's would."""
    render, parts = rendering(INSTRUCTION), parts_of(rendering(INSTRUCTION))
    assert parts is None or any(parts.text(*one) != render(*one) for one in CONVERSATIONS)


def test_a_modelfile_answers_as_the_run_was_measured() -> None:
    text = modelfile("demo.gguf", derived(CHATML), system='Say "hi"', stops=["<|im_end|>", '"'], context=512)
    lines = text.splitlines()
    assert lines[0] == "FROM ./demo.gguf"
    assert '{{ "<|im_start|>system\\nBe helpful.<|im_end|>\\n" }}' in text
    assert text.count('"""') == 4
    assert {"PARAMETER temperature 0", "PARAMETER repeat_penalty 1", "PARAMETER num_ctx 512"} <= set(lines)
    assert 'PARAMETER stop "\\""' in lines
    assert 'TEMPLATE """{{ .Prompt }}"""' in modelfile("a.gguf", None, system=None, stops=[], context=8)


def test_a_first_token_that_ollama_adds_is_not_written_twice() -> None:
    parts = derived(HEADERS)
    (question, _) = SPACED
    assert parts.text(question, True).startswith("<s>")
    assert not parts.without_first("<s>").text(question, True).startswith("<s>")
    assert derived(CHATML).without_first("<s>") == derived(CHATML)
