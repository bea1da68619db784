"""Rows with images: ftc makes the tokens, the marks and the pixels that transformers' own processors make."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftc.compiler.memory.vision_formula import TowerNumbers, image_bytes
from ftc.compiler.resolve.models.image_processor import processor_findings, sized
from ftc.compiler.resolve.models.model_config import read_config
from ftc.compiler.resolve.models.tokenizer import read_tokenizer
from ftc.compiler.resolve.rows.images import Picture
from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.forms import ChatForm, PromptForm
from ftc.compiler.tokens.image_tokens import tokens_of_images
from ftc.compiler.tokens.row_tokens import encode_rows
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.compiler.tokens.stream_writer import write_images, write_stream
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.compiler.tower_rows import Rows
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.stream_images import IMAGES_FILE
from ftc.spec.documents.vision_facts import CropCuts, PanCuts, SquareCuts, VisionFacts
from tests.support.image_processors import PROCESSORS, TheirProcessor, paligemma
from tests.support.vision_settings import as_settled

torch = pytest.importorskip("torch")
image_module = pytest.importorskip("PIL.Image")

SIZES = ((40, 32), (17, 90), (300, 40), (28, 28), (5, 1))
ROWS = ((), (0,), (1, 2), (3,), (4, 0))
"""Which images each row has: none, one, two."""
ASKED, ANSWER = "what is it ?", "a cat"
_NUMBERS = TowerNumbers(operand=2, weight=2, embedding=2, on_card=False, eager=False)


def pictures(folder: Path) -> list[Path]:
    """Images of several shapes, none of one color."""
    found = []
    for number, (width, height) in enumerate(SIZES):
        image = image_module.linear_gradient("L").resize((width, height)).convert("RGB")
        image.putpixel((number, 0), (1, 2, 3))
        found.append(folder / f"{number}.png")
        image.save(found[-1])
    return found


def vision_of(their: TheirProcessor, folder: Path) -> VisionFacts:
    """What ftc reads of a model's files."""
    (folder / "config.json").write_text(json.dumps(dict(their.config)), encoding="utf-8")
    vision = sized(read_config(their.config).vision, folder)
    assert vision is not None
    assert list(processor_findings(folder, vision, None)) == []
    return vision


def our_rows(form: ChatForm | PromptForm, rows: list[dict[str, Any]], vision: VisionFacts, folder: Path) -> TokenRows:
    """Rows as ftc encodes them."""
    tokenizer = TextTokenizer(folder / "tokenizer.json")
    known = {sha_of(file): Picture(*size) for file, size in zip(sorted(folder.glob("*.png")), SIZES, strict=True)}
    facts = read_tokenizer(folder, "llama")
    with TemplateRenderer() as renderer:
        images = tokens_of_images(vision, tokenizer, known)
        found = encode_rows(rows, form, tokenizer, facts, renderer, max_length=2000, images=images)
    assert found.row.tolist() == list(range(len(rows))), "no row is left out"
    return found


def sha_of(file: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def ids_of(rows: TokenRows, number: int) -> list[int]:
    """Tokens of a row."""
    found: list[int] = rows.ids[rows.boundaries[number] : rows.boundaries[number + 1]].tolist()
    return found


def content_of(chosen: tuple[int, ...], shas: list[str]) -> list[dict[str, str]]:
    """What the user says: images, and a question."""
    return [*({"type": "image", "image": shas[one]} for one in chosen), {"type": "text", "text": ASKED}]


CROPS = PanCuts(least=16, cuts=4, ratio=1.2, each=4)


@pytest.mark.parametrize(("kind", "pans"), [*((kind, None) for kind in PROCESSORS), ("gemma3", CROPS)])
@pytest.mark.parametrize("task", ["chat", "generation"])
def test_rows_are_those_of_transformers_own_processor(
    kind: str, pans: PanCuts | None, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftc.runtime.models.pixels import FolderPixels, image_inputs

    their = PROCESSORS[kind](tmp_path, monkeypatch)
    files = pictures(tmp_path)
    shas, vision = [sha_of(file) for file in files], vision_of(their, tmp_path)
    vision = vision.panned(pans) if pans else vision
    asked = dict(as_settled(vision).processor_options) if pans else {}
    write_images(tmp_path / IMAGES_FILE, ((sha_of(file), file.read_bytes()) for file in files))
    answer = {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]}
    turns = [[{"role": "user", "content": content_of(chosen, shas)}, answer] for chosen in ROWS]
    if task == "chat":
        ours = our_rows(ChatForm(), [{"messages": one} for one in turns], vision, tmp_path)
    else:
        form = PromptForm(prompt="{{ prompt }}", completion="completion", images="image")
        plain = [{"prompt": ASKED, "completion": ANSWER, "image": [shas[one] for one in chosen]} for chosen in ROWS]
        ours = our_rows(form, plain, vision, tmp_path)
    pixels_of = FolderPixels(tmp_path, tmp_path, as_settled(vision).processor_options)
    for number, chosen in enumerate(ROWS):
        text = their.processor.tokenizer.apply_chat_template(turns[number], tokenize=False)
        images = [image_module.open(files[one]).convert("RGB") for one in chosen]
        wanted = their.processor(text=[text], images=[images] if images else None, return_tensors="pt", **asked)
        assert ids_of(ours, number) == wanted["input_ids"][0].tolist()
        assert (ours.images or [])[number] == [shas[one] for one in chosen]
        pixels = pixels_of.of([shas[one] for one in chosen]) if chosen else None
        found = image_inputs(as_settled(vision), wanted["input_ids"], pixels, None)
        marks = {"token_type_ids", "mm_token_type_ids"} if not chosen and kind != "gemma3" else set()
        beside = {"input_ids", "attention_mask"} | marks
        assert found.keys() == wanted.keys() - beside
        for name, one in found.items():
            torch.testing.assert_close(one.to(wanted[name].dtype), wanted[name], rtol=0, atol=0)


def test_rows_of_a_paligemma_are_those_of_its_processor(tmp_path: Path) -> None:
    """Images first, then the prompt behind the token that begins a text, a line end, and the answer by itself.

    The processor takes no row without an image; such a row is what it makes of the rest.
    """
    from ftc.runtime.models.pixels import FolderPixels
    from ftc.runtime.tasks.language import LanguageScorer
    from ftc.spec.documents.streams import open_stream

    their = paligemma(tmp_path)
    files, answers = pictures(tmp_path), ("what a cat", "what is it ?", ANSWER, "\n", "why")
    shas, vision = [sha_of(file) for file in files], vision_of(their, tmp_path)
    write_images(tmp_path / IMAGES_FILE, ((sha_of(file), file.read_bytes()) for file in files))
    form = PromptForm(prompt="{{ prompt }}", completion="completion", images="image")
    plain = [
        {"prompt": ASKED, "completion": answer, "image": [shas[one] for one in chosen]}
        for chosen, answer in zip(ROWS, answers, strict=True)
    ]
    ours = our_rows(form, plain, vision, tmp_path)
    write_stream(tmp_path / "rows.arrow", ours)
    stream, pixels_of = open_stream(tmp_path / "rows.arrow"), FolderPixels(tmp_path, tmp_path, {})
    scorer = LanguageScorer.__new__(LanguageScorer)
    scorer._pad_id, scorer._marks_answers = 0, True
    tokenizer = their.processor.tokenizer
    for number, (chosen, answer) in enumerate(zip(ROWS, answers, strict=True)):
        batch = scorer.batch(stream, [number])
        assert batch.token_types is not None
        if not chosen:
            wanted = tokenizer([f"<s>{ASKED}\n"], [f"{answer}</s>"], return_token_type_ids=True)
        else:
            images = [image_module.open(files[one]).convert("RGB") for one in chosen]
            text = "<image>" * len(chosen) + ASKED
            wanted = their.processor(text=[text], images=[images], suffix=[answer])
            labels = torch.where(torch.from_numpy(stream.mask(number).copy()), batch.ids[0], -100)
            assert labels.tolist() == wanted["labels"][0].tolist()
            pixels = pixels_of.of([shas[one] for one in chosen])
            theirs = torch.from_numpy(np.stack(wanted["pixel_values"]))
            torch.testing.assert_close(pixels["pixel_values"], theirs, rtol=0, atol=0)
        assert batch.ids.tolist() == wanted["input_ids"]
        assert batch.token_types.tolist() == wanted["token_type_ids"]


def test_a_chat_template_does_not_take_the_place_of_a_models_own_words(tmp_path: Path) -> None:
    """A PaliGemma with a template, as tools that save it with one leave it, keeps its form of rows."""
    their = paligemma(tmp_path)
    files = pictures(tmp_path)
    form = PromptForm(prompt="{{ prompt }}", completion="completion", images="image")
    rows = [{"prompt": ASKED, "completion": ANSWER, "image": [sha_of(files[0])]}]
    vision = vision_of(their, tmp_path)
    without = our_rows(form, rows, vision, tmp_path)
    (tmp_path / "chat_template.jinja").write_text(
        "{% for message in messages %}{{ message['role'] }}{% endfor %}", encoding="utf-8"
    )
    assert ids_of(our_rows(form, rows, vision, tmp_path), 0) == ids_of(without, 0)


def test_padding_is_no_part_of_a_prompt_that_sees_ahead(tmp_path: Path) -> None:
    """Rows of several lengths at once: what stands behind a row is marked as its answer is."""
    from ftc.runtime.tasks.language import LanguageScorer
    from ftc.spec.documents.streams import open_stream

    their = paligemma(tmp_path)
    pictures(tmp_path)
    rows = [{"prompt": ASKED[:length], "completion": ANSWER} for length in (4, 9)]
    form = PromptForm(prompt="{{ prompt }}", completion="completion")
    write_stream(tmp_path / "rows.arrow", our_rows(form, rows, vision_of(their, tmp_path), tmp_path))
    scorer = LanguageScorer.__new__(LanguageScorer)
    scorer._pad_id, scorer._marks_answers = 0, True
    batch = scorer.batch(open_stream(tmp_path / "rows.arrow"), [0, 1])
    assert batch.token_types is not None
    assert (batch.token_types[0] == 0).sum() + 5 == (batch.token_types[1] == 0).sum()
    assert bool(batch.token_types[batch.attention == 0].all())


@pytest.mark.parametrize("kind", PROCESSORS)
def test_rows_whose_texts_hold_the_models_own_tokens_are_left_out(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    their = PROCESSORS[kind](tmp_path, monkeypatch)
    files, vision = pictures(tmp_path), vision_of(their, tmp_path)
    tokenizer = TextTokenizer(tmp_path / "tokenizer.json")
    images = tokens_of_images(vision, tokenizer, {sha_of(files[0]): Picture(*SIZES[0])})
    assert images is not None
    texts = [f"{ASKED} {images.text}", f"{ASKED} {images.feature}"]
    rows = [{"prompt": text, "completion": ANSWER, "image": [sha_of(files[0])]} for text in (*texts, ASKED)]
    form = PromptForm(prompt="{{ prompt }}", completion="completion", images="image")
    with TemplateRenderer() as renderer:
        facts = read_tokenizer(tmp_path, "llama")
        found = encode_rows(rows, form, tokenizer, facts, renderer, max_length=2000, images=images)
    assert found.row.tolist() == [2]


def test_images_that_a_model_would_read_as_one_leave_their_row_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template without frames puts the tokens of two images side by side; transformers' Qwen then fails in a step."""
    their = PROCESSORS["qwen3_vl"](tmp_path, monkeypatch)
    files, vision = pictures(tmp_path)[:2], vision_of(their, tmp_path)
    bare = "{% for m in messages %}{% for p in m.content %}{{ p.text or '<|image_pad|>' }}{% endfor %}{% endfor %}"
    digests = [sha_of(file) for file in files]
    show, say = [{"type": "image", "image": one} for one in digests], {"type": "text", "text": ASKED}
    answer = {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]}
    contents = ([*show, say], [show[0], say, show[1]], [show[0], say])
    rows = [{"messages": [{"role": "user", "content": content}, answer]} for content in contents]
    tokenizer = TextTokenizer(tmp_path / "tokenizer.json")
    images = tokens_of_images(vision, tokenizer, dict(zip(digests, map(Picture._make, SIZES), strict=False)))
    facts = read_tokenizer(tmp_path, "llama").model_copy(update={"chat_template": bare})
    with TemplateRenderer() as renderer:
        found = encode_rows(rows, ChatForm(), tokenizer, facts, renderer, max_length=2000, images=images)
    assert found.row.tolist() == [1, 2]
    assert "the model reads as one" in found.counts.first_dropped[0].reason


def test_an_image_in_squares_has_the_rows_and_columns_that_transformers_cuts_it_into() -> None:
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    for longest, side in ((84, 28), (90, 28), (28, 28), (20, 28), (35, 35)):
        theirs: Any = Idefics3ImageProcessorPil(
            size={"longest_edge": longest}, max_image_size={"longest_edge": side}, return_row_col_info=True
        )
        cuts = SquareCuts(side=side, longest=longest, splits=True, merge=2)
        for width, height in ((40, 32), (28, 28), (1, 60), (300, 17), (29, 500), (64, 103), (500, 1), (7, 8), (9, 9)):
            wanted = theirs(images=[image_module.new("RGB", (width, height))])
            assert cuts.shape(width, height) == (wanted["rows"][0][0], wanted["cols"][0][0])
            assert len(wanted["pixel_values"][0]) <= cuts.most


def test_an_image_in_crops_has_as_many_squares_as_transformers_cuts_it_into() -> None:
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    for least, most, side in ((1, 12, 28), (1, 1, 28), (2, 6, 14), (1, 3, 35)):
        sizes: Any = {"size": {"height": side, "width": side}, "min_patches": least, "max_patches": most}
        theirs: Any = GotOcr2ImageProcessorPil(**sizes, crop_to_patches=True)
        cuts = CropCuts(side=side, least=least, cuts=most, each=4)
        for width, height in ((40, 32), (28, 28), (1, 60), (300, 17), (29, 500), (64, 103), (500, 1), (7, 8), (56, 28)):
            rows, columns = cuts.shape(width, height)
            wanted = theirs(images=[image_module.new("RGB", (width, height))])
            assert rows * columns + 1 == wanted["num_patches"][0] <= cuts.most


@pytest.mark.parametrize(("least", "most", "ratio"), [(256, 4, 1.2), (16, 4, 1.2), (16, 16, 1.0), (100, 2, 2.5)])
def test_an_elongated_image_has_the_crops_that_transformers_takes_of_it(least: int, most: int, ratio: float) -> None:
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    theirs, cuts = Gemma3ImageProcessorPil(), PanCuts(least=least, cuts=most, ratio=ratio, each=4)
    sides = (1, 15, 16, 17, 40, 99, 100, 255, 256, 257, 300, 307, 511, 512, 640, 1000, 1999)
    for width, height in ((width, height) for width in sides for height in sides):
        wanted = theirs.pan_and_scan(np.zeros((3, height, width), dtype=np.uint8), least, most, ratio)
        rows, columns = cuts.shape(width, height)
        assert rows * columns == len(wanted) < cuts.most
        assert all(0 not in crop.shape for crop in wanted), "no crop is empty"


def test_squares_of_the_published_models() -> None:
    """SmolVLM-256M, SmolVLM2-2.2B and Idefics3-8B, by the sizes in their files."""
    for side, longest, merge, patch, most, each in ((512, 2048, 4, 16, 17, 64), (384, 1536, 3, 14, 17, 81)):
        cuts = SquareCuts(side=side, longest=longest, splits=True, merge=merge)
        assert (cuts.most, cuts.each(patch)) == (most, each)
    cuts = SquareCuts(side=364, longest=1456, splits=True, merge=2)
    assert (cuts.most, cuts.each(14)) == (17, 169)
    assert cuts.shape(640, 480) == (3, 4)
    assert cuts.model_copy(update={"splits": False}).shape(640, 480) == (0, 0)


def test_sizes_that_a_file_leaves_out_are_those_that_transformers_takes() -> None:
    """config.json of Gemma-3-4B names neither heads nor vocabulary; that of SmolVLM-256M no layers of the tower."""
    gemma = read_config(
        {
            **{"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"]},
            **{"image_token_index": 262_144, "mm_tokens_per_image": 256},
            "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10_240}
            | {"num_hidden_layers": 34, "sliding_window": 1024},
            "vision_config": {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "patch_size": 14}
            | {"num_hidden_layers": 27, "num_attention_heads": 16},
        }
    )
    assert (gemma.num_heads, gemma.num_kv_heads, gemma.head_dim, gemma.vocab_size) == (8, 4, 256, 262_208)
    assert gemma.model_type == "gemma3_text"
    assert gemma.tied
    assert gemma.vision is not None
    assert gemma.vision.edges == (255_999, 256_000)
    assert gemma.vision.features(1000, 10).tokens == gemma.vision.tokens_per_image == 256
    text = {"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30}
    smol = read_config(
        {
            **{"model_type": "smolvlm", "architectures": ["SmolVLMForConditionalGeneration"], "scale_factor": 4},
            **{"image_token_id": 49_190, "text_config": {**text, "num_attention_heads": 9, "vocab_size": 49_280}},
            "vision_config": {"hidden_size": 768, "image_size": 512, "patch_size": 16, "num_attention_heads": 12},
        }
    )
    assert smol.vision is not None
    assert (smol.vision.num_layers, smol.vision.intermediate_size, smol.tied) == (12, 3072, False)


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("gemma3", {"image_seq_length": 16}, "another number of tokens"),
        ("gemma3", {"size": {"height": 56, "width": 56}}, "another size"),
        ("gemma3", {"size": None}, "another size"),
        ("gemma3", {"size": {"shortest_edge": 28}}, "another size"),
        ("gemma3", {"do_resize": False}, "as large as they are"),
        ("smolvlm", {"image_seq_len": 169}, "another number of tokens"),
        ("smolvlm", {"max_image_size": {"longest_edge": 56}}, "another size"),
        ("idefics3", {"size": {"height": 28, "width": 28}}, "the longer side"),
        ("idefics3", {"do_resize": False}, "the longer side"),
        ("idefics3", {"size": {"longest_edge": 0}}, "the longer side"),
    ],
)
def test_a_processor_that_does_not_fit_is_a_finding(
    kind: str, changes: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FTC128."""
    their = PROCESSORS[kind](tmp_path, monkeypatch)
    file = tmp_path / "preprocessor_config.json"
    said = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps({key: value for key, value in said.items() if value is not None}), encoding="utf-8")
    vision = sized(read_config(their.config).vision, tmp_path)
    found = list(processor_findings(tmp_path, vision, None))
    assert [one.code for one in found] == ["FTC128"]
    assert words in found[0].summary


def test_an_image_of_millions_of_squares_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FTC128: nobody writes so many words."""
    their = PROCESSORS["idefics3"](tmp_path, monkeypatch)
    tower = {**their.config["vision_config"], "image_size": 2, "patch_size": 1}
    said = {"size": {"longest_edge": 4096}, "max_image_size": {"longest_edge": 2}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said), encoding="utf-8")
    vision = sized(read_config({**their.config, "vision_config": tower}).vision, tmp_path)
    (found,) = processor_findings(tmp_path, vision, None)
    assert "too many squares" in found.summary


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("gemma3", {"mm_tokens_per_image": 5}, "can't be pooled"),
        ("gemma3", {"mm_tokens_per_image": 9}, "can't be pooled"),
        ("gemma3", {"boi_token_index": "begin"}, "not a whole number"),
        ("smolvlm", {"scale_factor": 3}, "doesn't divide"),
        ("idefics3", {"scale_factor": 0}, "not a whole number"),
    ],
)
def test_sizes_that_no_image_can_have_are_a_finding(
    kind: str, changes: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FTC309."""
    their = PROCESSORS[kind](tmp_path, monkeypatch)
    with pytest.raises(Refusal) as refused:
        read_config({**their.config, **changes})
    assert [found.code for found in refused.value.diagnostics] == ["FTC309"]
    assert words in refused.value.diagnostics[0].summary


def test_a_tokenizer_without_the_token_that_begins_an_image_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FTC128."""
    their = PROCESSORS["gemma3"](tmp_path, monkeypatch)
    vision = read_config({**their.config, "boi_token_index": 3}).vision
    with pytest.raises(Refusal) as refused:
        tokens_of_images(vision, TextTokenizer(tmp_path / "tokenizer.json"), {})
    assert [found.code for found in refused.value.diagnostics] == ["FTC128"]
    assert "begins an image" in refused.value.diagnostics[0].summary


def test_memory_counts_crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a row has room for where nobody knows its images, else those that they have."""
    vision = vision_of(PROCESSORS["gemma3"](tmp_path, monkeypatch), tmp_path).panned(CROPS)
    room = vision.tokens_per_image
    shape = vision.shape(300, 40)
    assert (shape.tokens, shape.squares, vision.shape(28, 28).squares) == (room, 5, 1)
    at_most, crops, whole = (
        image_bytes(vision, Rows(room, room, images), 32, _NUMBERS) - 32 * room * _NUMBERS.embedding
        for images in ((), [shape], [vision.shape(28, 28)])
    )
    assert at_most == crops == 5 * whole


def test_memory_counts_as_many_squares_as_a_row_has_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small images are one square each: their pixels as numbers and in the operands' type, and two masks of them."""
    vision = vision_of(PROCESSORS["smolvlm"](tmp_path, monkeypatch), tmp_path)
    room = vision.features(1, 1).each
    found = [image_bytes(vision, Rows(squares * room, squares * room, ()), 32, _NUMBERS) for squares in (1, 7)]
    assert found[1] == 7 * found[0] > 7 * 28 * 28 * (3 * (4 + 2) + 2 * 8)
