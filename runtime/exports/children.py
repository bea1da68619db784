"""Programs beside this one: llama.cpp's converter and its library, each in a process of its own."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftc.runtime.exports.converter import CONVERTER
from ftc.spec.diagnostics import Refusal, diagnostic

__all__ = ["Llama", "convert", "convert_adapter"]

_HERE = Path(__file__).parent
_LAST_LINES = 3
_PRE_TOKENIZER = "pre-tokenizer"


@dataclass(slots=True)
class Llama:
    """llama.cpp's library with one file.

    Attributes:
        file: The GGUF file.
        scratch: Where jobs and answers lie.
        threads: Threads that it computes with.
        context: Most tokens of a row with its answer.
        adapter: The GGUF file of an adapter beside it; None for the model alone.
    """

    file: Path
    scratch: Path
    threads: int
    context: int
    adapter: Path | None = None
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def runtime(self) -> str:
        """Its name and version, and how it computes here."""
        from importlib.metadata import version

        return f"llama.cpp (llama-cpp-py-sync {version('llama-cpp-py-sync')}), KV cache in float32, no flash attention"

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
        """Each row's places, as `llama_child.score` gives them.

        Args:
            rows: Their `ids`, the `places` behind which the next token is scored, its `targets`, and at each place the
                `choices` whose scores are wanted, or None.

        Raises:
            Refusal: llama.cpp refused (FTC668).
        """
        found: list[list[dict[str, Any]]] = self._do("score", rows=rows)["rows"]
        return found

    def seconds(self, rows: Sequence[Mapping[str, Any]], least: float, most: int) -> float:
        """Fewest seconds in which the file reads rows once, one after the other, when it is loaded and has read one.

        Args:
            rows: As in `score`.
            least: Rows are read again until all took so many seconds.
            most: How often at most.

        Raises:
            Refusal: llama.cpp refused (FTC668).
        """
        found: float = self._do("time", rows=rows, least=least, most=most)["seconds"]
        return found

    def write(self, prompts: Sequence[Sequence[int]], stops: Sequence[int], most: int) -> list[list[int]]:
        """Greedy answers to prompts, as tokens; see `score`."""
        found: list[list[int]] = self._do("write", prompts=prompts, stops=stops, most=most)["answers"]
        return found

    def tokenize(self, texts: Sequence[str]) -> tuple[list[list[int]], bool]:
        """Texts as tokens, and whether llama.cpp puts a first token before each text by itself; see `score`."""
        found = self._do("tokenize", texts=texts)
        return found["tokens"], found["adds_first"]

    def quantize(self, number: int, target: Path) -> None:
        """Writes the model with weights of another type; see `score`."""
        self._do("quantize", type=number, target=str(target))

    def _do(self, kind: str, **more: Any) -> dict[str, Any]:
        adapter = None if self.adapter is None else str(self.adapter)
        opened = {
            "file": str(self.file),
            "adapter": adapter,
            "threads": self.threads,
            "context": self.context,
        }
        file = self.scratch / f"{kind}-{next(self._numbers)}.json"
        file.write_text(json.dumps({"kind": kind, **opened, **more}), encoding="utf-8")
        _run("llama_child.py", file, f"llama.cpp failed to {kind} with `{self.file.name}`")
        answer: dict[str, Any] = json.loads(file.with_suffix(".answer.json").read_text(encoding="utf-8"))
        return answer


def convert(
    converter: Path, model: Path, target: Path, scratch: Path, metadata: Mapping[str, str], pre_tokenizer: str | None
) -> None:
    """Writes a model's folder as a GGUF file in float32.

    Args:
        converter: The folder with the converter's files.
        model: The model's folder.
        target: The file.
        scratch: Where the job lies.
        metadata: What the file's metadata says beside what the converter knows.
        pre_tokenizer: llama.cpp's name of how the tokenizer splits texts; None where the converter knows it.

    Raises:
        Refusal: The converter failed (FTC668).
    """
    arguments = [str(model), "--outfile", str(target), "--outtype", "f32"]
    _convert(converter, "convert_hf_to_gguf.py", arguments, scratch, metadata, pre_tokenizer)


def convert_adapter(
    converter: Path, base: Path, adapter: Path, target: Path, scratch: Path, metadata: Mapping[str, str], type_name: str
) -> None:
    """Writes the folder of an adapter as a GGUF file; see `convert`.

    Args:
        converter: The folder with the converter's files.
        base: The base model's folder.
        adapter: The adapter's folder, in peft's layout.
        target: The file.
        scratch: Where the job lies.
        metadata: What the file's metadata says beside what the converter knows.
        type_name: Type of the weights.

    Raises:
        Refusal: The converter failed (FTC668).
    """
    arguments = [str(adapter), "--base", str(base), "--outfile", str(target), "--outtype", type_name]
    _convert(converter, "convert_lora_to_gguf.py", arguments, scratch, metadata, None)


def _convert(
    converter: Path,
    program: str,
    arguments: Sequence[str],
    scratch: Path,
    metadata: Mapping[str, str],
    pre_tokenizer: str | None,
) -> None:
    job = {
        "converter": str(converter),
        "program": program,
        "arguments": arguments,
        "metadata": dict(metadata),
        "pre_tokenizer": pre_tokenizer,
    }
    file = scratch / f"{program}.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    _run("convert_child.py", file, f"llama.cpp's converter ({CONVERTER.version}) can't convert this model")


def _run(program: str, job: Path, summary: str) -> None:
    """Runs a program of this folder, isolated from the user's Python paths and from the hub.

    Raises:
        Refusal: It failed (FTC668).
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-I", str(_HERE / program), str(job)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
    if done.returncode == 0:
        return
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    notes = [line[:300] for line in lines[-_LAST_LINES:]] or [f"it ended with code {done.returncode}"]
    unknown = any(_PRE_TOKENIZER in line for line in lines)
    help = (
        "name the way in which the tokenizer splits texts with `--pre-tokenizer`, such as `gpt-2` or `llama-bpe`"
        if unknown
        else "use the model with transformers: `ftc run merge` writes its folder"
    )
    raise Refusal([diagnostic("FTC668", summary, notes=notes, help=help)])
