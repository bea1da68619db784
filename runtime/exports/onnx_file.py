"""An ONNX file in the place of a model: onnxruntime computes what a task's scorer makes its losses and answers of."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
import torch
from numpy.typing import NDArray

from ftc.runtime.tasks.scorer import states_at
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.heads import HeadCard

if TYPE_CHECKING:
    from ftc.runtime.tasks.scorer import Batch, Prediction, Scorer
    from ftc.spec.documents.streams import TokenStream

__all__ = ["FileScorer", "OnnxFile", "opened", "quantize"]

_PROGRAM = Path(__file__).with_name("onnx_child.py")
_QUANTIZER = Path(__file__).with_name("onnx_quantize_child.py")
_LAST_LINES = 3


class OnnxFile:
    """onnxruntime with one file, in a process of its own; made by `opened`.

    Attributes:
        seconds: Those that its forward passes took so far.
    """

    def __init__(self, process: subprocess.Popen[str], file: Path, scratch: Path) -> None:
        self._process, self._file, self._scratch = process, file, scratch
        self.seconds = 0.0

    @property
    def runtime(self) -> str:
        """Its name and version, and how it computes here."""
        how = "on the CPU, each row alone and all in one padded batch"
        return f"onnxruntime {version('onnxruntime')} {how}"

    def run(self, inputs: Mapping[str, NDArray[np.int64]]) -> dict[str, torch.Tensor]:
        """The outputs for (B, T) inputs, by name.

        Raises:
            Refusal: onnxruntime refused (FTC668).
        """
        places = {name: str(self._scratch / f"{name}.npz") for name in ("inputs", "outputs")}
        arrays: dict[str, Any] = dict(inputs)
        np.savez(places["inputs"], **arrays)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(places) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None
        if not (line := self._process.stdout.readline()):
            raise self._failed()
        self.seconds += float(line)
        with np.load(places["outputs"]) as found:
            return {name: torch.from_numpy(found[name]) for name in found.files}

    def _failed(self) -> Refusal:
        self._process.wait()
        said = (self._scratch / "errors.txt").read_text(encoding="utf-8", errors="replace")
        lines = [line.strip()[:300] for line in said.splitlines() if line.strip()][-_LAST_LINES:]
        help = "use the model with transformers: `ftc run merge` writes its folder"
        summary = f"onnxruntime failed with `{self._file.name}`"
        return Refusal([diagnostic("FTC668", summary, notes=lines or ["it ended without a word"], help=help)])


@contextmanager
def opened(file: Path, scratch: Path, threads: int) -> Iterator[OnnxFile]:
    """onnxruntime with a file, as long as the block runs.

    Args:
        file: The ONNX file.
        scratch: Where arrays lie.
        threads: Threads that it computes with.
    """
    command = [sys.executable, "-I", str(_PROGRAM), str(file), str(threads)]
    pipe = subprocess.PIPE
    with (
        (scratch / "errors.txt").open("w", encoding="utf-8") as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):
        try:
            yield OnnxFile(process, file, scratch)
        finally:
            process.kill()


def quantize(full: Path, file: Path, scratch: Path) -> None:
    """Has onnxruntime's own quantizer write a file of 8 bits.

    Args:
        full: The file in float32.
        file: The file to write.
        scratch: Where it works.

    Raises:
        Refusal: It can't quantize this model (FTC668).
    """
    command = [sys.executable, "-I", str(_QUANTIZER), str(full), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, cwd=scratch)
    if done.returncode or not file.is_file():
        lines = [line.strip()[:300] for line in done.stderr.splitlines() if line.strip()][-_LAST_LINES:]
        summary = f"onnxruntime {version('onnxruntime')} can't quantize this model"
        help = "export it without `--type`, in float32"
        raise Refusal([diagnostic("FTC668", summary, notes=lines or ["it ended without a word"], help=help)])


class FileScorer:
    """A task's scorer whose scores a file computes.

    Args:
        scorer: The task's own.
        file: The opened file.
        head: What the model ends in.
        takes_types: Whether the file takes token types, which say to which text of a pair a token belongs.
    """

    def __init__(self, scorer: Scorer, file: OnnxFile, head: HeadCard, *, takes_types: bool) -> None:
        self._scorer, self._file, self._head, self._takes_types = scorer, file, head, takes_types
        self.coupling: Any = getattr(scorer, "coupling", None)

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors."""
        return self._scorer.batch(rows, numbers)

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """How many things a row has to predict."""
        return self._scorer.num_targets(rows, number)

    def logits(self, model: object, batch: Batch) -> torch.Tensor:  # noqa: ARG002 - the file has the weights
        """(N, C) scores in float32, as the file gives them.

        Raises:
            Refusal: onnxruntime refused (FTC668).
        """
        inputs = {"input_ids": batch.ids.numpy(), "attention_mask": batch.attention.numpy()}
        if self._takes_types:
            assert batch.token_types is not None
            inputs["token_type_ids"] = batch.token_types.numpy()
        found = list(self._file.run(inputs).values())
        match self._head.scored:
            case "row":
                return found[0]
            case "target":
                return states_at(found[0], batch.positions, batch.ids.shape[1])
            case "token":
                both = torch.stack(found, dim=1)
                return both.masked_fill(batch.attention[:, None] == 0, -math.inf).flatten(0, 1)
            case _:
                assert_never(self._head.scored)

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:
        """(N,) loss of each target in nats."""
        return self._scorer.losses(logits, batch, smoothing)

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:
        """What the head says of each row of the batch."""
        return self._scorer.predictions(logits, batch)
