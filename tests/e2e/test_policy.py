"""A project's policy: read strictly, held against every plan, and kept with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc.compiler.policy import ReadPolicy, judged
from ftc.spec.documents.companion_settings import ClassifierSettings
from ftc.spec.documents.loss_settings import DistillationSettings, TeacherSettings
from ftc.spec.documents.policy import Policy
from ftc.spec.language.source import read_source
from ftc.spec.sections.distillation import Distillation
from ftc.spec.sections.evaluation import Classifier
from tests.e2e.conftest import Ftc, MakeProject
from tests.support import documents
from tests.support.projects import contents


def policy(root: Path, rules: str) -> None:
    (root / "ftc.policy.yaml").write_text(f"ftc_policy: 1\nrules:\n  {rules}\n")


_SOURCE, _ = read_source("ftc_policy: 1\nrules:\n  pinned_revisions: {level: advisory}\n", "ftc.policy.yaml")
assert _SOURCE is not None
PINNED = ReadPolicy(Policy.model_validate(_SOURCE.plain()), _SOURCE, ())
RULES = {
    "licenses: {allow: [Apache-2.0]}": "licenses: {allow: [mit]}",
    "pinned_revisions: {level: hard}": "",
    "memory: {at_most: 100GiB}": "memory: {at_most: 1KiB}",
    "": "time: {at_most: 1h}",
    " ": "cost: {at_most: 1 USD}",
    "gates: {require: [accuracy]}": "gates: {require: [macro_f1]}",
    "leakage: {level: hard}": "",
    "determinism: {at_least: auto}": "determinism: {at_least: bitwise}",
}


@pytest.mark.sample(2)
@pytest.mark.parametrize(("kept", "broken"), RULES.items())
def test_a_rule_that_is_broken_and_one_that_is_kept(project: MakeProject, ftc: Ftc, kept: str, broken: str) -> None:
    root = project()
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("{samples: 2}", "{samples: 2, gates: {accuracy: '>= 0.0'}}"))
    if kept.strip():
        policy(root, kept)
        planned = ftc("plan", "recipe.yaml")
        assert planned.code == 0, planned.err
        assert "1 of 1 rules are met" in planned.text
    if broken:
        policy(root, broken)
        before = contents(root)
        refused = ftc("plan", "recipe.yaml")
        assert (refused.code, "[FTC431]" in refused.err) == (4, True), refused.err
        assert "ftc.policy.yaml:3:3" in refused.err
        assert contents(root) == before


def test_leakage_that_nobody_searched_for_is_not_ruled_out(project: MakeProject, ftc: Ftc) -> None:
    root = project()
    policy(root, "leakage: {level: hard}")
    refused = ftc("plan", "recipe.yaml", "--set", "data.quality.similarity=null")
    assert (refused.code, "[FTC431]" in refused.err) == (4, True), refused.text
    assert "not everything was searched; near duplicates: `data.quality.similarity` is null" in refused.text
    assert ftc("plan", "recipe.yaml").code == 0


def test_rows_that_are_equal_once_they_are_truncated_are_leakage(project: MakeProject, ftc: Ftc) -> None:
    """Half of a row's text is behind the maximum length, so that no two texts are alike."""
    root = project()
    topics = ("money", "sport", "film")
    words = "the bank raised the price of a share"
    rows = [
        f"{topics[n % 3]} {words}{''.join(f' n{n}x{word}' for word in range(60))},{topics[n % 3]}" for n in range(48)
    ]
    (root / "rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    short = ("--set", "data.max_length=8")
    planned = ftc("plan", "recipe.yaml", *short)
    assert planned.code == 0, planned.text
    text = " ".join(planned.text.split())
    assert "test rows have the tokens of training rows" in text
    assert "No leakage" not in text
    policy(root, "leakage: {level: hard}")
    refused = ftc("plan", "recipe.yaml", *short)
    assert (refused.code, "[FTC431]" in refused.err) == (4, True), refused.text
    assert "test rows have the tokens of training rows" in refused.text


def test_a_price_of_the_policy_stands_where_a_recipe_has_none(project: MakeProject, ftc: Ftc) -> None:
    root = project()
    file, prices = root / "ftc.policy.yaml", "ftc_policy: 1\nrules: {}\nprices: [{device: %s, per_hour: %s}]\n"
    file.write_text(prices % ("rtx-4090", "9000 USD"))
    planned = ftc("plan", "recipe.yaml", "--no-trace", "--set", "budget.device=rtx-4090")
    assert planned.code == 0, planned.err
    assert "✓ price 9000.00 USD an hour of rtx-4090, from the project's policy" in " ".join(planned.text.split())
    own = ftc("plan", "recipe.yaml", "--no-trace", "--set", "budget={device: rtx-4090, price_per_hour: 2 EUR}")
    assert "EUR" in own.text
    assert "9000" not in own.text
    file.write_text(prices % ("cpu", "cheap"))
    assert "[FTC430]" in ftc("plan", "recipe.yaml").err


@pytest.mark.slow
def test_a_test_split_that_was_looked_at_often_enough(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=1)
    policy(root, "max_test_evaluations: {at_most: 1}")
    assert ftc("apply", "recipe.yaml", "--yes").code == 0
    assert ftc("apply", "recipe.yaml", "--yes", "--again").code == 0, "the same job looks as itself"
    assert ftc("plan", "recipe.yaml").code == 0, "the run that looked may be planned again"
    other = ftc("plan", "recipe.yaml", "--set", "train.seed=2")
    assert (other.code, "with this plan, 2 runs evaluate on the same test rows" in other.text) == (4, True), other.text
    policy(root, "test_looks: {at_most: 1}")
    again = ftc("plan", "recipe.yaml", "--set", "train.seed=2")
    assert (again.code, "FTC106" in again.err) == (4, True), again.err


def test_a_classifier_of_the_hub_has_to_be_pinned_too() -> None:
    plan = documents.plan()
    asked = Classifier(base="org/toxicity", label="toxic", revision="main")
    settled = ClassifierSettings.model_construct(commit="c" * 40)
    for revision, passed in (("main", False), ("c" * 40, True)):
        recipe = plan.recipe.eval.model_copy(update={"classifier": asked.model_copy(update={"revision": revision})})
        changed = plan.model_copy(
            update={
                "recipe": plan.recipe.model_copy(update={"eval": recipe}),
                "settings": plan.settings.model_copy(
                    update={"eval": plan.settings.eval.model_copy(update={"classifier": settled})}
                ),
            }
        )
        (result,), _ = judged(PINNED, changed, {})
        assert (result.passed, "eval.classifier" in result.found) == (passed, not passed)


def test_a_teacher_of_the_hub_has_to_be_pinned_too() -> None:
    plan = documents.plan()
    settled = DistillationSettings.model_construct(teacher=TeacherSettings.model_construct(commit="c" * 40))
    settings = plan.settings.model_copy(
        update={"train": plan.settings.train.model_copy(update={"distillation": settled})}
    )
    for revision, passed in (("main", False), ("c" * 40, True)):
        asked = plan.recipe.train.model_copy(
            update={"distillation": Distillation(teacher="org/large", revision=revision)}
        )
        recipe = plan.recipe.model_copy(update={"train": asked})
        (result,), _ = judged(PINNED, plan.model_copy(update={"recipe": recipe, "settings": settings}), {})
        assert (result.passed, "train.distillation" in result.found) == (passed, not passed)


def test_leakage_is_not_ruled_out_where_the_training_rows_are_gone() -> None:
    plan = documents.plan()
    source, _ = read_source("ftc_policy: 1\nrules:\n  leakage: {level: advisory}\n", "ftc.policy.yaml")
    assert source is not None
    read = ReadPolicy(Policy.model_validate(source.plain()), source, ())
    for trained_on, passed in ((0, True), (None, False), (2, False)):
        quality = plan.quality.model_copy(update={"trained_on": trained_on})
        (result,), _ = judged(read, plan.model_copy(update={"quality": quality}), {})
        assert result.passed == passed
        assert ("not searched for training rows" in result.found) == (trained_on is None)


@pytest.mark.slow
def test_a_soft_rule_needs_a_reason_that_the_plan_keeps(project: MakeProject, ftc: Ftc) -> None:
    root = project(steps=1)
    policy(root, "memory: {at_most: 1KiB, level: soft}")
    refused = ftc("plan", "recipe.yaml")
    assert (refused.code, "[FTC432]" in refused.err) == (4, True)
    waived = ftc("plan", "recipe.yaml", "--waive", "memory=the card is lent", "-o", "job.plan.json")
    assert (waived.code, "[FTC433]" in waived.err) == (0, True), waived.err
    (result,) = json.loads((root / "job.plan.json").read_text())["policy"]
    assert (result["passed"], result["waived"]) == (False, "the card is lent")
    policy(root, "memory: {at_most: 1KiB, level: advisory}")
    stale = ftc("apply", "job.plan.json")
    assert stale.code == 64
    policy(root, "memory: {at_most: 1KiB, level: soft}")
    assert ftc("apply", "job.plan.json").code == 0


def test_an_advisory_rule_warns(project: MakeProject, ftc: Ftc) -> None:
    policy(project(), "licenses: {allow: [mit], level: advisory}")
    planned = ftc("plan", "recipe.yaml")
    assert (planned.code, "warning[FTC433]" in planned.err) == (0, True), planned.err


def test_a_policy_that_changed_makes_a_saved_plan_stale(project: MakeProject, ftc: Ftc) -> None:
    root = project()
    assert ftc("plan", "recipe.yaml", "-o", "job.plan.json").code == 0
    policy(root, "licenses: {allow: [apache-2.0]}")
    stale = ftc("apply", "job.plan.json")
    assert (stale.code, "policy.licenses: absent → hard, kept" in stale.text) == (5, True), stale.err


@pytest.mark.parametrize("words", [("--waive", "memory=because"), ("--waive", "memory"), ("--waive", "memory= ")])
def test_a_waiver_that_does_nothing(project: MakeProject, ftc: Ftc, words: tuple[str, ...]) -> None:
    project()
    refused = ftc("plan", "recipe.yaml", *words)
    assert (refused.code, "[FTC434]" in refused.err) == (64, True), refused.err


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("license: {allow: [mit]}", "did you mean `licenses`?"),
        ("memory: {at_most: much}", "a number and a unit"),
        ("memory: {level: hard}", "`rules.memory.at_most` is missing"),
        ("leakage: {level: strict}", "`rules.leakage.level` can't be this"),
        ("leakage:", "a rule needs a mapping"),
        ("leakage: hard", "write a mapping"),
        ("licenses: {allow: []}", "name at least one"),
        ("gates: {require: [acuracy]}", "did you mean `accuracy`?"),
    ],
)
def test_what_is_no_policy(project: MakeProject, ftc: Ftc, rules: str, words: str) -> None:
    root = project()
    policy(root, rules)
    refused = ftc("plan", "recipe.yaml")
    assert (refused.code, "[FTC430]" in refused.err, words in refused.text) == (3, True, True), refused.err
    assert "ftc.policy.yaml:3:" in refused.err


def test_a_policy_that_is_there_and_not_read_is_never_passed_over(project: MakeProject, ftc: Ftc) -> None:
    root = project()
    (root / "ftc.policy.yml").write_text("ftc_policy: 1\nrules: {}\n")
    refused = ftc("plan", "recipe.yaml")
    assert (refused.code, "rename it to `ftc.policy.yaml`" in refused.err) == (3, True), refused.err
    (root / "ftc.policy.yml").rename(root / "ftc.policy.yaml")
    assert ftc("plan", "recipe.yaml").code == 0
    for text, words in (("", "the policy is empty"), ("ftc_policy: 2\nrules: {}\n", "write 1")):
        (root / "ftc.policy.yaml").write_text(text)
        assert words in ftc("plan", "recipe.yaml").err
    (root / "ftc.policy.yaml").unlink()
    (root / "ftc.policy.yaml").symlink_to(root / "gone.yaml")
    refused = ftc("plan", "recipe.yaml")
    assert (refused.code, "[FTC326]: `ftc.policy.yaml` is a link" in refused.err) == (3, True), refused.err


def test_a_price_of_the_policy_serves_a_limit_on_the_cost(project: MakeProject, ftc: Ftc) -> None:
    root = project()
    file, prices = root / "ftc.policy.yaml", "ftc_policy: 1\nrules: {}\nprices: [{device: %s, per_hour: %s}]\n"
    limited = ("recipe.yaml", "--set", "budget={device: rtx-4090, cost: 5 USD}")
    assert "[FTC209]" in ftc("validate", *limited).err, "nobody names a price"
    file.write_text(prices % ("rtx-4090", "0.40 USD"))
    assert ftc("validate", *limited).code == 0
    planned = ftc("plan", *limited, "--no-trace")
    assert planned.code == 0, planned.err
    assert "0.40 USD an hour of rtx-4090, from the project's policy" in " ".join(planned.text.split())
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("budget: {device: cpu,", "budget: {device: rtx-4090, cost: 5 USD,"))
    assert ftc("lock", "recipe.yaml").code == 0
    file.write_text(prices % ("rtx-4090", "0.40 EUR"))
    refused = ftc("plan", *limited, "--no-trace")
    assert (refused.code, "the cost limit is in USD, the price of rtx-4090 in EUR" in refused.err) == (3, True), (
        refused.err
    )
    file.write_text(prices % ("h100-sxm", "2 USD"))
    refused = ftc("plan", *limited, "--no-trace")
    assert (refused.code, "`cost` needs a price of rtx-4090" in refused.err) == (3, True), refused.err
    file.write_text("ftc_policy: 1\nprices: [{device: rtx-4090, per_hour: 0.40 USD}]\n")
    assert ftc("validate", *limited).code == 0, "prices need no rules beside them"
    for text in ("ftc_policy: 2\n", "ftc_policy: 1\n", "ftc_policy: 1\nprices: []\n"):
        file.write_text(text)
        assert "[FTC430]" in ftc("validate", *limited).err
