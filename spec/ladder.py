"""The trace ladder: what training was, step by step and bit by bit, `ladder.ndjson` in a run's folder.

Every step has a line: what went in, what chance was left over, and loss and gradient norm as hexadecimal floats, since
printed ones hide a difference in the last bit. Rungs stand before the first step, behind steps 1, 2, 4, 8, … and at
every checkpoint: they hold digests of the weights and of the optimiser's memory, which decide where losses only hint.
Two ladders of the same run are compared from the bottom up; where they part first is where the runs did.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ftc.spec.base import Document

__all__ = [
    "Difference",
    "Ladder",
    "LadderLine",
    "Rung",
    "StepLine",
    "first_difference",
    "is_rung",
    "line_text",
    "read_ladder",
]

Component = Literal["batch", "learning rate", "loss", "gradient norm", "chance", "weights", "optimiser"]


class StepLine(Document):
    """One optimiser step."""

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
    """Length of the gradient before it was clipped."""
    chance_sha256: str
    """Digest of the states of all random generators behind the step: other dropout leaves another one."""


class Rung(Document):
    """What a step left behind, tensor by tensor."""

    kind: Literal["rung"] = "rung"
    step: int
    """Steps done; 0 before the first."""
    weights_sha256: str
    """Content digest of all trainable weights."""
    tensors: dict[str, str]
    """sha256 of each trainable tensor's bytes, by name."""
    optimizer_sha256: str
    """Content digest of the optimiser's memory."""


LadderLine = Annotated[StepLine | Rung, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Ladder:
    """A run's ladder as read."""

    steps: Mapping[int, StepLine] = field(default_factory=dict)
    rungs: Mapping[int, Rung] = field(default_factory=dict)

    @property
    def height(self) -> int:
        """The last step up to which no line is missing."""
        height = 0
        while height + 1 in self.steps:
            height += 1
        return height

    def lines(self, last_step: int) -> Iterator[StepLine | Rung]:
        """All lines up to a step, in their order."""
        for step in range(last_step + 1):
            yield from (line for line in (self.steps.get(step), self.rungs.get(step)) if line is not None)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two ladders part.

    Attributes:
        step: The first step that differs.
        component: What differs in it first.
        expected: The first ladder's value.
        found: The second one's.
        tensor: The first tensor that differs, where weights do.
        last_equal_rung: The last step at which all weights were seen to be equal; None where there is none.
    """

    step: int
    component: Component
    expected: str
    found: str
    tensor: str | None = None
    last_equal_rung: int | None = None


def is_rung(step: int) -> bool:
    """Whether a step has a rung without being a checkpoint: 0, 1, 2, 4, 8 and so on."""
    return step & (step - 1) == 0


def line_text(line: StepLine | Rung) -> bytes:
    """One line of the file."""
    return json.dumps(line.to_json(), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def read_ladder(path: Path) -> Ladder:
    """The ladder of a file. A line that a crash cut off is left out; a step that was done again counts as it was last.

    Raises:
        OSError: The file can't be read.
    """
    reader: TypeAdapter[StepLine | Rung] = TypeAdapter(LadderLine)
    steps: dict[int, StepLine] = {}
    rungs: dict[int, Rung] = {}
    for text in path.read_bytes().splitlines():
        try:
            line = reader.validate_json(text)
        except ValidationError:
            continue
        if isinstance(line, StepLine):
            steps[line.step] = line
        else:
            rungs[line.step] = line
    return Ladder(steps, rungs)


def first_difference(expected: Ladder, found: Ladder, first_step: int, last_step: int) -> Difference | None:
    """Where two ladders part first between two steps, or None where all that both have is equal.

    Steps are compared in order, and in a step what comes first: what went in, what came out, what was left behind.
    """
    last_equal: int | None = None
    for step in range(first_step, last_step + 1):
        if step > first_step and (parted := _in_step(expected, found, step)):
            return _with_rung(parted, last_equal)
        mine, other = expected.rungs.get(step), found.rungs.get(step)
        if mine is None or other is None:
            continue
        if parted := _in_rung(mine, other):
            return _with_rung(parted, last_equal)
        last_equal = step
    return None


def _in_step(expected: Ladder, found: Ladder, step: int) -> Difference | None:
    mine, other = expected.steps.get(step), found.steps.get(step)
    if mine is None or other is None:
        return None
    pairs: tuple[tuple[Component, str, str], ...] = (
        ("batch", mine.batch_sha256, other.batch_sha256),
        ("learning rate", mine.learning_rate, other.learning_rate),
        ("chance", mine.chance_sha256, other.chance_sha256),
        ("loss", mine.loss, other.loss),
        ("gradient norm", mine.grad_norm, other.grad_norm),
    )
    return next((Difference(step, name, ours, theirs) for name, ours, theirs in pairs if ours != theirs), None)


def _in_rung(mine: Rung, other: Rung) -> Difference | None:
    if mine.weights_sha256 != other.weights_sha256:
        names = sorted(mine.tensors.keys() | other.tensors.keys(), key=_natural)
        tensor = next((name for name in names if mine.tensors.get(name) != other.tensors.get(name)), None)
        return Difference(mine.step, "weights", mine.weights_sha256, other.weights_sha256, tensor)
    if mine.optimizer_sha256 != other.optimizer_sha256:
        return Difference(mine.step, "optimiser", mine.optimizer_sha256, other.optimizer_sha256)
    return None


def _with_rung(parted: Difference, last_equal: int | None) -> Difference:
    return Difference(parted.step, parted.component, parted.expected, parted.found, parted.tensor, last_equal)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts layer 2 before layer 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
