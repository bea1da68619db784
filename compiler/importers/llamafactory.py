"""LLaMA-Factory, the flat form: data sets are names in a registry, `dataset_info.json`, that lies elsewhere."""

from __future__ import annotations

import functools
import json
from typing import Any

from ftc.compiler.importers import low_rank, rules, training
from ftc.compiler.importers.foreign import Foreign
from ftc.compiler.importers.rows import (
    as_asked,
    as_chat,
    as_instruction,
    as_preference,
    as_text,
    mixed,
    place_named_rows,
    validation_share,
)
from ftc.compiler.importers.rules import Rule, Tool, blocking, dropped, needless, number, tabled, text, whole
from ftc.compiler.importers.translation import Key, Translation

__all__ = ["LLAMAFACTORY", "columns_of"]

_ADAPTER = training.AdapterKeys("lora_rank", "lora_alpha", "lora_dropout", "lora_target", 8, "twice")
_ALPACA_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output"}
_TAGS = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"}
_OPENAI_TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
_SUPERVISED = "choose a configuration with `stage: sft`"
_RIGHT = "choose a data set of the kind that the stage trains on"
_OTHER_VERB = "belongs to another of LLaMA-Factory's commands, which stops at it when it trains"


def _recognises(foreign: Foreign) -> bool:
    telling = ("stage", "finetuning_type", "cutoff_len", "template", "dataset_dir", "lora_target", "lora_rank")
    return "model_name_or_path" in foreign.root.entries and any(key in foreign.root.entries for key in telling)


def _model(t: Translation) -> None:
    training.base_model(t, "model_name_or_path", "model_revision")
    training.attention(t, "flash_attn")


def _strategy(t: Translation) -> None:
    bits = t.whole("quantization_bit")
    method = t.text("quantization_method") or "bnb"
    is_four_bit = bits == 4 and method in ("bnb", "bitsandbytes")
    is_eight_bit = bits == 8 and method in ("bnb", "bitsandbytes")
    if bits and not (is_four_bit or is_eight_bit):
        help = "only 4 and 8 bits by bitsandbytes"
        t.drop("quantization_bit", f"no training on {bits}-bit weights by {method[:20]}", help)
    word = t.text("finetuning_type")
    match word or "lora":
        case "full":
            t.carry("finetuning_type", "strategy.kind", "full")
            t.drop("quantization_bit", "quantised weights can't be trained in full")
        case "lora":
            known: list[str | Key] = ["finetuning_type"] if word else []
            if is_eight_bit:
                training.in_8_bits(t, known, "quantization_bit")
            else:
                keys = [*known, "quantization_bit"] if is_four_bit else known
                t.carry(keys, "strategy.kind", "qlora" if is_four_bit else "lora")
            if is_four_bit:
                _quantization(t)
            training.adapter(t, _ADAPTER)
            if not t.has("lora_target"):
                t.add("strategy.targets", "all-linear", "LLaMA-Factory's default")
        case other:
            t.block("finetuning_type", f"no strategy like `{other[:40]}`", "choose lora, qlora or full")


def _quantization(t: Translation) -> None:
    kind = t.text("quantization_type")
    if kind in ("nf4", "fp4"):
        t.carry("quantization_type", "strategy.quantization", kind)
    if t.has("double_quantization"):
        t.carry("double_quantization", "strategy.double_quantization", t.flag("double_quantization"))
    t.needless("quantization_method", "bitsandbytes is what ftc uses")


def _rows(t: Translation) -> None:
    stage = t.text("stage") or "sft"
    if stage not in ("sft", "pt", "dpo"):
        t.block("stage", f"no training of the kind `{stage[:40]}`", _SUPERVISED)
    if stage == "dpo":
        _preferences(t)
    names = t.names("dataset")
    if t.options.data and not (len(names) == 1 and t.options.task is None):
        t.add("data.source.path", t.options.data, "given by --data")
        as_asked(t, "dataset", "the shape of the rows is not said")
    elif len(names) > 1:
        mixed(t, "dataset", [functools.partial(_data_set, t, name, stage) for name in names])
    elif not names:
        t.block("dataset", "no data set is named", "give the rows with `--data FILE --task TASK`")
    else:
        _data_set(t, names[0], stage)
    has_validation = validation_share(t, "val_size")
    training.early_stopping(t, "early_stopping_steps", has_validation=has_validation)


def _preferences(t: Translation) -> None:
    """Direct preference optimisation; the other losses of that stage are others' methods."""
    if (loss := t.text("pref_loss")) not in (None, "sigmoid"):
        t.block("pref_loss", f"no preference loss `{(loss or '')[:40]}`", "ftc has `sigmoid`, which is DPO")
    t.needless("pref_loss", "direct preference optimisation")
    if (beta := t.number("pref_beta")) is not None:
        t.carry("pref_beta", "task.beta", beta)


def _data_set(t: Translation, name: str, stage: str) -> None:
    folder = t.text("dataset_dir") or "data"
    entry = _registered(t, name, folder)
    if entry is None:
        return
    t.needless("dataset_dir", "the registry there was read")
    file = entry.get("file_name")
    hub = entry.get("hf_hub_url")
    if isinstance(file, str):
        place_named_rows(t, "dataset", path=_beside(t, folder, file))
    elif isinstance(hub, str):
        place_named_rows(t, "dataset", hub=hub)
    else:
        place_named_rows(t, "dataset", unreachable=f"the registry tells no file for `{name[:60]}`")
    columns_of(t, "dataset", entry, stage)


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
        place_named_rows(t, "dataset", path="")
        as_asked(t, "dataset", "the shape of the rows stands in `dataset_info.json`, which is not here")
    elif raw is None:
        help = "import beside `data/dataset_info.json`, or use `--data FILE --task TASK`"
        t.block("dataset", f"`{name[:60]}` is a name in `dataset_info.json`, which is not here", help)
    else:
        try:
            entry = json.loads(raw)[name]
        except (ValueError, LookupError, TypeError, RecursionError):
            entry = None
        if isinstance(entry, dict):
            return entry
        t.block("dataset", f"`dataset_info.json` says nothing of `{name[:60]}`", "use `--data FILE --task TASK`")
    return None


def columns_of(t: Translation, key: str | Key, entry: dict[str, Any], stage: str) -> None:
    """The task that a registered data set's form and columns imply."""
    columns = entry.get("columns") if isinstance(entry.get("columns"), dict) else {}
    tags = entry.get("tags") if isinstance(entry.get("tags"), dict) else {}
    assert isinstance(columns, dict)
    assert isinstance(tags, dict)
    form = entry.get("formatting", "alpaca")
    names = {part: str(columns.get(part, usual)) for part, usual in _ALPACA_COLUMNS.items()}
    is_ranked = bool(entry.get("ranking")) or any(part in columns for part in ("chosen", "rejected"))
    if is_ranked != (stage == "dpo") or "kto_tag" in columns:
        t.block(key, f"rows {'of' if is_ranked else 'without'} preferences, which `{stage}` does not train on", _RIGHT)
    elif is_ranked:
        _ranked(t, key, columns, str(form))
    elif any(part in columns for part in ("images", "videos", "audios")):
        t.block(key, "rows with images or sound, which ftc does not train on", "choose another data set")
    elif stage == "pt":
        as_text(t, key, names["prompt"])
    elif form in ("sharegpt", "openai"):
        _conversation(t, key, columns, tags, str(form))
    elif "history" in columns:
        t.block(key, "rows with a history of turns are not read", "rewrite them as `messages`, then use `--data FILE`")
    else:
        has_query = not columns or "query" in columns
        as_instruction(t, key, names["prompt"], names["query"] if has_query else None, names["response"])


def _conversation(t: Translation, key: str | Key, columns: dict[str, Any], tags: dict[str, Any], form: str) -> None:
    usual = _OPENAI_TAGS if form == "openai" else _TAGS
    named = {tag: tags.get(tag, name) for tag, name in usual.items()}
    if named not in (_OPENAI_TAGS, _TAGS):
        help = "rewrite the rows as `messages` of `role` and `content`, then use `--data FILE --task chat`"
        t.block(key, f"conversations whose parts are named {', '.join(map(str, named.values()))[:80]}", help)
    else:
        as_chat(t, key, None, str(columns.get("messages", "conversations" if form == "sharegpt" else "messages")))


def _ranked(t: Translation, key: str | Key, columns: dict[str, Any], form: str) -> None:
    """Rows with a better and a worse answer; a second column of the prompt has no place in them."""
    if form == "alpaca" and "query" in columns:
        t.block(key, "prompts in two columns", "join them, then use `--data FILE --task preference`")
        return
    prompt = columns.get("messages", "conversations") if form != "alpaca" else columns.get("prompt", "instruction")
    answers = {part: str(columns.get(part, part)) for part in ("chosen", "rejected")}
    as_preference(t, key, {"prompt": str(prompt), **answers})


def _train(t: Translation) -> None:
    training.steps(t, "max_steps")
    training.batch(t, "per_device_train_batch_size", "gradient_accumulation_steps", default_micro=8)
    word = training.schedule(t, "lr_scheduler_type")
    training.warmup(t, "warmup_ratio", "warmup_steps", word)
    training.optimizer(t, "optim")
    training.precision(t, "bf16", "fp16")
    if t.has("disable_gradient_checkpointing"):
        is_on = not t.flag("disable_gradient_checkpointing")
        t.carry("disable_gradient_checkpointing", "train.activation_checkpointing", is_on)
    training.checkpointing(t, "gradient_checkpointing", default=True)
    training.evaluation(t, "eval_strategy", "eval_steps", "save_strategy", "save_steps")


def _unknown(t: Translation, key: Key) -> None:
    t.drop(key, "no counterpart in a recipe, if LLaMA-Factory knows it; it stops at keys that it doesn't")


_RULES: dict[str, Rule] = {
    "learning_rate": number("train.learning_rate"),
    "num_train_epochs": number("train.epochs"),
    "weight_decay": number("train.optimizer.weight_decay"),
    "adam_beta1": number("train.optimizer.beta1"),
    "adam_beta2": number("train.optimizer.beta2"),
    "adam_epsilon": number("train.optimizer.epsilon"),
    "max_grad_norm": number("train.max_grad_norm"),
    "seed": whole("train.seed"),
    "cutoff_len": whole("data.max_length"),
    "max_samples": whole("data.max_rows"),
    "save_total_limit": whole("train.keep_checkpoints"),
    "per_device_eval_batch_size": whole("eval.batch_size"),
    "max_new_tokens": whole("eval.max_new_tokens"),
    "default_system": text("task.system"),
    "stage": needless("supervised training"),
    "do_train": needless("`ftc apply` trains"),
    "template": dropped("the model's own template is used", "compare the first prompts that `ftc plan` shows"),
    "packing": training.packing,
    "neat_packing": training.packing,
    "group_by_length": training.length_grouped,
    "train_on_prompt": dropped("prompts are never learnt, only answers"),
    "mask_history": dropped("every turn of the assistant is learnt"),
    "eval_dataset": dropped("a data set by name", "name its file in `data.split.validation`"),
    "trust_remote_code": dropped(rules.NO_CODE, "the model has to be one that transformers knows"),
    "adapter_name_or_path": dropped("training starts from a new adapter", "merge the old one into the base first"),
    "pure_bf16": dropped("trained weights stay in float32", "the plan takes bfloat16 where the device is fast at it"),
    "additional_target": low_rank.modules_to_save,
    "freeze_vision_tower": needless("only text is trained on"),
    "freeze_multi_modal_projector": needless("only text is trained on"),
    "freeze_language_model": blocking("nothing is left to train", "leave it out"),
    "use_llama_pro": blocking("no LLaMA Pro", "choose lora, qlora or full"),
    "tokenized_path": dropped("rows are read from their file", "use `--data FILE --task TASK`"),
    "include_num_input_tokens_seen": needless(rules.LOGS),
    "resume_from_checkpoint": needless("a run goes on by itself where it stopped"),
    "save_only_model": needless("checkpoints hold what is needed to go on"),
    "report_to": dropped("trackers are not spoken to; the run folder has it all", off=("none", (), ("none",))),
    "compute_accuracy": dropped("no accuracy of single tokens"),
    "predict_with_generate": needless("the task's metrics tell whether answers are written"),
    "do_eval": needless("follows from the split"),
    "do_predict": dropped("the test split is measured at the end", "give `data.split.test` a share"),
    "load_best_model_at_end": needless("the best checkpoint always stays"),
    **rules.variants("use_dora", "use_rslora"),
    "label_smoothing_factor": rules.switched("train.label_smoothing"),
    **tabled(dropped("no such variant of LoRA, so plain LoRA stands in its place"),
             "pissa_init pissa_iter pissa_convert loraplus_lr_embedding"),
    **tabled(dropped("AdamW stands in the place of this optimiser"),
             "use_galore use_apollo use_badam use_adam_mini use_muon"),
    **tabled(dropped("the usual loss stands in the place of this one"),
             "use_dft_loss use_asft_loss use_eaft_loss asft_alpha eaft_alpha"),
    **tabled(dropped("belongs to a method that ftc does not have"),
             "galore_layerwise galore_target galore_rank galore_scale apollo_layerwise apollo_target apollo_rank "
             "apollo_scale apollo_scale_type badam_mode badam_switch_mode badam_switch_interval badam_verbose "
             "oft_block_size oft_target oft_rank mixture_of_depths freeze_trainable_layers "
             "freeze_trainable_modules reward_model ref_model"),
    **tabled(needless(rules.LOGS), "logging_steps logging_first_step plot_loss run_name log_level"),
    **tabled(needless(rules.FOLDERS), "output_dir overwrite_output_dir overwrite_cache logging_dir"),
    **tabled(needless(rules.OWN_LOADER),
             "preprocessing_num_workers dataloader_num_workers preprocessing_batch_size streaming buffer_size "
             "remove_unused_columns data_shared_file_system dataset_dir media_dir"),
    **tabled(dropped(rules.SHARDING),
             "deepspeed fsdp fsdp_config fsdp_transformer_layer_cls_to_wrap ddp_timeout ddp_find_unused_parameters "
             "ray_num_workers ray_run_name ray_storage_path resources_per_worker placement_strategy use_mca "
             "tensor_model_parallel_size pipeline_model_parallel_size sequence_parallel context_parallel_size "
             "expert_model_parallel_size"),
    **tabled(needless(rules.FASTER_KERNELS), "enable_liger_kernel use_unsloth use_unsloth_gc use_v1_kernels tf32"),
    **tabled(needless("saves memory, not what is trained"), "gradient_checkpointing_kwargs use_reentrant_gc"),
    **tabled(needless("belongs to a feature that is off"),
             "quantization_type double_quantization quantization_method lora_rank lora_alpha lora_dropout lora_target"),
    **tabled(rules.ignored(_OTHER_VERB),
             "export_dir export_size export_device export_legacy_format export_quantization_bit infer_backend "
             "export_quantization_dataset export_hub_model_id"),
}  # fmt: skip

LLAMAFACTORY = Tool(
    name="llamafactory",
    title="LLaMA-Factory",
    recognises=_recognises,
    steps=(_model, _strategy, _rows, _train),
    rules=_RULES,
    unknown=_unknown,
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
