"""Whether a saved plan still holds: what moves its job is named, what does not is let through."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.lock.lockfile import stale_reasons
from ftc.spec.documents.lockfile import sealed
from ftc.spec.documents.plan import Plan
from tests.support.documents import plan

SAVED = plan().sealed()


def with_settings(section: str, **values: Any) -> Plan:
    part = getattr(SAVED.settings, section).model_copy(update=values)
    return SAVED.model_copy(update={"settings": SAVED.settings.model_copy(update={section: part})})


def with_lock(section: str, **values: Any) -> Plan:
    part = getattr(SAVED.lock, section).model_copy(update=values)
    return SAVED.model_copy(update={"lock": sealed(SAVED.lock.model_copy(update={section: part}))})


def with_packages(**packages: str) -> Plan:
    platform = SAVED.lock.platforms[SAVED.platform]
    facts = {
        name: platform.packages[name].model_copy(update={"version": version}) for name, version in packages.items()
    }
    changed = platform.model_copy(update={"packages": {**platform.packages, **facts}})
    return SAVED.model_copy(
        update={"lock": sealed(SAVED.lock.model_copy(update={"platforms": {SAVED.platform: changed}}))}
    )


def test_the_same_plan_holds() -> None:
    assert stale_reasons(SAVED, SAVED) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"origins": {}},
        {"checks": ()},
        {"not_checked": ("time: no earlier run",)},
        {"recipe_file": "elsewhere/recipe.yaml"},
        {"disk_bytes": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_places_reasons_and_estimates_move_no_job(changes: dict[str, Any]) -> None:
    assert stale_reasons(SAVED, SAVED.model_copy(update=changes).sealed()) == ()


@pytest.mark.parametrize(
    ("now", "reasons"),
    [
        (with_settings("train", learning_rate=1e-4), ("train.learning_rate: 0.0002 → 0.0001",)),
        (with_settings("train", micro_batch=8), ("train.micro_batch: 32 → 8",)),
        (with_settings("seeds", init=5), ("seeds.init: 1701 → 5",)),
        (with_settings("device", threads=2), ("device.threads: 8 → 2",)),
        (with_settings("eval", samples=9), ("eval.samples: 8 → 9",)),
        (with_lock("length", steps={"num_steps": 9}), ("length.steps.num_steps: absent → 9",)),
        (with_lock("model", license="mit"), ("model.license: apache-2.0 → mit",)),
        (with_lock("text", special_tokens={"pad": 64}), ("text.special_tokens.pad: absent → 64",)),
        (with_packages(torch="2.14.0"), ("linux-x86_64-cp311.packages.torch.version: 2.13.0 → 2.14.0",)),
        (SAVED.model_copy(update={"ftc_version": "9.0.0"}), ("ftc: 0.1.0 → 9.0.0",)),
        (SAVED.model_copy(update={"name": "other"}), ("name: bbc-news → other",)),
        (SAVED.model_copy(update={"steps": SAVED.steps[:2]}), ("the plan's steps differ",)),
    ],
)
def test_what_moved_is_named_with_both_values(now: Plan, reasons: tuple[str, ...]) -> None:
    assert stale_reasons(SAVED, now) == reasons


def test_one_change_is_told_once() -> None:
    trained = with_settings("train", learning_rate=1e-4)
    lock = SAVED.lock.train.model_copy(update={"settings": {"train": {"learning_rate": "0.0001"}}})
    now = trained.model_copy(update={"lock": sealed(SAVED.lock.model_copy(update={"train": lock}))})
    assert stale_reasons(SAVED, now) == ("train.learning_rate: 0.0002 → 0.0001",)


def test_a_plan_of_before_has_no_digests_of_code_and_is_no_stale_one() -> None:
    saved = plan().model_copy(update={"lock": sealed(plan().lock)})
    tag, platform = next(iter(saved.lock.platforms.items()))
    packages = {name: one.model_copy(update={"code_sha256": "c" * 64}) for name, one in platform.packages.items()}
    newer = platform.model_copy(update={"packages": packages}).sealed()
    now = saved.model_copy(update={"lock": saved.lock.model_copy(update={"platforms": {tag: newer}})})
    assert now.run_id != saved.run_id
    assert now.without_code_digests().run_id == saved.run_id
    assert stale_reasons(saved, now) == ()
    edited = {name: one.model_copy(update={"code_sha256": "e" * 64}) for name, one in platform.packages.items()}
    other = now.lock.model_copy(update={"platforms": {tag: newer.model_copy(update={"packages": edited}).sealed()}})
    assert any("code_sha256" in line for line in stale_reasons(now, now.model_copy(update={"lock": other})))
