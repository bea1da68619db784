"""What makes a folder one that sentence-transformers loads: how states are pooled, and what stands before texts.

The files are those that releases 2 to 6 of sentence-transformers read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftc.spec.documents.settings import Settings

__all__ = ["write_sentence_files"]

_MODULES = "sentence_transformers.models"
_POOLING = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "last": "pooling_mode_lasttoken"}


def write_sentence_files(settings: Settings, config: Any, folder: Path) -> None:
    """Writes `modules.json` and what it names; nothing for a model whose states are not pooled.

    Args:
        settings: The plan's.
        config: The model's, which names the components of a vector; of other models it need not.
        folder: Where the model, or its adapter, lies.
    """
    vectors = settings.train.embedding
    if vectors is None:
        return
    parts = ["", "1_Pooling", *(["2_Normalize"] if vectors.normalize else [])]
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"{_MODULES}.{kind}"}
        for number, (path, kind) in enumerate(zip(parts, kinds, strict=False))
    ]
    for path in parts[1:]:
        (folder / path).mkdir()
    _write(folder / "modules.json", modules)
    modes = {key: mode == vectors.pooling for mode, key in _POOLING.items()}
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": int(config.hidden_size), **modes})
    if vectors.normalize:
        _write(folder / "2_Normalize" / "config.json", {})
    _write(folder / "sentence_bert_config.json", {"max_seq_length": settings.text.max_length, "do_lower_case": False})
    passage = vectors.query_prefix if vectors.card.needs_score else vectors.passage_prefix
    _write(
        folder / "config_sentence_transformers.json",
        {
            "prompts": {"query": vectors.query_prefix, "document": passage},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
