"""What each strategy does to a loaded model: the half of its card that needs torch, in a file of the same name."""

from __future__ import annotations

from typing import Any

from ftc.runtime.strategies.bottleneck import OfBottleneck
from ftc.runtime.strategies.full import OfBitFit, OfChosen
from ftc.runtime.strategies.half import Half
from ftc.runtime.strategies.ia3 import OfIa3
from ftc.runtime.strategies.ln_tuning import OfLnTuning
from ftc.runtime.strategies.lora import OfLora
from ftc.runtime.strategies.on_linear import OfLinear
from ftc.runtime.strategies.qlora import OfQLora
from ftc.runtime.strategies.virtual_tokens import OfVirtualTokens
from ftc.spec.strategies import StrategySettings
from ftc.spec.strategies.bitfit import BitFitSettings
from ftc.spec.strategies.bottleneck import BottleneckSettings
from ftc.spec.strategies.chosen import ChosenSettings
from ftc.spec.strategies.ia3 import Ia3Settings
from ftc.spec.strategies.ln_tuning import LnTuningSettings
from ftc.spec.strategies.lora import LoraSettings
from ftc.spec.strategies.on_linear import OnLinearSettings
from ftc.spec.strategies.qlora import QLoraSettings
from ftc.spec.strategies.virtual_tokens import VirtualSettings

__all__ = ["HALVES", "half_of"]

HALVES: tuple[tuple[type[StrategySettings], Half[Any]], ...] = (
    (ChosenSettings, OfChosen()),
    (BitFitSettings, OfBitFit()),
    (LoraSettings, OfLora()),
    (QLoraSettings, OfQLora()),
    (LnTuningSettings, OfLnTuning()),
    (Ia3Settings, OfIa3()),
    (BottleneckSettings, OfBottleneck()),
    (VirtualSettings, OfVirtualTokens()),
    (OnLinearSettings, OfLinear()),
)
"""Settled strategies, or families of them, and who carries them out."""


def half_of(strategy: StrategySettings) -> Half[Any]:
    """Who carries a strategy out."""
    return next(half for settings, half in HALVES if isinstance(strategy, settings))
