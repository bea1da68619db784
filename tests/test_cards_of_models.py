"""Every model that reads images, every format and every tracker has what its users meet: plan, run, docs, names."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.architectures import architecture
from ftc.spec.model_formats import FILE_TYPES, MODEL_FORMATS, ModelFormat
from ftc.spec.trackers import TRACKERS, TrackerCard
from ftc.spec.vision_card import VisionModel
from ftc.spec.vision_models import VISION_MODELS
from ftc.views.exports import FORMATS, Format
from tests.compiler.importers.examples import AXOLOTL, FACTORY, TRL, import_text
from tests.support.recipes import recipe_text
from tests.support.vision_models import MODELS

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
TRAINERS = (f"{FACTORY}val_size: 0.1\n", TRL)
"""Configurations of the tools that hand `report_to` on to transformers."""
SWITCHES = {"wandb": "use_wandb", "mlflow": "use_mlflow", "tensorboard": "use_tensorboard"}
"""Axolotl's own keys for a tracker."""


def page(name: str) -> str:
    """A page of the docs."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("card", VISION_MODELS, ids=lambda card: card.model_type)
def test_a_model_that_reads_images_is_what_its_card_says(card: VisionModel, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    MODELS[card.model_type](tmp_path)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    model = transformers.AutoModelForImageTextToText.from_config(config)
    modules = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    assert {*card.parts} <= modules
    said = config.to_dict()
    assert any(key in said for key in card.token_keys)
    assert config.text_config.model_type in card.text_types
    for text_type in card.text_types:
        assert architecture(card.text_as.get(text_type, text_type)).family == "decoder"
    for key, value in card.text_defaults.items():
        assert getattr(type(config.text_config)(), key) == value, "what transformers takes where a file says nothing"
    for key, number in card.tower_defaults.items():
        assert getattr(type(config.vision_config)(), key) in (number, (number, number)), "both sides are as long"
    if card.ties is not None:
        assert type(config)().tie_word_embeddings is card.ties
    for key, number in (*card.edge_keys, *(one for one in (card.tokens_key, card.merge_key) if one)):
        assert getattr(type(config)(), key) == number
    seen_ahead = getattr(type(model), "_supports_flash_attn", None) is False
    assert seen_ahead == (card.sees_ahead != "none"), "flash attention has no mask for them"
    assert f"`model_type: {card.model_type}`" in page("vision.md")


@pytest.mark.parametrize("card", FORMATS, ids=lambda card: card.name)
def test_a_statement_has_its_standard_in_the_docs(card: Format) -> None:
    assert f"`ftc run export RUN --format {card.name}`" in page("exports.md")
    assert f"{card.name}: {card.about}: {card.standard}" in page("cli.md")


@pytest.mark.parametrize("card", MODEL_FORMATS, ids=lambda card: card.name)
def test_a_format_of_models_has_types_packages_and_docs(card: ModelFormat) -> None:
    assert {*card.types} <= {one.name for one in FILE_TYPES}
    assert bool(card.needs) == bool(card.extra)
    assert not card.extra or card.extra in EXTRAS
    words = {"folder": "dist/demo", "file": f"demo-q8_0{card.suffix}", "name": "demo", "base": "llama", "texts": '"A."'}
    served = card.serve.format(**words)
    assert "dist/demo" in served or (card.takes == "all" and not served)
    assert "{" not in served
    assert f"`ftc run export RUN --format {card.name} -o FOLDER`" in page("exports.md")
    assert f"{card.name}: {card.about}" in page("cli.md")


@pytest.mark.parametrize("card", TRACKERS, ids=lambda card: card.name)
def test_a_tracker_has_an_extra_docs_and_its_names_elsewhere(card: TrackerCard) -> None:
    assert any(line.startswith(card.package) for line in EXTRAS[card.name])
    assert f"ftc[{card.name}]" in page("trackers.md")
    assert card.title in page("recipe.md")
    named = [f"{text}report_to: [{card.name}]\n" for text in TRAINERS]
    switched = [f"{AXOLOTL}val_set_size: 0.1\n{SWITCHES[card.name]}: true\n"] if card.name in SWITCHES else []
    for text in (*named, *switched):
        found = import_text(text, data="x.jsonl", task="chat").recipe
        assert found is not None
        assert f"{card.name}:" in found.partition("track:")[2]


def test_a_recipe_may_name_every_tracker(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe_text(track={card.name: {} for card in TRACKERS}), encoding="utf-8")
    assert [found.summary for found in api.validate(recipe).diagnostics if found.is_error] == []
