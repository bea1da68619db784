"""A program of its own: llama.cpp opens a GGUF file, and answers one job.

C code that parses files has no place in ftc's process, and nothing of ftc is imported here. `llama_child.py JOB.json`
reads a job and writes its answer beside it, as `JOB.answer.json`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from llama_cpp_py_sync._cffi_bindings import get_ffi, get_lib
from numpy.typing import NDArray

__all__: list[str] = []

_FFI: Any = get_ffi()
_LIB: Any = get_lib()
_BATCH = 512
_FLASH_ATTENTION_OFF = 0
_F32 = 0


class Opened:
    """A model with a context for one sequence: KV cache in float32, no flash attention, so that little is rounded.

    `seconds` are those that its forward passes took so far.

    Args:
        job: Path of the file, of an adapter beside it (or None), tokens of the context, threads.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        options = _LIB.llama_model_default_params()
        options.n_gpu_layers = 0
        self._model = _LIB.llama_model_load_from_file(job["file"].encode(), options)
        if self._model == _FFI.NULL:
            raise SystemExit(f"llama.cpp can't load {Path(job['file']).name}")
        context = _LIB.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_ubatch, context.n_seq_max = job["context"], _BATCH, _BATCH, 1
        context.n_threads = context.n_threads_batch = job["threads"]
        context.type_k = context.type_v = _F32
        context.flash_attn_type = _FLASH_ATTENTION_OFF
        self._context = _LIB.llama_init_from_model(self._model, context)
        if self._context == _FFI.NULL:
            raise SystemExit("llama.cpp can't make a context for the model")
        self._vocab = _LIB.llama_model_get_vocab(self._model)
        self.seconds = 0.0
        self.num_tokens = _LIB.llama_vocab_n_tokens(self._vocab)
        self.adds_first = bool(_LIB.llama_vocab_get_add_bos(self._vocab))
        if job["adapter"]:
            adapter: str = job["adapter"]
            found = _LIB.llama_adapter_lora_init(self._model, adapter.encode())
            if found == _FFI.NULL:
                raise SystemExit(f"llama.cpp can't load {Path(adapter).name}")
            if _LIB.llama_set_adapters_lora(
                self._context, _FFI.new("struct llama_adapter_lora *[]", [found]), 1, [1.0]
            ):
                raise SystemExit(f"llama.cpp can't use {Path(adapter).name}")

    def clear(self) -> None:
        """Begins a new sequence."""
        _LIB.llama_memory_clear(_LIB.llama_get_memory(self._context), True)

    def read(self, ids: list[int], start: int, places: set[int]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Reads tokens that stand from `start` on, and gives the scores of the next token behind some of them."""
        for first in range(0, len(ids), _BATCH):
            chunk = ids[first : first + _BATCH]
            batch = _LIB.llama_batch_init(len(chunk), 0, 1)
            batch.n_tokens = len(chunk)
            for i, token in enumerate(chunk):
                batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = token, start + first + i, 1, 0
                batch.logits[i] = first + i in places
            began = time.perf_counter()
            failed = _LIB.llama_decode(self._context, batch)
            _LIB.llama_synchronize(self._context)
            self.seconds += time.perf_counter() - began
            _LIB.llama_batch_free(batch)
            if failed:
                raise SystemExit(f"llama_decode failed with code {failed}")
            for i in range(len(chunk)):
                if first + i in places:
                    scores = _LIB.llama_get_logits_ith(self._context, i)
                    size = self.num_tokens * 4
                    yield first + i, np.frombuffer(_FFI.buffer(scores, size), np.float32).copy()

    def tokens_of(self, text: str) -> list[int]:
        """A text as tokens, in which the names of special tokens mean these, and none is added."""
        data = text.encode()
        found = _FFI.new("llama_token[]", len(data) + 16)
        count = _LIB.llama_tokenize(self._vocab, data, len(data), found, len(data) + 16, False, True)
        return [int(found[i]) for i in range(count)]


def score(opened: Opened, job: dict[str, Any]) -> dict[str, Any]:
    """Each row's places: sums, the highest choice, what some outputs score, and the loss of a target."""
    rows = []
    for row in job["rows"]:
        opened.clear()
        found: list[dict[str, Any]] = []
        known = dict(zip(row["places"], row["choices"] or [[]] * len(row["places"]), strict=True))
        targets = dict(zip(row["places"], row["targets"], strict=True))
        for place, scores in opened.read(row["ids"], 0, set(row["places"])):
            total = _log_sum_exp(scores)
            found.append(
                {
                    "scores": [float(scores[choice]) for choice in known[place]],
                    "log_sum_exp": total,
                    "lowest": float(scores.min()),
                    "highest": int(scores.argmax()),
                    "loss": total - float(scores[targets[place]]),
                }
            )
        rows.append(found)
    return {"rows": rows}


def measure(opened: Opened, job: dict[str, Any]) -> dict[str, Any]:
    """Fewest seconds of the forward passes in which all rows are read once, after the first of them was read."""

    def read(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            opened.clear()
            for _ in opened.read(row["ids"], 0, set(row["places"])):
                pass

    read(job["rows"][:1])
    rounds = list[float]()
    while not rounds or (sum(rounds) < job["least"] and len(rounds) < job["most"]):
        opened.seconds = 0.0
        read(job["rows"])
        rounds.append(opened.seconds)
    return {"seconds": min(rounds)}


def _log_sum_exp(scores: NDArray[np.float32]) -> float:
    top = float(scores.max())
    return top + float(np.log(np.exp(scores.astype(np.float64) - top).sum()))


def write(opened: Opened, job: dict[str, Any]) -> dict[str, Any]:
    """Greedy answers to prompts, as tokens."""
    answers, stops = list[list[int]](), set(job["stops"])
    for prompt in job["prompts"]:
        opened.clear()
        ids, start, answer = prompt, 0, list[int]()
        while len(answer) < job["most"]:
            ((_, scores),) = opened.read(ids, start, {len(ids) - 1})
            token = int(scores.argmax())
            if token in stops:
                break
            answer.append(token)
            start, ids = start + len(ids), [token]
        answers.append(answer)
    return {"answers": answers}


def tokenize(opened: Opened, job: dict[str, Any]) -> dict[str, Any]:
    """Texts as tokens, and whether a first token is put before each where nobody says otherwise."""
    return {"tokens": [opened.tokens_of(text) for text in job["texts"]], "adds_first": opened.adds_first}


def quantize(job: dict[str, Any]) -> dict[str, Any]:
    """Another file with weights of another type."""
    options = _LIB.llama_model_quantize_default_params()
    options.nthread, options.ftype = job["threads"], job["type"]
    if _LIB.llama_model_quantize(job["file"].encode(), job["target"].encode(), _FFI.addressof(options)):
        raise SystemExit("llama.cpp can't quantize the model")
    return {}


def main(file: Path) -> None:
    """Does one job."""
    job = json.loads(file.read_text(encoding="utf-8"))
    _LIB.llama_backend_init()
    kinds = {"score": score, "time": measure, "write": write, "tokenize": tokenize}
    if job["kind"] == "quantize":
        found = quantize(job)
    else:
        opened = Opened(job)
        found = kinds[job["kind"]](opened, job)
    file.with_suffix(".answer.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
