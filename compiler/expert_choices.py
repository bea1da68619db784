"""Whether the strategy can hold the experts of a mixture in few bits."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.compiler.weights import never_packed, packed_bytes
from ftc.spec.precisions import precision_card
from ftc.spec.quantized_files import QUANTIZED_FILES

__all__ = ["check_experts", "keeps_experts_whole"]


def keeps_experts_whole(draft: Draft) -> bool:
    """Whether the strategy quantizes linear layers of a mixture, whose experts are none: such a job is refused."""
    return draft.model.experts is not None and draft.strategy.traits.quantized is not None


def check_experts(draft: Draft) -> Draft:
    """A strategy that quantizes linear layers finds nearly all of the model in them, which a mixture's aren't."""
    model, quantized = draft.model, draft.strategy.traits.quantized
    if not keeps_experts_whole(draft):
        return draft
    assert model.experts is not None
    assert quantized is not None
    of_experts = sum(model.experts.layers.values())
    frozen = precision_card(draft.train.precision).frozen
    linear = sum(inputs * outputs for inputs, outputs in model.linear_modules.values()) - never_packed(model)
    stay, whole = (size * frozen.size / 2**30 for size in (of_experts, model.num_parameters))
    saved = linear * (frozen.size - packed_bytes(draft)) / 2**30
    bits = 8 if quantized.type == "int8" else 4
    *some, last = (card.label for card in QUANTIZED_FILES if card.dequantizer is not None)
    loaded = f"{', '.join(some)} or {last}"
    kept = " or ".join(card.label for card in QUANTIZED_FILES if card.keeps)
    notes = (
        "bitsandbytes packs linear layers, and transformers holds all experts of a layer in one tensor",
        f"{stay:,.2f} of {whole:,.2f} GiB would stay in {frozen.name}; {bits} bits for the rest save {saved:,.2f} GiB",
        f"files in {loaded} take no less, since loading dequantizes them; experts in {kept} aren't loaded (FTC313)",
    )
    share = of_experts / model.num_parameters
    summary = f"the experts of a `{model.model_type}` model, {share:.0%} of its weights, can't be quantized"
    help = "write `kind: lora`, which with `target_parameters: all-experts` adapts the experts, too"
    return draft.find("FTC268", summary, "strategy.kind", help=help, notes=notes)
