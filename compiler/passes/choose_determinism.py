"""How alike two runs of the plan will be, and whether its kernels are known to allow it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ftc.compiler.draft import Draft
from ftc.compiler.search.candidates import attention_kernels, optimizer_kinds
from ftc.compiler.search.device_counts import device_counts
from ftc.spec.documents.settings import DeterminismSettings
from ftc.spec.optimizers import OPTIMIZERS

__all__ = ["EXACT", "choose_determinism"]

EXACT = {
    "cpu": {
        "attention": frozenset({"eager", "sdpa"}),
        "optimizer": frozenset(card.kind for card in OPTIMIZERS if "cpu" in card.exact_on),
        "quantization": frozenset({"none", "nf4", "fp4"}),
    },
    "cuda": {
        "attention": frozenset({"eager", "sdpa"}),
        "optimizer": frozenset(card.kind for card in OPTIMIZERS if "cuda" in card.exact_on),
        "quantization": frozenset({"none"}),
    },
}
"""What is known to give the same bits in every process, by kind of device. For `cpu` it is what the tests run in two
fresh processes. For `cuda` it is what torch documents as deterministic in its deterministic mode, and each run proves
it anew; 4-bit kernels and flash attention promise nothing there."""

_DEVICES = {"cpu": "processor", "cuda": "card"}
_MOST_PROOF_STEPS = 8
_PROOF_SHARE = 20
"""A proof does a twentieth of the run's steps, twice: a tenth of its time, and less for all but the shortest runs."""


def choose_determinism(draft: Draft) -> Draft:
    """Settles `train.determinism`; at `bitwise` everything outside the table is an error."""
    asked, path = draft.recipe.train.determinism, "train.determinism"
    if asked in ("off", "auto"):
        kernels: Literal["any", "deterministic"] = "any" if asked == "off" else "deterministic"
        return _settled(draft, DeterminismSettings(asked=asked, kernels=kernels, proof_steps=0))
    if unknown := list(_unknown(draft)):
        known = EXACT[draft.device.kind]
        help = (
            f"known on a {draft.device.kind}: "
            + "; ".join(f"{name} {', '.join(sorted(known[name]))}" for name in known),
            "or ask for less with `determinism: auto`",
        )
        code = "FTC640" if asked == "bitwise" else "FTC643"
        summary = f"{', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} not known to give the same bits twice"
        notes = "" if asked == "bitwise" else "the run goes on with deterministic kernels and no proof"
        draft = draft.find(code, summary, path, help=help, notes=notes or ())
        return _settled(draft, DeterminismSettings(asked=asked, kernels="deterministic", proof_steps=0))
    steps = draft.train.num_steps
    proof = min(steps, _MOST_PROOF_STEPS, max(2, steps // _PROOF_SHARE))
    return _settled(draft, DeterminismSettings(asked=asked, kernels="exact", proof_steps=proof))


def _settled(draft: Draft, section: DeterminismSettings) -> Draft:
    why = draft.reasons("train")
    return draft.settle("determinism", why.take("determinism", section), why)


def _unknown(draft: Draft) -> Iterator[str]:
    """What stands in no table, in words; of what is open, the solver takes nothing that can't be proven."""
    known = EXACT[draft.device.kind]
    used = {
        "attention": attention_kernels(draft)[0],
        "optimizer": optimizer_kinds(draft)[0],
        "quantization": quantized.type if (quantized := draft.strategy.traits.quantized) else "none",
    }
    for name, value in used.items():
        if value not in known[name]:
            yield f"{name} `{value}` on a {_DEVICES[draft.device.kind]}"
    packed = draft.distillation.quantization if draft.distillation else None
    if packed is not None and packed not in known["quantization"]:
        yield f"quantization `{packed}` of the teacher on a {_DEVICES[draft.device.kind]}"
    if (processes := device_counts(draft)[0]) > 1:
        yield f"training in {processes} processes"
