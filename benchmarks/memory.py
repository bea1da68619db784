"""How well memory is predicted: the trace against runs that other people measured and published.

    python benchmarks/memory.py POINTS.json [--peers PYTHON]

`--peers` names a Python in which fitcheck-llm, canifinetune and fitscout are installed; what they say of the same runs
is then scored beside, against the process's memory.

`POINTS.json` holds `points`, each with `model`, `method` (lora or qlora), `precision`, `attn`, `lora_rank`,
`batch_size`, `seq_len`, `grad_checkpoint`, `optimizer`, `double_quant` or `quantization`, `gpu`, `torch` and
`measured_gib` with `peak_allocated`, `peak_reserved` and `process`, as far as they were measured. Nothing in the trace
is fitted to them. Points that leave out what decides about memory are counted and skipped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from support.foreign_step import ForeignJob, foreign_log

from ftc.compiler.budget.ranges import reserved_range
from ftc.runtime.trace.allocator import replay
from ftc.runtime.trace.kernels import KernelRules
from ftc.runtime.trace.log import peaks
from ftc.runtime.trace.meta_model import model_config

GIB = 2**30
MIB = 2**20


def _sizes(
    model_type: str,
    hidden: int,
    inner: int,
    layers: int,
    heads: int,
    kv_heads: int,
    vocab: int,
    tied: bool,
    **more: Any,
) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
        **more,
    }


CONFIGS = {
    "HuggingFaceTB/SmolLM2-135M": _sizes("llama", 576, 1536, 30, 9, 3, 49152, True),
    "HuggingFaceTB/SmolLM2-360M": _sizes("llama", 960, 2560, 32, 15, 5, 49152, True),
    "HuggingFaceTB/SmolLM2-1.7B": _sizes("llama", 2048, 8192, 24, 32, 32, 49152, True),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": _sizes("llama", 2048, 5632, 22, 32, 4, 32000, False),
    "Qwen/Qwen2.5-0.5B-Instruct": _sizes("qwen2", 896, 4864, 24, 14, 2, 151936, True),
    "Qwen/Qwen2.5-1.5B-Instruct": _sizes("qwen2", 1536, 8960, 28, 12, 2, 151936, True),
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": _sizes("qwen2", 1536, 8960, 28, 12, 2, 151936, True),
    "Qwen/Qwen2.5-3B-Instruct": _sizes("qwen2", 2048, 11008, 36, 16, 2, 151936, True),
    "Qwen/Qwen2.5-7B-Instruct": _sizes("qwen2", 3584, 18944, 28, 28, 4, 152064, False),
    "meta-llama/Llama-3.2-1B-Instruct": _sizes("llama", 2048, 8192, 16, 32, 8, 128256, True),
    "meta-llama/Llama-3.2-3B-Instruct": _sizes("llama", 3072, 8192, 28, 24, 8, 128256, True, head_dim=128),
    "mistralai/Mistral-7B-Instruct-v0.3": _sizes("mistral", 4096, 14336, 32, 32, 8, 32768, False, sliding_window=None),
    "deepseek-ai/deepseek-coder-1.3b-instruct": _sizes("llama", 2048, 5504, 24, 16, 16, 32256, False),
}
"""Sizes from the models' public `config.json`."""

_ORDERLY = (5, 17)
"""The first of the releases of transformers among the points that reads one weight at a time where it quantises."""
_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Score:
    """One point: relative errors of what was predicted, in percent; None where nothing was measured."""

    name: str
    role: str
    method: str
    allocated: float
    measured_allocated: float | None
    allocated_error: float | None
    reserved_error: float | None
    process_error: float | None
    high_error: float | None
    """How far the high bound lies above what was measured; below 0 it was exceeded."""
    raced: bool
    """Whether weights were read ahead in threads while others were quantised."""


def main() -> None:
    """Prints a line for each point, and medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("points", type=Path, metavar="POINTS.json")
    parser.add_argument("--peers", metavar="PYTHON", help="a Python that has the other estimators")
    arguments = parser.parse_args()
    points = json.loads(arguments.points.read_text(encoding="utf-8"))["points"]
    scores, skipped, started = [], 0, time.process_time()
    known: list[tuple[dict[str, Any], ForeignJob]] = []
    for point in points:
        job = _job(point)
        if job is None:
            skipped += 1
            continue
        known.append((point, job))
        scores.append(_score(point, job))
        _print_row(scores[-1])
    print(f"\n{len(scores)} points in {time.process_time() - started:.0f} CPU s; {skipped} without enough detail")
    for role in sorted({score.role for score in scores}):
        _print_summary(role, [score for score in scores if score.role == role])
    for method in ("lora", "qlora"):
        _print_summary(method, [score for score in scores if score.method == method])
    _print_summary("loaded in a race", [score for score in scores if score.raced])
    _print_summary("loaded in order", [score for score in scores if not score.raced])
    _print_summary("all", scores)
    margins = [score.high_error for score in scores if score.high_error is not None]
    exceeded = sum(margin < 0 for margin in margins)
    print(f"high bound exceeded in {exceeded} of {len(margins)}; least margin {min(margins):+.2f} %")
    if arguments.peers:
        _print_peers(arguments.peers, [one for one in known if one[0]["measured_gib"].get("process")])


def _print_peers(python: str, known: list[tuple[dict[str, Any], ForeignJob]]) -> None:
    """Errors of other estimators on the process's memory of the same runs."""
    runs = [_run_for_peers(point, job) for point, job in known]
    script = Path(__file__).parent / "support" / "memory_peers.py"
    done = subprocess.run([python, str(script)], input=json.dumps(runs), check=True, capture_output=True, text=True)
    for name, said in json.loads(done.stdout).items():
        pairs = zip(said, known, strict=True)
        errors = [100 * (size / (point["measured_gib"]["process"] * GIB) - 1) for size, (point, _) in pairs if size]
        if not errors:
            print(f"{name:40} gave no answer: {done.stderr.strip().splitlines()[-1:]}")
            continue
        sizes = sorted(map(abs, errors))
        print(
            f"{name:40} process_error    n={len(errors):3}  median {statistics.median(sizes):5.2f} %  "
            f"max {sizes[-1]:5.2f} %  range {min(errors):+6.2f} … {max(errors):+6.2f} %"
        )


def _run_for_peers(point: dict[str, Any], job: ForeignJob) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(model_config(job.config))
    names = ("config", "quantised", "double_quantised", "rank", "batch", "length", "checkpointing", "eager")
    return {
        **{name: getattr(job, name) for name in names},
        "model": point["model"],
        "weights": sum(parameter.numel() for parameter in model.parameters()),
        "precision": point["precision"],
        "states_in_8_bits": job.states_in_8_bits,
        "is_t4": "T4" in point["gpu"],
    }


def _job(point: dict[str, Any]) -> ForeignJob | None:
    """The point's run; None where something that decides about memory isn't known."""
    config = CONFIGS.get(point["model"])
    if config is None or point.get("precision") not in _DTYPES:
        return None
    version = tuple(map(int, point["torch"].split("+")[0].split(".")[:2]))
    return ForeignJob(
        config=config,
        dtype=_DTYPES[point["precision"]],
        quantised=point["method"] == "qlora",
        double_quantised=bool(point.get("double_quant")) or "double" in (point.get("quantization") or ""),
        rank=point["lora_rank"],
        batch=point["batch_size"],
        length=point["seq_len"],
        checkpointing=point["grad_checkpoint"],
        eager=point.get("attn") == "eager",
        states_in_8_bits="8bit" in point["optimizer"],
        keeps_outputs=_keeps_outputs(point, config["vocab_size"]),
        rules=KernelRules(
            capability=(7, 5) if "T4" in point["gpu"] else (8, 9),
            has_flash="Windows" not in point.get("os", ""),
            efficient_takes_groups=version >= (2, 10),
        ),
    )


def _keeps_outputs(point: dict[str, Any], vocab_size: int) -> bool:
    """Whether a 16-bit tensor of all scores outlived the first step, by what was allocated after it.

    Published runs without such a snapshot are taken to let go of it, as a function that makes a step does.
    """
    allocated = {moment["stage"]: moment["allocated"] for moment in point.get("stage_snapshots_gib", ())}
    if "after_first_optimizer_step" not in allocated:
        return False
    left = (allocated["after_first_optimizer_step"] - allocated["after_optimizer_init"]) * GIB
    return bool(left > 2 * point["batch_size"] * point["seq_len"] * vocab_size)


def _score(point: dict[str, Any], job: ForeignJob) -> Score:
    log = foreign_log(job)
    replayed = replay(log)
    allocated = max(peak.size for peak in peaks(log, replayed.block_sizes).values())
    reserved = replayed.reserved
    measured = point["measured_gib"]
    attention = "eager" if job.eager else "sdpa"
    high = reserved_range(allocated, reserved, attention, on_card=True, expandable=False).high
    context = (point.get("measured_mib") or {}).get("cuda_context_mib", 141.0) * MIB
    return Score(
        name=f"{point['model'].rpartition('/')[2]} {point['batch_size']}x{point['seq_len']} "
        f"{'eager' if job.eager else 'sdpa'}{'' if job.checkpointing else ' no gc'}",
        role=point.get("role", "?"),
        method=point["method"],
        allocated=allocated / GIB,
        measured_allocated=measured.get("peak_allocated"),
        allocated_error=_error(allocated, measured.get("peak_allocated")),
        reserved_error=_error(reserved, measured.get("peak_reserved")),
        process_error=_error(reserved + context, measured.get("process")),
        high_error=_error(high + context, measured.get("process"))
        if "process" in measured
        else _error(high, measured.get("peak_reserved")),
        raced=job.quantised and (5, 0) <= _release(point.get("transformers")) < _ORDERLY,
    )


def _release(version: str | None) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2])) if version else ()


def _error(predicted: float, measured_gib: float | None) -> float | None:
    return None if not measured_gib else 100 * (predicted / (measured_gib * GIB) - 1)


def _print_row(score: Score) -> None:
    errors = (score.allocated_error, score.reserved_error, score.process_error)
    shown = "".join("       ." if error is None else f"{error:+8.2f}" for error in errors)
    measured = "" if score.measured_allocated is None else f"{score.measured_allocated:.4f}"
    print(f"{score.name:52} {score.method:6} {score.allocated:8.4f} {measured:>8} {shown}", flush=True)


def _print_summary(title: str, scores: list[Score]) -> None:
    for quantity in ("allocated_error", "reserved_error", "process_error"):
        errors = [error for score in scores if (error := getattr(score, quantity)) is not None]
        if not errors:
            continue
        sizes = sorted(map(abs, errors))
        print(
            f"{title:40} {quantity:16} n={len(errors):3}  median {statistics.median(sizes):5.2f} %  "
            f"max {sizes[-1]:5.2f} %  range {min(errors):+6.2f} … {max(errors):+6.2f} %"
        )


if __name__ == "__main__":
    main()
