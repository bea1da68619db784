"""Pan and scan: a Gemma 3 reads elongated images whole and in crops, in training, prediction and what others load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.streams import open_stream
from ftc.spec.storage.paths import streams_folder
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.cards import CardRunner
from tests.support.vision_loops import inputs_of, logged_losses, plain_losses
from tests.support.vision_models import COLORS, IMAGE_TOKEN, TOKENS_PER_IMAGE, make_vision_project

torch = pytest.importorskip("torch")
image_module = pytest.importorskip("PIL.Image")

STEPS = "{epochs: 1, batch_size: 8, learning_rate: 0.01}"
CROPS = "{base: models/gemma3, pan_and_scan: {min_crop_size: 16}}"
POOLED = TOKENS_PER_IMAGE // 4
"""Tokens of an image or a crop, of a tiny Gemma."""


def make_project(root: Path, model: str = CROPS) -> Path:
    """Images of 40 to 42 x 32 pixels, which are cut in two, and every fourth a square, which is not."""
    (root / ".ftc").mkdir()
    recipe = make_vision_project(root, model_type="gemma3", count=32, train=STEPS, model=model)
    for number, file in enumerate(sorted((root / "data/pictures").glob("*.png"))):
        if number % 4 == 0:
            square = image_module.new("RGB", (32, 32), COLORS[number % len(COLORS)])
            square.putpixel((number % 32, 0), (1, 2, 3))
            square.save(file)
    return recipe


@pytest.mark.slow
def test_a_run_counts_crops_and_is_trained_as_a_plain_loop_trains_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ftc: Ftc, cards: CardRunner
) -> None:
    monkeypatch.chdir(tmp_path)
    assert api.apply(make_project(tmp_path)).record.status == "finished"
    (run,) = api.runs()
    vision, origins = run.plan.settings.model.vision, run.plan.origins
    assert vision is not None
    assert vision.pans is not None
    assert (vision.pans.least, vision.pans.cuts, vision.tokens_per_image) == (16, 4, 5 * POOLED)
    assert origins["model.vision.pans.least"].kind == "written"
    assert origins["model.vision.pans.cuts"].kind == "default"
    rows = open_stream(streams_folder(run.plan.stream_key) / "train.arrow")
    tokens = [int((rows.ids(number) == vision.image_token_id).sum()) for number in range(len(rows))]
    assert set(tokens) == {POOLED, 3 * POOLED}, "the whole, and two crops of those that are longer than wide"
    squares = len(inputs_of(run, tmp_path, list(range(len(rows))))["pixel_values"])
    assert squares * POOLED == sum(tokens)
    assert logged_losses(run) == pytest.approx(plain_losses(run, tmp_path), abs=2e-5)
    asked = [{"image": f"pictures/{number:03}.png", "prompt": "what color is it ?"} for number in range(4)]
    (tmp_path / "data/asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    answer = ftc("predict", run.record.id, "--data", "data/asked.jsonl")
    assert answer.code == 0, answer.err
    assert all(json.loads(line).get("problem") is None for line in answer.out.splitlines())
    assert api.audit(run.record.id).verdict == "CONSISTENT"
    card = run.folder / "README.md"
    assert "do_pan_and_scan=True, pan_and_scan_min_crop_size=16" in card.read_text()
    assert cards.run(card).endswith("\n"), "it prints what the model says of an image"


@pytest.mark.slow
def test_the_cards_code_writes_the_crops_of_an_elongated_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cards: CardRunner
) -> None:
    """As transformers' own processor of the model has it; tests of rows compare that with the training rows."""
    monkeypatch.chdir(tmp_path)
    assert api.apply(make_project(tmp_path)).record.status == "finished"
    (run,) = api.runs()
    card = run.folder / "README.md"
    code = card.read_text().replace('Image.new("RGB", (224, 224), "red")', 'Image.new("RGB", (70, 32), "red")')
    card.write_text(code.replace("output = model.generate(", "print(prompt)\noutput = model.generate("))
    said = cards.run(card)
    assert said.count(IMAGE_TOKEN) == 3 * POOLED
    assert "Here is the original image" in said
    assert said.count("<start_of_image>") == said.count("<end_of_image>") == 3


@pytest.mark.parametrize(
    ("model", "said", "code", "words"),
    [
        ("{base: models/gemma3}", True, "FTC128", "asks for pan and scan"),
        ("{base: models/llava, pan_and_scan: {}}", None, "FTC127", "isn't available"),
    ],
)
def test_what_model_and_recipe_do_not_agree_on_is_refused(
    model: str, said: bool | None, code: str, words: str, tmp_path: Path
) -> None:
    """FTC127, FTC128."""
    kind = "gemma3" if "gemma3" in model else "llava"
    recipe = make_vision_project(tmp_path, model_type=kind, count=8, model=model)
    if said is not None:
        file = tmp_path / "models" / kind / "preprocessor_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "do_pan_and_scan": said}))
    with pytest.raises(Refusal) as refused:
        api.plan(recipe, trace=False)
    (found,) = refused.value.diagnostics
    assert (found.code, words in found.summary) == (code, True)
    assert found.span is not None


def test_a_model_of_text_has_no_crops(project: MakeProject) -> None:
    """FTC230."""
    root = project("generation", "lora", steps=1)
    found = api.plan(root / "recipe.yaml", overrides=["model.pan_and_scan={}"], trace=False).diagnostics
    assert [one.code for one in found if "pan_and_scan" in one.summary] == ["FTC230"]
