"""Quantization-aware training of other tools, and their products in 8 bits."""

from __future__ import annotations

from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.precisions import PRECISIONS
from ftc.spec.quantized_weights import QUANTIZED_WEIGHTS
from ftc.spec.strategies import STRATEGIES

__all__ = ["in_float8", "of_axolotl", "of_torchtune"]

_QUANTIZERS = {"Int4WeightOnlyQATQuantizer": "int4", "Int8DynActInt4WeightQATQuantizer": "int4"}
"""What torchtune's quantizers round weights to; the second rounds what goes into a layer as well."""
_ACTIVATIONS = "only weights are rounded, and not what goes into a layer"
_SUM = "the sum of weights and adapter is rounded, as it is exported, and not the frozen weights alone"
"""How ftc rounds beside an adapter; Axolotl and torchtune round the weights and add the adapter to the output."""


def of_axolotl(t: Translation) -> None:
    """The block `qat`, whose weights are in 8 bits unless it says otherwise."""
    if not t.has("qat"):
        return
    _rounded(t, "qat.weight_dtype", t.text("qat.weight_dtype") or "int8", "qat.group_size", 32)
    t.drop("qat.activation_dtype", _ACTIVATIONS)


def of_torchtune(t: Translation) -> None:
    """A quantizer, which is named by its class."""
    if not t.has("quantizer"):
        return
    name = (t.text("quantizer._component_") or "").rpartition(".")[2]
    unlike = _ACTIVATIONS if "DynAct" in name else ""
    _rounded(t, "quantizer._component_", _QUANTIZERS.get(name, ""), "quantizer.groupsize", 256, unlike)


def in_float8(t: Translation, switch: str | Key, recipe: str = "fp8_recipe_name") -> None:
    """Products in 8 bits by torchao, where a switch asks for them.

    Args:
        t: With strategy and precision.
        switch: The key that turns them on.
        recipe: The key that names torchao's recipe; a scale for each tensor without it.
    """
    if not t.flag(switch):
        t.needless(switch, "off, as in ftc")
        return
    word = t.text(recipe) or "tensorwise"
    card = next((one for one in PRECISIONS if one.float8 is not None and one.float8.recipe == word), None)
    if card is None:
        t.drop(recipe, f"torchao has no such recipe: `{word[:30]}`", "set `train.precision`")
        t.drop(switch, "its recipe is unknown", "set `train.precision`")
    elif not _is_whole(t):
        help = "full fine-tuning has products in 8 bits"
        t.drop(switch, "beside an adapter products are computed in bfloat16", help)
    else:
        before = t.values.get("train.precision")
        keys: list[str | Key] = [*(before.keys if before else ()), switch, recipe]
        t.carry(keys, "train.precision", card.kind)


def _is_whole(t: Translation) -> bool:
    strategy = t.values.get("strategy.kind")
    return strategy is not None and next(one for one in STRATEGIES if one.kind == strategy.value).is_whole


def _rounded(t: Translation, key: str, word: str, groups: str, usual: int, unlike: str = "") -> None:
    """Weights that are rounded to what a word says, in groups that a key counts.

    Args:
        t: With its strategy.
        key: The key that holds the word.
        word: What weights are rounded to.
        groups: The key of how many weights share a scale.
        usual: How many do without it.
        unlike: What the other tool does besides, and a recipe doesn't.
    """
    block = key if t.has(key) else key.partition(".")[0]
    card = next((one for one in QUANTIZED_WEIGHTS if one.is_imitated and one.kind == word), None)
    kind = t.values.get("strategy.kind")
    strategy = next((one for one in STRATEGIES if kind is not None and one.kind == kind.value), None)
    if card is None or strategy is None or strategy.rounds is None:
        able = " or ".join(one.kind for one in QUANTIZED_WEIGHTS if one.is_imitated)
        what = "beside such an adapter" if card is not None else "with such weights"
        help = f"choose weights in {able}, and full fine-tuning or LoRA"
        t.block(block, f"quantization-aware training {what} is not supported", help)
        return
    for name in strategy.rounds:
        if (said := t.values.get(f"strategy.{name}")) is not None and said.value:
            t.withdraw(f"strategy.{name}", "weights are rounded in their sum with the adapter, which has no such part")
    unlike = "; ".join(one for one in ("" if strategy.is_whole else _SUM, unlike) if one)
    if t.has(key):
        t.carry(key, "train.quantize_aware.weights", card.kind, unlike)
    else:
        t.add("train.quantize_aware.weights", card.kind, f"{t.tool}'s default")
    if card.group_size is None:
        t.drop(groups, "8-bit weights have a scale for each row")
    elif t.has(groups):
        t.carry(groups, "train.quantize_aware.group_size", t.whole(groups))
    else:
        t.add("train.quantize_aware.group_size", usual, f"{t.tool}'s default")
