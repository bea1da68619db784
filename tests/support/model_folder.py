"""A tiny model folder written without any framework: real files with made-up weights."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["CONFIG", "SHAPES", "TOKENIZER", "TOKENIZER_CONFIG", "model_files", "safetensors_bytes", "write_model"]

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "vocab_size": 6,
}
TOKENIZER: dict[str, Any] = {
    "version": "1.0",
    "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "c": 2, "<s>": 3}, "unk_token": "a"},
    "added_tokens": [{"id": 4, "content": "</s>", "special": True}, {"id": 5, "content": "<pad>", "special": True}],
}
TOKENIZER_CONFIG: dict[str, Any] = {
    "bos_token": "<s>",
    "eos_token": {"content": "</s>"},
    "model_max_length": 10**30,
    "chat_template": "{{ messages[0].content }}",
}
SHAPES: dict[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (6, 8),
    "model.layers.0.self_attn.q_proj.weight": (8, 8),
    "model.layers.0.self_attn.k_proj.weight": (4, 8),
    "model.layers.0.mlp.down_proj.weight": (8, 16),
    "model.layers.0.input_layernorm.weight": (8,),
    "lm_head.weight": (6, 8),
}


def safetensors_bytes(shapes: Mapping[str, tuple[int, ...]], metadata: dict[str, str] | None = None) -> bytes:
    """A whole safetensors file of zeros in F32."""
    header: dict[str, Any] = {"__metadata__": metadata or {"format": "pt"}}
    position = 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(position)


def model_files() -> dict[str, bytes]:
    """The files of a whole model by name."""
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "generation_config.json": b"{}",
        "model.safetensors": safetensors_bytes(SHAPES),
        "tokenizer.json": json.dumps(TOKENIZER).encode(),
        "tokenizer_config.json": json.dumps(TOKENIZER_CONFIG).encode(),
        "README.md": b"---\nlanguage: en\nlicense: apache-2.0\n---\n# Tiny\n",
    }


def write_model(folder: Path, **config: Any) -> Path:
    """Writes the model, with keys of config.json replaced or, where None, taken away; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in model_files().items():
        (folder / name).write_bytes(content)
    changed = {key: value for key, value in {**CONFIG, **config}.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(changed), encoding="utf-8")
    return folder
