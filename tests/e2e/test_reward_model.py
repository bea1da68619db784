"""A reward model that a run trained gives the rewards of another run, and scores the answers of its evaluation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ftc import api
from tests.e2e.conftest import Ftc, in_a_copy
from tests.support.projects import make_project, recipe_of, write_rows

pytestmark = pytest.mark.slow


def policy_recipe(base: str = "run:judge") -> str:
    """The recipe of a run whose answers a reward model scores, in training and once more in its evaluation."""
    text = recipe_of("reinforcement", steps=3, evaluation=f"samples: 2, reward_model: {{base: '{base}'}}")
    rewards = f"rewards: [{{kind: reward_model, base: '{base}', weight: 2}}, {{kind: regex, pattern: '[aeiou]'}}]"
    return re.sub(r"rewards: \[.*?\]\}", f"{rewards}}}", text.replace("rows.jsonl", "asked.jsonl"), count=1)


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a reward model that a run trained, and a run that learned from its scores."""
    root = tmp_path_factory.mktemp("rewarded") / "project"
    make_project(root, models, "reward", "full", steps=4)
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("name: tiny", "name: judge"))
    write_rows(root / "asked.jsonl", "reinforcement")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(root.parent / "cache"))
        assert api.apply(recipe).record.status == "finished"
        (root / "policy.yaml").write_text(policy_recipe().replace("name: tiny", "name: policy"))
        assert api.apply(root / "policy.yaml").record.status == "finished"
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return in_a_copy(finished, tmp_path, monkeypatch)


def run_of(root: Path, name: str) -> Path:
    (record,) = root.glob(f"runs/{name}/*/record.json")
    return record.parent


def test_its_scores_are_what_transformers_says(root: Path) -> None:
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForSequenceClassification

    run, folder = run_of(root, "policy"), run_of(root, "judge") / "model"
    plan = api.find_run(run.name, root).plan
    known = plan.settings.train.sampling.reward_model if plan.settings.train.sampling else None
    assert known is not None
    assert (known.base, known.run) == (folder.relative_to(root).as_posix(), run_of(root, "judge").name)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    policy = Tokenizer.from_file(str(root / "decoder" / "tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    asked = [json.loads(line)["question"] for line in (root / "asked.jsonl").read_text().splitlines()]
    lines = [json.loads(line) for line in (run / "answers.ndjson").read_text().splitlines()]
    for line in lines[:6]:
        prompt = asked[int(line["place"].rsplit(":", 1)[1]) - 1]
        said = policy.decode(line["ids"], skip_special_tokens=True).strip()
        ids = torch.tensor([tokenizer.encode(f"<s>user: {prompt}</s><s>assistant: {said}</s>").ids])
        with torch.no_grad():
            score = float(model(input_ids=ids).logits[0, 0])
        assert float(line["rewards"][0]) == pytest.approx(score, abs=1e-5)
    assert len({line["rewards"][0] for line in lines}) > 5, "it tells answers apart"


def test_it_scores_the_evaluation_and_is_audited(root: Path, ftc: Ftc) -> None:
    run = run_of(root, "policy")
    measured = json.loads((run / "eval.json").read_text())
    found = measured["reward_model"]
    rows = [json.loads(line) for line in (run / "predictions.ndjson").read_text().splitlines()]
    for who in ("tuned", "base"):
        mean = sum(float(row[who]["reward"]) for row in rows) / len(rows)
        assert float(found[who]) == pytest.approx(mean)
        assert [row[who]["reward"] for row in rows] == [row[who]["predicted"][0] for row in rows], "one model, twice"
    assert float(found["gain"]["value"]) == pytest.approx(float(found["tuned"]) - float(found["base"]))
    audited = ftc("audit", run.name)
    assert audited.code == 0, audited.text
    assert "24 sampled answers" in audited.text
    assert "files of the reward model" in audited.text
    replayed = ftc("audit", run.name, "--level", "full")
    assert replayed.code == 0, replayed.text
    assert "REPRODUCED_BITWISE" in replayed.text
    assert "gives" in ftc("run", "show", run.name).text
