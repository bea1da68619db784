"""`ftc audit`: a run whose files are what they were, and runs of which one byte is not."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import filelock
import pytest

from ftc.spec.storage.paths import RunFolder
from ftc.verbs.pages import pages
from ftc.verbs.runs import load_run
from tests.e2e.conftest import Ftc, MakeProject, finished_project, in_a_copy
from tests.support.classifiers import make_classifier

ADAPTER = "adapter/adapter_model.safetensors"


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one finished run; its tests work on copies."""
    return finished_project(tmp_path_factory.mktemp("audited"), models, 2)


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project and of the cache that belongs to it."""
    return in_a_copy(finished, tmp_path, monkeypatch)


def run_folder(root: Path) -> Path:
    (record,) = root.glob("runs/*/*/record.json")
    return record.parent


def subject(root: Path, name: str) -> Path:
    """A file of the run where there is one of that name, else one of the project."""
    inside = run_folder(root) / name
    return inside if inside.exists() else root / name


def codes(ftc: Ftc, root: Path) -> set[str]:
    """Codes of an audit's findings."""
    return {finding["code"] for finding in json.loads(ftc("audit", run_folder(root).name, "--json").out)["findings"]}


def flip(file: Path, position: int = -1) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(bytes(data))


def test_an_untouched_run_is_consistent(root: Path, ftc: Ftc) -> None:
    for file in root.rglob("*"):
        if file.is_file():
            os.utime(file, ns=(10**18, 10**18))
    audited = ftc("audit", run_folder(root).name)
    assert audited.code == 0, audited.text


def test_a_copied_run_is_found_by_its_folder(root: Path, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_folder(root)
    monkeypatch.chdir(root.parent)
    audited = ftc("audit", folder.relative_to(root.parent))
    assert audited.code == 0, audited.text


@pytest.mark.slow
@pytest.mark.charts
def test_charts_are_held_against_the_same_version_of_what_drew_them(root: Path, ftc: Ftc) -> None:
    run, report = run_folder(root), run_folder(root) / "report.html"
    audited = ftc("audit", run.name)  # of a report that was written where nothing draws
    assert audited.code == 0, audited.text
    assert "the charts in report.html: there are none" in audited.text
    drawn = pages(load_run(run))["report.html"]
    report.write_bytes(drawn.encode())
    assert "the charts in report.html" not in ftc("audit", run.name).text
    report.write_bytes(drawn.replace("matplotlib ", "matplotlib 0").encode())
    audited = ftc("audit", run.name)
    assert audited.code == 0, audited.text
    assert "matplotlib 0" in audited.text
    other = drawn.replace("matplotlib ", "matplotlib 0")
    for old, new in (("<main", "<!--drawn-->F1 is 1.0<!--/drawn--><main"), ("</svg>", "</svg><h2>F1 is 1.0</h2>")):
        report.write_bytes(other.replace(old, new, 1).encode())
        assert codes(ftc, root) == {"FTC521"}, "words among the pictures, or marked as one"
    report.write_bytes(drawn.replace("</svg>", "<circle r='9'></circle></svg>", 1).encode())
    assert codes(ftc, root) == {"FTC521"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (ADAPTER, ADAPTER),
        ("adapter/adapter_config.json", "adapter_config.json"),
        ("report.html", "report.html"),
        ("README.md", "README.md"),
        ("encoder/model.safetensors", "model.safetensors"),
        ("encoder/tokenizer.json", "tokenizer.json"),
        ("rows.csv", "rows.csv"),
    ],
)
def test_one_flipped_bit(root: Path, ftc: Ftc, name: str, told: str) -> None:
    flip(subject(root, name))
    audited = ftc("audit", run_folder(root).name)
    assert audited.code == 6, audited.text
    assert "TAMPERED" in audited.text
    assert told in audited.text
    assert codes(ftc, root) == {"FTC521"}


def test_a_cache_that_lacks_a_token_stream_proves_nothing(root: Path, ftc: Ftc) -> None:
    (stream,) = (root.parent / "cache").glob("streams/*/test.arrow")
    stream.unlink()
    audited = ftc("audit", run_folder(root).name)
    assert audited.code == 0, audited.text
    assert "the token streams: not in the cache as they were made" in " ".join(audited.text.split())


@pytest.mark.parametrize(
    ("document", "old", "new"),
    [
        ("record.json", '"steps_done": 2', '"steps_done": 9'),
        ("record.json", '"selected_step": ', '"selected_step": 1'),
        ("plan.json", '"max_grad_norm": "1.0"', '"max_grad_norm": "2.0"'),
        ("eval.json", '"split": "test"', '"split":  "test"'),
        ("plan.json", '"license": "apache-2.0"', '"license": "mit"'),
    ],
)
def test_an_edited_document(root: Path, ftc: Ftc, document: str, old: str, new: str) -> None:
    file = run_folder(root) / document
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    audited = ftc("audit", run_folder(root).name)
    assert audited.code == 6, audited.text
    assert document in audited.text
    assert codes(ftc, root) & {"FTC521", "FTC523"}


@pytest.mark.parametrize("document", ["record.json", "plan.json", "eval.json"])
def test_a_document_that_is_cut_off(root: Path, ftc: Ftc, document: str) -> None:
    file = run_folder(root) / document
    file.write_bytes(file.read_bytes()[:-30])
    audited = ftc("audit", run_folder(root).name)
    assert audited.code == 6, audited.text
    assert "[FTC524]" in audited.err
    assert document in audited.text


@pytest.mark.parametrize("name", [ADAPTER, "eval.json", "encoder/config.json", "rows.csv"])
def test_what_is_gone_proves_nothing(root: Path, ftc: Ftc, name: str) -> None:
    subject(root, name).unlink()
    audited = ftc("audit", run_folder(root).name)
    assert audited.code == 8, audited.text
    assert "INCONCLUSIVE" in audited.text
    assert Path(name).name in audited.text
    assert codes(ftc, root) == {"FTC522"}


def test_an_emptied_cache_is_told_and_no_finding(root: Path, ftc: Ftc) -> None:
    shutil.rmtree(root.parent / "cache")
    audited = ftc("audit", run_folder(root).name)
    assert audited.code == 0, audited.text
    assert "cache" in audited.text


def test_a_run_that_is_not_there(root: Path, ftc: Ftc) -> None:
    missing = ftc("audit", "ffff")
    assert missing.code == 1
    assert "[FTC520]: no run `ffff` in this project" in missing.err


def test_a_run_that_stopped_has_nothing_to_audit(root: Path, ftc: Ftc) -> None:
    from ftc.spec.documents.record import RunRecord

    (root / ".ftc" / "ledger.ndjson").unlink()  # it knows better
    file = run_folder(root) / "record.json"
    record = RunRecord.model_validate_json(file.read_bytes())

    def audited(status: str) -> str:
        file.write_text(record.model_copy(update={"status": status, "outputs": {}}).sealed().to_text())
        said = ftc("audit", run_folder(root).name)
        assert said.code == 8, said.text
        assert codes(ftc, root) == {"FTC525"}
        assert "report.html and README.md: they are written when the run is finished" in said.text
        return said.text

    said = audited("interrupted")
    assert "the run is not finished (interrupted); everything that was compared so far matches the record" in said
    assert "apply the plan again" in said
    said = audited("running")
    assert "the run is not finished (running; its process ended without writing why" in said
    assert "apply the plan again" in said
    with filelock.FileLock(RunFolder(run_folder(root)).lock):
        said = audited("running")
    assert "the run is not finished (running); everything that was compared so far matches the record" in said
    assert f"`ftc watch {record.id}` shows how far it is" in said


def test_one_broken_run_hides_no_other(root: Path, ftc: Ftc) -> None:
    folder = run_folder(root)
    shutil.copytree(folder, folder.with_name("broken"))
    (folder.with_name("broken") / "record.json").write_text("{")
    listed = ftc("runs")
    assert listed.code == 0, listed.text
    assert folder.name in listed.text
    assert ftc("plan", "recipe.yaml").code == 0
    shown = ftc("show", "broken")
    assert shown.code == 6
    assert "`record.json` of run `broken`" in shown.text


@pytest.mark.slow
def test_a_repeated_run_has_a_name_of_its_own(root: Path, ftc: Ftc) -> None:
    folder = run_folder(root)
    assert ftc("apply", "recipe.yaml", "--yes", "--again").code == 0
    names = (folder.name, f"{folder.name}-2")
    for name in names:
        audited = ftc("audit", name)
        assert audited.code == 0, audited.text
    several = ftc("audit", folder.name[:5])
    assert several.code == 1
    assert f"several runs start with `{folder.name[:5]}`" in several.text
    first, second = (json.loads((folder.with_name(name) / "record.json").read_text()) for name in names)
    assert first["final_weights_sha256"] == second["final_weights_sha256"]


@pytest.mark.slow
def test_a_classifier_of_other_bytes_is_found(project: MakeProject, ftc: Ftc) -> None:
    generation = project("generation", steps=1)
    make_classifier(generation / "toxicity", generation / "decoder")
    recipe = generation / "recipe.yaml"
    named = "{classifier: {base: ./toxicity, label: toxic}, samples: 2"
    recipe.write_text(recipe.read_text().replace("{samples: 2", named))
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    name = run_folder(generation).name
    whole = ftc("audit", name)
    assert (whole.code, "of the classifier" in whole.text) == (0, True), whole.text
    flip(generation / "toxicity" / "model.safetensors")
    found = ftc("audit", name)
    assert (found.code, "toxicity" in found.text) == (6, True), found.text
    shutil.rmtree(generation / "toxicity")
    assert "the classifier `./toxicity`: it is not on this machine" in ftc("audit", name).text


@pytest.mark.slow
def test_what_lies_beside_the_token_streams_is_compared(project: MakeProject, ftc: Ftc) -> None:
    recipe = project(steps=1) / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("{samples: 2", "{slices: [label], samples: 2"))
    assert ftc("apply", "recipe.yaml", "--yes").code == 0
    (run,) = Path("runs").glob("*/*/record.json")
    audited = ftc("audit", run.parent.name)
    assert (audited.code, "3 token streams and 1 set beside them" in audited.text) == (0, True), audited.text
    (groups,) = Path(os.environ["FTC_CACHE"]).glob("**/groups.json")
    groups.write_text(groups.read_text().replace("money", "film", 1))
    audited = ftc("audit", run.parent.name)
    assert (audited.code, "not in the cache as they were made" in audited.text) == (0, True), audited.text
