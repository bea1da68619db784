"""A base model in GPTQ's or AWQ's files is trained by an adapter, and memory holds its layers as the files do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc import api
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.step_log import read_step_log
from ftc.spec.storage.paths import RunFolder
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.packed_files import packed_copies
from tests.support.projects import make_model


def with_base(base: str, name: str) -> Path:
    """The project's recipe with another base model."""
    text = Path("recipe.yaml").read_text(encoding="utf-8")
    start = text.index("base: ") + 6
    recipe = Path(f"{name}.yaml")
    recipe.write_text(text[:start] + base + text[text.index("}", start) :], encoding="utf-8")
    return recipe


def losses(folder: Path) -> list[float]:
    """The loss of each step of a run."""
    return [float.fromhex(one.loss) for one in read_step_log(RunFolder(folder).step_log).steps.values()]


def held(plan: Plan) -> int:
    """Bytes of weights while the model is loaded."""
    return next(one for one in plan.memory.phases if one.phase == "load").components["weights"]


@pytest.mark.parametrize(("layout", "bits", "mixed"), [("gptq", 4, True), ("gptq_v2", 8, False), ("awq", 4, False)])
def test_it_trains_as_the_model_that_it_stands_for(
    project: MakeProject, layout: str, bits: int, mixed: bool
) -> None:
    project("pretraining", "lora", steps=3)
    packed, whole = packed_copies(make_model(Path("base"), "decoder"), layout, bits, mixed=mixed)
    ours, theirs = (api.apply(with_base(base.name, base.name)) for base in (packed, whole))
    for applied in (ours, theirs):
        assert applied.record.status == "finished"
        assert api.audit(applied.record.id).verdict == "CONSISTENT"
    assert losses(ours.folder) == pytest.approx(losses(theirs.folder), abs=1e-4)
    assert ours.plan.model.num_parameters == theirs.plan.model.num_parameters
    assert ours.plan.model.num_trainable == theirs.plan.model.num_trainable
    assert held(ours.plan) < 0.65 * held(theirs.plan)


@pytest.fixture
def packed(project: MakeProject) -> Path:
    """A recipe in a project whose base is in GPTQ's files."""
    project("chat", "lora", steps=4)
    base, _ = packed_copies(make_model(Path("base"), "decoder"), "gptq")
    return with_base(base.name, "packed")


def test_a_run_is_what_it_is_for_other_bases(packed: Path, ftc: Ftc) -> None:
    whole = api.apply(packed)
    paused = api.apply(packed, again=True, until=2)
    assert paused.record.status == "paused"
    ended = api.apply(packed)
    assert ended.record.id == paused.record.id
    assert ended.record.final_weights_sha256 == whole.record.final_weights_sha256
    assert losses(ended.folder) == losses(whole.folder)
    run = ended.record.id
    for words in (("audit", run, "--level", "replay", "--steps", "2"), ("run", "inspect", run), ("run", "eval", run)):
        answer = ftc(*words)
        assert answer.code == 0, (words, answer.text)
    for words in (("merge", run, "-o", "whole"), ("export", run, "--format", "safetensors", "-o", "whole")):
        answer = ftc("run", *words)
        print(answer.text)
        assert answer.code != 0
    assert not Path("whole").exists()
    print(ftc("predict", run, "What is a file?").text)
    print(ftc("plan", packed).text)
