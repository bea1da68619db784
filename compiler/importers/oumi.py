"""Oumi: nested blocks, strictly checked by Oumi itself, with data sets that are classes known by name."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from ftc.compiler.importers import on_policy, parameters, rows, rules, sampling, trackers, training, vocabulary, words
from ftc.compiler.importers.translation import Key, Translation

__all__ = ["OUMI"]

_ADAPTER = words.AdapterKeys("peft.lora_r", "peft.lora_alpha", "peft.lora_dropout", "peft.lora_target_modules", 8, 8)
_TRAINER = training.TrainerKeys(
    prefix="training.",
    optimizer="optimizer",
    checkpointing="enable_gradient_checkpointing",
    compiling="compile",
    bits=None,
    saving="save_epoch",
)
_ALPACA = ("yahma/alpaca-cleaned", "tatsu-lab/alpaca")
_CONVERSATIONS: Mapping[str, str] = {
    "HuggingFaceH4/ultrachat_200k": "messages",
    "allenai/tulu-3-sft-mixture": "messages",
    "HuggingFaceH4/Multilingual-Thinking": "messages",
    "Magpie-Align/Llama-3-Magpie-Pro-1M-v0.1": "conversations",
    "Magpie-Align/Magpie-Pro-300K-Filtered": "conversations",
}
"""Public data sets with a class of Oumi's, and the column of their conversations."""
_INSTRUCTIONS = {
    "CohereForAI/aya_dataset": ("inputs", "targets"),
    "argilla/magpie-ultra-v0.1": ("instruction", "response"),
    "O1-OPEN/OpenO1-SFT": ("instruction", "output"),
}
"""The same with the columns of a question and its answer."""
_RAW_TEXT = ("HuggingFaceFW/fineweb-edu", "allenai/c4", "roneneldan/TinyStories", "Salesforce/wikitext")
_ASKED = {"trl-lib/tldr": ("prompt", "completion"), "openai/gsm8k": ("question", "answer")}
"""Columns of a question that the model answers in training, and of what the answer is compared with."""
_ASKS = {"openai/gsm8k": '{{ question }} Let\'s think step by step and output the final answer after "####".'}
"""Prompts that a class of Oumi's writes around the question."""
_SAMPLED = ("TRL_GRPO", "VERL_GRPO")
_FILES = ("text_sft", "text_sft_jsonl")


def _strategy(t: Translation) -> None:
    kind = t.text("training.trainer_type")
    if not t.has("training"):
        t.block_without_training()
    elif kind in ("TRL_DPO", "TRL_KTO"):
        t.carry("training.trainer_type", "task.kind", words.task_of("prompt", "chosen", "rejected"))
        if kind == "TRL_KTO":
            t.carry("training.trainer_type", "task.loss", "kto")
    elif kind == "TRL_GKD":
        on_policy.as_judged(t, "training.gkd.")
    elif kind == "TRL_GOLD":
        on_policy.as_judged(t, "training.gold.", is_gold=True)
    elif kind in _SAMPLED:
        _sampled(t)
    elif kind not in (None, "TRL_SFT", "HF", "OUMI"):
        t.block(
            "training.trainer_type",
            f"training of the kind `{(kind or '')[:40]}` is not supported",
            "choose a configuration for supervised training",
        )
    t.needless("training.trainer_type", "supervised training")
    if not t.flag("training.use_peft"):
        t.carry("training.use_peft", "strategy.kind", words.STRATEGIES["oumi"][""])
        t.ignore("peft", "without `training.use_peft: true` Oumi makes no adapter", "set it if you want an adapter")
        return
    is_quantized = t.flag("peft.q_lora")
    bits = t.whole("peft.q_lora_bits") or 4
    if is_quantized and bits != 4:
        t.drop("peft.q_lora_bits", f"training on {bits}-bit weights is not supported", "only 4 bits")
        is_quantized = False
        t.drop("peft.q_lora", "training on such weights is not supported")
    words.low_rank(t, ["training.use_peft"], "peft.q_lora" if is_quantized else None, None)
    if is_quantized:
        nested = "peft.use_bnb_nested_quant"
        words.quantization(t, "peft.bnb_4bit_quant_type", nested, "fp4", usual_double=False)
    words.adapter(t, _ADAPTER)


def _sampled(t: Translation) -> None:
    """Training on sampled answers: TRL's keys in a section of Oumi's, and reward functions by name."""
    sampling.as_sampled(t, "training.trainer_type", "training.grpo.", "training.reward_functions")


def _rows(t: Translation) -> None:
    sets = t.items("data.train.datasets")
    if t.text("training.trainer_type") in _SAMPLED:
        sampling.of_server(t, "training.grpo.")
    if len(sets) == 1:
        _data_set(t, sets[0])
    elif sets and not t.options.data:
        shares = [(*key, "mixture_proportion") for key in sets]
        one = [functools.partial(_data_set, t, key) for key in sets]
        is_weighted = rows.mixed(t, "data.train.datasets", one, shares)
        if is_weighted and t.text("data.train.mixture_strategy") == "all_exhausted":
            t.carry("data.train.mixture_strategy", "data.stopping_strategy", "all_exhausted")
    elif t.options.data:
        t.add("data.source.path", t.options.data, "given by --data")
        rows.as_asked(t, "data.train.datasets", "the format of the rows is not given")
        if t.options.task and not t.has("data.train.datasets"):
            rows.as_asked(t, (), "")
    else:
        t.block("data", "no rows to train on are named", "use a configuration that trains, or `--data FILE`")
    t.add("data.split.validation", 0, "Oumi takes validation rows from separate data sets")
    t.add("data.split.test", 0, "Oumi's test rows are separate data sets; a share such as 0.1 measures the result")


def _data_set(t: Translation, key: Key) -> None:
    name_key = (*key, "dataset_name")
    name, path_key = t.text(name_key) or "", (*key, "dataset_path")
    trainer = t.text("training.trainer_type")
    if trainer in ("TRL_DPO", "TRL_KTO"):
        _compared(t, name_key, name, is_rated=trainer == "TRL_KTO")
    elif trainer in _SAMPLED and name in _ASKED:
        rows.place_named_rows(t, name_key, hub=name)
        for part, column in zip(("prompt", "reference"), _ASKED[name], strict=True):
            if column != part:
                t.carry(name_key, f"data.fields.{part}", column)
        if name in _ASKS:
            t.carry(name_key, "task.prompt", _ASKS[name], "as Oumi's class asks")
    elif name in _FILES and (t.has(path_key) or t.options.data):
        rows.place_rows(t, path_key)
        rows.as_chat(t, name_key, None)
    elif name in (*_ALPACA, *_CONVERSATIONS, *_INSTRUCTIONS, *_RAW_TEXT):
        _public(t, name_key, name)
    elif name == "HuggingFaceDataset" and not t.flag((*key, "dataset_kwargs", "exclude_final_assistant_message")):
        rows.place_rows(t, (*key, "dataset_kwargs", "hf_dataset_path"))
        rows.as_chat(t, name_key, (*key, "dataset_kwargs", "messages_column"))
    elif name == "PromptResponseDataset":
        _own_columns(t, key)
    elif t.options.data:
        rows.place_named_rows(t, name_key)
        rows.as_asked(t, name_key, "the format of the rows is not given")
    else:
        t.block(name_key, f"no data set class `{name[:60]}` in ftc's table", "use `--data FILE --task TASK`")


def _compared(t: Translation, name_key: Key, name: str, *, is_rated: bool) -> None:
    """Preferences: pairs, or rated answers, in the columns that TRL reads."""
    if not ("/" in name or t.options.data):
        help = "use `--data FILE --task preference`"
        t.block(name_key, f"`{name[:60]}` is not a preference data set in ftc's table", help)
        return
    rows.place_named_rows(t, name_key, hub=name)
    if is_rated:
        rows.as_rated(t, name_key, {}, "columns `prompt`, `completion` and `label`; compare them with the rows")
    else:
        rows.as_preference(t, name_key, {}, "columns `prompt`, `chosen` and `rejected`; compare them with the rows")


def _public(t: Translation, name_key: Key, name: str) -> None:
    """A data set for which Oumi has a class, which says what its columns are."""
    rows.place_named_rows(t, name_key, hub=name)
    if name in _ALPACA:
        rows.as_instruction(t, name_key, "instruction", "input", "output", between="\\n\\n### Input:\\n")
    elif name in _CONVERSATIONS:
        rows.as_chat(t, name_key, None, _CONVERSATIONS[name])
    elif name in _INSTRUCTIONS:
        question, answer = _INSTRUCTIONS[name]
        rows.as_instruction(t, name_key, question, None, answer)
    else:
        rows.as_text(t, name_key, "text")


def _own_columns(t: Translation, key: Key) -> None:
    """A question and an answer in columns that the configuration names."""
    kwargs = (*key, "dataset_kwargs")
    named = next((inner for inner in ("hf_dataset_path", "dataset_path") if t.has((*kwargs, inner))), None)
    rows.place_rows(t, (*kwargs, named) if named else (*key, "dataset_path"))
    columns = [
        t.text((*kwargs, part)) or usual
        for part, usual in (("prompt_column", "instruction"), ("response_column", "output"))
    ]
    rows.as_instruction(t, (*key, "dataset_name"), columns[0], None, columns[1])
    for part in ("prompt_column", "response_column"):
        t.needless((*kwargs, part), "its column is in the recipe")


def _train(t: Translation) -> None:
    training.trained(t, _TRAINER)
    if t.has("model.freeze_layers"):
        parameters.freeze(t, "model.freeze_layers")
    mixed = (t.text("training.mixed_precision_dtype") or "none").lower()
    weights = (t.text("model.torch_dtype_str") or "auto").lower()
    known = {"bf16": "bfloat16", "bfloat16": "bfloat16", "float32": "float32", "fp32": "float32"}
    halves = {"fp16": "float16", "float16": "float16"}
    if mixed in known | halves:
        t.carry("training.mixed_precision_dtype", "train.precision", (known | halves)[mixed])
    elif mixed == "none" and weights in known:
        t.carry("model.torch_dtype_str", "train.precision", known[weights])
    elif mixed != "none":
        help = "the plan uses bfloat16 if the device supports it well"
        t.drop("training.mixed_precision_dtype", f"not a type that ftc trains in: `{mixed[:20]}`", help)


_RULES: rules.Rules = {
    **rules.numbers(rules.under("training.", {**rules.OF_TRAINER, "num_train_epochs": "train.epochs"})),
    **rules.wholes({
        "training.seed": "train.seed",
        "training.per_device_eval_batch_size": "eval.batch_size",
        "model.model_max_length": "data.max_length",
        "data.train.datasets.sample_count": "data.max_rows",
    }),
    **rules.each(training.packing, "data.train.pack"),
    **rules.of_peft(modules="peft.lora_modules_to_save", init="peft.lora_init_weights"),
    **rules.dropped("the whole file is the split", "data.train.datasets.split", off=("train", "")),
    **rules.dropped("a subset is a separate file", "data.train.datasets.subset", "name it with `--hub-file FILE`"),
    **rules.dropped("arguments of a class of Oumi's", "data.train.datasets.dataset_kwargs"),
    **rules.needless("the rows are named differently", "data.train.datasets.dataset_path"),
    **rules.needless("a single data set", "data.train.datasets.mixture_proportion"),
    **rules.dropped("the task decides how rows become batches", "data.train.collator_name"),
    **rules.needless("the task decides which column is trained on", "data.train.target_col"),
    **rules.dropped("validation rows from a class", "data.validation",
        "set `data.split.validation` to a share or a file"),
    **rules.dropped("test rows from a class", "data.test", "set `data.split.test` to a share or a file"),
    **vocabulary.template_file("model.chat_template"),
    **rules.dropped("ftc never runs code from a model's repository", "model.trust_remote_code",
        "the model must be supported by transformers"),
    **rules.blocking("training from randomly initialized weights is not supported", "model.load_pretrained_weights",
        "start from a model", off=(True,)),
    **rules.earlier_adapters("model.adapter_model"),
    **vocabulary.roles(pad="model.tokenizer_pad_token"),
    **rules.needless("the plan chooses how weights are stored",
        "model.torch_dtype_str peft.bnb_4bit_compute_dtype peft.bnb_4bit_quant_storage"),
    **rules.each(training.fused_kernels, "model.enable_liger_kernel"),
    **vocabulary.rotation("model.model_kwargs.rope_scaling"),
    **rules.dropped("arguments for a constructor", "model.model_kwargs model.tokenizer_kwargs"),
    **rules.needless("the plan chooses", "training.mixed_precision_dtype"),
    **rules.dropped("additional arguments of a schedule, such as a floor", "training.lr_scheduler_kwargs"),
    **rules.dropped("a free block, which Oumi does not check before it trains", "training.trainer_kwargs",
        "check it for settings that belong into the recipe"),
    **rules.needless("a run resumes automatically",
        "training.resume_from_checkpoint training.try_resume_from_last_checkpoint"),
    **rules.dropped("the order of rows follows from `train.seed`", "training.data_seed"),
    **rules.needless("always", "training.use_deterministic training.full_determinism"),
    **rules.dropped("biases are not trained", "peft.lora_bias", off=("none",)),
    **on_policy.of_judging("training.gkd."), **on_policy.of_judging("training.gold."),
    **sampling.of_sampling("training.gold."), **sampling.of_sampling("training.grpo."),
    **rules.needless("ftc saves the adapter; merging is a separate step", "peft.peft_save_mode"),
    **rules.needless("belongs to a feature that is off",
        "peft.q_lora peft.q_lora_bits peft.bnb_4bit_quant_type peft.use_bnb_nested_quant peft.lora_task_type"),
    **rules.needless(rules.LOGS,
        "training.logging_steps training.logging_strategy training.logging_first_step training.log_level "
        "training.dep_log_level training.include_performance_metrics training.log_model_summary "
        "training.include_alternative_mfu_metrics training.run_name training.profiler training.telemetry "
        "training.log_examples training.performance"),
    **rules.dropped("`track` has no such key",
        "training.enable_wandb training.enable_mlflow training.enable_tensorboard"),
    **rules.needless(rules.FOLDERS, "training.output_dir training.logging_dir"),
    **rules.needless("an adapter or a model is always saved at the end", "training.save_final_model"),
    **rules.needless(rules.OWN_LOADER,
        "training.dataloader_num_workers training.dataloader_prefetch_factor data.train.stream "
        "training.dataloader_main_process_only training.dataloader_persistent_workers data.train.use_torchdata "
        "data.train.datasets.shuffle data.train.datasets.seed data.train.datasets.transform_num_workers "
        "data.train.datasets.shuffle_buffer_size data.train.datasets.trust_remote_code data.train.seed "
        "data.train.mixture_strategy"),
    **rules.needless("saves memory or time, does not change the result",
        "training.gradient_checkpointing_kwargs training.empty_device_cache_steps model.compile"),
    **rules.shared_work(
        "fsdp deepspeed model.device_map training.ddp_find_unused_parameters training.nccl_default_timeout_minutes"),
}  # fmt: skip

OUMI = rules.Tool(
    name="oumi",
    marks=(("model.model_name",),),
    model=rules.ModelKeys("model.model_name", "model.model_revision", "model.attn_implementation"),
    steps=(_strategy, _rows, _train, trackers.of_oumi),
    rules=_RULES,
    unknown=lambda t, key: t.drop(key, "no counterpart in a recipe"),
    defaults={
        "train.learning_rate": 5e-5,
        "train.epochs": 3,
        "train.schedule.kind": "linear",
        "train.optimizer.weight_decay": 0,
        "train.seed": 42,
    },
)
"""Oumi's training configurations, and what Oumi takes where they say nothing."""
