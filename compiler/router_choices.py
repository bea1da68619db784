"""What becomes of the routers of a mixture of experts."""

from __future__ import annotations

from typing import Any

from ftc.compiler.draft import Draft, Reasons
from ftc.spec.documents.loss_settings import RouterSettings
from ftc.spec.strategies import strategy_card

__all__ = ["check_router", "router_settings"]


def router_settings(draft: Draft, why: Reasons) -> dict[str, Any]:
    """What becomes of the routers of experts; nothing for a model without."""
    if draft.model.experts is None:
        return {}
    asked = draft.recipe.train
    trained = why.take("router.trained", asked.train_router, "train.train_router")
    return {
        "router": RouterSettings(
            trained=trained, aux_loss=why.take("router.aux_loss", asked.router_aux_loss, "train.router_aux_loss")
        )
    }


def check_router(draft: Draft) -> Draft:
    """There are routers, with such a loss, that the strategy can train."""
    asked, model = draft.recipe.train, draft.model
    keys = [key for key in ("router_aux_loss", "train_router") if getattr(asked, key)]
    if model.experts is None:
        for key in keys:
            summary = f"`{key}` has no effect: a `{model.model_type}` model has no router"
            draft = draft.find("FTC267", summary, f"train.{key}", help="remove it, or choose a mixture of experts")
        return draft
    mixture = model.kind.experts
    if asked.router_aux_loss is not None and not (mixture and mixture.has_loss):
        summary = f"transformers has no load balancing loss for the model type `{model.model_type}`"
        draft = draft.find("FTC267", summary, "train.router_aux_loss", help="remove `router_aux_loss`")
    if asked.router_aux_loss is not None and (task := _compares_steps(draft)):
        summary = f"`router_aux_loss` has no effect on {task}, which compares all rows of a step"
        draft = draft.find("FTC267", summary, "train.router_aux_loss", help="remove `router_aux_loss`")
    if asked.train_router and strategy_card(draft.strategy).result == "adapter":
        summary = f"`{draft.strategy.kind}` trains no weights of the model itself, and so no router"
        help = "remove `train_router`; LoRA trains whole modules that `strategy.modules_to_save` names, such as `gate`"
        draft = draft.find("FTC269", summary, "train.train_router", help=help)
    return draft


def _compares_steps(draft: Draft) -> str | None:
    """The task whose loss is one of all rows of a step, in words; None for one whose rows have losses of their own."""
    if draft.train.embedding is not None:
        return "an embedding task"
    compared = draft.train.preference
    return f"`loss: {compared.loss}`" if compared is not None and compared.rates else None
