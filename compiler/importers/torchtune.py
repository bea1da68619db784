"""torchtune: what a key means stands in dotted paths of builders, which are names here and never imported."""

from __future__ import annotations

import re

from ftc.compiler.importers import rounding, rows, rules, trackers, training, words
from ftc.compiler.importers.meshes import mesh_sizes, parts_of_layers, shared_rows
from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.divergences import DIVERGENCES

__all__ = ["TORCHTUNE"]

_MODELS = re.compile(r"torchtune\.models\.(\w+)\.(qlora_|lora_)?(\w+)")
_OWNERS = {
    **dict.fromkeys(("llama2", "llama3", "llama3_1", "llama3_2", "llama3_3"), "meta-llama"),
    **dict.fromkeys(("qwen2", "qwen2_5", "qwen3"), "Qwen"),
    **dict.fromkeys(("gemma", "gemma2"), "google"),
    **dict.fromkeys(("phi3", "phi4"), "microsoft"),
    "mistral": "mistralai",
}
"""Who publishes the models of a family of builders."""

_ATTENTION = {"q_proj": "q_proj", "k_proj": "k_proj", "v_proj": "v_proj", "output_proj": "o_proj"}
_MLP = ("gate_proj", "up_proj", "down_proj")
_DEFAULT_FOLDER = re.compile(r"/tmp/([\w.-]+)/?")  # noqa: S108  # a text in other people's files
"""Where `tune download OWNER/NAME` puts a model unless told otherwise: a folder of its name."""

_ALPACA = {
    "torchtune.datasets.alpaca_dataset": "tatsu-lab/alpaca",
    "torchtune.datasets.alpaca_cleaned_dataset": "yahma/alpaca-cleaned",
}
_SUMMARY = {
    "torchtune.datasets.samsum_dataset": ("Samsung/samsum", "dialogue", "summary"),
    "torchtune.datasets.grammar_dataset": ("liweili/c4_200m", "input", "output"),
}
_PAIRS = "choose a data set of preferences, or use `--data FILE --task preference`"
_SAME_REFERENCE = "the reference is the model before the first step; drop `ref_checkpointer`"
_DPO = "torchtune.rlhf.loss.DPOLoss"
_LOSSES = frozenset(
    {
        "torch.nn.CrossEntropyLoss",
        "torchtune.modules.loss.CEWithChunkedOutputLoss",
        "torchtune.modules.loss.LinearCrossEntropyLoss",
    }
)
_DIVERGENCES = {name: card.kind for card in DIVERGENCES for name in card.foreign}
_READS_NOTHING = "torchtune's recipes read only the keys that they know"
_SUPERVISED = "choose a configuration for supervised training"


def _model(t: Translation) -> None:
    builder = t.text("model._component_") or ""
    match = _MODELS.fullmatch(builder)
    if match is None or match[1] not in _OWNERS:
        summary = f"ftc's table has no model builder `{builder[:60]}`" if builder else "no model to train is named"
        t.block(
            "model._component_" if builder else "model", summary, "write the recipe by hand, starting from `ftc init`"
        )
        return
    _base(t, _OWNERS[match[1]])
    kind = words.STRATEGIES["torchtune"][(match[2] or "").removesuffix("_") or "full"]
    if kind not in words.LOW_RANK:
        t.carry("model._component_", "strategy.kind", kind)
        return
    keys: list[str | Key] = ["model._component_"]
    if t.has("model.quantize_base"):
        keys.append("model.quantize_base")
    t.carry(keys, "strategy.kind", words.low_rank_kind(quantized=True) if t.flag("model.quantize_base") else kind)
    _targets(t)
    names = words.AdapterKeys("model.lora_rank", "model.lora_alpha", "model.lora_dropout", "", 8, 16)
    words.adapter(t, names)


def _base(t: Translation, owner: str) -> None:
    where = t.text("checkpointer.checkpoint_dir")
    default = _DEFAULT_FOLDER.fullmatch(where or "")
    if t.options.base or not default or t.around.locate(where or "") is not None:
        words.base_model(t, "checkpointer.checkpoint_dir")
    else:
        keys: list[str | Key] = ["checkpointer.checkpoint_dir", "model._component_"]
        base = f"{owner}/{default[1]}"
        t.carry(keys, "model.base", base, "`tune download` saves it there; check it")
    component = t.text("checkpointer._component_") or ""
    if component.endswith("MetaCheckpointer") and not t.options.base:
        help = "name the same model in Hugging Face format with `--base MODEL`"
        t.block("checkpointer._component_", "weights in Meta's format are not supported", help)


def _teacher(t: Translation) -> None:
    """A teacher, at whose probabilities torchtune looks as they are."""
    if not t.has("kd_loss"):
        return
    loss = _DIVERGENCES.get((t.text("kd_loss._component_") or "").removeprefix("torchtune.modules.loss."))
    where, builder = t.text("teacher_checkpointer.checkpoint_dir"), t.text("teacher_model._component_") or ""
    match = _MODELS.fullmatch(builder)
    if loss is None or where is None or match is None or match[1] not in _OWNERS:
        t.block(
            "kd_loss",
            "this kind of distillation is not supported",
            rules.NAME_THE_TEACHER,
        )
        return
    t.carry("kd_loss._component_", "train.distillation.loss", loss)
    t.add("train.distillation.temperature", 1, "torchtune does not scale the probabilities")
    if t.has("kd_ratio"):
        t.carry("kd_ratio", "train.distillation.weight", t.number("kd_ratio"))
    found, default = t.around.locate(where), _DEFAULT_FOLDER.fullmatch(where)
    if found is None and default is None:
        t.block("teacher_checkpointer.checkpoint_dir", "the teacher is outside the project", rules.NAME_THE_TEACHER)
        return
    name = found or f"{_OWNERS[match[1]]}/{default[1] if default else ''}"
    keys: list[str | Key] = ["teacher_checkpointer.checkpoint_dir", "teacher_model._component_"]
    t.carry(keys, "train.distillation.teacher", name, "" if found else "`tune download` saves it there; check it")


def _targets(t: Translation) -> None:
    """Modules by the names that transformers gives them."""
    named = t.names("model.lora_attn_modules")
    targets = [_ATTENTION[name] for name in named if name in _ATTENTION]
    keys: list[str | Key] = ["model.lora_attn_modules"]
    if t.flag("model.apply_lora_to_mlp"):
        targets += _MLP
        keys.append("model.apply_lora_to_mlp")
    if t.flag("model.apply_lora_to_output"):
        t.drop("model.apply_lora_to_output", "the output layer gets no adapter")
    if targets:
        t.carry(keys, "strategy.targets", tuple(dict.fromkeys(targets)))


def _rows(t: Translation) -> None:
    t.add("data.split.test", 0, "torchtune keeps no test rows; a share such as 0.1 makes ftc measure the result")
    t.add("data.split.validation", 0, "torchtune's default")
    builder = t.text("dataset._component_")
    if builder is None:
        key = "dataset" if t.has("dataset") else ()
        if not (key or t.has("optimizer")):
            t.block_without_training()
        else:
            t.block(key, "no data set to train on is named", "choose a configuration that trains")
    elif builder in _ALPACA:
        _source(t, _ALPACA[builder])
        columns = _columns(t, ("instruction", "input", "output"))
        rows.as_alpaca(t, "dataset._component_", *columns)
        if not t.has("dataset.train_on_input") and t.options.task is None:
            reason = "torchtune also trains on the prompt by default; ftc trains on the answer"
            t.carry("dataset._component_", "data.fields.completion", columns[-1], reason)
    elif builder in _SUMMARY:
        hub, *parts = _SUMMARY[builder]
        _source(t, hub)
        question, answer = _columns(t, ("input", "output"), tuple(parts))
        rows.as_instruction(t, "dataset._component_", question, None, answer)
    else:
        _general(t, builder)


def _columns(t: Translation, parts: tuple[str, ...], usual: tuple[str, ...] | None = None) -> list[str]:
    """The columns that play some parts, and the fate of the map that renames them."""
    given = t.value("dataset.column_map")
    renamed = given if isinstance(given, dict) else {}
    t.needless("dataset.column_map", "its columns are in the recipe")
    return [str(renamed.get(part, column)) for part, column in zip(parts, usual or parts, strict=True)]


def _source(t: Translation, usual: str) -> None:
    if t.has("dataset.source"):
        rows.place_rows(t, "dataset.source", file_key="dataset.data_files")
    else:
        rows.place_named_rows(t, "dataset._component_", hub=usual)


def _general(t: Translation, builder: str) -> None:
    match builder.removeprefix("torchtune.datasets."):
        case "instruct_dataset":
            rows.place_rows(t, "dataset.source", file_key="dataset.data_files")
            question, answer = _columns(t, ("input", "output"))
            rows.as_instruction(t, "dataset._component_", question, None, answer)
        case "text_completion_dataset":
            rows.place_rows(t, "dataset.source", file_key="dataset.data_files")
            rows.as_text(t, "dataset._component_", t.text("dataset.column") or "text")
            t.needless("dataset.column", "named as the text's column")
        case "chat_dataset" if t.text("dataset.conversation_style") in ("openai", "sharegpt"):
            rows.place_rows(t, "dataset.source", file_key="dataset.data_files")
            rows.as_chat(t, "dataset._component_", "dataset.conversation_column")
            t.needless("dataset.conversation_style", "ftc reads `role` and `content`, and `from` and `value`")
        case "preference_dataset" if t.text("loss._component_") == _DPO:
            rows.place_rows(t, "dataset.source", file_key="dataset.data_files")
            columns = _columns(t, ("chosen", "rejected"))
            rows.as_preference(t, "dataset._component_", dict(zip(("chosen", "rejected"), columns, strict=True)))
        case "stack_exchange_paired_dataset" if t.text("loss._component_") == _DPO:
            _source(t, "lvwerra/stack-exchange-paired")
            named = {"prompt": "question", "chosen": "response_j", "rejected": "response_k"}
            rows.as_preference(t, "dataset._component_", named)
        case _ if t.options.data:
            rows.place_named_rows(t, "dataset._component_")
            rows.as_asked(t, "dataset._component_", "the format of the rows is not given")
        case _:
            help = "use `--data FILE --task TASK` if the rows are text"
            t.block("dataset._component_", f"the data set builder `{builder[:60]}` is not in ftc's table", help)


def _train(t: Translation) -> None:
    training.batch(t, "batch_size", "gradient_accumulation_steps")
    steps = t.whole("max_steps_per_epoch")
    epochs = t.number("epochs") or 1
    if t.has("epochs"):
        t.carry("epochs", "train.epochs", epochs)
    if steps and steps > 0:
        keys: list[str | Key] = ["max_steps_per_epoch", "epochs"] if t.has("epochs") else ["max_steps_per_epoch"]
        t.carry(keys, "train.max_steps", round(steps * epochs), f"{steps} × {epochs:g}")
    training.optimizer(t, "optimizer._component_")
    betas = t.value("optimizer.betas")
    if isinstance(betas, tuple) and len(betas) == 2 and all(isinstance(beta, float) for beta in betas):
        t.carry("optimizer.betas", "train.optimizer.beta1", betas[0])
        t.carry("optimizer.betas", "train.optimizer.beta2", betas[1])
    _schedule(t)
    _precision(t)
    rounding.of_torchtune(t)
    rounding.in_float8(t, "enable_fp8_training")
    _checkpointing(t)
    training.compiling(t, "compile")
    training.saving_beside(t, "enable_async_checkpointing")
    pairs = words.task_of("prompt", "chosen", "rejected")
    if (loss := t.text("loss._component_")) in _LOSSES:
        t.needless("loss._component_", "the default loss")
    elif loss == _DPO and "task.kind" in t.values and t.values["task.kind"].value != pairs:
        t.block("dataset._component_", "rows without preferences, which DPO needs", _PAIRS)
    elif loss == _DPO:
        t.carry("loss._component_", "task.kind", pairs)
        reference, trained = (t.text(f"{one}.checkpoint_dir") for one in ("ref_checkpointer", "checkpointer"))
        if reference in (None, trained):
            t.needless("ref_checkpointer", "the reference is the model before the first step")
        else:
            t.block("ref_checkpointer", "a reference that is another model is not supported", _SAME_REFERENCE)
        if (beta := t.number("loss.beta")) is not None:
            t.carry("loss.beta", "task.beta", beta)
    elif loss:
        t.block("loss._component_", f"training with the loss `{loss[:60]}` is not supported", _SUPERVISED)
    norm = t.number("clip_grad_norm")
    if norm is not None and norm > 0:
        t.carry("clip_grad_norm", "train.max_grad_norm", norm)
    else:
        t.carry("clip_grad_norm", "train.max_grad_norm", None)
        t.add("train.max_grad_norm", None, "torchtune's default")


def _precision(t: Translation) -> None:
    """The type of all weights, in which torchtune computes without autocast."""
    word = t.text("dtype")
    if word == "bf16":
        training.narrow_weights(t, "dtype")
    elif word == "fp32":
        t.carry("dtype", "train.precision", "float32")
    elif word:
        t.drop("dtype", f"not arithmetic: `{word[:20]}`", "the plan uses bfloat16 if the device supports it well")


def _schedule(t: Translation) -> None:
    word = t.text("lr_scheduler._component_")
    if word is None:
        t.add("train.schedule.kind", "constant", "no schedule is named")
        t.add("train.schedule.warmup_ratio", 0, "no schedule is named")
        return
    if kind := words.SCHEDULE_COMPONENTS.get(word.rpartition(".")[2]):
        t.carry("lr_scheduler._component_", "train.schedule.kind", kind)
    else:
        t.drop("lr_scheduler._component_", f"the schedule `{word[:60]}` is not supported", "linear is used instead")
    training.warmup(t, "lr_scheduler.warmup_ratio", "lr_scheduler.num_warmup_steps", None)


def _checkpointing(t: Translation) -> None:
    """Layers that are computed again: all, where the switch is on; else those that a mode chooses."""
    switch, mode, path = "enable_activation_checkpointing", t.text("ac_mode"), "train.activation_checkpointing"
    if mode not in ("full", "selective") or t.flag(switch):
        t.ignore("ac_mode", f"`{switch}` is on" if t.flag(switch) else "the modes are `full` and `selective`")
        training.checkpointing(t, switch)
        return
    every, keys = t.value("ac_option"), ["ac_mode", *(one for one in ("ac_option", switch) if t.has(one))]
    if mode == "full":
        t.carry([*keys], path, True)
        return
    reason = "here results of linear layers and of attention are kept"
    is_layers = str(every).isdigit()
    t.carry([*keys], path, "selective", f"not every {every} layers, but all: {reason}" if is_layers else reason)


def _unknown(t: Translation, key: Key) -> None:
    """A key of no table: an argument of a builder, a key that a recipe asks for, or one that nothing does."""
    name = str(key[0])
    if len(key) > 1 or name in _KNOWN:
        t.drop(key, "no counterpart in a recipe")
    elif any(f"${{{name}" in line for line in t.foreign.lines):
        t.needless(key, "followed where other keys refer to it")
    else:
        t.ignore(key, _READS_NOTHING, rules.meant_as(t, name, _KNOWN))


_RULES: rules.Rules = {
    **rules.numbers({
        "optimizer.lr": "train.learning_rate",
        "optimizer.weight_decay": "train.optimizer.weight_decay",
        "optimizer.eps": "train.optimizer.epsilon",
        "optimizer.momentum": "train.optimizer.momentum",
        "epochs": "train.epochs",
    }),
    **rules.wholes({"seed": "train.seed", "tokenizer.max_seq_len": "data.max_length"}),
    **rules.texts({"dataset.new_system_prompt": "task.system"}),
    **rules.each(training.packing, "dataset.packed"),
    **rules.of_strategy({"model.use_dora": "strategy.dora"}),
    **rules.needless("a completion ends with the model's own end token", "dataset.add_eos"),
    **rules.needless("off", "model.quantize_base model.apply_lora_to_mlp model.apply_lora_to_output"),
    **rules.needless("a run resumes automatically", "resume_from_checkpoint"),
    **rules.needless("saves memory, does not change the result", "enable_activation_offloading loss.num_output_chunks"),
    **rules.needless("an adapter is always saved separately", "save_adapter_weights_only"),
    **rules.needless("rows are always shuffled, by the seed", "shuffle"),
    **rules.needless("the default loss", "loss.ignore_index"),
    **rules.needless("changes speed, not the result", "optimizer.fused optimizer.foreach"),
    **rules.needless("set `budget.device` to plan for another machine's GPU", "device"),
    **rules.needless(rules.LOGS,
        "metric_logger log_every_n_steps log_peak_memory_stats log_level log_grad_norm profiler"),
    **rules.needless(rules.FOLDERS, "output_dir checkpointer.output_dir"),
    **rules.needless("read from the model itself",
        "tokenizer._component_ tokenizer.path tokenizer.merges_file tokenizer.vocab_path tokenizer.merges_path "
        "tokenizer.special_tokens_path tokenizer.truncation_type checkpointer._component_ "
        "teacher_checkpointer._component_ teacher_checkpointer.checkpoint_files teacher_checkpointer.model_type "
        "teacher_checkpointer.recipe_checkpoint teacher_checkpointer.output_dir kd_loss.ignore_index "
        "kd_loss.num_output_chunks checkpointer.checkpoint_files checkpointer.model_type "
        "checkpointer.recipe_checkpoint checkpointer.safe_serialization checkpointer.keep_last_n_checkpoints"),
    **rules.dropped("ftc trains only on answers, never on prompts", "dataset.train_on_input"),
    **rules.dropped("the whole file is the split", "dataset.split", off=("train", "")),
    **rules.dropped("filtering rows by code is not supported", "dataset.filter_fn", "filter the file"),
    **rules.dropped("a cosine of half a period", "lr_scheduler.num_cycles", off=(0.5,)),
    **rules.dropped("the optimizer steps after the backward pass; only memory differs", "optimizer_in_bwd"),
    **rules.dropped("the model's own template is used", "tokenizer.prompt_template"),
    **rules.dropped("validation rows from a builder", "dataset_val", "set `data.split.validation`"),
    **rules.dropped("training starts from a new adapter", "checkpointer.adapter_checkpoint"),
    **rules.blocking("classification heads are not supported", "model.num_classes", "write the recipe by hand"),
    **rules.dropped("weights are rounded from the first step on", "fake_quant_after_n_steps"),
    **rules.blocking("reinforcement learning is not supported",
        "ref_checkpointer policy_model reward_and_value_model ppo_epochs grpo_samples reward_functions", _SUPERVISED),
    **rules.shared_work("fsdp_cpu_offload fsdp_reshard_after_forward custom_sharded_layers"),
    **parts_of_layers("tensor_parallel_dim tensor_parallel_plan"),
    **shared_rows("context_parallel_dim"),
    **mesh_sizes("data_parallel_replicate_dim", "data_parallel_shard_dim"),
}  # fmt: skip

_KNOWN = {key for key in _RULES if "." not in key} | set(
    """
    ac_option batch_size batch_size_val chat_template checkpoint_dir checkpoint_files checkpointer
    clip_grad_norm collate_fn cudnn_deterministic_mode dataloader dataset datasets dtype early_exit_loss
    enable_activation_checkpointing enable_async_checkpointing enable_expandable_segments enable_kv_cache
    fake_quant_after_n_steps forward_batch_size gamma gradient_accumulation_steps gradient_checkpointing inference
    kd_loss kd_ratio kl_coeff layer_dropout limit lmbda loss low_cpu_ram lr_scheduler max_generated_tokens
    max_new_tokens max_seq_length max_steps_per_epoch memory_efficient_fsdp_wrap min_response_length model num_steps
    optimizer orchestration penalize_no_eos postprocessing ppo_batch_size prompt ref_policy_checkpointer
    resize_token_embeddings reward_checkpointer reward_penalty run_val_every_n_steps save_every_n_epochs
    save_every_n_steps stop_token_ids tasks teacher_checkpointer teacher_model temperature tokenizer top_k training
    use_distributed_state_dict use_flex value_checkpointer value_coeff whiten_rewards
    """.split()
)
"""Keys that one of torchtune's recipes asks for, as of its last state."""

TORCHTUNE = rules.Tool(
    name="torchtune",
    marks=(("*._component_",),),
    model=None,
    steps=(_model, _rows, _train, _teacher, trackers.of_torchtune),
    rules=_RULES,
    unknown=_unknown,
    defaults={"train.epochs": 1, "train.optimizer.weight_decay": 0.01},
)
"""torchtune's configurations, and what its recipes take where they say nothing."""
