"""Measures the device as a program: a job as JSON on standard input, the measurement as a line on standard output.

Rates are the best of several tries, since other processes only take away. Steps and evaluations are medians, by the
run's own code on small models with random weights.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ftc.runtime.execution.execute import let_threads_sleep
from ftc.spec.documents.calibration import CalibrationJob, MeasuredEvaluation, MeasuredStep, Measurement
from ftc.spec.precisions import precision_card

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ftc.spec.documents.settings import Settings
    from ftc.spec.documents.streams import TokenStream

__all__ = ["main", "measure"]

_PRODUCT = {"cpu": 1024, "cuda": 8192}
_ARRAY = {"cpu": 2**25, "cuda": 2**28}
"""Elements of float32 in each of three arrays, far more than any cache holds."""
_TRIES = 5
_TINY_OPERATIONS = 2000
_MOST_SECONDS = 6.0
"""Of one model's steps; on a busy machine fewer are taken."""
_ADAPTED = {"bert": ("query", "value"), "llama": ("q_proj", "v_proj", "up_proj", "down_proj")}
_RANK = 16
_ROWS = {"cpu": 4, "cuda": 16}
_LENGTH, _SCORED = {"cpu": 96, "cuda": 512}, 32
_VOCABULARY = 8192
_NEW_TOKENS = 16


def measure(job: CalibrationJob, import_seconds: float) -> Measurement:
    """Measures a device.

    Args:
        job: What to measure.
        import_seconds: What it took to load the training stack.
    """
    import torch

    torch.set_num_threads(job.threads)
    device = torch.device(job.kind)
    before = _used_bytes(device)
    steps: list[MeasuredStep] = []
    evaluations: list[MeasuredEvaluation] = []
    for step, measured in _passes(job, device):
        steps.append(step)
        evaluations += measured
    return Measurement(
        torch=torch.__version__,
        flops={name: _product_rate(device, name, job) for name in job.precisions},
        bandwidth=_bandwidth(device, job),
        operation_seconds=_operation_seconds(device),
        import_seconds=import_seconds,
        steps=tuple(steps),
        looks=tuple(evaluations),
        context_bytes=_context_bytes(device, before),  # at last, since kernels are loaded when they are first used
    )


def _product_rate(device: torch.device, precision: str, job: CalibrationJob) -> int:
    import torch

    from ftc.runtime.models.number_types import torch_type

    size = max(64, round(_PRODUCT[job.kind] * job.scale))
    left, right = (
        torch.randn(size, size, device=device, dtype=torch_type(precision_card(precision).products)) for _ in range(2)
    )
    return round(2 * size**3 / _best(lambda: left @ right, device))


def _bandwidth(device: torch.device, job: CalibrationJob) -> int:
    import torch

    count = max(2**12, round(_ARRAY[job.kind] * job.scale))
    first, second, out = (torch.ones(count, device=device) for _ in range(3))
    return round(3 * 4 * count / _best(lambda: torch.add(first, second, out=out), device))


def _operation_seconds(device: torch.device) -> float:
    import torch

    tiny = torch.ones(8, device=device)

    def many() -> None:
        for _ in range(_TINY_OPERATIONS):
            tiny.add_(1.0)

    return _best(many, device) / _TINY_OPERATIONS


def _best(act: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of several tries, the first of which only warms up."""
    return min([_timed(act, device) for _ in range(_TRIES + 1)][1:])


def _timed(act: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    act()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()


def _context_bytes(device: torch.device, before: int | None) -> int | None:
    """What the driver holds of a card for this process beside torch's own memory, where nobody else came or went."""
    import torch

    if before is None or (after := _used_bytes(device)) is None:
        return None
    return max(0, after - before - torch.cuda.memory_reserved()) or None


def _used_bytes(device: torch.device) -> int | None:
    """Memory of the card in use by all processes, by the driver's library, which takes none itself; CUDA would."""
    import torch

    if device.type != "cuda":
        return None
    try:
        return int(torch.cuda.device_memory_used(0))
    except Exception:  # noqa: BLE001 - without the library, or where it knows no such figure, nothing is told
        return None


def _passes(job: CalibrationJob, device: torch.device) -> Iterator[tuple[MeasuredStep, list[MeasuredEvaluation]]]:
    """A step of each small model, and evaluations by it."""
    shapes = [("bert", 384, 3, "lora"), ("llama", 512, 3, "lora"), ("llama", 512, 2, "full"), ("bert", 768, 2, "lora")]
    if job.kind == "cuda":
        shapes = [("llama", 2048, 8, "lora"), ("llama", 2048, 8, "full"), ("bert", 768, 6, "lora")]
    for precision in job.precisions:
        for kind, hidden, layers, strategy in shapes[: job.most_steps]:
            width = max(64, round(hidden * job.scale) // 64 * 64)
            yield _pass(job, device, precision, kind, width, layers, strategy)


def _pass(
    job: CalibrationJob, device: torch.device, precision: str, kind: str, hidden: int, layers: int, strategy: str
) -> tuple[MeasuredStep, list[MeasuredEvaluation]]:
    from ftc.runtime.models.base_model import trainable_tensors
    from ftc.runtime.models.build_model import build_model
    from ftc.runtime.training.seeding import deterministic

    config = _config(kind, hidden, layers)
    settings = _settings(job, kind, strategy, precision, layers)
    with deterministic(settings):
        model = build_model(settings, _ByChance(config), device)
        linear, is_full = _linear_modules(model), strategy == "full"
        common: dict[str, Any] = {
            "config": config, "linear_modules": linear, "labels": len(settings.text.labels), "precision": precision,
            "rows": settings.train.micro_batch, "length": _LENGTH[job.kind],
            "scored": settings.train.micro_batch * (1 if kind == "bert" else _SCORED),
        }  # fmt: skip
        step = MeasuredStep(
            **common,
            adapted=() if is_full else tuple(name for name in linear if name.rsplit(".", 1)[-1] in _ADAPTED[kind]),
            rank=0 if is_full else _RANK,
            trainable=sum(one.numel() for one in trainable_tensors(model).values()),
            seconds=_seconds_of_steps(job, settings, model),
        )
        evaluations = [
            MeasuredEvaluation(**common, new_tokens=new_tokens, seconds=seconds)
            for new_tokens, seconds in _seconds_of_evaluations(settings, model, job.tries)
        ]
    return step, evaluations


def _seconds_of_steps(job: CalibrationJob, settings: Settings, model: nn.Module) -> float:
    """Median of the steps behind the first, which warms up."""
    from ftc.runtime.execution.accelerator import make_accelerator
    from ftc.runtime.memory_trace.rows import stand_in_rows
    from ftc.runtime.models.base_model import trainable_tensors
    from ftc.runtime.tasks import make_scorer
    from ftc.runtime.training.loop import Job, training_steps
    from ftc.runtime.training.optimizers import make_optimizer
    from ftc.runtime.training.sources import StreamRows
    from ftc.spec.batches import BatchOrder
    from ftc.spec.documents.memory_trace import BatchShape

    rows = stand_in_rows(
        settings, BatchShape(length=_LENGTH[job.kind], supervised=_SCORED, padded=False), settings.train.batch_size
    )
    parameters = trainable_tensors(model)
    loop = Job(
        train=settings.train,
        seeds=settings.seeds,
        model=model.train(),
        parameters=parameters,
        scorer=make_scorer(model, settings),
        optimizer=make_optimizer(parameters, settings.train, model),
        source=StreamRows(rows, BatchOrder(rows.lengths, settings.train.batch_size, 1, 0)),
        accelerator=make_accelerator(settings),
    )
    seconds: list[float] = []
    for done in training_steps(loop, 0):
        seconds.append(done.seconds)
        if len(seconds) > 1 and sum(seconds) > _MOST_SECONDS:
            break
    return statistics.median(seconds[1:])


class _ByChance:
    """A base with weights of chance."""

    is_whole = False

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def load(self, kind: Any, options: dict[str, Any]) -> Any:
        """The model that the configuration describes."""
        from ftc.runtime.memory_trace.meta_model import configure, model_config

        config = model_config(self._config)
        configure(config, options)
        return kind.from_config(config, dtype=options["dtype"], attn_implementation=options["attn_implementation"])


def _config(kind: str, hidden: int, layers: int) -> dict[str, Any]:
    return {
        "model_type": kind,
        "vocab_size": _VOCABULARY,
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden if kind == "bert" else hidden * 8 // 3 // 64 * 64,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 32,
        "max_position_embeddings": 512,
        "hidden_dropout_prob": 0.0,
        "tie_word_embeddings": True,
    }


def _linear_modules(model: nn.Module) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of the layers' matrices, by names without what peft adds to them."""
    from torch import nn

    found: dict[str, tuple[int, int]] = {}
    for name, module in model.named_modules():
        plain = name.replace("base_model.model.", "", 1).removesuffix(".base_layer")
        if isinstance(module, nn.Linear) and ".layer" in plain and "lora_" not in plain:
            found[plain] = (module.in_features, module.out_features)
    return found


def _settings(job: CalibrationJob, kind: str, strategy: str, precision: str, layers: int) -> Settings:
    from ftc.spec.documents.settings import Settings

    is_encoder = kind == "bert"
    rows = max(1, round(_ROWS[job.kind] * job.scale))
    adapter = {
        "rank": _RANK, "alpha": _RANK, "dropout": 0.0, "targets": _ADAPTED[kind],
        "num_modules": layers * len(_ADAPTED[kind]), "trained_modules": ("classifier",) if is_encoder else (),
    }  # fmt: skip
    train = {
        "num_steps": job.tries + 1, "steps_per_epoch": 1, "batch_size": rows, "micro_batch": rows, "world_size": 1,
        "learning_rate": 1e-4, "schedule": {"kind": "constant", "warmup_steps": 0}, "fused": True,
        "optimizer": {"kind": "adamw", "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
        "max_grad_norm": 1.0, "determinism": {"asked": "auto", "kernels": "deterministic", "proof_steps": 0},
        "precision": precision, "activation_checkpointing": False, "evaluate_every_steps": 1, "keep_checkpoints": 1,
        "early_stopping": None, "select": "last", "select_metric": "val_loss", "select_higher": False,
    }  # fmt: skip
    return Settings.model_validate(
        {
            "text": {
                "form": "classify" if is_encoder else "raw", "uses_chat_template": False, "prompt": None,
                "max_length": _LENGTH[job.kind], "overflow": "cut", "system": None,
                "labels": ("a", "b") if is_encoder else (),
            },
            "model": {
                "base": "calibration", "commit": None, "architecture": kind, "attention": "sdpa", "pad_id": 0,
                "family": "encoder" if is_encoder else "decoder", "stop_ids": (),
                "head": "classification" if is_encoder else "lm",
            },
            "strategy": {"kind": "full"} if strategy == "full" else {"kind": "lora", "adapter": adapter},
            "train": train,
            "seeds": {"init": 1, "order": 2, "dropout": 3},
            "eval": {
                "metrics": (), "baseline": False, "gates": {}, "batch_size": 1, "max_new_tokens": None, "samples": 0,
            },
            "device": {"name": job.kind, "kind": job.kind, "count": 1, "threads": job.threads},
        }
    )  # fmt: skip


def main() -> int:
    """Answers the job on standard input."""
    answer_to = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    warnings.simplefilter("ignore")
    job = CalibrationJob.model_validate_json(sys.stdin.buffer.read())
    let_threads_sleep()
    started = time.perf_counter()
    import accelerate  # noqa: F401 - its loading is what is measured
    import peft  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401

    import ftc.runtime.training.train  # noqa: F401

    found = measure(job, time.perf_counter() - started)
    with os.fdopen(answer_to, "w", encoding="utf-8") as out:
        out.write(found.model_dump_json(by_alias=True) + "\n")
    return 0


def _seconds_of_evaluations(settings: Settings, model: Any, tries: int) -> Iterator[tuple[int, float]]:
    """Tokens of each answer, 0 for rows that are scored, and the median of the seconds of an evaluation.

    Args:
        settings: Of the model and its rows.
        model: Has been trained; an adapter is folded into it for good.
        tries: Evaluations of each kind after the first one, which warms up.
    """
    from ftc.runtime.evaluation.generate import answers
    from ftc.runtime.evaluation.scoring import eval_mode, score_rows
    from ftc.runtime.evaluation.shortcuts import faster_linears, fold_adapter
    from ftc.runtime.execution.accelerator import make_accelerator
    from ftc.runtime.tasks import make_scorer
    from ftc.runtime.tasks.scorer import ModelWithScorer
    from ftc.runtime.training.signals import StopRequest
    from ftc.spec.heads import head_card

    rows, stop = _rows(settings), StopRequest()
    work, accelerator = ModelWithScorer(model, make_scorer(model, settings)), make_accelerator(settings)
    order = [list(range(len(rows)))]
    evaluate = settings.eval.model_copy(update={"max_new_tokens": _NEW_TOKENS})
    asked = settings.model_copy(update={"eval": evaluate})

    def score() -> None:
        list(score_rows(work, rows, len(rows), accelerator, stop))

    def write() -> None:
        list(answers(model, rows, order, asked, _unread, stop, accelerator.device))

    fold_adapter(model, settings)
    with eval_mode(model), faster_linears(model):
        yield 0, _median(score, tries)
        if head_card(settings.model.head).writes:
            yield _NEW_TOKENS, _median(write, tries)


def _median(evaluate: Callable[[], None], tries: int) -> float:
    """Seconds of the evaluations after the first; each ends with figures that are read, so none is left behind."""
    seconds = []
    for _ in range(tries + 1):
        started = time.perf_counter()
        evaluate()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _rows(settings: Settings) -> TokenStream:
    """Rows whose prompts are as long as they are, and begin differently, so that none is shared."""
    from ftc.runtime.memory_trace.rows import stand_in_rows
    from ftc.spec.documents.memory_trace import BatchShape

    count, length = settings.train.micro_batch, settings.text.max_length
    rows = stand_in_rows(settings, BatchShape(length=length, supervised=min(32, length), padded=False), count)
    ids = rows.all_ids.copy()
    ids[::length] = np.arange(count)
    return replace(rows, all_ids=ids, prompt_lengths=np.full(count, length, dtype=np.int32))


def _unread(_ids: list[int]) -> str:
    return ""


if __name__ == "__main__":
    sys.exit(main())
