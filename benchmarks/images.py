"""Models that read images at their real sizes: parameters and memory of a plan beside arithmetic by hand.

    python benchmarks/images.py [NAME …] [--out FILE]

Sizes are those of the published `config.json`; no weight is read. For each model the arithmetic below gives its
parameters, the tokens of an image of 1,024 x 768 pixels, and what weights, inputs of layers and the tower take. A LoRA
on the language model is then planned for one row of 4,096 tokens with one such image, or a longer one where that has no
room, on a GPU with 141 GB, and traced. Rows are evaluated one by one. Nothing is trained.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' small jobs are made there

from ftc.compiler.memory.memory import by_closed_form, by_trace, question
from ftc.compiler.resolve.models.model_config import read_config
from ftc.compiler.resolve.models.model_form import linear_modules
from ftc.compiler.resolve.models.vision_config import without_vision
from ftc.compiler.row_images import images_of_splits
from ftc.runtime.memory_trace.child import trace
from ftc.runtime.memory_trace.meta_model import model_config
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.facts import ModelFacts, TensorFacts
from ftc.spec.documents.stream_images import ImageSizes
from tests.support.drafts import CARD, decided, draft_of, model_facts, split_report

_H200 = CARD.model_copy(update={"name": "h200", "capability": (9, 0), "memory_bytes": 150_754_820_096})
_GIB = 2**30
_TOKENS, _ANSWER, _WIDTH, _HEIGHT = 4096, 256, 1024, 768


@dataclass(frozen=True, slots=True)
class Case:
    """A model's published sizes, and what by hand comes to.

    Attributes:
        name: As its authors call it.
        config: What config.json says.
        parameters: Of all parts.
        tokens: Of the image in a row, without words around it.
        patches: That the tower reads of the image, in all its squares.
        pixels: Numbers that the tower reads.
        attention: The kernel that is planned with.
        longest: Pixels of the longer side of an image that is cut into squares, by the processor's file.
    """

    name: str
    config: dict[str, Any]
    parameters: int
    tokens: int
    patches: int
    pixels: int
    attention: str = "sdpa"
    longest: int | None = None


def _of_layers(width: int, inner: int, layers: int, queries: int, keys: int, beside: int) -> int:
    """Weights of gated layers: queries and output, keys and values, three products, and what is beside these."""
    return layers * (2 * width * queries + 2 * width * keys + 3 * width * inner + beside)


def _of_tower(width: int, inner: int, layers: int) -> int:
    """Weights of layers with biases: four projections, two products, two norms."""
    return layers * (4 * (width**2 + width) + 2 * width * inner + inner + width + 4 * width)


def _siglip(places: int) -> int:
    """SigLIP's large tower: patches of 14 x 14 pixels, a vector for each place, 27 layers, the last norm."""
    return (3 * 14 * 14 + 1) * 1152 + places * 1152 + _of_tower(1152, 4304, 27) + 2 * 1152


_SIGLIP = {
    "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
    "num_attention_heads": 16, "patch_size": 14, "vision_use_head": False,
}  # fmt: skip
_CLIP = {
    "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "patch_size": 14, "image_size": 336, "projection_dim": 768, "vocab_size": 32000,
}  # fmt: skip
_CLIP_WEIGHTS = 1024 + 3 * 14 * 14 * 1024 + 577 * 1024 + 2 * 1024 + _of_tower(1024, 4096, 24) + 2 * 1024
_MLP_OF_LLAVA = 1024 * 4096 + 4096 + 4096**2 + 4096
_PATCHES_OF_QWEN = 2 * 3 * 14 * 14 * 1280

CASES = (
    Case(
        "LLaVA-1.5-7B",
        {
            "model_type": "llava", "image_token_index": 32000, "vision_config": _CLIP,
            "text_config": {
                "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
                "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32064,
                "max_position_embeddings": 4096,
            },
        },
        2 * 32064 * 4096 + _of_layers(4096, 11008, 32, 4096, 4096, 2 * 4096) + 4096 + _CLIP_WEIGHTS + _MLP_OF_LLAVA,
        tokens=24**2,
        patches=24**2 + 1,
        pixels=3 * 336**2,
    ),
    Case(
        "LLaVA-1.6-Mistral-7B",
        {
            "model_type": "llava_next", "image_token_index": 32000, "vision_config": _CLIP,
            "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
            "text_config": {
                "model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32064,
                "max_position_embeddings": 32768, "sliding_window": None,
            },
        },
        2 * 32064 * 4096 + _of_layers(4096, 14336, 32, 4096, 1024, 2 * 4096) + 4096 + _CLIP_WEIGHTS + _MLP_OF_LLAVA
        + 4096,  # what ends a row of tiles
        # four tiles of 24 x 24 patches, of which the image fills 36 rows of 48, each with an end; and the whole
        tokens=36 * 48 + 36 + 24**2,
        patches=5 * (24**2 + 1),
        pixels=5 * 3 * 336**2,
    ),
    Case(
        "Qwen2-VL-2B",
        {
            "model_type": "qwen2_vl", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
            "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
            "max_position_embeddings": 32768, "image_token_id": 151655, "video_token_id": 151656,
            "vision_start_token_id": 151652, "vision_end_token_id": 151653,
            "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
            "vision_config": {
                "model_type": "qwen2_vl", "depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4,
                "hidden_size": 1536, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
                "in_chans": 3,
            },
        },
        151936 * 1536 + _of_layers(1536, 8960, 28, 1536, 256, 1536 + 2 * 256 + 2 * 1536) + 1536
        + _PATCHES_OF_QWEN + _of_tower(1280, 5120, 32)
        + 2 * 1280 + 5120**2 + 5120 + 5120 * 1536 + 1536,  # the projector
        # 756 x 1,036 pixels, the nearest multiples of 28, in squares of 2 x 2 patches
        tokens=27 * 37,
        patches=4 * 27 * 37,
        pixels=2 * 3 * 756 * 1036,  # the image stands twice, as two frames
    ),
    Case(
        "Qwen2.5-VL-3B",
        {
            "model_type": "qwen2_5_vl", "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
            "num_attention_heads": 16, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
            "max_position_embeddings": 128000, "image_token_id": 151655, "video_token_id": 151656,
            "vision_start_token_id": 151652, "vision_end_token_id": 151653,
            "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
            "vision_config": {
                "model_type": "qwen2_5_vl", "depth": 32, "hidden_size": 1280, "intermediate_size": 3420,
                "num_heads": 16, "out_hidden_size": 2048, "patch_size": 14, "spatial_merge_size": 2,
                "temporal_patch_size": 2, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
                "in_chans": 3, "tokens_per_second": 2,
            },
        },
        151936 * 2048 + _of_layers(2048, 11008, 36, 2048, 256, 2048 + 2 * 256 + 2 * 2048) + 2048
        # layers of the tower: gated, with biases and norms without them
        + _PATCHES_OF_QWEN + 32 * (4 * (1280**2 + 1280) + 3 * 1280 * 3420 + 2 * 3420 + 1280 + 2 * 1280)
        + 1280 + 5120**2 + 5120 + 5120 * 2048 + 2048,
        tokens=27 * 37,
        patches=4 * 27 * 37,
        pixels=2 * 3 * 756 * 1036,  # the image stands twice, as two frames
    ),
    Case(
        "Gemma-3-4B",
        {
            "model_type": "gemma3", "image_token_index": 262144, "boi_token_index": 255999, "eoi_token_index": 256000,
            "mm_tokens_per_image": 256, "vision_config": {**_SIGLIP, "image_size": 896},
            "text_config": {
                "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
                "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262208,
                "sliding_window": 1024, "max_position_embeddings": 131072,
            },
        },
        # four norms of states, two of heads
        262208 * 2560 + _of_layers(2560, 10240, 34, 2048, 1024, 4 * 2560 + 2 * 256) + 2560
        + _siglip(64**2) + 1152 * 2560 + 1152,
        tokens=16**2,
        patches=64**2,
        pixels=3 * 896**2,
    ),
    Case(
        "SmolVLM-256M",
        {
            "model_type": "smolvlm", "image_token_id": 49190, "scale_factor": 4, "tie_word_embeddings": False,
            "vision_config": {
                "model_type": "smolvlm_vision", "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                "num_attention_heads": 12, "patch_size": 16, "image_size": 512,
            },
            "text_config": {
                "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
                "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "vocab_size": 49280,
                "max_position_embeddings": 8192,
            },
        },
        2 * 49280 * 576 + _of_layers(576, 1536, 30, 576, 192, 2 * 576) + 576
        + (3 * 16 * 16 + 1) * 768 + 32**2 * 768 + _of_tower(768, 3072, 12) + 2 * 768
        + 16 * 768 * 576,  # the projector joins 4 x 4 patches
        # enlarged to 2,048 x 1,536: twelve squares and the whole, of 32 x 32 patches
        tokens=13 * 8**2,
        patches=13 * 32**2,
        pixels=13 * 3 * 512**2,
        longest=2048,
    ),
    Case(
        "Idefics3-8B",
        {
            "model_type": "idefics3", "image_token_id": 128257, "scale_factor": 2, "tie_word_embeddings": False,
            "vision_config": {
                "model_type": "idefics3_vision", "hidden_size": 1152, "intermediate_size": 4304,
                "num_hidden_layers": 27, "num_attention_heads": 16, "patch_size": 14, "image_size": 364,
            },
            "text_config": {
                "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128259,
                "max_position_embeddings": 131072,
            },
        },
        2 * 128259 * 4096 + _of_layers(4096, 14336, 32, 4096, 1024, 2 * 4096) + 4096
        + _siglip(26**2) + 4 * 1152 * 4096,
        # enlarged to 1,456 x 1,092: twelve squares and the whole, of 26 x 26 patches
        tokens=13 * 13**2,
        patches=13 * 26**2,
        pixels=13 * 3 * 364**2,
        longest=1456,
    ),
    Case(
        "PaliGemma-3B-224",
        {
            "model_type": "paligemma", "image_token_index": 257152, "projection_dim": 2048,
            "vision_config": {**_SIGLIP, "image_size": 224, "projection_dim": 2048},
            "text_config": {
                "model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18,
                "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 257216,
                "max_position_embeddings": 8192,
            },
        },
        257216 * 2048 + _of_layers(2048, 16384, 18, 2048, 256, 2 * 2048) + 2048
        + _siglip(16**2) + 1152 * 2048 + 2048,
        tokens=16**2,
        patches=16**2,
        pixels=3 * 224**2,
    ),
    Case(
        "PaliGemma2-3B-896",
        {
            "model_type": "paligemma", "image_token_index": 257152, "projection_dim": 2304,
            "vision_config": {**_SIGLIP, "image_size": 896, "projection_dim": 2304},
            "text_config": {
                "model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
                "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 257216,
                "sliding_window": 4096, "query_pre_attn_scalar": 256, "max_position_embeddings": 8192,
            },
        },
        257216 * 2304 + _of_layers(2304, 9216, 26, 2048, 1024, 4 * 2304) + 2304
        + _siglip(64**2) + 1152 * 2304 + 2304,
        tokens=64**2,
        patches=64**2,
        pixels=3 * 896**2,
        attention="eager",  # transformers' Gemma 2 has no other kernel for it
    ),
)  # fmt: skip


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; all where none is given")
    parser.add_argument("--out", type=Path, help="write the figures there, a line for each model")
    arguments = parser.parse_args()
    lines = []
    for case in CASES:
        if not arguments.names or case.name in arguments.names:
            found = measure(case)
            lines.append(json.dumps(found))
            print(_line(case, found), flush=True)
    if arguments.out is not None:
        arguments.out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def measure(case: Case) -> dict[str, Any]:
    """What ftc counts, estimates and traces of a model, in bytes."""
    facts = _facts(case)
    assert facts.vision is not None
    length = max(_TOKENS, case.tokens + 512)
    settled = {"precision": "bfloat16", "packing": False, "micro_batch": 1, "batch_size": 8}
    settled |= {"activation_checkpointing": True, "loss_chunk_size": 1024}
    draft = draft_of(
        facts=facts,
        device=_H200,
        task={"kind": "generation"},
        train=settled,
        model={"base": "models/tiny", "attention": case.attention},
        strategy={"kind": "lora", "targets": ["k_proj", "o_proj", "q_proj", "v_proj"]},
        data={"source": {"path": "data/rows.jsonl"}, "max_length": length},
    )
    counts = {name: 100 if name == "train" else 1 for name in draft.splits}
    splits = {name: split_report(rows, length_max=length, supervised_max=_ANSWER) for name, rows in counts.items()}
    sizes = {
        name: ImageSizes(np.arange(rows), np.full(rows, _WIDTH), np.full(rows, _HEIGHT))
        for name, rows in counts.items()
    }
    pictures = images_of_splits(sizes, facts.vision, splits)
    draft = decided(replace(draft, splits=splits, row_images=pictures, platform="linux_x86_64"))
    form, found = by_closed_form(draft), by_trace(draft, trace(question(draft)))
    images = [phase for phase in found.phases if phase.phase in ("forward: images", "forward: image layers")]
    traced = {phase.phase: phase.peak_bytes for phase in found.phases}
    weights = max(phase.components.get("weights", 0) for phase in found.phases)
    return {
        "name": case.name,
        "model_type": case.config["model_type"],
        "parameters": facts.num_parameters,
        "tokens": facts.vision.shape(_WIDTH, _HEIGHT).tokens,
        "length": length,
        "weights": weights,
        "training": max(size for name, size in traced.items() if name.startswith(("forward", "backward"))),
        "tower": max(map(_in_passing, images)),
        "estimated_tower": next(_in_passing(phase) for phase in form.phases if phase.phase == "forward: images"),
        "traced": found.allocated_bytes,
        "estimated": form.allocated_bytes,
    }


def by_hand(case: Case) -> dict[str, float]:
    """The same figures by arithmetic: weights in 16 bits, inputs of layers, the rest of which is recomputed, scores.

    What one layer makes on its way comes on top.
    """
    text, tower = case.config.get("text_config", case.config), case.config["vision_config"]
    embeddings = 2 * max(_TOKENS, case.tokens + 512) * text["hidden_size"]
    inputs = text["num_hidden_layers"] * embeddings
    width = tower.get("embed_dim", tower["hidden_size"])
    inner, halves = tower.get("intermediate_size", 4 * width), 3 if case.config["model_type"] == "qwen2_5_vl" else 2
    is_eager, length = case.attention == "eager", max(_TOKENS, case.tokens + 512)
    scores = 10 * tower["num_attention_heads"] * case.patches**2 if is_eager else 0
    attended = 10 * text["num_attention_heads"] * length**2 if is_eager else 0
    return {
        "parameters": case.parameters,
        "tokens": case.tokens,
        "weights": 2 * case.parameters,
        # scores, their logarithms and gradients in 32 bits, or those of a layer's attention where they are held
        "training": 2 * case.parameters + inputs + max(12 * _ANSWER * text["vocab_size"], attended),
        # The text's embeddings; pixels in 32 bits and in 16; what goes into a layer and its norm; and what stands
        # between the halves of its feed-forward part, or the scores of attention.
        "tower": embeddings
        + 6 * case.pixels
        + 2 * case.patches * 2 * width
        + max(2 * case.patches * halves * inner, scores),
    }


def _in_passing(phase: PhasePeak) -> int:
    """What a phase holds beside what stands throughout a step."""
    throughout = ("weights", "adapter", "optimiser state", "gradients", "workspace")
    return phase.peak_bytes - sum(phase.components.get(part, 0) for part in throughout)


def _facts(case: Case) -> ModelFacts:
    """What a plan would know of a model with this configuration."""
    import transformers as t

    read = read_config({**case.config, "architectures": ["BenchmarkForConditionalGeneration"]})
    vision = read.vision
    assert vision is not None
    if case.longest is not None:
        assert vision.squares is not None
        vision = vision.model_copy(update={"squares": vision.squares.model_copy(update={"longest": case.longest})})
    with torch.device("meta"):
        model = t.AutoModelForImageTextToText.from_config(model_config(vision.config))
    tensors = {name: TensorFacts(dtype="BF16", shape=tuple(one.shape)) for name, one in model.named_parameters()}
    return model_facts(
        config=dict(vision.config["text_config"]),
        model_type=read.model_type,
        family=read.family,
        hidden_size=read.hidden_size,
        intermediate_size=read.intermediate_size,
        num_layers=read.num_layers,
        num_heads=read.num_heads,
        num_kv_heads=read.num_kv_heads,
        head_dim=read.head_dim,
        vocab_size=read.vocab_size,
        tied_embeddings="lm_head.weight" not in tensors,
        tensors=tensors,
        linear_modules=linear_modules(without_vision(tensors, vision), read.model_type),
        vision=vision,
    )


def _line(case: Case, found: dict[str, Any]) -> str:
    hand = by_hand(case)
    assert (found["parameters"], found["tokens"]) == (case.parameters, case.tokens), (found, case)
    return (
        f"{case.name:20} {case.parameters / 1e9:6.2f} B, {case.tokens:5,} tokens an image | "
        f"weights {found['weights'] / _GIB:6.2f} GiB, by hand {hand['weights'] / _GIB:6.2f} | "
        f"training {found['training'] / _GIB:6.2f} GiB, by hand {hand['training'] / _GIB:6.2f} | "
        f"tower {found['tower'] / _GIB:6.3f} GiB, by hand {hand['tower'] / _GIB:6.3f}, "
        f"formula {found['estimated_tower'] / _GIB:6.3f} | "
        f"formula in all {found['estimated'] / found['traced'] - 1:+.1%}"
    )


if __name__ == "__main__":
    main()
