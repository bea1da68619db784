"""How the model is loaded: head, attention kernel, padding, start and stop tokens."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.compiler.search.attention_kernels import flash_obstacle, model_obstacle
from ftc.compiler.strategies.heads import head_modules
from ftc.spec.task import Chat, Classification, Preference, Pretraining, TokenClassification

__all__ = ["choose_model"]

_HEAD_WORDS = {
    "classification": "classifier",
    "multi_label": "classifier",
    "token_classification": "head over words",
    "span": "head over answers",
}
_ALTERNATIVES = {"span": ", or `mode: generative`"}


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
    match draft.recipe.task:
        case Classification(multi_label=True):
            draft = draft.derive(
                "model.head", "multi_label", f"a new layer over {len(draft.labels)} labels, each alone"
            )
        case Classification(mode="head"):
            draft = draft.derive("model.head", "classification", f"a new layer over {len(draft.labels)} labels")
        case TokenClassification():
            draft = draft.derive("model.head", "token_classification", f"a new layer over {len(draft.labels)} tags")
        case _ if draft.values["text.form"] == "extract":
            draft = draft.derive("model.head", "span", "a new layer over the begin and the end of an answer")
        case _:
            draft = draft.derive("model.head", "lm", "the model's own output layer")
    return _check_head(_choose_start(draft))


def _check_head(draft: Draft) -> Draft:
    """Whether this kind of model has such a head, and whether it can do the task with its own."""
    model, head, kind = draft.model, draft.values["model.head"], draft.recipe.task.kind
    if head_modules(head, model) is None:
        return draft.find(
            "FTC250",
            f"transformers has no {_HEAD_WORDS[head]} for the model type `{model.model_type}`",
            "model.base",
            help="choose an encoder such as BERT or ModernBERT" + _ALTERNATIVES.get(head, ""),
        )
    needs_decoder = isinstance(draft.recipe.task, Chat | Preference | Pretraining)
    if head != "lm" or model.family == "decoder" or (model.family == "encoder_decoder" and not needs_decoder):
        return draft
    article = "an" if model.family[0] in "aeiou" else "a"
    return draft.find(
        "FTC222",
        f"a {kind} needs a decoder, {model.architecture} is {article} {model.family.replace('_', '-')}",
        "model.base",
        help="choose a model whose class ends in `ForCausalLM`, or a task of kind `classification`",
    )


def _choose_start(draft: Draft) -> Draft:
    """What the decoder of an encoder-decoder begins with."""
    if draft.model.family != "encoder_decoder":
        reason = f"only an encoder-decoder has one, this is {'a' if draft.model.family == 'decoder' else 'an'}"
        return draft.derive("model.decoder_start_id", None, f"{reason} {draft.model.family}")
    start = draft.model.decoder_start_id
    draft = draft.derive("model.decoder_start_id", start, "`decoder_start_token_id` in the model's config.json")
    if start is not None or draft.values["model.head"] != "lm":
        return draft
    return draft.find(
        "FTC251",
        f"config.json of `{draft.model.name}` names no token that the decoder begins with",
        "model.base",
        help="add `decoder_start_token_id`: the id of the padding token for T5 and its kin, of the end token for BART",
    )


def _choose_attention(draft: Draft) -> Draft:
    """The kernel; which one `auto` takes is settled once it is known what fits."""
    asked = draft.recipe.model.attention
    if asked == "auto":
        if (obstacle := model_obstacle(draft, "sdpa")) is None:
            return draft.derive("model.attention", "sdpa", "every device has it and it needs no further package")
        return draft.derive("model.attention", "eager", obstacle)
    draft = draft.take("model.attention")
    obstacle = model_obstacle(draft, asked) or (flash_obstacle(draft) if asked == "flash_attention_2" else None)
    return draft.find("FTC223", obstacle, "model.attention", help="leave `attention` out") if obstacle else draft


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
