"""What the catalog of base models says of each: the columns of `ftc.spec.base_models`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CONFIG_JSON", "ENCODER_CARD", "KERAS_HUB", "LITGPT", "LITGPT_CONTEXT", "BaseModel", "family"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """One model. Sizes are as in `ModelFacts`.

    Attributes:
        name: Its id on the hub.
        model_type: `model_type` of its config.json.
        max_positions: Longest sequence in tokens, as its configuration says it.
        tied: Whether the output layer shares the input embedding's weights.
        license: SPDX-like id from its card.
        languages: Some of the languages that its card or its makers' report names, by their two letters; empty where
            unknown.
        gated: Whether the hub asks for consent before a download; None where unknown.
        released: Year, or year and month, in which it was published; None where unknown.
        source: What its sizes were compared with.
    """

    name: str
    model_type: str
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    max_positions: int
    tied: bool
    license: str
    languages: tuple[str, ...]
    gated: bool | None
    released: str | None
    source: str


LITGPT = "litgpt/config.py of Lightning-AI/litgpt at 26857050"
LITGPT_CONTEXT = f"{LITGPT}; context: the model's card or configuration, since litgpt has another"
KERAS_HUB = "layers and parameters in the presets of keras-team/keras-hub, keras_hub/src/models, on 2026-11-28"
ENCODER_CARD = "the model's card; vocabulary: that of RoBERTa, whose tokenizer it has"
CONFIG_JSON = "the model's config.json"
Row = tuple[str, int, int, int, int, int, int, int, int]
"""Name, hidden size, layers, heads, key-value heads, head width, feed-forward width, vocabulary, positions."""


def family(
    model_type: str,
    license: str,
    released: str | None,
    languages: str,
    *,
    rows: tuple[Row, ...],
    tied: bool = False,
    gated: bool | None = False,
    source: str = LITGPT,
) -> tuple[BaseModel, ...]:
    """Models that share all but their sizes; `languages` are words with blanks between them."""
    return tuple(
        BaseModel(
            name=name,
            model_type=model_type,
            hidden_size=hidden_size,
            num_layers=num_layers,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            intermediate_size=intermediate_size,
            vocab_size=vocab_size,
            max_positions=max_positions,
            tied=tied,
            license=license,
            languages=tuple(languages.split()),
            gated=gated,
            released=released,
            source=source,
        )
        for (
            name,
            hidden_size,
            num_layers,
            num_heads,
            num_kv_heads,
            head_dim,
            intermediate_size,
            vocab_size,
            max_positions,
        ) in rows
    )
