"""Axolotl: one flat YAML file; keys that no schema knows are dropped there without a word."""

from __future__ import annotations

import functools

from ftc.compiler.importers import (
    axolotl_rows,
    parameters,
    rounding,
    rows,
    rules,
    sampling,
    trackers,
    training,
    vocabulary,
    words,
)
from ftc.compiler.importers.axolotl_keys import OTHER_KEYS, PREFERENCE_NUMBERS, RATING_NUMBERS
from ftc.compiler.importers.meshes import divided_layers, mesh_sizes, parts_of_layers, shared_rows
from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.preference_losses import preference_loss_named

__all__ = ["AXOLOTL"]

_TRAINER = training.TrainerKeys(
    micro="micro_batch_size",
    micro_rows=1,
    schedule="lr_scheduler",
    usual_schedule="cosine",
    warmup=0.03,
    optimizer="optimizer",
)
_SUPERVISED = "choose a configuration for supervised training"
_READS_NOTHING = "unknown to Axolotl, which silently ignores such keys"


def _strategy(t: Translation) -> None:
    if t.flag("flash_attention") and "model.attention" not in t.values:
        t.carry("flash_attention", "model.attention", "flash_attention_2")
    word = t.text("adapter")
    kind = words.strategy_called("axolotl", word or "")
    four_bit = t.flag("load_in_4bit")
    eight_bit = t.flag("load_in_8bit") and not (four_bit or "quantization" in words.FIELDS.get(kind or "", ()))
    if t.flag("load_in_8bit") and not eight_bit:
        t.conflict("load_in_8bit", "the same file asks for 4 bits", "keep one of the two")
    if word is None:
        if t.names("unfrozen_parameters"):
            parameters.only(t, "unfrozen_parameters")
        else:
            t.add("strategy.kind", words.STRATEGIES["axolotl"][""], "no adapter is named")
        for bits in [bits for bits, is_asked in ((4, four_bit), (8, eight_bit)) if is_asked]:
            t.drop(f"load_in_{bits}bit", f"{bits}-bit weights without an adapter can't be trained")
        for key in (
            "lora_r",
            "lora_alpha",
            "lora_dropout",
            "lora_target_modules",
            "lora_target_linear",
            "lora_target_parameters",
        ):
            t.ignore(key, "without `adapter` Axolotl trains all weights", "name the adapter if one was meant")
    elif kind is None:
        t.block("adapter", f"no strategy matches the adapter `{word[:40]}`", words.choose_strategy("axolotl"))
    elif kind in words.LOW_RANK:
        _low_rank(t, kind, four_bit=four_bit, eight_bit=eight_bit)
    else:
        t.carry("adapter", "strategy.kind", kind)
        if t.flag("lora_target_linear") and "targets" in words.FIELDS[kind]:
            t.carry("lora_target_linear", "strategy.targets", "all-linear")
        asked = [f"load_in_{bits}bit" for bits, is_asked in ((4, four_bit), (8, eight_bit)) if is_asked]
        words.other_adapter(t, kind, words.AdapterKeys(), asked)


def _low_rank(t: Translation, kind: str, *, four_bit: bool, eight_bit: bool) -> None:
    if kind == words.low_rank_kind(quantized=True) and not four_bit:
        t.conflict("adapter", "qlora needs `load_in_4bit: true`, without which Axolotl stops", "the recipe is a qlora")
        t.add("strategy.kind", kind, "from adapter")
    else:
        words.low_rank(t, ["adapter"], "load_in_4bit" if four_bit else None, "load_in_8bit" if eight_bit else None)
    if t.flag("lora_target_linear"):
        if t.has("lora_target_modules"):
            t.conflict("lora_target_modules", "`lora_target_linear` adapts all linear layers", "keep one of the two")
        t.carry("lora_target_linear", "strategy.targets", "all-linear")
    words.adapter(t, words.AdapterKeys(parameters="lora_target_parameters"))


def _rows(t: Translation) -> None:
    sets = t.items("datasets")
    one, method = axolotl_rows.data_set, t.text("rl")
    if method == "grpo":
        sampling.as_sampled(t, "rl", "trl.")
        sampling.of_server(t, "trl.")
        one = sampling.prompts
    elif method is not None and preference_loss_named(method) is not None:
        losses = t.names("dpo_loss_type") if method == "dpo" else ()
        # Its SimPO is TRL's CPO trainer with another loss, which keeps the SFT loss unless told.
        usual = {"beta": 0.1, "sft_weight": 1.0 if method == "simpo" else 0.0}
        for loss in losses or (method,):
            numbers = {"orpo_alpha": "beta"} if method == "orpo" else PREFERENCE_NUMBERS
            numbers = RATING_NUMBERS if method == "kto" else numbers
            rows.as_compared(t, "dpo_loss_type" if losses else "rl", loss, numbers, usual)
        t.needless("rl", "set by the loss")
        t.needless("dpo_loss_type", "the loss of another method")
        one = axolotl_rows.rated_rows if method == "kto" else axolotl_rows.preferred_rows
    elif t.flag("process_reward_model"):
        one = axolotl_rows.stepwise_rows
    elif t.flag("reward_model"):
        one = axolotl_rows.scored_rows
    if len(sets) > 1:
        rows.mixed(t, "datasets", [functools.partial(one, t, key) for key in sets])
    elif sets:
        one(t, sets[0])
    elif len(t.items("pretraining_dataset")) == 1 and not t.has("datasets"):
        axolotl_rows.raw_text(t, t.items("pretraining_dataset")[0])
    elif t.has("datasets") or not t.has("pretraining_dataset"):
        t.block("datasets", "no data set is named", "add the rows with `--data FILE`")
    has_tests = bool(t.items("test_datasets"))
    if len(t.items("test_datasets")) == 1 and not t.options.data:
        _validation_file(t, t.items("test_datasets")[0])
    is_validated = rows.validation_share(t, "val_set_size") if not has_tests else True
    if has_tests:
        t.conflict("val_set_size", "`test_datasets` is set in the same file", "keep one of the two")
        t.add("data.split.test", 0, "Axolotl evaluates only validation rows")
    training.early_stopping(t, "early_stopping_patience", has_validation=is_validated)


def _validation_file(t: Translation, key: Key) -> None:
    path = t.text((*key, "path"))
    found = t.around.locate(path) if path else None
    if path and found:
        t.carry((*key, "path"), "data.split.validation.path", found)
        t.needless((*key, "type"), "the same as the training rows'")
        t.needless((*key, "ds_type"), "the suffix decides the kind of file")
        t.needless((*key, "split"), "the file is the split")


def _train(t: Translation) -> None:
    for old, new in (("bfloat16", "bf16"), ("float16", "fp16")):
        if t.has(old) and not t.has(new):
            t.drop(old, f"an older spelling of `{new}`", "the plan uses bfloat16 if the device supports it well")
    for key in ("evals_per_epoch", "saves_per_epoch"):
        count = t.number(key)
        if count == 1 and t.values.get("train.evaluate_every") is None:
            t.carry(key, "train.evaluate_every", "epoch")
        elif count == 1:
            t.needless(key, "follows from `train.evaluate_every`")
        elif count == 0:
            t.needless(key, "off")
        elif count is not None:
            reason = f"{count:g} times an epoch is a number of steps that depends on how many rows there are"
            t.drop(key, reason, "set to once an epoch instead, in `train.evaluate_every`")
    training.trained(t, _TRAINER)
    rounding.of_axolotl(t)
    rounding.in_float8(t, "fp8")
    if t.flag("gradient_checkpointing") and t.has("selective_checkpointing.save"):
        reason = "here results of linear layers and of attention are kept"
        keys: list[str | Key] = ["gradient_checkpointing", "selective_checkpointing.save"]
        t.carry(keys, "train.activation_checkpointing", "selective", reason)
    parameters.learning_rates(t, "lr_groups", "embedding_lr", "embedding_lr_scale")
    longer = t.text("excess_length_strategy")
    known = {"drop": "drop", "truncate": "cut", "raise": "refuse"}
    if longer in known:
        t.carry("excess_length_strategy", "data.overflow", known[longer])


def _unknown(t: Translation, key: Key) -> None:
    """A key of no table: known to Axolotl, or known to nobody."""
    name = str(key[0])
    if len(key) > 1 or name in _READ:
        t.drop(key, "no counterpart in a recipe")
        return
    t.ignore(key, _READS_NOTHING, rules.meant_as(t, name, _READ))


_IGNORED: rules.Rules = {
    **rules.ignored("Axolotl does not read it; `cosine_min_lr_ratio` sets a floor", "eta_min"),
    **rules.ignored(_READS_NOTHING,
        "gptq_groupsize gptq_model_v1 gptq_disable_exllama context_parapllel_size base_model_ignore_patterns debug "
        "adam_eps torch_dtype full_finetune test_value sample_packing_seq_len_multiplier"),
}  # fmt: skip
_RULES: rules.Rules = {
    **rules.numbers({
        **rules.OF_TRAINER,
        "num_epochs": "train.epochs",
        "cosine_min_lr_ratio": "train.schedule.min_lr_ratio",
    }),
    **rules.wholes({
        "seed": "train.seed",
        "sequence_len": "data.max_length",
        "save_total_limit": "train.keep_checkpoints",
        "eval_batch_size": "eval.batch_size",
    }),
    **rules.texts({"default_system_message": "task.system"}),
    **rules.each(training.packing, "sample_packing"),
    **rules.each(training.length_grouped, "group_by_length"),
    **rules.each(training.watched, "metric_for_best_model"),
    **rules.switched({"neftune_noise_alpha": "train.neftune_alpha"}),
    **rules.of_strategy({
        "peft_use_dora": "strategy.dora",
        "peft_use_rslora": "strategy.rank_stabilized",
        "loraplus_lr_ratio": "strategy.loraplus_lr_ratio",
    }),
    **rules.of_peft("lora_modules_to_save", "lora_rank_pattern", "lora_alpha_pattern", "peft_init_lora_weights"),
    **rules.needless("losses mean the same, packed or not", "eval_sample_packing"),
    **rules.needless("packing changes no gradient", "multipack_real_batches"),
    **rules.needless("rows are always shuffled, by the seed", "shuffle_merged_datasets"),
    **rules.needless("the suffix decides the kind of file", "datasets.ds_type"),
    **rules.needless("the rows have another format", "datasets.field_messages"),
    **rules.needless("ftc reads `role` and `content`", "datasets.message_property_mappings"),
    **rules.needless("the best checkpoint is always kept", "load_best_model_at_end"),
    **rules.needless("a run resumes automatically", "resume_from_checkpoint auto_resume_from_checkpoints"),
    **rules.needless("read from the model itself",
        "model_type tokenizer_type is_falcon_derived_model is_llama_derived_model base_model_config tokenizer_config "
        "tokenizer_use_fast tokenizer_legacy model_config"),
    **rules.needless("saves memory, does not change the result",
        "activation_offloading gradient_checkpointing_kwargs low_cpu_mem_usage lora_on_cpu chunked_cross_entropy "
        "chunked_cross_entropy_num_chunks"),
    **rules.needless("checkpoints are safetensors, each with a manifest", "save_safetensors save_only_model"),
    **rules.needless("belongs to a feature that is off",
        "loss_watchdog_patience load_in_4bit load_in_8bit lora_target_linear lora_fan_in_fan_out"),
    **rules.needless("part of Axolotl's own checks", "strict"),
    **rules.needless(rules.LOGS, "logging_steps logging_first_step log_level include_tokens_per_second"),
    **rules.needless(rules.FOLDERS, "output_dir dataset_prepared_path hub_model_id logging_dir"),
    **rules.needless(rules.OWN_LOADER,
        "skip_prepare_dataset dataset_processes dataset_num_proc dataloader_num_workers dataloader_pin_memory "
        "pad_to_sequence_len dataloader_prefetch_factor remove_unused_columns push_dataset_to_hub streaming "
        "pad_to_multiple_of"),
    **rules.needless(rules.FASTER_KERNELS,
        "liger_layer_norm liger_fused_linear_cross_entropy liger_cross_entropy liger_rms_norm_gated "
        "lora_mlp_kernel lora_qkv_kernel lora_o_kernel use_kernels "
        "cut_cross_entropy flash_attn_cross_entropy flash_attn_rms_norm flash_attn_fuse_mlp "
        "torch_compile_mode experts_implementation use_scattermoe use_sonicmoe flash_attention"),
    **rules.each(training.fused_kernels, "liger_rope liger_rms_norm liger_glu_activation"),
    **rules.earlier_adapters("lora_model_dir"),
    **rules.dropped("the model's own template is used", "chat_template",
        "write this template to a file, and name it as `model.chat_template`", ("tokenizer_default", "jinja")),
    **vocabulary.template_file("chat_template_jinja"),
    **rules.dropped("the model's own template is used", "datasets.chat_template", off=("tokenizer_default", "")),
    **vocabulary.rotation("overrides_of_model_config.rope_scaling"),
    **vocabulary.rotation("overrides_of_model_config.rope_parameters"),
    **vocabulary.added("tokens"), **vocabulary.added("special_tokens.additional_special_tokens", special=True),
    **vocabulary.roles("special_tokens.eos_token", "special_tokens.pad_token",
        "special_tokens.bos_token special_tokens.unk_token"),
    **rules.dropped("the tokenizer's own tokens are used", "special_tokens"),
    **rules.dropped("ids of the vocabulary keep their tokens", "added_tokens_overrides", "write `model.add_tokens`"),
    **rules.dropped("the template determines the end of a turn", "eot_tokens"),
    **rules.of_turns(lambda t, key: "all", "prompts are not trained on, only answers", "train_on_inputs"),
    **rules.dropped("ftc does not stop when the loss rises, only when it is not finite", "loss_watchdog_threshold"),
    **rules.dropped("the plan counts duplicates and keeps them", "dataset_exact_deduplication"),
    **rules.dropped("the whole file is the split", "datasets.split pretraining_dataset.split", off=("train", "")),
    **rules.dropped("a subset of a data set is a separate file", "datasets.name pretraining_dataset.name",
        "name it with `--hub-file FILE`"),
    **rules.of_turns(lambda t, key: t.names(key), "the answers are trained on", "datasets.roles_to_train"),
    **rules.meant_as_marks("datasets.message_field_training"), **rules.dropped("float32 stays exact", "tf32"),
    **rules.dropped("ftc trains on the end of each assistant turn", "datasets.train_on_eos"),
    **rules.dropped("a share of the rows is not supported", "datasets.shards", "set `data.max_rows`"),
    **rules.dropped("`track` has no such key",
        "wandb_project wandb_entity wandb_watch wandb_name wandb_log_model wandb_run_id use_wandb use_mlflow "
        "mlflow_tracking_uri mlflow_experiment_name use_comet comet_project_name use_tensorboard use_swanlab "
        "wandb_mode swanlab_project swanlab_experiment_name swanlab_description swanlab_mode swanlab_log_completions "
        "swanlab_workspace trackio_project_name trackio_run_name trackio_space_id use_otel_metrics"),
    **rules.dropped("ftc never runs code from a model's repository", "trust_remote_code",
        "the model must be supported by transformers"),
    **rules.dropped("a plugin of Axolotl's", "plugins", "check its keys, listed separately"),
    **rules.shared_work("fsdp fsdp_config fsdp_version deepspeed ddp ddp_timeout ddp_find_unused_parameters "
        "accelerator_config device_map"),
    **parts_of_layers("tensor_parallel_size"),
    **divided_layers("expert_parallel_size"),
    **shared_rows("context_parallel_size"),
    **rules.dropped("a recipe names no launcher", "use_ray ray_num_workers", "`ftc launch PLAN --on ray`"),
    **mesh_sizes("dp_replicate_size", "dp_shard_size"),
    **rules.blocking("reinforcement learning other than GRPO is not supported", "rl", _SUPERVISED),
    **rules.blocking("several data sets of streamed text", "pretraining_dataset",
        "set `datasets`, or add rows with `--data FILE`"),
    **rules.blocking("training from randomly initialized weights is not supported", "reinit_weights",
        "start from the model's weights"),
    **rules.blocking("parameters by name beside an adapter", "unfrozen_parameters",
        "`lora_modules_to_save` trains modules together with an adapter"),
    **rules.dropped("weights are rounded from the first step on", "qat.fake_quant_after_n_steps"),
    **rules.dropped("embeddings are never rounded", "qat.quantize_embedding"),
    **rules.dropped("parts are put together in bfloat16, and then rounded", "fp8_enable_fsdp_float8_all_gather"),
    **rules.blocking("ReLoRA is not supported", "relora relora_steps", "choose LoRA, QLoRA or full fine-tuning"),
    **rules.blocking("distillation from stored outputs is not supported", "kd_trainer", rules.NAME_THE_TEACHER),
    **rules.blocking("diffusion language models are not supported", "diffusion", _SUPERVISED),
    **rules.blocking("a model and rows with images or sound are not imported", "processor_type",
        "write a recipe for a model that reads images by hand, or choose a model and rows of text"),
    **rules.needless("a server is started beside the run, by its own command", "vllm"),
    **_IGNORED, **sampling.of_sampling("trl."),
}  # fmt: skip
_READ = OTHER_KEYS | (_RULES.keys() - _IGNORED.keys())
"""Top-level keys that Axolotl reads."""

AXOLOTL = rules.Tool(
    name="axolotl",
    marks=(
        ("base_model",),
        ("micro_batch_size", "sequence_len", "adapter", "datasets", "num_epochs", "rl", "pretraining_dataset"),
    ),
    model=rules.ModelKeys("base_model", "revision_of_model", "attn_implementation"),
    steps=(_strategy, _rows, _train, trackers.of_axolotl),
    rules=_RULES,
    unknown=_unknown,
    defaults={
        "data.max_length": 512,
        "data.overflow": "drop",
        "train.epochs": 1,
        "train.schedule.kind": "cosine",
        "train.optimizer.weight_decay": 0,
        "train.seed": 42,
    },
)
"""Axolotl's configurations, and what Axolotl takes where they say nothing."""
