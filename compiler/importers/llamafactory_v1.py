"""LLaMA-Factory, the newer form with nested `*_config` blocks, which shares almost no key with the flat one."""

from __future__ import annotations

import functools

from ftc.compiler.importers import rows, rules, training, words
from ftc.compiler.importers.foreign import read_foreign
from ftc.compiler.importers.llamafactory import columns_of
from ftc.compiler.importers.translation import Translation
from ftc.spec.diagnostics import Refusal
from ftc.spec.language.foreign_yaml import plain

__all__ = ["LLAMAFACTORY_V1"]

_ADAPTER = words.AdapterKeys(
    "peft_config.r", "peft_config.lora_alpha", "peft_config.lora_dropout", "peft_config.target_modules", 8, 16
)
_TRAINER = training.TrainerKeys(
    micro="micro_batch_size",
    micro_rows=1,
    schedule="lr_scheduler_config.name",
    usual_schedule="constant",
    optimizer="optim_config.name",
    checkpointing="enable_activation_checkpointing",
    is_checkpointed=True,
    precision="bfloat16",
)


def _strategy(t: Translation) -> None:
    word = t.text("peft_config.name")
    bits = t.whole("quant_config.quantization_bit")
    kind = words.strategy_called("llamafactory", word or "")
    if word is None:
        t.add("strategy.kind", words.STRATEGIES["llamafactory"]["full"], "no adapter is named")
    elif kind in words.LOW_RANK:
        words.low_rank(t, ["peft_config.name"], "quant_config.quantization_bit" if bits == 4 else None, None)
        if bits == 4:
            t.needless("quant_config.name", "bitsandbytes is what ftc uses")
        words.adapter(t, _ADAPTER)
    elif kind:
        t.carry("peft_config.name", "strategy.kind", kind)
        words.other_adapter(t, kind, _ADAPTER, ["quant_config.quantization_bit"])
    else:
        t.block("peft_config.name", f"no strategy matches `{word[:40]}`", words.choose_strategy("llamafactory"))
    t.drop("quant_config.quantization_bit", "training on such weights is not supported", "only 4 bits with an adapter")


def _rows(t: Translation) -> None:
    name = t.text("train_dataset")
    t.add("data.split.test", 0, "LLaMA-Factory keeps no test rows; a share such as 0.1 makes ftc measure the result")
    t.add("data.split.validation", 0, "LLaMA-Factory's default")
    if t.options.data and t.options.task:
        t.add("data.source.path", t.options.data, "given by --data")
        rows.as_asked(t, "train_dataset", "")
    elif name is None:
        t.block("train_dataset", "no data set is named", "add the rows with `--data FILE --task TASK`")
    else:
        # a data set that stands in a YAML file of its own, one entry a part
        places = (name, *(f"{'../' * up}{name}" for up in range(1, 5)))
        raw = next((data for place in places if (data := t.around.read(place)) is not None), None)
        try:
            entries = plain(read_foreign(raw, name).root) if raw is not None else None
        except Refusal:
            entries = None
        help = "add the rows with `--data FILE --task TASK`"
        if not isinstance(entries, dict):
            t.block("train_dataset", f"`{name[:60]}`, which lists the rows, is not here", help)
        elif len(entries) != 1:
            rows.mixed(t, "train_dataset", [functools.partial(_data_set, t, entry) for entry in entries.values()])
        else:
            _data_set(t, next(iter(entries.values())))


def _data_set(t: Translation, entry: object) -> None:
    path = entry.get("path") if isinstance(entry, dict) else None
    converter = entry.get("converter", "alpaca") if isinstance(entry, dict) else None
    if not isinstance(path, str):
        rows.place_named_rows(t, "train_dataset", unreachable="the list of rows names no path")
    elif isinstance(entry, dict) and (entry.get("source") or "hf_hub") == "hf_hub":
        rows.place_named_rows(t, "train_dataset", hub=path)
    else:
        rows.place_named_rows(t, "train_dataset", path=path)
    if converter == "pair":
        rows.as_preference(t, "train_dataset", {}, "columns `chosen` and `rejected`; compare them with the rows")
    else:
        columns_of(t, "train_dataset", {"formatting": converter}, "sft")


def _train(t: Translation) -> None:
    training.trained(t, _TRAINER)
    whole_batch = t.whole("global_batch_size")
    if whole_batch and whole_batch > 0:
        t.carry("global_batch_size", "train.batch_size", whole_batch)


_RULES: rules.Rules = {
    **rules.numbers({
        "learning_rate": "train.learning_rate",
        "num_train_epochs": "train.epochs",
        "max_grad_norm": "train.max_grad_norm",
    }),
    **rules.wholes({
        "seed": "train.seed",
        "cutoff_len": "data.max_length",
        "save_total_limit": "train.keep_checkpoints",
        "max_new_tokens": "eval.max_new_tokens",
    }),
    **rules.of_strategy({
        "peft_config.use_dora": "strategy.dora",
        "peft_config.use_rslora": "strategy.rank_stabilized",
    }),
    **rules.of_peft("peft_config.modules_to_save", "peft_config.rank_pattern", "peft_config.alpha_pattern",
        "peft_config.init_lora_weights"),
    **rules.dropped("the model's own template is used", "template", "compare the rows in `ftc tokens`"),
    **rules.dropped("ftc never runs code from a model's repository", "trust_remote_code",
        "the model must be supported by transformers"),
    **rules.dropped("AdamW is used instead of this optimizer", "optim_config"),
    **rules.dropped("a constant rate is used instead", "lr_scheduler_config"),
    **rules.dropped("the plan packs rows if faster", "batching_strategy", "set `train.packing`", off=("normal",)),
    **rules.dropped("this quantization is not supported", "quant_config.name"),
    **rules.needless("read from the model itself", "model_class"),
    **rules.needless("not part of training", "sample_backend"),
    **rules.needless(rules.FASTER_KERNELS, "kernel_config use_v1_kernels"),
    **rules.needless(rules.FOLDERS, "output_dir resume_from_checkpoint peft_config.export_dir"),
    **rules.needless(rules.LOGS, "logging_steps"),
    **rules.shared_work("dist_config init_config cp_size cp_mode dp_size"),
}  # fmt: skip

LLAMAFACTORY_V1 = rules.Tool(
    name="llamafactory",
    marks=(("model",), ("model_class", "train_dataset", "dist_config", "kernel_config", "sample_backend")),
    model=rules.ModelKeys("model", None, "flash_attn"),
    steps=(_strategy, _rows, _train),
    rules=_RULES,
    unknown=lambda t, key: t.drop(key, "no counterpart in a recipe"),
    defaults={
        "data.max_length": 2048,
        "train.learning_rate": 1e-4,
        "train.epochs": 3,
        "train.schedule.kind": "constant",
        "train.schedule.warmup_ratio": 0,
        "train.optimizer.weight_decay": 0.01,
        "train.seed": 42,
    },
)
"""LLaMA-Factory's nested configurations."""
