"""A recipe that asks for METEOR: its WordNet is pinned by the lock, and refused with a place where it is missing."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from ftc import api
from ftc.compiler.lock.lockfile import lock_changes
from ftc.spec.diagnostics import Refusal
from ftc.spec.storage import wordnet
from tests.diagnostics.worlds import write_plain_model
from tests.support.wordnets import write_wordnet

RECIPE = """
ftc: 1
name: tiny
task: {kind: generation, prompt: '{{ prompt }}'}
data: {source: {path: rows.jsonl}, split: {validation: 0, test: 0.2}}
model: {base: ./model}
strategy: {kind: lora}
eval: {metrics: [exact_match]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(wordnet, "wordnet_places", lambda: (tmp_path / "wordnet",))
    monkeypatch.setattr("ftc.compiler.resolve.machine.environment.find_spec", lambda name: True)
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    (tmp_path / ".ftc").mkdir()
    write_plain_model(tmp_path / "model")
    rows = [{"prompt": f"tell {number}", "completion": "it is cold"} for number in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def planned(root: Path, evaluate: str) -> api.Planned:
    (root / "recipe.yaml").write_text(RECIPE.replace("metrics: [exact_match]", evaluate))
    return api.plan(root / "recipe.yaml", offline=True)


def test_its_digest_is_in_the_lock_of_recipes_that_ask_for_it(project: Path) -> None:
    write_wordnet(project / "wordnet")
    without = planned(project, "metrics: [exact_match]").plan
    assert without.settings.eval.wordnet is None
    plan = planned(project, "metrics: [exact_match, meteor]").plan
    assert plan.settings.eval.wordnet is not None
    assert plan.settings.eval.wordnet.release == "3.0"
    assert any("synonyms from WordNet 3.0" in check.result for check in plan.checks)
    if find_spec("nltk"):
        (here,) = plan.lock.platforms.values()
        assert "nltk" in here.packages
    assert without.memory.process.expected + 100 * 2**20 < plan.memory.process.expected, "nltk keeps it in memory"
    assert any(line.startswith("train.settings.eval.wordnet") for line in lock_changes(without.lock, plan.lock))


@pytest.mark.parametrize(
    ("evaluate", "path"),
    [
        ("metrics: [bleu, meteor]", "eval.metrics[1]"),
        ("gates: {bleu: '>= 3', meteor: '>= 0.3'}", "eval.gates.meteor"),
        ("slices: [length], gates: [meteor gap on length <= 0.1]", "eval.gates[0]"),
    ],
)
def test_what_is_missing_is_told_before_anything_else_is_done(
    project: Path, evaluate: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refusal) as refused:
        planned(project, evaluate)
    (found,) = refused.value.diagnostics
    assert (found.code, found.path, found.span is None) == ("FTC652", path, False)
    assert "`apt-get install wordnet-base`" in found.help[0]
    monkeypatch.setattr("ftc.compiler.resolve.machine.environment.find_spec", lambda name: None)
    with pytest.raises(Refusal) as refused:
        planned(project, evaluate)
    assert [one.code for one in refused.value.diagnostics] == ["FTC650"]
