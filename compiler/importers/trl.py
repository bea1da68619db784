"""TRL's command line and the alignment handbook: the trainer's own arguments in a flat file."""

from __future__ import annotations

import functools

from ftc.compiler.importers import on_policy, rows, rules, sampling, trackers, training, vocabulary, words
from ftc.compiler.importers.commands import LAUNCHER, SCRIPT
from ftc.compiler.importers.translation import Key, Translation

__all__ = ["TRL"]

_ADAPTER = words.AdapterKeys(
    default_rank=16, default_alpha=32, default_dropout=0.05, parameters="lora_target_parameters"
)
_TRAINER = training.TrainerKeys(precision="bfloat16", is_checkpointed=True)
_RATING_WEIGHTS = ("desirable_weight", "undesirable_weight")
_KNOWN_ROWS = {
    **dict.fromkeys(
        ("trl-lib/Capybara", "HuggingFaceH4/ultrachat_200k", "HuggingFaceH4/Multilingual-Thinking"), ("messages",)
    ),
    **dict.fromkeys(("stanfordnlp/imdb", "timdettmers/openassistant-guanaco"), ("text",)),
    "trl-lib/tldr": ("prompt", "completion"),
}
"""Columns of public data sets, which no key of a configuration says; TRL looks at them when it trains."""
_KNOWN_CONVERSATIONS = {"open-thoughts/OpenThoughts-114k": "conversations"}
"""The same with the column of their conversations, of `from` and `value`."""
_SUPERVISED, _RATED, _SCORED, _STEPWISE = ("sft",), ("kto",), ("reward", "reward_modeling"), ("prm",)
_COMPARED = {"dpo": "", "cpo": "cpo", "orpo": "orpo"}
"""Programs that train on pairs, and what they compute where no key names a loss."""
_SAMPLED = {"grpo": "", "rloo": "rloo"}
"""Programs that train on sampled answers, likewise."""
_OF_STEPS = ("step_separator", "train_on_last_step_only")
"""Keys that `PRMConfig` alone has."""
_PROGRAMS = (*_SUPERVISED, *_RATED, *_SCORED, *_STEPWISE, *_COMPARED, *_SAMPLED, "gkd", "gold")
_RATING_LOSSES = ("kto", "apo_zero_unpaired")
"""Losses of `trl kto`, which has its own configuration."""


_SMALL_RATE, _OF_PROGRAM = 1e-6, "TRL's default for this method"
_OTHER_PROGRAM = "choose a command of `trl sft`, `dpo`, `kto`, `reward`, `grpo` or `rloo`"


def _strategy(t: Translation) -> None:
    four_bit = t.flag("load_in_4bit")
    eight_bit = t.flag("load_in_8bit") and not four_bit
    if t.flag("load_in_8bit") and four_bit:
        t.conflict("load_in_8bit", "`load_in_4bit` is set in the same file", "keep one of the two")
    if not t.flag("use_peft"):
        t.carry("use_peft", "strategy.kind", words.STRATEGIES["trl"][""])
        for key, is_asked in (("load_in_4bit", four_bit), ("load_in_8bit", eight_bit)):
            if is_asked:
                t.drop(key, "quantized weights can't be fully trained")
        for key in ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_target_parameters"):
            t.ignore(key, "without `use_peft: true` TRL makes no adapter", "set it if you want an adapter")
        return
    words.low_rank(t, ["use_peft"], "load_in_4bit" if four_bit else None, "load_in_8bit" if eight_bit else None)
    if four_bit:
        words.quantization(t, "bnb_4bit_quant_type", "use_bnb_nested_quant", usual_double=False)
    words.adapter(t, _ADAPTER)


def _rows(t: Translation) -> None:
    mixture = next((key for key in ("dataset_mixture.datasets", "datasets") if t.has(key)), None)
    if mixture:
        # a list of data sets
        sets = t.items(mixture)
        if len(sets) == 1:
            _one(t, sets[0])
        else:
            rows.mixed(
                t, mixture, [functools.partial(_one, t, one) for one in sets], [(*one, "weight") for one in sets]
            )
    elif t.has("dataset_mixer"):
        _mixer(t, "dataset_mixer")
    else:
        rows.place_rows(t, "dataset_name")
        _shape(t, "dataset_name")
    t.add("data.split.validation", 0, "TRL uses another split on the hub; set a share or a file")
    t.add("data.split.test", 0, "TRL keeps no test rows; a share such as 0.1 makes ftc measure the result")


def _mixer(t: Translation, key: str) -> None:
    """The alignment handbook's data sets, each with the share of its rows that is taken."""
    shares = t.value(key)
    if t.options.data:
        rows.place_named_rows(t, key)
        _shape(t, key)
        return
    if not isinstance(shares, dict) or any(share != 1 for share in shares.values()):
        help = "use `--data FILE`, or list whole files in `data.source`, each with a `weight`"
        t.block(key, "shares of data sets are not supported; a recipe uses all rows of a file", help)
        return

    def one(name: str) -> None:
        rows.place_named_rows(t, key, hub=name)
        _shape(t, key)

    if len(shares) == 1:
        one(*shares)
    else:
        rows.mixed(t, key, [functools.partial(one, name) for name in shares])


def _one(t: Translation, key: Key) -> None:
    named = "id" if t.has((*key, "id")) else "path"
    files = (*key, "data_files")
    rows.place_rows(t, (*key, named), file_key=files if t.has(files) else None)
    if t.names((*key, "columns")) == ("messages",):
        rows.as_chat(t, (*key, "columns"), None)
    else:
        _shape(t, (*key, named))


def _shape(t: Translation, key: str | Key) -> None:
    """TRL looks at the columns when it trains; a command's program and some keys tell their shape before."""
    program, key_of_sampling = t.text(SCRIPT), sampling.tells_sampling(t)
    if program is not None and program.endswith("_eval"):
        t.block_without_training(SCRIPT)
    elif program is not None and program not in _PROGRAMS:
        t.block(SCRIPT, f"the program `{program[:40]}` is none whose keys ftc reads", _OTHER_PROGRAM)
    elif key_of_judging := on_policy.tells_judging(t):
        rows.as_chat(t, key_of_judging, None)
        is_gold = program == "gold" or t.has("use_uld_loss")
        if is_gold:
            t.add("train.learning_rate", 1e-7, _OF_PROGRAM)
        on_policy.as_judged(t, is_gold=is_gold)
    elif program in _SAMPLED or key_of_sampling:
        t.add("train.learning_rate", _SMALL_RATE, _OF_PROGRAM)
        sampling.as_sampled(t, SCRIPT if program in _SAMPLED else str(key_of_sampling))
        sampling.of_server(t)
        if loss := _SAMPLED.get(program or ""):
            t.carry(SCRIPT, "task.loss", loss)
    elif program in _SCORED:
        t.add("train.learning_rate", 1e-4, _OF_PROGRAM)
        rows.as_preference(t, SCRIPT, {}, kind=rows.SCORES)
    elif program in _STEPWISE or any(t.has(name) for name in _OF_STEPS):
        named = next((name for name in _OF_STEPS if t.has(name)), SCRIPT)
        t.add("train.learning_rate", 1e-5, _OF_PROGRAM)
        rows.as_steps(t, SCRIPT if program in _STEPWISE else named, *_OF_STEPS)
    elif program in _RATED or t.text("loss_type") in _RATING_LOSSES or any(t.has(weight) for weight in _RATING_WEIGHTS):
        _rated(t, key)
    elif program in _COMPARED or (t.has("beta") and not t.has("reward_model_path")):
        _paired(t, program)
    else:
        _supervised(t, key)


def _rated(t: Translation, key: str | Key) -> None:
    """Answers that are rated good or bad, as `trl kto` reads them."""
    t.add("train.learning_rate", _SMALL_RATE, _OF_PROGRAM)
    rows.as_rated(t, key, {}, "a key of `trl kto`")
    if "task.loss" not in t.values and not t.has("loss_type"):
        t.add("task.loss", "kto", "a key of `trl kto`")
    numbers = {"beta": "beta", **{weight: weight for weight in _RATING_WEIGHTS}}
    rows.as_compared(t, "loss_type", t.text("loss_type") or "kto", numbers, {"beta": 0.1})


def _paired(t: Translation, program: str | None) -> None:
    """Pairs of answers, as `trl dpo` and the programs of CPO and ORPO read them."""
    t.add("train.learning_rate", _SMALL_RATE, _OF_PROGRAM)
    rows.as_preference(t, SCRIPT if program else "beta", {}, "" if program else "the key of `trl dpo`")
    if usual := _COMPARED.get(program or ""):
        _without_reference(t, usual, t.text("loss_type") or "sigmoid")
        return
    losses = t.names("loss_type") or ((t.text("loss_type") or "sigmoid"),)
    numbers = {"beta": "beta", "label_smoothing": "label_smoothing", "rpo_alpha": "sft_weight"}
    rows.as_compared(t, "loss_type", losses[0], numbers, {"beta": 0.1})
    for loss in losses[1:]:
        t.block("loss_type", f"several losses at once, `{loss[:40]}` beside another", "keep one of them")


def _without_reference(t: Translation, usual: str, word: str) -> None:
    """What `CPOConfig` and `ORPOConfig` say: a name of a loss means another one there, and the chosen answer counts."""
    named = {"sigmoid": usual, "simpo": word}.get(word)
    if named is None:
        t.block("loss_type", f"`{word[:40]}` without a reference is not supported", "choose `sigmoid` or `simpo`")
        return
    numbers = {"beta": "beta", "cpo_alpha": "sft_weight", "simpo_gamma": "gamma", "label_smoothing": "label_smoothing"}
    rows.as_compared(t, "loss_type" if t.has("loss_type") else SCRIPT, named, numbers, {"beta": 0.1})
    if named == word:
        t.add("task.sft_weight", 1, "TRL's default for `cpo_alpha`")


def _supervised(t: Translation, key: str | Key) -> None:
    """Rows of `trl sft`, by a key or as a public data set is known to be."""
    column = t.text("dataset_text_field")
    known = _KNOWN_ROWS.get(t.text("dataset_name") or "", ())
    if t.flag("assistant_only_loss"):
        rows.as_chat(t, "assistant_only_loss", None)
    elif t.flag("completion_only_loss"):
        t.carry("completion_only_loss", "task.kind", words.task_of("prompt", "completion"))
    elif t.options.task is None and (column or known == ("text",)):
        rows.as_text(t, "dataset_text_field" if column else "dataset_name", column or known[0])
    elif (chats := _KNOWN_CONVERSATIONS.get(t.text("dataset_name") or "")) and t.options.task is None:
        rows.as_chat(t, "dataset_name", None)
        why = "as the data set's own card says; TRL leaves out a column `system` beside it, which ftc reads"
        t.carry("dataset_name", "data.fields.messages", chats, why)
    elif known:
        kind = words.task_of(*known)
        if t.options.task in (None, kind):
            t.carry("dataset_name", "task.kind", kind, "as the data set's own card says")
        else:
            rows.as_asked(t, "dataset_name", "")
    else:
        rows.as_asked(t, key, "TRL detects the format of the rows when it trains")


def _task_type(t: Translation, key: Key) -> None:
    """peft's word for the task; the rows tell of those that are imported."""
    named = words.named_task(t.text(key) or "")
    if t.text(SCRIPT) in _SCORED:
        t.needless(key, "the head of a reward model, as the program has it")
    elif named and not named[1] and t.flag("use_peft"):
        t.block(key, f"`{named[0]}` from such a configuration is not supported", named[2])
    else:
        t.needless(key, "belongs to a feature that is off")


def _train(t: Translation) -> None:
    training.trained(t, _TRAINER)
    length = next((key for key in ("max_length", "max_seq_length") if t.has(key)), None)
    if length and (count := t.whole(length)) is not None:
        t.carry(length, "data.max_length", count)


_RULES: rules.Rules = {
    **rules.TRAINER,
    **rules.each(training.packing, "packing"),
    **rules.each(training.length_grouped, "group_by_length"),
    **rules.each(training.watched, "metric_for_best_model"),
    **rules.each(_task_type, "lora_task_type"),
    **rules.of_peft(modules="lora_modules_to_save"),
    **rules.of_strategy({"use_dora": "strategy.dora", "use_rslora": "strategy.rank_stabilized"}),
    **rules.needless("losses mean the same, packed or not", "eval_packing"),
    **rules.needless("packing changes no gradient", "packing_strategy"),
    **rules.needless(rules.FASTER_KERNELS, "padding_free"),
    **rules.each(training.fused_kernels, "use_liger_kernel"),
    **rules.needless("ftc always trains only on the assistant's turns", "assistant_only_loss"),
    **rules.needless("ftc always trains only on the completion", "completion_only_loss"),
    **rules.needless("the rows have another format", "dataset_text_field"),
    **rules.needless("the plan chooses how weights are stored", "torch_dtype dtype"),
    **rules.needless("the file is the split", "dataset_train_split dataset_mixture.datasets.split datasets.split"),
    **rules.needless("the file is the subset", "dataset_mixture.datasets.config"),
    **rules.needless("a single data set", "dataset_mixture.datasets.weight"),
    **rules.needless("`max_length` sets it", "max_seq_length"),
    **rules.needless("belongs to a feature that is off",
        "load_in_4bit load_in_8bit bnb_4bit_quant_type use_bnb_nested_quant bnb_4bit_quant_storage "
        "lora_r lora_alpha lora_dropout lora_target_modules lora_target_parameters"),
    **rules.needless(rules.LOGS, "logging_strategy disable_tqdm"),
    **rules.needless(rules.FOLDERS, "hub_model_id hub_strategy push_to_hub"),
    **rules.needless(rules.OWN_LOADER,
        "dataset_num_proc dataloader_pin_memory dataset_kwargs dataset_streaming pad_to_multiple_of shuffle_dataset "
        "dataset_mixture.seed"),
    **rules.needless("saves memory, does not change the result", "activation_offloading use_reentrant"),
    **rules.needless("checkpoints are safetensors, each with a manifest", "save_safetensors save_only_model"),
    **vocabulary.template_file("chat_template chat_template_path"),
    **vocabulary.roles("eos_token", "pad_token"),
    **rules.dropped("a subset of a data set is a separate file", "dataset_config", "name it with `--hub-file FILE`"),
    **rules.dropped("another split of the hub", "dataset_test_split", "name its file in `data.split.validation`"),
    **rules.dropped("long rows are truncated at the start of the prompt", "truncation_mode", off=("keep_start",)),
    **rules.dropped("the default loss is used instead of this one", "loss_type",
        off=("nll", "sigmoid", ("sigmoid",))),
    **rules.dropped("float32 stays exact", "tf32"),
    **rules.dropped("environment variables are not part of a recipe", "env", "set it on the machine of the run"),
    **rules.dropped("a share of the rows is not supported", "dataset_mixture.datasets.fraction datasets.fraction",
        "set `data.max_rows`"),
    **rules.dropped("evaluation rows", "dataset_mixture.test_split_size", "set `data.split.validation` to a share"),
    **rules.dropped("prompts have no separate limit; `data.max_length` applies to the whole row", "max_prompt_length"),
    **rules.blocking("PPO is not supported", "beta reward_model_path", "choose another method", off=()),
    **rules.dropped("scores are not kept near zero; only their differences mean something",
        "center_rewards_coefficient"),
    **sampling.of_sampling(),
    **on_policy.of_judging(),
    **rules.shared_work(f"accelerate_config num_processes parallelism_config {LAUNCHER}"),
    **rules.needless("what the command runs", SCRIPT),
}  # fmt: skip

TRL = rules.Tool(
    name="trl",
    marks=(
        ("model_name_or_path", "per_device_train_batch_size", "num_train_epochs", "learning_rate"),
        (
            *("dataset_name", "dataset_mixture", "datasets", "dataset_mixer", "dataset_text_field"),
            "packing_strategy",
            SCRIPT,
        ),
    ),
    model=rules.ModelKeys("model_name_or_path", "model_revision", "attn_implementation"),
    steps=(_strategy, _rows, _train, trackers.of_trainer),
    rules=_RULES,
    unknown=lambda t, key: t.drop(key, "no counterpart in a recipe"),
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
