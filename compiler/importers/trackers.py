"""Other tools' words for experiment trackers, as the recipe's `track`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ftc.compiler.importers.translation import Key, Translation, key_of
from ftc.spec.trackers import TRACKERS

__all__ = ["of_axolotl", "of_oumi", "of_torchtune", "of_trainer"]

_NONE = frozenset({"none", ""})
_UNKNOWN = "no tracker of ftc's; a run writes everything into its folder"
_KNOWN = tuple(card.name for card in TRACKERS)
_LOGGERS = {"wandblogger": "wandb", "tensorboardlogger": "tensorboard"}


def of_trainer(t: Translation) -> None:
    """`report_to` of transformers' trainer, a list of trackers."""
    key = "report_to"
    words = [word.lower() for word in t.names(key)] if t.has(key) else []
    if not set(words) - _NONE:
        return
    known = [word for word in words if word in _KNOWN]
    others = [word for word in words if word not in _KNOWN and word not in _NONE]
    if not known:
        t.drop(key, _UNKNOWN, f"name one of {', '.join(_KNOWN)} in `track`")
    for name in known:
        _ask(t, name, [key], f"{', '.join(others)} has no counterpart" if others else "")


def of_axolotl(t: Translation) -> None:
    """Axolotl's switches, and what it hands on to the trackers."""
    mode = t.text("wandb_mode")
    if mode in ("offline", "online") and (t.has("wandb_project") or t.flag("use_wandb")):
        t.carry("wandb_mode", "track.wandb.mode", mode)
    _switched(
        t,
        {"use_wandb": "wandb", "use_mlflow": "mlflow", "use_tensorboard": "tensorboard"},
        {
            "wandb_project": "track.wandb.project",
            "wandb_entity": "track.wandb.entity",
            "mlflow_tracking_uri": "track.mlflow.uri",
            "mlflow_experiment_name": "track.mlflow.experiment",
            "trackio_project_name": "track.trackio.project",
        },
    )


def of_oumi(t: Translation) -> None:
    """Oumi's switches; projects are variables of the environment there."""
    switches = {"enable_wandb": "wandb", "enable_mlflow": "mlflow", "enable_tensorboard": "tensorboard"}
    _switched(t, {f"training.{key}": name for key, name in switches.items()}, {})


def of_torchtune(t: Translation) -> None:
    """torchtune's logger, which is named by its class."""
    key = "metric_logger"
    name = _LOGGERS.get((t.text(f"{key}._component_") or "").rpartition(".")[2].lower())
    if name is None:
        return
    if name == "wandb" and (project := t.text(f"{key}.project")):
        t.carry(key, "track.wandb.project", project)
    _ask(t, name, [key])


def _switched(t: Translation, switches: Mapping[str, str], places: Mapping[str, str]) -> None:
    """A switch for each tracker, and texts for its project or address.

    Args:
        t: The sheet.
        switches: Names of trackers by the keys that switch them on.
        places: Paths in the recipe by the keys of texts. A text alone switches its tracker on.
    """
    said = {key: path for key, path in places.items() if t.has(key) and t.text(key)}
    for name in dict.fromkeys([*switches.values(), *(path.split(".")[1] for path in said.values())]):
        on = [key for key, tracker in switches.items() if tracker == name and t.flag(key)]
        off = [key for key, tracker in switches.items() if tracker == name and t.has(key) and not t.flag(key)]
        own = {key: path for key, path in said.items() if path.startswith(f"track.{name}.")}
        if off:
            for key in own:
                t.needless(key, "belongs to a feature that is off")
        elif on or own:
            for key, path in own.items():
                t.carry(key, path, t.text(key))
            _ask(t, name, [*on, *own])


def _ask(t: Translation, name: str, keys: Iterable[str | Key], reason: str = "") -> None:
    """Has the recipe ask for a tracker. Weights & Biases is online there unless something else is said."""
    path = f"track.{name}"
    if name == "wandb" and "track.wandb.mode" not in t.values:
        t.carry(list(keys), "track.wandb.mode", "online", reason)
    elif not any(known.startswith(f"{path}.") for known in t.values):
        t.carry(list(keys), path, {}, reason)
    else:
        first = next(known for known in t.values if known.startswith(f"{path}."))
        t.carry([*dict.fromkeys([*t.values[first].keys, *map(key_of, keys)])], first, t.values[first].value, reason)
