"""Models that ftc writes, loaded by the newest transformers 4: they say there what they say here.

A setting that one release reads and the other doesn't gives another model without a word, so every family is written
for real: its base by transformers 4 and by 5, merged with an adapter and as a full training leaves it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from ftc.runtime.artifacts.merged_weights import MergedWeights
from ftc.runtime.artifacts.model_files import write_model_files
from ftc.runtime.artifacts.tensor_files import write_in_turn, write_tensors
from ftc.runtime.execution.session import Session
from ftc.runtime.strategies import half_of
from ftc.spec.architectures import ARCHITECTURES
from ftc.spec.strategies.full import FullSettings
from tests.support.tiny_architectures import tiny_config
from tests.support.written_models import CHANGES, FREQUENCIES, answers

OLDER = os.environ.get("FTC_TRANSFORMERS4")
"""Python of an environment with transformers 4; `nox -s older_transformers` makes one."""

pytestmark = pytest.mark.skipif(OLDER is None, reason="`nox -s older_transformers` brings the older release")

CLASSES = {
    "decoder": "AutoModelForCausalLM",
    "encoder_decoder": "AutoModelForSeq2SeqLM",
    "encoder": "AutoModel",
}
NEWER = {"eurobert", "ministral3", "nomic_bert"}
"""Model types that came with transformers 5."""
READ_OTHERWISE = {"olmo3"}
"""transformers 5 takes the one base frequency of transformers 4's file for some of the layers alone."""
BORN_OTHERWISE = {"mt5"}
"""transformers 5 makes its outputs share the embeddings without the scale that transformers 4 has for that."""
FULL = FullSettings(kind="full")
Job = tuple[str, str, str]
"""Class, model type and folder."""
ALLOWED = 1e-4
"""Of the spread, as for a merge in float32."""


def run_older(verb: str, jobs: list[Job], folder: Path) -> dict[str, str]:
    """What transformers 4 can't do, by folder."""
    assert OLDER is not None
    file = folder / f"{verb}.json"
    file.write_text(json.dumps(jobs))
    root = Path(__file__).parents[3]
    subprocess.run([OLDER, "-m", "tests.support.old_transformers", verb, file], cwd=root, check=True)
    faults: dict[str, str] = json.loads(file.with_suffix(".faults").read_text())
    return faults


def make_newer(kind: str, model_type: str, folder: Path) -> None:
    """A base that transformers 5 wrote, with the same frequencies in its own words."""
    config = tiny_config(model_type, **CHANGES.get(model_type, {}))
    rope = getattr(config, "rope_parameters", None) or {}
    if "full_attention" in rope:
        for name, frequency in (("full_attention", 50.0), ("sliding_attention", 20.0)):
            rope[name]["rope_theta"] = frequency
    elif "rope_theta" in rope:
        rope["rope_theta"] = FREQUENCIES["rope_theta"]
    torch.manual_seed(5)
    getattr(transformers, kind).from_config(config).save_pretrained(folder)


def write(kind: str, base: Path, folder: Path, *, merged: bool) -> torch.Tensor:
    """Writes a tuned model as a merge or a full training does, and gives what it says here."""
    folder.mkdir()
    model: Any = getattr(transformers, kind).from_pretrained(base)
    torch.manual_seed(7)
    if merged:
        model = peft.get_peft_model(model, peft.LoraConfig(target_modules="all-linear", r=2))
    with torch.no_grad():
        for name, part in model.named_parameters():
            if "lora_" in name if merged else part.requires_grad:
                part.add_(torch.randn_like(part), alpha=0.02)
    said = answers(model.eval())
    if merged:
        weights = MergedWeights.of(model, torch.float32, {})
        write_in_turn(folder / "model.safetensors", weights.forms, weights, {"format": "pt"})
        model = weights.model
    else:
        tensors = half_of(FULL).saved(model, FULL)
        write_tensors(folder / "model.safetensors", tensors, {"format": "pt"})
    text, inputs = SimpleNamespace(tokenizer_files={}), SimpleNamespace(model_folder=base)
    settings = SimpleNamespace(model=SimpleNamespace(head="classification", stop_ids=()))
    plan = SimpleNamespace(settings=settings, lock=SimpleNamespace(text=text))
    write_model_files(cast("Session", SimpleNamespace(plan=plan, inputs=inputs)), model, folder)
    return said


def said_by_older(jobs: list[Job], folder: Path) -> dict[str, torch.Tensor]:
    """What transformers 4 makes of each folder."""
    assert not run_older("ask", jobs, folder)
    return {place: load_file(Path(place) / "asked.safetensors")["answers"] for _, _, place in jobs}


def share(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference, as a share of the spread."""
    return float((ours - theirs).abs().max() / (ours.max() - ours.min()))


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings:UserWarning")
def test_every_family_says_the_same_in_transformers_4(tmp_path: Path) -> None:
    kinds = [(CLASSES[one.family], one.model_type) for one in ARCHITECTURES if one.family in CLASSES]
    bases: list[Job] = [(kind, name, str(tmp_path / f"4-{name}")) for kind, name in kinds]
    unknown = {Path(place).name.removeprefix("4-") for place in run_older("make", bases, tmp_path)}
    assert unknown == NEWER
    bases = [job for job in bases if job[1] not in unknown]
    older = said_by_older(bases, tmp_path)
    newer = {place: answers(getattr(transformers, kind).from_pretrained(place).eval()) for kind, _, place in bases}
    assert {name for _, name, place in bases if share(newer[place], older[place]) > ALLOWED} == READ_OTHERWISE
    for kind, name, _ in [job for job in bases if job[1] not in BORN_OTHERWISE]:
        make_newer(kind, name, tmp_path / f"5-{name}")
        bases.append((kind, name, str(tmp_path / f"5-{name}")))

    ours: dict[str, torch.Tensor] = {}
    written: list[Job] = []
    for kind, name, base in bases:
        for merged in (True, False) if name not in READ_OTHERWISE else ():
            written.append((kind, name, f"{base}-{'merged' if merged else 'full'}"))
            ours[written[-1][2]] = write(kind, Path(base), Path(written[-1][2]), merged=merged)
    theirs = said_by_older(written, tmp_path)
    apart = {Path(place).name: share(said, theirs[place]) for place, said in ours.items()}
    print(f"{len(apart)} folders, at most {max(apart.values()):.1g} of the spread apart")
    assert {name: value for name, value in apart.items() if value > ALLOWED} == {}
