"""How the model is loaded: head, attention kernel, padding and stop tokens."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.spec.task import Classification

__all__ = ["choose_model"]


def choose_model(draft: Draft) -> Draft:
    """Settles everything under `model`."""
    draft = draft.take("model.base")
    reason = "the hub's commit, kept by the lock" if draft.model.commit else "a local folder has no commit"
    draft = draft.derive("model.commit", draft.model.commit, reason)
    draft = draft.derive("model.architecture", draft.model.architecture, "config.json of the model")
    draft = draft.derive("model.family", draft.model.family, f"what {draft.model.architecture} is")
    return _choose_tokens(_choose_attention(_choose_head(_check_license(draft))))


def _check_license(draft: Draft) -> Draft:
    allowed = draft.recipe.model.license
    found = draft.model.license
    if allowed is None or found in allowed.allow:
        return draft
    return draft.find(
        "FTC401",
        f"the model's licence is {found or 'not stated'}, the recipe allows {', '.join(allowed.allow)}",
        "model.license",
        help="choose another base" if found is None else f"choose another base, or add `{found}` to the list",
    )


def _choose_head(draft: Draft) -> Draft:
    if isinstance(draft.recipe.task, Classification):
        return draft.derive("model.head", "classification", f"a new layer over {len(draft.labels)} labels")
    draft = draft.derive("model.head", "lm", "the model's own output layer")
    if draft.model.family == "decoder":
        return draft
    return draft.find(
        "FTC222",
        f"a {draft.recipe.task.kind} needs a decoder, {draft.model.architecture} is an {draft.model.family}",
        "model.base",
        help="choose a model whose class ends in `ForCausalLM`, or a task of kind `classification`",
    )


def _choose_attention(draft: Draft) -> Draft:
    if draft.recipe.model.attention == "auto":
        return draft.derive("model.attention", "sdpa", "every device has it and it needs no further package")
    draft = draft.take("model.attention")
    if draft.recipe.model.attention == "flash_attention_2" and draft.device.kind != "cuda":
        return draft.find(
            "FTC223",
            f"flash attention needs a CUDA card, the device is {draft.device.label}",
            "model.attention",
            help="leave `attention` out",
        )
    return draft


def _choose_tokens(draft: Draft) -> Draft:
    tokens = draft.model.tokenizer
    if tokens.pad_id is not None:
        draft = draft.derive("model.pad_id", tokens.pad_id, f"the tokenizer's padding token `{tokens.pad_token}`")
    elif tokens.eos_id is not None:
        draft = draft.derive("model.pad_id", tokens.eos_id, "no padding token; the end token fills, masks ignore it")
    else:
        draft = draft.derive("model.pad_id", 0, "neither padding nor end token; masks ignore what fills")
    stops = (tokens.eos_id,) if tokens.eos_id is not None else ()
    reason = f"the end token `{tokens.eos_token}`" if stops else "the tokenizer has no end token"
    return draft.derive("model.stop_ids", stops, reason)
