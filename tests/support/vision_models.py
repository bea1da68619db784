"""Tiny models that read images, with a processor and a tokenizer of their own, and rows that are images of text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "COLORS",
    "IMAGE_TOKEN",
    "MODELS",
    "TOKENS_PER_IMAGE",
    "make_vision_project",
    "write_gemma",
    "write_idefics",
    "write_images",
    "write_internvl",
    "write_llava",
    "write_llava_next",
    "write_paligemma",
    "write_qwen",
    "write_qwen_3",
    "write_qwen_of_2025",
    "write_smolvlm",
]

IMAGE_TOKEN = "<image>"
_SIZE, _PATCH = 28, 7
TOKENS_PER_IMAGE = (_SIZE // _PATCH) ** 2
COLORS = ("red", "green", "blue", "black", "white", "yellow", "purple", "orange")
_WORDS = (*COLORS, "what", "color", "is", "it", "the", "a", "which", "user", "assistant", "?", ".", ":")
_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", IMAGE_TOKEN)
_VOCABULARY = {word: number for number, word in enumerate((*_SPECIAL, *_WORDS))}
_IMAGE_ID = _VOCABULARY[IMAGE_TOKEN]
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_TEXT: dict[str, Any] = {
    **_SIZES,
    **{"vocab_size": len(_VOCABULARY), "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0},
}
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
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    text = t.LlamaConfig(**_TEXT)
    tower = t.CLIPVisionConfig(image_size=_SIZE, patch_size=_PATCH, projection_dim=32, **_SIZES)
    torch.manual_seed(seed)
    config = t.LlavaConfig(vision_config=tower, text_config=text, image_token_index=_IMAGE_ID)
    t.LlavaForConditionalGeneration(config).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": _SIZE}, crop_size={"height": _SIZE, "width": _SIZE}).save_pretrained(
        folder
    )
    _write_tokenizer(folder)


def write_llava_next(folder: Path, seed: int = 5) -> None:
    """A LLaVA-Next, which reads an image whole and in up to four tiles."""
    import torch
    import transformers as t
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    tower = t.CLIPVisionConfig(image_size=_SIZE, patch_size=_SIZE // 2, projection_dim=32, **_SIZES)
    tiles = [[_SIZE, 2 * _SIZE], [2 * _SIZE, _SIZE], [2 * _SIZE, 2 * _SIZE]]
    torch.manual_seed(seed)
    config = t.LlavaNextConfig(
        vision_config=tower, text_config=t.LlamaConfig(**_TEXT), image_token_index=_IMAGE_ID, image_grid_pinpoints=tiles
    )
    t.LlavaNextForConditionalGeneration(config).save_pretrained(folder)
    LlavaNextImageProcessorPil(
        size={"shortest_edge": _SIZE}, crop_size={"height": _SIZE, "width": _SIZE}, image_grid_pinpoints=tiles
    ).save_pretrained(folder)
    _write_tokenizer(folder)


def write_qwen(folder: Path, seed: int = 5) -> None:
    """A Qwen2-VL of two layers each, whose images keep their shape: 4 x 4 pixels are a patch, 2 x 2 of them a token."""
    import transformers as t

    tower = {"depth": 2, "embed_dim": 16, "num_heads": 2, "hidden_size": 32, "mlp_ratio": 2}
    _write_qwen(folder, t.Qwen2VLConfig, t.Qwen2VLForConditionalGeneration, tower, seed)


def write_qwen_of_2025(folder: Path, seed: int = 5) -> None:
    """A Qwen2.5-VL, whose tower attends within windows in its first layer."""
    import transformers as t

    tower: dict[str, Any] = {"depth": 2, "hidden_size": 16, "num_heads": 2, "out_hidden_size": 32}
    tower["intermediate_size"] = 32
    tower |= {"window_size": 16, "fullatt_block_indexes": [1]}
    _write_qwen(folder, t.Qwen2_5_VLConfig, t.Qwen2_5_VLForConditionalGeneration, tower, seed)


def write_qwen_3(folder: Path, seed: int = 5) -> None:
    """A Qwen3-VL: states of its tower's first layer are added to those behind the language model's first layer."""
    import transformers as t

    tower: dict[str, Any] = {"depth": 2, "hidden_size": 16, "num_heads": 2, "out_hidden_size": 32}
    tower |= {"intermediate_size": 32, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
    _write_qwen(folder, t.Qwen3VLConfig, t.Qwen3VLForConditionalGeneration, tower, seed, head_dim=8)


def _write_qwen(folder: Path, config: Any, model: Any, tower: dict[str, Any], seed: int, **text: Any) -> None:
    import torch
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    patches: dict[str, Any] = {"patch_size": 4, "temporal_patch_size": 2}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    made = config(
        text_config={**_TEXT, **text, "rope_parameters": rope},
        vision_config={**tower, **patches, "spatial_merge_size": 2},
        image_token_id=_IMAGE_ID,
        **{"video_token_id": 3, "vision_start_token_id": 3, "vision_end_token_id": 3},  # nothing reads these
    )
    torch.manual_seed(seed)
    model(made).save_pretrained(folder)
    Qwen2VLImageProcessorPil(
        **patches, merge_size=2, size={"shortest_edge": 256, "longest_edge": 1024}
    ).save_pretrained(folder)
    _write_tokenizer(folder)


_EDGES = ("<start_of_image>", "<end_of_image>")
_SQUARES = (
    *("<fake_token_around_image>", "<global-img>"),
    *(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)),
)


_WRAPS = ("<img>", "</img>")


def write_gemma(folder: Path, seed: int = 5) -> None:
    """A Gemma 3 whose 16 patches are pooled to 4 features, and of whose layers one has a window."""
    import torch
    import transformers as t
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    tower = t.SiglipVisionConfig(image_size=_SIZE, patch_size=_PATCH, vision_use_head=False, **_SIZES)
    layers = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 32, "head_dim": 8}
    text = t.Gemma3TextConfig(**{**_TEXT, **layers, "vocab_size": len(_VOCABULARY) + len(_EDGES)})
    torch.manual_seed(seed)
    edges: dict[str, Any] = {"boi_token_index": len(_VOCABULARY), "eoi_token_index": len(_VOCABULARY) + 1}
    config = t.Gemma3Config(
        vision_config=tower, text_config=text, image_token_index=_IMAGE_ID, mm_tokens_per_image=4, **edges
    )
    t.Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    Gemma3ImageProcessorPil(size={"height": _SIZE, "width": _SIZE}).save_pretrained(folder)
    _write_tokenizer(folder, _EDGES, _EDGES[0])


def write_paligemma(folder: Path, seed: int = 5) -> None:
    """A PaliGemma with a Gemma 2 inside, which has no chat template and reads its prompt in both directions."""
    import torch
    import transformers as t
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    tower = t.SiglipVisionConfig(image_size=_SIZE, patch_size=_PATCH, vision_use_head=False, **_SIZES)
    layers = {"sliding_window": 32, "head_dim": 8, "final_logit_softcapping": 2.0, "query_pre_attn_scalar": 8}
    text = t.Gemma2Config(**{**_TEXT, **layers})
    torch.manual_seed(seed)
    config = t.PaliGemmaConfig(vision_config=tower, text_config=text, image_token_index=_IMAGE_ID, projection_dim=32)
    t.PaliGemmaForConditionalGeneration(config).save_pretrained(folder)
    images: Any = SiglipImageProcessorPil(size={"height": _SIZE, "width": _SIZE})
    images.image_seq_length = TOKENS_PER_IMAGE
    images.save_pretrained(folder)
    _write_tokenizer(folder, written=None)


def write_smolvlm(folder: Path, seed: int = 5) -> None:
    """A SmolVLM, which reads an image whole and in up to four squares of 4 features each."""
    import transformers as t
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    _write_squares(folder, t.SmolVLMConfig, t.SmolVLMForConditionalGeneration, SmolVLMImageProcessorPil, seed)


def write_idefics(folder: Path, seed: int = 5) -> None:
    """An Idefics 3, which has the same shape."""
    import transformers as t
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    _write_squares(folder, t.Idefics3Config, t.Idefics3ForConditionalGeneration, Idefics3ImageProcessorPil, seed)


def _write_squares(folder: Path, config: Any, model: Any, processor: Any, seed: int) -> None:
    import torch
    import transformers as t

    text = t.LlamaConfig(**{**_TEXT, "vocab_size": len(_VOCABULARY) + len(_SQUARES)})
    tower = {**_SIZES, "image_size": _SIZE, "patch_size": _PATCH}
    torch.manual_seed(seed)
    made = config(vision_config=tower, text_config=text, image_token_id=_IMAGE_ID, scale_factor=2, pad_token_id=0)
    model(made).save_pretrained(folder)
    processor(size={"longest_edge": 2 * _SIZE}, max_image_size={"longest_edge": _SIZE}).save_pretrained(folder)
    _write_tokenizer(folder, _SQUARES)


def write_internvl(folder: Path, seed: int = 5) -> None:
    """An InternVL, which reads an image whole and in up to three squares of 4 features each."""
    import torch
    import transformers as t
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    text = t.Qwen2Config(**{**_TEXT, "vocab_size": len(_VOCABULARY) + len(_WRAPS)})
    tower = t.InternVLVisionConfig(image_size=[_SIZE, _SIZE], patch_size=[_PATCH, _PATCH], **_SIZES)
    torch.manual_seed(seed)
    config = t.InternVLConfig(
        vision_config=tower, text_config=text, image_token_id=_IMAGE_ID, image_seq_length=4, tie_word_embeddings=False
    )
    t.InternVLForConditionalGeneration(config).save_pretrained(folder)
    size = {"height": _SIZE, "width": _SIZE}
    GotOcr2ImageProcessorPil(size=size, min_patches=1, max_patches=3).save_pretrained(folder)
    _write_tokenizer(folder, _WRAPS)


def _write_tokenizer(folder: Path, further: tuple[str, ...] = (), written: str | None = IMAGE_TOKEN) -> None:
    """A tokenizer of words.

    Args:
        folder: The model's.
        further: Special tokens behind the words.
        written: The token that the chat template writes for an image; None for no template.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers

    ids = _VOCABULARY | {token: len(_VOCABULARY) + number for number, token in enumerate(further)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([*_SPECIAL, *further])
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    words = {"tokenizer_class": "PreTrainedTokenizerFast", **tokens}
    if written is not None:
        words["chat_template"] = TEMPLATE.replace(IMAGE_TOKEN, written)
    (folder / "tokenizer_config.json").write_text(json.dumps(words), encoding="utf-8")


MODELS: dict[str, Callable[[Path], None]] = {
    "llava": write_llava,
    "llava_next": write_llava_next,
    "qwen2_vl": write_qwen,
    "qwen2_5_vl": write_qwen_of_2025,
    "qwen3_vl": write_qwen_3,
    "gemma3": write_gemma,
    "smolvlm": write_smolvlm,
    "idefics3": write_idefics,
    "paligemma": write_paligemma,
    "internvl": write_internvl,
}
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
    folder: Path,
    task: str = "generation",
    count: int = 40,
    model_type: str = "llava",
    alone: Sequence[str] = (),
    **lines: str,
) -> Path:
    """A recipe with a tiny model, images and rows that name their colors; returns the recipe.

    Args:
        folder: The project.
        task: Kind of the task.
        count: Rows with an image.
        model_type: See `MODELS`.
        alone: Words that rows without an image ask for.
        lines: Sections of the recipe in place of the usual ones.
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    MODELS[model_type](folder / "models" / model_type)
    rows: list[dict[str, Any]] = []
    for name, color in write_images(folder / "data" / "pictures", count):
        if task == "generation":
            rows.append({"image": name, "prompt": "what color is it ?", "completion": color})
        elif task == "question_answering":
            rows.append({"image": name, "question": "what color is it ?", "answers": [color, f"it is {color}"]})
        else:
            asked = [{"type": "image", "image": name}, {"type": "text", "text": "what color is it ?"}]
            rows.append({"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": color}]})
    rows += [{"prompt": f"what is the color {word} ?", "completion": word} for word in alone]
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
