"""LLaMA-Factory's rows with images become the rows that a recipe of one's own has, to the token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.documents.streams import open_stream
from ftc.spec.storage.paths import streams_folder
from tests.support.vision_models import make_vision_project

pytest.importorskip("torch")
pytest.importorskip("PIL")

ASKED = "what color is it ?"
JOB = {"model_name_or_path": "models/llava", "stage": "sft", "finetuning_type": "lora", "cutoff_len": 64}


def rows_of(recipe: Path) -> list[tuple[list[int], list[str]]]:
    """Tokens and images of each row that a recipe trains on or keeps for validation, in no order of splits."""
    plan = api.plan(recipe, trace=False).plan
    found = []
    for split in ("train", "validation", "test"):
        if plan.data.get(split) is not None and plan.data[split].rows:
            stream = open_stream(streams_folder(plan.stream_key) / f"{split}.arrow")
            found += [(stream.ids(n).tolist(), list(stream.images(n))) for n in range(len(stream))]
    return sorted(found)


def colors(root: Path) -> list[tuple[str, str]]:
    """Images with their colors, as the project's own rows have them."""
    lines = (root / "data" / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row["image"], row["completion"]) if "image" in row else _of_chat(row) for row in rows]


def _of_chat(row: dict[str, Any]) -> tuple[str, str]:
    asked, answer = row["messages"]
    return asked["content"][0]["image"], answer["content"]


def imported(root: Path, entry: dict[str, Any], rows: list[dict[str, Any]], **job: Any) -> Path:
    """The recipe that a job of LLaMA-Factory with these registered rows becomes, beside the project's own."""
    (root / "data" / "theirs.json").write_text(json.dumps(rows), encoding="utf-8")
    registry = {"pictures": {"file_name": "theirs.json", **entry}}
    (root / "data" / "dataset_info.json").write_text(json.dumps(registry), encoding="utf-8")
    (root / "job.json").write_text(json.dumps({**JOB, "dataset": "pictures", **job}), encoding="utf-8")
    found = api.import_recipe(root / "job.json")
    assert found.recipe is not None, found.reasons
    recipe = root / "imported.yaml"
    recipe.write_text(found.recipe, encoding="utf-8")
    return recipe


@pytest.mark.slow
def test_instructions_with_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".ftc").mkdir()
    own = make_vision_project(tmp_path, count=16)
    theirs = [
        {"instruction": f"<image>{ASKED}", "input": "", "output": color, "images": [image]}
        for image, color in colors(tmp_path)
    ]
    columns = {"prompt": "instruction", "query": "input", "response": "output", "images": "images"}
    recipe = imported(tmp_path, {"columns": columns}, theirs)
    assert rows_of(recipe) == (wanted := rows_of(own))
    assert wanted


@pytest.mark.slow
def test_conversations_with_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".ftc").mkdir()
    own = make_vision_project(tmp_path, "chat", count=16)
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    theirs = [
        {
            "turns": [{"role": "user", "content": f"<image>{ASKED}"}, {"role": "assistant", "content": color}],
            "pictures": [image],
        }
        for image, color in colors(tmp_path)
    ]
    entry = {"formatting": "sharegpt", "columns": {"messages": "turns", "images": "pictures"}, "tags": tags}
    recipe = imported(tmp_path, entry, theirs, dataset_dir="data")
    assert rows_of(recipe) == (wanted := rows_of(own))
    assert wanted


@pytest.mark.slow
def test_full_training_changes_the_parts_that_llama_factory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".ftc").mkdir()
    make_vision_project(tmp_path, count=16)
    theirs = [
        {
            "conversations": [{"from": "human", "value": f"<image>{ASKED}"}, {"from": "gpt", "value": color}],
            "images": [image],
        }
        for image, color in colors(tmp_path)
    ]
    entry = {"formatting": "sharegpt", "columns": {"messages": "conversations", "images": "images"}}
    recipe = imported(tmp_path, entry, theirs, finetuning_type="full")
    vision = api.plan(recipe, trace=False).plan.settings.model.vision
    assert vision is not None
    assert set(vision.frozen) == {"vision_tower", "multi_modal_projector"}
