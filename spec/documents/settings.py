"""The recipe with nothing left open: what a run does, value by value.

The runtime reads these documents and nothing else; `Plan.origins` tells where each value came from.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.architectures import Family
from ftc.spec.base import Document, Real, SparseDocument
from ftc.spec.checkpointing import Recomputing
from ftc.spec.documents import loss_settings as losses
from ftc.spec.documents.companion_settings import ClassifierSettings, RewardModelSettings, WordnetSettings
from ftc.spec.documents.model_options import ModelOptions
from ftc.spec.documents.prompted import PromptBaseline
from ftc.spec.documents.seeds import Seeds
from ftc.spec.documents.topology import Topology
from ftc.spec.fused_kernels import FusedPart
from ftc.spec.heads import Answer, Head, Labels, head_card
from ftc.spec.number_losses import number_loss
from ftc.spec.optimizer_keys import OptimizerNumbers
from ftc.spec.optimizers import OptimizerKind
from ftc.spec.precisions import Precision
from ftc.spec.schedules import ScheduleKeys
from ftc.spec.sections.evaluation import Gate, Judge, SimpleBaseline
from ftc.spec.sections.model import AttentionKernel
from ftc.spec.sections.train import EarlyStopping
from ftc.spec.strategies import AnySettings
from ftc.spec.text_forms import FormName, form_card
from ftc.spec.writing import Writing

__all__ = [
    "DeterminismSettings",
    "DeviceSettings",
    "EvalSettings",
    "ModelSettings",
    "Open",
    "OpenEval",
    "OpenModel",
    "OpenOptimizer",
    "OpenText",
    "OpenTrain",
    "OptimizerSettings",
    "ScheduleSettings",
    "Settings",
    "TextSettings",
    "TrainSettings",
]


class Open(Enum):
    """Stands for a value that nobody could choose yet."""

    OPEN = "open"


class OpenText(Document):
    """How a row becomes tokens, as far as no row tells it."""

    form: FormName
    uses_chat_template: bool
    """Whether prompt and completion are wrapped as turns of the model's chat template."""
    max_length: int
    """Longest sequence in tokens."""
    overflow: Literal["cut", "drop", "refuse"]
    prompt: str | Open | None
    """Jinja template of the prompt over a row's columns; open where the columns decide."""
    system: str | None


class TextSettings(OpenText):
    """How a row becomes tokens."""

    columns: dict[str, str] = Field(default_factory=dict)
    """Column by part of the task."""
    prompt: str | None  # pyright: ignore[reportIncompatibleVariableOverride] - frozen, so that less is no fault
    labels: tuple[str, ...]
    """Classes, or tags of words, in the order of the head's outputs; empty for tasks without."""


class OpenModel(ModelOptions):
    """The model as it is loaded, but for what the solver chooses."""

    base: str
    """What the recipe calls it."""
    commit: str | None
    """Commit of a hub snapshot."""
    architecture: str
    family: Family
    head: Head
    """`lm`: the model's own output layer. `embedding`: none, states are pooled. New layers: `classification` and
    `multi_label` over labels of a row, `regression`, `token_classification` over tags of a word, `span`."""
    decoder_start_id: int | None = None
    """Token that the decoder of an encoder-decoder begins with; None for the other families."""
    pad_id: int
    """Token that fills short rows. Masks never depend on it."""
    stop_ids: tuple[int, ...]
    """Tokens that end an answer."""

    @property
    def auto_class(self) -> str:
        """Class of transformers that finds the model with its head."""
        if self.vision is not None:
            return "AutoModelForImageTextToText"
        return head_card(self.head).auto_class_of(self.family)


class ModelSettings(OpenModel):
    """The model as it is loaded."""

    attention: AttentionKernel


class ScheduleSettings(ScheduleKeys):
    """Learning rate over the steps."""

    warmup_steps: int
    decay_steps: int = 0
    """Last steps, over which `warmup_stable_decay` falls."""
    patience: int = 0
    """Looks at validation without a new best that `plateau` bears."""
    factor: Real = 1.0
    """What `plateau` multiplies the rate by after one more."""


class OpenOptimizer(OptimizerNumbers):
    """The optimizer, but for its kind; values that the kind doesn't know have no effect."""

    beta1: Real
    beta2: Real
    epsilon: Real
    momentum: Real = 0.0
    weight_decay: Real


class OptimizerSettings(OpenOptimizer):
    """The optimizer."""

    kind: OptimizerKind


class DeterminismSettings(Document):
    """How alike two runs of the plan have to be."""

    asked: Literal["off", "auto", "best_effort", "bitwise"]
    kernels: Literal["any", "deterministic", "exact"]
    """`deterministic`: those that torch says are, where it has them. `exact`: in addition nothing that is not known to
    give the same bits in another process, and no arithmetic of lower precision than asked."""
    proof_steps: int
    """Steps that are run twice in fresh processes before training; 0 for none."""


class OpenTrain(Document):
    """Training, step by step, but for what the solver chooses, the teacher, and how alike two runs have to be."""

    num_steps: int
    """Optimizer steps of the whole run."""
    steps_per_epoch: int
    batch_size: int
    """Rows of one optimizer step over all devices; answers, where they are sampled."""
    batching: Literal["shuffled", "length_grouped"] = "shuffled"
    """Whether an optimizer step's rows are of like length."""
    learning_rate: Real
    head_learning_rate: Real | None = None
    """Of a new head; None where it learns as everything else does, or there is none."""
    head_modules: tuple[str, ...] = ()
    """Modules of a new head, where it has a learning rate of its own."""
    parameter_groups: tuple[losses.GroupSettings, ...] = ()
    """Learning rates by name, of which the first that fits counts; absent from the plan where there are none."""
    class_weights: tuple[Real, ...] = ()
    """What a row's loss is multiplied by, in the order of the labels; empty for nothing."""
    b_rate_ratio: Real = 1.0
    """Times that rate for the second matrix of low-rank adapters."""
    schedule: ScheduleSettings
    optimizer: OpenOptimizer
    label_smoothing: Real = 0.0
    """Share of each target that is spread over all choices in training."""
    focal_gamma: Real | None = None
    """Power of the focal loss; None for plain cross entropy."""
    loss: str | None = None
    """Package and name of a loss that takes the place of the cross entropy; None for cross entropy."""
    z_loss: Real | None = None
    """Weight of the z-loss; None for none."""
    compile: bool = False
    """Whether layers are compiled for training; absent from the plan where they aren't."""
    kernels: tuple[FusedPart, ...] = ()
    """Parts of layers that fused kernels compute in training; absent where torch's own compute all."""
    ema_decay: Real | None = None
    """Largest decay of the average of trained weights, which is measured and saved in their place; None for none."""
    average_checkpoints: int | None = None
    """Last checkpoints whose mean is the result; None for none."""
    quantize_aware: losses.QuantizeAwareSettings | None = None
    """How weights are rounded in training; absent where they aren't."""
    float8: losses.Float8Settings | None = None
    """Which products are computed in 8 bits in training; absent where none are."""
    neftune_alpha: Real | None = None
    """Noise on the embeddings in training; None for none."""
    max_grad_norm: Real | None
    precision: Precision
    evaluate_every_steps: int
    """Steps between looks at validation, each with a checkpoint; the last step always has one."""
    keep_checkpoints: int
    save_in_background: bool = False
    """Whether training goes on while a checkpoint is written; absent from the plan where it waits."""
    early_stopping: EarlyStopping | None
    select: Literal["best", "last"]
    """Which checkpoint becomes the result: the best on validation, or the last where there is no such split."""
    select_metric: str
    """`val_loss`, or the metric that early stopping watches."""
    select_higher: bool
    """Whether a higher value of that metric is better."""
    preference: losses.PreferenceSettings | None = None
    """Set where two answers are compared; None where each target has its own loss."""
    regression: losses.RegressionSettings | None = None
    """Set where numbers are predicted."""
    reranking: losses.RerankingSettings | None = None
    """How the texts of a query are compared; None for other tasks."""
    embedding: losses.EmbeddingSettings | None = None
    """Set where texts become vectors; absent otherwise."""
    router: losses.RouterSettings | None = None
    """Set where layers are a mixture of experts; absent otherwise."""
    masking: losses.MaskingSettings | None = None
    """Set where masked tokens are learned; absent otherwise."""
    spans: losses.SpanSettings | None = None
    """Set where missing spans are learned; absent otherwise."""
    sampling: losses.SamplingSettings | None = None
    """Set where the model's own answers are trained on; absent otherwise."""

    @property
    def averages(self) -> bool:
        """Whether an average of the trained weights is kept beside them."""
        return self.ema_decay is not None or self.average_checkpoints is not None

    @property
    def num_checkpoints(self) -> int:
        """Checkpoints that the whole run writes."""
        return -(-self.num_steps // self.evaluate_every_steps)


class TrainSettings(OpenTrain, Topology, SparseDocument):
    """Training, step by step."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = (
        "loss_chunk_size",
        "focal_gamma",
        "loss",
        "z_loss",
        "ema_decay",
        "average_checkpoints",
        "embedding",
        "reranking",
        "router",
        "masking",
        "spans",
        "sampling",
        "quantize_aware",
        "float8",
        "compile",
        "save_in_background",
        "nodes",
        "context_parallel",
        "tensor_parallel",
        "parameter_groups",
        "kernels",
    )

    optimizer: OptimizerSettings  # pyright: ignore[reportIncompatibleVariableOverride] - frozen, as above
    micro_batch: int
    """Rows that go through the model at once on one device."""
    micro_batch_tokens: int | None = None
    """Most tokens that go through the model at once, padding included; None where rows alone decide."""
    packing: bool = False
    """Whether a micro-batch is one sequence of several rows, each with its own positions."""
    fused: bool
    """Whether the optimizer's fused kernel is used."""
    determinism: DeterminismSettings
    activation_checkpointing: Recomputing
    loss_chunk_size: int | None = None
    """Target positions whose scores over the vocabulary are computed at a time; None for all, absent from the plan."""
    distillation: losses.DistillationSettings | None = None
    """Set where a teacher is learned from; None where rows alone teach."""

    @property
    def writing(self) -> Writing | None:
        """How the model writes answers that it is trained on; None where rows alone are trained on."""
        return source.writing if (source := self.sampling or self.distillation) is not None else None


class OpenEval(SparseDocument):
    """The measurement at the end, but for what the solver chooses."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("baselines", "reward_model")

    metrics: tuple[str, ...]
    baseline: bool
    simple_baselines: tuple[SimpleBaseline, ...] = ()
    """Models that are fitted on the training rows in seconds and evaluated beside the tuned one."""
    baselines: tuple[PromptBaseline, ...] = ()
    """Prompts that the base model is measured with; absent from the plan where there are none."""
    gates: dict[str, Gate]
    max_new_tokens: int | None
    """None where no metric needs answers."""
    samples: int
    slices: tuple[str, ...] = ()
    """Columns, `length` and `label`, that results are told apart by."""
    groups_sha256: str | None = None
    """Digest of the columns' values in the test rows; None where no column is among the slices."""
    retention_sha256: str | None = None
    """Digest of the general text as tokens; None where none is measured."""
    swaps_sha256: str | None = None
    """Digest of the test rows with words exchanged, as tokens, and of which they are; None where there are none."""
    judge: Judge | None = None
    """Who grades written answers; None for nobody."""
    classifier: ClassifierSettings | None = None
    """Who says which written answers have a label; None for nobody."""
    reward_model: RewardModelSettings | None = None
    """Who scores written answers; absent where nobody does."""
    wordnet: WordnetSettings | None = None
    """What METEOR takes synonyms from; None where nothing is measured by it."""
    max_answer_tokens: int | None = None
    """Longest answer that is cut out of a context; None where none is."""


class EvalSettings(OpenEval):
    """The measurement at the end."""

    batch_size: int


class DeviceSettings(Document):
    """What the run expects to find; compared with what is there before the first step."""

    name: str
    kind: Literal["cpu", "cuda"]
    count: int
    threads: int


class Settings(Document):
    """Everything that a run does."""

    text: TextSettings
    model: ModelSettings
    strategy: AnySettings
    train: TrainSettings
    seeds: Seeds
    eval: EvalSettings
    device: DeviceSettings

    @property
    def answer(self) -> Answer:
        """What the model's answer to a row is."""
        if form_card(self.text.form).is_pair:
            return "rated" if self.train.preference is not None and self.train.preference.rates else "pair"
        if self.train.embedding is not None:
            return self.train.embedding.card.answer
        if self.train.reranking is not None:
            return "rank"
        if form_card(self.text.form).is_sampled:
            return "rewarded"
        head = head_card(self.model.head)
        return "written label" if head.writes and self.text.labels else head.answer

    @property
    def labels(self) -> Labels | None:
        """How labels belong to a row; None for rows without."""
        head = head_card(self.model.head)
        return "one" if head.writes and self.text.labels else head.labels

    @property
    def begins_as_base(self) -> bool:
        """Whether the model without its adapter is the one that training began from: not where the adapter took its
        first weights out of the base's, or is an earlier run's.
        """
        parent = self.model.parent
        return not self.strategy.traits.changes_base and not (parent is not None and parent.continues)

    @property
    def loss_unit(self) -> str:
        """What a loss is measured in, for people."""
        if self.train.regression is not None:
            return number_loss(self.train.regression.loss).label
        return "nats"

    @property
    def has_one_answer(self) -> bool:
        """Whether an answer is right or wrong, rather than one of many ways to write it, or near to what is right."""
        head = head_card(self.model.head)
        return (head.is_new and head.chooses) or form_card(self.text.form).is_pair
