"""Hosted fine-tuning services: one card each, with every fact about it.

To add one, write its card, list it here, give `LaunchSettings` a section of its name, and write its half that connects
into `ftc.verbs.hosted`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.hosted import SettingUse
from ftc.spec.documents.launch import LAUNCH_FILE
from ftc.spec.documents.plan import Plan
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.providers.card import Asked, Closing, ProviderCard, Setting
from ftc.spec.providers.openai import OPENAI
from ftc.spec.providers.together import TOGETHER

__all__ = [
    "PROVIDERS",
    "Asked",
    "Closing",
    "ProviderCard",
    "Setting",
    "not_proved_of",
    "provider_title",
    "request_text",
    "setting_uses",
    "treatment",
    "usage_of",
]

PROVIDERS: tuple[ProviderCard, ...] = (TOGETHER, OPENAI)
"""Every service."""


def provider_title(name: str) -> str:
    """What people call a service; its name where this release doesn't know it."""
    return next((one.title for one in PROVIDERS if one.name == name), name)


def usage_of(name: str, told: Mapping[str, str]) -> tuple[str, ...]:
    """What a service said of a job's use and price, by its own names."""
    return next((tuple(key for key in one.usage if key in told) for one in PROVIDERS if one.name == name), ())


def not_proved_of(name: str) -> tuple[str, ...]:
    """What no audit can show of a service's work; of one that this release doesn't know, all of it."""
    unknown = (f"what the service did: this release knows no service `{name}`",)
    return next((one.not_proved for one in PROVIDERS if one.name == name), unknown)


def treatment(card: ProviderCard, path: str) -> Setting | None:
    """The entry that tells most exactly what becomes of a setting; None where the card says nothing."""
    found = [one for one in card.settings if _is_of(path, one.path)]
    return max(found, key=lambda one: len(one.path), default=None)  # of equals the first: the card's own


def setting_uses(
    card: ProviderCard, plan: Plan, left: Sequence[str]
) -> tuple[tuple[SettingUse, ...], tuple[Diagnostic, ...]]:
    """What becomes of each setting of a plan at a service, and those that can't go there.

    Args:
        card: The service.
        plan: The plan.
        left: Settings that may be the service's own although the recipe writes them, by path; all below one counts.
    """
    uses, refused = list[SettingUse](), list[Diagnostic]()
    leaves = dict(_leaves(plan.settings.to_json()))
    for one in left:
        if not any(_is_of(path, one) for path in leaves):
            close = nearest(one, [*leaves, *(path.rpartition(".")[0] for path in leaves)])
            help = f"did you mean `{close}`?" if close else f"`--print` lists the settings; correct it in {LAUNCH_FILE}"
            refused.append(diagnostic("FTC790", f"`leave` names `{one}`, which is no setting of this plan", help=help))
    for path, value in leaves.items():
        found = treatment(card, path)
        can_be_left = found is not None and found.how != "sent"
        is_left = can_be_left and any(_is_of(path, one) for one in left)
        origin = plan.origins.get(path) or plan.origins.get(path.rpartition(".")[0])
        if found is None or (found.values and value not in found.values):
            why = found.words if found else "nobody has written down what becomes of it there"
            if is_left:
                uses.append(SettingUse(path=path, value=_shown(value), how="fixed", words=why))
                continue
            summary = f"{card.title} can't do `{path}: {_shown(value)}`"
            helps = ["leave it out of the recipe"]
            helps += [f"or let the service decide with `leave: [{path}]` in {LAUNCH_FILE}"] if can_be_left else []
            refused.append(diagnostic("FTC790", summary, notes=why, help=helps, path=path))
        elif found.how == "fixed" and origin is not None and origin.kind == "written" and not is_left:
            summary = f"{card.title} has no key for `{path}: {_shown(value)}`, which the recipe writes"
            helps = ["leave it out of the recipe", f"or let the service decide with `leave: [{path}]` in {LAUNCH_FILE}"]
            notes = [f"written at {origin.reason}", f"there: {found.words}"]
            refused.append(diagnostic("FTC790", summary, notes=notes, help=helps, path=path))
        else:
            how = "same" if found.how == "only" else found.how
            uses.append(SettingUse(path=path, value=_shown(value), how=how, words=found.words))
    return tuple(uses), tuple(refused)


def _is_of(path: str, section: str) -> bool:
    return path == section or path.startswith(f"{section}.")


def request_text(card: ProviderCard, asked: Asked) -> str:
    """The request that creates a job as a record keeps it: without the names that are given later."""
    body = {name: value for name, value in card.request(asked).items() if value != ""}
    return json.dumps(body, sort_keys=True, ensure_ascii=False)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from _leaves(one, f"{path}.{name}" if path else name)
    else:
        yield path, value


def _shown(value: Any) -> str:
    """A value as people read it, shortened."""
    if isinstance(value, list):
        return f"[{', '.join(str(one) for one in value)}]"[:80]
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)[:80]
