"""The parts of `benchmarks/gpu.py`: each makes a project, uses ftc on it as a user does, and says what was measured."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.support import GIB
from ftc.spec.devices import CARDS
from ftc.spec.documents.events import Noticed, StepDone, read_events, without_repeats
from ftc.spec.documents.memory_trace import TraceResult
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord

__all__ = ["PARTS", "Machine", "Part"]

_ROOT = Path(__file__).resolve().parents[2]
_FTC = (sys.executable, "-m", "ftc")
_WORDS = 2000
_SPECIAL = ("<pad>", "<unknown>", "<begin>", "<end>")
_TEMPLATE = (
    "{% for m in messages %}<begin> {{ m['role'] }} {{ m['content'] }} <end> {% endfor %}"
    "{% if add_generation_prompt %}<begin> assistant {% endif %}"
)


def _sizes(kind: str, hidden: int, inner: int, layers: int, heads: int, keys: int, vocab: int, **more: Any) -> Any:
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "vocab_size": vocab,
        "max_position_embeddings": 32768,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
        **more,
    }


MODELS: dict[str, dict[str, Any]] = {
    "0.5B": _sizes("qwen2", 896, 4864, 24, 14, 2, 151936, tie_word_embeddings=True),
    "1.5B": _sizes("qwen2", 1536, 8960, 28, 12, 2, 151936, tie_word_embeddings=True),
    "8B": _sizes("llama", 4096, 14336, 32, 32, 8, 128256, tie_word_embeddings=False),
}
"""Sizes of Qwen2.5-0.5B, Qwen2.5-1.5B and Llama-3.1-8B by their public configurations."""
_TINY = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
_TINY |= {"num_key_value_heads": 2, "vocab_size": 2100}


@dataclass(frozen=True, slots=True)
class Machine:
    """Where parts run: a device, a folder for models that parts share, and the moment at which a part must be over."""

    device: str
    work: Path
    ends: float

    @property
    def is_tiny(self) -> bool:
        """Whether this only walks through the program."""
        return self.device == "cpu"


@dataclass(frozen=True, slots=True)
class Part:
    """Something to measure, and the most seconds that it may take."""

    name: str
    seconds: float
    measure: Callable[[Machine], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Job:
    """A recipe in a few words; a row has `length` tokens, and `mixed` ones between an eighth of that and all of it."""

    model: str
    strategy: str
    length: int
    packed: bool = False
    steps: int = 12
    rows_per_step: int = 8
    evaluated: bool = False
    checkpoints: int = 1
    train: tuple[str, ...] = ()
    """Further lines under `train:`."""

    def __str__(self) -> str:
        more = [line.replace(":", "").replace("activation_checkpointing", "checkpointing") for line in self.train]
        return " ".join((self.model, self.strategy, str(self.length), *(["packed"] if self.packed else []), *more))


def _calibrate(machine: Machine) -> dict[str, Any]:
    done = _ftc(machine, "device", "calibrate", "--json")
    found: dict[str, Any] = json.loads(done)
    return {key: found["measured"][key] for key in ("flops", "bandwidth", "operation_seconds")}


def _run_of(job: Job) -> Callable[[Machine], dict[str, Any]]:
    """Plans and runs a job; memory and time by phase beside the plan, speed of the later half of the steps."""

    def measure(machine: Machine) -> dict[str, Any]:
        project = _project(machine, job, "run")
        with _power(machine) as watts:
            record, plan = _applied(machine, project)
        figures = _figures(record, plan, _steps(project))
        if noticed := _noticed(project):
            figures["noticed"] = noticed
        return {**figures, "watts": round(statistics.mean(watts))} if watts else figures

    return measure


def _repeats(machine: Machine) -> dict[str, Any]:
    """Whether two runs give the same bits, and what the plan had promised."""
    job = Job("0.5B", "lora", 512, steps=8)
    found = [_applied(machine, _project(machine, job, name)) for name in ("first", "second")]
    (first, plan), (second, _) = found
    return {
        "planned": plan.settings.train.determinism.to_json(),
        "shown": first.determinism.to_json(),
        "same_weights": first.final_weights_sha256 == second.final_weights_sha256,
    }


def _killed(machine: Machine) -> dict[str, Any]:
    """A run that is killed behind a checkpoint and continued, beside one that nothing disturbed."""
    job = Job("0.5B", "lora", 512, steps=60, checkpoints=30)
    whole, _ = _applied(machine, _project(machine, job, "whole"))
    project = _project(machine, job, "killed")
    _plan(machine, project)
    process = _start(machine, project)
    while process.poll() is None and len(_steps(project)) < 3:
        time.sleep(0.05)
    was_killed = process.poll() is None
    process.kill()
    process.wait()
    resumed, _ = _applied(machine, project)
    return {
        "killed": was_killed,
        "segments": len(resumed.segments),
        "same_weights": whole.final_weights_sha256 == resumed.final_weights_sha256,
    }


def _replayed(machine: Machine) -> dict[str, Any]:
    """What `ftc audit --level replay` says of a run on the machine that made it."""
    project = _project(machine, Job("0.5B", "lora", 512, steps=8), "first")
    if not list((project / "runs").rglob("record.json")):
        _applied(machine, project)
    run = next((project / "runs").rglob("record.json")).parent.name
    done = subprocess.run(
        [*_FTC, "audit", run, "--level", "replay", "--json"],
        cwd=project, env=_environment(machine), check=False, capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout) if done.stdout.startswith("{") else {"problem": done.stderr[-300:]}
    return {"exit": done.returncode, **{key: found[key] for key in ("verdict", "problem") if key in found}}


def _without_memory(machine: Machine) -> dict[str, Any]:
    """How a run ends whose memory another process took: by a finding with a code, in seconds, without a traceback."""
    job = Job("0.5B", "full", 2048, steps=4)
    project = _project(machine, job, "short of memory")
    _plan(machine, project)
    with _occupied(machine):
        done = subprocess.run(
            [*_FTC, "apply", "plan.json", "--yes"],
            cwd=project, env=_environment(machine), check=False, capture_output=True, text=True,
        )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if "FTC" in line]
    return {"exit": done.returncode, "traceback": "Traceback" in done.stderr, "finding": lines[0] if lines else ""}


def _memory_of(case: str) -> Callable[[Machine], dict[str, Any]]:
    """One job of `gpu_memory.py`: torch's counters in each phase beside the trace."""

    def measure(machine: Machine) -> dict[str, Any]:
        file = machine.work / "memory.json"
        command = [sys.executable, str(_ROOT / "benchmarks" / "gpu_memory.py"), "--only", case, "--out", str(file)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=_environment(machine))
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        found = next(one for one in json.loads(file.read_text(encoding="utf-8")) if one["case"] == case)
        predicted = TraceResult.model_validate_json(json.dumps(found["predicted"])).allocated_bytes
        measured: dict[str, Any] = found.get("measured", {})
        if "problem" in measured:
            raise RuntimeError(measured["problem"])
        gap = (
            {"gap_percent": round(100 * (predicted / measured["allocated"] - 1), 2)} if "allocated" in measured else {}
        )
        return {"predicted": predicted, **gap, **measured}

    return measure


def _figures(record: RunRecord, plan: Plan, steps: Sequence[StepDone]) -> dict[str, Any]:
    """Memory and time by phase as planned and as measured; tokens a second and MFU of the later half of the steps."""
    later = steps[len(steps) // 2 :]
    seconds, tokens = sum(step.seconds for step in later), sum(step.tokens for step in later)
    known: dict[str, Any] = {
        "peak_planned": plan.memory.process.to_json(),
        "peak_measured": record.peak_memory_bytes,
        "memory_method": record.memory_method,
        "memory_by_phase": [phase.to_json() for phase in record.memory_by_phase],
        "time_by_phase": [phase.to_json() for phase in record.time_by_phase],
        "tokens_a_second": round(tokens / seconds),
        "first_step_seconds": round(steps[0].seconds, 2),
        "kernels": ", ".join(plan.settings.train.kernels) or "torch",
        "compiled": plan.settings.train.compile,
        "checkpointing": plan.settings.train.activation_checkpointing,
    }
    card = next((card for card in CARDS.values() if card.label == plan.device.label), None)
    work = plan.work.phases.get("train") if plan.work else None
    if card is not None and card.half and work is not None:
        known["mfu"] = round(work.flops * tokens / sum(step.tokens for step in steps) / seconds / card.half / 10**12, 4)
    return known


def _project(machine: Machine, job: Job, name: str) -> Path:
    """A project of a job: a model with random weights, which jobs share, rows of random words, and a recipe."""
    project = machine.work / f"{job} {name}".replace(" ", "-")
    if (project / "recipe.yaml").exists():
        return project
    if project.exists():  # a part was ended while it made this
        shutil.rmtree(project)
    (project / ".ftc").mkdir(parents=True)
    model = _model(machine, job.model)
    shutil.copytree(model, project / "model", copy_function=os.link)
    length = 48 if machine.is_tiny else job.length
    rows_per_step = 2 if machine.is_tiny else job.rows_per_step
    count = job.steps * rows_per_step * (4 if job.packed else 1)
    for file, number in (("rows", count), ("validation", 8), ("test", 8)):
        text = "".join(json.dumps(row) + "\n" for row in _rows(file, number, length, job.packed))
        (project / f"{file}.jsonl").write_text(text, encoding="utf-8")
    budget = "{device: cpu, threads: 1}" if machine.is_tiny else "{}"
    test = "{path: test.jsonl}" if job.evaluated else "0"
    (project / "recipe.yaml").write_text(
        "ftc: 1\nname: measured\ntask: {kind: chat}\n"
        f"data:\n  source: {{path: rows.jsonl}}\n  split: {{validation: {{path: validation.jsonl}}, test: {test}}}\n"
        f"  max_length: {length}\nmodel: {{base: model}}\nstrategy: {{kind: {job.strategy}}}\n"
        f"train:\n  max_steps: {job.steps}\n  epochs: 4\n  batch_size: {rows_per_step}\n  learning_rate: 1e-5\n"
        f"  packing: {str(job.packed).lower()}\n  evaluate_every: {job.steps // job.checkpoints}\n"
        + "".join(f"  {line}\n" for line in job.train)
        + f"budget: {budget}\n",
        encoding="utf-8",
    )
    return project


def _rows(file: str, count: int, length: int, mixed: bool) -> Iterator[dict[str, Any]]:
    """Conversations of a question and an answer, which has three of four words; each word is a token."""
    chance = random.Random(file)
    for _ in range(count):
        tokens = chance.randint(length // 8, length) if mixed else length
        words = [f"w{chance.randrange(_WORDS)}" for _ in range(max(4, tokens - 8))]
        cut = len(words) // 4
        turns = (("user", words[:cut]), ("assistant", words[cut:]))
        yield {"messages": [{"role": role, "content": " ".join(part)} for role, part in turns]}


def _model(machine: Machine, name: str) -> Path:
    """The folder of a model with a public configuration's sizes and random weights in bfloat16, made once."""
    folder = machine.work / "models" / name
    if (folder / "README.md").exists():
        return folder
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    sizes = MODELS[name] | (_TINY if machine.is_tiny else {})
    torch.manual_seed(3)
    config = AutoConfig.for_model(**sizes)
    with torch.device(machine.device):
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    words = [*_SPECIAL, "user", "assistant", *(f"w{number}" for number in range(_WORDS))]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token=_SPECIAL[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("pad_token", "unk_token", "bos_token", "eos_token"), _SPECIAL, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": _TEMPLATE, "model_max_length": 32768}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, **names}), encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")  # last: the folder is whole
    return folder


def _applied(machine: Machine, project: Path) -> tuple[RunRecord, Plan]:
    """Plans and applies; the record and the plan."""
    _plan(machine, project)
    process = _start(machine, project)
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"apply ended with {process.returncode}: {errors[-800:]}")
    file = max((project / "runs").rglob("record.json"), key=lambda file: file.stat().st_mtime)
    plan = Plan.model_validate_json((project / "plan.json").read_bytes())
    return RunRecord.model_validate_json(file.read_bytes()), plan


def _plan(machine: Machine, project: Path) -> None:
    if not (project / "plan.json").exists():
        _ftc(machine, "plan", "recipe.yaml", "-o", "plan.json", folder=project)


def _start(machine: Machine, project: Path) -> subprocess.Popen[str]:
    command = [*_FTC, "apply", "plan.json", "--yes"]
    streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=project, env=_environment(machine), **streams)


def _noticed(project: Path) -> str:
    """What a project's newest run did otherwise than planned, such as layers that stayed uncompiled."""
    files = sorted((project / "runs").rglob("events.ndjson"), key=lambda file: file.stat().st_mtime)
    events = read_events(files[-1]) if files else ()
    return "; ".join(f"{one.code} {one.text}" for one in events if isinstance(one, Noticed))


def _steps(project: Path) -> tuple[StepDone, ...]:
    """The steps of a project's newest run so far, each once."""
    files = sorted((project / "runs").rglob("events.ndjson"), key=lambda file: file.stat().st_mtime)
    return without_repeats(read_events(files[-1]))[0] if files else ()


def _ftc(machine: Machine, *arguments: str, folder: Path | None = None) -> str:
    """Standard output of a command that has to succeed."""
    command, environment = [*_FTC, *arguments], _environment(machine)
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ftc {arguments[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-800:]}")
    return done.stdout


def _environment(machine: Machine) -> dict[str, str]:
    path = os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])
    own = {"FTC_CACHE": str(machine.work / "cache"), "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **own, "TOKENIZERS_PARALLELISM": "false"}


@contextmanager
def _power(machine: Machine) -> Iterator[list[float]]:
    """What the driver says the card draws, in watts, once a second while the block runs; nothing on a CPU."""
    watts: list[float] = []
    if machine.is_tiny:
        yield watts
        return
    query = ["nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits", "--loop=1"]
    process = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
    try:
        yield watts
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
        watts.extend(float(line) for line in output.split() if line.replace(".", "", 1).isdigit())


@contextmanager
def _occupied(machine: Machine) -> Iterator[None]:
    """Leaves two GiB of the card's memory to others while the block runs; takes nothing on a CPU."""
    if machine.is_tiny:
        yield
        return
    code = (
        f"import torch; free = torch.cuda.mem_get_info()[0] - 2 * {GIB}\n"
        "held = torch.empty(free, dtype=torch.uint8, device='cuda'); print('held', flush=True); input()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        yield
    finally:
        holder.kill()
        holder.wait()


_SPEED = [
    Job("0.5B", "lora", 2048, evaluated=True),
    Job("8B", "lora", 4096, packed=True),
    Job("8B", "qlora", 2048),
    Job("1.5B", "full", 2048),
    Job("0.5B", "lora", 2048, packed=True),
    Job("0.5B", "full", 2048, packed=True),
    Job("1.5B", "qlora", 2048),
    Job("1.5B", "lora", 8192),
    Job("8B", "lora", 2048),
    Job("8B", "lora", 8192),
    Job("0.5B", "qlora", 8192),
    Job("8B", "full", 4096, packed=True, steps=6),
]
_WAYS = [
    Job(*job, packed=True, train=(line,))
    for job in (("0.5B", "lora", 2048), ("8B", "lora", 4096), ("1.5B", "full", 2048))
    for line in ("kernels: torch", "kernels: liger", "compile: true", "activation_checkpointing: selective")
]
"""Ways to compute the same steps: torch's own kernels, fused ones, compiled layers, and what is kept of activations."""
_MEMORY = [
    f"{model} {strategy}{kept}"
    for model in ("SmolLM2-360M", "Qwen2.5-1.5B", "Qwen3-1.7B", "GPT-2", "BERT-base", "T5-base")
    for strategy in ("lora", "qlora", "full")
    for kept in ("", " recomputing")
]

PARTS: tuple[Part, ...] = (
    Part("calibrate", 120, _calibrate),
    Part(f"run {_SPEED[0]}", 240, _run_of(_SPEED[0])),
    Part("repeat", 240, _repeats),
    Part("kill and resume", 240, _killed),
    *(Part(f"memory {case}", 120, _memory_of(case)) for case in _MEMORY[:6]),
    *(Part(f"run {job}", 480, _run_of(job)) for job in _SPEED[1:4]),
    *(Part(f"run {job}", 480, _run_of(job)) for job in _WAYS[:4]),
    Part("replay", 240, _replayed),
    Part("out of memory", 180, _without_memory),
    *(Part(f"run {job}", 480, _run_of(job)) for job in (*_WAYS[4:], *_SPEED[4:])),
    *(Part(f"memory {case}", 120, _memory_of(case)) for case in _MEMORY[6:]),
)
"""By worth: what is measured first counts most."""
