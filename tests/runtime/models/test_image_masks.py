"""Rows of several lengths: what a scorer computes without a mask of padding is what the model computes with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.vision_models import MODELS
from tests.support.vision_settings import tiny_vision

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

KINDS = ("gemma3", "smolvlm", "idefics3", "paligemma")
NEVER = [1, 2, 4]
"""Tokens that would end an answer, or stand for an image in it."""
IMAGE, PAD, LENGTHS, PROMPTS = 4, 0, (13, 9, 11), (11, 7, 8)


def batch_of(kind: str, config: Any) -> dict[str, Any]:
    """Three rows, the first two with an image, padded on the right."""
    from ftc.runtime.models.pixels import image_inputs

    each = 16 if kind == "paligemma" else 4
    longest = max(LENGTHS) + each
    ids = torch.full((3, longest), PAD)
    draw = torch.Generator().manual_seed(3)
    for row, length in enumerate(LENGTHS):
        own = torch.randint(5, 15, (length,), generator=draw).tolist()
        line = own if row == 2 else [own[0], *([IMAGE] * each), *own[1:]]
        ids[row, : len(line)] = torch.tensor(line)
    images = torch.randn(2, 3, 28, 28, generator=draw)
    squares = images[None] if kind in ("smolvlm", "idefics3") else images
    begins = torch.tensor([prompt + (each if row < 2 else 0) for row, prompt in enumerate(PROMPTS)])
    answers = (torch.arange(longest) >= begins[:, None]).long()
    assert config.image_token_id == IMAGE
    return {"input_ids": ids, **image_inputs(tiny_vision(kind, each), ids, {"pixel_values": squares}, answers)}


@pytest.mark.parametrize(
    ("kind", "kernel"),
    [(kind, kernel) for kind in KINDS for kernel in ("eager", "sdpa") if (kind, kernel) != ("paligemma", "sdpa")],
)
def test_a_mask_of_padding_changes_nothing(kind: str, kernel: str, tmp_path: Path) -> None:
    """A Gemma 2 has one kernel alone."""
    import transformers

    MODELS[kind](tmp_path)
    model = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path, attn_implementation=kernel).train()
    inputs = batch_of(kind, model.config)
    mask = (torch.arange(inputs["input_ids"].shape[1]) < torch.tensor([*_whole(inputs)])[:, None]).long()
    with torch.no_grad():
        without = model(**inputs, use_cache=False).logits
        masked = model(**inputs, attention_mask=mask, use_cache=False).logits
        torch.testing.assert_close(without[mask.bool()], masked[mask.bool()], rtol=1e-5, atol=1e-5)
        if kind == "paligemma":  # all of a prompt is seen from its first token, and nothing of the answer
            other = {**inputs, "input_ids": inputs["input_ids"].clone()}
            other["input_ids"][0, 13 + 16 - 2] = 6 if int(inputs["input_ids"][0, 13 + 16 - 2]) != 6 else 7
            changed = model(**other, use_cache=False).logits
            torch.testing.assert_close(changed[0, : 11 + 16], without[0, : 11 + 16], rtol=0, atol=0)
            other["input_ids"][0, 11 + 16 - 1] = 6 if int(inputs["input_ids"][0, 11 + 16 - 1]) != 6 else 7
            assert not torch.equal(model(**other, use_cache=False).logits[0, 0], without[0, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_begins_as_the_scores_behind_its_prompt_say(kind: str, tmp_path: Path) -> None:
    """Prompts padded on the left, as answers are written, beside each row by itself."""
    import transformers

    MODELS[kind](tmp_path)
    model: Any = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    inputs = batch_of(kind, model.config)
    lengths = [prompt + whole - own for prompt, whole, own in zip(PROMPTS, _whole(inputs), LENGTHS, strict=True)]
    longest = max(lengths)
    ids, mask = torch.full((3, longest), PAD), torch.zeros(3, longest, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, longest - length :] = inputs["input_ids"][row, :length]
        mask[row, longest - length :] = 1
    types = {"paligemma": torch.zeros_like(ids), "gemma3": (ids == IMAGE).int()}
    beside = {"token_type_ids": types[kind]} if kind in types else {}
    written = model.generate(
        input_ids=ids,
        attention_mask=mask,
        pixel_values=inputs["pixel_values"],
        max_new_tokens=3,
        do_sample=False,
        suppress_tokens=NEVER,
        **beside,
    )[:, longest:]
    for row, length in enumerate(lengths):
        line = inputs["input_ids"][row : row + 1, :length]
        pixels = inputs["pixel_values"]
        image = pixels[:, row : row + 1] if pixels.dim() == 5 else pixels[row : row + 1]
        alone: dict[str, Any] = {"pixel_values": image} if row < 2 else {}
        for place in range(3):
            marks = {"paligemma": (torch.arange(length + place) >= length)[None].int(), "gemma3": (line == IMAGE).int()}
            beside = {"token_type_ids": marks[kind]} if kind in marks else {}
            with torch.no_grad():
                scores = model(input_ids=line, use_cache=False, **alone, **beside).logits[0, -1]
            scores[NEVER] = -torch.inf
            assert int(scores.argmax()) == int(written[row, place])
            line = torch.cat((line, written[row : row + 1, place : place + 1]), dim=1)


def _whole(inputs: dict[str, Any]) -> list[int]:
    """Tokens of each row."""
    images = (inputs["input_ids"] == IMAGE).sum(dim=1).tolist()
    return [length + image for length, image in zip(LENGTHS, images, strict=True)]
