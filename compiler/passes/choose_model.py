"""How the model is loaded: head, attention kernel, padding, start and stop tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce

from ftc.compiler.draft import Draft, Reasons
from ftc.compiler.search.candidates import flash_obstacle, model_obstacle
from ftc.compiler.weights import base_of, head_modules
from ftc.spec.checkpointing import checkpointing_card
from ftc.spec.documents.lineage import Way
from ftc.spec.documents.packed_weights import PackedWeights
from ftc.spec.documents.plan import Check, Origin
from ftc.spec.documents.settings import OpenModel
from ftc.spec.documents.vision_facts import PanCuts, VisionFacts
from ftc.spec.documents.vision_settings import VisionSettings
from ftc.spec.heads import head_card
from ftc.spec.module_names import ModelPart, scores_words
from ftc.spec.quantized_files import QuantizedMethod, quantized_files
from ftc.spec.strategies.card import Base, Problem, Reason

__all__ = ["choose_model", "choose_strategy"]


def choose_model(draft: Draft) -> Draft:
    """Settles what is under `model`, but for the kernel of attention."""
    why, model = draft.reasons("model"), draft.model
    commit = "the hub's commit, pinned in the lock" if model.commit else "a local folder has no commit"
    head = head_card(draft.mode.head)
    loaded = OpenModel(
        base=_base(draft, why),
        commit=why.derive("commit", model.commit, commit),
        architecture=why.derive("architecture", model.architecture, "config.json of the model"),
        family=why.derive("family", model.family, f"the family of {model.architecture}"),
        head=why.derive("head", head.name, head.reason.format(labels=len(draft.labels))),
        decoder_start_id=_start(draft, why),
        pad_id=_padding(draft, why),
        stop_ids=_stops(draft, why),
    )
    if (vision := _vision(draft, why)) is not None:
        loaded = loaded.model_copy(update={"vision": vision})
    if (method := _quantized_files(draft, why)) is not None:
        loaded = loaded.model_copy(update={"quantized_files": method})
    if (packed := _packed(draft, why)) is not None:
        loaded = loaded.model_copy(update={"packed": packed})
    if (rope := model.rope) is not None:
        why.take("rope.kind", rope.kind, "model.rope.kind")
        asked = draft.recipe.model.rope
        if asked is None or asked.factor == "auto":
            needed = f"`data.max_length` {draft.recipe.data.max_length} by {rope.original} positions, rounded up"
            why.derive("rope.factor", rope.factor, needed)
        else:
            why.take("rope.factor", rope.factor, "model.rope.factor")
        why.derive("rope.original", rope.original, "`max_position_embeddings` in the model's config.json")
        why.derive("rope.positions", rope.positions, "original positions, times the factor")
        loaded = loaded.model_copy(update={"rope": rope})
    if (own := model.tokenizer.own) is not None:
        why.derive("tokenizer.tokens", own.tokens, "tokens of the recipe, with the ids that the tokenizer gives them")
        why.derive("tokenizer.rows", own.rows, "one for each id; spare rows of the model are used first")
        if own.chat_template is not None:
            why.derive("tokenizer.chat_template.path", own.chat_template.path, "`model.chat_template`")
        loaded = loaded.model_copy(update={"tokenizer": own})
    if (begins := draft.begins) is not None:
        parent = begins.parent
        loaded = loaded.model_copy(update={"parent": why.take("parent", parent, "model.base")})
        unchanged = f"run {parent.run_id} of {parent.name}, {_WAYS[parent.way]}: its files are those of its record"
        draft = replace(draft, checks=(*draft.checks, Check(name="begins from", code=None, result=unchanged)))
        if begins.tested is None:
            draft = draft.miss(f"test rows of run {parent.run_id} among the training rows: the run kept none")
    draft = _check_license(_miss_pixels(_miss_unknown(draft)).settle("loaded", loaded, why))
    return _check_recomputing(_check_attention(_check_head(_check_start(draft))))


def _quantized_files(draft: Draft, why: Reasons) -> QuantizedMethod | None:
    """How the model's files hold quantized weights; no value of a model whose files hold them whole."""
    if (method := draft.model.quantized_files) is None:
        return None
    card = quantized_files(method)
    what = "memory does, too" if card.keeps else "loading dequantizes it"
    return why.derive("quantized_files", method, f"config.json; the files hold {card.holds}, and {what}")


def _packed(draft: Draft, why: Reasons) -> PackedWeights | None:
    """Layers that stay quantized in memory; no value of a model that has none."""
    if (packed := draft.model.packed) is None:
        return None
    at, said, files = "packed.", "config.json of the model", "names of the model's stored tensors"
    why.derive(f"{at}layout", packed.layout, said)
    why.derive(f"{at}bits", packed.bits, said)
    why.derive(f"{at}group_size", packed.group_size, said)
    why.derive(f"{at}modules", packed.modules, files)
    return packed


_WAYS: dict[Way, str] = {
    "continues": "whose adapter is trained further",
    "merged": "as the merged model",
    "model": "as the model that it left",
}


def _base(draft: Draft, why: Reasons) -> str:
    """The base model's folder or id, which a run as base stands for."""
    if draft.begins is None:
        return why.take("base", draft.recipe.model.base)
    parent = draft.begins.parent
    return why.derive("base", draft.begins.base, f"what run {parent.run_id} {_LOADED[parent.way]}")


_LOADED: dict[Way, str] = {"continues": "was trained on", "merged": "was merged into", "model": "left"}


def _miss_unknown(draft: Draft) -> Draft:
    """Says which facts of the model's architecture are unknown, since estimates then go by what is usual."""
    kind, model_type = draft.model.kind, draft.model.model_type
    if kind.family is None:
        return draft.miss(f"architecture: `{model_type}` is not in ftc's table; estimates use typical values")
    if kind.unknown:
        return draft.miss(f"architecture: ftc doesn't know these facts about `{model_type}`: {', '.join(kind.unknown)}")
    return draft


def _miss_pixels(draft: Draft) -> Draft:
    """Says why the pixels of images are not pinned."""
    vision = draft.model.vision
    if vision is None or vision.pixels_sha256 is not None:
        return draft
    return draft.miss(f"pixels of the first images: {vision.pixels_problem}; the run can't compare them")


def _check_license(draft: Draft) -> Draft:
    allowed = draft.recipe.model.license
    found = draft.model.license
    if allowed is None or found in allowed.allow:
        return draft
    summary = f"the model's license is {found or 'not stated'}, the recipe allows {', '.join(allowed.allow)}"
    help = "choose another base model" if found is None else f"choose another base model, or add `{found}` to the list"
    return draft.find("FTC401", summary, "model.license", help=help)


def _check_head(draft: Draft) -> Draft:
    """Whether this kind of model has such a head, and whether it can do the task with its own."""
    model, head, kind = draft.model, head_card(draft.loaded.head), draft.recipe.task.kind.replace("_", " ")
    if head_modules(head.name, model) is None:
        summary = f"transformers has no {head.title} for the model type `{model.model_type}`"
        help = "choose an encoder such as BERT or ModernBERT" + head.alternative
        return draft.find("FTC250", summary, "model.base", help=help)
    task, article = draft.recipe.task, "an" if kind[0] in "aeiou" else "a"
    is_read = any(model.family in mode.families for mode in task.modes())
    takes_encoders_alone = all(mode.families == ("encoder",) for mode in task.modes())
    if not is_read and all(mode.families == ("encoder_decoder",) for mode in task.modes()):
        summary = f"{article} {kind} task needs an encoder-decoder; {model.architecture} is none"
        return draft.find("FTC222", summary, "model.base", help="choose a model such as T5 or Flan-T5")
    if not is_read and not task.CARD.needs_decoder and (takes_encoders_alone or model.family == "encoder_decoder"):
        read = "an encoder" if takes_encoders_alone else "an encoder or a decoder"
        is_a = f"{'an' if model.family[0] in 'aeiou' else 'a'} {model.family.replace('_', '-')}"
        summary = f"{article} {kind} task needs {read}; {model.architecture} is {is_a}"
        return draft.find("FTC222", summary, "model.base", help="choose a model such as BERT, ModernBERT or Qwen3")
    if head.scores_vocabulary and not head.writes and not any(scores_words(name) for name in model.tensors):
        summary = f"`{model.name}` holds no layers that score words in the place of masked ones"
        help = "choose a model whose class ends in `ForMaskedLM`"
        return draft.find("FTC279", summary, "model.base", help=help)
    writes = head.is_new or model.family == "encoder_decoder"
    pools = not head.is_new and not head.writes
    if pools or model.family == "decoder" or (writes and not task.CARD.needs_decoder):
        return draft
    other = "an" if model.family[0] in "aeiou" else "a"
    summary = f"{article} {kind} task needs a decoder; {model.architecture} is {other} {model.family.replace('_', '-')}"
    help = "choose a model whose class ends in `ForCausalLM`, or a task of kind `classification`"
    return draft.find("FTC222", summary, "model.base", help=help)


def _vision(draft: Draft, why: Reasons) -> VisionSettings | None:
    """What reads images beside text; no value of a model that reads text alone."""
    if (vision := draft.model.vision) is None:
        return None
    fixed = "every image is made as large as the model reads"
    if vision.tiles is not None:
        fixed = f"at the most; an image has up to {vision.tiles.most - 1} tiles beside the whole of it"
    if (cut := vision.squares or vision.crops) is not None:
        fixed = f"at the most; an image is cut into up to {cut.most - 1} squares beside the whole of it"
    if vision.pans is not None:
        fixed = f"at the most; an elongated image has up to {vision.pans.cuts} crops beside the whole of it"
    if vision.grid is not None:
        fixed = f"at the most; an image keeps its shape, and has up to {vision.grid.most_pixels:,} pixels"
    return VisionSettings(
        model_type=why.derive("vision.model_type", vision.model_type, "config.json of the model"),
        image_token_id=why.derive("vision.image_token_id", vision.image_token_id, "config.json of the model"),
        tokens_per_image=why.derive("vision.tokens_per_image", vision.tokens_per_image, fixed),
        pans=_pans(vision, why),
        frozen=why.derive("vision.frozen", vision.parts, "adapters change the language model alone"),
        pixels_sha256=why.derive(
            "vision.pixels_sha256", vision.pixels_sha256, "of the first images, by the model's own image processor"
        ),
    )


def _pans(vision: VisionFacts, why: Reasons) -> PanCuts | None:
    """How elongated images are cut into crops; None where they are not."""
    if (pans := vision.pans) is None:
        return None
    why.take("vision.pans.least", pans.least, "model.pan_and_scan.min_crop_size")
    why.take("vision.pans.cuts", pans.cuts, "model.pan_and_scan.max_crops")
    why.take("vision.pans.ratio", pans.ratio, "model.pan_and_scan.min_ratio")
    why.derive("vision.pans.each", pans.each, "config.json of the model")
    return pans


def _start(draft: Draft, why: Reasons) -> int | None:
    """What the decoder of an encoder-decoder begins with."""
    if draft.model.family != "encoder_decoder":
        reason = f"only an encoder-decoder has one; this model is {'a' if draft.model.family == 'decoder' else 'an'}"
        return why.derive("decoder_start_id", None, f"{reason} {draft.model.family}")
    start = draft.model.decoder_start_id
    return why.derive("decoder_start_id", start, "`decoder_start_token_id` in the model's config.json")


def _check_start(draft: Draft) -> Draft:
    is_written = draft.loaded.family == "encoder_decoder" and head_card(draft.loaded.head).writes
    if not is_written or draft.loaded.decoder_start_id is not None:
        return draft
    summary = f"config.json of `{draft.model.name}` names no start token for the decoder"
    help = "add `decoder_start_token_id`: the id of the padding token for T5 models, of the end token for BART models"
    return draft.find("FTC251", summary, "model.base", help=help)


def _check_attention(draft: Draft) -> Draft:
    """Whether the model and the device have the kernel that is asked for."""
    asked = draft.recipe.model.attention
    if asked == "auto":
        return draft
    obstacle = model_obstacle(draft, asked) or (flash_obstacle(draft) if asked == "flash_attention_2" else None)
    return draft.find("FTC223", obstacle, "model.attention", help="remove `attention`") if obstacle else draft


def _check_recomputing(draft: Draft) -> Draft:
    """Whether the model's class can compute layers again, where the recipe asks for it."""
    asked, path = draft.recipe.train.activation_checkpointing, "train.activation_checkpointing"
    if asked == "auto" or draft.model.kind.recomputes is not False or not checkpointing_card(asked).recomputes:
        return draft
    summary = f"transformers' class for `{draft.model.model_type}` can't compute layers again"
    return draft.find("FTC270", summary, path, help="remove it, or choose another model")


def _padding(draft: Draft, why: Reasons) -> int:
    tokens = draft.model.tokenizer
    if tokens.pad_id is not None:
        return why.derive("pad_id", tokens.pad_id, f"the tokenizer's padding token `{tokens.pad_token}`")
    if tokens.eos_id is not None:
        return why.derive(
            "pad_id",
            tokens.eos_id,
            "the tokenizer has no padding token; the end token is used for padding and masked",
        )
    return why.derive("pad_id", 0, "the tokenizer has no padding or end token; padding is masked")


def _stops(draft: Draft, why: Reasons) -> tuple[int, ...]:
    tokens = draft.model.tokenizer
    if tokens.eos_id is None:
        return why.derive("stop_ids", (), "the tokenizer has no end token")
    return why.derive("stop_ids", (tokens.eos_id,), f"the end token `{tokens.eos_token}`")


def choose_strategy(draft: Draft) -> Draft:
    """Settles everything under `strategy`, and what is trained by it."""
    base = base_of(draft)
    settled = draft.recipe.strategy.settle(base)
    why = draft.reasons("strategy")
    for path, reason in settled.reasons.items():
        why.found[path] = reduce(getattr, path.split("."), settled.settings), _origin(draft, reason)
    draft = draft.settle("strategy", settled.settings, why)
    draft = replace(draft, settled_trained=settled.settings.trained(base))
    for one in (*settled.problems, *_beside_packed(draft)):
        draft = draft.find(one.code, one.summary, f"strategy.{one.key}", help=one.help, notes=one.notes or ())
    for words in settled.not_estimated:
        draft = draft.miss(words)
    return _check_new_rows(_thaw(draft), base)


def _beside_packed(draft: Draft) -> Iterator[Problem]:
    """What can't be done beside layers that stay quantized."""
    model = draft.model
    if model.packed is None or model.quantized_files is None or (key := draft.strategy.needs_whole()) is None:
        return
    what = draft.strategy.kind if key == "kind" else f"{key}: {getattr(draft.recipe.strategy, key)}".lower()
    summary = f"`{what}` doesn't go with {quantized_files(model.quantized_files).label} weights"
    notes = "memory holds them as the model's files do: nothing changes, measures or quantizes them"
    help = "write `kind: lora`, or choose the unquantized model" if key == "kind" else f"remove `{key}`"
    yield Problem("FTC313", summary, key, help, notes)


def _thaw(draft: Draft) -> Draft:
    """Names what reads images and stays frozen, where the strategy trains some of it."""
    facts, vision = draft.model.vision, draft.loaded.vision
    if facts is None or vision is None:
        return draft
    parts: set[ModelPart] = {facts.card.part_of(name) for name in draft.trained.names}
    trained = parts - {"language_model"}
    if not trained:
        return draft
    why, thawed = draft.reasons("model"), {facts.card.module_of(part) for part in trained}
    frozen = tuple(part for part in vision.frozen if part not in thawed)
    frozen = why.derive("vision.frozen", frozen, "no weight of them is trained")
    vision = vision.model_copy(update={"frozen": frozen})
    return draft.settle("loaded", draft.loaded.model_copy(update={"vision": vision}), why)


def _check_new_rows(draft: Draft, base: Base) -> Draft:
    """Whether the rows of added tokens are trained, wherever the task's model holds some."""
    own = draft.model.tokenizer.own
    tables = [name for name in own.tables if f"{name}.weight" in base.held] if own else []
    idle = [name for name in tables if not {name, f"{name}.weight"} & draft.trained.names]
    if not idle or any(one.code == "FTC474" for one in draft.diagnostics):
        return draft
    summary = f"`{draft.strategy.kind}` doesn't train `{idle[0]}`, so added tokens would mean nothing"
    help = "write `kind: lora` or `kind: full`, which train the rows of added tokens"
    return draft.find("FTC474", summary, "strategy.kind", help=help)


def _origin(draft: Draft, reason: Reason) -> Origin:
    if not reason.words:
        return draft.origin_of(f"strategy.{reason.key}")
    end = f": {draft.origin_of(f'strategy.{reason.key}').reason}" if reason.key else ""
    return Origin(kind="derived", reason=f"{reason.words}{end}")
