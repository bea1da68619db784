"""A reward model that a run trained gives the rewards of another run, and scores the answers of its evaluation."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.canonical import file_digest
from ftc.spec.documents.reward_models import AnswerFrames, frames_file
from ftc.spec.storage.paths import streams_folder
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


def test_a_run_that_goes_on_gives_the_same_bits(root: Path, ftc: Ftc) -> None:
    whole = (run_of(root, "policy") / "answers.ndjson").read_bytes()
    (root / "runs" / "policy").rename(root / "before")
    assert ftc("plan", "policy.yaml", "-o", "plan.json").code == 0
    assert ftc("apply", "plan.json", "--until", "1").code == 0
    kept = (run_of(root, "policy") / "answers.ndjson").read_bytes()
    assert whole.startswith(kept)
    assert kept != whole
    applied = ftc("apply", "plan.json")
    assert applied.code == 0, applied.text
    assert (run_of(root, "policy") / "answers.ndjson").read_bytes() == whole
    plan = json.loads((root / "plan.json").read_text())
    phases = {one["phase"]: one["components"] for one in plan["memory"]["phases"]}
    assert phases["sampling: rewards"]["reward model"] > 0
    assert phases["grade: scores"]["reward model"] == phases["sampling: rewards"]["reward model"]


def test_a_forged_score_is_found(root: Path, ftc: Ftc) -> None:
    run = run_of(root, "policy")
    answers, predictions = run / "answers.ndjson", run / "predictions.ndjson"
    lines = answers.read_text().splitlines(keepends=True)
    # All that follows from scores is as it should be, means and advantages: only the reward model says otherwise.
    forged = [json.loads(line) for line in lines[:8]]
    for number, line in enumerate(forged):
        score = float(line["rewards"][0]) + (0.5 if number < 4 else -0.5)
        line["rewards"][0] = str(score)
        line["reward"] = str(2 * score + float(line["rewards"][1]))
    answers.write_text("".join(json.dumps(line) + "\n" for line in forged) + "".join(lines[8:]))
    audited = ftc("audit", run.name)
    assert audited.code != 0
    assert "answers.ndjson, line 1: rewards" in audited.text
    row, *rest = predictions.read_text().splitlines(keepends=True)
    changed = json.loads(row)
    changed["tuned"]["reward"] = str(float(changed["tuned"]["reward"]) + 30)
    predictions.write_text(json.dumps(changed, ensure_ascii=False, sort_keys=True) + "\n" + "".join(rest))
    assert "predictions.ndjson" in ftc("audit", run.name).text


def test_what_cannot_score_answers_is_refused_at_its_place(root: Path, ftc: Ftc) -> None:
    policy = root / "policy.yaml"
    text = policy.read_text()

    def refused(base: str) -> str:
        policy.write_text(text.replace("base: 'run:judge', weight", f"base: '{base}', weight"))
        found = ftc("plan", "policy.yaml")
        assert found.code != 0, found.text
        return found.text

    assert "trained no reward model: its task is `reinforcement`" in refused("run:policy")
    assert "FTC520" in refused("run:nobody")
    assert "can't score answers: its class is 'LlamaForCausalLM'" in refused("./decoder").replace("`", "'")
    folder = run_of(root, "judge") / "model"
    config = folder / "config.json"
    kept = config.read_bytes()
    config.write_bytes(kept + b"\n")
    assert "FTC562" in refused("run:judge")
    config.unlink()
    assert "FTC562" in refused("run:judge")
    config.write_bytes(kept)
    copy = root / "scorer"
    shutil.copytree(folder, copy)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        if (copy / name).is_file():
            written = (
                (copy / name).read_text().replace("message['content']", "message['content'] | replace('Yes', 'No')")
            )
            (copy / name).write_text(written)
    assert "writes some answers otherwise than as they are" in refused("./scorer")
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        if (copy / name).is_file():
            part = "message['content'].split('</think>')[-1]"
            written = (folder / name).read_text().replace("message['content']", part)
            (copy / name).write_text(written)
    policy.write_text(text.replace("base: 'run:judge', weight", "base: './scorer', weight"))
    planned = api.plan(policy).plan
    frames = streams_folder(planned.stream_key) / frames_file("reward_model")
    reasoning = AnswerFrames.model_validate_json(frames.read_bytes()).reasoning
    assert reasoning is not None, "what it makes of reasoning is known"
    assert reasoning.written("<s>", "<think>a</think>b") == "<s>b"
    steps = json.loads((copy / "config.json").read_text())
    steps["architectures"] = ["LlamaForTokenClassification"]
    (copy / "config.json").write_text(json.dumps(steps))
    assert "process reward model" in refused("./scorer")


def test_the_lock_keeps_the_run_and_a_changed_model_stops_one(root: Path, ftc: Ftc) -> None:
    lock = json.loads((root / "policy.lock.json").read_text())
    kept = lock["train"]["settings"]["train"]["sampling"]["reward_model"]
    assert kept["run"] == run_of(root, "judge").name
    assert "model.safetensors" in kept["files"]
    assert ftc("lock", "--check", "policy.yaml").code == 0
    # The recipe of the reward model has run again since: the lock's run stays, until it is asked for.
    again = ftc("apply", "recipe.yaml", "--again", "--set", "train.seed=5", "--yes")
    assert again.code == 0, again.text
    assert ftc("lock", "--check", "policy.yaml").code == 0
    moved = ftc("lock", "policy.yaml", "--upgrade-package", "reward_model")
    assert moved.code == 0, moved.text
    newer = json.loads((root / "policy.lock.json").read_text())["train"]["settings"]["train"]["sampling"]
    assert newer["reward_model"]["run"] != kept["run"]
    assert ftc("plan", "policy.yaml", "-o", "plan.json").code == 0
    weights = root / newer["reward_model"]["base"] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    stopped = ftc("apply", "plan.json")
    assert stopped.code != 0
    assert "FTC562" in stopped.text
    assert "has the sha256" in stopped.text


def test_an_adapter_needs_a_merged_model(
    models: Path, tmp_path: Path, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    root = make_project(tmp_path / "project", models, "scored_reward", "lora", steps=2)
    monkeypatch.chdir(root)
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("name: tiny", "name: judge"))
    assert ftc("apply", "recipe.yaml", "--yes").code == 0
    write_rows(root / "asked.jsonl", "generation")
    text = recipe_of("generation", steps=2, evaluation="samples: 2, reward_model: {base: 'run:judge'}")
    (root / "writer.yaml").write_text(text.replace("rows.jsonl", "asked.jsonl").replace("name: tiny", "name: writer"))
    alone = ftc("plan", "writer.yaml")
    assert "FTC565" in alone.text
    merged = ftc("run", "merge", run_of(root, "judge").name, "-o", "models/judge")
    assert merged.code == 0, merged.text
    applied = ftc("apply", "writer.yaml", "--yes")
    assert applied.code == 0, applied.text
    run = run_of(root, "writer")
    plan = api.find_run(run.name, root).plan
    found, rated = plan.settings.eval.reward_model, api.find_run("judge", root).plan.settings.train.regression
    assert found is not None
    assert rated is not None
    assert (found.base, found.mean, found.spread) == ("models/judge", rated.scales[0].mean, rated.scales[0].spread)
    assert json.loads((run / "eval.json").read_text())["reward_model"]["base"] is not None
    audited = ftc("audit", run.name)
    assert audited.code == 0, audited.text
    again = ftc("run", "eval", run.name)
    assert again.code == 0, again.text
    assert "models/judge" in again.text
    (root / "models" / "judge").rename(root / "models" / "away")
    elsewhere = ftc("run", "eval", run.name, "--data", "asked.jsonl")
    assert elsewhere.code == 0, elsewhere.text
    assert "Not measured: scores by the reward model `models/judge`" in elsewhere.text
    assert "is not on this machine" in elsewhere.text


def test_what_a_finished_run_is_used_for(root: Path, ftc: Ftc) -> None:
    run = run_of(root, "policy").name
    measured = ftc("run", "eval", run)
    assert measured.code == 0, measured.text
    asked = (root / "asked.jsonl").read_text().splitlines(keepends=True)
    tested = [
        json.loads(line)["row"] for line in (run_of(root, "policy") / "predictions.ndjson").read_text().splitlines()
    ]
    (root / "again.jsonl").write_text("".join(asked[row] for row in tested))
    elsewhere = ftc("run", "eval", run, "--data", "again.jsonl", "--json")
    assert elsewhere.code == 0, elsewhere.text
    again = json.loads(elsewhere.out)
    before = json.loads((run_of(root, "policy") / "eval.json").read_text())
    assert again["left_out"] == []
    mine = again["evaluation"]
    assert float(mine["reward_model"]["tuned"]) == pytest.approx(float(before["reward_model"]["tuned"]), abs=1e-5)
    means = [float(found["tuned"]["metrics"]["mean_reward"]) for found in (mine, before)]
    assert means[0] == pytest.approx(means[1], abs=1e-5)
    predicted = ftc("predict", run, "--data", "asked.jsonl", "-o", "said.jsonl")
    assert predicted.code == 0, predicted.text
    drifted = ftc("drift", run, "--data", "asked.jsonl")
    assert "another model rewards the answers" in drifted.text, "and five validation rows show no difference"
    assert ftc("plan", "policy.yaml", "-o", "plan.json").code == 0
    packed = ftc("pack", "plan.json", "-o", "plan.tar")
    assert packed.code == 0, packed.text


def test_a_score_that_is_no_number_is_refused_at_its_row(root: Path, ftc: Ftc) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(run_of(root, "judge") / "model", root / "broken")
    weights = load_file(root / "broken" / "model.safetensors")
    weights["score.weight"] = torch.full_like(weights["score.weight"], float("nan"))
    save_file(weights, root / "broken" / "model.safetensors", {"format": "pt"})
    (root / "policy.yaml").write_text(policy_recipe("./broken"))
    refused = ftc("apply", "policy.yaml", "--yes")
    assert refused.code != 0
    assert "FTC459" in refused.text
    assert "gives nan for an answer to row" in refused.text
    assert "of the split `train`" in refused.text
    assert "train.precision" in refused.text


def test_an_audit_that_cannot_score_answers_accuses_nobody(
    root: Path, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(root, "policy").name
    with monkeypatch.context() as patch:
        patch.setattr("ftc.runtime.rewards.rescored._MOST_FLOPS", 1.0)
        audited = ftc("audit", run)
    assert audited.code == 0, audited.text
    assert "scores of 3 of 3 steps, which would take long; none was computed again" in audited.text

    def without_memory(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("ftc.runtime.rewards.reward_model.RewardModel.scores", without_memory)
    audited = ftc("audit", run)
    assert audited.code == 0, audited.text
    assert "could not be scored here" in audited.text


def test_rounding_is_measured_by_how_far_scores_lie_apart() -> None:
    from ftc.runtime.rewards.rescored import _scale

    assert _scale([-20.0, 20.0] * 8, 1.0) == 20, "0.16 of rounding in 16 bits is no forgery"
    assert _scale([0.1, 0.2], 1.0) == 1
    assert _scale([0.1, 0.2], 300.0) == 300, "numbers of that unit were learned"


def test_two_reward_models_are_never_on_the_device_at_once(
    root: Path, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gc
    import weakref

    from ftc.runtime.rewards.reward_model import RewardModel

    loaded: list[weakref.ref[RewardModel]] = []
    begin = RewardModel.__init__

    def counted(self: RewardModel, *args: Any) -> None:
        gc.collect()
        assert not [one for one in loaded if one() is not None], "the plan counts one"
        begin(self, *args)
        loaded.append(weakref.ref(self))

    monkeypatch.setattr(RewardModel, "__init__", counted)
    applied = ftc("apply", "policy.yaml", "--again", "--yes")
    assert applied.code == 0, applied.text
    assert len(loaded) == 2


def test_a_changed_reward_model_says_nothing_of_answers(root: Path, ftc: Ftc) -> None:
    from safetensors.torch import load_file, save_file

    weights = run_of(root, "judge") / "model" / "model.safetensors"
    found = load_file(weights)
    found["score.weight"] = -found["score.weight"]
    save_file(found, weights, {"format": "pt"})
    audited = ftc("audit", run_of(root, "policy").name)
    assert audited.code != 0
    assert "FTC521" in audited.text
    assert "the reward model is not the one that was locked" in audited.text
    assert "FTC537" not in audited.text, "no answer was changed"


def test_an_evaluation_without_the_planned_scores_is_found(root: Path, ftc: Ftc) -> None:
    run = run_of(root, "policy")
    audited = ftc("audit", run.name)
    assert "each answer's score by the reward model in predictions.ndjson" in audited.text
    measured = json.loads((run / "eval.json").read_text())
    del measured["reward_model"]
    (run / "eval.json").write_text(json.dumps(measured))
    record = json.loads((run / "record.json").read_text())
    facts = record["outputs"]["eval.json"]
    facts["sha256"], facts["size"] = file_digest(run / "eval.json"), (run / "eval.json").stat().st_size
    (run / "record.json").write_text(json.dumps(record))
    assert "eval.json: reward_model" in ftc("audit", run.name).text
