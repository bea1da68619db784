"""Which linear layers of a model adapters may target, from the stored tensors alone.

The rule: a two-dimensional `*.weight` that is no embedding, no norm, and lies in no head or pooler. Names stay as they
are stored. A task model may put the backbone under a prefix or take one away (`encoder.layer.0...` in the file of a
`BertModel` is `bert.encoder.layer.0...` in a classifier), so a stored name and a loaded one mean the same module
when they are equal or when one ends with a dot and the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ftc.spec.architectures import architecture
from ftc.spec.documents.facts import TensorFacts
from ftc.spec.module_names import head_parts

__all__ = ["input_embedding", "linear_modules", "output_head"]

# Last part of the name of a module that looks numbers up instead of multiplying.
_EMBEDDING = re.compile(r"(embed|embedding|embeddings|embed_\w+|\w+_embed|\w+_embeddings?|wte|wpe|shared|\w+_bias)")
_INPUT_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "shared", "embed_in", "tok_embeddings")
_OUTPUT_HEADS = ("lm_head", "embed_out", "output_projection", "cls.predictions.decoder", "vocab_projector")


def linear_modules(tensors: Mapping[str, TensorFacts], model_type: str) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of each linear layer of the backbone, by the name under which it is stored."""
    found, transposed = {}, architecture(model_type).transposed
    for name in sorted(tensors):
        module, _, last = name.rpartition(".")
        shape = tensors[name].shape
        if last == "weight" and len(shape) == 2 and _is_backbone_linear(module):
            inputs, outputs = shape if transposed else reversed(shape)
            found[module] = (inputs, outputs)
    return found


def input_embedding(tensors: Mapping[str, TensorFacts]) -> TensorFacts | None:
    """The table that turns token ids into vectors, or None where no name is known for it."""
    return next(
        (
            tensors[name]
            for table in _INPUT_EMBEDDINGS
            for name in sorted(tensors)
            if name == f"{table}.weight" or name.endswith(f".{table}.weight")
        ),
        None,
    )


def output_head(tensors: Mapping[str, TensorFacts]) -> TensorFacts | None:
    """The stored layer that turns vectors into logits over the vocabulary, or None where none is stored."""
    return next((tensors[f"{name}.weight"] for name in _OUTPUT_HEADS if f"{name}.weight" in tensors), None)


def _is_backbone_linear(module: str) -> bool:
    return not _EMBEDDING.fullmatch(module.rpartition(".")[2]) and not head_parts(module)
