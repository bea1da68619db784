"""Adapters to begin from: what other tools' keys become."""

from __future__ import annotations

import pytest

from ftc.spec.documents.imported import Fate
from tests.compiler.importers.examples import AXOLOTL, FACTORY, import_text, recipe_values


@pytest.mark.parametrize(("tool", "key"), [(AXOLOTL, "lora_model_dir"), (FACTORY, "adapter_name_or_path")])
def test_a_run_of_ftc_is_continued_and_another_folder_is_not(tool: str, key: str) -> None:
    ours = import_text(f"{tool}{key}: ./runs/tickets/3f2a7c0d9e11/adapter\n")
    assert recipe_values(ours)["model.base"] == "run:3f2a7c0d9e11"
    theirs = import_text(f"{tool}{key}: ./out/adapter\n")
    assert not str(recipe_values(theirs)["model.base"]).startswith("run:")
    (fate,) = [one for one in theirs.keys if one.key == key]
    assert fate.fate is Fate.NOT_CARRIED


def test_a_new_adapter_on_top_is_one_here_too() -> None:
    text = "adapter_name_or_path: runs/tickets/3f2a7c0d9e11/adapter\ncreate_new_adapter: true\n"
    assert recipe_values(import_text(FACTORY + text))["model.create_new_adapter"] is True
