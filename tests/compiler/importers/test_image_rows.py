"""Rows with images of LLaMA-Factory: their columns, their marks, and where their images lie."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ftc.compiler.importers.translate import import_configuration
from ftc.compiler.importers.translation import Options, Surroundings
from ftc.compiler.rules.check import check_recipe
from ftc.spec.documents.imported import Fate, Imported
from tests.compiler.importers.examples import recipe_values

JOB = "model_name_or_path: acme/brook\nstage: sft\ndataset: pictures\nfinetuning_type: lora\n"
ALPACA: dict[str, Any] = {
    "columns": {"prompt": "instruction", "query": "input", "response": "output", "images": "photos"}
}
TURNS: dict[str, Any] = {"formatting": "sharegpt", "columns": {"messages": "conversations", "images": "images"}}


def imported(entry: dict[str, Any], text: str = JOB, rows: str | None = None) -> Imported:
    """What becomes of a job whose rows are registered so."""
    files = {"data/dataset_info.json": json.dumps({"pictures": {"file_name": "p.json", **entry}}).encode()}
    if rows is not None:
        files["data/p.json"] = rows.encode()
    around = Surroundings(locate=lambda path: path if path in files else None, read=files.get)
    found = import_configuration(text.encode(), "job.yaml", options=Options(), around=around)
    if found.recipe is not None:
        assert check_recipe(found.recipe.encode(), "recipe.yaml").recipe is not None
    return found


def fates(found: Imported) -> dict[str, Fate]:
    """What became of each key."""
    return {key.key: key.fate for key in found.keys}


def test_images_stand_in_front_of_an_instruction() -> None:
    values = recipe_values(imported(ALPACA))
    assert values["task.prompt"] == '{{ (instruction ~ ("\\n" ~ input if input else "")) | replace("<image>", "") }}'
    assert values["data.fields.image"] == "photos"
    assert values["data.fields.completion"] == "output"
    one = recipe_values(imported({"columns": _without_query()}))
    assert one["task.prompt"] == '{{ instruction | replace("<image>", "") }}'


def _without_query() -> dict[str, str]:
    return {part: column for part, column in ALPACA["columns"].items() if part != "query"}


def test_images_keep_their_places_in_a_conversation() -> None:
    values = recipe_values(imported(TURNS))
    assert (values["task.kind"], values["data.fields.image"]) == ("chat", "images")


@pytest.mark.parametrize(
    ("rows", "is_imported"),
    [
        (
            '[{"instruction": "<image>what", "input": ""}, {"instruction": " <image>\\n<image>why", "input": "so"}]',
            True,
        ),
        ('{"instruction": "<image>what"}\n{"instruction": "what"}\n', True),
        ('[{"instruction": "what <image>", "input": ""}]', False),
        ('{"instruction": "<image>what"}\n{"instruction": "<image>what", "input": "<image>"}\n', False),
        ('{"instruction": "what"}\n\n{"instruction": "what <image>"}\n', False),
        ("[[1], 2, null]", True),
    ],
)
def test_a_mark_elsewhere_in_a_prompt_stops_the_import(rows: str, is_imported: bool) -> None:
    found = imported(ALPACA, rows=rows)
    assert (found.recipe is not None) is is_imported
    assert is_imported or [one.code for one in found.reasons] == ["FTC392"]


@pytest.mark.parametrize("rows", [None, "no rows", '{"instruction": "<image>what"}\n{"instruction": '])
def test_rows_that_were_not_read_are_named_in_the_recipe(rows: str | None) -> None:
    """Their images may be anywhere in the prompts."""
    found = imported(ALPACA, rows=rows)
    assert found.recipe is not None
    assert "rows not read: images come before each prompt, wherever it has `<image>`" in found.recipe
    looked = imported(ALPACA, rows='[{"instruction": "<image>what"}]').recipe
    assert looked is not None
    assert "not read" not in looked


@pytest.mark.parametrize(
    ("entry", "lines", "words"),
    [
        (TURNS, "media_dir: pictures", "begin in `pictures`"),
        ({**TURNS, "file_name": "sets/p.json"}, "", "begin in `data`"),
        ({**TURNS, "columns": {**TURNS["columns"], "videos": "films"}}, "", "video or sound"),
        ({**ALPACA, "file_name": "p.json"}, "stage: pt", "imported for `stage: sft`"),
        ({**ALPACA, "ranking": True}, "stage: dpo", "imported for `stage: sft`"),
    ],
)
def test_what_rows_with_images_cannot_be(entry: dict[str, Any], lines: str, words: str) -> None:
    text = JOB.replace("stage: sft\n", "") if "stage" in lines else JOB
    found = imported(entry, text + lines)
    assert found.recipe is None
    assert any(words in one.summary for one in found.reasons), found.reasons
    assert all(one.help for one in found.reasons)


def test_media_beside_the_rows_need_no_key() -> None:
    found = imported(TURNS, JOB + "media_dir: data")
    assert found.recipe is not None
    assert fates(found)["media_dir"] is Fate.NOT_NEEDED


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ("", ["language_model"]),
        ("freeze_multi_modal_projector: false", ["projector", "language_model"]),
        (
            "freeze_multi_modal_projector: false\nfreeze_vision_tower: false",
            ["vision_tower", "projector", "language_model"],
        ),
        ("freeze_vision_tower: true", ["language_model"]),
    ],
)
def test_full_training_changes_the_same_parts(lines: str, parts: list[str]) -> None:
    found = imported(TURNS, JOB.replace("lora", "full") + lines)
    assert list(recipe_values(found)["strategy.train_parts"]) == parts
    assert all(fates(found)[line.partition(":")[0]] is Fate.CARRIED for line in lines.splitlines())


@pytest.mark.parametrize(
    ("line", "fate"),
    [
        ("freeze_vision_tower: true", Fate.NOT_NEEDED),
        ("freeze_vision_tower: false", Fate.NOT_CARRIED),
        ("image_do_pan_and_scan: true", Fate.CARRIED),
        ("image_do_pan_and_scan: false", Fate.NOT_NEEDED),
        ("crop_to_patches: true", Fate.NOT_NEEDED),
        ("crop_to_patches: false", Fate.NOT_CARRIED),
        ("image_max_pixels: 262144", Fate.NOT_CARRIED),
    ],
)
def test_keys_of_images_have_the_fate_that_is_true_of_them(line: str, fate: Fate) -> None:
    key = line.partition(":")[0]
    assert fates(imported(TURNS, JOB + line))[key] is fate
    of_text = {"columns": {"prompt": "instruction", "response": "output"}}
    assert fates(imported(of_text, JOB + line))[key] is Fate.NOT_NEEDED
