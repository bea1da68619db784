"""Whatever a configuration holds: no crash, a valid recipe or reasons, and one fate for every key."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.compiler.importers.foreign import read_foreign
from ftc.compiler.importers.translate import TOOLS
from ftc.compiler.importers.translation import dotted
from ftc.compiler.rules.check import check_recipe
from ftc.spec.documents.imported import Fate, Imported
from tests.compiler.importers.examples import FOLDER, NAMES, import_text, leaves, read_plain

_VALUES: list[Any] = [
    *(None, True, False, 0, 1, 3, -1, 1e-4, 0.5, 1.5, 1e308, "", "auto", "no", "steps", "epoch", "1e-4"),
    *("lora", "qlora", "all", "cosine", "constant", "adamw_torch", "chat_template", "alpaca", "acme/rows", "x.jsonl"),
    *("${output_dir}/x", "/tmp/a", "{{ evil }}", "a: b # c", "'quoted'", "line\nbreak", "\u202e", "é" * 300),
    *([], {}, ["q_proj"], [1], [{"path": "x.jsonl", "type": "alpaca"}], [[1]], {"name": "lora"}, [{}, 1]),
]


def check(imported: Imported, text: str) -> None:
    """What holds for every import."""
    if imported.recipe is None:
        assert imported.reasons
    else:
        assert check_recipe(imported.recipe.encode(), "recipe.yaml").recipe is not None
    assert all(key.paths if key.fate is Fate.CARRIED else key.reason for key in imported.keys)
    settled = [key.key for key in imported.keys]
    for leaf in leaves(read_foreign(text.encode(), "job.yaml").root):
        above = [dotted(leaf[:length]) for length in range(1, len(leaf) + 1)]
        assert sum(settled.count(key) for key in above) == (1 if leaf else 0), leaf


@pytest.mark.parametrize("name", NAMES)
def test_each_key_has_one_fate(name: str) -> None:
    text = (FOLDER / name).read_text()
    check(import_text(text, name), text)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_part_of_a_configuration_can_be_imported(data: st.DataObject) -> None:
    values = read_plain((FOLDER / data.draw(st.sampled_from(NAMES))).read_text())
    kept = {key: value for key, value in values.items() if data.draw(st.booleans())}
    tool = data.draw(st.sampled_from([tool.name for tool in TOOLS]))
    text = json.dumps(kept)
    check(import_text(text, tool=tool), text)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(TOOLS).flatmap(
        lambda tool: st.tuples(
            st.just(tool.name),
            st.sampled_from(NAMES),
            st.dictionaries(st.sampled_from(sorted(tool.rules)), st.sampled_from(_VALUES), max_size=12),
        )
    ),
    st.sampled_from([None, "generation", "chat"]),
    st.booleans(),
)
def test_known_keys_with_any_value_never_crash(
    drawn: tuple[str, str, dict[str, Any]], task: str | None, has_data: bool
) -> None:
    tool, name, changed = drawn
    values = json.loads(json.dumps(read_plain((FOLDER / name).read_text())))
    for path, value in changed.items():
        _set(values, path.split("."), copy.deepcopy(value))  # what is set inside of it changes no other example
    text = json.dumps(values)
    options = {"data": "mine.jsonl"} if has_data else {}
    check(import_text(text, tool=tool, **options, **({"task": task} if task else {})), text)


def _set(values: dict[str, Any], path: list[str], value: Any) -> None:
    """Puts a value at a dotted path, through the first mapping of a list on the way."""
    for step in path[:-1]:
        inner = values.get(step)
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            inner = inner[0]
        if not isinstance(inner, dict):
            inner = values[step] = {}
        values = inner
    values[path[-1]] = value
