"""What a type can't say about a field: its unit, examples, and names that it may take. One line a field.

Apart from the models, because only the reference, the JSON Schema and editors ask; a strategy says it of its own fields
itself. A test holds that no field that can be a number lacks its unit, and that every example is a value that the field
takes.
"""

from __future__ import annotations

from typing import Any

from ftc.spec.base import Bandwidth, Bytes, Document, MoneyText, Power, Seconds, Throughput
from ftc.spec.metrics import METRICS
from ftc.spec.tasks import PARTS

__all__ = ["NUMBER", "QUANTITIES", "choices_of", "examples_of", "forms_of", "pattern_of", "unit_of"]

NUMBER = "a pure number"
"""Unit of what has none."""

_METRICS = tuple(metric.name for metric in METRICS)
_WATCHED = tuple(
    f"val_{metric.name}"
    for metric in METRICS
    if metric.higher_is_better
    and (not metric.generates or {"question_answering", "reinforcement"}.intersection(metric.tasks))
)
_PARTS = tuple(PARTS)
_NOT_ZERO = r"(?!0+(\.0+)?\s?[A-Za-z])"

QUANTITIES: tuple[tuple[Any, dict[str, Any]], ...] = (
    (Bytes, {"type": "string", "pattern": rf"^{_NOT_ZERO}\d{{1,12}}(\.\d{{1,6}})?\s?(B|[KMGT]i?B)$"}),
    (Seconds, {"type": "string", "pattern": rf"^{_NOT_ZERO}\d{{1,12}}(\.\d{{1,6}})?\s?(s|min|h|d)$"}),
    (Bandwidth, {"type": "string", "pattern": rf"^{_NOT_ZERO}\d{{1,12}}(\.\d{{1,6}})?\s?(Gbit|GB|TB)/s$"}),
    (Throughput, {"type": "string", "pattern": rf"^{_NOT_ZERO}\d{{1,12}}(\.\d{{1,6}})?\s?[GTP]FLOP/s$"}),
    (Power, {"type": "string", "pattern": rf"^{_NOT_ZERO}\d{{1,12}}(\.\d{{1,6}})?\s?k?W$"}),
    (MoneyText, {"type": "string", "pattern": r"^\d{1,12}(\.\d{1,4})?\s?[A-Z]{3}$"}),
)
"""The types that a recipe writes as text with a unit, and that text as JSON Schema."""

_UNITS = {
    "Recipe.ftc": NUMBER,
    "Rope.factor": NUMBER,
    "PanAndScan.max_crops": "crops",
    "PanAndScan.min_crop_size": "pixels",
    "PanAndScan.min_ratio": NUMBER,
    "QuestionAnswering.stride": "tokens",
    "QuestionAnswering.max_answer_length": "tokens",
    "MaskedLanguageModeling.mask_share": "share of a row's tokens",
    "SpanCorruption.noise_density": "share of a row's tokens",
    "SpanCorruption.mean_span_length": "tokens",
    "Preference.beta": NUMBER,
    "Preference.label_smoothing": "share of the pairs",
    "Preference.gamma": NUMBER,
    "Preference.sft_weight": NUMBER,
    "Preference.desirable_weight": NUMBER,
    "Preference.undesirable_weight": NUMBER,
    "Embedding.temperature": NUMBER,
    "Reinforcement.group_size": "answers",
    "Reinforcement.max_new_tokens": "tokens",
    "Reinforcement.temperature": NUMBER,
    "Reinforcement.top_k": "tokens",
    "Reinforcement.beta": NUMBER,
    "Reinforcement.importance_cap": NUMBER,
    "Reinforcement.writer_memory": "bytes, as `B`, `KiB`, `MiB`, `GiB`, `TiB` or `KB`, `MB`, `GB`, `TB`",
    "RewardTerm.weight": NUMBER,
    "RewardTerm.tolerance": NUMBER,
    "RewardTerm.cpu_seconds": "seconds of CPU time",
    "RewardTerm.memory": "bytes, as `B`, `KiB`, `MiB`, `GiB`, `TiB` or `KB`, `MB`, `GB`, `TB`",
    "RewardTerm.min_characters": "characters",
    "RewardTerm.max_characters": "characters",
    "Data.max_rows": "rows",
    "Data.max_length": "tokens",
    "Data.max_lost_answers": "share of the part's rows",
    "Split.validation": "share of the rows",
    "Split.test": "share of the rows",
    "Split.seed": NUMBER,
    "FewShot.seed": NUMBER,
    "FewShot.few_shot": "examples",
    "_Mixed.weight": NUMBER,
    "Augment.variants": "rows",
    "Augment.share": "share of the training rows",
    "Augment.words": "share of the words",
    "Augment.characters": "share of the letters",
    "Augment.seed": NUMBER,
    "QualityRules.similarity": "share of word n-grams in either text",
    "QualityRules.allow_overlap": "share of the part's rows",
    "PresidioRules.least_score": "presidio's score, from 0 to 1",
    "Train.epochs": "passes over the training rows",
    "Train.max_steps": "optimizer steps",
    "Train.batch_size": "rows",
    "Train.micro_batch": "rows",
    "Train.micro_batch_tokens": "tokens",
    "Train.loss_chunk_size": "target positions",
    "Train.learning_rate": NUMBER,
    "Train.head_learning_rate": NUMBER,
    "Train.layer_decay": "share of the next layer's rate",
    "ParameterGroup.learning_rate": NUMBER,
    "Train.max_grad_norm": NUMBER,
    "Train.label_smoothing": "share of the target",
    "Train.focal_gamma": NUMBER,
    "Train.z_loss": NUMBER,
    "Train.neftune_alpha": NUMBER,
    "Train.ema_decay": NUMBER,
    "Train.average_checkpoints": "checkpoints",
    "QuantizeAware.group_size": "weights",
    "Train.router_aux_loss": "share of the loss",
    "Train.seed": NUMBER,
    "Train.evaluate_every": "optimizer steps",
    "Train.keep_checkpoints": "checkpoints",
    "Schedule.warmup_ratio": "share of the steps",
    "Schedule.warmup_steps": "optimizer steps",
    "Schedule.decay_ratio": "share of the steps",
    "Schedule.patience": "evaluations",
    "Schedule.factor": NUMBER,
    "ScheduleKeys.cycles": "reductions of the rate",
    "ScheduleKeys.power": NUMBER,
    "ScheduleKeys.timescale": "optimizer steps",
    "ScheduleKeys.min_lr_ratio": "share of the peak rate",
    "Optimizer.momentum": NUMBER,
    "Optimizer.beta1": NUMBER,
    "Optimizer.beta2": NUMBER,
    "Optimizer.epsilon": NUMBER,
    "Optimizer.weight_decay": NUMBER,
    "OptimizerNumbers.beta3": NUMBER,
    "OptimizerNumbers.alpha": NUMBER,
    "Distillation.temperature": NUMBER,
    "Distillation.weight": "share of the loss",
    "Distillation.beta": "share of the teacher in the mixture",
    "OnPolicy.lmbda": "share of the optimizer steps",
    "OnPolicy.max_new_tokens": "tokens",
    "OnPolicy.temperature": NUMBER,
    "OnPolicy.top_k": "tokens",
    "SequenceLevel.max_new_tokens": "tokens",
    "SequenceLevel.temperature": NUMBER,
    "SequenceLevel.top_k": "tokens",
    "EarlyStopping.patience": "evaluations",
    "EarlyStopping.min_delta": "the unit of the metric",
    "Judge.max_tokens": "tokens",
    "Eval.max_new_tokens": "tokens",
    "Eval.batch_size": "rows",
    "Eval.samples": "predictions",
    "Budget.devices": "devices",
    "Train.context_parallel": "devices",
    "Train.tensor_parallel": "devices",
    "Budget.nodes": "machines",
    "Budget.link": "bytes a second, as `GB/s` or `TB/s`, or bits a second, as `Gbit/s`",
    "Budget.vram": "bytes, as `B`, `KiB`, `MiB`, `GiB`, `TiB` or `KB`, `MB`, `GB`, `TB`",
    "Budget.time": "time, as `s`, `min`, `h` or `d`",
    "Budget.price_per_hour": "currency an hour, by its ISO 4217 code",
    "TokenPrice.sent": "currency a million tokens, by its ISO 4217 code",
    "TokenPrice.received": "currency a million tokens, by its ISO 4217 code",
    "Budget.cost": "currency, by its ISO 4217 code",
    "Budget.threads": "threads",
    "DeviceByHand.memory": "bytes, as `B`, `KiB`, `MiB`, `GiB`, `TiB` or `KB`, `MB`, `GB`, `TB`",
    "DeviceByHand.bandwidth": "bytes a second, as `GB/s` or `TB/s`, or bits a second, as `Gbit/s`",
    "DeviceByHand.power": "watts, as `W` or `kW`",
    "Rates.float32": "operations a second, as `GFLOP/s`, `TFLOP/s` or `PFLOP/s`",
    "Rates.bfloat16": "operations a second, as `GFLOP/s`, `TFLOP/s` or `PFLOP/s`",
}
_EXAMPLES: dict[str, tuple[Any, ...]] = {
    "Recipe.extends": ("base.yaml",),
    "Recipe.name": ("sms-spam",),
    "Classification.labels": (("ham", "spam"),),
    "TokenClassification.labels": (("LOC", "ORG", "PER"),),
    "Regression.scores": (("grammar", "style"),),
    "Prompted.prompt": ("Summarize: {{ article }}",),
    "Prompted.system": ("Answer in one sentence.",),
    "QuestionAnswering.stride": (64, 128),
    "QuestionAnswering.max_answer_length": (15, 30),
    "Preference.beta": (0.1, 0.3),
    "Embedding.temperature": (0.05, 0.02),
    "Embedding.matryoshka": ([64, 128],),
    "Embedding.query_prefix": ("query: ",),
    "Embedding.passage_prefix": ("passage: ",),
    "Preference.label_smoothing": (0.1,),
    "Preference.gamma": (0.5, 1.0),
    "Preference.sft_weight": (0.2, 1.0),
    "Reinforcement.group_size": (8, 16),
    "Reinforcement.max_new_tokens": (256, 1024),
    "Reinforcement.temperature": (1.0, 0.7),
    "Reinforcement.top_k": (0, 50),
    "Reinforcement.writer_memory": ("24GiB",),
    "Reinforcement.beta": (0.0, 0.04),
    "Reinforcement.importance_cap": (2.0, 3.0),
    "RewardTerm.weight": (1.0, 0.2),
    "RewardTerm.tolerance": (0.0, 0.01),
    "RewardTerm.cpu_seconds": (3, 10),
    "RewardTerm.memory": ("512MiB", "2GiB"),
    "RewardTerm.pattern": (r"^<answer>\d+</answer>$",),
    "RewardTerm.extract": ("<answer>(.*?)</answer>",),
    "RewardTerm.json_schema": ('{"type": "object", "required": ["name"]}',),
    "RewardTerm.min_characters": (1,),
    "RewardTerm.max_characters": (200,),
    "Data.fields": ({"text": "message", "label": "class"},),
    "Data.max_rows": (1000,),
    "Data.max_length": ("auto", 512),
    "PathSource.reader": ("courtesy-metrics:tickets",),
    "PathSource.path": ("data/rows.jsonl", "data/rows.csv"),
    "HubSource.hub": ("owner/name",),
    "HubSource.file": ("data/train-00000-of-00001.parquet",),
    "HubSource.config": ("en",),
    "HubSource.split": ("train",),
    "HubSource.revision": ("main", "v1.0"),
    "Split.validation": (0.1, 0, {"path": "data/validation.jsonl"}),
    "Split.test": (0.1, 0, {"path": "data/test.jsonl"}),
    "Split.stratify": ("class",),
    "Split.seed": (17,),
    "Split.fold": ("2 of 5",),
    "PresidioRules.countries": (("us", "uk"),),
    "Model.base": ("HuggingFaceTB/SmolLM2-135M-Instruct", "models/minilm"),
    "Model.revision": ("main", "v1.0"),
    "License.allow": (("apache-2.0", "mit"),),
    "Train.epochs": (1, 3, 0.5),
    "Train.max_steps": (1000,),
    "Train.batch_size": (16, 32),
    "Train.micro_batch": ("auto", 4),
    "Train.learning_rate": ("auto", 2e-4, 2e-5),
    "Train.head_learning_rate": ("auto", 1e-3),
    "Train.parameter_groups": (({"parameters": ["embed_tokens"], "learning_rate": 1e-6},),),
    "Train.layer_decay": (0.9,),
    "ParameterGroup.parameters": (("embed_tokens",), ("layers.[0-7]",)),
    "ParameterGroup.learning_rate": (1e-6,),
    "Train.class_weights": ("auto", "balanced"),
    "Train.max_grad_norm": (1.0, None),
    "Train.focal_gamma": (2,),
    "Train.label_smoothing": (0.1,),
    "Train.loss": ("courtesy-metrics:bounded",),
    "Train.z_loss": (1e-4,),
    "Train.neftune_alpha": (5,),
    "Train.ema_decay": (0.99,),
    "Train.average_checkpoints": (5,),
    "Train.quantize_aware": ({"weights": "int4"},),
    "QuantizeAware.group_size": ("auto", 128),
    "Train.router_aux_loss": (0.001,),
    "Train.seed": (17,),
    "Train.evaluate_every": ("epoch", 100),
    "Train.keep_checkpoints": (2,),
    "Schedule.warmup_ratio": (0.05,),
    "Schedule.warmup_steps": (100,),
    "Optimizer.beta1": (0.9,),
    "Optimizer.beta2": ("auto", 0.999, 0.95),
    "Optimizer.momentum": (0.9,),
    "Schedule.decay_ratio": (0.2,),
    "Schedule.patience": (1,),
    "Schedule.factor": (0.5, 0.1),
    "ScheduleKeys.min_lr_ratio": (0.1,),
    "ScheduleKeys.timescale": (1000,),
    "ScheduleKeys.power": (1, 2),
    "ScheduleKeys.cycles": (2, 4),
    "Optimizer.epsilon": (1e-8,),
    "OptimizerNumbers.beta3": (0.9999,),
    "OptimizerNumbers.alpha": (5,),
    "Optimizer.weight_decay": (0.0, 0.01),
    "Distillation.teacher": ("./models/teacher", "owner/name"),
    "Distillation.revision": ("main", "v1.0"),
    "Distillation.temperature": (1, 2, 4),
    "Distillation.weight": (0.5, 0.9),
    "Distillation.beta": (0.1, 0.5, 0.9),
    "OnPolicy.lmbda": (0.5, 1),
    "SequenceLevel.temperature": (0, 0.7),
    "EarlyStopping.metric": ("val_loss",),
    "EarlyStopping.patience": (2,),
    "EarlyStopping.min_delta": (0.001,),
    "Eval.metrics": ("auto", ("accuracy", "macro_f1")),
    "Eval.gates": ({"macro_f1": ">= 0.95"}, ("f1 of sport >= 0.9",)),
    "Eval.baselines": (("zero_shot", {"few_shot": 4}),),
    "FewShot.few_shot": (4, 8),
    "FewShot.seed": (17,),
    "Eval.slices": (("length", "region"),),
    "Retention.path": ("data/general.jsonl",),
    "Retention.text": ("text",),
    "Judge.url": ("http://localhost:8000/v1",),
    "Judge.model": ("qwen3-32b",),
    "Judge.key_env": ("JUDGE_API_KEY",),
    "Judge.max_tokens": (1024,),
    "Judge.criterion": ("Judge whether the answer is correct and polite.",),
    "Classifier.base": ("./models/toxicity", "owner/name"),
    "Classifier.label": ("toxic",),
    "Swaps.path": ("data/swaps.csv",),
    "Eval.max_new_tokens": ("auto", 128),
    "Eval.batch_size": ("auto", 32),
    "Eval.samples": (8,),
    "Budget.device": ("auto", "cpu", "rtx-4090", {"name": "my-card", "memory": "47.5GiB"}),
    "Budget.devices": ("auto", 1, 4),
    "Train.context_parallel": ("auto", 1, 2),
    "Train.tensor_parallel": ("auto", 1, 2, 8),
    "Budget.nodes": (1, 2),
    "Budget.link": ("400 Gbit/s", "25 GB/s"),
    "Budget.vram": ("24GiB", "80GB"),
    "Budget.time": ("2h", "90min"),
    "Budget.price_per_hour": ("0.40 USD",),
    "Budget.price_per_million_tokens": ({"sent": "0.15 USD", "received": "0.60 USD"},),
    "TokenPrice.sent": ("0.15 USD",),
    "TokenPrice.received": ("0.60 USD",),
    "Budget.cost": ("5 USD",),
    "Budget.threads": ("auto", 4),
    "DeviceByHand.name": ("my-card",),
    "DeviceByHand.memory": ("47.5GiB",),
    "DeviceByHand.bandwidth": ("768 GB/s", "3.35 TB/s"),
    "DeviceByHand.throughput": ({"float32": "38.7 TFLOP/s", "bfloat16": "154 TFLOP/s"},),
    "DeviceByHand.capability": ("8.6",),
    "DeviceByHand.power": ("300 W",),
    "Rates.float32": ("38.7 TFLOP/s",),
    "Rates.bfloat16": ("154 TFLOP/s",),
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "Data.fields": _PARTS,
    "Eval.metrics": _METRICS,
    "EarlyStopping.metric": ("val_loss", *_WATCHED),
}
_PATTERNS = {
    "Eval.metrics": r"^(precision|recall|f1) of \S",
}
_GATE = r"(>=|<=|>|<)\s*-?\d{1,9}(\.\d{1,9})?\s*$"
_FORMS: dict[str, dict[str, Any]] = {
    "Eval.gates": {
        "anyOf": [
            {
                "type": "object",
                "propertyNames": {"enum": list(_METRICS)},
                "additionalProperties": {"type": "string", "pattern": rf"^\s*{_GATE}"},
            },
            {"type": "array", "items": {"type": "string", "pattern": rf"\S\s*{_GATE}"}},
        ]
    },
}


def unit_of(section: type[Document], field: str) -> str | None:
    """The unit of a field's number, or None where it holds none."""
    own = _own(section, "UNITS", field)
    return own if own is not None else next((_UNITS[name] for name in _names(section, field) if name in _UNITS), None)


def examples_of(section: type[Document], field: str) -> tuple[Any, ...]:
    """Values that make sense for a field; none where its choices say it all."""
    own: tuple[Any, ...] | None = _own(section, "EXAMPLES", field)
    return own or next((_EXAMPLES[name] for name in _names(section, field) if name in _EXAMPLES), ())


def choices_of(section: type[Document], field: str) -> tuple[str, ...]:
    """Names that a field's text, list items or keys may be, where the type leaves them open."""
    return next((_CHOICES[name] for name in _names(section, field) if name in _CHOICES), ())


def pattern_of(section: type[Document], field: str) -> str | None:
    """What further names look like, where `choices_of` doesn't know all of them; None where it does."""
    return next((_PATTERNS[name] for name in _names(section, field) if name in _PATTERNS), None)


def forms_of(section: type[Document], field: str) -> dict[str, Any]:
    """Keywords of JSON Schema for what a validator of ours reads out of text, such as a gate."""
    return next((_FORMS[name] for name in _names(section, field) if name in _FORMS), {})


def _own(section: type[Document], table: str, field: str) -> Any:
    """What a section, or the parent that declares the field, says of it itself; None where none does."""
    tables = (vars(parent).get(table, {}) for parent in section.__mro__)
    return next((found[field] for found in tables if field in found), None)


def _names(section: type[Document], field: str) -> tuple[str, ...]:
    """`Section.field` for the section and its parents: a field is described where it is declared."""
    return tuple(f"{parent.__name__}.{field}" for parent in section.__mro__ if issubclass(parent, Document))
