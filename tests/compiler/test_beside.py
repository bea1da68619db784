"""Models beside the base model: a commit of the hub stays as long as the same is asked for."""

from __future__ import annotations

import pytest

from ftc.compiler.lock.renew import EVERYTHING, _without_pins
from ftc.compiler.resolve.models.companions import locked_commit
from ftc.spec.companions import COMPANIONS, Asked
from ftc.spec.documents.lockfile import Lock
from tests.support import documents

COMMIT = "c" * 40
(TEACHER,) = (card for card in COMPANIONS if card.role == "teacher")


def lock_with_teacher() -> Lock:
    lock = documents.plan().lock
    train = lock.train.model_copy(
        update={
            "asked": {"train": {"distillation": {"teacher": "org/large"}}},
            "settings": {"train": {"distillation": {"teacher": {"commit": COMMIT}}}},
        }
    )
    return lock.model_copy(update={"train": train})


def kept(lock: Lock | None, *, teacher: str, revision: str | None) -> str | None:
    return locked_commit(TEACHER, Asked(teacher, revision), lock)


def test_a_commit_stays_for_the_same_teacher() -> None:
    lock = lock_with_teacher()
    assert kept(lock, teacher="org/large", revision=None) == COMMIT
    assert kept(lock, teacher="org/large", revision="v2") is None
    assert kept(lock, teacher="org/other", revision=None) is None
    assert kept(documents.plan().lock, teacher="org/large", revision=None) is None
    assert kept(None, teacher="org/large", revision=None) is None


@pytest.mark.parametrize(("upgrade", "stays"), [(("teacher",), False), (EVERYTHING, False), (("model",), True)])
def test_an_upgrade_moves_the_teacher_where_it_is_named(upgrade: tuple[str, ...], stays: bool) -> None:
    lock = _without_pins(lock_with_teacher(), upgrade)
    assert (kept(lock, teacher="org/large", revision=None) == COMMIT) is stays
