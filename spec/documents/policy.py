"""The rules of a project for all its recipes, `ftc.policy.yaml`, and what a plan says to them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ftc.spec.base import Bytes, Document, MoneyText, Seconds
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.metrics import METRIC_BY_NAME

__all__ = ["OLD_RULES", "POLICY_FILE", "DevicePrice", "Level", "Policy", "PolicyResult", "Rules"]

POLICY_FILE = "ftc.policy.yaml"
"""Name of the file; it lies in the project's root."""

OLD_RULES = {"test_looks": "max_test_evaluations"}
"""New names of rules by their old ones, which work for one release more."""

Level = Literal["advisory", "soft", "hard"]
"""`advisory` warns, `soft` refuses unless a reason is given with `--waive`, `hard` refuses."""


class Rule(Document):
    """A rule without a value."""

    level: Level = "hard"
    """How much it weighs. Default hard: a rule that doesn't stop anything should say so."""


class AllowedLicenses(Rule):
    """Licenses that a base model may have, in capitals or not; one that states none breaks the rule."""

    allow: tuple[str, ...] = Field(min_length=1)


class AtMostBytes(Rule):
    """The peak of memory that a plan predicts."""

    at_most: Bytes


class AtMostSeconds(Rule):
    """The time that a plan predicts, at its upper end; one that can't be predicted breaks the rule."""

    at_most: Seconds


class AtMostMoney(Rule):
    """The cost that a plan predicts, at its upper end; one that can't be predicted in this currency breaks the rule."""

    at_most: MoneyText


class RequiredGates(Rule):
    """Metrics for which a recipe must have a gate."""

    require: tuple[str, ...] = Field(min_length=1)

    @field_validator("require")
    @classmethod
    def _are_metrics(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """A metric that doesn't exist would be asked of every recipe in vain."""
        for name in names:
            if name not in METRIC_BY_NAME:
                meant = nearest(name, METRIC_BY_NAME)
                raise ValueError(f"there is no metric `{name}`" + (f"; did you mean `{meant}`?" if meant else ""))
        return names


class AtMostEvaluations(Rule):
    """How many runs may evaluate on the same test rows, this plan's included: a test that many results were chosen by
    measures chance.
    """

    at_most: int = Field(ge=1, le=1_000_000)


class LeastDeterminism(Rule):
    """The least level of `train.determinism`."""

    at_least: Literal["auto", "best_effort", "bitwise"]


class Rules(Document):
    """The rules; one that is absent says nothing."""

    licenses: AllowedLicenses | None = None
    pinned_revisions: Rule | None = None
    """Models and data of the hub are named by a full commit."""
    memory: AtMostBytes | None = None
    time: AtMostSeconds | None = None
    cost: AtMostMoney | None = None
    gates: RequiredGates | None = None
    leakage: Rule | None = None
    """No row is both trained on and evaluated, and that was checked."""
    determinism: LeastDeterminism | None = None
    max_test_evaluations: AtMostEvaluations | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _is_written_out(cls, rule: object) -> object:
        """`leakage:` with nothing behind it looks like a rule and would be none."""
        if rule is None:
            raise ValueError("a rule needs a mapping, at least `{level: hard}`; remove a rule that shall not apply")
        return rule


class DevicePrice(Document):
    """What an hour of a device costs."""

    device: str
    """Its name, as `ftc device list` has it."""
    per_hour: MoneyText


class Policy(Document):
    """The policy file."""

    ftc_policy: Literal[1]
    """Version of the form."""
    rules: Rules
    prices: tuple[DevicePrice, ...] = ()
    """What devices cost, for recipes that give no price themselves."""

    @model_validator(mode="before")
    @classmethod
    def _takes_old_names(cls, policy: object) -> object:
        """A rule by its old name means the same for one release; beside its new one it is unknown."""
        rules = policy.get("rules") if isinstance(policy, dict) else None
        if not isinstance(policy, dict) or not isinstance(rules, dict):
            return policy
        names = {name: OLD_RULES.get(name, name) for name in rules}
        free = {old: new for old, new in names.items() if new not in rules}
        return {**policy, "rules": {free.get(name, name): rule for name, rule in rules.items()}}

    @model_validator(mode="before")
    @classmethod
    def _may_have_prices_alone(cls, policy: object) -> object:
        """A policy that says what devices cost needs no rules; one that says nothing needs them."""
        if isinstance(policy, dict) and policy.get("prices") and "rules" not in policy:
            return {**policy, "rules": {}}
        return policy


class PolicyResult(Document):
    """What a plan says to one rule."""

    rule: str
    level: Level
    passed: bool
    found: str
    """What the plan has, in words."""
    waived: str | None = None
    """The reason for which a broken soft rule was passed over."""
