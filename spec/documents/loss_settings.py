"""Settings of losses that not every task has: of compared or sampled answers, vectors, numbers, routers, teachers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ftc.spec.base import Document, Real, SparseDocument
from ftc.spec.divergences import Divergence, divergence_card
from ftc.spec.documents.companion_settings import CompanionModel, RewardModelSettings
from ftc.spec.embedding_losses import EmbeddingLoss, EmbeddingLossCard, Pooling, embedding_loss
from ftc.spec.number_losses import AnyNumberLoss
from ftc.spec.precisions import TypeName
from ftc.spec.preference_losses import PreferenceLoss, preference_loss
from ftc.spec.quantized_files import QuantizedMethod
from ftc.spec.quantized_weights import ImitatedKind
from ftc.spec.reinforcement_losses import ReinforcementLoss
from ftc.spec.reranking_losses import RerankingLoss
from ftc.spec.rewards import RewardTerm
from ftc.spec.sections.distillation import OnPolicy, SequenceLevel, TeacherQuantization
from ftc.spec.writers import WriterKind, writer_card
from ftc.spec.writing import Writing

__all__ = [
    "DistillationSettings",
    "EmbeddingSettings",
    "GroupSettings",
    "MaskingSettings",
    "PreferenceSettings",
    "RegressionSettings",
    "RouterSettings",
    "SamplingSettings",
    "SpanSettings",
    "TargetScale",
    "TeacherSettings",
]


class TeacherSettings(CompanionModel, SparseDocument):
    """The teacher as it is loaded."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("quantized_files",)

    outputs: tuple[int, ...]
    """Which of its outputs stands for each of the run's labels, in their order; empty without a head for labels."""
    quantized_files: QuantizedMethod | None = None
    """How its files hold quantized weights; None, and absent from documents, where they hold them whole."""


class DistillationSettings(SparseDocument):
    """What is learned from a teacher, and how much it counts."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("beta", "on_policy", "seq_kd", "stream_sha256")

    teacher: TeacherSettings
    loss: Divergence
    temperature: Real
    weight: Real
    """Share of the teacher in the loss of a target."""
    precision: TypeName
    """What the teacher's weights are held in."""
    quantization: TeacherQuantization | None
    """What its linear layers are packed into; None for nothing."""
    beta: Real | None = None
    """Weight of the teacher in the mixture of the generalized JSD; absent where the loss itself says it."""
    on_policy: OnPolicy | None = None
    """Answers that the model writes itself; absent where it writes none."""
    seq_kd: SequenceLevel | None = None
    """Answers that the teacher writes in place of the rows'; absent where it writes none."""
    stream_sha256: str | None = None
    """Digest of the training rows in the teacher's own tokens; absent where these are the model's."""

    @property
    def writing(self) -> Writing | None:
        """How answers are written that the model is trained on; None where rows alone are trained on."""
        asked = self.on_policy or self.seq_kd
        return asked.writing if asked is not None else None

    @property
    def judges(self) -> bool:
        """Whether the teacher's probabilities count, beside answers that it may have written."""
        return self.weight > 0

    @property
    def mixture(self) -> float:
        """Weight of the teacher in the mixture that both are compared with; see `ftc.spec.divergences`."""
        own = divergence_card(self.loss).beta if self.beta is None else self.beta
        assert own is not None, "a plan says what its loss leaves open"
        return own


class PreferenceSettings(SparseDocument):
    """The loss that compares two answers. What a loss doesn't use is absent from the plan."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = (
        "loss",
        "label_smoothing",
        "gamma",
        "sft_weight",
        "desirable_weight",
        "undesirable_weight",
        "per_token",
    )

    beta: Real
    """Scale of the rewards: more keeps the model closer to the untrained one."""
    loss: PreferenceLoss = "dpo"
    label_smoothing: Real = 0.0
    """Share of the pairs that may be the wrong way round."""
    gamma: Real = 0.0
    """Reward margin that is asked for."""
    sft_weight: Real = 0.0
    """Weight of the chosen answer's own loss, in nats per token."""
    desirable_weight: Real = 1.0
    """Weight of answers that are rated good."""
    undesirable_weight: Real = 1.0
    """Weight of answers that are rated bad."""
    per_token: bool = False
    """Whether log-probabilities are averages over an answer's tokens."""

    @property
    def needs_reference(self) -> bool:
        """Whether the loss compares with the untrained model, whose log-probabilities are computed beforehand."""
        return preference_loss(self.loss).needs_reference

    @property
    def rates(self) -> bool:
        """Whether a row is one answer that is rated."""
        return preference_loss(self.loss).rates


class SamplingSettings(SparseDocument):
    """How answers are sampled in training, what they earn, and how that becomes a loss."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("writer", "importance_cap", "writer_memory", "reward_model")

    rewards: tuple[RewardTerm, ...]
    loss: ReinforcementLoss
    group_size: int
    """Answers to each prompt."""
    max_new_tokens: int
    """Longest answer."""
    temperature: Real
    top_k: int
    """Tokens among which each token is sampled; 0 for all."""
    beta: Real
    """Weight of the divergence from the base model; 0 for none."""
    writer: WriterKind = "transformers"
    """What writes the answers; absent from the plan where the run itself does."""
    importance_cap: Real | None = None
    """Most that a token's loss is multiplied by: its probability by the trainer over that by the server. None, and
    absent from the plan, where it isn't multiplied."""
    writer_memory: int | None = None
    """Bytes of the GPU for a server that the run starts itself; absent from the plan where it starts none."""
    reward_model: RewardModelSettings | None = None
    """Who gives the reward of a reward model; absent where none does."""

    @property
    def writing(self) -> Writing:
        """How the model writes."""
        return Writing(
            by="model",
            answers=self.group_size,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            share=1.0,
            divides=False,  # a group's rewards are compared where its answers are written
            here=not writer_card(self.writer).is_server,
        )


class TargetScale(Document):
    """What a head's output for a number stands for: the number is `mean` + `spread` x output."""

    mean: Real
    """Of the training rows; 0 where numbers are learned as they are."""
    spread: Real = Field(gt=0)
    """Standard deviation of the training rows; 1 where numbers are learned as they are."""


class RegressionSettings(Document):
    """How numbers are learned; their names are the labels of the text's settings."""

    loss: AnyNumberLoss
    scales: tuple[TargetScale, ...]
    """One for each number, in their order."""


class EmbeddingSettings(Document):
    """How texts become vectors, and how these are compared."""

    loss: EmbeddingLoss
    temperature: Real
    """What cosine similarities are divided by."""
    pooling: Pooling
    normalize: bool
    """Whether what is exported and predicted has length 1."""
    matryoshka: tuple[int, ...] = ()
    """Lengths of vectors, ascending, that the loss is computed on beside the whole ones."""
    query_prefix: str = ""
    passage_prefix: str = ""

    @property
    def card(self) -> EmbeddingLossCard:
        """What is known of the loss."""
        return embedding_loss(self.loss)


class RerankingSettings(Document):
    """How the texts of a query are compared."""

    loss: RerankingLoss


class MaskingSettings(Document):
    """Which tokens of a row are masked, and by what."""

    share: Real
    """Share of the row's tokens that have to be filled in."""
    mask_id: int
    """Token that stands for most of them."""
    vocabulary: int
    """Tokens among which others are drawn that stand for some."""


class SpanSettings(Document):
    """Which spans of a row are missing, and what stands for them."""

    share: Real
    """Share of the row's tokens that are missing."""
    mean_length: Real
    """Tokens of a missing span on average."""
    sentinels: tuple[int, ...]
    """Tokens that stand for the first span, the second, and so on: as many as the longest row has spans."""
    end_id: int
    """Token that ends what is read and what is written."""


class RouterSettings(Document):
    """The routers of a mixture of experts."""

    trained: bool
    """Whether a strategy that trains the model's own weights trains them too."""
    aux_loss: Real | None
    """Weight of the load balancing loss; None where it is not part of the loss."""


class Float8Settings(Document):
    """Which products of training are computed in 8 bits; the precision's card says how."""

    num_modules: int
    """Linear layers whose products are; checked when the model is built."""


class QuantizeAwareSettings(Document):
    """How weights are rounded in training, as they will be when they are exported."""

    weights: ImitatedKind
    group_size: int | None
    """Weights of a row that share a scale; None where all do."""
    num_modules: int
    """Linear layers whose weights are; checked when the model is built."""

    def words(self) -> str:
        """In a few words."""
        return f"{self.weights} in groups of {self.group_size}" if self.group_size else f"{self.weights} by row"


class GroupSettings(Document):
    """Parameters with a learning rate of their own."""

    parameters: tuple[str, ...]
    """Patterns of names, of which a parameter fits one."""
    learning_rate: Real
