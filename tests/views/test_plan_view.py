"""The plan on one screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from ftc.spec.documents.interruption import Standing
from ftc.spec.documents.plan import Check, Origin
from ftc.views.page import Page, visible_width
from ftc.views.plan import origins_text, plan_text, up_to_date_text
from tests.support import documents

Golden = Callable[[str, str], None]
TIME = {
    "method": "2 earlier runs",
    "source": "earlier runs",
    "phases": (
        {"phase": "load", "seconds": {"low": 3.0, "expected": 4.0, "high": 5.0}},
        {"phase": "train", "seconds": {"low": 35.0, "expected": 40.0, "high": 50.0}},
    ),
    "expected_seconds": 44.0,
    "low_seconds": 38.0,
    "high_seconds": 55.0,
    "cost_low": {"amount": 0.0042, "currency": "USD"},
    "cost_high": {"amount": 0.0061, "currency": "USD"},
}


def test_a_new_plan(golden: Golden) -> None:
    hint = "Not saved; -o FILE saves it for apply."
    golden("plan_new.txt", plan_text(documents.plan(), lock_state="new", warnings=1, hint=hint))


def test_every_file_of_a_folder_counts() -> None:
    plan = documents.plan()
    (use, source), *_ = plan.lock.data.sources.items()
    files = {f"shards/part-{number}.parquet": source.file for number in range(4)}
    sources = {**plan.lock.data.sources, use: source.model_copy(update={"files": files})}
    lock = plan.lock.model_copy(update={"data": plan.lock.data.model_copy(update={"sources": sources})})
    assert f"data {3 + len(sources)} files" in plan_text(plan.model_copy(update={"lock": lock}))


def test_a_plan_that_has_run(golden: Golden) -> None:
    plan = documents.plan(time=TIME, not_checked=())
    text = plan_text(
        plan,
        lock_state="changed",
        lock_changes=("model: weights 1a2b… → 3c4d…",),
        record=documents.record(plan),
    )
    golden("plan_done.txt", text)


def test_an_interrupted_run_goes_on() -> None:
    plan = documents.plan()
    standing = Standing(f"run {documents.RUN_ID} is interrupted", 113)
    text = plan_text(plan, record=documents.record(plan, status="interrupted", steps_done=120), standing=standing)
    words = f"~ train run {documents.RUN_ID} is interrupted; continues from step 113 of 162 steps"
    assert words in " ".join(text.split())
    anew = plan_text(plan, standing=Standing("run x is failed", 0))
    assert "starts over" in anew


def test_a_plan_in_color(golden: Golden) -> None:
    golden("plan_color.txt", plan_text(documents.plan(), lock_state="new", warnings=1, page=Page(color=True)))


def test_a_plan_that_does_not_fit_says_so_in_words() -> None:
    process = {"low": 31 * 2**30, "expected": 31 * 2**30, "high": 32 * 2**30}
    text = plan_text(documents.plan(memory=documents.memory(process=process, verdict="does not fit")))
    assert "31.0 of 24.0 GiB   does not fit" in text
    assert "Does not fit." in text


def test_a_narrow_page_drops_no_word_of_a_check() -> None:
    plan = documents.plan()
    long = plan.model_copy(
        update={
            "checks": (Check(name="labels of train", result=" ".join(f"label{n} {n}," for n in range(30)), code=None),)
        }
    )
    assert "label29" not in plan_text(long, page=Page(columns=100))
    assert "label29" in plan_text(long, page=Page(columns=60))
    short = plan.model_copy(update={"checks": (Check(name="labels of train", result="word " * 25 + "end", code=None),)})
    assert "end\n" in plan_text(short, page=Page(columns=100)), "two lines are no wall"


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_no_line_is_too_wide(columns: int) -> None:
    plan = documents.plan(time=TIME)
    page = Page(columns=columns)
    text = plan_text(plan, lock_state="new", warnings=2, hint="Not saved.", page=page) + origins_text(plan, page=page)
    assert max(map(visible_width, text.splitlines())) <= columns


def test_text_from_files_cannot_steer_the_terminal() -> None:
    model = documents.plan().model.model_copy(update={"name": "evil\x1b[2Jmodel", "license": "a\nb"})
    text = plan_text(documents.plan(model=model, not_checked=("x\x1b]0;title\x07",)))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "evil\\x1b[2Jmodel" in text


def test_supervised_tokens_are_told_where_tokens_are_learned() -> None:
    train = documents.plan().data["train"].model_copy(update={"supervised_tokens": 68_040, "dropped_rows": 2})
    generation = documents.plan().settings.model_dump()
    generation["text"]["form"] = "prompt"
    text = plan_text(documents.plan(data={"train": train}, settings=generation))
    assert "target tokens 10.0 % of 680 k tokens" in text
    assert "2 rows dropped" in text


def test_origins(golden: Golden) -> None:
    golden("origins.txt", origins_text(documents.plan()))
    narrow = origins_text(documents.plan(), page=Page(columns=60)).splitlines()
    assert max(map(len, narrow)) <= 60
    assert "    every device has sdpa" in narrow


def test_a_number_of_devices_is_told_where_it_was_chosen() -> None:
    plan = documents.plan()
    kinds: tuple[Literal["derived", "default", "written"], ...] = ("derived", "default", "written")
    for kind in kinds:
        origin = Origin(kind=kind, reason="the fastest of 1 to 4 that fits")
        text = plan_text(plan.model_copy(update={"origins": {**plan.origins, "device.count": origin}}))
        assert ("devices 1 (the fastest of 1 to 4 that fits)" in " ".join(text.split())) is (kind == "derived")


def test_up_to_date() -> None:
    plan = documents.plan()
    text = up_to_date_text(plan, documents.record(plan), documents.evaluation())
    words = f"ran on 2026-11-24 as run {documents.RUN_ID} (macro F1 0.941, gate passed)."
    assert words in " ".join(text.split())
    assert f"`ftc predict {documents.RUN_ID} TEXT` uses it." in " ".join(text.split())
    assert "bbc-news is up to date" in text
