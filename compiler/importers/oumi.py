"""Oumi: nested blocks, strictly checked by Oumi itself, with data sets that are classes known by name."""

from __future__ import annotations

import functools

from ftc.compiler.importers import low_rank, rules, training
from ftc.compiler.importers.foreign import Foreign
from ftc.compiler.importers.rows import (
    as_asked,
    as_chat,
    as_instruction,
    as_preference,
    mixed,
    place_named_rows,
    place_rows,
)
from ftc.compiler.importers.rules import Rule, Tool, blocking, dropped, needless, number, tabled, whole
from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.language.yaml_nodes import Mapping

__all__ = ["OUMI"]

_ADAPTER = training.AdapterKeys("peft.lora_r", "peft.lora_alpha", "peft.lora_dropout", "peft.lora_target_modules", 8, 8)
_ALPACA = ("yahma/alpaca-cleaned", "tatsu-lab/alpaca")
_MESSAGES = ("HuggingFaceH4/ultrachat_200k", "allenai/tulu-3-sft-mixture")
_FILES = ("text_sft", "text_sft_jsonl")
_SUPERVISED = "choose a configuration for supervised training"


def _recognises(foreign: Foreign) -> bool:
    model = foreign.root.entries.get("model")
    return model is not None and isinstance(model.node, Mapping) and "model_name" in model.node.entries


def _model(t: Translation) -> None:
    training.base_model(t, "model.model_name", "model.model_revision")
    training.attention(t, "model.attn_implementation")


def _strategy(t: Translation) -> None:
    kind = t.text("training.trainer_type")
    if not t.has("training"):
        t.block((), "no training: a configuration for inference or evaluation", "give one that trains")
    elif kind == "TRL_DPO":
        t.carry("training.trainer_type", "task.kind", "preference")
    elif kind not in (None, "TRL_SFT", "HF", "OUMI"):
        t.block("training.trainer_type", f"no training of the kind `{(kind or '')[:40]}`", _SUPERVISED)
    t.needless("training.trainer_type", "supervised training")
    if not t.flag("training.use_peft"):
        t.carry("training.use_peft", "strategy.kind", "full")
        t.ignore("peft", "without `training.use_peft: true` Oumi makes no adapter", "set it if an adapter was meant")
        return
    is_quantized = t.flag("peft.q_lora")
    bits = t.whole("peft.q_lora_bits") or 4
    if is_quantized and bits != 4:
        t.drop("peft.q_lora_bits", f"no training on {bits}-bit weights", "only 4 bits")
        is_quantized = False
        t.drop("peft.q_lora", "no training on such weights")
    keys: list[str | Key] = ["training.use_peft", "peft.q_lora"] if is_quantized else ["training.use_peft"]
    t.carry(keys, "strategy.kind", "qlora" if is_quantized else "lora")
    if is_quantized:
        _quantization(t)
    training.adapter(t, _ADAPTER)


def _quantization(t: Translation) -> None:
    kind = t.text("peft.bnb_4bit_quant_type")
    if kind in ("nf4", "fp4"):
        t.carry("peft.bnb_4bit_quant_type", "strategy.quantization", kind)
    t.add("strategy.quantization", "fp4", "Oumi's default")
    if t.has("peft.use_bnb_nested_quant"):
        t.carry("peft.use_bnb_nested_quant", "strategy.double_quantization", t.flag("peft.use_bnb_nested_quant"))
    t.add("strategy.double_quantization", False, "Oumi's default")


def _rows(t: Translation) -> None:
    sets = t.items("data.train.datasets")
    if len(sets) == 1:
        _data_set(t, sets[0])
    elif sets and not t.options.data:
        shares = [(*key, "mixture_proportion") for key in sets]
        one = [functools.partial(_data_set, t, key) for key in sets]
        is_weighted = mixed(t, "data.train.datasets", one, shares)
        if is_weighted and t.text("data.train.mixture_strategy") == "all_exhausted":
            t.carry("data.train.mixture_strategy", "data.exhausted", "repeat")
    elif t.options.data:
        t.add("data.source.path", t.options.data, "given by --data")
        as_asked(t, "data.train.datasets", "the shape of the rows is not said")
        if t.options.task and not t.has("data.train.datasets"):
            as_asked(t, (), "")
    else:
        t.block("data", "no rows to train on are named", "give a configuration that trains, or `--data FILE`")
    t.add("data.split.validation", 0, "Oumi takes validation rows from data sets of their own")
    t.add("data.split.test", 0, "Oumi's test rows are data sets of their own; a share such as 0.1 measures the result")


def _data_set(t: Translation, key: Key) -> None:
    name_key = (*key, "dataset_name")
    name = t.text(name_key) or ""
    path_key = (*key, "dataset_path")
    is_dpo = t.text("training.trainer_type") == "TRL_DPO"
    if is_dpo and not ("/" in name or t.options.data):
        help = "use `--data FILE --task preference`"
        t.block(name_key, f"`{name[:60]}` is no set of preferences in ftc's table", help)
    elif is_dpo:
        place_named_rows(t, name_key, hub=name)
        as_preference(t, name_key, {}, "columns `prompt`, `chosen` and `rejected`; compare them with the rows")
    elif name in _FILES and (t.has(path_key) or t.options.data):
        place_rows(t, path_key)
        as_chat(t, name_key, None)
    elif name in _ALPACA:
        place_named_rows(t, name_key, hub=name)
        as_instruction(t, name_key, "instruction", "input", "output", between="\\n\\n### Input:\\n")
    elif name in _MESSAGES:
        place_named_rows(t, name_key, hub=name)
        as_chat(t, name_key, None)
    elif name == "PromptResponseDataset":
        _prompts(t, key)
    elif t.options.data:
        place_named_rows(t, name_key)
        as_asked(t, name_key, "the shape of the rows is not said")
    else:
        t.block(name_key, f"no data set class `{name[:60]}` in ftc's table", "use `--data FILE --task TASK`")


def _prompts(t: Translation, key: Key) -> None:
    kwargs = (*key, "dataset_kwargs")
    named = next((inner for inner in ("hf_dataset_path", "dataset_path") if t.has((*kwargs, inner))), None)
    place = (*kwargs, named) if named else (*key, "dataset_path")
    place_rows(t, place)
    columns = [
        t.text((*kwargs, part)) or usual
        for part, usual in (("prompt_column", "instruction"), ("response_column", "output"))
    ]
    as_instruction(t, (*key, "dataset_name"), columns[0], None, columns[1])
    for part in ("prompt_column", "response_column"):
        t.needless((*kwargs, part), "its column stands in the recipe")


def _train(t: Translation) -> None:
    training.steps(t, "training.max_steps")
    rows, times = "training.per_device_train_batch_size", "training.gradient_accumulation_steps"
    training.batch(t, rows, times, default_micro=8)
    word = training.schedule(t, "training.lr_scheduler_type")
    training.warmup(t, "training.warmup_ratio", "training.warmup_steps", word)
    training.optimizer(t, "training.optimizer")
    training.checkpointing(t, "training.enable_gradient_checkpointing")
    training.evaluation(
        t, "training.eval_strategy", "training.eval_steps", "training.save_epoch", "training.save_steps"
    )
    _precision(t)


def _precision(t: Translation) -> None:
    mixed = (t.text("training.mixed_precision_dtype") or "none").lower()
    weights = (t.text("model.torch_dtype_str") or "auto").lower()
    known = {"bf16": "bfloat16", "bfloat16": "bfloat16", "float32": "float32", "fp32": "float32"}
    if mixed in known:
        t.carry("training.mixed_precision_dtype", "train.precision", known[mixed])
    elif mixed == "none" and weights in known:
        t.carry("model.torch_dtype_str", "train.precision", known[weights])
    elif mixed != "none":
        help = "the plan takes bfloat16 where the device is fast at it, else float32"
        t.drop("training.mixed_precision_dtype", "no training in float16", help)


def _unknown(t: Translation, key: Key) -> None:
    t.drop(key, "no counterpart in a recipe")


_RULES: dict[str, Rule] = {
    "training.learning_rate": number("train.learning_rate"),
    "training.num_train_epochs": number("train.epochs"),
    "training.weight_decay": number("train.optimizer.weight_decay"),
    "training.adam_beta1": number("train.optimizer.beta1"),
    "training.adam_beta2": number("train.optimizer.beta2"),
    "training.adam_epsilon": number("train.optimizer.epsilon"),
    "training.max_grad_norm": number("train.max_grad_norm"),
    "training.seed": whole("train.seed"),
    "training.per_device_eval_batch_size": whole("eval.batch_size"),
    "model.model_max_length": whole("data.max_length"),
    "data.train.datasets.sample_count": whole("data.max_rows"),
    "data.train.datasets.split": dropped("the file is the split; a part of it is not taken", off=("train", "")),
    "data.train.datasets.subset": dropped("a subset is a file of its own", "name it with `--hub-file FILE`"),
    "data.train.datasets.dataset_kwargs": dropped("arguments of a class of Oumi's"),
    "data.train.datasets.dataset_path": needless("the rows are named otherwise"),
    "data.train.datasets.mixture_proportion": needless("a single data set"),
    "data.train.pack": training.packing,
    "data.train.collator_name": dropped("the task tells how rows become batches"),
    "data.train.target_col": needless("the task tells which column is learnt"),
    "data.validation": dropped("validation rows from a class", "give `data.split.validation` a share or a file"),
    "data.test": dropped("test rows from a class", "give `data.split.test` a share or a file"),
    "model.chat_template": dropped("the model's own template is used", "compare the prompts that `ftc plan` shows"),
    "model.trust_remote_code": dropped(rules.NO_CODE, "the model has to be one that transformers knows"),
    "model.load_pretrained_weights": blocking("no training from weights drawn at random", "start from a model",
                                              off=(True,)),
    "model.freeze_layers": blocking("no training of chosen layers alone", "choose lora, qlora or full training"),
    "model.adapter_model": dropped("training starts from a new adapter", "merge the old one into the base first"),
    "model.tokenizer_pad_token": dropped("the tokenizer's own tokens are used"),
    "model.torch_dtype_str": needless("the plan chooses how weights are kept"),
    "model.enable_liger_kernel": needless(rules.FASTER_KERNELS),
    "model.model_kwargs": dropped("arguments for a constructor"),
    "model.tokenizer_kwargs": dropped("arguments for a constructor"),
    "model.device_map": dropped(rules.SHARDING),
    "training.mixed_precision_dtype": needless("the plan chooses"),
    "training.lr_scheduler_kwargs": dropped("a schedule's further arguments, such as a floor"),
    "training.trainer_kwargs": dropped("a free block, of which Oumi checks nothing before it trains",
                                       "look for settings in it that belong into the recipe"),
    "training.resume_from_checkpoint": needless("a run goes on by itself where it stopped"),
    "training.try_resume_from_last_checkpoint": needless("a run goes on by itself where it stopped"),
    "training.data_seed": dropped("the order of rows follows from `train.seed`"),
    "training.use_deterministic": needless("always"),
    "training.full_determinism": needless("always"),
    "peft.lora_modules_to_save": low_rank.modules_to_save,
    "peft.lora_init_weights": low_rank.beginning,
    "peft.lora_bias": dropped("biases are not trained", off=("none",)),
    "peft.peft_save_mode": needless("`ftc` saves the adapter; merging is a step of its own"),
    **tabled(needless("belongs to a feature that is off"),
             "peft.q_lora peft.q_lora_bits peft.bnb_4bit_quant_type peft.use_bnb_nested_quant peft.lora_task_type"),
    **tabled(needless("the plan chooses how weights are kept"),
             "peft.bnb_4bit_compute_dtype peft.bnb_4bit_quant_storage"),
    **tabled(needless(rules.LOGS),
             "training.logging_steps training.logging_strategy training.logging_first_step training.log_level "
             "training.dep_log_level training.include_performance_metrics training.log_model_summary "
             "training.include_alternative_mfu_metrics training.run_name training.profiler training.telemetry "
             "training.log_examples training.performance"),
    **tabled(dropped("trackers are not spoken to; the run folder has it all"),
             "training.enable_wandb training.enable_mlflow training.enable_tensorboard"),
    **tabled(needless(rules.FOLDERS), "training.output_dir training.logging_dir"),
    **tabled(needless("an adapter or a model is saved at the end, always"), "training.save_final_model"),
    **tabled(needless(rules.OWN_LOADER),
             "training.dataloader_num_workers training.dataloader_prefetch_factor data.train.stream "
             "training.dataloader_main_process_only training.dataloader_persistent_workers data.train.use_torchdata "
             "data.train.datasets.shuffle data.train.datasets.seed data.train.datasets.transform_num_workers "
             "data.train.datasets.shuffle_buffer_size data.train.datasets.trust_remote_code data.train.seed "
             "data.train.mixture_strategy"),
    **tabled(needless("saves memory or time, not what is trained"),
             "training.gradient_checkpointing_kwargs training.empty_device_cache_steps training.compile model.compile"),
    **tabled(dropped(rules.SHARDING),
             "fsdp deepspeed training.ddp_find_unused_parameters training.nccl_default_timeout_minutes"),
}  # fmt: skip

OUMI = Tool(
    name="oumi",
    title="Oumi",
    recognises=_recognises,
    steps=(_model, _strategy, _rows, _train),
    rules=_RULES,
    unknown=_unknown,
    defaults={
        "train.learning_rate": 5e-5,
        "train.epochs": 3,
        "train.schedule.kind": "linear",
        "train.optimizer.weight_decay": 0,
        "train.seed": 42,
    },
)
"""Oumi's training configurations, and what Oumi takes where they say nothing."""
