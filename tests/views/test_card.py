"""The model card: front matter that the hub reads, and facts of the run."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

import pytest
from ruamel.yaml import YAML

from ftc.spec.documents.plan import Plan
from ftc.spec.sections.data import HubSource
from ftc.views.card import model_card
from tests.support import documents

Golden = Callable[[str, str], None]
COMMIT = "12fd25f77366fa6b3b4b768ec3050bf629380bac"


def card(plan: Plan, **changes: Any) -> str:
    return model_card(plan, documents.record(plan), documents.evaluation(**changes))


def front_matter(text: str) -> dict[str, Any]:
    block = text.split("---\n")[1]
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(block)
    return found


def hub_plan(**settings: Any) -> Plan:
    """The plan with a base model of the hub; `settings` replace sections."""
    plain = documents.plan().settings.model_dump(mode="python")
    model = plain["model"] | {"base": "owner/base", "commit": COMMIT}
    return documents.plan(settings=plain | {"model": model} | settings)


def code(text: str) -> str:
    found = re.search(r"```python\n(.*?)\n```", text, re.DOTALL)
    assert found
    return found[1]


def test_a_card(golden: Golden) -> None:
    golden("card.md", card(documents.plan()))


def test_front_matter_holds_the_measurements() -> None:
    found = front_matter(card(documents.plan()))
    (entry,) = found["model-index"]
    measured = {metric["name"]: (metric["type"], metric["value"]) for metric in entry["results"][0]["metrics"]}
    assert measured == {"accuracy": ("accuracy", 0.9437), "macro F1": ("f1", 0.9412)}
    assert found["library_name"] == "peft"
    assert found["license"] == "apache-2.0"
    assert found["metrics"] == ["accuracy", "f1"]


def test_a_split_of_the_hub_is_named_with_its_configuration() -> None:
    plan = documents.plan()
    asked = {"hub": "owner/rows", "config": "en", "split": "train"}
    source = HubSource.model_validate(asked)
    recipe = plan.recipe.model_copy(update={"data": plan.recipe.data.model_copy(update={"source": source})})
    facts = plan.lock.data.sources["rows"].file
    changed = {"asked": asked, "commit": COMMIT, "files": {"en/train-0.csv": facts, "en/train-1.csv": facts}}
    locked = plan.lock.data.sources["rows"].model_copy(update=changed)
    data = plan.lock.data.model_copy(update={"sources": {"rows": locked}})
    changes = {"recipe": recipe, "lock": plan.lock.model_copy(update={"data": data})}
    text = card(plan.model_copy(update=changes))
    (line,) = [line for line in text.splitlines() if line.startswith("- rows: ")]
    assert line == (
        "- rows: `owner/rows`, configuration `en`, split `train`, 2,127 rows in 2 files, "
        f"sha256 over their names and digests `{facts.sha256}`, commit `{COMMIT}`"
    )
    assert front_matter(text)["datasets"] == ["owner/rows"]


def test_a_local_base_is_no_model_of_the_hub() -> None:
    assert "base_model" not in front_matter(card(documents.plan()))


def test_a_base_of_the_hub_is_named_and_pinned() -> None:
    text = card(hub_plan())
    assert front_matter(text)["base_model"] == "owner/base"
    assert front_matter(text)["base_model_relation"] == "adapter"
    assert f'revision="{COMMIT}"' in code(text)


def test_small_values_are_numbers_to_every_reader() -> None:
    result = {"metrics": {"loss": 5e-05}, "rows": 9, "seconds": 1.0}
    text = card(documents.plan(), tuned=result, gates=())
    assert "value: 5.0e-05" in text
    assert front_matter(text)["model-index"][0]["results"][0]["metrics"][0]["value"] == 5e-05


def test_names_that_yaml_reads_otherwise_stay_text() -> None:
    assert front_matter(card(documents.plan(name="no")))["model-index"][0]["name"] == "no"


def test_full_training_is_loaded_by_transformers_alone() -> None:
    text = card(hub_plan(strategy={"kind": "full"}))
    assert front_matter(text)["library_name"] == "transformers"
    assert front_matter(text)["base_model_relation"] == "finetune"
    assert "peft" not in code(text)


@pytest.mark.parametrize("has_template", [True, False])
def test_code_is_python_for_generation(has_template: bool) -> None:
    plain = documents.plan().settings.model_dump(mode="python")
    model = plain["model"] | {"head": "lm", "stop_ids": (2,)}
    text_settings = plain["text"] | {
        "form": "prompt",
        "labels": (),
        "uses_chat_template": has_template,
        "system": 'say "no"\n```\nelse',
    }
    adapter = plain["strategy"]["adapter"]
    strategy = {"kind": "qlora", "adapter": adapter, "quantization": "nf4", "double_quantization": True}
    plan = documents.plan(settings=plain | {"model": model, "text": text_settings, "strategy": strategy})
    source = code(card(plan))
    assert ast.parse(source).body
    assert "BitsAndBytesConfig" in source
    assert ("apply_chat_template" in source) is has_template


def test_code_is_python_for_a_classification() -> None:
    assert ast.parse(code(card(documents.plan()))).body
    assert ast.parse(code(card(hub_plan()))).body


@pytest.mark.parametrize(("head", "form", "said"), [("lm", "prompt", True), ("classification", "classify", False)])
def test_what_writes_behind_virtual_tokens_is_told_of_the_cache(head: str, form: str, said: bool) -> None:
    plain = documents.plan().settings.model_dump(mode="python")
    strategy = {"kind": "prompt_tuning", "virtual_tokens": 4, "init": "random", "trained_modules": ()}
    model, text = plain["model"] | {"head": head}, plain["text"] | {"form": form}
    source = code(card(documents.plan(settings=plain | {"model": model, "text": text, "strategy": strategy})))
    names = {
        one.func.id
        for one in ast.walk(ast.parse(source))
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)
    }
    assert ("agree_on_cache" in names) is said


def test_nothing_measured_is_said() -> None:
    plan = documents.plan()
    text = model_card(plan, documents.record(plan), None)
    assert "Not evaluated on the test split." in text
    assert "model-index" not in front_matter(text)


def test_no_path_of_the_machine() -> None:
    plain = documents.plan().settings.model_dump(mode="python")
    model = plain["model"] | {"base": "/home/someone/models/minilm"}
    plan = documents.plan(settings=plain | {"model": model}, recipe_file="/home/someone/bbc.yaml")
    assert "someone" not in card(plan)


def test_markup_of_strangers_is_shown_as_text() -> None:
    text = card(documents.plan(not_checked=("<img src=x> [link](y) | # title\n# more",)))
    assert r"\<img src=x\> \[link\](y) \| \# title \# more" in text
