"""LoRA: low-rank adapters beside frozen linear layers."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false
# mypy judges these: pyright widens what `Choices.take` hands through, and takes the base's `kind` for a method.

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from ftc.spec.base import Real, SparseDocument
from ftc.spec.strategies.adapter_settings import AdapterSettings, LoraInit, lies_in, token_tables
from ftc.spec.strategies.card import (
    Base,
    Card,
    Choices,
    PeftMethod,
    Problem,
    Quantized,
    Settled,
    StrategySettings,
    Trained,
    Traits,
    UsualRate,
)
from ftc.spec.strategies.common import Simple, choose_targets, low_rank, targeted
from ftc.spec.strategies.on_experts import AskedExperts, beside_experts, choose_parameters, excluded_by_experts
from ftc.spec.strategies.patterns import LowRankPattern, ModuleName, by_kind_or_pattern, misnamed
from ftc.spec.strategies.whole_modules import misplaced

if TYPE_CHECKING:
    from ftc.spec.documents.facts import ModelFacts

__all__ = [
    "LORA",
    "OF_THE_WEIGHT",
    "RATE",
    "AdapterSettings",
    "Lora",
    "LoraInit",
    "LoraSettings",
    "LowRank",
    "LowRankSettings",
]

OF_THE_WEIGHT = ("olora", "pissa")
"""Beginnings that take directions out of the frozen weight, which has to be there whole."""


class LowRank(Simple):
    """What LoRA and QLoRA have in common."""

    model_config = ConfigDict(populate_by_name=True, loc_by_alias=False)  # documents keep the old names of two keys

    UNITS: ClassVar[dict[str, str]] = {
        "rank": "dimensions",
        "alpha": "a pure number",
        "dropout": "share of the inputs",
        "loraplus_lr_ratio": "a pure number",
    }
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {
        "rank": (8, 16, 64),
        "alpha": ("auto", 32),
        "dropout": (0.05,),
        "targets": ("all-linear", ("q_proj", "v_proj")),
        "target_parameters": ("all-experts", ("7.mlp.experts.down_proj",)),
        "ranks": ({"down_proj": 32},),
        "alphas": ({"down_proj": 64},),
        "patterns": (({"layers": [0, 1], "rank": 4},),),
        "loraplus_lr_ratio": (1, 16),
        "modules_to_save": (("embed_tokens", "lm_head"), ("norm",)),
    }

    rank: int = Field(default=16, ge=1, le=4096)
    """Rank of the update. More rank learns more and costs memory in proportion. Default: 16, enough for most single
    tasks."""
    alpha: Literal["auto"] | Annotated[int, Field(ge=1, le=65536)] = "auto"
    """Scale of the update: it is multiplied by alpha / rank. Default `auto`: twice the rank."""
    dropout: Real = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs that is dropped in training. Default: 0, which is fastest; try 0.05 on few rows."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Linear layers that get an adapter: names of modules such as `[q_proj, v_proj]`; of `lora` also `[]`, beside
    `target_parameters`. Default: all but the output layer, which comes closest to full training."""
    ranks: dict[str, Annotated[int, Field(ge=1, le=4096)]] = Field(default={})
    """Ranks of single kinds of modules, such as `{down_proj: 32}`. Default: none, so that all have `rank`."""
    alphas: dict[str, Annotated[int, Field(ge=1, le=65536)]] = Field(default={})
    """Alphas of single kinds of modules, such as `{down_proj: 64}`. Default: none, so that all have `alpha`."""
    patterns: tuple[LowRankPattern, ...] = Field(default=(), max_length=200)
    """Ranks and alphas by layer, or by longer names, such as `[{layers: [0, 1], rank: 4}]`. The first pattern that fits
    a module and has a rank decides it, before `ranks`; alpha likewise. Default: none, so that all layers are equal."""
    rank_stabilized: bool = False
    """Multiply by alpha / sqrt(rank) instead of alpha / rank (rsLoRA, Kalajdzievski 2023), which keeps large ranks
    learning. Default: no, since at usual ranks alpha does the same."""
    dora: bool = False
    """Learn each weight's length beside its direction (DoRA, Liu et al. 2024). Default: no; it helps most at small
    ranks, and takes more time and memory."""
    loraplus_lr_ratio: Real = Field(default=1.0, ge=1, le=100, alias="b_rate_ratio")
    """Learning rate of the adapter's second matrix, B, by that of its first (LoRA+, Hayou et al. 2024). Default: 1, one
    rate for both; the paper uses 16."""
    modules_to_save: tuple[ModuleName, ...] = Field(default=(), alias="also_train")
    """Modules beside the adapter that are trained whole and saved with it, such as `[embed_tokens, lm_head]` for new
    words, unless the model ties the two. Default: none; a new head is trained in any case."""

    @property
    @abstractmethod
    def begins_with(self) -> LoraInit:
        """What the adapter begins with."""

    def conflicts(self) -> Iterator[Problem]:
        """Something is adapted; each pattern tells something, and of some modules alone."""
        if not self.targets and not self.of_experts:
            yield Problem("FTC224", "no layer gets an adapter", "targets", "remove `targets`, or name modules")
        for position, pattern in enumerate(self.patterns):
            if pattern.rank is None and pattern.alpha is None:
                summary, help = "a pattern without rank or alpha has no effect", "set `rank`, `alpha`, or both"
            elif pattern.modules == "all" and pattern.layers == "all":
                summary = "a pattern of all modules in all layers"
                help = "write `rank` and `alpha` in `strategy` instead"
            else:
                continue
            yield Problem("FTC230", summary, f"patterns[{position}]", help)

    def second_rate_ratio(self) -> float:
        """LoRA+'s."""
        return self.loraplus_lr_ratio

    def settle_adapter(self, chosen: Choices, base: Base, *, packs: bool) -> AdapterSettings:
        """Decides everything about the adapter itself.

        Args:
            chosen: Takes the reasons.
            base: The base model.
            packs: Whether its linear layers are quantized.
        """
        at = "adapter."
        rank = chosen.take(f"{at}rank", self.rank, "rank")
        dropout = chosen.take(f"{at}dropout", self.dropout, "dropout")
        is_stabilized = chosen.take(f"{at}rank_stabilized", self.rank_stabilized, "rank_stabilized")
        dora = chosen.take(f"{at}dora", self.dora, "dora")
        init = chosen.take(f"{at}init", self.begins_with, "init")
        if self.alpha == "auto":
            alpha = chosen.derive(f"{at}alpha", 2 * self.rank, "twice the rank")
        else:
            alpha = chosen.take(f"{at}alpha", self.alpha, "alpha")
        targets = choose_targets(chosen, self.targets, f"{at}targets", base.model)
        adapted, parameters = targeted(base.model, targets), dict[str, Any]()
        num_modules = len(adapted)
        if self.of_experts:
            parameters, found = choose_parameters(chosen, self.of_experts, at, base.model)
            adapted = {**adapted, **found}
        chosen.problems.extend(misnamed(self, adapted))
        ranks, alphas = self._own_values(chosen, adapted)
        num_modules = chosen.derive(f"{at}num_modules", num_modules, "modules that the targets match")
        trained_modules = chosen.head(f"{at}trained_modules", base)
        also_trained = chosen.take(f"{at}also_trained", self.modules_to_save, "modules_to_save")
        token_ids = self._token_rows(chosen, f"{at}token_ids", base)
        chosen.problems.extend(misplaced(self.modules_to_save, base, adapted, packs=packs))
        return AdapterSettings(
            rank=rank,
            alpha=alpha,
            dropout=dropout,
            targets=targets,
            num_modules=num_modules,
            trained_modules=trained_modules,
            also_trained=also_trained,
            token_ids=token_ids,
            **parameters,
            ranks=ranks,
            alphas=alphas,
            rank_stabilized=is_stabilized,
            dora=dora,
            init=init,
        )

    def _token_rows(self, chosen: Choices, path: str, base: Base) -> tuple[int, ...]:
        """Added tokens whose rows are trained by themselves, where no module that is trained whole holds them."""
        own, model = base.model.tokenizer.own, base.model
        if own is None or not own.tokens:
            return ()
        alone = token_tables(base, self.modules_to_save)
        if model.family == "encoder_decoder" or any(f"{table}.bias" in model.tensors for table in alone):
            what = "an encoder-decoder" if model.family == "encoder_decoder" else "an output layer with a bias"
            summary = f"`{self.kind}` can't train the rows of added tokens in {what}"
            chosen.problems.append(Problem("FTC474", summary, "kind", "write `kind: full`"))
        if not alone:
            return ()
        words = "rows of added tokens, which begin without a meaning"
        return chosen.derive(path, tuple(one.id for one in own.tokens), words)

    def _own_values(
        self, chosen: Choices, adapted: dict[str, tuple[int, int]]
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Ranks and alphas of single modules."""
        if not self.patterns:
            return chosen.take("adapter.ranks", self.ranks, "ranks"), chosen.take(
                "adapter.alphas", self.alphas, "alphas"
            )
        words = "`patterns` before `{}`, by the ends of modules' names"
        ranks = by_kind_or_pattern("rank", self, self.ranks, adapted)
        alphas = by_kind_or_pattern("alpha", self, self.alphas, adapted)
        return (
            chosen.derive("adapter.ranks", ranks, words.format("ranks")),
            chosen.derive("adapter.alphas", alphas, words.format("alphas")),
        )


class Lora(LowRank, SparseDocument):
    """Low-rank adapters beside frozen weights (Hu et al. 2021)."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("target_parameters",)

    kind: Literal["lora"]
    init: LoraInit = "default"
    """What the adapter begins with. `default`: random and zero, so that it adds nothing yet; `gaussian`: the same with
    normally distributed numbers; `orthogonal`: two parts that cancel out; `olora` and `pissa`: the weight's own main
    directions, which leave the frozen weight (Büyükakyüz 2024, Meng et al. 2024). Default: `default`, the only one that
    costs no time."""

    target_parameters: Literal["all-experts"] | Annotated[tuple[ModuleName, ...], Field(max_length=1000)] = ()
    """Tensors of a mixture's experts that get an adapter beside `targets`: `all-experts`, or ends of their names as in
    peft, such as `[7.mlp.experts.down_proj]` of one layer. Each layer's experts are there once more in a step. Default:
    none, so that experts stay frozen, because they are most of the model."""

    @property
    def begins_with(self) -> LoraInit:
        """What the adapter begins with."""
        return self.init

    @property
    def of_experts(self) -> AskedExperts:
        """Those of its key."""
        return self.target_parameters

    def conflicts(self) -> Iterator[Problem]:
        """Nothing is asked of experts that only linear layers can do."""
        if self.target_parameters:
            yield from excluded_by_experts(self.dropout, self.dora, self.init)
        yield from super().conflicts()

    def settle(self, base: Base) -> Settled:
        """Decides everything about the adapter."""
        chosen = Choices()
        kind = chosen.take("kind", self.kind)
        settings = LoraSettings(
            kind=kind, adapter=self.settle_adapter(chosen, base, packs=base.model.packed is not None)
        )
        return Settled(settings, chosen.reasons, tuple(chosen.problems), ())

    def smaller(self, model: ModelFacts) -> Iterator[Iterator[tuple[str, Any]]]:
        """The same beside weights of 4 bits, which experts can't have."""
        yield iter([("strategy.kind", "qlora")] if model.experts is None else [])


class LowRankSettings(StrategySettings):
    """What LoRA and QLoRA have in common once settled."""

    adapter: AdapterSettings

    @property
    @abstractmethod
    def quantized(self) -> Quantized | None:
        """How the frozen weights are packed."""

    @property
    def traits(self) -> Traits:
        """Those of the adapter."""
        one = self.adapter
        return Traits(
            num_virtual=0,
            new_modules=one.trained_modules,
            quantized=self.quantized,
            changes_base=one.init in OF_THE_WEIGHT,
            differs_by_layer=one.differs_by_layer,
            # The weight, the copy that peft adds to, the product and its scaled form; of DoRA also the sum whose rows
            # are measured, and that divided by them.
            merge_copies=6 if one.dora else 4,
            adapter=f"alpha {one.alpha}, dropout {one.dropout:g}",
            targets=(*one.targets, *one.target_parameters),
            of_experts=one.target_parameters,
            rank=one.rank,
        )

    def trained(self, base: Base) -> Trained:
        """Two matrices a layer, a length for each row where they are learned, and modules trained whole."""
        one, adapted = self.adapter, targeted(base.model, self.adapter.targets)
        tensors = base.model.tensors.items()
        whole = {name: t.num_elements for name, t in tensors if any(lies_in(name, end) for end in one.also_trained)}
        beside = {name: low_rank(one.rank_of(name), i, o, dora=one.dora) for name, (i, o) in adapted.items()}
        beside |= beside_experts(base.model, one.target_parameters, one.rank_of)
        matrices = sum(two.width * (two.inputs + two.outputs) + one.dora * two.outputs for two in beside.values())
        tables = token_tables(base, one.also_trained) if one.token_ids else ()
        widths = (base.model.tensors[f"{table}.weight"].shape[-1] for table in tables)
        size = matrices + sum(whole.values()) + len(one.token_ids) * sum(widths)
        return Trained(
            num_weights=size,
            num_saved=size,
            num_frozen=0,
            beside=beside,
            own=frozenset(),
            names=frozenset((*beside, *whole, *tables)),
            from_start=bool(tables),
            first_behind=False,
            last_layers=None,
            products=True,
            norms=False,
            dropout=one.dropout > 0,
        )

    def misfit(self, base: Base, task: str) -> Problem | None:
        """Any model can."""
        return None

    def no_lora_file(self) -> str | None:
        """What belongs to the adapter beside its two matrices, or to the base that it learned beside."""
        if self.quantized is not None:
            return "it learned beside 4-bit or 8-bit weights; beside full-precision weights the model answers otherwise"
        if self.adapter.init in OF_THE_WEIGHT:
            return "its first directions were taken out of the base's weights"
        return self.adapter.no_lora_file()

    def peft(self) -> PeftMethod:
        """LoRA's, beside whatever weights."""
        one = self.adapter
        arguments = {
            "r": one.rank,
            "lora_alpha": one.alpha,
            "lora_dropout": one.dropout,
            "rank_pattern": _longest_first(one.ranks),
            "alpha_pattern": _longest_first(one.alphas),
            "use_rslora": one.rank_stabilized,
            "use_dora": one.dora,
        }
        return PeftMethod("LoraConfig", arguments, "LoraLayer")


class LoraSettings(LowRankSettings):
    """An adapter beside frozen weights."""

    kind: Literal["lora"]

    @property
    def quantized(self) -> Quantized | None:
        """Not at all."""
        return None

    def needs_whole(self) -> str | None:
        """What measures the weight, or takes its directions."""
        return "dora" if self.adapter.dora else "init" if self.adapter.init in OF_THE_WEIGHT else None

    def unpacked(self) -> StrategySettings | None:
        """Nothing is packed."""
        return None

    def words(self) -> str:
        """In a few words."""
        return self.adapter.words(LORA.label)


def _longest_first(by_end: dict[str, int]) -> dict[str, int]:
    """In the order in which peft looks for the first that fits."""
    return dict(sorted(by_end.items(), key=lambda item: (-len(item[0]), item[0])))


RATE = UsualRate(2e-4, 1e-5, 1e-2, "QLoRA's (Dettmers et al. 2023)", 4096, 0.5, 0.85)

LORA = Card(
    kind="lora",
    recipe=Lora,
    settings=LoraSettings,
    label="LoRA",
    tag="lora",
    result="adapter",
    library="peft",
    rate=RATE,
    libraries=("peft",),
    marks=("lora_", "trainable_tokens_"),
    no_sharding=None,
    divides_layers=True,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=True,
    rounds=("dora", "dropout"),
    reads_images=True,
    foreign_names={
        "peft": ("lora",),
        "axolotl": ("lora",),
        "llamafactory": ("lora",),
        "torchtune": ("lora",),
        "oumi": ("lora",),
        "trl": ("lora",),
    },
)
