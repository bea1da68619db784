"""A saved plan is executed exactly as it was reviewed or not at all; the lock says what may not change."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import contents

Change = Callable[[Path], None]


def replace(file: str, old: str, new: str) -> Change:
    def change(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new, 1))

    return change


def flip_last_byte(file: str) -> Change:
    def change(root: Path) -> None:
        data = bytearray((root / file).read_bytes())
        data[-1] ^= 1
        (root / file).write_bytes(bytes(data))

    return change


WEIGHTS, TOKENIZER, PLAN = "encoder/model.safetensors", "encoder/tokenizer_config.json", "job.plan.json"


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (replace("recipe.yaml", "rate: 1e-3", "rate: 2e-3"), "FTC512", "train.learning_rate: 0.001 → 0.002"),
        (replace("recipe.yaml", "rank: 4", "rank: 8"), "FTC512", "strategy.adapter.rank: 4 → 8"),
        (replace("recipe.yaml", "threads: 1", "threads: 2"), "FTC512", "device.threads: 1 → 2"),
        (replace("rows.csv", "n3,", "n4,"), "FTC512", "data.sources.rows.file.sha256"),
        (flip_last_byte(WEIGHTS), "FTC512", "model.files.model.safetensors.sha256"),
        (replace(TOKENIZER, '_length": 64', '_length": 63'), "FTC512", "tokenizer_config.json"),
        (
            replace(PLAN, '"max_grad_norm": "1.0"', '"max_grad_norm": "2.0"'),
            "FTC511",
            "settings.train.max_grad_norm` is `2.0`; the recipe gives `1.0`",
        ),
        (replace(PLAN, '"ftc.plan/1"', '"ftc.plan/9"'), "FTC510", "not a saved plan"),
    ],
    ids=["rate", "rank", "threads", "data", "weights", "tokenizer", "edited plan", "other schema"],
)
def test_what_moved_is_named_and_nothing_is_written(
    project: MakeProject, ftc: Ftc, change: Change, code: str, words: str
) -> None:
    root = project()
    assert ftc("plan", "recipe.yaml", "-o", "job.plan.json").code == 0
    change(root)
    before = contents(root)
    refused = ftc("apply", "job.plan.json")
    assert (refused.code, f"[{code}]" in refused.err) == (5, True), refused.err
    assert words in refused.text
    assert "help:" in refused.err
    assert contents(root) == before


@pytest.mark.sample(1)
@pytest.mark.parametrize("change", ["comment", "touch", "line endings", "name of a column's order"])
def test_what_changes_nothing_stops_nothing(project: MakeProject, ftc: Ftc, change: str) -> None:
    root = project(steps=1)
    assert ftc("plan", "recipe.yaml", "-o", "job.plan.json").code == 0
    recipe = (root / "recipe.yaml").read_text()
    match change:
        case "comment":
            (root / "recipe.yaml").write_text("# For the weekly report.\n\n" + recipe)
        case "touch":
            for file in ("recipe.yaml", "rows.csv", "encoder/model.safetensors"):
                os.utime(root / file, ns=(10**18, 10**18))
        case "line endings":
            rows = root / "rows.csv"
            rows.write_bytes(rows.read_bytes().replace(b"\n", b"\r\n"))
        case _:
            (root / "recipe.yaml").write_text(
                recipe.replace("{text: text, label: label}", "{label: label, text: text}")
            )
    applied = ftc("apply", "job.plan.json")
    assert applied.code == 0, applied.err


def test_a_plan_whose_recipe_is_gone(project: MakeProject, ftc: Ftc) -> None:
    root = project()
    ftc("plan", "recipe.yaml", "-o", "job.plan.json")
    (root / "recipe.yaml").unlink()
    refused = ftc("apply", "job.plan.json")
    assert refused.code == 5
    assert "recipe.yaml" in refused.text


def test_locked_needs_a_lock_that_is_true(project: MakeProject, ftc: Ftc) -> None:
    root = project()
    missing = ftc("plan", "recipe.yaml", "--locked")
    assert missing.code == 2
    assert "there is no lock `recipe.lock.json`" in missing.text
    assert not (root / "recipe.lock.json").exists()

    assert ftc("plan", "recipe.yaml").code == 0
    before = (root / "recipe.lock.json").read_bytes()
    assert ftc("plan", "recipe.yaml", "--locked").code == 0
    replace("recipe.yaml", "rank: 4", "rank: 8")(root)
    stale = ftc("plan", "recipe.yaml", "--locked")
    assert stale.code == 2
    assert "strategy.rank: 4 → 8" in stale.text
    assert (root / "recipe.lock.json").read_bytes() == before


def test_a_lock_that_was_edited(project: MakeProject, ftc: Ftc) -> None:
    root = project()
    assert ftc("plan", "recipe.yaml").code == 0
    lock = root / "recipe.lock.json"
    whole = lock.read_text()
    lock.write_text(whole.replace('"license": "apache-2.0"', '"license": "mit"'))
    edited = ftc("plan", "recipe.yaml")
    assert edited.code == 6
    assert "section `model` of `recipe.lock.json` does not match its checksum" in edited.text
    lock.write_text(whole[:-40])
    cut = ftc("plan", "recipe.yaml")
    assert cut.code == 6
    assert "[FTC501]" in cut.err
    assert lock.read_text() == whole[:-40]


def test_one_lock_serves_two_platforms(project: MakeProject, ftc: Ftc) -> None:
    from ftc.spec.documents.lockfile import Lock, sealed

    root = project()
    assert ftc("plan", "recipe.yaml").code == 0
    file = root / "recipe.lock.json"
    lock = Lock.model_validate_json(file.read_bytes())
    (here,) = lock.platforms.values()
    other = here.model_copy(update={"platform": "plan9-mips-cp311", "packages": {}})
    both = sealed(lock.model_copy(update={"platforms": {**lock.platforms, "plan9-mips-cp311": other}}))
    file.write_text(both.to_text())
    locked = ftc("plan", "recipe.yaml", "--locked")
    assert locked.code == 0, locked.err
    replace("recipe.yaml", "rank: 4", "rank: 8")(root)
    assert ftc("plan", "recipe.yaml").code == 0
    assert set(json.loads(file.read_text())["platforms"]) == {here.platform, "plan9-mips-cp311"}


def test_what_a_judge_is_sent_stands_in_the_plan_that_apply_shows(
    project: MakeProject, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote the recipe chose variable and host, so the reader has to see both before saying yes."""
    root = project("generation")
    judge = 'judge: {url: "https://[2001:db8::1]:8443/v1", model: large, key_env: CLOUD_SECRET}'
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("samples: 2", f"samples: 2, {judge}"))
    monkeypatch.setenv("CLOUD_SECRET", "do-not-tell")
    shown = ftc("apply", "recipe.yaml")
    words = "are sent to https://[2001:db8::1]:8443/v1, together with the value of the environment variable"
    assert f"{words} CLOUD_SECRET" in shown.text
    assert "do-not-tell" not in shown.text
    assert not (root / "runs").exists(), "nobody said yes"


def test_a_plan_that_is_saved_outside_of_its_project_says_where_it_runs(
    project: MakeProject, ftc: Ftc, tmp_path: Path
) -> None:
    root, elsewhere = project(), tmp_path / "elsewhere"
    elsewhere.mkdir()
    saved = ftc("plan", "recipe.yaml", "--no-trace", "-o", elsewhere / "job.plan.json")
    assert saved.code == 0, saved.err
    assert f"to run it, move it to {root.resolve()}" in " ".join(saved.out.split())
    for verb in (("apply",), ("pack", "-o", elsewhere / "job.tar")):
        refused = ftc(verb[0], elsewhere / "job.plan.json", *verb[1:])
        assert refused.code == 5
        words = " ".join(refused.err.split())
        assert "keep a plan in its recipe's project" in words
        assert f"looked for `recipe.yaml` in {elsewhere.resolve()}" in words
    (elsewhere / "job.plan.json").rename(root / "job.plan.json")
    packed = ftc("pack", "job.plan.json", "-o", elsewhere / "job.tar")
    assert packed.code == 0, packed.err
