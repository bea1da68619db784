"""How the weights of a model are changed: one file for each strategy or family of them; `card` says what each tells."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ftc.spec.strategies.bitfit import BITFIT
from ftc.spec.strategies.bottleneck import BOTTLENECK
from ftc.spec.strategies.card import Base, Beside, Card, Strategy, StrategySettings, Trained
from ftc.spec.strategies.full import FULL
from ftc.spec.strategies.ia3 import IA3
from ftc.spec.strategies.ln_tuning import LN_TUNING
from ftc.spec.strategies.loha import LOHA
from ftc.spec.strategies.lokr import LOKR
from ftc.spec.strategies.lora import LORA
from ftc.spec.strategies.oft import OFT
from ftc.spec.strategies.partial import PARTIAL
from ftc.spec.strategies.qlora import QLORA
from ftc.spec.strategies.randlora import RANDLORA
from ftc.spec.strategies.vera import VERA
from ftc.spec.strategies.virtual_tokens import P_TUNING, PREFIX_TUNING, PROMPT_TUNING

__all__ = [
    "STRATEGIES",
    "AnySettings",
    "AnyStrategy",
    "Base",
    "Beside",
    "Card",
    "Strategy",
    "StrategySettings",
    "Trained",
    "strategy_card",
]

STRATEGIES: tuple[Card, ...] = (
    FULL,
    LORA,
    QLORA,
    PARTIAL,
    BITFIT,
    LN_TUNING,
    IA3,
    BOTTLENECK,
    PROMPT_TUNING,
    P_TUNING,
    PREFIX_TUNING,
    VERA,
    OFT,
    LOHA,
    LOKR,
    RANDLORA,
)
"""Every strategy that there is."""

if TYPE_CHECKING:
    AnyStrategy = Strategy
    AnySettings = StrategySettings
else:
    AnyStrategy = Annotated[reduce(or_, (card.recipe for card in STRATEGIES)), Field(discriminator="kind")]
    """Any strategy of a recipe, told apart by `kind`."""
    AnySettings = Annotated[reduce(or_, (card.settings for card in STRATEGIES)), Field(discriminator="kind")]
    """Any settled strategy."""

_BY_KIND = {card.kind: card for card in STRATEGIES}


def strategy_card(strategy: Strategy | StrategySettings) -> Card:
    """The facts about a strategy."""
    return _BY_KIND[strategy.kind]
