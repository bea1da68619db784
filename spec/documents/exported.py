"""A tuned model in another program's format: what was converted, what came out, and the proof that it is the same."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.intervals import Gain
from ftc.spec.documents.record import GateResult
from ftc.spec.model_formats import model_format
from ftc.spec.names import InsidePath

__all__ = ["EXPORT_FILE", "AnswersKept", "Converter", "ExportedModel", "Parity", "Speed", "TemplateKept"]

EXPORT_FILE = "export.json"
"""Where the document lies, in the exported model's folder."""


class Converter(Document):
    """The program that converted a model."""

    name: str
    version: str
    sha256: str | None
    """Digest of the converter's files; None for an installed package, which `packages` of the document names."""


class Parity(Document):
    """How far what was written says what the tuned model says, place by place.

    Of each place the highest scores are compared, and the logarithm of the sum of all, which holds the others.
    """

    split: Literal["train", "validation"]
    """Whose rows they are; the test rows are for the evaluation alone."""
    rows: int
    places: int
    compared: int
    """Scores that were compared."""
    runtime: str
    """What computed the scores of the file, with the type of its KV cache: another type rounds more."""
    largest_difference: Real
    spread: Real
    """Largest score of the tuned model less the smallest: what a difference is compared with."""
    share: Real
    """The largest difference by the spread."""
    allowed: Real
    """The most that the share may be."""
    same_choices: int
    """Places at which the same output scores highest."""
    least_same: Real
    """The least share of places at which that has to be so."""

    @property
    def holds(self) -> bool:
        """Whether what was written may stand for the tuned model."""
        return self.share <= self.allowed and self.same_choices >= self.least_same * self.places


class AnswersKept(Document):
    """What became of the recipe's metrics and gates, on rows that both models answered."""

    split: Literal["train", "validation"]
    rows: int
    same_answers: int | None
    """Written answers that are the same to the letter; None where none are written."""
    tuned: dict[str, Real]
    """By metric."""
    exported: dict[str, Real]
    changes: dict[str, Gain]
    """Exported less tuned, with the interval of the paired difference."""
    gates: tuple[GateResult, ...]
    """With the exported file."""
    unchecked: tuple[str, ...] = ()
    """Gates of figures that aren't computed here, such as those of slices."""
    waived: tuple[str, ...] = ()
    """Metrics of gates that may fail, as the command said."""

    @property
    def failed(self) -> tuple[GateResult, ...]:
        """Gates that don't hold, and weren't waived."""
        return tuple(gate for gate in self.gates if not gate.passed and gate.metric not in self.waived)


class TemplateKept(Document):
    """That conversations are written out for the model as they were in training."""

    kind: str
    """Whose template it is, such as `ollama`."""
    conversations: int
    """Conversations for which it gives the text of the model's own template; 0 where the model has none."""
    rows: int = 0
    """Rows of the reference's split for which it gives the text that the run asked the model with; rows that are no
    conversation aren't counted."""
    keeps_spaces: bool
    """Whether it also does where a turn begins or ends with white space."""


class Speed(Document):
    """How quickly the file reads rows, each alone: wall-clock time of its forward passes, without loading anything."""

    rows: int
    """The parity's, read one after the other; again where that took less than two seconds. The fastest time counts."""
    tokens: int
    """Of all these rows, once."""
    threads: int
    processor: str
    tokens_per_second: Real
    tuned_tokens_per_second: Real | None = None
    """The tuned model's, as the run computes it, in torch on the same rows and threads; None where the run's reference
    stood for it, so that it was not loaded."""


class ExportedModel(Document):
    """An exported model, `export.json` in its folder. Nothing in it but the speed depends on a clock."""

    schema_: Literal["ftc.export/1"] = Field(default="ftc.export/1", alias="schema")
    ftc_version: str
    packages: dict[str, str]
    converter: Converter
    format: str
    name: str
    """Name of the recipe's job."""
    run_id: str
    job_sha256: str
    record_sha256: str
    weights_sha256: str
    """Digest of the run's exported weights, which the record names."""
    weight_type: str
    """What was asked for."""
    tensor_types: dict[str, int]
    """How many tensors the file has of each type, as read back from it."""
    files: dict[InsidePath, FileFacts]
    """Every file of the folder but this one."""
    conversion: Parity
    """Of the file in float32, from which the others are made."""
    parity: Parity
    tokenized: int
    """Rows whose text the file's tokenizer splits into the tokens of the run; there is none where it doesn't."""
    base: str = ""
    """Name of the base model, for an adapter that needs it beside it; else empty."""
    texts: str = ""
    """Texts to try its program with, as a command line has them; empty where there is no program."""
    answers: AnswersKept | None = None
    """None where the type keeps enough bits."""
    template: TemplateKept | None = None
    """Of a chat template beside the file; None where the file holds the model's own."""
    speed: Speed | None = None
    """None where what the file's own program makes of its weights isn't run, and of earlier releases."""
    notes: tuple[str, ...] = ()

    @property
    def model_file(self) -> str:
        """Name of the file with the weights."""
        card = model_format(self.format)
        return next(name for name in self.files if card and name.endswith(card.suffix))

    def serve(self, folder: str) -> str:
        """The command line that serves it, with its folder as the user typed it."""
        card = model_format(self.format)
        words = {"folder": folder, "file": self.model_file, "name": self.name, "base": self.base, "texts": self.texts}
        return card.serve.format(**words) if card else ""
