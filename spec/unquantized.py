"""Which modules stay as they are where a run's linear layers are quantized."""

from __future__ import annotations

from ftc.spec.documents.settings import Settings

__all__ = ["unquantized"]


def unquantized(settings: Settings) -> tuple[str, ...]:
    """Names of modules for transformers' `llm_int8_skip_modules`; none where its own choice, the output layer, stands.

    Quantized weights can't be trained, so a new head is left out. Of a model that reads images only the language
    model's layers are quantized: a tower has few weights, and loses more by it.
    """
    vision = settings.model.vision
    return (*settings.strategy.traits.new_modules, *(vision.unquantized if vision else ()))
