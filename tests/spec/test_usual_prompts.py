"""The prompt of a recipe that gives none."""

from __future__ import annotations

import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from ftc.spec.tasks.card import PromptFacts
from ftc.spec.tasks.classification import Classification


@pytest.mark.parametrize("labels", [("ham", "spam"), ('{{ "a" }}', "b %} c"), ('say "no"', "naïve\nline")])
def test_a_choice_names_the_classes_as_they_are(labels: tuple[str, ...]) -> None:
    task = Classification(kind="classification", mode="generative")
    columns = {"text": "body", "text_pair": "reply", "label": "kind"}
    prompt, _ = task.usual_prompt(PromptFacts(columns, labels, "decoder", None))
    template = SandboxedEnvironment(undefined=StrictUndefined).from_string(prompt)
    asked = template.render(body="Hello", reply="Hi")
    assert asked == f"Text: Hello\n\nSecond text: Hi\n\nWhich of these fits: {', '.join(labels)}?\nAnswer:"
