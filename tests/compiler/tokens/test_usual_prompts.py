"""The prompt of a recipe that gives none."""

from __future__ import annotations

import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from ftc.compiler.tokens.usual_prompts import usual_prompt
from ftc.spec.task import Classification
from tests.support.drafts import model_facts


@pytest.mark.parametrize("labels", [("ham", "spam"), ('{{ "a" }}', "b %} c"), ('say "no"', "naïve\nline")])
def test_a_choice_names_the_classes_as_they_are(labels: tuple[str, ...]) -> None:
    task = Classification(kind="classification", mode="generative")
    prompt, _ = usual_prompt(task, model_facts(), {"text": "body", "text_pair": "reply", "label": "kind"}, labels)
    template = SandboxedEnvironment(undefined=StrictUndefined).from_string(prompt)
    asked = template.render(body="Hello", reply="Hi")
    assert asked == f"Text: Hello\n\nSecond text: Hi\n\nWhich of these fits: {', '.join(labels)}?\nAnswer:"
