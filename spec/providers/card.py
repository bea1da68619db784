"""What is known of a hosted fine-tuning service, and what each of a plan's settings becomes there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from ftc.spec.documents.launch import HostedSettings
from ftc.spec.documents.plan import Plan

__all__ = ["Asked", "Closing", "ProviderCard", "Setting"]


@dataclass(frozen=True, slots=True)
class Setting:
    """What becomes of a setting, and of all below it that has no entry of its own.

    Attributes:
        path: Dotted path in the plan's settings.
        how: `sent`: it is part of the request. `fixed`: the service decides, so that a value which the recipe writes is
            refused. `only`: the service has no word for it, so that every value but those in `values` is refused.
            `here`: it has no part in training there.
        words: The request's key, or what happens in its place.
        values: Those that can go there, as JSON; none for any.
    """

    path: str
    how: Literal["sent", "fixed", "only", "here"]
    words: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of a service at one address.

    Attributes:
        host: Host of the address; other hosts that speak the same protocol go on.
        on: The first day on which no job is taken any more.
        words: What ends, and what becomes of tuned models.
    """

    host: str
    on: date
    words: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request is made of.

    Attributes:
        plan: The plan.
        site: The service's section of `ftc.launch.yaml`.
        model: What the service calls the base.
        epochs: Passes over the rows.
        marker: What the job is found by.
        train: The service's name of the training rows.
        validation: The same of the validation rows; None where none are sent.
    """

    plan: Plan
    site: HostedSettings
    model: str
    epochs: int
    marker: str
    train: str
    validation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCard:
    """One service, or one protocol that several services speak.

    Attributes:
        name: What `--on` and `ftc.launch.yaml` call it.
        title: What people call it.
        base_url: Where it is, unless `ftc.launch.yaml` says otherwise.
        key: Environment variable that holds the key, unless `ftc.launch.yaml` says otherwise.
        closings: When it ends, by address.
        model_is_base: Whether it knows models by their names on the hub, so that the recipe's base need not be named
            again, and a hub's commit can be sent.
        settings: What each setting becomes.
        request: The body that creates a job.
        weight: Key of a message that says whether an answer is trained on.
        shortest_rows: Fewest rows that it takes; None where nobody says.
        previews: Whether it shows tokens before a job is created.
        estimates: Whether it says what a job will cost.
        returns_weights: Whether what was trained can be fetched.
        usage: What it says of a job's use and price, by its own names.
        not_pinned: What decides the result and can't be named by a digest.
        not_proved: What no audit can show, whatever is fetched.
    """

    name: Literal["together", "openai"]
    title: str
    base_url: str
    key: str
    closings: tuple[Closing, ...]
    model_is_base: bool
    settings: tuple[Setting, ...]
    request: Callable[[Asked], Mapping[str, Any]]
    weight: str
    shortest_rows: int | None
    previews: bool
    estimates: bool
    returns_weights: bool
    usage: tuple[str, ...]
    not_pinned: tuple[str, ...]
    not_proved: tuple[str, ...]
