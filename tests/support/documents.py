"""Documents of a realistic job, made by hand, for tests of what shows or stores them."""

from __future__ import annotations

from typing import Any

from ftc.spec.documents.audit import AuditReport, ClassComparison, Finding, Replay
from ftc.spec.documents.data_drift import DataDrift, DriftTest, MetricDrift, NovelRow
from ftc.spec.documents.estimates import MemoryEstimate
from ftc.spec.documents.inspected import InspectedRun, LayerStates, ModuleChange, MovedToken
from ftc.spec.documents.intervals import Interval
from ftc.spec.documents.lockfile import Lock, sealed
from ftc.spec.documents.machine import MachineClass
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.profiled import Operation, ProfiledRun, Share
from ftc.spec.documents.record import Evaluation, RunRecord

__all__ = [
    "RUN_ID",
    "SHA256",
    "audit_report",
    "evaluation",
    "memory",
    "open_segment",
    "plan",
    "quality_report",
    "record",
    "replay_report",
]

_SEGMENT_CODE = {"machine_sha256": "5e" * 32, "ftc_sha256": "6f" * 32}
SHA256 = "7f3a" + "0" * 56 + "c91e"
RUN_ID = "2f61a0b9c8d7"

_RECIPE: dict[str, Any] = {
    "ftc": 1,
    "name": "bbc-news",
    "task": {"kind": "classification"},
    "data": {"source": {"path": "data/bbc.jsonl"}, "max_length": 512},
    "model": {"base": "models/minilm", "license": {"allow": ("apache-2.0",)}},
    "strategy": {"kind": "lora", "rank": 16},
    "train": {"epochs": 3.0, "batch_size": 32, "learning_rate": 2e-4, "schedule": {"kind": "cosine"}},
    "eval": {"metrics": ("accuracy", "macro_f1"), "gates": {"macro_f1": ">= 0.9"}},
    "budget": {"device": "rtx-4090"},
}
_SETTINGS: dict[str, Any] = {
    "text": {
        "form": "classify",
        "uses_chat_template": False,
        "max_length": 512,
        "overflow": "cut",
        "prompt": None,
        "system": None,
        "labels": ("business", "entertainment", "politics", "sport", "tech"),
    },
    "model": {
        "base": "models/minilm",
        "commit": None,
        "architecture": "BertModel",
        "family": "encoder",
        "head": "classification",
        "attention": "sdpa",
        "pad_id": 0,
        "stop_ids": (),
    },
    "strategy": {
        "kind": "lora",
        "adapter": {
            "rank": 16,
            "alpha": 32,
            "dropout": 0.0,
            "targets": ("dense", "key", "query", "value"),
            "num_modules": 36,
            "trained_modules": ("classifier",),
        },
    },
    "train": {
        "num_steps": 162,
        "steps_per_epoch": 54,
        "batch_size": 32,
        "micro_batch": 32,
        "world_size": 1,
        "learning_rate": 2e-4,
        "schedule": {"kind": "cosine", "warmup_steps": 8},
        "optimizer": {"kind": "adamw", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0},
        "fused": True,
        "max_grad_norm": 1.0,
        "determinism": {"asked": "auto", "kernels": "deterministic", "proof_steps": 0},
        "precision": "bfloat16",
        "activation_checkpointing": False,
        "evaluate_every_steps": 54,
        "keep_checkpoints": 2,
        "early_stopping": None,
        "select": "best",
        "select_metric": "val_loss",
        "select_higher": False,
    },
    "seeds": {"init": 1701, "order": 1702, "dropout": 1703},
    "eval": {
        "metrics": ("accuracy", "macro_f1"),
        "baseline": True,
        "gates": {"macro_f1": {"comparison": ">=", "bound": 0.9}},
        "batch_size": 32,
        "max_new_tokens": None,
        "samples": 8,
    },
    "device": {"name": "rtx-4090", "kind": "cuda", "count": 1, "threads": 8},
}
_ORIGINS = {
    "train.learning_rate": ("written", "recipes/bbc-news.yaml:14"),
    "train.batch_size": ("written", "recipes/bbc-news.yaml:13"),
    "strategy.adapter.rank": ("written", "recipes/bbc-news.yaml:9"),
    "train.micro_batch": ("derived", "the whole batch fits, with 22.7 GiB to spare"),
    "train.precision": ("derived", "the device is fast at bfloat16"),
    "train.num_steps": ("derived", "3 epochs of 54 steps"),
    "strategy.adapter.alpha": ("derived", "twice the rank"),
    "model.attention": ("derived", "every device has sdpa"),
    "text.labels": ("derived", "the labels of the data, sorted"),
    "train.max_grad_norm": ("default", "the usual guard against spikes"),
    "train.optimizer.epsilon": ("default", "the paper's"),
    "train.early_stopping": ("default", "never, unless the recipe asks for it"),
}
_ENVIRONMENT = {
    "python": "3.11.7",
    "platform": "linux-x86_64-cp311",
    "packages": {
        "torch": {"version": "2.13.0", "sha256": "a1" * 32},
        "transformers": {"version": "5.24.0", "sha256": "b2" * 32},
        "peft": {"version": "0.21.2", "sha256": "c3" * 32},
    },
}
_MACHINE = {
    "architecture": "x86_64",
    "device": "NVIDIA GeForce RTX 4090",
    "vector_flags": ("avx", "avx2", "fma"),
    "kernels": "AVX2",
    "compute_capability": "8.9",
    "driver": "580.1",
    "threads": 8,
    "processes": 1,
    "torch": "2.13.0 0123abcd",
    "torch_build_sha256": "7a" * 32,
    "libraries": {"cuda": "13.0", "cudnn": "91000", "nccl": "2.27"},
    "math": {"deterministic_algorithms": "true"},
    "variables": {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
}


def _split(rows: int, **changes: Any) -> dict[str, Any]:
    return {
        "rows_read": rows,
        "rows": rows,
        "tokens": 400 * rows,
        "length_p50": 412,
        "length_p95": 498,
        "length_max": 512,
        "supervised_tokens": 0,
        "supervised_max": 0,
        "truncated_rows": rows // 11,
        "dropped_rows": 0,
        "first_dropped": (),
        "unsupervised_turns": 0,
        "rows_without_stop_token": 0,
        "rows_with_merged_boundary": 0,
        "stream_digest": f"{rows:064x}",
        **changes,
    }


def _lock() -> Lock:
    file = {"size": 90_900_000, "sha256": "d4" * 32}
    source = {"asked": {}, "commit": None, "file": file, "rows": 2127, "rows_sha256": "e5" * 32}
    source["rows_unordered_sha256"] = "e6" * 32
    lock = {
        "model": {
            "asked": {"base": "models/minilm"},
            "commit": None,
            "files": dict.fromkeys(("config.json", "model.safetensors", "tokenizer.json"), file),
            "header_sha256": "d5" * 32,
            "content_sha256": "d6" * 32,
            "num_parameters": 22_713_216,
            "license": "apache-2.0",
        },
        "text": {
            "asked": {},
            "chat_template_sha256": None,
            "tokenizer_files": {"tokenizer.json": "f6" * 32},
            "tokenizer_probe_sha256": "f7" * 32,
            "settings": {"max_length": 512, "labels": list(_SETTINGS["text"]["labels"])},
        },
        "data": {"asked": {}, "sources": {"rows": source}, "splits": {}},
        "train": {"asked": {}, "settings": {}},
        "platforms": {"linux-x86_64-cp311": _ENVIRONMENT},
    }
    return sealed(Lock.model_validate(lock))


def quality_report() -> dict[str, Any]:
    """A quality report with one finding of each sort that is shown."""
    alike = {"place": "rows.csv:18", "shown": 'like rows.csv:4: "hello <b>"'}
    return {
        "rows": 2127,
        "similarity": 0.9,
        "findings": (
            {
                "kind": "copies",
                "rule": "near copies",
                "split": "train",
                "rows": 12,
                "of": 1701,
                "samples": (alike,),
            },
            {
                "kind": "personal",
                "rule": "IBANs",
                "split": "test",
                "rows": 1,
                "of": 213,
                "samples": ({"place": "rows.csv:40", "shown": ""},),
            },
        ),
        "rows_by_kind": {"copies": 12, "personal": 1},
        "labels": {"train": {"ham": 1500, "spam": 201}, "test": {"ham": 190, "spam": 23}},
        "agreement": {
            "columns": ("ann", "bob"),
            "rows": 200,
            "complete_rows": 190,
            "pairs": ({"columns": ("ann", "bob"), "rows": 190, "cohen": 0.71},),
            "fleiss": 0.709,
            "krippendorff": None,
        },
        "not_checked": (),
    }


def memory(**changes: Any) -> MemoryEstimate:
    """A memory estimate by closed form: 1.3 of 24 GiB."""
    gib, held = 2**30, {"weights": 90_852_864, "adapter": 2_966_036, "optimiser state": 5_932_072}
    context = 204_010_946
    backward = {**held, "gradients": 2_966_036, "saved activations": 1_090_519_040}
    step = {**held, "gradients": 2_966_036}
    allocated = sum(backward.values())
    document: dict[str, Any] = {
        "method": "closed form",
        "phases": (
            {"phase": "load", "peak_bytes": 90_852_864, "components": {"weights": 90_852_864}},
            {"phase": "backward: layers", "peak_bytes": allocated, "components": backward},
            {"phase": "optimiser step", "peak_bytes": sum(step.values()), "components": step},
        ),
        "peak_phase": "backward: layers",
        "allocated_bytes": allocated,
        "reserved": {"low": allocated, "expected": allocated, "high": allocated + gib // 10},
        "process": {
            "low": allocated + context,
            "expected": allocated + context,
            "high": allocated + context + gib // 5,
        },
        "components": {"context": context, **backward},
        "limit_bytes": 24 * gib,
        "limit_source": "the device's memory",
        "verdict": "fits",
    }
    return MemoryEstimate.model_validate({**document, **changes})


def plan(**changes: Any) -> Plan:
    """A plan: BBC news, MiniLM, LoRA. `changes` replace top-level fields, given as plain data.

    Its digest is a made-up one, so that pictures of it stay when documents grow; `.sealed()` gives the right one.
    """
    gib = 2**30
    document: dict[str, Any] = {
        "ftc_version": "0.1.0",
        "name": "bbc-news",
        "platform": "linux-x86_64-cp311",
        "recipe_file": "recipes/bbc-news.yaml",
        "recipe": _RECIPE,
        "lock": _lock(),
        "settings": _SETTINGS,
        "origins": {path: {"kind": kind, "reason": reason} for path, (kind, reason) in _ORIGINS.items()},
        "steps": (
            {"kind": "verify", "files": 5},
            {"kind": "train", "steps": 162},
            {"kind": "export", "artifact": "adapter"},
            {"kind": "evaluate", "subject": "base", "rows": 213},
            {"kind": "evaluate", "subject": "tuned", "rows": 213},
        ),
        "model": {
            "name": "models/minilm",
            "architecture": "BertModel",
            "license": "apache-2.0",
            "num_parameters": 22_713_216,
            "num_trainable": 741_509,
        },
        "data": {"train": _split(1701), "validation": _split(213), "test": _split(213)},
        "quality": quality_report(),
        "stream_key": "0123456789abcdef",
        "device": {
            "name": "rtx-4090",
            "kind": "cuda",
            "label": "NVIDIA GeForce RTX 4090",
            "memory_bytes": 24 * gib,
            "count": 1,
            "has_bfloat16": True,
            "threads": 8,
            "local": False,
        },
        "memory": memory(),
        "time": None,
        "disk_bytes": 12 * 2**20,
        "checks": (
            {"name": "license", "code": None, "result": "apache-2.0, allowed"},
            {"name": "train/test overlap", "code": None, "result": "0 exact"},
            {"name": "truncation", "code": "FTC342", "result": "154 rows lose their end"},
        ),
        "not_checked": ("time: no earlier run on this device",),
        "sha256": SHA256,
        **changes,
    }
    return Plan.model_validate(document)


def record(of: Plan, **changes: Any) -> RunRecord:
    """The sealed record of a finished run of a plan. `changes` replace fields, given as plain data."""
    document: dict[str, Any] = {
        "id": RUN_ID,
        "name": of.name,
        "ftc_version": "0.1.0",
        "plan_sha256": of.sha256,
        "status": "finished",
        "segments": (
            {
                "started_at": "2026-11-24T10:00:00+00:00",
                "ended_at": "2026-11-24T10:00:41+00:00",
                "from_step": 0,
                "to_step": 162,
                "ended_by": "finished",
                **_SEGMENT_CODE,
            },
        ),
        "previous": None,
        "determinism": {"level": "D0", "proof_steps": 0, "detail": "`auto` proves nothing"},
        "observed": {
            "platform": "linux-x86_64-cp311",
            "device": "NVIDIA GeForce RTX 4090",
            "world_size": 1,
            "wrapper": "PeftModel",
            "threads": 8,
            "machine": _MACHINE,
            "code": {"ftc_sha256": "6f" * 32, "project_commit": None},
            "environment": _ENVIRONMENT,
        },
        "steps_done": 162,
        "selected_step": 108,
        "initial_weights_sha256": "1a" * 32,
        "final_weights_sha256": "2b" * 32,
        "outputs": {
            "adapter/adapter_config.json": {"size": 900, "sha256": "3c" * 32},
            "adapter/adapter_model.safetensors": {"size": 1_258_000, "sha256": "4d" * 32},
        },
        "train_seconds": 29.5,
        "supervised_tokens": 5103,
        "tokens": 2_041_200,
        "peak_memory_bytes": 1_374_389_534,
        "time_by_phase": (
            {"phase": "load", "seconds": 4.2, "planned": None},
            {"phase": "train", "seconds": 31.5, "planned": {"low": 30.0, "expected": 34.0, "high": 40.0}},
        ),
        "memory_by_phase": (
            {"phase": "load", "peak_bytes": 95_000_000, "reserved_bytes": 102_760_448},
            {"phase": "train", "peak_bytes": 1_374_389_534, "reserved_bytes": 1_462_763_520},
            {"phase": "validate", "peak_bytes": 400_000_000, "reserved_bytes": 1_462_763_520},
        ),
        "memory_method": "allocated on the device",
        **changes,
    }
    return RunRecord.model_validate(document).sealed()


def open_segment(started_at: str, steps: int) -> dict[str, Any]:
    """A stretch of a run that goes on."""
    ends = {"ended_at": None, "ended_by": None, "from_step": 0, "to_step": steps}
    return {"started_at": started_at, **ends, **_SEGMENT_CODE}


def evaluation(**changes: Any) -> Evaluation:
    """A measurement in which tuning helped and the gate held."""
    document: dict[str, Any] = {
        "split": "test",
        "tuned": {
            "metrics": {"accuracy": 0.9437, "macro_f1": 0.9412},
            "intervals": {"accuracy": {"low": 0.9061, "high": 0.9695}, "macro_f1": {"low": 0.9032, "high": 0.9671}},
            "rows": 213,
            "seconds": 1.2,
        },
        "base": {"metrics": {"accuracy": 0.1972, "macro_f1": 0.1119}, "rows": 213, "seconds": 1.1},
        "gains": {
            "accuracy": {"value": 0.7465, "interval": {"low": 0.6854, "high": 0.8028}},
            "macro_f1": {"value": 0.8293, "interval": {"low": 0.7741, "high": 0.8702}},
        },
        "gates": ({"metric": "macro_f1", "bound": ">= 0.9", "value": 0.9412, "passed": True},),
        "predictions": (
            {
                "row": 17,
                "text": "Chip maker posts record quarter",
                "expected": "business",
                "base": "sport",
                "tuned": "business",
            },
        ),
        **changes,
    }
    return Evaluation.model_validate(document)


def replay_report(**changes: Any) -> AuditReport:
    """An audit that did the first twenty steps again and found them equal. `changes` are of its replay."""
    machine = MachineClass.model_validate(_MACHINE)
    replay = {
        "first_step": 0,
        "last_step": 20,
        "reached_step": 20,
        "steps_compared": 20,
        "equal_rungs": (0, 1, 2, 4, 8, 16, 20),
        "first_difference": None,
        "seconds": 9.8,
        **changes,
    }
    return audit_report(
        level="replay",
        verdict="REPRODUCED_PREFIX",
        findings=(),
        exit_code=0,
        machine=ClassComparison(recorded=machine, here=machine, equal=True),
        replay=Replay.model_validate(replay),
        not_checked=("steps 21 to 162", "validation, choice of the checkpoint, export and evaluation"),
    )


def audit_report(**changes: Any) -> AuditReport:
    """An audit that found one changed data file."""
    finding = Finding(
        code="FTC520",
        subject="data/bbc.jsonl",
        expected="sha256 e5e5…e5e5",
        found="sha256 0101…0101",
        hint="restore the file from git, or plan and run again",
    )
    document: dict[str, Any] = {
        "run_id": "7f3ac91e0000",
        "level": "static",
        "verdict": "TAMPERED",
        "findings": (finding,),
        "checked": ("12 model files", "1 data file", "3 packages", "the record's own digest"),
        "checked_files": 15,
        "checked_bytes": 91_000_000,
        "num_steps": 162,
        "seconds": 1.31,
        "not_checked": ("whether training gives these weights again: that needs a replay",),
        "exit_code": 6,
        **changes,
    }
    return AuditReport.model_validate(document)


def inspected(**changes: Any) -> InspectedRun:
    """What training changed in a model of two layers."""
    names = [f"model.layers.{layer}.self_attn.{part}" for layer in (0, 1) for part in ("q_proj", "v_proj")]
    numbers = {"update_norm": 0.5, "base_norm": 10.0, "spectral_norm": 0.4, "stable_rank": 1.56, "effective_rank": 3.2}
    weights = [
        ModuleChange(
            name=name,
            layer=index // 2,
            module=name.rpartition(".")[2],
            kind="factors",
            parameters=4096,
            rank_limit=4,
            **numbers,
        )
        for index, name in enumerate(names)
    ]
    nothing = dict.fromkeys((*numbers, "rank_limit"))
    weights.append(ModuleChange(name="score", layer=None, module="score", kind="new", parameters=128, **nothing))
    fields: dict[str, Any] = {
        "ftc_version": "0.1.0",
        "run_id": "6b99bb393386",
        "name": "tickets",
        "strategy": "lora",
        "base": "owner/base",
        "parameters": 100_000,
        "trained": 2_176,
        "changes": tuple(weights),
        "split": "validation",
        "rows": 8,
        "places": 128,
        "states": tuple(
            LayerStates(stack="layers", layer=layer, cosine=0.99 - layer / 10, cka=0.98, change=0.1) for layer in (0, 1)
        ),
        "tokens": (MovedToken(id=7, token="<b>", distance=0.3, relative=0.2),),
        "notes": (),
    }
    return InspectedRun(**{**fields, **changes})


def profiled(**changes: Any) -> ProfiledRun:
    """Where the time of a GPU's steps goes."""
    shares = {"products": 0.06, "idle": 0.025, "attention": 0.01, "input": 0.005}
    fields: dict[str, Any] = {
        "ftc_version": "0.1.0",
        "torch_version": "2.13.0",
        "run_id": "6b99bb393386",
        "name": "tickets",
        "device": "NVIDIA <H100>",
        "is_gpu": True,
        "warm_up": 2,
        "steps": 3,
        "tokens": 4096.0,
        "seconds": 0.1,
        "usual_seconds": 0.09,
        "planned_seconds": 0.08,
        "shares": tuple(Share(part=name, seconds=seconds) for name, seconds in shares.items()),
        "operations": (Operation(name="gemm<bf16>", part="products", seconds=0.06, calls=96.0),),
        "kernels": 1234.0,
        "notes": ("launch-bound: the GPU waits.",),
    }
    return ProfiledRun(**{**fields, **changes})


def data_drift(**changes: Any) -> DataDrift:
    """New rows that differ from a run's own in their length."""
    found: dict[str, Any] = {
        "method": "Kolmogorov-Smirnov test",
        "reference_rows": 80,
        "new_rows": 100,
        "value": 0.31,
        "unit": "largest gap of both distributions",
        "minimum_detectable": 0.29,
        "p": 0.0001,
        "adjusted_p": 0.0007,
        "drifted": True,
        "detail": "median 11 tokens of the run's, 14 now",
    }
    length = DriftTest(name="length", aspect="inputs", **found)
    told_apart: dict[str, Any] = {
        "value": 0.52,
        "unit": "AUC",
        "minimum_detectable": 0.66,
        "p": 0.4,
        "adjusted_p": 1.0,
        "drifted": False,
    }
    inputs = DriftTest(name="inputs", aspect="inputs", **{**found, **told_apart, "detail": "0.50 by lot"})
    sure = Interval(low=0.8, high=0.92)
    fields: dict[str, Any] = {
        "run_id": "6b99bb393386",
        "name": "tickets",
        "data": "new.jsonl",
        "rows": 100,
        "reference": "validation",
        "reference_rows": 80,
        "new_rows": 100,
        "significance_level": 0.01,
        "verdict": "drift",
        "minimum_detectable_auc": 0.66,
        "tests": (inputs, length),
        "novel": (NovelRow(place="new.jsonl:7", distance=0.93, p=0.012, text="a <b>text</b>"),),
        "classes": {"sport": (0.5, 0.4), "film": (0.5, 0.6)},
        "metrics": {"accuracy": MetricDrift(rows=90, value=0.87, interval=sure, test_value=0.9, test_interval=None)},
        "failed_gates": (),
        "notes": ("a note",),
    }
    return DataDrift.model_validate({**fields, **changes})
