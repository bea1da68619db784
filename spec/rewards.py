"""Rewards that a program can verify: one card each, with every fact about it, and the recipe's section for one.

To add one, write its card here and its function into `ftc.runtime.rewards`. Rules, passes, importers and docs ask the
cards; no other file names a member. A recipe chooses among these and what installed packages declare
(`ftc.spec.extension_points`), and can't name code of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ftc.spec.base import Bytes, Document, Effect, Real
from ftc.spec.extension_points import ENTRY
from ftc.spec.judges import Judge
from ftc.spec.names import Spelled
from ftc.spec.step_scores import StepAggregate

__all__ = [
    "REWARDS",
    "Reference",
    "RewardCard",
    "RewardJudge",
    "RewardKind",
    "RewardTerm",
    "asks_packages",
    "graded",
    "is_correct",
    "judge_of",
    "judging",
    "needs_reference",
    "reads_tests",
    "recorded_rewards",
    "records",
    "reward_card",
    "reward_model_of",
    "reward_named",
]


Reference = Literal["text", "tests"]
"""What a row's reference is: text, or tests of code as `ftc.spec.code_tests` reads them."""


class RewardCard(NamedTuple):
    """One reward.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        reference: What it takes the row's reference for: text that is compared, or tests that are run; None where it
            reads none.
        recorded: Whether it stands in the record once a run has it, since the answer's text alone doesn't give it.
        verifies: Whether 1 means that an answer is right, rather than of the right form.
        reads: Keys of the recipe that it knows, beside `kind` and `weight`.
        required: Those of them that it can't do without.
        package: Module that it needs beside ftc's own dependencies, and the extra that brings it; None for none.
        foreign: Reward functions of other tools that are this one, by name, with the keys of the recipe that they mean.
    """

    kind: str
    label: str
    reference: Reference | None
    recorded: bool
    verifies: bool
    reads: tuple[str, ...]
    required: tuple[str, ...]
    package: tuple[str, str] | None
    foreign: Mapping[str, Mapping[str, Any]]


REWARDS: tuple[RewardCard, ...] = (
    RewardCard(
        kind="exact_match",
        label="exact match",
        reference="text",
        recorded=False,
        verifies=True,
        reads=("extract", "ignore_case"),
        required=(),
        package=None,
        foreign={},
    ),
    RewardCard(
        kind="numeric_match",
        label="numeric match",
        reference="text",
        recorded=False,
        verifies=True,
        reads=("extract", "tolerance"),
        required=(),
        package=None,
        foreign={"gsm8k": {"extract": r"#### (-?[0-9.,]+)"}},
    ),
    RewardCard(
        kind="regex",
        label="regular expression",
        reference=None,
        recorded=False,
        verifies=False,
        reads=("pattern",),
        required=("pattern",),
        package=None,
        foreign={"think_format_reward": {"pattern": r"^<think>(?!.*<think>)(.*?)</think>.*$"}},
    ),
    RewardCard(
        kind="json_schema",
        label="JSON schema",
        reference=None,
        recorded=False,
        verifies=False,
        reads=("extract", "json_schema"),
        required=("json_schema",),
        package=("jsonschema", "rewards"),
        foreign={},
    ),
    RewardCard(
        kind="format",
        label="format",
        reference=None,
        recorded=False,
        verifies=False,
        reads=("tags",),
        required=(),
        package=None,
        foreign={},
    ),
    RewardCard(
        kind="length",
        label="length",
        reference=None,
        recorded=False,
        verifies=False,
        reads=("min_characters", "max_characters"),
        required=("max_characters",),
        package=None,
        foreign={},
    ),
    RewardCard(
        kind="unit_tests",
        label="unit tests",
        reference="tests",
        recorded=False,
        verifies=True,
        reads=("extract", "cpu_seconds", "memory"),
        required=(),
        package=None,
        foreign={"code_reward": {}, "prime_code": {}},
    ),
    RewardCard(
        kind="judge",
        label="judge",
        reference=None,
        recorded=True,
        verifies=False,
        reads=("judge",),
        required=("judge",),
        package=None,
        foreign={},
    ),
    RewardCard(
        kind="reward_model",
        label="reward model",
        reference=None,
        recorded=True,
        verifies=False,
        reads=("base", "revision", "aggregate"),
        required=("base",),
        package=None,
        foreign={},
    ),
    RewardCard(
        kind="package",
        label="reward of a package",
        reference=None,
        recorded=False,
        verifies=False,
        reads=("name", "compares"),
        required=("name",),
        package=None,
        foreign={},
    ),
)
"""Every reward, in the order in which a recipe's kinds are listed."""

_BY_KIND = {card.kind: card for card in REWARDS}

if TYPE_CHECKING:
    RewardKind = str
else:
    RewardKind = Literal[tuple(_BY_KIND)]
"""What a recipe may write; the cards decide, so that mypy sees a text and pydantic the kinds."""


def reward_card(kind: str) -> RewardCard:
    """The card of a kind that a recipe or plan names."""
    return _BY_KIND[kind]


def reward_named(name: str) -> dict[str, Any] | None:
    """The reward of a recipe that a reward function of another tool is; None where none is known to be."""
    return next(({"kind": card.kind, **card.foreign[name]} for card in REWARDS if name in card.foreign), None)


class RewardJudge(Judge):
    """A language model behind an endpoint whose grades from 1 to 10 are rewards. Prompts and answers are sent to it."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS


class RewardTerm(Document):
    """One reward of an answer."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: RewardKind
    """What is verified. `exact_match`: the answer is the row's reference. `numeric_match`: its last number is the
    reference's. `regex`: `pattern` is found in it. `json_schema`: it is JSON that `json_schema` accepts. `format`: it
    is made of `tags`. `length`: it has so many characters. Each of these gives 1 or 0. `unit_tests`: the share of the
    row's tests that its code passes, in a confined process (Linux). `judge`: the grade of a language model, 0 for 1 and
    1 for 10. `reward_model`: the score of a reward model, on its own scale, or of a process
    reward model by `aggregate`. `package`: what the function `name` of an
    installed package returns."""
    weight: Real = Field(default=1.0, ge=-1000, le=1000)
    """What the reward is multiplied by before all are added up. Default: 1, so that all count equally."""
    extract: str | None = Field(default=None, min_length=1, max_length=2000)
    """Regular expression whose first group is what is compared, the last match in the answer; without a match nothing
    is, and the reward is 0. Default: none, so that the whole answer is compared; of `unit_tests` the last block
    between ``` and ```, or the whole answer where it has none."""
    ignore_case: bool = False
    """Whether `exact_match` compares in lower case. Default: no, because case may matter."""
    tolerance: Real = Field(default=0.0, ge=0)
    """How far apart the numbers of `numeric_match` may be. Default: 0, so that they are equal."""
    pattern: str | None = Field(default=None, min_length=1, max_length=2000)
    """Regular expression that `regex` searches; `^` and `$` bind it to the answer's ends, and a dot matches line breaks
    too. Default: none; `regex` needs one."""
    json_schema: str | None = Field(default=None, min_length=2, max_length=20_000)
    """JSON schema as text, such as `{"type": "object", "required": ["name"]}`. Default: none; `json_schema` needs
    one."""
    tags: Annotated[tuple[Annotated[str, Spelled(r"[A-Za-z][\w-]{0,50}")], ...], Field(min_length=1)] = (
        "think",
        "answer",
    )
    """Elements that `format` asks for, such as `<think>…</think><answer>…</answer>`, with nothing but spaces around
    them. Default: think and answer, as in DeepSeek-R1's prompt."""
    min_characters: int = Field(default=1, ge=0)
    """Shortest answer that `length` rewards. Default: 1, so that an empty answer has no reward."""
    max_characters: int | None = Field(default=None, ge=1)
    """Longest answer that `length` rewards. Default: none; `length` needs one."""
    cpu_seconds: int = Field(default=3, ge=1, le=600)
    """What a test of `unit_tests` may take of the CPU; one that takes more has failed, and so have those after it.
    Default: 3, as usual for HumanEval and MBPP."""
    memory: Annotated[Bytes, Field(ge=64 << 20)] = 512 << 20
    """Memory that a test of `unit_tests` may take, such as `512 MiB`. Default: 512 MiB, enough for exercises."""
    judge: RewardJudge | None = None
    """Who `judge` asks: each sampled answer is sent to it with its prompt and, where the recipe's other rewards compare
    with one, the row's reference. Default: none; `judge` needs one."""
    base: str | None = Field(default=None, min_length=1, max_length=300)
    """Model that `reward_model` asks. `run:NAME`: a finished run of `task: {kind: reward}` in this project; an adapter
    has to be merged first (`ftc run merge`). Else a folder relative to the recipe, or a hub id, of a model with a
    `...ForSequenceClassification` head of one output in safetensors format. It runs on the run's device; the lock pins
    its files by digest. Default: none; `reward_model` needs one."""
    revision: str | None = Field(default=None, min_length=1, max_length=200)
    """Branch, tag or commit of `base` on the hub. Default: the main branch; the lock pins its commit."""
    aggregate: StepAggregate | None = None
    """How one reward comes from the steps of an answer, each scored between 0 and 1 by a process reward model (a run of
    `loss: step_cross_entropy`). `min`: the worst step. `mean`: the mean. `product`: the chance that every step is
    right. `last`: the last step. Default: `min`, because an answer is as good as its worst step, and a product rewards
    answers of fewer steps; a model that scores whole answers has none."""
    name: Annotated[str, Spelled(ENTRY)] | None = None
    """Package and name of the reward that `package` asks, such as `courtesy-metrics:courtesy`. Default: none; `package`
    needs one."""
    compares: bool = False
    """Whether the reward of a package is given the row's reference. Default: no, so that rows need none."""

    @property
    def label(self) -> str:
        """What people call it."""
        label, own = reward_card(self.kind).label, self.name or self.base
        return f"{label} {own}" if own else label

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        kept = {"kind", "weight", *reward_card(self.kind).reads}
        return {name: value for name, value in handler(self).items() if name in kept and value is not None}


def asks_packages(rewards: Sequence[RewardTerm]) -> bool:
    """Whether any of them is the code of an installed package, which an audit doesn't run."""
    return any(one.name is not None for one in rewards)


def judge_of(rewards: Sequence[RewardTerm]) -> Judge | None:
    """Who grades answers; None where nobody is asked. A recipe has one at the most."""
    return next((one.judge for one in rewards if one.judge is not None), None)


def records(rewards: Sequence[RewardTerm]) -> bool:
    """Whether any of them stands in the record, since the answers' texts alone don't give it."""
    return any(reward_card(one.kind).recorded for one in rewards)


def reward_model_of(rewards: Sequence[RewardTerm]) -> RewardTerm | None:
    """The reward that a reward model gives; None where none does. A recipe has one at the most."""
    return next((one for one in rewards if one.base is not None), None)


def recorded_rewards(
    rewards: Sequence[RewardTerm], grades: Sequence[float] | None, scores: Sequence[float] | None
) -> list[tuple[float, ...]]:
    """The rewards of each answer that stand in the record, in the order of their terms.

    Args:
        rewards: The plan's.
        grades: What a judge gives the answers, in their order; None where none is asked.
        scores: The same of a reward model.
    """
    asked = [grades if one.judge is not None else scores for one in rewards if reward_card(one.kind).recorded]
    return list(zip(*(column for column in asked if column is not None), strict=True))


def graded(grade: int | None) -> float:
    """The reward for a grade from 1 to 10, between 0 and 1; 0 for an answer that a judge gives none."""
    return 0.0 if grade is None else (grade - 1) / 9


def needs_reference(rewards: Sequence[RewardTerm]) -> bool:
    """Whether any of them compares with the row's reference."""
    return any(reward_card(one.kind).reference is not None or one.compares for one in rewards)


def reads_tests(rewards: Sequence[RewardTerm]) -> bool:
    """Whether any of them takes the row's reference for tests of code."""
    return any(reward_card(one.kind).reference == "tests" for one in rewards)


def judging(rewards: Sequence[RewardTerm]) -> tuple[int, ...]:
    """Places of the rewards that say whether an answer is correct: those that verify it; where none does, those of
    which 1 is the most; else all.
    """
    verifying = tuple(place for place, one in enumerate(rewards) if reward_card(one.kind).verifies)
    bounded = tuple(place for place, one in enumerate(rewards) if one.base is None)
    return verifying or bounded or tuple(range(len(rewards)))


def is_correct(rewards: Sequence[RewardTerm], values: Sequence[float]) -> bool:
    """Whether every reward that verifies an answer gives it all; where none verifies, every reward."""
    return all(values[place] >= 1 for place in judging(rewards))
