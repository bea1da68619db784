"""Prompts that importers write, rendered by the engine that renders them when a plan is made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ftc.compiler.tokens.sandbox import TemplateRenderer
from tests.compiler.importers.examples import import_text, recipe_values

AXOLOTL = "base_model: acme/brook\nmicro_batch_size: 2\ndatasets:\n  - path: tickets.jsonl\n    type: "
FACTORY = "model_name_or_path: acme/brook\nstage: sft\ndataset: tickets_registered\n"
OUMI = (
    "model: {model_name: acme/brook}\ntraining: {use_peft: false}\n"
    "data: {train: {datasets: [{dataset_name: yahma/alpaca-cleaned}]}}\n"
)


@pytest.fixture(scope="module")
def renderer() -> Iterator[TemplateRenderer]:
    with TemplateRenderer() as open_renderer:
        yield open_renderer


@pytest.mark.parametrize(
    ("text", "row", "rendered"),
    [
        (
            AXOLOTL + "alpaca",
            {"instruction": "Add.", "input": "1 and 2"},
            "### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n### Response:\n",
        ),
        (
            AXOLOTL + "alpaca",
            {"instruction": "Add.", "input": ""},
            "### Instruction:\nAdd.\n\n### Response:\n",
        ),
        (AXOLOTL + "alpaca", {"instruction": "Add.", "input": None}, "### Instruction:\nAdd.\n\n### Response:\n"),
        (
            AXOLOTL + '{format: "{%x%} {{{instruction}}} {#\\n", field_output: o}',
            {"instruction": "Add."},
            "{%x%} {Add.} {#\n",
        ),
        (
            AXOLOTL + "{format: '<{instruction}|{input}>', no_input_format: '<{instruction}>'}",
            {"instruction": "Add.", "input": "1"},
            "<Add.|1>",
        ),
        (
            AXOLOTL + "{format: '<{instruction}|{input}>', no_input_format: '<{instruction}>'}",
            {"instruction": "Add.", "input": ""},
            "<Add.>",
        ),
        (FACTORY, {"question": "Add.", "context": "1 and 2"}, "Add.\n1 and 2"),
        (FACTORY, {"question": "Add.", "context": ""}, "Add."),
        (OUMI, {"instruction": "Add.", "input": "1"}, "Add.\n\n### Input:\n1"),
    ],
)
def test_prompts_render_as_the_other_tool_has_them(
    renderer: TemplateRenderer, text: str, row: dict[str, str], rendered: str
) -> None:
    prompt = recipe_values(import_text(text, hub_file="rows.parquet"))["task.prompt"]
    assert list(renderer.render(prompt, [row], strict=True)) == [rendered]
