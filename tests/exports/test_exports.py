"""What leaves a run for other tools: only facts of the run, and each in the eyes of its format's own library."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.cli import exporting as cli
from ftc.cli.arguments import Parser
from ftc.cli.main import main
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.facts import FileFacts
from ftc.verbs.runs import Run
from ftc.views.exports import FORMATS, Format
from ftc.views.exports.croissant import croissant_dataset
from ftc.views.exports.cyclonedx import cyclonedx_bom
from ftc.views.exports.slsa import slsa_statement
from tests.exports.conftest import ROWS
from tests.support import documents


def document(run: Run, format: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(api.export(run, format))
    return found


def test_slsa_in_the_eyes_of_in_toto(run: Run) -> None:
    statements = pytest.importorskip("in_toto_attestation.v1.statement")
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2

    found = document(run, "slsa")
    statements.Statement.copy_from_pb(json_format.ParseDict(found, statement_pb2.Statement())).validate()
    predicate = json_format.ParseDict(found["predicate"], provenance_pb2.Provenance())
    subjects = {one["name"]: one["digest"]["sha256"] for one in found["subject"]}
    assert subjects == {name: facts.sha256 for name, facts in run.record.outputs.items() if name.startswith("adapter")}
    used = {one.name: dict(one.digest) for one in predicate.build_definition.resolved_dependencies}
    assert used["bbc.jsonl"] == {"sha256": run.plan.lock.data.sources["rows"].file.sha256}
    assert predicate.run_details.metadata.invocation_id == run.record.id
    assert predicate.run_details.metadata.started_on.ToJsonString() == "2026-11-24T10:00:00Z"


def test_cyclonedx_in_the_eyes_of_its_schema(run: Run) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    text = api.export(run, "cyclonedx")
    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    assert len(references(found)) == len(set(references(found)))
    model = found["metadata"]["component"]
    (accuracy, *_) = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert (accuracy["type"], accuracy["value"]) == ("accuracy", "0.9437")
    assert {one["ref"] for one in model["modelCard"]["modelParameters"]["datasets"]} <= set(references(found))
    licenses = {one["name"]: one.get("licenses") for one in found["components"]}
    assert licenses["models/minilm"] == [{"license": {"id": "Apache-2.0"}}]


def references(part: Any) -> list[str]:
    """Every `bom-ref` below a part of a bill."""
    match part:
        case dict():
            own = [part["bom-ref"]] if "bom-ref" in part else []
            return own + [found for value in part.values() for found in references(value)]
        case list():
            return [found for value in part for found in references(value)]
        case _:
            return []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_croissant_in_the_eyes_of_its_library_which_reads_the_rows(run: Run) -> None:
    croissant = pytest.importorskip("mlcroissant")
    file = run.root / "data.croissant.json"
    file.write_text(api.export(run, "croissant"), encoding="utf-8")
    dataset = croissant.Dataset(file)
    assert not dataset.metadata.issues.errors
    read = [
        {key.partition("/")[2]: value.decode() for key, value in row.items()} for row in dataset.records("rows:rows")
    ]
    assert read == ROWS
    data = run.root / "bbc.jsonl"
    data.write_bytes(data.read_bytes().replace(b"Goal", b"Gaol", 1))
    with pytest.raises(croissant.GenerationError, match="Download") as caught:
        list(croissant.Dataset(file).records("rows:rows"))
    assert "is not identical" in str(caught.value.__cause__)


@pytest.mark.parametrize("format", [one.name for one in FORMATS])
def test_a_statement_is_the_same_anywhere_and_names_no_place_of_the_machine(run: Run, format: str) -> None:
    text = api.export(run, format)
    assert text == api.export(run.folder, format)
    assert str(run.root) not in text


def test_what_comes_from_the_hub_has_an_address(run: Run) -> None:
    commit = COMMIT
    lock = run.plan.lock
    asked = {"hub": "owner/rows", "file": "all.parquet"}
    source = lock.data.sources["rows"].model_copy(update={"asked": asked, "commit": commit})
    lock = lock.model_copy(
        update={
            "data": lock.data.model_copy(update={"sources": {"rows": source}}),
            "model": lock.model.model_copy(update={"commit": commit}),
        }
    )
    plan = run.plan.model_copy(update={"lock": lock})
    used = slsa_statement(plan, run.record)["predicate"]["buildDefinition"]["resolvedDependencies"]
    addresses = {one.get("uri") for one in used}
    assert {f"hf://models/minilm@{commit}/config.json", f"hf://datasets/owner/rows@{commit}/all.parquet"} <= addresses
    (file,) = croissant_dataset(plan)["distribution"]
    assert (file["name"], file["encodingFormat"]) == ("all.parquet", "application/x-parquet")


COMMIT = "c0ffee" * 6 + "c0ff"


@pytest.mark.parametrize(
    ("asked", "commit", "place"),
    [
        ({"hub": "owner/rows", "split": "train", "config": "en"}, COMMIT, f"hf://datasets/owner/rows@{COMMIT}/"),
        ({"path": "en"}, None, ""),
    ],
)
def test_each_file_of_a_source_has_its_own_address_and_digest(
    run: Run, asked: dict[str, str], commit: str | None, place: str
) -> None:
    files = {f"en/train-{number}.csv": FileFacts(size=10 + number, sha256=f"{number}" * 64) for number in (1, 2)}
    lock = run.plan.lock
    joint = FileFacts(size=23, sha256="f" * 64)
    changed = {"asked": asked, "commit": commit, "files": files, "file": joint}
    source = lock.data.sources["rows"].model_copy(update=changed)
    lock = lock.model_copy(update={"data": lock.data.model_copy(update={"sources": {"rows": source}})})
    plan = run.plan.model_copy(update={"lock": lock})
    expected = {f"{place}{name}": facts.sha256 for name, facts in files.items()}

    used = slsa_statement(plan, run.record)["predicate"]["buildDefinition"]["resolvedDependencies"]
    data = [one for one in used if one.get("annotations", {}).get("role") == "data: rows"]
    assert {one.get("uri") or one["name"]: one["digest"]["sha256"] for one in data} == expected

    bill = cyclonedx_bom(plan, run.record, None)
    (part,) = [one for one in bill["components"] if one["bom-ref"] == "data:rows"]
    assert part["name"] == (place.rstrip("/") or "en")
    assert {one["name"]: one["hashes"][0]["content"] for one in part["components"]} == expected
    assert "hashes" not in part
    assert len(references(bill)) == len(set(references(bill)))

    found = croissant_dataset(plan)
    assert {one["contentUrl"]: one["sha256"] for one in found["distribution"]} == expected
    assert {one["encodingFormat"] for one in found["distribution"]} == {"text/csv"}
    assert [one["contentSize"] for one in found["distribution"]] == ["11 B", "12 B"]
    columns = [
        (one["source"]["fileObject"]["@id"], one["name"]) for part in found["recordSet"] for one in part["field"]
    ]
    ids = [one["@id"] for one in found["distribution"]]
    assert sorted(columns) == [(id, column) for id in ids for column in ("label", "text")]
    assert joint.sha256 not in json.dumps([used, bill, found])


@pytest.mark.parametrize(
    ("name", "code", "exit_code"), [("adapter/adapter_config.json", "FTC521", 6), ("", "FTC525", 8)]
)
def test_a_run_that_is_not_whole_is_told_of_by_nobody(
    run: Run, capsys: pytest.CaptureFixture[str], name: str, code: str, exit_code: int
) -> None:
    if name:
        (run.folder / name).write_text("[]", encoding="utf-8")
    else:
        record = documents.record(run.plan, status="interrupted", outputs={})
        (run.folder / "record.json").write_text(record.to_text(), encoding="utf-8")
    assert main(["export", str(run.folder), "--format", "slsa"]) == exit_code
    out, err = capsys.readouterr()
    assert (out, code in err) == ("", True)


def test_a_checkpoint_may_be_gone_and_a_file_beside_the_weights_may_not_be(run: Run) -> None:
    (run.folder / "checkpoints" / "step-00000162" / "state.json").unlink()
    assert document(run, "slsa")["subject"]
    (run.folder / "adapter" / "modeling.py").touch()
    with pytest.raises(Refusal, match=r"FTC539: adapter/modeling\.py"):
        api.export(run, "slsa")


def test_into_a_file_or_to_the_terminal(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", run.record.id[:6], "--format", "cyclonedx"]) == 0
    shown = capsys.readouterr().out
    assert main(["export", run.record.id, "--format", "cyclonedx", "-o", "-"]) == 0
    assert capsys.readouterr().out.startswith("{")
    assert not Path("-").exists()
    assert main(["export", run.record.id, "--format", "cyclonedx", "-o", "bom.json"]) == 0
    assert Path("bom.json").read_text(encoding="utf-8") == shown


@pytest.mark.parametrize("format", FORMATS, ids=lambda one: one.name)
def test_docs_and_help_name_every_format(format: Format) -> None:
    page = (Path(__file__).parents[2] / "docs" / "exports.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `ftc run export RUN --format {format.name}`")]
    assert all(word in row for word in re.split(r"[ ,]+", format.standard))
    parser = Parser(prog="ftc export")
    cli.COMMANDS["run export"].add_arguments(parser)
    assert f"{format.name}: {format.about}" in " ".join(parser.format_help().split())


def test_another_name_is_no_format() -> None:
    with pytest.raises(ValueError, match="slsa"):
        api.export("any", "spdx")
