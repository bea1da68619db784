"""A run that begins from an earlier one: its adapter trained further, a new one on top, or its whole model as base."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.intervals import Gain, Interval
from ftc.spec.documents.record import GroupResult, SliceResult
from ftc.spec.documents.step_log import read_step_log
from ftc.spec.storage.paths import RunFolder, streams_folder
from ftc.verbs.beside_parent import worse_than_parent
from tests.e2e.conftest import Ftc, MakeProject, finished_project, in_a_copy
from tests.support.projects import recipe_of


def child_recipe(
    base: str = "run:tiny", strategy: str = "lora", *, steps: int = 2, model: str = "", **more: str
) -> str:
    """A recipe that begins from a run, with another seed and no dropout."""
    text = recipe_of("classification", strategy, steps=steps, **more).replace("name: tiny", "name: child")
    text = text.replace("base: ./encoder", f"base: '{base}'{model}")
    return text.replace("dropout: 0.1", "dropout: 0").replace("train: {", "train: {seed: 5, ")


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run of a classifier; its tests work on copies."""
    return finished_project(tmp_path_factory.mktemp("going"), models, steps=2)


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = in_a_copy(finished, tmp_path, monkeypatch)
    (root / "child.yaml").write_text(child_recipe())
    return root


@pytest.fixture
def parent(root: Path) -> api.Run:
    (found,) = api.runs()
    return found


def codes(refused: pytest.ExceptionInfo[Refusal]) -> set[str]:
    return {found.code for found in refused.value.diagnostics}


def test_a_recipes_name_means_no_trial_of_a_sweep(root: Path, parent: api.Run) -> None:
    trial = parent.folder.with_name("0123456789ab")
    shutil.copytree(parent.folder, trial)
    for name, changes in (("plan", {"overrides": ["train.seed=9"]}), ("record", {"status": "paused"})):
        document = json.loads((trial / f"{name}.json").read_text(encoding="utf-8"))
        for segment in document.get("segments", ()):
            segment["started_at"] = "2099-01-01T00:00:00+00:00"
        (trial / f"{name}.json").write_text(json.dumps({**document, **changes}), encoding="utf-8")
    said = api.plan("child.yaml").plan.settings.model.parent
    assert said is not None
    assert said.run_id == parent.record.id


def test_an_adapter_is_trained_further(root: Path, parent: api.Run, ftc: Ftc) -> None:
    child = api.apply("child.yaml")
    said = child.plan.settings.model.parent
    assert said is not None
    assert (said.run_id, said.way, said.record_sha256) == (parent.record.id, "continues", parent.record.sha256)
    assert child.plan.settings.model.base == "./encoder"
    saved = json.loads((child.folder / "adapter/adapter_config.json").read_text())["modules_to_save"]
    assert len(saved) == len({*saved}), "each new layer is named once"
    assert child.plan.lock.model.settings["parent"]["files"].keys() == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }

    # It begins with the very weights that the earlier run left, and the base column is that run.
    before, now = parent.evaluation, child.evaluation
    assert before is not None
    assert now is not None
    assert now.base is not None
    assert now.base.metrics == before.tuned.metrics
    assert now.gains.keys() == now.tuned.metrics.keys()
    again = read_step_log(RunFolder(child.folder).step_log).checksums[0].weights_sha256
    chosen = parent.record.selected_step
    assert chosen is not None
    last = read_step_log(RunFolder(parent.folder).step_log).checksums[chosen].weights_sha256
    assert again == last

    usual = [api.plan(name, overrides=["train.learning_rate=auto"]) for name in ("recipe.yaml", "child.yaml")]
    rates = [one.plan.settings.train.head_learning_rate for one in usual]
    assert (rates[0] is not None, rates[1]) == (True, None), "the head is new in the first run alone"

    # What memory, time and the trained weights are planned to be is what a new adapter's would.
    new = (root / "child.yaml").read_text().replace("base: 'run:tiny'", "base: ./encoder")
    (root / "new.yaml").write_text(new)
    other = api.plan("new.yaml").plan
    assert child.plan.memory == other.memory
    assert child.plan.model.num_trainable == other.model.num_trainable

    shown = ftc("show", child.record.id)
    assert f"parent run {parent.record.id} of tiny" in shown.text
    assert "adapter continued" in shown.text
    assert f"parent: run {parent.record.id}" in (child.folder / "README.md").read_text()
    assert parent.record.id in (child.folder / "report.html").read_text()
    told = ftc("provenance", child.folder / "adapter")
    assert f"run {parent.record.id} · tensors" in told.text
    assert ftc("lock", "--check", "child.yaml").code == 0
    report = api.audit(child)
    assert report.verdict == "CONSISTENT"
    assert any(f"the record of run {parent.record.id}" in one for one in report.checked)


@pytest.mark.slow
def test_a_child_that_is_worse_than_its_parent_is_not_exported(root: Path, parent: api.Run) -> None:
    """On all test rows, or on the parent's own; what the rows leave open says nothing, and a metric can be waived."""
    child = api.apply("child.yaml")
    assert child.evaluation is not None

    def with_gain(low: float, high: float, *slices: SliceResult) -> api.Run:
        assert child.evaluation is not None
        gain = Gain(value=(low + high) / 2, interval=Interval(low=low, high=high))
        changes = {"gains": {"accuracy": gain}, "slices": slices}
        return replace(child, evaluation=child.evaluation.model_copy(update=changes))

    def forgot(value: float) -> SliceResult:
        sure = {"accuracy": Interval(low=value - 0.1, high=value + 0.1)}
        now, was = {"accuracy": value}, {"accuracy": 0.9}
        group = GroupResult(group="earlier test rows", rows=5, intervals=sure, tuned=now, base=was)
        return SliceResult(slice="earlier_test", groups=(group,), gaps={})

    for one in (with_gain(-0.3, -0.1), with_gain(-0.1, 0.3, forgot(0.5))):
        with pytest.raises(Refusal, match="worse than that of run") as refused:
            api.export_model(one, "merged", "dist/x")
        assert codes(refused) == {"FTC672"}
        assert list(worse_than_parent(one, ["accuracy"])) == []
    for one in (with_gain(-0.1, 0.3), with_gain(-0.1, 0.3, forgot(0.85)), parent):
        assert list(worse_than_parent(one, [])) == []
    assert not Path("dist").exists()


@pytest.mark.slow
def test_the_lock_keeps_the_run_while_its_recipe_runs_again(root: Path, parent: api.Run, ftc: Ftc) -> None:
    api.plan("child.yaml")
    again = api.apply("recipe.yaml", again=True)
    kept = api.plan("child.yaml").plan.settings.model.parent
    assert kept is not None
    assert kept.run_id == parent.record.id
    assert ftc("lock", "--upgrade-package", "model", "child.yaml").code == 0
    moved = api.plan("child.yaml").plan.settings.model.parent
    assert moved is not None
    assert moved.run_id == again.record.id


@pytest.mark.slow
def test_a_child_stands_without_its_parent(root: Path, parent: api.Run, ftc: Ftc) -> None:
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    child = api.apply("child.yaml")
    shutil.rmtree(parent.folder)
    report = api.audit(child)
    assert report.verdict == "CONSISTENT"
    assert any(parent.record.id in one and "not in this project" in one for one in report.not_checked)
    assert ftc("predict", child.record.id, "the bank raised a price").code == 0
    assert ftc("eval", child.record.id).code != 0  # its base column can't be measured
    made = ftc("merge", child.record.id, "-o", "merged/child", "--json")
    assert made.code == 0, made.err
    merged = transformers.AutoModelForSequenceClassification.from_pretrained("merged/child")
    base = transformers.AutoModelForSequenceClassification.from_pretrained("encoder", num_labels=3)
    ids = transformers.AutoTokenizer.from_pretrained("encoder")("the bank raised a price", return_tensors="pt")
    adapted = peft.PeftModel.from_pretrained(base, child.folder / "adapter").eval()
    assert (merged.eval()(**ids).logits - adapted(**ids).logits).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("adapter/adapter_model.safetensors", "FTC562"),
        ("adapter/adapter_config.json", "FTC562"),
        ("record.json", "FTC562"),
        ("plan.json", "FTC562"),
    ],
)
def test_a_changed_parent_is_refused(root: Path, parent: api.Run, file: str, what: str) -> None:
    path = parent.folder / file
    text = path.read_bytes()
    changed = text.replace(b'"ftc_version": "', b'"ftc_version": "9')
    path.write_bytes(changed if changed != text else text + b" ")
    with pytest.raises(Refusal) as refused:
        api.plan("child.yaml")
    assert codes(refused) == {what}
    assert {found.path for found in refused.value.diagnostics} == {"model.base"}


def test_a_parent_that_cannot_be_used_is_refused_at_its_place(root: Path, parent: api.Run) -> None:
    def refusal(text: str) -> set[str]:
        (root / "child.yaml").write_text(text)
        with pytest.raises(Refusal) as refused:
            api.plan("child.yaml")
        assert all(found.span is not None and found.help for found in refused.value.diagnostics)
        return codes(refused)

    assert refusal(child_recipe("run:nothing")) == {"FTC520"}
    assert refusal(child_recipe("run:../elsewhere")) == {"FTC300"}
    assert refusal(child_recipe(strategy="lora, alpha: 32")) == {"FTC564"}
    assert refusal(child_recipe(strategy="ia3")) == {"FTC564"}
    assert refusal(child_recipe(model=", create_new_adapter: true")) == {"FTC565"}
    assert refusal(child_recipe(strategy="full")) == {"FTC565"}
    rows = (root / "rows.csv").read_text()
    (root / "rows.csv").write_text(rows.replace(",film", ",cinema"))
    assert refusal(child_recipe()) == {"FTC566"}
    (root / "rows.csv").write_text(rows)

    config = root / "encoder" / "config.json"
    config.write_text(config.read_text() + "\n")
    assert refusal(child_recipe()) == {"FTC563"}
    (parent.folder / "record.json").write_text("{")
    assert refusal(child_recipe()) == {"FTC524"}


def test_a_new_adapter_needs_a_run_that_left_one(root: Path) -> None:
    (root / "child.yaml").write_text(child_recipe("./encoder", model=", create_new_adapter: true"))
    assert ("FTC230", "model.create_new_adapter") in {
        (one.code, one.path) for one in api.plan("child.yaml").diagnostics
    }


@pytest.mark.slow
def test_an_audit_names_a_parent_that_was_replaced(root: Path, parent: api.Run) -> None:
    child = api.apply("child.yaml")
    weights = parent.folder / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    record = parent.folder / "record.json"
    record.write_text(record.read_text().replace('"ftc_version": "', '"ftc_version": "9'))
    found = api.audit(child).findings
    assert {one.code for one in found} == {"FTC567"}
    assert any("record.json" in one.subject for one in found)


def splits_of(plan: object) -> dict[str, set[int]]:
    """Numbers of the rows of each part."""
    from ftc.spec.documents.streams import open_stream

    folder = streams_folder(plan.stream_key)  # type: ignore[attr-defined]
    return {part: set(open_stream(folder / f"{part}.arrow").rows.tolist()) for part in plan.data}  # type: ignore[attr-defined]


def test_rows_that_were_test_rows_stay_test_rows(root: Path, parent: api.Run) -> None:
    tested = splits_of(parent.plan)["test"]
    rows = (root / "rows.csv").read_text()
    (root / "rows.csv").write_text(rows + "a share of the bank,money\nthe player and the goal,sport\n")
    text = child_recipe().replace("  max_length", "  split: {seed: 99}\n  max_length")
    text = text.replace("eval: {", "eval: {slices: [earlier_test], ")
    (root / "child.yaml").write_text(text)
    child = api.plan("child.yaml").plan
    groups = json.loads((streams_folder(child.stream_key) / "groups.json").read_text())["columns"]["earlier_test"]
    assert groups.count("earlier test rows") == len(tested)
    assert groups.count("new rows") == len(groups) - len(tested) > 0
    now = splits_of(child)
    assert tested <= now["test"]
    assert not tested & (now["train"] | now["validation"])
    told = f"{len(tested)} rows of the test split are test rows of run {parent.record.id}"
    assert any(told in one.result for one in child.checks)
    with pytest.raises(Refusal) as refused:  # no earlier run, no such slice
        api.plan("child.yaml", overrides=["model.base=./encoder"])
    assert codes(refused) == {"FTC241"}
    (root / "child.yaml").write_text(text.replace("slices: [earlier_test], ", ""))
    alone = api.plan("child.yaml", overrides=["model.base=./encoder"]).plan
    assert not tested <= splits_of(alone)["test"]


def test_rows_that_can_not_be_moved_are_refused_by_name(root: Path, parent: api.Run) -> None:
    text = child_recipe().replace("  max_length", "  split: {test: 0}\n  max_length")
    (root / "child.yaml").write_text(text)
    with pytest.raises(Refusal) as refused:
        api.plan("child.yaml")
    (found,) = refused.value.diagnostics
    assert (found.code, found.path) == ("FTC568", "data.split.test")
    assert any("rows.csv" in note for note in found.notes)


@pytest.mark.slow
def test_a_grandchild_keeps_the_rows_of_the_first_run(root: Path, parent: api.Run, ftc: Ftc) -> None:
    tested = splits_of(parent.plan)["test"]
    header, *rows = (root / "rows.csv").read_text().splitlines()
    others = [row for number, row in enumerate(rows) if number not in tested]
    (root / "others.csv").write_text("\n".join([header, *others]) + "\n")
    (root / "child.yaml").write_text(child_recipe().replace("rows.csv", "others.csv"))
    child = api.apply("child.yaml")
    (root / "rows.csv").write_text("\n".join([header, *rows, "a share of the bank,money"]) + "\n")
    last = child_recipe(f"run:{child.record.id}").replace("name: child", "name: grandchild")
    (root / "grandchild.yaml").write_text(last.replace("  max_length", "  split: {seed: 99}\n  max_length"))
    assert tested <= splits_of(api.plan("grandchild.yaml").plan)["test"]
    sliced = (root / "grandchild.yaml").read_text().replace("eval: {", "eval: {slices: [earlier_test], ")
    (root / "grandchild.yaml").write_text(sliced)
    measured = api.apply("grandchild.yaml").evaluation
    assert measured is not None
    (apart,) = measured.slices
    assert {one.group for one in apart.groups} <= {"earlier test rows", "new rows"}
    assert all(one.base for one in apart.groups)
    assert ftc("eval", "grandchild", "--data", "others.csv").code == 0


def test_an_unfinished_run_is_no_beginning(root: Path) -> None:
    (root / "half.yaml").write_text(recipe_of("classification", steps=4).replace("name: tiny", "name: half"))
    api.apply("half.yaml", until=2)
    (root / "child.yaml").write_text(child_recipe("run:half"))
    with pytest.raises(Refusal) as refused:
        api.plan("child.yaml")
    assert codes(refused) == {"FTC561"}


@pytest.mark.slow
def test_a_new_adapter_stands_on_the_merged_model(root: Path, parent: api.Run, ftc: Ftc) -> None:
    assert ftc("merge", parent.record.id, "-o", "merged/tiny").code == 0
    (root / "child.yaml").write_text(child_recipe(strategy="lora, alpha: 32", model=", create_new_adapter: true"))
    child = api.apply("child.yaml")
    said = child.plan.settings.model.parent
    assert said is not None
    assert (said.way, child.plan.settings.model.base) == ("merged", "./merged/tiny")
    assert json.loads((child.folder / "adapter/adapter_config.json").read_text())["base_model_name_or_path"].endswith(
        "merged/tiny"
    )
    assert api.audit(child).verdict == "CONSISTENT"


@pytest.mark.slow
def test_a_whole_model_is_simply_a_base(project: MakeProject, ftc: Ftc) -> None:
    root = project("classification", "full", steps=2)
    parent = api.apply("recipe.yaml")
    (root / "child.yaml").write_text(child_recipe())
    child = api.apply("child.yaml")
    said, before, now = child.plan.settings.model.parent, parent.evaluation, child.evaluation
    assert said is not None
    assert before is not None
    assert now is not None
    assert now.base is not None
    assert (said.way, child.plan.lock.model.content_sha256) == ("model", parent.record.final_weights_sha256)
    assert now.base.metrics == pytest.approx(before.tuned.metrics)
    assert ftc("audit", child.record.id).code == 0
    grandchild = child_recipe("run:child").replace("name: child", "name: grandchild").replace("seed: 5", "seed: 6")
    (root / "grandchild.yaml").write_text(grandchild)
    lineage = api.plan("grandchild.yaml").plan.settings.model.parent
    assert lineage is not None
    assert lineage.lineage == (child.record.id, parent.record.id)


@pytest.mark.slow
def test_a_killed_child_goes_on_with_the_same_bits(root: Path, parent: api.Run, ftc: Ftc) -> None:
    (root / "child.yaml").write_text(child_recipe(steps=4))
    whole = api.apply("child.yaml")
    paused = api.apply("child.yaml", again=True, until=2)
    assert paused.record.status == "paused"
    ended = api.apply("child.yaml")
    assert ended.record.id == paused.record.id
    assert ended.record.final_weights_sha256 == whole.record.final_weights_sha256
    assert ftc("audit", ended.record.id, "--level", "replay", "--steps", "2").code == 0
