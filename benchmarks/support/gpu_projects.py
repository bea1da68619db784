"""Projects of `benchmarks/gpu.py`: models in public sizes with random weights, rows of random words, recipes."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FTC", "ROOT", "Job", "Machine", "environment", "ftc_says", "make_project"]

ROOT = Path(__file__).resolve().parents[2]
FTC = (sys.executable, "-m", "ftc")
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
class Job:
    """A recipe in a few words; a row has `length` tokens, and `mixed` ones between an eighth of that and all of it."""

    model: str
    strategy: str
    length: int
    packed: bool = False
    steps: int = 12
    rows_per_step: int = 8
    evaluated: bool = False
    answered: int = 0
    """Test rows whose answers are written by the base and by the result; 0 for none."""
    checkpoints: int = 1
    train: tuple[str, ...] = ()
    """Further lines under `train:`."""

    def __str__(self) -> str:
        more = [line.replace(":", "").replace("activation_checkpointing", "checkpointing") for line in self.train]
        return " ".join((self.model, self.strategy, str(self.length), *(["packed"] if self.packed else []), *more))


def make_project(machine: Machine, job: Job, name: str) -> Path:
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
    for file, number in (("rows", count), ("validation", 8), ("test", job.answered or 8)):
        text = "".join(json.dumps(row) + "\n" for row in _rows(file, number, length, job))
        (project / f"{file}.jsonl").write_text(text, encoding="utf-8")
    budget = "{device: cpu, threads: 1}" if machine.is_tiny else "{}"
    test = "{path: test.jsonl}" if job.evaluated or job.answered else "0"
    answers = f"eval: {{metrics: [rouge_l], max_new_tokens: {4 if machine.is_tiny else 128}}}\n" if job.answered else ""
    (project / "recipe.yaml").write_text(
        f"ftc: 1\nname: measured\ntask: {{kind: {'generation' if job.answered else 'chat'}}}\n"
        f"data:\n  source: {{path: rows.jsonl}}\n  split: {{validation: {{path: validation.jsonl}}, test: {test}}}\n"
        f"  max_length: {length}\nmodel: {{base: model}}\nstrategy: {{kind: {job.strategy}}}\n"
        f"train:\n  max_steps: {job.steps}\n  epochs: 4\n  batch_size: {rows_per_step}\n  learning_rate: 1e-5\n"
        f"  packing: {str(job.packed).lower()}\n  evaluate_every: {job.steps // job.checkpoints}\n"
        + "".join(f"  {line}\n" for line in job.train)
        + f"{answers}budget: {budget}\n",
        encoding="utf-8",
    )
    return project


def _rows(file: str, count: int, length: int, job: Job) -> Iterator[dict[str, Any]]:
    """Questions and answers, which have three of four words; each word is a token."""
    chance = random.Random(file)
    for _ in range(count):
        tokens = chance.randint(length // 8, length) if job.packed else length
        words = [f"w{chance.randrange(_WORDS)}" for _ in range(max(4, tokens - 8))]
        cut = len(words) // 4
        asked, answer = " ".join(words[:cut]), " ".join(words[cut:])
        if job.answered:
            yield {"prompt": asked, "completion": answer}
        else:
            yield {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]}


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


def ftc_says(machine: Machine, *arguments: str, folder: Path | None = None) -> str:
    """Standard output of a command that has to succeed."""
    command, own = [*FTC, *arguments], environment(machine)
    done = subprocess.run(command, cwd=folder, env=own, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ftc {arguments[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-800:]}")
    return done.stdout


def environment(machine: Machine) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    own = {"FTC_CACHE": str(machine.work / "cache"), "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **own, "TOKENIZERS_PARALLELISM": "false"}
