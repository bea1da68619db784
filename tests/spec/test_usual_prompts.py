"""The prompt of a recipe that gives none."""

from __future__ import annotations

import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from ftc.spec.architectures import Family
from ftc.spec.tasks.card import PromptFacts
from ftc.spec.tasks.classification import Classification
from ftc.spec.tasks.translation import Translation


@pytest.mark.parametrize("labels", [("ham", "spam"), ('{{ "a" }}', "b %} c"), ('say "no"', "naïve\nline")])
def test_a_choice_names_the_classes_as_they_are(labels: tuple[str, ...]) -> None:
    task = Classification(kind="classification", mode="generative")
    columns = {"text": "body", "text_pair": "reply", "label": "kind"}
    prompt, _ = task.usual_prompt(PromptFacts(columns, labels, "decoder", None))
    template = SandboxedEnvironment(undefined=StrictUndefined).from_string(prompt)
    asked = template.render(body="Hello", reply="Hi")
    assert asked == f"Text: Hello\n\nSecond text: Hi\n\nWhich of these fits: {', '.join(labels)}?\nAnswer:"


@pytest.mark.parametrize(
    ("languages", "facts", "asked"),
    [
        ({}, ("decoder", None), "Translate the following text.\n\nHello\n\nTranslation:"),
        (
            {"target_language": "{{ x }}"},
            ("decoder", None),
            "Translate the following text to {{ x }}.\n\nHello\n\nTranslation:",
        ),
        (
            {"source_language": "English", "target_language": "German"},
            ("decoder", None),
            "Translate the following text from English to German.\n\nHello\n\nTranslation:",
        ),
        (
            {"source_language": "English", "target_language": "German"},
            ("encoder_decoder", "summarize: "),
            "translate English to German: Hello",
        ),
        ({"source_language": "English", "target_language": "German"}, ("encoder_decoder", None), "Hello"),
        ({}, ("encoder_decoder", "summarize: "), "Hello"),
    ],
)
def test_a_translation_names_the_languages_that_it_knows(
    languages: dict[str, str], facts: tuple[Family, str | None], asked: str
) -> None:
    task = Translation.model_validate({"kind": "translation", **languages})
    prompt, _ = task.usual_prompt(PromptFacts({"source": "text", "target": "german"}, (), *facts))
    template = SandboxedEnvironment(undefined=StrictUndefined).from_string(prompt)
    assert template.render(text="Hello") == asked
