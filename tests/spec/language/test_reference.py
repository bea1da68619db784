"""The reference says everything about every field, and the schema accepts what the language accepts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ftc.spec.base import (
    Document,
    parse_bandwidth,
    parse_bytes,
    parse_duration,
    parse_money,
    parse_power,
    parse_throughput,
)
from ftc.spec.language.field_facts import QUANTITIES
from ftc.spec.language.json_schema import Schema, editor_schema, recipe_schema
from ftc.spec.language.parse import parse_recipe
from ftc.spec.language.section_tree import all_sections, default_reason, field_docs
from ftc.spec.language.source import read_source
from tests.support.recipes import plain_recipe, recipe_text

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema isn't installed")

ROOT = Path(__file__).parents[3]
SHIPPED = sorted(path for path in (ROOT / "recipes").rglob("*.yaml") if ".cache" not in path.parts)
LINE = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")


SCHEMA = recipe_schema()
SECTIONS = {"Recipe": SCHEMA, **SCHEMA["$defs"]}


def judge(schema: Schema) -> Any:
    """A validator that reads the schema as 2020-12."""
    return jsonschema.Draft202012Validator(schema)


def as_json(value: Any) -> Any:
    """A value of a recipe as JSON has it."""
    return json.loads(json.dumps(value))


def read(path: Path) -> Any:
    source, found = read_source(path.read_text(encoding="utf-8"), path.name)
    assert source is not None, found
    return as_json(source.plain())


def can_be_number(schema: Schema) -> bool:
    arms = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return schema.get("type") in ("integer", "number") or any(map(can_be_number, arms))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_field_is_explained(section: str) -> None:
    required = SECTIONS[section].get("required", ())
    for name, field in SECTIONS[section]["properties"].items():
        assert field["description"], f"{name}: a text under the field says what it means"
        assert name in required or "default" in field, name
        if can_be_number(field):
            assert field.get("x-unit"), f"{name}: spec/language/field_facts.py names its unit"
        if "x-default-reason" in field:
            reason = field["x-default-reason"]
            assert len(reason.split()) >= 3, f"{name}: `Default VALUE: why.` in the text under the field"


@pytest.mark.parametrize("section", SECTIONS)
def test_defaults_and_examples_are_values_of_the_field(section: str) -> None:
    validator = judge({**SCHEMA, "properties": SECTIONS[section]["properties"], "required": []})
    for name, field in SECTIONS[section]["properties"].items():
        default = [field["default"]] if "x-default-reason" in field else []
        for value in [*field.get("examples", ()), *default]:
            assert list(validator.iter_errors({name: as_json(value)})) == [], (name, value)


@pytest.mark.parametrize("section", dict(all_sections()).values(), ids=lambda section: section.__name__)
def test_a_default_reason_comes_from_the_text_under_the_field(section: type[Document]) -> None:
    for name, field in section.model_fields.items():
        if "Default" in field_docs(section).get(name, ""):
            assert not field.is_required()
            assert default_reason(section, name) != "default of the language"


def test_quantities_are_text_with_the_units_that_the_language_reads() -> None:
    for (_, form), parse, texts in zip(
        QUANTITIES,
        (parse_bytes, parse_duration, parse_bandwidth, parse_throughput, parse_power, parse_money),
        (
            ("24GiB", "80 GB", "1.5TiB", "7B"),
            ("2h", "90 min", "1.5d", "30s"),
            ("768 GB/s", "3.35TB/s"),
            ("165.2 TFLOP/s", "2 PFLOP/s"),
            ("450 W", "0.7kW"),
            ("5 USD", "0.40EUR"),
        ),
        strict=True,
    ):
        for text in texts:
            assert parse(text)
            assert re.search(form["pattern"], text), text
        for text in ("24", "24gib", "GiB", "-1h", "5 usd", "2 hours", "1 2 GiB", ""):
            with pytest.raises(ValueError, match="expected"):
                parse(text)
            assert not re.search(form["pattern"], text), text


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(editor_schema())
    jsonschema.Draft202012Validator.check_schema(recipe_schema())


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_validates_and_names_the_schema(recipe: Path) -> None:
    match = LINE.match(recipe.read_text(encoding="utf-8"))
    assert match, "its first line is a comment that tells editors where the schema is"
    schema = json.loads((recipe.parent / match[1]).read_text(encoding="utf-8"))
    assert list(judge(schema).iter_errors(read(recipe))) == []


def test_the_schema_file_is_current() -> None:
    assert json.loads((ROOT / "docs" / "recipe.schema.json").read_text(encoding="utf-8")) == as_json(editor_schema())


RIGHT: dict[str, dict[str, Any]] = {
    "shortest": {},
    "generation": {"task": {"kind": "generation", "prompt": "{{ question }}"}},
    "chat": {"task": {"kind": "chat"}, "strategy": {"kind": "full"}},
    "qlora": {"strategy": {"kind": "qlora", "quantization": "fp4", "targets": ["q_proj"]}},
    "budget": {"budget": {"vram": "24GiB", "time": "2h", "cost": "5 USD", "price_per_hour": "0.40 USD"}},
    "hub data": {"data": {"source": {"hub": "owner/name", "file": "train.parquet"}}},
    "own test file": {"data": {"source": {"path": "a.csv"}, "split": {"test": {"path": "b.csv"}, "validation": 0}}},
    "gates": {"eval": {"metrics": ["accuracy"], "gates": {"accuracy": ">= 0.9"}}},
    "early stopping": {"train": {"early_stopping": {"metric": "val_macro_f1"}, "max_grad_norm": None, "epochs": 0.5}},
}
WRONG: dict[str, dict[str, Any]] = {
    "unknown key": {"train": {"learning_rte": 1e-4}},
    "unknown section": {"training": {}},
    "missing section": {"model": None},
    "key in the wrong section": {"batch_size": 8},
    "unknown kind": {"strategy": {"kind": "loraa"}},
    "no kind": {"strategy": {"rank": 8}},
    "key of another kind": {"strategy": {"kind": "full", "rank": 8}},
    "text for a number": {"train": {"epochs": "three"}},
    "zero rows": {"train": {"batch_size": 0}},
    "negative": {"train": {"epochs": -1}},
    "learning rate above ten": {"train": {"learning_rate": 50}},
    "size without unit": {"budget": {"vram": 24}},
    "size with a wrong unit": {"budget": {"vram": "24gb"}},
    "no size": {"budget": {"vram": "0GiB"}},
    "money as a mapping": {"budget": {"cost": {"amount": 5, "currency": "USD"}}},
    "time without unit": {"budget": {"time": 7200}},
    "unknown metric": {"eval": {"metrics": ["acuracy"]}},
    "gate without comparison": {"eval": {"gates": {"accuracy": "0.9"}}},
    "gate on an unknown metric": {"eval": {"gates": {"acuracy": ">= 0.9"}}},
    "unknown part of a row": {"data": {"source": {"path": "a.csv"}, "fields": {"txt": "message"}}},
    "two sources at once": {"data": {"source": {"path": "a.csv", "hub": "owner/name", "file": "b.csv"}}},
    "wrong name": {"name": "My Model"},
    "another language version": {"ftc": 2},
}


@pytest.mark.parametrize("sections", RIGHT.values(), ids=RIGHT)
def test_right_recipes_validate(sections: dict[str, Any]) -> None:
    assert parse_recipe(_source(recipe_text(**sections)))[0] is not None
    assert list(judge(editor_schema()).iter_errors(as_json(plain_recipe(**sections)))) == []


@pytest.mark.parametrize("sections", WRONG.values(), ids=WRONG)
def test_wrong_recipes_do_not(sections: dict[str, Any]) -> None:
    assert list(judge(editor_schema()).iter_errors(as_json(plain_recipe(**sections))))


def test_a_recipe_that_extends_another_may_leave_out_any_key() -> None:
    validator = judge(editor_schema())
    layer = {"ftc": 1, "extends": "base.yaml", "strategy": {"rank": 8}, "data": {"split": {"test": 0.2}}}
    assert list(validator.iter_errors(layer)) == []
    assert list(validator.iter_errors({**layer, "strategy": {"rnk": 8}}))
    assert list(validator.iter_errors({key: value for key, value in layer.items() if key != "extends"}))


def _source(text: str) -> Any:
    source, found = read_source(text, "recipe.yaml")
    assert source is not None, found
    return source
