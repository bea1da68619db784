"""Tiny models that read images, with a processor and a tokenizer of their own, and rows that are images of text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["IMAGE_TOKEN", "MODELS", "TOKENS_PER_IMAGE", "make_vision_project", "write_images", "write_llava"]

IMAGE_TOKEN = "<image>"
_SIZE, _PATCH = 28, 7
TOKENS_PER_IMAGE = (_SIZE // _PATCH) ** 2
COLORS = ("red", "green", "blue", "black", "white", "yellow", "purple", "orange")
_WORDS = (*COLORS, "what", "color", "is", "it", "the", "a", "which", "user", "assistant", "?", ".", ":")
_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", IMAGE_TOKEN)
TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}: "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
"""Over contents in parts, as templates of models that read images are."""


def write_llava(folder: Path, seed: int = 5) -> None:
    """A LLaVA of two layers each, with the processor and the tokenizer that belong to it."""
    import torch
    import transformers as t
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    vocabulary = {word: number for number, word in enumerate((*_SPECIAL, *_WORDS))}
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    text = t.LlamaConfig(
        vocab_size=len(vocabulary), num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0, **sizes
    )
    tower = t.CLIPVisionConfig(image_size=_SIZE, patch_size=_PATCH, projection_dim=32, **sizes)
    torch.manual_seed(seed)
    config = t.LlavaConfig(vision_config=tower, text_config=text, image_token_index=vocabulary[IMAGE_TOKEN])
    t.LlavaForConditionalGeneration(config).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": _SIZE}, crop_size={"height": _SIZE, "width": _SIZE}).save_pretrained(
        folder
    )
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    words = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE, **tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(words), encoding="utf-8")


MODELS: dict[str, Callable[[Path], None]] = {"llava": write_llava}
"""A tiny model of each type that reads images."""


def write_images(folder: Path, count: int) -> list[tuple[str, str]]:
    """Images of one color with a dot, each with its color; returns their names and colors."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        color = COLORS[number % len(COLORS)]
        image = Image.new("RGB", (40 + number % 3, 32), color)
        image.putpixel((number % 40, number // 40), (1, 2, 3))
        image.save(folder / f"{number:03}.png")
        found.append((f"{folder.name}/{number:03}.png", color))
    return found


def make_vision_project(
    folder: Path, task: str = "generation", count: int = 40, model_type: str = "llava", **lines: str
) -> Path:
    """A recipe with a tiny model, images and rows that name their colors; returns the recipe."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    MODELS[model_type](folder / "models" / model_type)
    rows: list[dict[str, Any]] = []
    for name, color in write_images(folder / "data" / "pictures", count):
        if task == "generation":
            rows.append({"image": name, "prompt": "what color is it ?", "completion": color})
        else:
            asked = [{"type": "image", "image": name}, {"type": "text", "text": "what color is it ?"}]
            rows.append({"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": color}]})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / "rows.jsonl").write_text(text, encoding="utf-8")
    sections = {
        "ftc": "1",
        "name": "colors",
        "model": f"{{base: models/{model_type}}}",
        "data": "{source: {path: data/rows.jsonl}, max_length: 64}",
        "task": f"{{kind: {task}}}",
        "strategy": "{kind: lora, dropout: 0}",
        "train": "{epochs: 2, batch_size: 8, learning_rate: 0.01}",
        "budget": "{device: cpu, threads: 1}",
        **lines,
    }
    recipe = folder / "recipe.yaml"
    recipe.write_text("".join(f"{name}: {value}\n" for name, value in sections.items()), encoding="utf-8")
    return recipe
