"""Everything that a skeptic does to a finished run: `ftc audit` tells of it, and its first finding names the place.

What changes nothing raises no alarm.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ftc.spec import canonical
from ftc.spec.documents.lockfile import Lock, sealed
from ftc.spec.storage.paths import RunFolder
from ftc.verbs.runs import load_run
from tests.e2e.conftest import Ftc, finished_project, in_a_copy
from tests.support.forging import edit, edit_json, rechain, reseal

STEPS = 6


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one finished run that looked at validation twice."""
    return finished_project(tmp_path_factory.mktemp("doubted"), models, STEPS)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """The run in a copy of the project and of its cache."""
    in_a_copy(finished, tmp_path, monkeypatch)
    (record,) = Path("runs").glob("*/*/record.json")
    return RunFolder(record.parent.absolute())


def flip(file: Path, position: int = -1) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(bytes(data))


def checkpoint(run: RunFolder, step: int = STEPS) -> Path:
    return run.checkpoints / f"step-{step:08d}"


def swap(one: Path, other: Path) -> None:
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)


def keep_times(file: Path, change: Callable[[], None]) -> None:
    before = file.stat()
    change()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def without_line(file: Path, number: int) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:number], *lines[number + 1 :]]))


def replace_by_link(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(file.read_bytes() + b" ")
    file.unlink()
    file.symlink_to(other.name)


def exchange_ids(file: Path) -> None:
    """Of the first two added tokens."""
    tokens = json.loads(file.read_bytes())["added_tokens"]
    for place, other in ((0, 1), (1, 0)):
        edit_json(file, f"added_tokens.{place}.id", tokens[other]["id"])


def forge_lock(run: RunFolder) -> None:
    """Another learning rate in the lock that the run kept, its section sealed again."""
    edit_json(run.recipe_lock, "train.settings.train.learning_rate", "0.5")
    lock = Lock.model_validate_json(run.recipe_lock.read_bytes())
    run.recipe_lock.write_text(sealed(lock).to_text(), encoding="utf-8")


Tamper = Callable[[RunFolder], object]

SEEN: dict[str, tuple[Tamper, str]] = {
    "a bit of a checkpoint's weights": (
        lambda run: flip(checkpoint(run) / "trainable.safetensors"),
        r"trainable\.safetensors, tensor \S+",
    ),
    "a bit of a checkpoint's optimizer": (lambda run: flip(checkpoint(run) / "optimizer.safetensors"), "optimizer"),
    "a bit of the result": (
        lambda run: flip(run.adapter / "adapter_model.safetensors"),
        r"adapter_model\.safetensors, tensor \S+",
    ),
    "a bit of the base model": (lambda _: flip(Path("encoder/model.safetensors")), r"model\.safetensors, tensor \S+"),
    "checkpoints that changed places": (
        lambda run: swap(checkpoint(run, 3) / "trainable.safetensors", checkpoint(run) / "trainable.safetensors"),
        r"step-00000003/trainable\.safetensors, tensor",
    ),
    "a word in a row": (lambda _: edit(Path("rows.csv"), "n7\\b", "n8"), r"rows\.csv, .*the first is row 8"),
    "a label of a row": (lambda _: edit(Path("rows.csv"), "n3,money", "n3,film"), r"rows\.csv, .*row 4"),
    "two rows that changed places": (
        lambda _: edit(Path("rows.csv"), r"(.*n1,.*)\n(.*n2,.*)\n", r"\2\n\1\n"),
        r"rows\.csv, the same rows in another order, the first that moved is row 2",
    ),
    "a row less": (lambda _: without_line(Path("rows.csv"), 5), r"rows\.csv, -1 rows, the first is row 5"),
    "a row with its old time": (
        lambda _: keep_times(Path("rows.csv"), lambda: edit(Path("rows.csv"), "n7\\b", "n8")),
        r"rows\.csv, .*row 8",
    ),
    "a token in the vocabulary": (
        lambda _: edit(Path("encoder/tokenizer.json"), "green", "grean"),
        r"tokenizer\.json, `model\.vocab\..?grean` is new",
    ),
    "ids of two added tokens": (
        lambda _: exchange_ids(Path("encoder/tokenizer.json")),
        r"tokenizer\.json, `added_tokens\.0\.id` 0 -> 1 of token ",
    ),
    "a key of the tokenizer's settings": (
        lambda _: edit_json(Path("encoder/tokenizer_config.json"), "model_max_length", 63),
        r"tokenizer_config\.json, `model_max_length` 64 -> 63",
    ),
    "a file that became a link": (
        lambda _: replace_by_link(Path("encoder/config.json")),
        r"config\.json, only its formatting, behind a link to .*/other",
    ),
    "a tokenizer beside the model": (
        lambda _: Path("encoder/added_tokens.json").write_text("{}"),
        r"encoder: added_tokens\.json",
    ),
    "an adapter beside the base model": (
        lambda _: Path("encoder/adapter_config.json").write_text("{}"),
        r"encoder: adapter_config\.json",
    ),
    "a pickle beside the result": (
        lambda run: (run.adapter / "adapter_model.bin").write_bytes(b"\x80\x04."),
        r"adapter/adapter_model\.bin",
    ),
    "a checkpoint more": (
        lambda run: shutil.copytree(checkpoint(run), checkpoint(run, 2)),
        "checkpoints/step-00000002",
    ),
    "a line of the step log": (
        lambda run: edit(run.step_log, r'"loss":"0x1([^"]*)","step":4', r'"loss":"0x2\1","step":4'),
        "ladder",
    ),
    "a line of the step log that is gone": (lambda run: without_line(run.step_log, 5), r"ladder\.ndjson"),
    "an event": (lambda run: edit(run.events, '"tokens": [0-9]+', '"tokens": 1'), r"events\.ndjson"),
    "a prediction": (lambda run: edit(run.outcomes, '"row": [0-9]+', '"row": 900'), r"predictions\.ndjson"),
    "the recipe that was kept": (lambda run: edit(run.recipe, "rank: 4", "rank: 8"), r"recipe\.yaml"),
    "the lock that was kept": (
        lambda run: edit(run.recipe_lock, '"order": [0-9]+', '"order": 18'),
        r"recipe\.lock\.json, train\.settings\.seeds\.order",
    ),
    "the lock that was kept, sealed again": (
        forge_lock,
        r"recipe\.lock\.json, train\.settings\.train\.learning_rate",
    ),
    "the seed in the plan": (
        lambda run: edit(run.plan, '"seed": 17', '"seed": 18'),
        r"plan\.json: recipe\.\S*seed",
    ),
    "a setting in the plan": (
        lambda run: edit(run.plan, '"max_grad_norm": "1.0"', '"max_grad_norm": "2.0"'),
        r"plan\.json: settings\.train\.max_grad_norm",
    ),
    "the number of steps": (
        lambda run: edit(run.record, '"steps_done": 6', '"steps_done": 9'),
        "record.json: steps_done",
    ),
    "the tokens of the record": (
        lambda run: edit(run.record, '"supervised_tokens": [0-9]+', '"supervised_tokens": 1'),
        "record.json: supervised_tokens",
    ),
    "the version of a package": (
        lambda run: edit(run.record, r'("torch": \{[^}]*"version": ")[^"]*', r"\g<1>9.9"),
        r"record\.json",
    ),
    "the digest of the record": (
        lambda run: edit(run.record, r'\n  "sha256": "[0-9a-f]{64}"', f'\n  "sha256": "{"0" * 64}"'),
        "record.json",
    ),
}


def first(ftc: Ftc, run: RunFolder, *, code: int) -> dict[str, str]:
    audited = ftc("audit", run.path.name, "--json")
    assert audited.code == code, audited.text
    report = json.loads(audited.out)
    assert report["not_checked"], "silence must not read as success"
    found: dict[str, str] = next(iter(report["findings"]), {})
    return found


@pytest.mark.sample(23)
@pytest.mark.parametrize("what", SEEN)
def test_what_was_changed_is_named(run: RunFolder, ftc: Ftc, what: str) -> None:
    tamper, place = SEEN[what]
    tamper(run)
    found = first(ftc, run, code=6)
    assert (found["code"] == "FTC539") is ("beside" in what or "more" in what)
    assert re.search(place, found["subject"]), found


def forge_step_log(run: RunFolder) -> None:
    edit(run.step_log, r'"loss":"0x1([^"]*)","step":4', r'"loss":"0x2\1","step":4')
    reseal(run)


def forge_checkpoint(run: RunFolder) -> None:
    flip(checkpoint(run) / "trainable.safetensors")
    reseal(run)


def forge_result(run: RunFolder) -> None:
    """Other weights with a record that names their digest."""
    from ftc.compiler.resolve.files.digests import tensor_digests
    from ftc.spec.storage.model_files import content_digest

    file = run.adapter / "adapter_model.safetensors"
    flip(file)
    reseal(run, final_weights_sha256=content_digest(tensor_digests(file)))


def forge_header(run: RunFolder) -> None:
    """The weights of this run with the name of another recipe in their header."""
    file = run.adapter / "adapter_model.safetensors"
    assert b'"name\\":\\"tiny' in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(b'"name\\":\\"tiny', b'"name\\":\\"best'))
    reseal(run)


def forge_seed(run: RunFolder) -> None:
    """Another seed in the plan and in the record's reference to it, everything sealed."""
    plan = load_run(run.path).plan
    seeds = plan.settings.seeds.model_copy(update={"order": 1})
    forged = plan.model_copy(update={"settings": plan.settings.model_copy(update={"seeds": seeds})}).sealed()
    run.plan.write_text(forged.to_text(), encoding="utf-8")
    reseal(run, plan_sha256=forged.sha256)


def forge_level(run: RunFolder) -> None:
    record = load_run(run.path).record
    reseal(run, determinism=record.determinism.model_copy(update={"level": "D1", "proof_steps": 2}))


def forge_score(run: RunFolder) -> None:
    edit(run.evaluation, r'("accuracy": )"0.0"(?=[^}]*\}[^}]*\}\s*\}\s*$)', r'\1"1.0"')
    reseal(run)


FORGED: dict[str, tuple[Tamper, str]] = {
    "a loss": (forge_step_log, "ladder.ndjson, step 4: loss"),
    "weights of a checkpoint": (forge_checkpoint, "step-00000006, tensor "),
    "weights of the result": (forge_result, r"adapter_model\.safetensors, tensor"),
    "a header": (forge_header, "header of adapter/adapter_model.safetensors: name"),
    "a seed": (forge_seed, "settings.seeds.order"),
    "a level of determinism": (forge_level, "record.json: determinism"),
    "a score": (forge_score, "eval.json: accuracy"),
    "a step": (lambda run: reseal(run, steps_done=5), "record.json: steps_done"),
    "the choice": (lambda run: reseal(run, selected_step=1), "record.json: selected_step"),
    "the tokens": (lambda run: reseal(run, tokens=5), "record.json: tokens"),
    "the time": (lambda run: reseal(run, train_seconds=5.0), "record.json: train_seconds"),
    "the threads": (
        lambda run: reseal(
            run,
            observed=(seen := load_run(run.path).record.observed).model_copy(
                update={"machine": seen.machine.model_copy(update={"threads": 8})}
            ),
        ),
        "record.json: observed.machine",
    ),
    "the step log's beginning": (lambda run: (without_line(run.step_log, 0), reseal(run)), "ladder.ndjson"),
}
"""What is sealed again everywhere, with the project's ledger out of the way."""


@pytest.mark.parametrize("what", FORGED)
def test_what_was_sealed_again_contradicts_the_rest(run: RunFolder, ftc: Ftc, what: str) -> None:
    forge, place = FORGED[what]
    forge(run)
    found = first(ftc, run, code=6)
    assert found["code"] == "FTC537"
    assert re.search(place, found["subject"]), found


def test_the_ledger_knows_the_record_that_the_run_left(run: RunFolder, ftc: Ftc) -> None:
    """Machines and times have no other witness."""
    reseal(run, with_ledger=False, memory_method="guessed")
    found = first(ftc, run, code=6)
    assert (found["code"], found["subject"]) == ("FTC538", "record.json")
    ledger = Path(".ftc/ledger.ndjson")
    edit(ledger, found["expected"], found["found"])
    assert first(ftc, run, code=6)["subject"] == "ledger.ndjson", "the entry about the pages follows it"
    rechain(run)
    chained = ftc("audit", run.path.name)
    assert chained.code == 0, chained.text
    assert "unsigned: a forger could have written this" in chained.text
    edit(ledger, '"purpose":"evaluate base"', '"purpose":"evaluate tuned"')
    found = first(ftc, run, code=6)
    assert (found["code"], found["subject"]) == ("FTC538", "ledger.ndjson")
    ledger.unlink()
    assert "the project's ledger: it has no entry for this run" in ftc("audit", run.path.name).text


def test_numbers_that_were_edited_are_not_shown_without_a_word(run: RunFolder, ftc: Ftc) -> None:
    name = run.path.name
    assert "FTC551" not in ftc("show", name).text
    edit(run.record, '"supervised_tokens": [0-9]+', '"supervised_tokens": 1')
    edit(run.outcomes, '"row": [0-9]+', '"row": 900')
    for words in (("show", name), ("run", "compare", name, name), ("show", name, "--format", "html")):
        shown = ftc(*words)
        assert shown.code == 0, shown.text
        assert (
            f"`record.json` and `predictions.ndjson` of run {name} were changed after the run wrote them" in shown.text
        )


def _without_segments(run: RunFolder) -> None:
    edit_json(run.record, "segments", [])


def _lock_of_another_kind(run: RunFolder) -> None:
    run.recipe_lock.write_text("[]")
    reseal(run)


def _leading_out(run: RunFolder) -> None:
    plain = json.loads(run.record.read_bytes())
    plain["outputs"]["../../../rows.csv"] = {"size": 1, "sha256": "0" * 64}
    run.record.write_text(json.dumps(plain))


def _pipe(run: RunFolder) -> None:
    run.events.unlink()
    os.mkfifo(run.events)


ODD: dict[str, Tamper] = {
    "no segments": _without_segments,
    "a lock of another kind": _lock_of_another_kind,
    "a file outside of the run": _leading_out,
    "a pipe": _pipe,
    "a link to itself": lambda run: (run.record.unlink(), run.record.symlink_to(run.record.name)),
}


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes among files")
@pytest.mark.parametrize("what", ODD)
def test_documents_of_no_use_end_in_a_finding(run: RunFolder, ftc: Ftc, what: str) -> None:
    ODD[what](run)
    audited = ftc("audit", run.path.name)
    assert audited.code == 6, audited.text
    assert re.search("FTC5(24|37)", audited.text), audited.text


def tear(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b'{"at": "20')


def shuffle_header(file: Path) -> None:
    """The same tensors with other metadata, and the names in the header in another order."""
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    text = json.dumps({"__metadata__": {"b": "1", "a": "2"}} | dict(reversed(header.items()))).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def other_columns(file: Path) -> None:
    """The same rows with their columns in another order."""
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline="")))
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, sorted(rows[0], reverse=list(rows[0]) == sorted(rows[0])))
        writer.writeheader()
        writer.writerows(rows)


def rewrite(file: Path, change: Callable[[bytes], bytes]) -> None:
    file.write_bytes(change(file.read_bytes()))


OTHER_BYTES: dict[str, Tamper] = {
    "line endings of another system": lambda _: rewrite(Path("rows.csv"), lambda data: data.replace(b"\n", b"\r\n")),
    "a byte order mark": lambda _: rewrite(Path("rows.csv"), lambda data: b"\xef\xbb\xbf" + data),
    "columns in another order": lambda _: other_columns(Path("rows.csv")),
    "no end of the last line": lambda _: rewrite(Path("rows.csv"), bytes.rstrip),
}
"""The same rows in other bytes."""


@pytest.mark.parametrize("what", OTHER_BYTES)
def test_the_same_rows_in_other_bytes_are_noted(run: RunFolder, ftc: Ftc, what: str) -> None:
    OTHER_BYTES[what](run)
    audited = ftc("audit", run.path.name)
    assert audited.code == 0, audited.text
    assert "rows.csv: its bytes differ from the recorded ones and its rows are the same" in audited.text
    strict = ftc("audit", run.path.name, "--strict")
    assert strict.code == 6, strict.text
    assert "FTC521 rows.csv, the same rows" in strict.text
    before = Path("recipe.lock.json").read_bytes()
    for words in (("lock", "recipe.yaml", "--check"), ("plan", "recipe.yaml", "--locked")):
        checked = ftc(*words)
        assert checked.code == 0, checked.text
        assert "FTC550" in checked.text
    assert ftc("lock", "recipe.yaml").code == 0
    assert Path("recipe.lock.json").read_bytes() == before


def touch_all(_run: RunFolder) -> None:
    for file in Path.cwd().parent.rglob("*"):
        os.utime(file, ns=(10**18, 10**18))


def move_project(run: RunFolder) -> None:
    """The project in another place, named from outside."""
    shutil.copytree(Path.cwd(), Path.cwd().with_name("elsewhere"))
    shutil.rmtree(run.path)
    os.chdir(Path.cwd().with_name("elsewhere"))


HARMLESS: dict[str, Tamper] = {
    "touch": touch_all,
    "a comment in the recipe": lambda _: edit(Path("recipe.yaml"), "^ftc: 1", "# a word on it\nftc: 1"),
    "another recipe by now": lambda _: edit(Path("recipe.yaml"), "rank: 4", "rank: 8"),
    "another place": move_project,
    "a shuffled header of the base": lambda _: shuffle_header(Path("encoder/model.safetensors")),
    "files that nothing loads": lambda run: [(folder / ".DS_Store").touch() for folder in (run.path, Path("encoder"))],
    "a signature": lambda run: (run.adapter / "model.sig").write_text("{}"),
    "a torn end of the ledger": lambda _: tear(Path(".ftc/ledger.ndjson")),
    "no cache": lambda _: shutil.rmtree(os.environ["FTC_CACHE"]),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_changes_nothing_raises_no_alarm(
    run: RunFolder, ftc: Ftc, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(".")  # the folder is this one again afterwards
    HARMLESS[what](run)
    audited = ftc("audit", run.path.name)
    assert audited.code == 0, audited.text
    assert "CONSISTENT" in audited.out


def test_a_record_of_a_release_that_knew_fewer_fields_keeps_its_digest(run: RunFolder, ftc: Ftc) -> None:
    plain = json.loads(run.record.read_bytes())
    del plain["code_changed"]
    plain |= {"ftc_version": "0.0.9", "sha256": ""}
    for part in (plain["observed"]["code"], *plain["segments"]):
        part["ftc_sha256"] = "0" * 64
    run.record.write_text(canonical.to_text({**plain, "sha256": canonical.digest(plain)}), encoding="utf-8")
    Path(".ftc/ledger.ndjson").unlink()
    audited = ftc("audit", run.path.name)
    assert audited.code == 0, audited.text
    edit(run.record, '"threads": 1', '"threads": 2')
    assert "record.json" in first(ftc, run, code=6)["subject"]


def test_what_other_code_of_ftc_derived_is_not_called_tampering(run: RunFolder, ftc: Ftc) -> None:
    plain = json.loads(run.record.read_bytes())
    plain["observed"]["code"]["ftc_sha256"] = plain["segments"][-1]["ftc_sha256"] = "ab" * 32
    plain["sha256"] = ""
    run.record.write_text(canonical.to_text({**plain, "sha256": canonical.digest(plain)}), encoding="utf-8")
    Path(".ftc/ledger.ndjson").unlink()
    edit(run.path / "README.md", "A model that", "The model which")
    audited = ftc("audit", run.path.name)
    assert audited.code == 0, audited.text
    assert "other code of ftc" in audited.text
    edit(run.record, '"threads": 1', '"threads": 2')
    assert "record.json" in first(ftc, run, code=6)["subject"]


@pytest.mark.slow
def test_another_locale_hash_seed_and_time_zone_give_the_same_verdict(run: RunFolder) -> None:
    other = {"LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "77", "TZ": "Pacific/Kiritimati", "COLUMNS": "60"}
    reports = []
    for more in ({}, other):
        command = [sys.executable, "-m", "ftc", "audit", run.path.name, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | more, check=True)
        reports.append({**json.loads(done.stdout), "seconds": ""})
    assert reports[0] == reports[1]


def test_a_link_out_of_the_project_is_noted(run: RunFolder, ftc: Ftc) -> None:
    """The same bytes behind it: nothing changed, and a plan would refuse it."""
    weights = Path("encoder/model.safetensors")
    weights.rename("../elsewhere")
    weights.symlink_to("../../elsewhere")
    audited = ftc("audit", run.path.name)
    assert audited.code == 0, audited.text
    assert "outside the project, which a plan refuses" in " ".join(audited.text.split())
    strict = ftc("audit", run.path.name, "--strict")
    assert strict.code == 8, strict.text
    assert "FTC528 encoder/model.safetensors" in " ".join(strict.text.split())
