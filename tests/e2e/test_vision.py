"""A model that reads images, from plan to merged model: the same losses as a plain loop, and nothing unseen changes."""

from __future__ import annotations

import base64
import io
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.runtime.models.pixels import FolderPixels
from ftc.spec.diagnostics import Diagnostic, Refusal
from ftc.spec.documents.streams import open_stream
from ftc.spec.storage.images import jpeg_of
from ftc.spec.storage.paths import RunFolder, streams_folder
from ftc.verbs.pages import report_page
from ftc.verbs.plan import located_plan
from ftc.verbs.runs import load_outcomes, load_run, load_thumbnails
from ftc.views.plan import plan_text
from tests.e2e.conftest import Ftc, in_a_copy
from tests.support.cards import CardRunner
from tests.support.forging import edit_lines, reseal
from tests.support.vision_loops import inputs_of, logged_losses, plain_losses
from tests.support.vision_models import COLORS, MODELS, TEMPLATE, TOKENS_PER_IMAGE, make_vision_project

torch = pytest.importorskip("torch")
Image, ImageColor = pytest.importorskip("PIL.Image"), pytest.importorskip("PIL.ImageColor")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run; its tests work on copies."""
    folder = tmp_path_factory.mktemp("vision")
    root = folder / "project"
    (root / ".ftc").mkdir(parents=True)
    recipe = make_vision_project(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(folder / "cache"))
        assert api.apply(recipe).record.status == "finished"
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return in_a_copy(finished, tmp_path, monkeypatch)


@pytest.fixture
def run(root: Path) -> api.Run:
    (found,) = api.runs()
    return found


def test_a_plain_loop_has_the_same_losses(root: Path, run: api.Run) -> None:
    rows = open_stream(streams_folder(run.plan.stream_key) / "train.arrow")
    assert int((rows.all_ids == 4).sum()) == TOKENS_PER_IMAGE * len(rows), "an image stands as often as it has features"
    assert logged_losses(run) == pytest.approx(plain_losses(run, root), abs=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "llava"])
def test_each_other_family_is_trained_as_a_plain_loop_trains_it_and_merged(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ftc: Ftc, cards: CardRunner
) -> None:
    import peft
    import transformers

    (tmp_path / ".ftc").mkdir()
    monkeypatch.chdir(tmp_path)
    steps = "{epochs: 1, batch_size: 8, learning_rate: 0.01, loss_chunk_size: 3}"
    recipe = make_vision_project(tmp_path, model_type=kind, train=steps)
    applied = api.apply(recipe)
    assert applied.record.status == "finished"
    assert api.audit(applied.record.id).verdict == "CONSISTENT"
    (run,) = api.runs()
    assert logged_losses(run) == pytest.approx(plain_losses(run, tmp_path), abs=2e-5)
    assert ftc("merge", run.record.id, "-o", "merged").code == 0
    base, merged = (
        transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
        for folder in (tmp_path / "models" / kind, "merged")
    )
    adapted = peft.PeftModel.from_pretrained(base, run.folder / "adapter").eval()
    inputs = inputs_of(run, tmp_path, [0, 1, 2])
    with torch.inference_mode():
        torch.testing.assert_close(merged(**inputs).logits, adapted(**inputs).logits, rtol=1e-4, atol=1e-5)
    assert cards.run(run.folder / "README.md").endswith("\n"), "it prints what the model says of an image"


def test_rows_are_predicted_and_a_missing_image_costs_one_row(root: Path, ftc: Ftc, run: api.Run) -> None:
    rows = [json.loads(line) for line in (root / "data/rows.jsonl").read_text().splitlines()[:2]]
    asked = [*rows, {"image": "pictures/gone.png", "prompt": "what color is it ?"}]
    (root / "data/asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    answer = ftc("predict", run.record.id, "--data", "data/asked.jsonl")
    assert answer.code == 0, answer.err
    found = [json.loads(line) for line in answer.out.splitlines()]
    assert [one.get("problem") is None for one in found] == [True, True, False]
    assert "pictures/gone.png" in found[2]["problem"]
    said = api.load(run).predict([{**row, "image": f"data/{row['image']}"} for row in rows])
    assert [one.prediction for one in said] == [one["prediction"] for one in found[:2]]


@pytest.mark.slow
def test_the_cards_code_runs_where_the_card_is(run: api.Run, cards: CardRunner) -> None:
    assert cards.run(run.folder / "README.md").endswith("\n"), "it prints what the model says of an image"


def test_all_processes_of_a_run_compare_the_packages_that_read_images(
    root: Path, run: api.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[frozenset[str]] = []
    known = run.record.observed.environment

    def resolve(folder: Path | None, also: frozenset[str], packages: frozenset[str]) -> Any:
        asked.append(also)
        return known

    monkeypatch.setattr("ftc.compiler.resolve.machine.environment.resolve_environment", resolve)
    assert located_plan(run.plan, root, lambda: pytest.fail("nothing is missing here")).plan is run.plan
    assert [one >= {"vision"} for one in asked] == [True], "as the first process, which plans"


def test_a_report_shows_what_its_rows_show(run: api.Run) -> None:
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    kept = load_thumbnails(run.folder)
    shown = {one.place: one for one in load_outcomes(run.folder) if any(name in kept for name in one.images)}
    assert shown, "rows have images"
    for place, row in shown.items():
        (picture,) = (kept[name] for name in row.images)
        assert (picture.width - 40, picture.height) in [(0, 32), (1, 32), (2, 32)]
        with Image.open(io.BytesIO(picture.picture)) as small:
            nearest = min(COLORS, key=lambda color: math.dist(ImageColor.getrgb(color), small.getpixel((2, 2))))
        assert nearest == row.expected, "the picture of this row, and of no other"
        assert f'alt="image 1 of row {place}, {picture.width} × 32 pixels"' in page
        assert f"data:image/jpeg;base64,{picture.jpeg}" in page


def test_a_row_that_is_masked_shows_no_picture(root: Path, run: api.Run) -> None:
    def with_address(number: int, line: dict[str, Any]) -> None:
        line["prompt"] += " mail jane.doe@example.com"

    edit_lines(run.folder / "predictions.ndjson", with_address)
    assert "data:image" not in report_page(load_run(run.folder)).partition('id="rows"')[2]
    assert "data:image" in report_page(load_run(run.folder), shows_personal_data=True).partition('id="rows"')[2]
    assert "data:image" not in report_page(load_run(run.folder)), "nor in the sample, whose text is without the address"


def test_a_picture_of_another_image_is_found(root: Path, run: api.Run) -> None:
    def black(number: int, line: dict[str, Any]) -> None:
        line["jpeg"] = base64.b64encode(jpeg_of(Image.new("RGB", (line["width"], line["height"])), 256)).decode()

    assert any("pictures of rows' images" in words for words in api.audit(run).checked)
    edit_lines(run.folder / "thumbnails.ndjson", black)
    reseal(RunFolder(run.folder))
    audited = api.audit(load_run(run.folder))
    assert audited.verdict == "TAMPERED"
    assert {one.subject.partition(",")[0] for one in audited.findings} == {"thumbnails.ndjson"}


def test_others_load_the_merged_model(root: Path, ftc: Ftc, run: api.Run) -> None:
    import peft
    import transformers

    answer = ftc("merge", run.record.id, "-o", "merged")
    assert answer.code == 0, answer.err
    assert "AutoModelForImageTextToText" in answer.text
    base, merged = (
        transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
        for folder in (root / "models/llava", "merged")
    )
    assert merged.config.vision_config.num_hidden_layers == 2
    inputs = inputs_of(run, root, [0, 1, 2])
    with torch.inference_mode():
        plain = base(**inputs).logits
        adapted = peft.PeftModel.from_pretrained(base, run.folder / "adapter").eval()(**inputs).logits
        assert not torch.allclose(plain, adapted, rtol=1e-2, atol=1e-2), "the adapter does something"
        torch.testing.assert_close(merged(**inputs).logits, adapted, rtol=1e-4, atol=1e-5)
    image_processor: Any = transformers.AutoImageProcessor.from_pretrained("merged", backend="pil")
    assert image_processor.crop_size["height"] == 28
    audited = api.audit(run)
    assert audited.verdict == "CONSISTENT"
    assert any("40 image files" in words for words in audited.not_checked), "nobody believes that they were compared"
    assert ftc("export", run.record.id, "--format", "gguf", "-o", "gguf").code != 0


@pytest.mark.slow
def test_the_lock_pins_images_and_pixels(root: Path, ftc: Ftc) -> None:
    lock = json.loads((root / "recipe.lock.json").read_text())
    assert lock["data"]["images"]["files"] == 40
    assert lock["model"]["settings"]["vision"]["pixels_sha256"]
    pictures = root / "data/pictures"
    (pictures / "000.png").write_bytes((pictures / "001.png").read_bytes())
    answer = ftc("plan", "recipe.yaml", "--locked")
    assert answer.code != 0
    assert "data.images.sha256" in answer.text, answer.text


def test_other_pixels_stop_a_run(root: Path, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    """FTC414: the processor makes something else than when the plan was made."""
    monkeypatch.setattr(FolderPixels, "of", lambda _, names: {"pixel_values": torch.zeros(len(names), 3, 28, 28)})
    answer = ftc("apply", "recipe.yaml", "--yes", "--set", "train.seed=5")
    assert answer.code != 0
    assert "FTC414" in answer.text


@pytest.mark.parametrize("kind", ["partial", "bitfit", "prompt_tuning", "lora, modules_to_save: [linear_1]"])
def test_what_is_not_available_is_refused(root: Path, kind: str) -> None:
    """FTC127."""
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("{kind: lora, dropout: 0}", f"{{kind: {kind}}}"))
    with pytest.raises(Refusal) as refused:
        api.plan(recipe)
    assert "FTC127" in {found.code for found in refused.value.diagnostics}


@pytest.mark.parametrize("part", [None, "text_config"])
@pytest.mark.parametrize(("method", "more"), [("gptq", {"sym": False}), ("awq", {"version": "gemm"})])
def test_packed_layers_beside_images_are_refused(
    root: Path, method: str, more: dict[str, Any], part: str | None
) -> None:
    file = root / "models/llava/config.json"
    config = json.loads(file.read_text())
    place = config[part] if part else config
    place["quantization_config"] = {"quant_method": method, "bits": 4, "group_size": 16, **more}
    file.write_text(json.dumps(config))
    with pytest.raises(Refusal) as refused:
        api.plan(root / "recipe.yaml")
    (found,) = refused.value.diagnostics
    assert (found.code, found.path) == ("FTC313", "model.base")
    assert ("inside `text_config`" if part else "images") in " ".join((found.summary, *found.notes))


@pytest.mark.slow
def test_a_question_about_an_image_has_the_tokens_of_its_prompt(tmp_path: Path) -> None:
    """The first of several right answers is learned, and each of them is right."""
    asked = make_vision_project(tmp_path / "asked", "question_answering", count=16)
    text = asked.read_text(encoding="utf-8")
    own = text.replace("{kind: question_answering}", "{kind: question_answering, prompt: '{{ question }}'}")
    asked.write_text(own, encoding="utf-8")
    prompted = make_vision_project(tmp_path / "prompted", count=16)
    ours: dict[tuple[str, ...], Any] = {}
    theirs: dict[tuple[str, ...], Any] = {}  # which rows are held out follows from what they say
    for recipe, found in ((asked, ours), (prompted, theirs)):
        folder = streams_folder(api.plan(recipe, trace=False).plan.stream_key)
        for split in ("train", "validation", "test"):
            rows = open_stream(folder / f"{split}.arrow")
            for row in range(len(rows)):
                found[tuple(rows.images(row))] = (rows.ids(row).tolist(), rows.mask(row).tolist())
    assert ours == theirs
    assert len(ours) == 16
    run = api.apply(asked)
    assert run.record.status == "finished"
    assert api.audit(str(run.folder)).verdict == "CONSISTENT"
    outcomes = load_outcomes(run.folder)
    assert outcomes
    assert all(len(one.images) == 1 for one in outcomes)
    said = {"image": str(asked.parent / "data/pictures/003.png"), "question": "what color is it ?"}
    assert len(load_run(run.folder).load().predict([said])) == 1


@pytest.mark.slow
def test_a_conversation_is_refused_where_prompts_see_ahead(tmp_path: Path) -> None:
    """FTC127: its earlier answers would be part of the prompt, which the model reads in both directions."""
    recipe = make_vision_project(tmp_path, "chat", count=16, model_type="paligemma")
    file = tmp_path / "models/paligemma/tokenizer_config.json"
    said: dict[str, Any] = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "chat_template": TEMPLATE}))
    with pytest.raises(Refusal) as refused:
        api.plan(recipe, trace=False)
    assert [found.code for found in refused.value.diagnostics] == ["FTC127"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "lines", "code"),
    [
        ("gemma3", {"train": "{epochs: 1, batch_size: 8, packing: true}"}, "FTC261"),
        ("gemma3", {"model": "{base: models/gemma3, attention: flash_attention_2}"}, "FTC223"),
        ("paligemma", {"train": "{epochs: 1, batch_size: 8, packing: true}"}, "FTC261"),
        ("paligemma", {"model": "{base: models/paligemma, attention: sdpa}"}, "FTC223"),
    ],
)
def test_what_no_mask_can_hide_is_refused(kind: str, lines: dict[str, str], code: str, tmp_path: Path) -> None:
    """Rows that share a sequence, and flash attention; the Gemma 2 inside this PaliGemma has one kernel alone."""
    with pytest.raises(Refusal) as refused:
        api.plan(make_vision_project(tmp_path, count=16, model_type=kind, **lines), trace=False)
    (found,) = [one for one in refused.value.diagnostics if one.code == code]
    (section,) = lines
    assert found.path is not None
    assert found.path.startswith(f"{section}.")
    assert found.span is not None
    assert found.help
    if code == "FTC261":
        assert ("a prompt" if kind == "paligemma" else "an image") in found.summary


def test_a_processor_of_another_size_is_refused(tmp_path: Path) -> None:
    """FTC128."""
    recipe = make_vision_project(tmp_path, count=16)
    file = tmp_path / "models/llava/preprocessor_config.json"
    said: dict[str, Any] = json.loads(file.read_text())
    for size in ({"height": 56, "width": 56}, [28, 28], {"height": [28]}):
        file.write_text(json.dumps({**said, "crop_size": size}))
        with pytest.raises(Refusal) as refused:
            api.plan(recipe)
        assert {found.code for found in refused.value.diagnostics} == {"FTC128"}
    file.unlink()
    with pytest.raises(Refusal) as refused:
        api.plan(recipe)
    assert {found.code for found in refused.value.diagnostics} == {"FTC128"}


def test_a_processor_of_other_patches_and_a_strip_are_refused(tmp_path: Path) -> None:
    """FTC128: of a model whose images keep their shape."""
    from PIL import Image

    def refusal() -> Diagnostic:
        with pytest.raises(Refusal) as refused:
            api.plan(recipe)
        assert {found.code for found in refused.value.diagnostics} == {"FTC128"}
        return refused.value.diagnostics[0]

    recipe = make_vision_project(tmp_path, count=16, model_type="qwen2_vl")
    file = tmp_path / "models/qwen2_vl/preprocessor_config.json"
    said: dict[str, Any] = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "merge_size": 4}))
    refusal()
    file.write_text(json.dumps(said))
    Image.new("RGB", (402, 2)).save(tmp_path / "data/pictures/003.png")
    strip = refusal()
    assert "`pictures/003.png` has 402 x 2 pixels" in strip.summary
    assert "data/rows.jsonl:4" in " ".join(strip.notes), "among thousands of photos nobody finds it otherwise"


def test_an_image_that_keeps_its_shape_has_as_many_tokens_as_transformers_makes_of_it() -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    from ftc.spec.documents.vision_facts import PatchGrid

    grid = PatchGrid(merge=2, frames=2, least_pixels=56 * 56, most_pixels=28 * 28 * 1280)
    for width, height in ((40, 32), (28, 28), (1, 60), (3000, 17), (4032, 3024), (29, 5000), (644, 1003)):
        high, wide = smart_resize(height, width, 28, grid.least_pixels, grid.most_pixels)
        assert grid.tokens(width, height, 14) == high * wide // 28**2


def test_an_image_in_tiles_has_as_many_tokens_as_transformers_makes_of_it() -> None:
    from types import SimpleNamespace

    from transformers import LlavaNextProcessor

    from ftc.spec.documents.vision_facts import TileSizes

    sizes = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
    counts: Any = LlavaNextProcessor
    theirs = SimpleNamespace(
        image_processor=SimpleNamespace(image_grid_pinpoints=[list(one) for one in sizes]),
        patch_size=14,
        num_additional_image_tokens=0,
        _get_unpadded_features=partial(counts._get_unpadded_features, None),
    )
    for width, height in ((40, 32), (336, 336), (1, 60), (3000, 17), (4032, 3024), (29, 5000), (644, 1003)):
        wanted = counts._get_number_of_features(theirs, height, width, 336, 336)
        assert TileSizes(tile=336, sizes=sizes).tokens(width, height, 14) == wanted


def test_a_conversation_with_images_is_planned_for_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chat rows, on a GPU of the catalog, where nobody can say what pixels become."""
    monkeypatch.setattr("ftc.compiler.tokens.make_streams.ask_for_pixels", lambda *_: (None, "not installed"))
    recipe = make_vision_project(tmp_path, "chat", count=16, budget="{device: rtx-4090}")
    plan = api.plan(recipe, trace=False).plan
    assert plan.data["train"].tokens == plan.data["train"].rows * (TOKENS_PER_IMAGE + 14)
    assert any("images" in phase.phase for phase in plan.memory.phases)
    assert "images 16 files" in plan_text(plan)
    vision = plan.settings.model.vision
    assert vision is not None
    assert vision.pixels_sha256 is None
    assert any("not installed" in words for words in plan.not_checked)
