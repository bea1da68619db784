"""Progress of a run, as lines, as JSON and as a picture that is redrawn."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator

from ftc.spec.documents import events as e
from ftc.views.page import Page, bar, visible_width
from ftc.views.progress import JsonProgress, LiveProgress, PlainProgress, RunState, training_lines

Golden = Callable[[str, str], None]


def step(number: int) -> e.StepDone:
    return e.StepDone(
        step=number,
        epoch=number / 54,
        loss=2.0 / number,
        learning_rate=2e-4,
        grad_norm=0.5,
        tokens=13_000,
        supervised=32,
        seconds=0.25,
    )


def whole_run() -> Iterator[e.Event]:
    yield e.RunStarted(run_id="7f3ac91e0000", folder="runs/bbc-news/7f3ac91e0000", num_steps=162)
    yield e.PhaseStarted(phase="verify", detail="47 digests, environment, device")
    yield e.PhaseEnded(phase="verify", detail="47 digests, environment, device", seconds=1.31)
    yield e.PhaseStarted(phase="train", detail="")
    for number in range(1, 163):
        yield step(number)
        if number % 54 == 0:
            yield e.CheckpointSaved(step=number)
            metrics = {"macro_f1": 0.9 + number / 10_000, "val_loss": 0.3}
            yield e.Evaluated(step=number, metrics=metrics, best=number != 162, seconds=0.8)
    yield e.Noticed(code="FTC629", text="checkpoint 54 is damaged\x1b[2J")
    yield e.EarlyStopped(step=162, reason="no better in 2 looks")
    yield e.PhaseEnded(phase="train", detail="162 steps", seconds=41.0)
    yield e.PhaseStarted(phase="evaluate", detail="base")
    for done in (64, 128, 213):
        yield e.TestProgress(subject="base", done=done, rows=213)
    yield e.PhaseEnded(phase="evaluate", detail="base, 213 rows", seconds=2.0)
    yield e.RunEnded(status="finished", detail="")


def test_plain_lines(golden: Golden) -> None:
    stream = io.StringIO()
    listener = PlainProgress(stream)
    for event in whole_run():
        listener(event)
    golden("progress_plain.txt", stream.getvalue())


def test_plain_lines_are_few_and_fit() -> None:
    stream = io.StringIO()
    listener = PlainProgress(stream)
    for event in whole_run():
        listener(event)
    lines = stream.getvalue().splitlines()
    assert sum(line.startswith("training    step") for line in lines) == 20
    assert max(map(visible_width, lines)) <= 100


def test_an_interruption_tells_what_is_saved() -> None:
    stream = io.StringIO()
    listener = PlainProgress(stream)
    for event in (step(1), e.CheckpointSaved(step=113), e.RunEnded(status="interrupted", detail="")):
        listener(event)
    assert stream.getvalue().splitlines()[-1] == "interrupted saved at step 113"


def test_json_lines_are_the_events() -> None:
    stream = io.StringIO()
    listener = JsonProgress(stream)
    sent = list(whole_run())
    for event in sent:
        listener(event)
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [event.to_json() for event in sent]


def test_the_training_picture(golden: Golden) -> None:
    state = RunState()
    for event in whole_run():
        if isinstance(event, e.StepDone) and event.step > 112:
            break
        state.add(event)
    golden("progress_training.txt", "\n".join(training_lines(state, Page())) + "\n")
    state.num_steps = 162_000
    narrow = training_lines(state, Page(columns=60))
    assert max(map(visible_width, narrow)) <= 60
    assert all(word in " ".join(narrow) for word in ("epoch", "loss", "lr", "tok/s", "left"))


def test_speed_and_time_left_come_from_the_last_steps() -> None:
    state = RunState()
    assert (state.tokens_per_second, state.seconds_left) == (None, None)
    state.add(e.RunStarted(run_id="x", folder="x", num_steps=100))
    for number in range(1, 41):
        state.add(step(number).model_copy(update={"seconds": 9.0 if number <= 20 else 0.5}))
    assert state.tokens_per_second == 26_000
    assert state.seconds_left == 30


def test_a_bar_has_the_same_width_at_every_step() -> None:
    assert {visible_width(bar(done, 162, 31, Page(color=True))) for done in range(163)} == {31}
    assert visible_width(bar(0, 0, 31, Page())) == 31


def test_the_live_picture_leaves_the_lasting_lines() -> None:
    stream = io.StringIO()
    with LiveProgress(stream, page=Page(color=False)) as listener:
        for event in whole_run():
            listener(event)
    text = stream.getvalue()
    assert "verifying   47 digests, environment, device" in text
    assert "validation  step 54" in text
    assert "\x1b[2J" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is back
