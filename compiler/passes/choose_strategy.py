"""Which weights are trained: adapter targets as real module names, scale, modules trained whole."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.compiler.heads import head_modules
from ftc.compiler.trainable import targeted
from ftc.spec.nearest import nearest
from ftc.spec.strategy import Full, Lora, QLora

__all__ = ["choose_strategy"]


def choose_strategy(draft: Draft) -> Draft:
    """Settles everything under `strategy`."""
    strategy = draft.recipe.strategy
    draft = draft.take("strategy.kind")
    match strategy:
        case Full():
            return draft
        case QLora():
            draft = draft.take("strategy.quantization").take("strategy.double_quantization")
            return _warn_on_cpu(_choose_adapter(draft, strategy))
        case Lora():
            return _choose_adapter(draft, strategy)


def _choose_adapter(draft: Draft, strategy: Lora | QLora) -> Draft:
    for name in ("rank", "dropout"):
        draft = draft.take(f"strategy.adapter.{name}", f"strategy.{name}")
    if strategy.alpha == "auto":
        draft = draft.derive("strategy.adapter.alpha", 2 * strategy.rank, "twice the rank")
    else:
        draft = draft.take("strategy.adapter.alpha", "strategy.alpha")
    draft = _choose_targets(draft, strategy)
    count = len(targeted(draft))
    draft = draft.derive("strategy.adapter.num_modules", count, "modules of the base that the targets match")
    head = head_modules(draft.values["model.head"], draft.model) or ()
    reason = "the new head has nothing to start from" if head else "every module beside the adapter stays as it is"
    return draft.derive("strategy.adapter.trained_modules", head, reason)


def _choose_targets(draft: Draft, strategy: Lora | QLora) -> Draft:
    found = sorted({name.rsplit(".", 1)[-1] for name in draft.model.linear_modules})
    if strategy.targets == "all-linear":
        origin = draft.origin_of("strategy.targets")
        reason = f"all linear layers but the output: {origin.reason}"
        return draft.derive("strategy.adapter.targets", tuple(found), reason)
    draft = draft.take("strategy.adapter.targets", "strategy.targets")
    for position, name in enumerate(strategy.targets):
        if name not in found:
            close = nearest(name, found)
            hint = f"did you mean `{close}`? " if close else ""
            draft = draft.find(
                "FTC224",
                f"`{draft.model.name}` has no linear module `{name}`",
                f"strategy.targets[{position}]",
                help=f"{hint}its linear modules are {', '.join(found)}",
            )
    return draft


def _warn_on_cpu(draft: Draft) -> Draft:
    if draft.device.kind == "cuda":
        return draft
    return draft.find(
        "FTC225",
        "4-bit weights bring nothing on a CPU",
        "strategy.kind",
        help="write `kind: lora` unless this is a test of the 4-bit path",
        notes="the weights are unpacked for every product, so a step is no faster, and quality is lost",
    )
