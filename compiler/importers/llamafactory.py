"""LLaMA-Factory, the flat form: data sets are names in a registry, `dataset_info.json`, that lies elsewhere."""

from __future__ import annotations

import functools
import json
from typing import Any

from ftc.compiler.importers import image_rows, rounding, rows, rules, trackers, training, vocabulary, words
from ftc.compiler.importers.commands import LAUNCHER, SCRIPT
from ftc.compiler.importers.meshes import divided_layers, parts_of_layers, shared_rows
from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.parameter_patterns import MOST_PATTERNS

__all__ = ["LLAMAFACTORY", "columns_of"]

_TRAINER = training.TrainerKeys(is_checkpointed=True)
_PREFERENCE_NUMBERS = {
    "pref_beta": "beta",
    "dpo_label_smoothing": "label_smoothing",
    "simpo_gamma": "gamma",
    "pref_ftx": "sft_weight",
}
_RATING_NUMBERS = {
    "pref_beta": "beta",
    "kto_chosen_weight": "desirable_weight",
    "kto_rejected_weight": "undesirable_weight",
}
_ADAPTER = words.AdapterKeys("lora_rank", "lora_alpha", "lora_dropout", "lora_target", 8, "twice")
_ALPACA_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output"}
_TAGS = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"}
_OPENAI_TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
_SUPERVISED = "choose a configuration with `stage: sft`"
_OTHER_WORK = ("infer_backend", "export_dir", "do_predict", "eval_dataset", "template")
"""Keys of configurations that chat, merge or predict, which all name a template."""
_PAIRED = ("dpo", "rm")
"""Stages that train on pairs of answers."""
_UNKNOWN = "no counterpart in a recipe; LLaMA-Factory stops at keys that it doesn't know"
_RIGHT = "choose a data set of the kind that the stage trains on"
_TEXT_ALONE = "choose another data set, or leave the column out of `dataset_info.json`"


def _strategy(t: Translation) -> None:
    bits = t.whole("quantization_bit")
    method = t.text("quantization_method") or "bnb"
    is_four_bit = bits == 4 and method in ("bnb", "bitsandbytes")
    is_eight_bit = bits == 8 and method in ("bnb", "bitsandbytes")
    if bits and not (is_four_bit or is_eight_bit):
        help = "only 4 and 8 bits by bitsandbytes"
        t.drop("quantization_bit", f"training on {bits}-bit weights by {method[:20]} is not supported", help)
    word = t.text("finetuning_type")
    kind = words.strategy_called("llamafactory", word or "lora")
    known: list[str | Key] = ["finetuning_type"] if word else []
    if kind is None:
        t.block("finetuning_type", f"no strategy matches `{(word or '')[:40]}`", words.choose_strategy("llamafactory"))
    elif kind in words.LOW_RANK:
        words.low_rank(
            t, known, "quantization_bit" if is_four_bit else None, "quantization_bit" if is_eight_bit else None
        )
        if is_four_bit:
            words.quantization(t, "quantization_type", "double_quantization")
            t.needless("quantization_method", "bitsandbytes is what ftc uses")
        words.adapter(t, _ADAPTER)
        if not t.has("lora_target"):
            t.add("strategy.targets", "all-linear", "LLaMA-Factory's default")
    else:
        t.carry(known, "strategy.kind", kind)
        keys = words.AdapterKeys(f"{word}_rank", f"{word}_alpha", f"{word}_dropout", f"{word}_target")
        words.other_adapter(t, kind, keys, ["quantization_bit"])
        if kind == words.LAST_LAYERS:
            _freeze(t)


def _freeze(t: Translation) -> None:
    """The last layers or the first ones, all of their modules or some; nothing outside them, unless it is named."""
    count, extra = t.whole("freeze_trainable_layers"), t.names("freeze_extra_modules")
    modules = [f".{name}" for name in t.names("freeze_trainable_modules") if name != "all"] or [""]
    if count is not None and count < 0:
        layers = [f"layers.{number}" for number in range(min(-count, MOST_PATTERNS + 1))]
    else:
        layers = ["layers.*" if modules != [""] else "layers"]
        if count:
            t.carry("freeze_trainable_layers", "strategy.layers", count)
        else:
            t.add("strategy.layers", 2, "LLaMA-Factory's default")
    known: list[str | Key] = ["freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules"]
    reason = "what follows the layers is trained only where it is named"
    patterns = (*(f"{layer}{module}" for layer in layers for module in modules), *extra)
    if len(patterns) > MOST_PATTERNS:
        summary = f"{len(patterns):,} patterns of parameters are more than the {MOST_PATTERNS} of a recipe"
        t.block("freeze_trainable_layers", summary, "write `strategy.parameters` with `*`, `?` and `[0-9]`")
        return
    t.carry([key for key in known if t.has(key)], "strategy.parameters", patterns, reason)


def _rows(t: Translation) -> None:
    stage = t.text("stage") or "sft"
    if stage not in ("sft", "pt", "dpo", "kto", "rm"):
        named = words.named_task(stage)
        t.block("stage", f"training of the kind `{stage[:40]}` is not supported", named[2] if named else _SUPERVISED)
    if stage == "dpo":
        rows.as_compared(t, "pref_loss", t.text("pref_loss") or "sigmoid", _PREFERENCE_NUMBERS, {"beta": 0.1})
    if stage == "kto":
        rows.as_compared(t, "stage", "kto", _RATING_NUMBERS, {"beta": 0.1})
    names = t.names("dataset")
    if t.options.data and not (len(names) == 1 and t.options.task is None):
        t.add("data.source.path", t.options.data, "given by --data")
        rows.as_asked(t, "dataset", "the format of the rows is not given")
    elif len(names) > 1:
        rows.mixed(t, "dataset", [functools.partial(_data_set, t, name, stage) for name in names])
    elif not names and not t.flag("do_train") and any(t.has(key) for key in _OTHER_WORK):
        t.block_without_training(next(key for key in _OTHER_WORK if t.has(key)))
    elif not names:
        t.block("dataset", "no data set is named", "add the rows with `--data FILE --task TASK`")
    else:
        _data_set(t, names[0], stage)
    image_rows.trained_parts(t)
    has_validation = rows.validation_share(t, "val_size")
    training.early_stopping(t, "early_stopping_steps", has_validation=has_validation)


def _data_set(t: Translation, name: str, stage: str) -> None:
    folder = t.text("dataset_dir") or "data"
    entry = _registered(t, name, folder)
    if entry is None:
        return
    t.needless("dataset_dir", "the registry there was read")
    file = entry.get("file_name")
    hub = entry.get("hf_hub_url")
    here = _beside(t, folder, file) if isinstance(file, str) else None
    if here is not None:
        rows.place_named_rows(t, "dataset", path=here)
    elif isinstance(hub, str):
        rows.place_named_rows(t, "dataset", hub=hub)
    else:
        rows.place_named_rows(t, "dataset", unreachable=f"the registry names no file for `{name[:60]}`")
    has_images = isinstance(named := entry.get("columns"), dict) and "images" in named
    if has_images and isinstance(file, str) and not image_rows.images_are_beside(t, "dataset", folder, file):
        return
    columns_of(t, "dataset", entry, stage, t.options.data or here)


def _beside(t: Translation, folder: str, file: str) -> str:
    """The path of a registered file, from the folder where the registry was found."""
    for place in _places(folder):
        if t.around.read(f"{place}dataset_info.json") is not None:
            return f"{place}{file}"
    return file


def _places(folder: str) -> tuple[str, ...]:
    """Where a registry may lie, as seen from the configuration: its own folder, the data folder, and further up."""
    data = f"{folder.strip('/')}/"
    return ("", data, *(f"{'../' * up}{data}" for up in range(1, 5)))


def _registered(t: Translation, name: str, folder: str) -> dict[str, Any] | None:
    """What the registry says of a data set; where it can't be read, the reason is noted."""
    read = (t.around.read(f"{place}dataset_info.json") for place in _places(folder))
    raw = next((data for data in read if data is not None), None)
    if raw is None and t.options.data:
        rows.place_named_rows(t, "dataset", path="")
        rows.as_asked(t, "dataset", "the format of the rows is in `dataset_info.json`, which is not here")
    elif raw is None:
        help = "import next to `data/dataset_info.json`, or use `--data FILE --task TASK`"
        t.block("dataset", f"`{name[:60]}` is a name in `dataset_info.json`, which is not here", help)
    else:
        try:
            entry = json.loads(raw)[name]
        except (ValueError, LookupError, TypeError, RecursionError):
            entry = None
        if isinstance(entry, dict):
            return entry
        t.block("dataset", f"`dataset_info.json` has no entry `{name[:60]}`", "use `--data FILE --task TASK`")
    return None


def columns_of(t: Translation, key: str | Key, entry: dict[str, Any], stage: str, here: str | None = None) -> None:
    """The task that a registered data set's form and columns imply; `here` is the path of rows that can be read."""
    columns = entry.get("columns") if isinstance(entry.get("columns"), dict) else {}
    tags = entry.get("tags") if isinstance(entry.get("tags"), dict) else {}
    assert isinstance(columns, dict)
    assert isinstance(tags, dict)
    form = entry.get("formatting", "alpaca")
    names = {part: str(columns.get(part, usual)) for part, usual in _ALPACA_COLUMNS.items()}
    is_ranked = bool(entry.get("ranking")) or any(part in columns for part in ("chosen", "rejected"))
    if any(part in columns for part in ("videos", "audios")):
        t.block(key, "rows with video or sound are not imported", _TEXT_ALONE)
    elif "images" in columns and stage != "sft":
        t.block(key, f"rows with images are imported for `stage: sft`, and this is `{stage}`", _TEXT_ALONE)
    elif stage == "kto" and "kto_tag" in columns and form in ("sharegpt", "openai"):
        usual = "conversations" if form == "sharegpt" else "messages"
        named = {"messages": str(columns.get("messages", usual)), "rating": str(columns["kto_tag"])}
        rows.as_rated(t, key, named)
    elif is_ranked != (stage in _PAIRED) or stage == "kto" or "kto_tag" in columns:
        t.block(key, f"rows {'of' if is_ranked else 'without'} preferences, which `{stage}` does not train on", _RIGHT)
    elif is_ranked:
        _ranked(t, key, columns, str(form), stage)
    elif stage == "pt":
        rows.as_text(t, key, names["prompt"])
    elif form in ("sharegpt", "openai"):
        _conversation(t, key, columns, tags, str(form))
    else:
        has_query = not columns or "query" in columns
        marked = image_rows.MARK if "images" in columns else ""
        query = names["query"] if has_query else None
        prompt = [names["prompt"], *([query] if query else [])]
        lead = image_rows.marks_lead(t, key, here, prompt) if marked else True
        if lead is False:
            return
        rows.as_instruction(t, key, names["prompt"], query, names["response"], marked=marked)
        if marked:
            image_rows.named_images(t, key, str(columns["images"]), unread=lead is None)
        for part in ("system", "history"):
            if part in columns and f"data.fields.{part}" not in t.values:
                t.carry(key, f"data.fields.{part}", str(columns[part]))


def _conversation(t: Translation, key: str | Key, columns: dict[str, Any], tags: dict[str, Any], form: str) -> None:
    usual = _OPENAI_TAGS if form == "openai" else _TAGS
    named = {tag: tags.get(tag, name) for tag, name in usual.items()}
    if named not in (_OPENAI_TAGS, _TAGS):
        help = "rewrite the rows as `messages` of `role` and `content`, then use `--data FILE --task chat`"
        t.block(key, f"conversations whose parts are named {', '.join(map(str, named.values()))[:80]}", help)
    else:
        rows.as_chat(t, key, None, str(columns.get("messages", "conversations" if form == "sharegpt" else "messages")))
        if "images" in columns:
            image_rows.named_images(t, key, str(columns["images"]))
        if "system" in columns:
            t.carry(key, "data.fields.system", str(columns["system"]))


def _ranked(t: Translation, key: str | Key, columns: dict[str, Any], form: str, stage: str) -> None:
    """Rows with a better and a worse answer; a second column of the prompt has no place in them."""
    if form == "alpaca" and "query" in columns:
        t.block(key, "prompts in two columns", "join them, then use `--data FILE --task preference`")
        return
    prompt = columns.get("messages", "conversations") if form != "alpaca" else columns.get("prompt", "instruction")
    answers = {part: str(columns.get(part, part)) for part in ("chosen", "rejected")}
    named = {"prompt": str(prompt), **answers}
    if stage == "rm":
        rows.as_preference(t, key, named, kind=rows.SCORES)
    else:
        rows.as_preference(t, key, named)


def _train(t: Translation) -> None:
    if t.has("disable_gradient_checkpointing"):
        is_on = not t.flag("disable_gradient_checkpointing")
        t.carry("disable_gradient_checkpointing", "train.activation_checkpointing", is_on)
    training.trained(t, _TRAINER)


def _pissa(t: Translation, key: Key) -> None:
    """An adapter that begins with the weight's own main directions."""
    if not t.flag(key):
        t.needless(key, "off, as in ftc")
    elif t.values["strategy.kind"].value in words.LOW_RANK if "strategy.kind" in t.values else False:
        t.carry(key, "strategy.init", "pissa")
    else:
        t.needless(key, "belongs to a feature that is off")


def _pure_bfloat16(t: Translation, key: Key) -> None:
    if t.flag(key):
        training.narrow_weights(t, key)
    else:
        t.needless(key, "off, as in ftc")


def _named_optimizer(t: Translation, key: Key) -> None:
    """A switch of its own for an optimizer, such as `use_muon`."""
    kind = words.OPTIMIZERS.get(str(key[-1]).removeprefix("use_"))
    if not t.flag(key):
        t.needless(key, "off, as in ftc")
    elif kind:
        t.carry(key, "train.optimizer.kind", kind)
    else:
        t.drop(key, "AdamW is used instead of this optimizer")


_RULES: rules.Rules = {
    **rules.TRAINER,
    **rules.wholes({"cutoff_len": "data.max_length", "max_samples": "data.max_rows"}),
    **rules.wholes({"max_new_tokens": "eval.max_new_tokens"}),
    **rules.texts({"default_system": "task.system"}), **vocabulary.scaled_rotation("rope_scaling"),
    **vocabulary.added("add_tokens"), **vocabulary.added("add_special_tokens new_special_tokens", special=True),
    **rules.needless("the embedding always gets a row for each token", "resize_vocab"),
    **rules.each(training.packing, "packing neat_packing"),
    **rules.each(training.length_grouped, "group_by_length"),
    **rules.each(training.watched, "metric_for_best_model"),
    **rules.each(_pissa, "pissa_init"),
    **rules.each(_named_optimizer, "use_galore use_apollo use_badam use_adam_mini use_muon"),
    **rules.of_peft(modules="additional_target"),
    **rules.of_strategy({"oft_block_size": "strategy.block_size"}),
    **rules.of_strategy({
        "use_dora": "strategy.dora",
        "use_rslora": "strategy.rank_stabilized",
        "loraplus_lr_ratio": "strategy.loraplus_lr_ratio",
    }),
    **rules.needless("the task follows from it and from the rows", "stage"),
    **rules.each(image_rows.image_key, "freeze_vision_tower freeze_multi_modal_projector image_do_pan_and_scan "
        "crop_to_patches image_max_pixels image_min_pixels image_resolution"),
    **rules.needless("checkpoints contain everything needed to resume", "save_only_model"),
    **rules.needless("the task's metrics decide whether answers are generated", "predict_with_generate"),
    **rules.needless("ftc uses the exact decomposition", "pissa_iter"),
    **rules.needless("belongs to a feature that is off",
        "quantization_type double_quantization quantization_method lora_rank lora_alpha lora_dropout lora_target "
        "freeze_trainable_layers freeze_trainable_modules freeze_extra_modules oft_target"),
    **rules.needless(rules.LOGS, "plot_loss"),
    **rules.needless(rules.FOLDERS, "overwrite_cache"),
    **rules.needless(rules.OWN_LOADER,
        "preprocessing_batch_size streaming buffer_size data_shared_file_system dataset_dir media_dir"),
    **rules.needless(rules.FASTER_KERNELS, "use_unsloth use_unsloth_gc use_v1_kernels tf32"),
    **rules.each(training.fused_kernels, "enable_liger_kernel"),
    **rules.needless("saves memory, does not change the result", "use_reentrant_gc"),
    **rules.dropped("the model's own template is used", "template",
        "compare the rows in `ftc tokens`; `model.chat_template` takes a file with another one"),
    **rules.of_turns(lambda t, key: "all", "prompts are not trained on, only answers", "train_on_prompt"),
    **rules.of_turns(lambda t, key: "last", "the answer of a row is trained on", "mask_history"),
    **rules.dropped("a data set by name", "eval_dataset", "name its file in `data.split.validation`"),
    **rules.earlier_adapters("adapter_name_or_path", new="create_new_adapter"),
    **rules.each(_pure_bfloat16, "pure_bf16"),
    **rules.each(rounding.in_float8, "fp8"),
    **rules.needless("torchao computes them", "fp8_backend"),
    **rules.dropped("parts are put together in bfloat16, and then rounded", "fp8_enable_fsdp_float8_all_gather"),
    **rules.dropped("rows are read from their file", "tokenized_path", "use `--data FILE --task TASK`"),
    **rules.dropped("token accuracy is not supported", "compute_accuracy"),
    **rules.dropped("the test split is evaluated at the end", "do_predict", "give `data.split.test` a share"),
    **rules.dropped("this variant of LoRA is not supported; plain LoRA is used instead", "loraplus_lr_embedding"),
    **rules.dropped("the adapter is saved as trained; `ftc run merge` merges it into its base model",
        "pissa_convert"),
    **rules.dropped("the default loss is used instead of this one",
        "use_dft_loss use_asft_loss use_eaft_loss asft_alpha eaft_alpha"),
    **rules.dropped("belongs to a method that ftc does not support",
        "galore_layerwise galore_target galore_rank galore_scale apollo_layerwise apollo_target apollo_rank "
        "apollo_scale apollo_scale_type badam_mode badam_switch_mode badam_switch_interval badam_verbose "
        "mixture_of_depths reward_model ref_model"),
    **rules.dropped("OFT blocks are set by their size, not by their number", "oft_rank",
        "write `strategy.block_size`"),
    **rules.blocking("nothing is left to train", "freeze_language_model", "remove it"),
    **rules.switched({"moe_aux_loss_coef": "train.router_aux_loss"}),
    **rules.blocking("LLaMA Pro is not supported", "use_llama_pro", "choose lora, qlora or full"),
    **rules.shared_work(f"fsdp_transformer_layer_cls_to_wrap use_mca {LAUNCHER}"),
    **rules.needless("what the command runs", SCRIPT),
    **divided_layers("pipeline_model_parallel_size sequence_parallel "
        "expert_model_parallel_size"),
    **shared_rows("context_parallel_size"),
    **parts_of_layers("tensor_model_parallel_size"),
    **rules.dropped("a recipe names no launcher", "ray_num_workers ray_run_name ray_storage_path resources_per_worker "
        "placement_strategy", "`ftc launch PLAN --on ray`"),
    **rules.ignored("belongs to another of LLaMA-Factory's commands, which stops at it when it trains",
        "export_dir export_size export_device export_legacy_format export_quantization_bit infer_backend "
        "export_quantization_dataset export_hub_model_id"),
}  # fmt: skip

LLAMAFACTORY = rules.Tool(
    name="llamafactory",
    marks=(
        ("model_name_or_path",),
        ("stage", "finetuning_type", "cutoff_len", "template", "dataset_dir", "lora_target", "lora_rank"),
    ),
    model=rules.ModelKeys("model_name_or_path", "model_revision", "flash_attn"),
    steps=(_strategy, _rows, _train, trackers.of_trainer),
    rules=_RULES,
    unknown=lambda t, key: t.drop(key, _UNKNOWN),
    defaults={
        "data.max_length": 2048,
        "train.learning_rate": 5e-5,
        "train.epochs": 3,
        "train.schedule.kind": "linear",
        "train.optimizer.weight_decay": 0,
        "train.seed": 42,
    },
)
"""LLaMA-Factory's flat configurations, and what it takes where they say nothing."""
