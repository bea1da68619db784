"""A run learns from a model that another run left: planned, locked, verified, audited, replayed."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from tests.e2e.conftest import Ftc, in_a_copy
from tests.support.projects import make_project, recipe_of

TEACHER = "teacher/model"


def student_recipe() -> str:
    """The recipe of a run that learns from the teacher."""
    text = recipe_of("classification", "lora", steps=2).replace("name: tiny", "name: student")
    return text.replace("evaluate_every: 1}", f"evaluate_every: 1, distillation: {{teacher: {TEACHER}}}}}")


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run and one that learned from it; its tests work on copies."""
    root = tmp_path_factory.mktemp("taught") / "project"
    make_project(root, models, "classification", "full", steps=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(root.parent / "cache"))
        taught = api.apply(root / "recipe.yaml")
        taught.folder.rename(root / "teacher")
        (root / "student.yaml").write_text(student_recipe())
        assert api.apply(root / "student.yaml").record.status == "finished"
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return in_a_copy(finished, tmp_path, monkeypatch)


def run_of(root: Path, name: str = "student") -> Path:
    (record,) = root.glob(f"runs/{name}/*/record.json")
    return record.parent


@pytest.mark.slow
def test_the_teacher_is_part_of_plan_and_lock(root: Path, ftc: Ftc) -> None:
    plan = api.plan(root / "student.yaml", offline=True).plan
    lesson = plan.settings.train.distillation
    assert lesson is not None
    assert (lesson.teacher.base, lesson.teacher.license, lesson.precision) == (TEACHER, "apache-2.0", "float32")
    assert lesson.teacher.outputs == tuple(range(len(plan.settings.text.labels)))
    assert "model.safetensors" in lesson.teacher.files
    assert "precision" not in plan.lock.train.settings["train"]["distillation"]
    assert ftc("lock", "--check", "student.yaml").code == 0
    config = root / TEACHER / "config.json"
    config.write_text(config.read_text() + "\n")
    stale = ftc("lock", "--check", "student.yaml")
    assert stale.code == 2
    assert "distillation.teacher.files.config.json" in stale.text


def test_outputs_follow_the_names_of_labels(root: Path) -> None:
    config = root / TEACHER / "config.json"
    values = json.loads(config.read_text())
    labels = list(values["id2label"].values())
    values["id2label"] = {str(place): label for place, label in enumerate(reversed(labels))}
    config.write_text(json.dumps(values))
    lesson = api.plan(root / "student.yaml", offline=True).plan.settings.train.distillation
    assert lesson is not None
    assert lesson.teacher.outputs == tuple(reversed(range(len(labels))))


@pytest.mark.slow
def test_an_untouched_run_is_consistent_and_reproduced(root: Path, ftc: Ftc) -> None:
    audited = ftc("audit", run_of(root).name, "--level", "replay", "--steps", "1")
    assert audited.code == 0, audited.text


def test_a_changed_teacher_is_found(root: Path, ftc: Ftc) -> None:
    weights = root / TEACHER / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    audited = ftc("audit", run_of(root).name, "--json")
    assert {finding["code"] for finding in json.loads(audited.out)["findings"]} == {"FTC521"}
    weights.unlink()
    for file in (root / TEACHER).iterdir():
        file.unlink()
    (root / TEACHER).rmdir()
    assert {one["code"] for one in json.loads(ftc("audit", run_of(root).name, "--json").out)["findings"]} == {"FTC522"}
    measured = ftc("eval", run_of(root).name)
    assert measured.code == 0, measured.text  # a finished model needs its teacher no more


@pytest.mark.parametrize(
    ("policy", "more", "code"),
    [
        ("licenses: {allow: [apache-2.0]}", "", "FTC431"),
        ("licenses: {allow: [apache-2.0, mit]}", "", None),
        ("", "model: {base: ./encoder, license: {allow: [apache-2.0]}}", "FTC401"),
    ],
)
def test_its_license_counts(root: Path, policy: str, more: str, code: str | None) -> None:
    (root / TEACHER / "README.md").write_text("---\nlicense: mit\n---\n")
    if policy:
        (root / "ftc.policy.yaml").write_text(f"ftc_policy: 1\nrules:\n  {policy}\n")
    recipe = root / "student.yaml"
    if more:
        recipe.write_text(recipe.read_text().replace("model: {base: ./encoder}", more))
    try:
        api.plan(recipe, offline=True)
        found = None
    except Refusal as refusal:
        (found,) = (one.code for one in refusal.diagnostics if one.is_error)
    assert found == code


def test_an_adapter_is_no_teacher(root: Path) -> None:
    (root / TEACHER / "adapter_config.json").write_text("{}")
    with pytest.raises(Refusal) as refused:
        api.plan(root / "student.yaml", offline=True)
    (found,) = refused.value.diagnostics
    assert (found.code, found.path) == ("FTC312", "train.distillation.teacher")
    assert "merge" in found.help[0]


def test_whoever_is_told_of_a_run_is_told_of_its_teacher(root: Path, ftc: Ftc) -> None:
    planned, run = ftc("plan", "student.yaml").out, run_of(root)
    assert "Teacher" in planned
    assert f"{TEACHER} 30.6 k (apache-2.0)" in planned, planned
    assert "50 % of the loss · forward KL at temperature 2" in planned
    assert (
        "- teacher: model, 50 % of the loss, forward KL at temperature 2, in float32" in (run / "README.md").read_text()
    )
    assert "teacher teacher/model 30.6 k" in ftc("show", run.name).text
    assert "forward KL at temperature 2" in (run / "report.html").read_text()
    slsa = json.loads(ftc("export", run.name, "--format", "slsa").out)
    inputs = slsa["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert f"{TEACHER}/model.safetensors" in [one.get("name") for one in inputs]
    bill = json.loads(ftc("export", run.name, "--format", "cyclonedx").out)
    (taught,) = [one for one in bill["components"] if one["bom-ref"] == "teacher"]
    assert taught["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert f"teacher {TEACHER}" in ftc("whence", run / "adapter" / "adapter_model.safetensors").text


NOISY = """
ftc: 1
name: {name}
task: {{kind: classification}}
data: {{source: {{path: {rows}}}, split: {{validation: 0, test: {{path: test.csv}}}}, max_length: 24}}
model: {{base: ./encoder}}
strategy: {{kind: full}}
train: {{epochs: {epochs}, batch_size: 16, learning_rate: 3e-3{more}}}
eval: {{baseline: false, metrics: [accuracy]}}
budget: {{device: cpu, threads: 1}}
"""
MARKS = {"sea": ("ship", "wave", "port"), "hill": ("rock", "goat", "snow")}
OTHER = {"sea": "hill", "hill": "sea"}


@pytest.mark.slow
def test_what_is_gained_where_labels_are_often_wrong(models: Path, tmp_path: Path) -> None:
    """Four labels of ten are exchanged; a teacher that learned from right ones makes up for it, on rows not seen."""
    (tmp_path / ".ftc").mkdir()
    shutil.copytree(models / "encoder", tmp_path / "encoder")
    chance = random.Random(3)

    def row() -> tuple[str, str]:
        topic = chance.choice(list(MARKS))
        words = chance.sample("red blue green cold warm old new small big slow fast".split(), 3)
        return " ".join((*words[:1], chance.choice(MARKS[topic]), *words[1:])), topic

    every = list(dict.fromkeys(row() for _ in range(400)))
    rows, test = every[:240], every[240:340]
    noisy = [(text, OTHER[topic] if chance.random() < 0.4 else topic) for text, topic in rows]
    for name, some in (("clean", rows), ("noisy", noisy), ("test", test)):
        (tmp_path / f"{name}.csv").write_text("".join(f"{one},{two}\n" for one, two in [("text", "label"), *some]))

    def accuracy(name: str, rows: str, epochs: int, more: str = "") -> tuple[float, Path]:
        recipe = tmp_path / f"{name}.yaml"
        recipe.write_text(NOISY.format(name=name, rows=rows, epochs=epochs, more=more))
        run = api.apply(recipe)
        assert run.evaluation is not None
        return run.evaluation.tuned.metrics["accuracy"], run.folder.relative_to(tmp_path)

    _, teacher = accuracy("teacher", "clean.csv", 6)
    alone, _ = accuracy("alone", "noisy.csv", 4)
    lesson = f", distillation: {{teacher: {(teacher / 'model').as_posix()}, weight: 0.9}}"
    taught, _ = accuracy("taught", "noisy.csv", 4, lesson)
    assert taught > alone + 0.2
