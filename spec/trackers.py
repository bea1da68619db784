"""Experiment trackers that a run reports to: one card each, with the keys that a recipe may write.

To add one, write its keys and its card here, give `Track` a field of its name, and write its backend into
`ftc.runtime.tracking`. A tracker changes nothing that a run computes, so `track` is in no plan, lock or record: the
same job may be reported to another tracker, or to none.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from ftc.spec.base import Document, Effect

__all__ = [
    "MODEL_NAME",
    "MODEL_NAME_RULE",
    "TRACKERS",
    "Artifact",
    "MLflow",
    "TensorBoard",
    "Track",
    "TrackerCard",
    "TrackerKeys",
    "Trackio",
    "Wandb",
    "asked_trackers",
    "tracker_card",
]

Artifact = Literal["documents", "report", "weights"]
"""What is sent beside numbers: recipe, lock, plan, record, evaluation and model card; the report, which shows rows with
personal data masked; the adapter or model. Prompts, rows and answers are sent in no other form."""


MODEL_NAME = r"^[^/:.`'\"%\\\s][^/:`'\"%\\\n]*$"
"""What a registered model may be called: nothing that its address or a query of the registry would read otherwise."""
MODEL_NAME_RULE = (
    "it begins with no dot or space, and holds no slash, backslash, colon, quotation mark, backtick, percent sign or "
    "line end"
)
"""The same in words."""


class TrackerKeys(Document):
    """What every tracker takes."""

    EFFECT: ClassVar[Effect] = Effect.COSMETIC

    artifacts: tuple[Artifact, ...] = Field(default=("documents", "report"), max_length=3)
    """Files that are sent when the run is over. `documents`: recipe, lock, plan, record, evaluation and model card.
    `report`: the report, which shows some rows with personal data masked. `weights`: the adapter or the model.
    Default: documents and report, because weights are large."""

    @property
    def model_name(self) -> str | None:
        """Name under which a model is registered; None where none is, or where the tracker has no registry."""
        return None


class TensorBoard(TrackerKeys):
    """TensorBoard: event files in a folder."""

    folder: str = Field(default="tensorboard", min_length=1, max_length=300)
    """Folder of the event files, inside the project; each run has its own in it. Default: tensorboard, next to the
    project's `runs`."""


class MLflow(TrackerKeys):
    """MLflow 3: a tracking server, or a database of this machine."""

    uri: str | None = Field(default=None, min_length=1, max_length=500)
    """Tracking URI, without a password; credentials come from `MLFLOW_TRACKING_USERNAME` and others. Default: what
    `MLFLOW_TRACKING_URI` says, else `sqlite:///mlflow.db` in the project."""
    experiment: str | None = Field(default=None, min_length=1, max_length=200)
    """Experiment of the run. Default: the recipe's name."""
    registered_model: str | None = Field(default=None, pattern=MODEL_NAME, max_length=200)
    """Name under which a run that finishes and passes its gates registers its model, as a new version with its base
    model, for `mlflow models serve`. Default: none, because the base model is copied into the registry each time."""

    @property
    def model_name(self) -> str | None:
        """Name under which a model is registered."""
        return self.registered_model


class Wandb(TrackerKeys):
    """Weights & Biases."""

    project: str | None = Field(default=None, min_length=1, max_length=128)
    """Project of the run. Default: the recipe's name."""
    entity: str | None = Field(default=None, min_length=1, max_length=128)
    """Team or user that the project belongs to. Default: that of the account."""
    mode: Literal["offline", "online"] = "offline"
    """`offline` writes into `wandb/` in the project, for `wandb sync`; `online` sends while the run goes on and needs
    `WANDB_API_KEY` or `wandb login`. Default: offline, so that nothing leaves this machine unasked."""


class Trackio(TrackerKeys):
    """trackio: a database of this machine, shown by `trackio show`."""

    project: str | None = Field(default=None, min_length=1, max_length=128)
    """Project of the run. Default: the recipe's name."""


class Track(Document):
    """Experiment trackers that a run is reported to; a tracker that is down neither stops nor slows it."""

    EFFECT: ClassVar[Effect] = Effect.COSMETIC

    tensorboard: TensorBoard | None = None
    """TensorBoard's event files; `{}` takes the defaults. Default: none, so that a run only writes its own folder."""
    mlflow: MLflow | None = None
    """MLflow; `{}` takes the defaults. Default: none, so that a run only writes its own folder."""
    wandb: Wandb | None = None
    """Weights & Biases; `{}` takes the defaults. Default: none, so that a run only writes its own folder."""
    trackio: Trackio | None = None
    """trackio; `{}` takes the defaults. Default: none, so that a run only writes its own folder."""


class TrackerCard(NamedTuple):
    """One tracker.

    Attributes:
        name: What a recipe and `ftc run track --to` call it, and other tools where they list trackers.
        title: What people call it.
        keys: Its section.
        package: Module that must be importable; the extra `ftc[NAME]` installs it.
        place: Key that `--to NAME:PLACE` sets.
        has_registry: Whether models can be registered in it, for its own server.
        secrets: Environment variables that may hold credentials; their values are shown nowhere.
    """

    name: str
    title: str
    keys: type[TrackerKeys]
    package: str
    place: str
    has_registry: bool
    secrets: tuple[str, ...]


TRACKERS: tuple[TrackerCard, ...] = (
    TrackerCard(
        name="tensorboard",
        title="TensorBoard",
        keys=TensorBoard,
        package="tensorboard",
        place="folder",
        has_registry=False,
        secrets=(),
    ),
    TrackerCard(
        name="mlflow",
        title="MLflow",
        keys=MLflow,
        package="mlflow",
        place="uri",
        has_registry=True,
        secrets=(
            "MLFLOW_TRACKING_PASSWORD",
            "MLFLOW_TRACKING_TOKEN",
            "MLFLOW_TRACKING_URI",
            "DATABRICKS_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
        ),
    ),
    TrackerCard(
        name="wandb",
        title="Weights & Biases",
        keys=Wandb,
        package="wandb",
        place="project",
        has_registry=False,
        secrets=("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"),
    ),
    TrackerCard(
        name="trackio",
        title="trackio",
        keys=Trackio,
        package="trackio",
        place="project",
        has_registry=False,
        secrets=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    ),
)
"""Every tracker, in the order in which a recipe lists them."""

_BY_NAME = {card.name: card for card in TRACKERS}


def tracker_card(name: str) -> TrackerCard | None:
    """The card of a name; None of a name that is no tracker's."""
    return _BY_NAME.get(name)


def asked_trackers(track: Track) -> tuple[tuple[TrackerCard, TrackerKeys], ...]:
    """The trackers that a recipe asks for, with their keys."""
    return tuple((card, keys) for card in TRACKERS if (keys := getattr(track, card.name)) is not None)
