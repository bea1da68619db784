"""A classifier that a recipe names: read as a base model is, pinned by its files, refused where it is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc import api
from ftc.compiler.lock.lockfile import lock_changes
from ftc.spec.diagnostics import Refusal
from tests.support.classifiers import make_classifier
from tests.support.projects import make_model

RECIPE = """
ftc: 1
name: tiny
task: {kind: generation}
data: {source: {path: rows.jsonl}, split: {validation: 0, test: 0.2}}
model: {base: ./model}
strategy: {kind: lora}
eval:
  metrics: [METRIC]
  classifier: {base: ./BASE, label: LABEL}
  gates: {flagged: "<= 0.01"}
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch", reason="the models' folders are made with it")
    root = tmp_path_factory.mktemp("project")
    make_model(root / "model", "decoder")
    make_classifier(root / "toxicity", root / "model")
    make_classifier(root / "several", root / "model", problem_type="multi_label_classification")
    make_classifier(root / "number", root / "model", problem_type="regression")
    rows = [{"prompt": f"tell {number} of him", "completion": "he said"} for number in range(40)]
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / ".ftc").mkdir()
    return root


def planned(root: Path, base: str = "toxicity", label: str = "toxic", metric: str = "exact_match") -> api.Planned:
    text = RECIPE.replace("BASE", base).replace("LABEL", label).replace("METRIC", metric)
    (root / "recipe.yaml").write_text(text)
    return api.plan(root / "recipe.yaml", offline=True)


def test_its_files_and_its_label_are_settings(models: Path) -> None:
    plan = planned(models).plan
    found = plan.settings.eval.classifier
    assert found is not None
    assert (found.base, found.label_id, found.num_labels, found.single) == ("toxicity", 1, 2, True)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= found.files.keys()
    assert found.max_length == 24
    several = planned(models, "several").plan.settings.eval.classifier
    assert several is not None
    assert not several.single
    weights = models / "toxicity" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    changes = lock_changes(plan.lock, planned(models).plan.lock)
    assert [line.partition(":")[0] for line in changes] == [
        "train.settings.eval.classifier.files.model.safetensors.sha256"
    ]


@pytest.mark.parametrize(
    ("asked", "code", "path", "words"),
    [
        ({"label": "toxc"}, "FTC244", "eval.classifier.label", "the classifier has no label `toxc`"),
        ({"base": "model"}, "FTC244", "eval.classifier.base", "its class is `LlamaForCausalLM`"),
        ({"base": "number"}, "FTC244", "eval.classifier.base", "it outputs a number, not a label"),
        ({"base": "nowhere"}, "FTC301", "eval.classifier.base", "the model folder `./nowhere` doesn't exist"),
        ({"metric": "loss"}, "FTC244", "eval.classifier", "no metric needs generated answers"),
    ],
)
def test_what_can_not_look_at_answers(models: Path, asked: dict[str, str], code: str, path: str, words: str) -> None:
    with pytest.raises(Refusal) as refused:
        planned(models, **asked)
    (found,) = [one for one in refused.value.diagnostics if one.is_error]
    assert (found.code, found.path) == (code, path)
    assert words in found.summary
    assert found.span is not None
