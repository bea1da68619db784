"""Which weights are trained: adapter targets as real module names, scale, modules trained whole."""

from __future__ import annotations

from collections.abc import Mapping

from ftc.compiler.draft import Draft
from ftc.compiler.strategies.heads import head_modules
from ftc.compiler.strategies.low_rank import by_kind_or_pattern, misnamed
from ftc.compiler.strategies.trainable import adapted, held, lies_in, norms, num_inside, stacks, targeted
from ftc.spec.heads import head_card
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.strategy import (
    BitFit,
    Bottleneck,
    Full,
    Ia3,
    LnTuning,
    Lora,
    Partial,
    PrefixTuning,
    PromptTuning,
    PTuning,
    QLora,
)

__all__ = ["choose_strategy"]

_AS_WRITTEN = ("rank", "dropout", "rank_stabilized", "dora", "init")


def choose_strategy(draft: Draft) -> Draft:
    """Settles everything under `strategy`."""
    strategy = draft.recipe.strategy
    draft = draft.take("strategy.kind")
    match strategy:
        case Full():
            return draft
        case Partial():
            return _check_layers(draft.take("strategy.layers").take("strategy.embeddings"), strategy)
        case QLora():
            return _warn_on_cpu(_choose_adapter(_choose_quantization(draft, strategy), strategy))
        case Lora():
            return _choose_adapter(draft, strategy)
        case BitFit():
            return _choose_head(_check_biases(draft), "strategy.trained_modules")
        case PromptTuning() | PTuning() | PrefixTuning():
            return _choose_virtual(_choose_head(draft, "strategy.trained_modules"), strategy)
        case Bottleneck():
            for name in ("placement", "size", "activation"):
                draft = draft.take(f"strategy.{name}")
            return _choose_places(_choose_head(draft, "strategy.trained_modules"), adapted(draft), "strategy.kind")
        case Ia3():
            return _choose_places(_choose_head(draft, "strategy.trained_modules"), adapted(draft), "strategy.kind")
        case LnTuning():
            return _choose_places(_choose_head(draft, "strategy.trained_modules"), norms(draft), "strategy.kind")


def _choose_head(draft: Draft, path: str) -> Draft:
    head = head_modules(draft.loaded.head, draft.model) or ()
    reason = "the new head has nothing to start from" if head else "every module beside the adapter stays as it is"
    return draft.derive(path, head, reason)


def _choose_places(draft: Draft, places: Mapping[str, object], at: str) -> Draft:
    """How many modules the strategy changes; an error where it finds none."""
    draft = draft.derive("strategy.num_modules", len(places), "modules of the base that it changes, by their names")
    if places:
        return draft
    kind = draft.recipe.strategy.kind
    summary = f"`{kind}` finds nothing to change in a `{draft.model.model_type}`"
    return draft.find("FTC272", summary, at, help="choose `lora`, which takes any linear layer")


def _choose_virtual(draft: Draft, strategy: PromptTuning | PTuning | PrefixTuning) -> Draft:
    draft = draft.take("strategy.virtual_tokens")
    match strategy:
        case PromptTuning():
            return draft.take("strategy.init")
        case PTuning():
            if strategy.encoder == "lstm":
                draft = draft.miss("memory: the kernels of an LSTM keep a workspace that is not in the estimate")
            return _choose_width(draft.take("strategy.encoder"), "encoder_size", strategy.encoder_size)
        case PrefixTuning():
            depth = draft.model.num_decoder_layers or draft.model.num_layers
            draft = draft.derive("strategy.num_layers", depth, "every layer of the model")
            return _choose_width(draft, "projection_size", strategy.projection_size)


def _choose_width(draft: Draft, key: str, written: str | int | None) -> Draft:
    """Width of the network behind virtual tokens."""
    if written == "auto":
        return draft.derive(f"strategy.{key}", draft.model.hidden_size, "the model's own width")
    return draft.take(f"strategy.{key}")


def _check_layers(draft: Draft, strategy: Partial) -> Draft:
    """As many last layers as there are, and something to train."""
    depths = stacks(draft.model)
    deepest = max(depths.values(), default=0)
    if strategy.layers == "all" or strategy.layers <= deepest:
        return draft
    summary = f"the last {strategy.layers} layers of a model that has {deepest}"
    return draft.find("FTC272", summary, "strategy.layers", help=f"write at most {deepest}, or `all`")


def _check_biases(draft: Draft) -> Draft:
    if any(name.endswith(".bias") for name in held(draft)):
        return draft
    summary = f"a `{draft.model.model_type}` has no biases"
    return draft.find("FTC272", summary, "strategy.kind", help="choose `ln_tuning`, or `lora`")


def _choose_quantization(draft: Draft, strategy: QLora) -> Draft:
    draft = draft.take("strategy.quantization")
    if strategy.double_quantization != "auto":
        return draft.take("strategy.double_quantization")
    if strategy.quantization == "int8":
        return draft.derive("strategy.double_quantization", False, "8 bits have one scale a row, and no more to save")
    return draft.derive("strategy.double_quantization", True, "quantised scales save about 0.4 bits a weight")


def _choose_adapter(draft: Draft, strategy: Lora | QLora) -> Draft:
    for name in _AS_WRITTEN:
        draft = draft.take(f"strategy.adapter.{name}", f"strategy.{name}")
    if strategy.alpha == "auto":
        draft = draft.derive("strategy.adapter.alpha", 2 * strategy.rank, "twice the rank")
    else:
        draft = draft.take("strategy.adapter.alpha", "strategy.alpha")
    draft = _choose_ranks(_choose_targets(draft, strategy), strategy)
    count = len(targeted(draft))
    draft = draft.derive("strategy.adapter.num_modules", count, "modules of the base that the targets match")
    draft = _choose_head(draft, "strategy.adapter.trained_modules")
    return _check_also_trained(draft.take("strategy.adapter.also_trained", "strategy.also_train"), strategy)


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


def _choose_ranks(draft: Draft, strategy: Lora | QLora) -> Draft:
    """Ranks and alphas of single modules, which all name modules that have an adapter."""
    adapted = targeted(draft)
    for one in misnamed(strategy, adapted):
        draft = draft.find("FTC224", one.summary, one.path, help=one.help)
    for key, by_kind in (("ranks", strategy.ranks), ("alphas", strategy.alphas)):
        if not strategy.patterns:
            draft = draft.take(f"strategy.adapter.{key}", f"strategy.{key}")
            continue
        own = by_kind_or_pattern("rank" if key == "ranks" else "alpha", strategy, by_kind, adapted)
        draft = draft.derive(
            f"strategy.adapter.{key}", own, f"`patterns` before `{key}`, by the ends of modules' names"
        )
    return draft


def _check_also_trained(draft: Draft, strategy: Lora | QLora) -> Draft:
    """Modules trained whole exist, share no weights with others, and hold no adapter."""
    for position, end in enumerate(strategy.also_train):
        inside = [name for name in draft.model.linear_modules if f".{end}." in f".{name}."]
        if num_inside(draft.model, end) == 0:
            what = f"`{draft.model.name}` stores no weights of a module `{end}`"
            help = "name a module as in the model's weight files, such as `embed_tokens` or `norm`"
        elif draft.model.tied_embeddings and head_card(draft.loaded.head).writes and _is_embedding(draft, end):
            what = f"`{end}` shares its weights with the output layer"
            help = "drop it, or choose a model whose embeddings are not tied"
        elif inside and any(name in targeted(draft) for name in inside):
            what, help = f"`{end}` has adapters inside", "drop it, or leave these modules out of `targets`"
        elif inside and isinstance(strategy, QLora):
            what, help = f"`{end}` is quantised, and such weights can't be trained", "drop it, or write `kind: lora`"
        else:
            continue
        draft = draft.find("FTC271", what, f"strategy.also_train[{position}]", help=help)
    return draft


def _is_embedding(draft: Draft, end: str) -> bool:
    """Whether the module holds the table of the vocabulary."""
    shape = (draft.model.vocab_size, draft.model.hidden_size)
    return any(tensor.shape == shape for name, tensor in draft.model.tensors.items() if lies_in(name, end))


def _warn_on_cpu(draft: Draft) -> Draft:
    if draft.device.kind == "cuda":
        return draft
    bits = "8" if draft.values["strategy.quantization"] == "int8" else "4"
    return draft.find(
        "FTC225",
        f"{bits}-bit weights bring nothing on a CPU",
        "strategy.kind",
        help="write `kind: lora` unless this is a test of the quantised path",
        notes="the weights are unpacked for every product, so a step is no faster, and quality is lost",
    )
