"""What other tools call the keys of a recipe, for whoever types one of their words."""

from __future__ import annotations

__all__ = ["IN_SECTIONS", "KEYS", "TURNS", "VALUES"]

KEYS: dict[str, str] = {
    **dict.fromkeys(("base_model", "model_name", "model_name_or_path", "checkpoint_dir"), "model.base"),
    **dict.fromkeys(("attn_implementation", "flash_attn", "flash_attention"), "model.attention"),
    **dict.fromkeys(("adapter", "finetuning_type", "peft", "method", "tuner"), "strategy.kind"),
    **dict.fromkeys(("r", "lora_r", "lora_rank"), "strategy.rank"),
    "lora_alpha": "strategy.alpha",
    "lora_dropout": "strategy.dropout",
    **dict.fromkeys(
        ("target_modules", "lora_target", "lora_target_modules", "lora_attn_modules"),
        "strategy.targets",
    ),
    "lora_target_parameters": "strategy.target_parameters",
    **dict.fromkeys(("num_virtual_tokens", "prompt_length", "prefix_length"), "strategy.virtual_tokens"),
    **dict.fromkeys(("encoder_hidden_size",), "strategy.encoder_size"),
    "encoder_reparameterization_type": "strategy.encoder",
    "prefix_projection": "strategy.projection_size",
    **dict.fromkeys(("freeze_trainable_layers", "num_layer_trainable"), "strategy.layers"),
    **dict.fromkeys(("unfrozen_parameters", "trainable_parameters", "freeze_trainable_modules"), "strategy.parameters"),
    **dict.fromkeys(("freeze_layers", "frozen_parameters", "freeze_parameters"), "strategy.freeze"),
    **dict.fromkeys(("lr_groups", "param_groups"), "train.parameter_groups"),
    **dict.fromkeys(("layerwise_lr_decay", "layer_lr_decay", "llrd"), "train.layer_decay"),
    **dict.fromkeys(("adapter_size", "bottleneck_size"), "strategy.size"),
    "use_rslora": "strategy.rank_stabilized",
    **dict.fromkeys(("use_dora", "lora_use_dora"), "strategy.dora"),
    **dict.fromkeys(("lora_plus_ratio",), "strategy.loraplus_lr_ratio"),
    **dict.fromkeys(("init_lora_weights", "peft_init_lora_weights"), "strategy.init"),
    **dict.fromkeys(("lora_modules_to_save", "additional_target"), "strategy.modules_to_save"),
    **dict.fromkeys(("rank_pattern", "lora_rank_pattern"), "strategy.patterns"),
    **dict.fromkeys(("alpha_pattern", "lora_alpha_pattern"), "strategy.patterns"),
    **dict.fromkeys(("bnb_4bit_use_double_quant", "use_bnb_nested_quant"), "strategy.double_quantization"),
    **dict.fromkeys(("bnb_4bit_quant_type", "quantization_type"), "strategy.quantization"),
    **dict.fromkeys(("num_epochs", "num_train_epochs", "n_epochs", "epoch"), "train.epochs"),
    **dict.fromkeys(("lr", "peak_lr"), "train.learning_rate"),
    **dict.fromkeys(("global_batch_size", "train_batch_size", "bs"), "train.batch_size"),
    **dict.fromkeys(("micro_batch_size", "per_device_train_batch_size", "per_device_batch_size"), "train.micro_batch"),
    **dict.fromkeys(("lr_scheduler", "lr_scheduler_type", "scheduler"), "train.schedule.kind"),
    **dict.fromkeys(("gradient_checkpointing", "enable_activation_checkpointing"), "train.activation_checkpointing"),
    **dict.fromkeys(("torch_compile", "use_compile"), "train.compile"),
    **dict.fromkeys(("use_liger_kernel", "enable_liger_kernel", "use_liger", "use_kernels"), "train.kernels"),
    **dict.fromkeys(("gradient_clipping", "grad_clip", "clip_grad_norm"), "train.max_grad_norm"),
    **dict.fromkeys(("dtype", "torch_dtype", "mixed_precision"), "train.precision"),
    **dict.fromkeys(("label_smoothing_factor",), "train.label_smoothing"),
    **dict.fromkeys(("neftune_noise_alpha",), "train.neftune_alpha"),
    **dict.fromkeys(("ema", "use_ema", "model_ema_decay", "ema_max_decay"), "train.ema_decay"),
    **dict.fromkeys(("z_loss_weight", "z_loss_multiplier"), "train.z_loss"),
    **dict.fromkeys(("qat", "quantization_aware_training"), "train.quantize_aware"),
    **dict.fromkeys(("optim", "optimizer_type"), "train.optimizer.kind"),
    **dict.fromkeys(("adam_beta1",), "train.optimizer.beta1"),
    **dict.fromkeys(("adam_beta2",), "train.optimizer.beta2"),
    **dict.fromkeys(("adam_epsilon", "eps"), "train.optimizer.epsilon"),
    **dict.fromkeys(("eval_steps", "eval_interval"), "train.evaluate_every"),
    **dict.fromkeys(("save_total_limit",), "train.keep_checkpoints"),
    **dict.fromkeys(("enable_async_checkpointing", "async_save"), "train.save_in_background"),
    **dict.fromkeys(("teacher_model", "teacher", "kd_teacher"), "train.distillation.teacher"),
    **dict.fromkeys(("kd_temperature", "distillation_temperature"), "train.distillation.temperature"),
    **dict.fromkeys(("kd_alpha", "kd_ratio", "distillation_alpha"), "train.distillation.weight"),
    **dict.fromkeys(("early_stopping_patience",), "train.early_stopping.patience"),
    **dict.fromkeys(("metric_for_best_model",), "train.early_stopping.metric"),
    **dict.fromkeys(("max_seq_length", "max_seq_len", "sequence_len", "cutoff_len", "seq_length"), "data.max_length"),
    **dict.fromkeys(("max_samples", "max_train_samples", "num_samples"), "data.max_rows"),
    **dict.fromkeys(("val_set_size", "val_size", "test_split_size", "validation_split"), "data.split.validation"),
    **dict.fromkeys(("dataset", "datasets", "dataset_name", "dataset_path", "data_path", "train_file"), "data.source"),
    **dict.fromkeys(("per_device_eval_batch_size", "eval_batch_size"), "eval.batch_size"),
    **dict.fromkeys(("compute_metrics",), "eval.metrics"),
    **dict.fromkeys(("device_map", "gpu"), "budget.device"),
    **dict.fromkeys(("max_tokens", "max_new_token"), "eval.max_new_tokens"),
}
"""The place of this language that means the same, by the word of another tool."""

IN_SECTIONS: dict[str, str] = {"budget.memory": "vram", "budget.max_memory": "vram"}
"""What this language calls a word in one of its sections, which may mean something else in another."""

TURNS = {"train_on_inputs": True, "train_on_prompt": True, "assistant_only_loss": False, "completion_only_loss": False}
"""Keys by which other tools train on prompts, too, with the value that does it."""

VALUES: dict[str, str] = {
    "bf16": "write `precision: bfloat16` in `train`",
    "fp16": "write `precision: float16` in `train`",
    "tf32": "remove it; `precision` in `train` sets the data type",
    "load_in_4bit": "write `kind: qlora` in `strategy`",
    "load_in_8bit": "write `kind: qlora` and `quantization: int8` in `strategy`",
    "qlora": "write `kind: qlora` in `strategy`",
    "use_peft": "name the kind of adapter in `strategy`, such as `kind: lora`",
    "warmup_steps": "write it in `train.schedule`",
    **dict.fromkeys(
        ("warmup", "num_warmup_steps", "warm_up"),
        "write `warmup_ratio`, a share of the steps, or `warmup_steps` in `train.schedule`",
    ),
    **dict.fromkeys(
        ("save_every", "save_steps", "save_strategy", "saves_per_epoch", "checkpoint_every"),
        "write `evaluate_every` in `train`: `epoch`, or a number of steps; each evaluation also writes a checkpoint",
    ),
    "gradient_accumulation_steps": (
        "write the product as `batch_size` in `train`; `micro_batch` is the per-device batch size"
    ),
    "gradient_accumulation": (
        "write the product as `batch_size` in `train`; `micro_batch` is the per-device batch size"
    ),
    **dict.fromkeys(
        ("eval_strategy", "evaluation_strategy", "evals_per_epoch"),
        "write `evaluate_every` in `train`: `epoch`, or a number of steps",
    ),
    "lora_target_linear": "write `targets: all-linear` in `strategy`, or nothing, because it is the default",
    "output_dir": "remove it; a run is saved in `runs/`, in a folder with the recipe's `name`",
    "hf_token": "remove it; log in with `hf auth login`",
    "push_to_hub": "remove it; `ftc apply` writes a model card, and you upload it yourself",
    "report_to": "name the tracker in `track`, such as `track: {mlflow: {}}`",
    "do_train": "remove it; `ftc apply` trains",
    "do_eval": "remove it; the test split is evaluated at the end of each run",
    **dict.fromkeys(
        TURNS,
        "remove it; answers alone are trained on, or what `train_on` in `task` says (`kind: chat`)",
    ),
    **dict.fromkeys(
        ("dataset_text_field", "text_column", "field_messages"),
        "name the column in `fields` in `data`, such as `fields: {text: body}`",
    ),
    **dict.fromkeys(
        ("logging_steps", "log_every_n_steps", "logging_strategy"),
        "remove it; the run folder has a record of every step",
    ),
    "data_files": "name the file as `path` in `data.source`",
    "group_by_length": "write `batching: length_grouped` in `train`",
    "load_best_model_at_end": "remove it; the checkpoint that is best on validation rows is the result",
    "bias": "remove it; adapters leave biases as they are, and `kind: bitfit` trains them alone",
    **dict.fromkeys(
        ("overwrite_output_dir", "overwrite_cache", "dataset_num_proc", "dataloader_num_workers"),
        "remove it; each run has a folder of its own, and rows are prepared once, by the plan",
    ),
}
"""What to do instead of a word that stands for something else here."""
