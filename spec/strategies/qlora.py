"""QLoRA: low-rank adapters beside frozen linear layers of 4 or 8 bits."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false
# mypy judges these: pyright widens what `Choices.take` hands through, and takes the base's `kind` for a method.

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ftc.spec.quantized_files import quantized_files
from ftc.spec.strategies.card import Base, Card, Choices, Obstacle, Problem, Quantized, Settled
from ftc.spec.strategies.lora import OF_THE_WEIGHT, RATE, LoraInit, LoraSettings, LowRank, LowRankSettings

__all__ = ["QLORA", "QLora", "QLoraSettings"]


class QLora(LowRank):
    """Low-rank adapters beside frozen weights of 4 or 8 bits (Dettmers et al. 2022, 2023)."""

    kind: Literal["qlora"]
    init: LoraInit = "default"
    """What the adapter begins with, as for `lora`; those that take directions out of the weight need it whole. Default:
    `default`, which adds nothing yet and takes no time."""
    quantization: Literal["nf4", "fp4", "int8"] = "nf4"
    """Type of the frozen weights. Default: nf4, which loses least of the 4-bit types on normally distributed weights;
    int8 loses less and takes twice the memory."""
    double_quantization: Literal["auto"] | bool = "auto"
    """Whether the scales are quantized too. Default `auto`: yes for 4 bits, which saves about 0.4 bits a weight; 8 bits
    have one scale a row and no more to save."""

    @property
    def begins_with(self) -> LoraInit:
        """What the adapter begins with."""
        return self.init

    def settle(self, base: Base) -> Settled:
        """Decides everything about packed weights and adapter."""
        chosen = Choices()
        kind = chosen.take("kind", self.kind)
        quantization = chosen.take("quantization", self.quantization)
        path = "double_quantization"
        if self.double_quantization != "auto":
            double = chosen.take(path, self.double_quantization)
        elif quantization == "int8":
            double = chosen.derive(path, False, "8-bit weights have one scale per row, so nothing more can be saved")
        else:
            double = chosen.derive(path, True, "quantized scales save about 0.4 bits per weight")
        settings = QLoraSettings(
            kind=kind,
            adapter=self.settle_adapter(chosen, base, packs=True),
            quantization=quantization,
            double_quantization=double,
        )
        if base.model.experts is not None:  # which is refused whatever else is wrong (FTC268)
            return Settled(settings, chosen.reasons, tuple(chosen.problems), ())
        if not base.on_card:
            summary = f"{'8' if quantization == 'int8' else '4'}-bit weights gain nothing on a CPU"
            help = "write `kind: lora` unless this is a test of the quantized path"
            notes = "the weights are dequantized for every product, so a step is no faster, and quality is lost"
            chosen.problems.append(Problem("FTC225", summary, "kind", help, notes))
        if base.model.quantized_files is not None and base.model.packed is None:
            card = quantized_files(base.model.quantized_files)
            summary = f"the model's files hold {card.label} weights, which `qlora` can't quantize once more"
            help = "write `kind: lora`, or choose the unquantized model"
            notes = "transformers quantizes while it loads, and here it dequantizes then"
            chosen.problems.append(Problem("FTC313", summary, "kind", help, notes))
        return Settled(settings, chosen.reasons, tuple(chosen.problems), ())

    def conflicts(self) -> Iterator[Problem]:
        """Nothing is asked of packed weights that only whole ones can do."""
        if self.init in OF_THE_WEIGHT:
            summary = f"`{self.init}` changes the frozen weight, which is quantized"
            yield Problem("FTC270", summary, "init", "write `kind: lora`")
        if self.quantization == "int8" and self.double_quantization is True:
            summary = "8-bit weights have no scales that could be quantized"
            yield Problem("FTC270", summary, "double_quantization", "remove `double_quantization`")
        yield from super().conflicts()


class QLoraSettings(LowRankSettings):
    """An adapter beside frozen weights of 4 or 8 bits."""

    kind: Literal["qlora"]
    quantization: Literal["nf4", "fp4", "int8"]
    double_quantization: bool

    @property
    def quantized(self) -> Quantized:
        """Of 4 or 8 bits."""
        return Quantized(self.quantization, self.double_quantization)

    def unpacked(self) -> LoraSettings:
        """LoRA."""
        return LoraSettings(kind="lora", adapter=self.adapter)

    def words(self) -> str:
        """In a few words."""
        return self.adapter.words(f"{QLORA.label} {self.quantization}")


QLORA = Card(
    kind="qlora",
    recipe=QLora,
    settings=QLoraSettings,
    label="QLoRA",
    tag="qlora",
    result="adapter",
    library="peft",
    rate=RATE,
    libraries=("peft", "bitsandbytes"),
    marks=("lora_", "trainable_tokens_"),
    no_sharding=Obstacle(
        "the scales of quantized weights can't be sharded",
        "choose `kind: lora`",
    ),
    divides_layers=False,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=False,
    rounds=None,
    reads_images=True,
    foreign_names={"axolotl": ("qlora",), "torchtune": ("qlora",)},
)
