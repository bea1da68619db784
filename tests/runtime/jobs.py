"""Small real jobs: a model folder, token streams and a plan, made by hand so that these tests need no compiler."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ftc.runtime.artifacts.tensor_files import content_digest, read_tensors
from ftc.runtime.execution.execute import Inputs, execute
from ftc.spec.canonical import file_digest
from ftc.spec.companions import Role
from ftc.spec.documents.events import Event
from ftc.spec.documents.facts import EnvironmentFacts
from ftc.spec.documents.lockfile import Lock, sealed
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.streams import TokenStream, open_stream
from ftc.spec.storage.paths import RunFolder
from tests.support import documents
from tests.support.streams import write_columns
from tests.support.tiny_models import VOCAB_SIZE, write_tiny_model

__all__ = ["LABELS", "Job", "changed", "make_job", "make_plan", "reopen_job", "write_stream"]

LABELS = ("cold", "hot", "mild")
ENVIRONMENT = EnvironmentFacts(python=platform.python_version(), platform="test", packages={})
_ADAPTED = {"bert": ("query", "value"), "gpt2": ("c_attn",)}
_NUM_ADAPTED = {"bert": 4, "gpt2": 2}


@dataclass
class Job:
    """A plan with its inputs; `run` executes it in a folder and keeps the events."""

    plan: Plan
    inputs: Inputs
    root: Path
    events: list[Event] = field(default_factory=list)

    def folder(self, name: str = "run") -> RunFolder:
        return RunFolder(self.root / name)

    def run(self, name: str = "run") -> RunRecord:
        self.events = []
        return execute(self.plan, self.inputs, self.folder(name), self.events.append)

    def of_kind(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.kind == kind]


def write_stream(file: Path, rows: int, seed: int, *, classes: int = 0) -> TokenStream:
    """A stream of learnable rows: an answer repeats its prompt's second token; a class follows from it."""
    generator = np.random.default_rng(seed)
    ids, masks, prompts, labels = [], [], [], []
    for _ in range(rows):
        prompt = [1, *generator.integers(4, VOCAB_SIZE, size=int(generator.integers(2, 14))).tolist()]
        answer = [] if classes else [prompt[1]] * int(generator.integers(1, 3)) + [2]
        ids.append([*prompt, *answer])
        masks.append([0] * len(prompt) + [1] * len(answer))
        prompts.append(len(prompt))
        labels.append(prompt[1] % classes if classes else -1)
    return write_columns(file, ids, masks, prompts=prompts, labels=labels)


def changed(plan: Plan, changes: dict[str, Any]) -> Plan:
    """The plan with other settings, given by dotted paths."""
    settings = plan.settings.model_dump()
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = settings
        for parent in parents:
            place = place[parent]
        place[last] = value
    return plan.model_copy(update={"settings": type(plan.settings).model_validate(settings)}).sealed()


def make_job(root: Path, kind: str = "llama", strategy: str = "lora", *, classes: int = 0, **changes: Any) -> Job:
    """A job of 22 training rows: 2 epochs of 6 steps, validation every 3 steps.

    `changes` are settings by dotted path with `__` for the dot.
    """
    write_tiny_model(root / f"model-{kind}", kind)
    for seed, (name, rows) in enumerate({"train": 22, "validation": 7, "test": 9}.items()):
        write_stream(root / f"streams-{classes}" / f"{name}.arrow", rows, seed, classes=classes)
    return reopen_job(root, kind, strategy, classes=classes, **changes)


def reopen_job(root: Path, kind: str = "llama", strategy: str = "lora", *, classes: int = 0, **changes: Any) -> Job:
    """A job whose model and streams are there already; a model in the folder `teacher` is its teacher."""
    model, streams = root / f"model-{kind}", root / f"streams-{classes}"
    architecture = json.loads((model / "config.json").read_text())["architectures"][0]
    splits = {name: open_stream(streams / f"{name}.arrow") for name in ("train", "validation", "test")}
    plan = make_plan(model, splits, kind, architecture, strategy, classes)
    plan = changed(plan, {path.replace("__", "."): value for path, value in changes.items()})
    teacher: dict[Role, Path] = {"teacher": root / "teacher"} if (root / "teacher").is_dir() else {}
    return Job(plan, Inputs(model, streams, ENVIRONMENT, companions=teacher), root)


def make_plan(
    model: Path, splits: dict[str, TokenStream], kind: str, architecture: str, strategy: str, classes: int
) -> Plan:
    settings = _settings(kind, architecture, strategy, classes)
    template = documents.plan()
    lock = template.lock.model_dump(by_alias=True)
    lock["model"]["files"] = {
        file.name: {"size": file.stat().st_size, "sha256": file_digest(file)} for file in model.iterdir()
    }
    lock["model"]["content_sha256"] = content_digest(read_tensors(model / "model.safetensors"))
    lock["text"]["tokenizer_files"] = {"tokenizer.json": file_digest(model / "tokenizer.json")}
    lock["data"]["splits"] = {
        name: {"rows": len(stream), "tokens": len(stream.all_ids), "stream_sha256": stream.digest()}
        for name, stream in splits.items()
    }
    lock["platforms"] = {"test": ENVIRONMENT.model_dump()}
    whole = sealed(Lock.model_validate(lock))
    data = {
        name: report.model_copy(update={"rows": len(splits[name])}).model_dump()
        for name, report in template.data.items()
    }
    artifact = "model" if strategy == "full" else "adapter"
    steps = (
        {"kind": "verify", "files": 3},
        {"kind": "train", "steps": 12},
        {"kind": "export", "artifact": artifact},
        {"kind": "evaluate", "subject": "base", "rows": 9},
        {"kind": "evaluate", "subject": "tuned", "rows": 9},
    )
    return documents.plan(
        platform="test", lock=whole, settings=settings, data=data, steps=steps, disk_bytes=1 << 20
    ).sealed()


def _settings(kind: str, architecture: str, strategy: str, classes: int) -> dict[str, Any]:
    targets = _ADAPTED.get(kind, ("q_proj", "v_proj"))
    adapter = {
        "rank": 4,
        "alpha": 8,
        "dropout": 0.1,
        "targets": targets,
        "num_modules": _NUM_ADAPTED.get(kind, 4),
        "trained_modules": (("classifier",) if kind == "bert" else ("score",)) if classes else (),
    }
    strategies: dict[str, dict[str, Any]] = {
        "full": {"kind": "full"},
        "lora": {"kind": "lora", "adapter": adapter},
        "qlora": {"kind": "qlora", "adapter": adapter, "quantization": "nf4", "double_quantization": True},
    }
    metrics = ("accuracy", "macro_f1") if classes else ("exact_match", "loss")
    changes: dict[str, dict[str, Any]] = {
        "text": {"form": "classify" if classes else "prompt", "labels": LABELS[:classes], "max_length": 32},
        "model": {
            "base": "models/tiny",
            "architecture": architecture,
            "family": "encoder" if kind == "bert" else "decoder",
            "head": "classification" if classes else "lm",
            "stop_ids": () if classes else (2,),
        },
        "train": {
            "num_steps": 12,
            "steps_per_epoch": 6,
            "batch_size": 4,
            "micro_batch": 2,
            "learning_rate": 1e-2,
            "schedule": {"kind": "linear", "warmup_steps": 2},
            "precision": "float32",
            "evaluate_every_steps": 3,
        },
        "eval": {"metrics": metrics, "gates": {}, "batch_size": 4, "max_new_tokens": None if classes else 4},
        "device": {"name": "cpu", "kind": "cpu", "threads": 1},
    }
    settings = documents.plan().settings.model_dump()
    for section, values in changes.items():
        settings[section] |= values
    settings["strategy"] = strategies[strategy]
    return settings
