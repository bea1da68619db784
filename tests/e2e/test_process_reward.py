"""A process reward model that a run trained scores the steps of answers, which are rewards of another run."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from ftc import api
from tests.e2e.conftest import Ftc, in_a_copy
from tests.e2e.test_reward_model import run_of
from tests.support.projects import make_project, recipe_of, write_rows

pytestmark = pytest.mark.slow
_JUDGE = "{kind: reward, loss: step_cross_entropy, step_separator: ' '}"


def _policy(aggregate: str = "product") -> str:
    """The recipe of a run whose answers are scored by their steps; its evaluation takes the worst step."""
    text = recipe_of("reinforcement", steps=3, evaluation="samples: 2, reward_model: {base: 'run:judge'}")
    more = f", aggregate: {aggregate}" if aggregate else ""
    rewards = (
        f"rewards: [{{kind: reward_model, base: 'run:judge'{more}}}, {{kind: regex, pattern: '[aeiou]', weight: 0.1}}]"
    )
    text = re.sub(r"rewards: \[.*?\]\}", f"{rewards}}}", text.replace("rows.jsonl", "asked.jsonl"), count=1)
    return text.replace("name: tiny", "name: policy")


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a process reward model that a run trained, and a run that learned from its scores."""
    root = tmp_path_factory.mktemp("stepwise") / "project"
    make_project(root, models, "steps", "full", steps=4)
    recipe = root / "recipe.yaml"
    text = recipe.read_text().replace("name: tiny", "name: judge")
    recipe.write_text(text.replace("{kind: reward, loss: step_cross_entropy}", _JUDGE))
    write_rows(root / "asked.jsonl", "reinforcement")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(root.parent / "cache"))
        assert api.apply(recipe).record.status == "finished"
        (root / "policy.yaml").write_text(_policy())
        assert api.apply(root / "policy.yaml").record.status == "finished"
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return in_a_copy(finished, tmp_path, monkeypatch)


def test_its_rewards_are_what_transformers_says_of_each_step(root: Path) -> None:
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForTokenClassification

    run, folder = run_of(root, "policy"), run_of(root, "judge") / "model"
    sampling = api.find_run(run.name, root).plan.settings.train.sampling
    assert sampling is not None
    assert sampling.reward_model is not None
    assert sampling.reward_model.steps is not None
    assert (sampling.reward_model.steps.separator, sampling.reward_model.steps.aggregate) == (" ", "product")
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    policy = Tokenizer.from_file(str(root / "decoder" / "tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def by_hand(prompt: str, said: str) -> list[float]:
        ids, ends = tokenizer.encode(prompt).ids, []
        for step in filter(None, said.split(" ")):
            ids += [*tokenizer.encode(step).ids, *tokenizer.encode(" ").ids]
            ends.append(len(ids) - 1)
        with torch.no_grad():
            chances = model(input_ids=torch.tensor([ids])).logits[0].softmax(dim=-1)[:, 1]
        return [float(chances[end]) for end in ends]

    asked = [json.loads(line)["question"] for line in (root / "asked.jsonl").read_text().splitlines()]
    lines = [json.loads(line) for line in (run / "answers.ndjson").read_text().splitlines()]
    counts = set()
    for line in lines:
        prompt = asked[int(line["place"].rsplit(":", 1)[1]) - 1]
        chances = by_hand(prompt, policy.decode(line["ids"], skip_special_tokens=True).strip())
        counts.add(len(chances))
        assert float(line["rewards"][0]) == pytest.approx(math.prod(chances) if chances else 0.0, abs=1e-5)
    assert len(counts) > 1, "answers of one step and of several"
    for row in map(json.loads, (run / "predictions.ndjson").read_text().splitlines()):
        place = row["row"] if isinstance(row["row"], int) else int(row["row"].rpartition(":")[2]) - 1
        chances = by_hand(asked[place], row["tuned"]["text"])
        assert float(row["tuned"]["reward"]) == pytest.approx(min(chances, default=0.0), abs=1e-5)


def test_it_is_audited_and_a_forged_score_is_found(root: Path, ftc: Ftc) -> None:
    run = run_of(root, "policy")
    replayed = ftc("audit", run.name, "--level", "full")
    assert replayed.code == 0, replayed.text
    assert "REPRODUCED_BITWISE" in replayed.text
    answers = run / "answers.ndjson"
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    for number, line in enumerate(lines[:8]):  # means and advantages stay as they are
        score = float(line["rewards"][0]) + (0.25 if number < 4 else -0.25)
        line["rewards"][0], line["reward"] = str(score), str(score + 0.1 * float(line["rewards"][1]))
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    audited = ftc("audit", run.name)
    assert audited.code != 0
    assert "answers.ndjson, line 1: rewards" in audited.text


def test_a_run_that_goes_on_gives_the_same_bits(root: Path, ftc: Ftc) -> None:
    whole = (run_of(root, "policy") / "answers.ndjson").read_bytes()
    (root / "runs" / "policy").rename(root / "before")
    assert ftc("plan", "policy.yaml", "-o", "plan.json").code == 0
    assert ftc("apply", "plan.json", "--until", "1").code == 0
    applied = ftc("apply", "plan.json")
    assert applied.code == 0, applied.text
    assert (run_of(root, "policy") / "answers.ndjson").read_bytes() == whole


def test_how_steps_become_one_score_is_said_or_the_usual_way(root: Path, ftc: Ftc) -> None:
    for said, words in (("", "the worst step"), ("last", "the last step"), ("mean", "the mean of the steps")):
        (root / "policy.yaml").write_text(_policy(said))
        assert ftc("plan", "policy.yaml", "-o", "plan.json").code == 0
        assert words in (root / "plan.json").read_text()
    (root / "policy.yaml").write_text(_policy("longest"))
    assert "FTC" in ftc("plan", "policy.yaml").text
    folder = run_of(root, "judge").relative_to(root) / "model"
    (root / "policy.yaml").write_text(_policy().replace("run:judge", f"./{folder}"))
    refused = ftc("plan", "policy.yaml")
    assert "FTC459" in refused.text
    assert "its files don't say how rows join them" in refused.text
