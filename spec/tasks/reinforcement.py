"""A prompt in, several answers out, and rewards that a program computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Bytes, Effect, Real
from ftc.spec.reinforcement_losses import REINFORCEMENT_LOSSES, ReinforcementLoss
from ftc.spec.rewards import RewardTerm, needs_reference, reads_tests
from ftc.spec.tasks.card import Mode, Prompted, PromptFacts, Sign, TaskCard
from ftc.spec.tasks.parts import HISTORY, PROMPT, REFERENCE, SYSTEM
from ftc.spec.tasks.rows import PromptRows
from ftc.spec.writers import WriterKind, writer_card

if TYPE_CHECKING:
    from ftc.spec.documents.loss_settings import SamplingSettings

__all__ = ["Reinforcement"]

USUAL_CAP = 2.0
"""As in TRL."""

_MODE = Mode(
    option=None,
    families=("decoder",),
    form="sample",
    head="lm",
    reason="the model's own answers are trained on",
    no_prompt=None,
    unused=(),
    traits=(),
    usual_metrics=("mean_reward", "correct"),
    least_steps=None,
    does="writes answers that earn rewards",
    pipeline="text-generation",
    split_pipeline="text2text-generation",
)


class Reinforcement(Prompted):
    """Reinforcement learning from verifiable rewards: GRPO and its relatives.

    In each step the model samples a group of answers to each prompt, a program computes their rewards, and the step
    trains on these answers: those with more reward than their group become likelier. The run's folder keeps every
    sampled answer with its rewards and advantage.
    """

    EFFECTS: ClassVar[dict[str, Effect]] = {"writer_memory": Effect.RESOURCE}
    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(PROMPT, REFERENCE, SYSTEM, HISTORY),
        row_forms=(("prompt", "reference"), ("prompt",)),
        template_form=None,
        written_parts=(),
        answer_parts=("reference",),
        beside={"system": ("prompt",), "history": ("prompt",)},
        signs=((Sign("prompt", "name"), Sign("reference", "name", ("ground_truth", "solution", "reference"))),),
        guess_order=57,
        guessed=(),
        foreign_names=("rlvr", "reinforcement-learning", *(card.kind for card in REINFORCEMENT_LOSSES)),
        is_imported=True,
        needs_decoder=True,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=True,
        slices_obstacle=None,
        teacher_obstacle="a reinforcement task has no answers beforehand for a teacher",
        starter="HuggingFaceTB/SmolLM2-135M-Instruct",
    )

    kind: Literal["reinforcement"]
    rewards: tuple[RewardTerm, ...] = Field(
        default=(RewardTerm.model_construct(kind="exact_match"),), min_length=1, max_length=20
    )
    """What an answer earns: a list of rewards, which are weighted and added up. Default: an exact match with the row's
    reference, the strictest."""
    loss: ReinforcementLoss = "grpo"
    """How rewards become a loss. Default: `grpo`, group relative policy optimization."""
    group_size: int = Field(default=8, ge=2, le=1024)
    """Answers that are sampled for each prompt; `train.batch_size` counts answers and is a multiple of it. Default: 8,
    as in TRL."""
    max_new_tokens: int = Field(default=256, ge=1, le=131_072)
    """Longest answer, in tokens, in training and evaluation. Default: 256, as in TRL."""
    temperature: Real = Field(default=1.0, gt=0, le=10)
    """Sampling temperature; the loss divides logits by it too. Default: 1, the model's own distribution."""
    top_k: int = Field(default=0, ge=0)
    """Tokens among which each token is sampled, the likeliest; 0 for all. Default: 0, the model's own distribution."""
    beta: Real = Field(default=0.0, ge=0, le=100)
    """Weight of the divergence from the base model (KL, per token), which keeps the model close to it; the base is
    asked by switching the adapter off. Default: 0, as in Dr. GRPO and DAPO."""
    writer: WriterKind = "transformers"
    """What writes the answers that are trained on. `transformers`: the run itself. `vllm`, `sglang`: a server that you
    start, which gets the current weights before each step and answers much faster; its address is in
    `ftc.launch.yaml`, or the server's usual one on this machine. Tokens and probabilities that it gives are recorded,
    and it promises no bits, so that a replay trains on the recorded answers. Default: `transformers`, which needs
    nothing else."""
    writer_memory: Annotated[Bytes, Field(gt=0)] | None = None
    """Memory for a vLLM server that the run starts itself, on the GPU that it trains on (a colocated server), such as
    `24GiB`: its weights, cache and graphs. The plan counts it beside training, and the server ends with training. Not
    given: you start the server. Default: none, since what training leaves free differs from job to job."""
    importance_cap: Literal["auto", "none"] | Annotated[Real, Field(gt=0, le=100)] = "auto"
    """Truncated importance sampling for answers of a server, whose probabilities differ from the trainer's by
    rounding: a token's loss is multiplied by its probability as the trainer computes it, over that of the server, and
    at most by this. `none`: not multiplied. Default `auto`: 2 where a server writes, as in TRL."""

    @property
    def row_forms(self) -> tuple[tuple[str, ...], ...]:
        """A reference stands beside the prompt where a reward compares with one."""
        with_reference, alone = self.CARD.row_forms
        return (with_reference,) if needs_reference(self.rewards) else (alone,)

    @property
    def sampling(self) -> SamplingSettings:
        """What the recipe says of the answers that are trained on."""
        from ftc.spec.documents.loss_settings import SamplingSettings  # checking a recipe's text needs none

        settled = {"importance_cap", "reward_model"}  # the second once its files are known
        said = {name: getattr(self, name) for name in SamplingSettings.model_fields.keys() - settled}
        usual = USUAL_CAP if writer_card(self.writer).is_server else None
        asked = None if self.importance_cap == "none" else self.importance_cap
        return SamplingSettings(**said, importance_cap=usual if asked == "auto" else asked)

    def modes(self) -> tuple[Mode, ...]:
        """Answers are sampled."""
        return (_MODE,)

    def rows(self) -> PromptRows:
        """Prompts, with or without references."""
        return PromptRows(has_tests=reads_tests(self.rewards))

    def usual_prompt(self, facts: PromptFacts) -> tuple[str, str]:
        """The prompt as it stands."""
        return facts.value("prompt"), f"column `{facts.columns['prompt']}` is the prompt"
