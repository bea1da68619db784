"""The step log: what training was, step by step and bit by bit, `ladder.ndjson` in a run's folder.

Every step has a line: what went in, what chance was left over, and loss and gradient norm as hexadecimal floats, since
printed ones hide a difference in the last bit. Weight checksums stand before the first step, behind steps 1, 2, 4, 8, …
and at every checkpoint: they hold digests of the weights and of the optimizer's state, which decide where losses only
hint.
Two step logs of the same run are compared from the bottom up; where they part first is where the runs did.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from ftc.spec.base import Document
from ftc.spec.storage.reading import read_regular

__all__ = [
    "Comparison",
    "Difference",
    "LogLine",
    "StepLine",
    "StepLog",
    "WeightChecksum",
    "checksum_steps",
    "first_difference",
    "has_checksum",
    "line_text",
    "norm_text",
    "parse_line",
    "read_step_log",
]

Component = Literal["batch", "learning rate", "loss", "gradient norm", "random state", "weights", "optimizer state"]


class StepLine(Document):
    """One optimizer step."""

    kind: Literal["step"] = "step"
    step: int
    """Steps done, from 1."""
    batch_sha256: str
    """Digest of the rows' numbers and of every tensor that was fed, over all processes."""
    learning_rate: str
    """Hexadecimal float, as the two below."""
    loss: str
    """Mean over the step's targets, before the update."""
    grad_norm: str
    """Length of the gradient before it was clipped; `skipped` where it overflowed and no weight changed."""
    chance_sha256: str
    """Digest of the states of all random generators behind the step: other dropout leaves another one."""


def norm_text(norm: float | None) -> str:
    """A gradient's length as a line has it; None for a step that was skipped."""
    return "skipped" if norm is None else norm.hex()


class WeightChecksum(Document):
    """What a step left behind, tensor by tensor."""

    kind: Literal["rung"] = "rung"
    step: int
    """Steps done; 0 before the first."""
    weights_sha256: str
    """Content digest of all trainable weights."""
    tensors: dict[str, str]
    """sha256 of each trainable tensor's bytes, by name."""
    optimizer_sha256: str
    """Content digest of the optimizer's memory."""
    progress_sha256: str = ""
    """Digest of what a checkpoint of this step says of the training so far; empty where none was taken."""


LogLine = Annotated[StepLine | WeightChecksum, Field(discriminator="kind")]
_READER: TypeAdapter[StepLine | WeightChecksum] = TypeAdapter(LogLine)


@dataclass(frozen=True, slots=True)
class StepLog:
    """A run's step log as read."""

    steps: Mapping[int, StepLine] = field(default_factory=dict)
    checksums: Mapping[int, WeightChecksum] = field(default_factory=dict)

    @property
    def height(self) -> int:
        """The last step up to which no line is missing."""
        height = 0
        while height + 1 in self.steps:
            height += 1
        return height

    def lines(self, last_step: int) -> Iterator[StepLine | WeightChecksum]:
        """All lines up to a step, in their order."""
        for step in sorted(step for step in {*self.steps, *self.checksums} if step <= last_step):
            yield from (line for line in (self.steps.get(step), self.checksums.get(step)) if line is not None)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two step logs part.

    Attributes:
        step: The first step that differs.
        component: What differs in it first.
        expected: The first step log's value.
        found: The second one's.
        tensor: The first tensor that differs, where weights do.
        last_equal_checksum: The last step at which all weights were seen to be equal; None where there is none.
    """

    step: int
    component: Component
    expected: str
    found: str
    tensor: str | None = None
    last_equal_checksum: int | None = None


def has_checksum(step: int) -> bool:
    """Whether a step has a checksum without being a checkpoint: 0, 1, 2, 4, 8 and so on."""
    return step & (step - 1) == 0


def checksum_steps(last_step: int) -> Iterator[int]:
    """Those steps up to one, of which there are few, however far away a damaged document says that it is."""
    step = 0
    while step <= last_step:
        yield step
        step = step * 2 or 1


def line_text(line: Document) -> bytes:
    """One line of the file, of which a step log's line is an example."""
    return json.dumps(line.to_json(), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def parse_line(text: bytes) -> StepLine | WeightChecksum:
    """A line of the file.

    Raises:
        ValueError: It is none.
    """
    return _READER.validate_json(text)


def read_step_log(path: Path) -> StepLog:
    """The step log of a file. A line that a crash cut off is left out; of a step that was done again the last counts.

    Raises:
        OSError: The file can't be read.
    """
    steps: dict[int, StepLine] = {}
    checksums: dict[int, WeightChecksum] = {}
    for text in read_regular(path).splitlines():
        try:
            line = parse_line(text)
        except ValueError:
            continue
        if isinstance(line, StepLine):
            steps[line.step] = line
        else:
            checksums[line.step] = line
    return StepLog(steps, checksums)


class Comparison:
    """A step log that is compared with another one while it grows.

    Args:
        expected: The step log that is known.
    """

    def __init__(self, expected: StepLog) -> None:
        self._expected = expected
        self._last_equal_checksum: int | None = None
        self.steps = 0
        """Steps that were compared."""
        self.checksums: list[int] = []
        """Steps at which weights were compared and equal."""

    def add(self, line: StepLine | WeightChecksum) -> Difference | None:
        """Compares one more line; where it differs, says in what. A line that the other step log lacks says nothing."""
        if isinstance(line, StepLine):
            mine = self._expected.steps.get(line.step)
            self.steps += mine is not None
            return _in_step(mine, line, self._last_equal_checksum) if mine else None
        known = self._expected.checksums.get(line.step)
        if known is None:
            return None
        parted = _in_checksum(known, line, self._last_equal_checksum)
        if parted is None:
            self._last_equal_checksum = line.step
            self.checksums.append(line.step)
        return parted


def first_difference(expected: StepLog, found: StepLog, first_step: int, last_step: int) -> Difference | None:
    """Where two step logs part first between two steps, or None where all that both have is equal.

    Steps are compared in order, and in a step what comes first: what went in, what came out, what was left behind.
    """
    comparison = Comparison(expected)
    for line in found.lines(last_step):
        above = line.step > first_step or (line.step == first_step and isinstance(line, WeightChecksum))
        if above and (parted := comparison.add(line)):
            return parted
    return None


def _in_step(mine: StepLine, other: StepLine, last_equal: int | None) -> Difference | None:
    pairs: tuple[tuple[Component, str, str], ...] = (
        ("batch", mine.batch_sha256, other.batch_sha256),
        ("learning rate", mine.learning_rate, other.learning_rate),
        ("random state", mine.chance_sha256, other.chance_sha256),
        ("loss", mine.loss, other.loss),
        ("gradient norm", mine.grad_norm, other.grad_norm),
    )
    for component, ours, theirs in pairs:
        if ours != theirs:
            return Difference(mine.step, component, ours, theirs, last_equal_checksum=last_equal)
    return None


def _in_checksum(mine: WeightChecksum, other: WeightChecksum, last_equal: int | None) -> Difference | None:
    if mine.weights_sha256 != other.weights_sha256:
        names = sorted(mine.tensors.keys() | other.tensors.keys(), key=_natural)
        tensor = next((name for name in names if mine.tensors.get(name) != other.tensors.get(name)), None)
        return Difference(mine.step, "weights", mine.weights_sha256, other.weights_sha256, tensor, last_equal)
    if mine.optimizer_sha256 != other.optimizer_sha256:
        return Difference(mine.step, "optimizer state", mine.optimizer_sha256, other.optimizer_sha256, None, last_equal)
    return None


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts layer 2 before layer 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
