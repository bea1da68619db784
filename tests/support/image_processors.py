"""Processors of models that read images, as transformers has them, with a configuration that fits and no weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["PROCESSORS", "TheirProcessor", "paligemma"]

TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}</s>\n{% endfor %}{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
_SPECIAL = ("<pad>", "<s>", "</s>")
_SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_SQUARES = (
    *("<image>", "<fake_token_around_image>", "<global-img>"),
    *(f"<row_{row + 1}_col_{column + 1}>" for row in range(3) for column in range(3)),
)


@dataclass(frozen=True, slots=True)
class TheirProcessor:
    """transformers' own processor of a model type, in a folder with all that ftc reads of it.

    Attributes:
        processor: It.
        config: What config.json says.
        written: The token that the chat template writes for an image.
    """

    processor: Any
    config: Mapping[str, Any]
    written: str


def _of_bytes() -> Any:
    """A tokenizer over bytes that joins line ends, as Llama's does."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {character: number for number, character in enumerate(alphabet)}
    ids |= {"ĊĊ": len(ids), "ĊĊĊ": len(ids) + 1}
    tokenizer = Tokenizer(models.BPE(ids, [("Ċ", "Ċ"), ("ĊĊ", "Ċ")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return tokenizer


def _of_characters() -> Any:
    """A tokenizer over characters that joins line ends and what follows them, as Gemma's may."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    characters = [*"abcdefghijklmnopqrstuvwxyz?.:<>_", "▁", "\n"]
    joined = ["\n\n", "\n\n\n", "\nw"]
    ids = {text: number for number, text in enumerate([*characters, *joined, "<unk>"])}
    tokenizer = Tokenizer(
        models.BPE(ids, [("\n", "\n"), ("\n\n", "\n"), ("\n", "w")], unk_token="<unk>", fuse_unk=False)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    return tokenizer


def _loaded(folder: Path, tokenizer: Any, written: str | None, **special: str) -> tuple[Any, dict[str, int]]:
    """A tokenizer as transformers has it, in a folder with its files; and the ids of its special tokens."""
    from transformers import PreTrainedTokenizerFast

    named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    loaded = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named, extra_special_tokens=special or None)
    if written is not None:
        loaded.chat_template = TEMPLATE.replace("IMAGE", written)
    tokenizer.save(str(folder / "tokenizer.json"))
    words = named | ({"chat_template": loaded.chat_template} if written is not None else {})
    (folder / "tokenizer_config.json").write_text(json.dumps(words), encoding="utf-8")
    return loaded, {token: tokenizer.token_to_id(token) for token in special.values()}


def _gemma(folder: Path, _patch: pytest.MonkeyPatch) -> TheirProcessor:
    import transformers as t
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    named = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    raw = _of_characters()
    raw.add_special_tokens([*_SPECIAL, *named.values()])
    tokenizer, ids = _loaded(folder, raw, named["boi_token"], **named)
    images = Gemma3ImageProcessorPil(size={"height": 28, "width": 28})
    images.save_pretrained(folder)
    config = {
        **{"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "mm_tokens_per_image": 4},
        "text_config": {**_SIZES, "num_key_value_heads": 2, "vocab_size": len(raw.get_vocab()), "head_dim": 8},
        "vision_config": {**_SIZES, "image_size": 28, "patch_size": 7},
        **{f"{name}_index": ids[named[name]] for name in named},
    }
    processor: Any = t.Gemma3Processor
    return TheirProcessor(processor(images, tokenizer, image_seq_length=4), config, named["boi_token"])


def _squares(folder: Path, kind: str, images: Any) -> tuple[Any, dict[str, Any]]:
    raw = _of_bytes()
    raw.add_special_tokens([*_SPECIAL, *_SQUARES])
    tokenizer, _ = _loaded(folder, raw, "<image>")
    images.save_pretrained(folder)
    text = {**_SIZES, "vocab_size": len(raw.get_vocab()), "model_type": "llama"}
    tower = {**_SIZES, "image_size": 28, "patch_size": 7}
    config = {"model_type": kind, "text_config": text, "vision_config": tower, "scale_factor": 2}
    return tokenizer, {**config, "architectures": ["X"], "image_token_id": raw.token_to_id("<image>")}


def _idefics(folder: Path, _patch: pytest.MonkeyPatch) -> TheirProcessor:
    import transformers as t
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    images = Idefics3ImageProcessorPil(size={"longest_edge": 84}, max_image_size={"longest_edge": 28})
    tokenizer, config = _squares(folder, "idefics3", images)
    processor: Any = t.Idefics3Processor
    return TheirProcessor(processor(images, tokenizer, image_seq_len=4), config, "<image>")


def _smolvlm(folder: Path, patch: pytest.MonkeyPatch) -> TheirProcessor:
    """Its processor of videos, which none of these rows has, needs further packages: nothing stands in its place."""
    from transformers.models.smolvlm import processing_smolvlm
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    patch.setattr(processing_smolvlm, "num2words", str)
    kind: Any = processing_smolvlm.SmolVLMProcessor
    patch.setattr(kind, "check_argument_for_proper_class", lambda *_: object)
    images = SmolVLMImageProcessorPil(size={"longest_edge": 84}, max_image_size={"longest_edge": 28})
    tokenizer, config = _squares(folder, "smolvlm", images)
    return TheirProcessor(kind(images, tokenizer, None, image_seq_len=4), config, "<image>")


def paligemma(folder: Path) -> TheirProcessor:
    """A PaliGemma's, which has no chat template."""
    import transformers as t
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    raw = _of_characters()
    raw.add_special_tokens([*_SPECIAL, "<image>"])
    tokenizer, ids = _loaded(folder, raw, None, image_token="<image>")
    images: Any = SiglipImageProcessorPil(size={"height": 28, "width": 28})
    images.image_seq_length = 16
    images.save_pretrained(folder)
    config = {
        **{"model_type": "paligemma", "architectures": ["PaliGemmaForConditionalGeneration"], "projection_dim": 32},
        "text_config": {**_SIZES, "model_type": "gemma", "vocab_size": len(raw.get_vocab()), "head_dim": 8},
        "vision_config": {**_SIZES, "image_size": 28, "patch_size": 7},
        "image_token_index": ids["<image>"],
    }
    processor: Any = t.PaliGemmaProcessor
    return TheirProcessor(processor(images, tokenizer), config, "<image>")


def _qwen_3(folder: Path, patch: pytest.MonkeyPatch) -> TheirProcessor:
    """Its processor of videos, which none of these rows has, needs further packages: nothing stands in its place."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.models.qwen3_vl import processing_qwen3_vl

    kind: Any = processing_qwen3_vl.Qwen3VLProcessor
    patch.setattr(kind, "check_argument_for_proper_class", lambda *_: object)
    raw = _of_bytes()
    raw.add_special_tokens([*_SPECIAL, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"])
    written = "<|vision_start|><|image_pad|><|vision_end|>"
    tokenizer, _ = _loaded(folder, raw, written)
    patches: dict[str, Any] = {"patch_size": 4, "temporal_patch_size": 2, "merge_size": 2}
    images = Qwen2VLImageProcessorPil(**patches, size={"shortest_edge": 256, "longest_edge": 4096})
    images.save_pretrained(folder)
    tower: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_heads": 2,
        "out_hidden_size": 32,
    }
    tower |= {"num_position_embeddings": 16, "deepstack_visual_indexes": [0], "spatial_merge_size": 2}
    config = {
        **{"model_type": "qwen3_vl", "architectures": ["Qwen3VLForConditionalGeneration"]},
        "text_config": {**_SIZES, "num_key_value_heads": 2, "vocab_size": len(raw.get_vocab()), "head_dim": 8},
        "vision_config": {**tower, "patch_size": 4, "temporal_patch_size": 2},
        "image_token_id": raw.token_to_id("<|image_pad|>"),
    }
    return TheirProcessor(kind(images, tokenizer, None), config, "<|image_pad|>")


def _internvl(folder: Path, patch: pytest.MonkeyPatch) -> TheirProcessor:
    """Its processor of videos, which none of these rows has, needs further packages: nothing stands in its place."""
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
    from transformers.models.internvl import processing_internvl

    kind: Any = processing_internvl.InternVLProcessor
    patch.setattr(kind, "check_argument_for_proper_class", lambda *_: object)
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    named["video_token"] = "<video>"
    raw = _of_bytes()
    raw.add_special_tokens([*_SPECIAL, *named.values()])
    tokenizer, ids = _loaded(folder, raw, "<IMG_CONTEXT>\n", **named)
    images = GotOcr2ImageProcessorPil(size={"height": 28, "width": 28}, max_patches=6)
    images.save_pretrained(folder)
    config = {
        **{"model_type": "internvl", "architectures": ["InternVLForConditionalGeneration"], "image_seq_length": 4},
        "text_config": {**_SIZES, "model_type": "qwen2", "num_key_value_heads": 2, "vocab_size": len(raw.get_vocab())},
        "vision_config": {**_SIZES, "image_size": [28, 28], "patch_size": [7, 7]},
        "image_token_id": ids["<IMG_CONTEXT>"],
    }
    return TheirProcessor(kind(images, tokenizer, None, image_seq_length=4), config, "<IMG_CONTEXT>")


PROCESSORS: dict[str, Callable[[Path, pytest.MonkeyPatch], TheirProcessor]] = {
    "gemma3": _gemma,
    "smolvlm": _smolvlm,
    "idefics3": _idefics,
    "qwen3_vl": _qwen_3,
    "internvl": _internvl,
}
"""Those of model types around whose images words stand, and of one whose images keep their shape."""
