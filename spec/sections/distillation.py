"""What is learned from a teacher."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from ftc.spec.base import Document, Effect, Real
from ftc.spec.divergences import Divergence, divergence_card
from ftc.spec.precisions import AskedType
from ftc.spec.writing import Writing

__all__ = ["Distillation", "OnPolicy", "SequenceLevel", "TeacherQuantization"]

TeacherQuantization = Literal["nf4", "int8"]
"""Forms of bitsandbytes in which a teacher's linear layers may be held."""


class OnPolicy(Document):
    """On-policy distillation (GKD, Agarwal et al. 2024): in a share of the steps the model writes its own answers to
    the rows' prompts and learns what the teacher says of each of their tokens, so that it is corrected where it goes
    wrong itself. Each answer is kept in the run's folder, so that an audit recomputes what these steps were fed.
    """

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    lmbda: Real = Field(default=0.5, gt=0, le=1)
    """Share of the optimizer steps that train on answers of the model itself, evenly spread; the others train on the
    rows' answers. Default: 0.5, as in TRL."""
    max_new_tokens: int = Field(default=128, ge=1, le=131_072)
    """Longest answer that is written in training, in tokens. Default: 128, as in TRL."""
    temperature: Real = Field(default=1.0, gt=0, le=10)
    """Sampling temperature. Default: 1, the model's own distribution, as in the paper."""
    top_k: int = Field(default=0, ge=0)
    """Tokens among which each token is sampled, the likeliest; 0 for all. Default: 0, the model's own distribution."""

    @property
    def writing(self) -> Writing:
        """How the model writes."""
        return Writing(
            by="model",
            answers=1,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            share=self.lmbda,
            divides=True,
            here=True,
        )


class SequenceLevel(Document):
    """Sequence-level distillation (Kim and Rush 2016): before each step the teacher answers the prompts of its rows,
    and the model learns these answers in place of the rows' own. Each answer is kept in the run's folder, so that an
    audit recomputes what the steps were fed.
    """

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    max_new_tokens: int = Field(default=128, ge=1, le=131_072)
    """Longest answer that the teacher writes, in tokens. Default: 128, as in TRL."""
    temperature: Real = Field(default=0.0, ge=0, le=10)
    """Sampling temperature; 0 takes the likeliest token each time. Default: 0, since the paper's answers are the
    teacher's likeliest."""
    top_k: int = Field(default=0, ge=0)
    """Tokens among which each token is sampled, the likeliest; 0 for all. Default: 0, the teacher's own
    distribution."""

    @property
    def writing(self) -> Writing:
        """How the teacher writes."""
        return Writing(
            by="teacher",
            answers=1,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            share=1.0,
            divides=True,
            here=True,
        )


class Distillation(Document):
    """A teacher: a model that knows the task already, whose probabilities are learned beside the rows' own answers.

    The loss of each target is `(1 - weight) * cross entropy + weight * temperature^2 * divergence` (Hinton et al.
    2015). The teacher is never changed, and it is asked again in every step.
    """

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    teacher: str = Field(min_length=1, max_length=300)
    """Folder relative to the recipe, or hub id: a model with the task's own head, the base model's tokenizer (or any
    with `loss: uld`) and the task's labels, such as the whole model that a run of ftc leaves."""
    revision: str | None = Field(default=None, min_length=1, max_length=200)
    """Branch, tag or commit of the teacher on the hub. Default: the main branch; the lock pins its commit."""
    loss: Divergence = "forward_kl"
    """Divergence that is minimized. `forward_kl`: from the teacher to the model. `reverse_kl`: from the model to the
    teacher, for a model much smaller than the teacher (MiniLLM, Gu et al. 2024). `jsd`: the mean of both to their
    average. `generalized_jsd`: between these three, by `beta` (GKD, Agarwal et al. 2024). `uld`: sorted probabilities
    by their rank (Universal Logit Distillation, Boizard et al. 2024), for a teacher with another tokenizer: the plan
    aligns its tokens with the model's by the answers' text. Default: forward_kl, as in the paper."""
    beta: Real = Field(default=0.5, ge=0, le=1)
    """Weight of the teacher in the mixture of `generalized_jsd`, as in TRL: 0 is `forward_kl`, 0.5 `jsd` and 1
    `reverse_kl`. Default: 0.5, as in TRL; the other losses don't know it."""
    temperature: Real = Field(default=2.0, gt=0, le=100)
    """Temperature that divides the logits of both models before the softmax; a higher one shows more of the teacher's
    second choices. Default: 2, as in DistilBERT, and 1 with `on_policy`, as in TRL, or with `uld`."""
    weight: Real = Field(default=0.5, ge=0, le=1)
    """Weight of the teacher's loss; the rest is the loss on the rows' own answers. Default: 0.5, equal weights; 1 with
    `on_policy`, since what the model writes itself is no reference answer, and 0 with `seq_kd`, as in the paper: the
    teacher's answers alone are learned."""
    on_policy: OnPolicy | None = None
    """Answers that the model writes itself and the teacher judges. Default: none, so that every step trains on the
    rows' answers."""
    seq_kd: SequenceLevel | None = None
    """Answers that the teacher writes in place of the rows' own. Default: none, so that every step trains on the rows'
    answers."""
    precision: AskedType = "auto"
    """Data type of the teacher's weights. Default `auto`: the precision of the run."""
    quantization: TeacherQuantization | None = None
    """Load the teacher's linear layers in 4 or 8 bits: less memory, slightly less accurate probabilities. Default:
    none, because the model learns from the teacher."""

    @model_validator(mode="after")
    def _as_written_answers_need(self) -> Self:
        """Where the model writes answers itself, the teacher alone counts, at its own probabilities; where the teacher
        does, its answers alone. Probabilities by rank are compared as they are.
        """
        usual = {"temperature": 1.0, "weight": 1.0} if self.on_policy else {"weight": 0.0} if self.seq_kd else {}
        usual |= {"temperature": 1.0} if divergence_card(self.loss).by_rank else {}
        for name in usual.keys() - self.model_fields_set:
            object.__setattr__(self, name, usual[name])  # a copy would be lost where Python makes the section
        return self

    @property
    def writing(self) -> Writing | None:
        """How answers are written that the model is trained on; None where rows alone are trained on."""
        asked = self.on_policy or self.seq_kd
        return asked.writing if asked is not None else None
