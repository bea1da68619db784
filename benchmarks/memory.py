"""How well memory is predicted: the trace against runs that other people measured and published.

    python benchmarks/memory.py POINTS [--peers PYTHON] [--out FILE]

`--peers` names a Python in which fitcheck-llm, canifinetune and fitscout are installed; what they say of the same runs
is then scored beside, against the process's memory.

`POINTS` is a JSON file, or a folder of them, with `points`, each with `model`, `method` (lora or qlora), `precision`
(fp32, fp16 or bf16: the type of the weights), `autocast` (bfloat16, float16 or null: the type that torch's autocast
casts to in the forward pass), `attn`, `lora_rank`, `lora_targets`, `batch_size`, `seq_len`, `grad_checkpoint`,
`optimizer`, `double_quant` or `quantization`, `gpu`, `torch`, `transformers` and `measured_gib` with `peak_allocated`,
`peak_reserved` and `process`, as far as they were measured. Models outside of the script's table need a `model_config`.
Nothing in the trace is fitted to them. Points that leave out what decides about memory are skipped, and the reasons
counted.

Where a release reads weights ahead in threads while it quantises, what is reserved depends on a race that nobody
recorded. Such a run is replayed at all depths of reading ahead (`support/read_ahead.py`): the median of the replays is
what is expected, the lowest and the highest bound it, and the card's own memory bounds them.

`--out` writes two ratios of each run, from which `ftc.compiler.memory.margins` has its margins: what was reserved by
what the replay says, and what a replay with expandable segments reserves by what is allocated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tests take what is imported here by its full name

from benchmarks.support.foreign_step import ForeignJob, foreign_log
from benchmarks.support.measured_points import Unscored, card_of, job_of, read_points, release_of
from benchmarks.support.read_ahead import is_raced, replayed_races
from ftc.compiler.memory.margins import reserved_range
from ftc.runtime.memory_trace.allocator import replay
from ftc.runtime.memory_trace.log import Log, peaks
from ftc.runtime.memory_trace.meta_model import model_config
from ftc.spec.sections.model import AttentionKernel

GIB = 2**30
MIB = 2**20


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
    in_range: bool | None
    """Whether what was reserved lies between the lowest and the highest replay of the race; None without one."""
    attention: AttentionKernel
    measured_by_replayed: float | None
    """What the run's allocator reserved by what the replay says; None where nobody measured that."""
    expandable_by_allocated: float
    """What a replay with expandable segments reserves by what is allocated."""


def main() -> None:
    """Prints a line for each point, and medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("points", type=Path, metavar="POINTS", help="a JSON file, or a folder of them")
    parser.add_argument("--peers", metavar="PYTHON", help="a Python that has the other estimators")
    parser.add_argument("--out", type=Path, help="write ratios of what was reserved there, a line for each run")
    arguments = parser.parse_args()
    known, scores, started = _known(parser, arguments.points), [], time.process_time()
    for point, job in known:
        scores.append(_score(point, job))
        _print_row(scores[-1])
    print(f"\n{len(scores)} points in {time.process_time() - started:.0f} CPU s")
    for role in sorted({score.role for score in scores}):
        _print_summary(role, [score for score in scores if score.role == role])
    for method in ("lora", "qlora"):
        _print_summary(method, [score for score in scores if score.method == method])
    _print_summary("loaded in a race", [score for score in scores if score.raced])
    _print_summary("loaded in order", [score for score in scores if not score.raced])
    _print_summary("all", scores)
    races = [score.in_range for score in scores if score.in_range is not None]
    print(f"races whose outcome lies between their lowest and highest replay: {sum(races)} of {len(races)}")
    margins = [score.high_error for score in scores if score.high_error is not None]
    exceeded = sum(margin < 0 for margin in margins)
    if margins:
        print(f"high bound exceeded in {exceeded} of {len(margins)}; least margin {min(margins):+.2f} %")
    if arguments.out is not None:
        names = ("name", "method", "attention", "raced", "measured_by_replayed", "expandable_by_allocated")
        lines = [json.dumps({name: getattr(score, name) for name in names}) for score in scores]
        arguments.out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if arguments.peers:
        _print_peers(arguments.peers, [one for one in known if one[0]["measured_gib"].get("process")])


def _known(parser: argparse.ArgumentParser, path: Path) -> list[tuple[dict[str, Any], ForeignJob]]:
    """The points that can be scored, with their runs; says of the others why not."""
    known, reasons = [], Counter[str]()
    try:
        points = read_points(path)
    except Unscored as error:
        parser.error(str(error))
    for point in points:
        try:
            known.append((point, job_of(point)))
        except Unscored as error:
            reasons[str(error)] += 1
    for reason, number in reasons.most_common():
        print(f"left out, {number}: {reason}")
    if not known:
        parser.error(f"{path}: no point can be scored")
    return known


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


def _score(point: dict[str, Any], job: ForeignJob) -> Score:
    log = foreign_log(job)
    replayed = replay(log)
    allocated = max(peak.size for peak in peaks(log, replayed.block_sizes).values())
    measured = point["measured_gib"]
    context = (point.get("measured_mib") or {}).get("cuda_context_mib", 141.0) * MIB
    is_known = "process" in measured
    race = _race(point, job, log, context)
    reserved = replayed.reserved if race is None else statistics.median(race)
    took = measured.get("peak_reserved") or (measured.get("process") or 0) - context / GIB
    usual = reserved_range(allocated, round(reserved), _attention(job), on_card=True, expandable=False).high
    high = usual if race is None else max(usual, race[-1])
    return Score(
        name=f"{point['model'].rpartition('/')[2]} {job.batch}x{job.length} {_attention(job)}"
        f"{'' if job.checkpointing else ' no gc'}",
        role=point.get("role", "?"),
        method=point["method"],
        allocated=allocated / GIB,
        measured_allocated=measured.get("peak_allocated"),
        allocated_error=_error(allocated, measured.get("peak_allocated")),
        reserved_error=_error(reserved, measured.get("peak_reserved")),
        process_error=_error(reserved + context, measured.get("process")),
        high_error=_error(high + context, measured.get("process"))
        if is_known
        else _error(high, measured.get("peak_reserved")),
        raced=race is not None,
        in_range=_is_within(race, measured, context),
        attention=_attention(job),
        measured_by_replayed=round(took * GIB / reserved, 4) if took > 0 else None,
        expandable_by_allocated=round(replay(log, expandable_segments=True).reserved / allocated, 4),
    )


def _race(point: dict[str, Any], job: ForeignJob, log: Log, context: float) -> list[float] | None:
    """Bytes reserved at all depths of reading ahead, in order of size; None where nothing is read ahead."""
    if not is_raced(release_of(point.get("transformers")), quantised=job.quantised):
        return None
    most = card_of(point).memory_bytes - context
    return sorted(min(reserved, most) for reserved in replayed_races(log))


def _is_within(race: list[float] | None, measured: dict[str, Any], context: float) -> bool | None:
    """Whether a race's outcome lies between its replays, to the MiB that it was written down in."""
    reserved = measured.get("peak_reserved") or (measured.get("process") or 0) - context / GIB
    if race is None or reserved <= 0:
        return None
    return race[0] - MIB <= reserved * GIB <= race[-1] + MIB


def _attention(job: ForeignJob) -> AttentionKernel:
    return "eager" if job.eager else "sdpa"


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
