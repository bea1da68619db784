"""TRL's command line and the alignment handbook: the trainer's own arguments in a flat file."""

from __future__ import annotations

import functools

from ftc.compiler.importers import low_rank, rules, training
from ftc.compiler.importers.foreign import Foreign
from ftc.compiler.importers.rows import as_asked, as_chat, as_preference, as_text, mixed, place_rows
from ftc.compiler.importers.rules import Rule, Tool, blocking, dropped, needless, number, tabled, whole
from ftc.compiler.importers.translation import Key, Translation

__all__ = ["TRL"]

_ADAPTER = training.AdapterKeys("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", 16, 32, 0.05)
_PREFERENCES = "no reinforcement learning, and of preferences DPO alone"
_OF_OTHER_METHODS = ("num_generations", "reward_model_path", "reward_funcs", "desirable_weight", "undesirable_weight")
_SUPERVISED = "choose a configuration for supervised training"


def _recognises(foreign: Foreign) -> bool:
    keys = foreign.root.entries
    of_trainer = "per_device_train_batch_size" in keys or "num_train_epochs" in keys or "learning_rate" in keys
    telling = ("dataset_name", "dataset_mixture", "datasets", "dataset_mixer", "dataset_text_field", "packing_strategy")
    return ("model_name_or_path" in keys or of_trainer) and any(key in keys for key in telling)


def _model(t: Translation) -> None:
    training.base_model(t, "model_name_or_path", "model_revision")
    training.attention(t, "attn_implementation")


def _strategy(t: Translation) -> None:
    four_bit = t.flag("load_in_4bit")
    eight_bit = t.flag("load_in_8bit") and not four_bit
    if t.flag("load_in_8bit") and four_bit:
        t.conflict("load_in_8bit", "`load_in_4bit` stands in the same file", "keep one of the two")
    if not t.flag("use_peft"):
        t.carry("use_peft", "strategy.kind", "full")
        if four_bit:
            t.drop("load_in_4bit", "quantised weights can't be trained in full")
        if eight_bit:
            t.drop("load_in_8bit", "quantised weights can't be trained in full")
        for key in ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules"):
            t.ignore(key, "without `use_peft: true` TRL makes no adapter", "set it if an adapter was meant")
        return
    if eight_bit:
        training.in_8_bits(t, ["use_peft"], "load_in_8bit")
    else:
        keys: list[str | Key] = ["use_peft", "load_in_4bit"] if four_bit else ["use_peft"]
        t.carry(keys, "strategy.kind", "qlora" if four_bit else "lora")
    if four_bit:
        _quantization(t)
    training.adapter(t, _ADAPTER)


def _quantization(t: Translation) -> None:
    kind = t.text("bnb_4bit_quant_type")
    if kind in ("nf4", "fp4"):
        t.carry("bnb_4bit_quant_type", "strategy.quantization", kind)
    if t.has("use_bnb_nested_quant"):
        t.carry("use_bnb_nested_quant", "strategy.double_quantization", t.flag("use_bnb_nested_quant"))
    else:
        t.add("strategy.double_quantization", False, "TRL's default")


def _rows(t: Translation) -> None:
    for mixture in ("dataset_mixture.datasets", "datasets"):
        if t.has(mixture):
            _mixture(t, mixture)
            break
    else:
        if t.has("dataset_mixer"):
            t.block("dataset_mixer", "data sets mixed by share, and a recipe reads one file", "use `--data FILE`")
        else:
            place_rows(t, "dataset_name")
        _shape(t, "dataset_name")
    t.add("data.split.validation", 0, "TRL has a split of its own on the hub; give a share, or a file")
    t.add("data.split.test", 0, "TRL keeps no test rows; a share such as 0.1 makes ftc measure the result")


def _mixture(t: Translation, key: str) -> None:
    """A list of data sets."""
    sets = t.items(key)
    if len(sets) == 1:
        _one(t, sets[0])
    else:
        shares = [(*one, "weight") for one in sets]
        mixed(t, key, [functools.partial(_one, t, one) for one in sets], shares)


def _one(t: Translation, key: Key) -> None:
    named = "id" if t.has((*key, "id")) else "path"
    files = (*key, "data_files")
    place_rows(t, (*key, named), file_key=files if t.has(files) else None)
    if t.names((*key, "columns")) == ("messages",):
        as_chat(t, (*key, "columns"), None)
    else:
        _shape(t, (*key, named))


def _shape(t: Translation, key: str | Key) -> None:
    """TRL looks at the columns when it trains; some keys tell their shape before."""
    column = t.text("dataset_text_field")
    if t.has("beta") and not any(t.has(other) for other in _OF_OTHER_METHODS):
        as_preference(t, "beta", {}, "the key of `trl dpo`")
        if (beta := t.number("beta")) is not None:
            t.carry("beta", "task.beta", beta)
    elif t.flag("assistant_only_loss"):
        as_chat(t, "assistant_only_loss", None)
    elif t.flag("completion_only_loss"):
        t.carry("completion_only_loss", "task.kind", "generation")
    elif column and t.options.task is None:
        as_text(t, "dataset_text_field", column)
    else:
        as_asked(t, key, "TRL finds out the shape of the rows when it trains")


def _train(t: Translation) -> None:
    training.steps(t, "max_steps")
    training.batch(t, "per_device_train_batch_size", "gradient_accumulation_steps", default_micro=8)
    word = training.schedule(t, "lr_scheduler_type")
    training.warmup(t, "warmup_ratio", "warmup_steps", word)
    training.optimizer(t, "optim")
    training.precision(t, "bf16", "fp16", default="bfloat16")
    training.checkpointing(t, "gradient_checkpointing", default=True)
    training.evaluation(t, "eval_strategy", "eval_steps", "save_strategy", "save_steps")
    length = next((key for key in ("max_length", "max_seq_length") if t.has(key)), None)
    if length and (count := t.whole(length)) is not None:
        t.carry(length, "data.max_length", count)


def _unknown(t: Translation, key: Key) -> None:
    t.drop(key, "no counterpart in a recipe")


_RULES: dict[str, Rule] = {
    "learning_rate": number("train.learning_rate"),
    "num_train_epochs": number("train.epochs"),
    "weight_decay": number("train.optimizer.weight_decay"),
    "adam_beta1": number("train.optimizer.beta1"),
    "adam_beta2": number("train.optimizer.beta2"),
    "adam_epsilon": number("train.optimizer.epsilon"),
    "max_grad_norm": number("train.max_grad_norm"),
    "seed": whole("train.seed"),
    "save_total_limit": whole("train.keep_checkpoints"),
    "per_device_eval_batch_size": whole("eval.batch_size"),
    "packing": training.packing,
    "eval_packing": needless("losses mean the same, packed or not"),
    "packing_strategy": needless("how rows are packed changes no gradient"),
    "padding_free": needless(rules.FASTER_KERNELS),
    "assistant_only_loss": needless("only the assistant's turns are learnt, always"),
    "completion_only_loss": needless("only the completion is learnt, always"),
    "dataset_text_field": needless("the rows have another shape"),
    "chat_template": dropped("the model's own template is used", "put it into the tokenizer of the base model"),
    "chat_template_path": dropped("the model's own template is used", "put it into the tokenizer of the base model"),
    "trust_remote_code": dropped(rules.NO_CODE, "the model has to be one that transformers knows"),
    "torch_dtype": needless("the plan chooses how weights are kept"),
    "dtype": needless("the plan chooses how weights are kept"),
    "lora_modules_to_save": low_rank.modules_to_save,
    "dataset_config": dropped("a subset of a data set is a file of its own", "name it with `--hub-file FILE`"),
    "dataset_train_split": needless("the file is the split"),
    "dataset_test_split": dropped("another split of the hub", "name its file in `data.split.validation`"),
    "load_best_model_at_end": needless("the best checkpoint always stays"),
    "do_eval": needless("follows from the split"),
    "do_train": needless("`ftc apply` trains"),
    "truncation_mode": dropped("too long rows lose a part of the prompt first", off=("keep_start",)),
    "neftune_noise_alpha": rules.switched("train.neftune_alpha"),
    "label_smoothing_factor": rules.switched("train.label_smoothing"),
    "loss_type": dropped("the usual loss stands in the place of this one", off=("nll", "sigmoid", ("sigmoid",))),
    "use_liger_kernel": needless(rules.FASTER_KERNELS),
    "tf32": dropped("float32 stays exact"),
    "group_by_length": training.length_grouped,
    "resume_from_checkpoint": needless("a run goes on by itself where it stopped"),
    "report_to": dropped("trackers are not spoken to; the run folder has it all", off=("none", (), ("none",))),
    "env": dropped("the environment is no part of a recipe", "set it where the run happens"),
    "beta": blocking(_PREFERENCES, _SUPERVISED, off=()),
    "dataset_mixture.datasets.split": needless("the file is the split"),
    "dataset_mixture.datasets.weight": needless("a single data set"),
    "dataset_mixture.datasets.fraction": dropped("a share of the rows is not taken", "set `data.max_rows`"),
    "dataset_mixture.datasets.config": needless("the file is the subset"),
    "dataset_mixture.test_split_size": dropped("rows for a test", "give `data.split.validation` a share"),
    "datasets.split": needless("the file is the split"),
    "datasets.fraction": dropped("a share of the rows is not taken", "set `data.max_rows`"),
    "max_prompt_length": dropped("prompts have no limit of their own; `data.max_length` holds for a whole row"),
    "max_seq_length": needless("`max_length` says it"),
    "use_dora": rules.of_adapter("strategy.dora"),
    "use_rslora": rules.of_adapter("strategy.rank_stabilized"),
    **tabled(blocking(_PREFERENCES, _SUPERVISED, off=()),
             "rpo_alpha num_generations reward_model_path reward_funcs max_completion_length "
             "desirable_weight undesirable_weight center_rewards_coefficient"),
    **tabled(needless("belongs to a feature that is off"),
             "load_in_4bit load_in_8bit bnb_4bit_quant_type use_bnb_nested_quant bnb_4bit_quant_storage lora_task_type "
             "lora_r lora_alpha lora_dropout lora_target_modules"),
    **tabled(needless(rules.LOGS),
             "logging_steps logging_strategy logging_first_step log_level run_name disable_tqdm "
             "include_num_input_tokens_seen"),
    **tabled(needless(rules.FOLDERS),
             "output_dir overwrite_output_dir hub_model_id hub_strategy push_to_hub logging_dir"),
    **tabled(needless(rules.OWN_LOADER),
             "dataset_num_proc dataloader_num_workers dataloader_pin_memory dataset_kwargs remove_unused_columns "
             "dataset_streaming pad_to_multiple_of preprocessing_num_workers shuffle_dataset dataset_mixture.seed"),
    **tabled(needless("saves memory, not what is trained"),
             "gradient_checkpointing_kwargs activation_offloading use_reentrant"),
    **tabled(dropped(rules.SHARDING),
             "deepspeed fsdp fsdp_config accelerate_config ddp_timeout ddp_find_unused_parameters num_processes "
             "parallelism_config"),
    **tabled(needless("checkpoints are safetensors, each with its manifest"), "save_safetensors save_only_model"),
}  # fmt: skip

TRL = Tool(
    name="trl",
    title="TRL",
    recognises=_recognises,
    steps=(_model, _strategy, _rows, _train),
    rules=_RULES,
    unknown=_unknown,
    defaults={
        "data.max_length": 1024,
        "train.learning_rate": 2e-5,
        "train.epochs": 3,
        "train.schedule.kind": "linear",
        "train.optimizer.weight_decay": 0,
        "train.seed": 42,
    },
)
"""Configurations of `trl sft` and the alignment handbook, and what TRL takes where they say nothing."""
