"""A job for the memory trace, and what the trace finds. The planner asks, a process with torch answers."""

from __future__ import annotations

from functools import reduce
from operator import getitem
from typing import Any, Literal, NamedTuple

from pydantic import Field

from ftc.spec import canonical
from ftc.spec.base import Document
from ftc.spec.context_parallel import row_shares
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.documents.settings import Settings
from ftc.spec.knobs import KNOBS

__all__ = ["BatchShape", "TraceAnswer", "TraceDevice", "TraceJob", "TraceResult"]


class BatchShape(Document):
    """The largest micro-batch that the data gives to a process."""

    length: int
    """Tokens of its longest row; where processes share rows, of one process's part of it."""
    supervised: int
    """Supervised tokens of each of these at most; not used for classification."""
    padded: bool
    """Whether rows of one micro-batch differ in length, or share a sequence."""
    images: tuple[tuple[ImageShape, ...], ...] = ()
    """Images of each of its rows, in the order of their tokens; empty where no row has any."""


class TraceDevice(Document):
    """The device that the run is for, as far as memory goes."""

    kind: Literal["cpu", "cuda"]
    capability: tuple[int, int] | None
    """CUDA's (major, minor); None for a CPU."""
    expandable_segments: bool
    """Whether the run is launched with torch's expandable segments."""


class TraceJob(Document):
    """Everything that decides about memory."""

    schema_: Literal["ftc.trace-job/1"] = Field(default="ftc.trace-job/1", alias="schema")
    config: dict[str, Any]
    """The model's `config.json`, checked before."""
    layer_weights: tuple[tuple[int, ...], ...] = ()
    """Weights in the matrices of each stored layer of each stack; empty where that can't be told."""
    teacher: dict[str, Any] | None = None
    """That of the teacher; None where there is none."""
    settings: Settings
    train: BatchShape
    taught: BatchShape | None = None
    """A row in the teacher's own tokens; None where it reads the model's."""
    evaluation: BatchShape | None
    """None where nothing is evaluated."""
    device: TraceDevice
    loss_code: str | None = None
    """Digest of the files of the package whose loss is trained with; None for ftc's own."""

    @property
    def language(self) -> dict[str, Any]:
        """What `config.json` says of the language model: the inner part of one that reads images."""
        inner: dict[str, Any] = self.config["text_config"] if self.settings.model.vision else self.config
        return inner

    @property
    def accumulates(self) -> bool:
        """Whether an optimizer step has more than one micro-batch on a device."""
        train = self.settings.train
        return train.batch_size > train.micro_batch * row_shares(train.world_size, train.sharers)

    def key(self) -> str:
        """Digest of what the answer depends on."""
        return canonical.digest(self.decisive())

    def decisive(self) -> dict[str, Any]:
        """What the answer depends on, as JSON values: two jobs that agree in it have the same answer."""
        plain = self.to_json()
        settings = plain["settings"]
        train, compared = settings["train"], self.settings.train.preference
        key: dict[str, Any] = {
            "config": plain["config"],
            "layer_weights": plain["layer_weights"],
            "model": {name: settings["model"][name] for name in ("family", "head")},
            "labels": len(settings["text"]["labels"]),
            **({"frozen": vision.frozen} if (vision := self.settings.model.vision) else {}),
            "teacher": self._teacher(),
            "strategy": settings["strategy"],
            "train": {
                "accumulates": self.accumulates,
                "parts": self.settings.train.parts,
                "has_momentum": self.settings.train.optimizer.momentum > 0,
                "smooths": self.settings.train.label_smoothing > 0,
                **({"is_focal": True} if self.settings.train.focal_gamma is not None else {}),
                **({"squares": True} if self.settings.train.z_loss is not None else {}),
                **({"loss": [self.settings.train.loss, self.loss_code]} if self.settings.train.loss else {}),
                **({"averages": True} if self.settings.train.averages else {}),
                **({"kernels": train["kernels"]} if "kernels" in train else {}),
                **({"rounds": train["quantize_aware"]} if "quantize_aware" in train else {}),
                **({"float8": train["float8"]} if "float8" in train else {}),
                "is_noisy": self.settings.train.neftune_alpha is not None,
                "compares": compared is not None and (compared.model_dump(mode="json", exclude={"beta"}) or True),
                **{name: train[name] for name in ("fused", "precision")},
                **({"router": self._router()} if self.settings.train.router else {}),
            },
            "new_tokens": settings["eval"]["max_new_tokens"],
            **({"trained_tokens": writing.max_new_tokens} if (writing := self.settings.train.writing) else {}),
            **({"writer": writing.by} if writing and writing.by != "model" else {}),
            "shapes": [plain["train"], plain["evaluation"], *([plain["taught"]] if self.taught else [])],
            "device": plain["device"],
        }
        for knob in KNOBS:
            if knob.trace_key:
                *outer, name = knob.trace_key
                reduce(getitem, outer, key)[name] = reduce(getattr, knob.settings[0].split("."), self.settings)
        return key

    def _router(self) -> list[bool]:
        """Whether the routers of a mixture of experts are trained, and whether their loss is part of the loss."""
        router = self.settings.train.router
        return [router.trained, router.aux_loss is not None] if router else []

    def _teacher(self) -> dict[str, Any] | None:
        lesson = self.settings.train.distillation
        if lesson is None:
            return None
        plain = lesson.to_json()
        kept = {name: plain[name] for name in ("loss", "precision", "quantization")}
        kept |= {"beta": lesson.beta} if lesson.beta is not None else {}
        kept |= {} if lesson.judges else {"judges": False}
        return {**kept, "config": self.teacher, "outputs": plain["teacher"]["outputs"]}


class TraceResult(Document):
    """What a traced training run allocates."""

    schema_: Literal["ftc.trace-result/1"] = Field(default="ftc.trace-result/1", alias="schema")
    method: Literal["trace"] = "trace"
    phases: tuple[PhasePeak, ...]
    """In the order in which they happen."""
    allocated_bytes: int
    """Largest peak of all phases: torch's `max_memory_allocated`."""
    reserved_bytes: int
    """What torch's allocator takes from the device for it; on a CPU the same as what is allocated."""
    traced_layers: int
    """Layers that were really traced; the others repeat them."""
    versions: dict[str, str]
    """Libraries whose code was traced."""

    @property
    def peak(self) -> PhasePeak:
        """The phase that decides."""
        return max(self.phases, key=lambda phase: phase.peak_bytes)


class TraceAnswer(NamedTuple):
    """What a trace found, or why it found nothing."""

    result: TraceResult | None
    reason: str | None = None
    for_every_job: bool = False
    """Whether no other job would be answered: torch is missing, or its process doesn't start or takes too long."""
