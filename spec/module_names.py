"""What the modules of a transformer are for, told by their names: one table for plans and for runs.

A name's longest known end decides, in whole parts: in BERT, `attention.output.dense` closes attention and
`output.dense` the feed-forward layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

__all__ = [
    "ModelPart",
    "Part",
    "Role",
    "depths_of",
    "embedding_part",
    "head_parts",
    "layer_name",
    "part_of",
    "role_of",
    "scores_words",
]

ModelPart = Literal["vision_tower", "projector", "language_model"]
"""Parts of a model that reads images."""
Role = Literal["keys_values", "attention_out", "feed_forward_out"]

_ENDS: dict[Role, tuple[str, ...]] = {
    "keys_values": (
        *("k_proj", "v_proj", "key", "value", "k", "v", "k_lin", "v_lin"),
        *("query_key_value", "qkv_proj", "c_attn", "Wqkv", "qkv"),
    ),
    "attention_out": (
        *("o_proj", "out_proj", "out_lin", "SelfAttention.o", "EncDecAttention.o", "attention.output.dense"),
        *("attn.c_proj", "self_attention.dense", "self_attn.dense", "attention.dense", "attn.Wo"),
    ),
    "feed_forward_out": ("down_proj", "fc2", "output.dense", "wo", "lin2", "mlp.c_proj", "dense_4h_to_h", "mlp.Wo"),
}
_ROLES: dict[str, Role] = {end: role for role, ends in _ENDS.items() for end in ends}
# Any part of the name that marks a layer outside the backbone.
_HEADS = re.compile(
    r"(lm_head|embed_out|output_projection|score|classifier|classification_head|pre_classifier|qa_outputs|pooler|cls"
    r"|vocab_transform|vocab_projector|vocab_layer_norm|generator_predictions|generator_lm_head"
    r"|discriminator_predictions|predictions"
    r"|final_logits_bias|v_head|summary|head)"
)
_WORD_HEADS = frozenset(
    ("predictions", "lm_head", "vocab_transform", "vocab_projector", "vocab_layer_norm", "generator_predictions")
    + ("generator_lm_head", "head", "decoder", "lm_predictions", "pred_layer")
)
"""Parts of names of such layers, by the classes of transformers that end in `ForMaskedLM`."""
_LAYER = re.compile(r"(?:^|(.*?)\.)((?:layers|layer|h|block|blocks)\.(\d+)\..*)")
_EMBEDDING = re.compile(r"embed\w*|\w+_embed|\w*embeddings?|wte|wpe|shared|\w+_embeddings?_\w+|layernorm_embedding")


@lru_cache(maxsize=2**16)
def role_of(module: str) -> Role | None:
    """What a linear layer does, as far as adapters care; None for all others."""
    parts = module.split(".")
    ends = (".".join(parts[start:]) for start in range(len(parts)))
    return next((_ROLES[end] for end in ends if end in _ROLES), None)


class Part(NamedTuple):
    """Where a weight lies between the model's two ends."""

    kind: Literal["embeddings", "layer", "output"]
    stack: str = ""
    """What layers are counted in: an encoder's and a decoder's are two stacks."""
    layer: int = 0


def part_of(tensor: str) -> Part:
    """Where a weight lies, by its name; `output` is all that follows the layers, such as the last norm and the head."""
    if found := _LAYER.match(tensor):
        return Part("layer", found[1] or "", int(found[3]))
    return Part("embeddings" if embedding_part(tensor) else "output")


def embedding_part(tensor: str) -> str | None:
    """The part of a weight's name that marks embeddings, such as `embed_tokens`; None where none does."""
    return next((part for part in tensor.split(".")[:-1] if _EMBEDDING.fullmatch(part)), None)


def depths_of(names: Iterable[str]) -> dict[str, int]:
    """Layers of each stack, by what its names begin with."""
    found: dict[str, int] = {}
    for name in names:
        part = part_of(name)
        if part.kind == "layer":
            found[part.stack] = max(found.get(part.stack, 0), part.layer + 1)
    return found


def layer_name(module: str) -> str:
    """A module's name from the word for its layer on, such as `layers.0.mlp.up_proj`; all of it outside of layers."""
    found = _LAYER.match(module)
    return found[2] if found else module


def scores_words(name: str) -> bool:
    """Whether a weight lies in the layers of an encoder that score words in the place of masked ones."""
    return not _WORD_HEADS.isdisjoint(name.split("."))


def head_parts(name: str) -> list[str]:
    """Parts of a name that mark something outside the backbone."""
    return [part for part in name.split(".") if _HEADS.fullmatch(part)]
