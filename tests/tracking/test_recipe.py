"""`track` in a recipe: it asks for trackers, and changes nothing that is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from pydantic import ValidationError

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import Event, Noticed, Registered, Registering
from ftc.spec.sections.recipe import Recipe
from ftc.spec.trackers import TRACKERS, MLflow, Track, Wandb, asked_trackers, tracker_card
from ftc.verbs.register import refuse_name, register_asked, registered
from ftc.verbs.track import target_of
from tests.support.recipes import plain_recipe
from tests.support.tracked_runs import make_run

ALL: dict[str, object] = {card.name: {} for card in TRACKERS}


def test_every_card_has_a_field_of_its_name_and_an_opener() -> None:
    from ftc.runtime.tracking.child import OPENERS

    names = [card.name for card in TRACKERS]
    assert [*Track.model_fields] == names == [*OPENERS]
    for card in TRACKERS:
        assert card.place in card.keys.model_fields
    assert [card.name for card, _ in asked_trackers(Track.model_validate(ALL))] == names


def test_no_document_contains_what_is_tracked_so_that_the_job_stays_the_same() -> None:
    plain = Recipe.model_validate(plain_recipe())
    tracked = Recipe.model_validate(plain_recipe(track=ALL))
    assert tracked.track is not None
    assert tracked.to_text() == plain.to_text()
    assert tracked.digest() == plain.digest()


def test_a_tracker_whose_package_is_missing_is_told_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftc.verbs.track.find_spec", lambda name: None)
    with pytest.raises(Refusal) as refused:
        api.track(make_run(tmp_path), "wandb:demo")
    assert [found.code for found in refused.value.diagnostics] == ["FTC650"]
    assert "ftc[wandb]" in str(refused.value.diagnostics[0].help)
    assert "remove" not in str(refused.value.diagnostics[0].help), "no recipe asks for it"


def test_a_place_is_said_behind_the_name_and_the_rest_is_the_recipe_s(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    file = run.root / run.plan.recipe_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "ftc: 1\nname: x\ntask: {kind: classification}\ndata: {source: {path: a.csv}}\nmodel: {base: ./m}\n"
        "strategy: {kind: lora}\ntrack: {mlflow: {uri: 'http://127.0.0.1:5000', experiment: mine}}\n",
        encoding="utf-8",
    )
    assert target_of("mlflow", run).keys.model_dump()["uri"] == "http://127.0.0.1:5000"
    other = target_of("mlflow:sqlite:///x.db", run).keys.model_dump()
    assert (other["uri"], other["experiment"]) == ("sqlite:///x.db", "mine")
    for wrong in ("comet", "mlflow:"):
        with pytest.raises(ValueError, match=r"there is no tracker|is no uri"):
            target_of(wrong, run)


@pytest.mark.parametrize("place", ["runs", ".ftc/x", "../logs", "/tmp/logs"])
def test_event_files_are_kept_out_of_the_runs_whoever_asks(tmp_path: Path, place: str) -> None:
    """In `runs`, they would lie in the run's own folder."""
    with pytest.raises(Refusal) as refused:
        target_of(f"tensorboard:{place}", make_run(tmp_path))
    assert [found.code for found in refused.value.diagnostics] == ["FTC731"]


def test_weights_that_the_recipe_asks_for_are_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path)
    file = run.root / run.plan.recipe_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "ftc: 1\nname: x\ntask: {kind: classification}\ndata: {source: {path: a.csv}}\nmodel: {base: ./m}\n"
        "strategy: {kind: lora}\ntrack: {wandb: {artifacts: [documents, report, weights]}}\n",
        encoding="utf-8",
    )
    seen: list[tuple[str, ...]] = []

    def stop(asked: tuple[tuple[object, Wandb], ...], *rest: object) -> None:
        seen.append(asked[0][1].artifacts)
        raise KeyboardInterrupt

    monkeypatch.setattr("ftc.verbs.track.find_spec", lambda name: True)
    monkeypatch.setattr("ftc.runtime.tracking.reporters.Reporters", stop)
    with pytest.raises(KeyboardInterrupt):
        api.track(run, "wandb", weights=True)
    assert seen == [("documents", "report", "weights")], "four are more than a tracker's keys may have"


@pytest.mark.parametrize("name", ["a/b", "a:1", "it's", "", " a", "a%b", ".a", "a`b", "a\\b", 'a"b', "a\nb"])
def test_a_model_s_name_is_no_address_and_no_query(name: str) -> None:
    with pytest.raises(ValidationError):
        MLflow(registered_model=name)
    with pytest.raises(ValueError, match=r"begins with no dot or space, and holds no .*backtick, percent sign"):
        refuse_name(name)
    refuse_name("Support tickets v2")


@pytest.mark.parametrize("status", ["paused", "gate_failed", "finished"])
def test_a_run_registers_once_it_is_finished_and_passed_its_gates(
    tmp_path: Path, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    run = replace(run, record=run.record.model_copy(update={"status": status}))
    monkeypatch.setattr("ftc.verbs.register.registered", lambda *_: "model `tickets`, version 1")
    told: list[Event] = []
    card, keys = tracker_card("mlflow"), MLflow(registered_model="tickets")
    assert card is not None
    register_asked(run, [(card, keys)], {card.title}, told.append)
    wanted = {
        "paused": [],
        "gate_failed": [Noticed(code="FTC732", text="`tickets` is not registered: the run has failed a gate")],
        "finished": [
            Registering(tracker="MLflow", model="tickets"),
            Registered(tracker="MLflow", version="model `tickets`, version 1"),
        ],
    }
    assert told == wanted[status]


def test_a_full_disk_or_a_tracker_that_is_down_leaves_the_run_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, told = make_run(tmp_path), list[Event]()
    card, keys = tracker_card("mlflow"), MLflow(registered_model="tickets")
    assert card is not None

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ftc.verbs.register.registered", full)
    register_asked(run, [(card, keys)], set(), told.append)
    assert told == [], "that it is down is said already"
    register_asked(run, [(card, keys)], {card.title}, told.append)
    assert told == [
        Registering(tracker="MLflow", model="tickets"),
        Noticed(code="FTC730", text="MLflow has not registered the model: No space left on device"),
    ]


def test_a_registration_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path)
    for weights in (one for one in run.record.outputs if "/" in one):
        (run.folder / weights).parent.mkdir(parents=True, exist_ok=True)
        (run.folder / weights).touch()
    base = run.root / "base"
    base.mkdir(parents=True)
    monkeypatch.setattr("ftc.verbs.predict.usable_inputs", lambda run: SimpleNamespace(model_folder=base))
    monkeypatch.setattr("ftc.runtime.tracking.registry.MOST_SECONDS", 0)
    card = tracker_card("mlflow")
    assert card is not None
    with pytest.raises(Refusal) as refused:
        registered(run, card, MLflow(), "tickets")
    (found,) = refused.value.diagnostics
    assert (found.code, "it was not done after" in found.summary) == ("FTC730", True)


@pytest.mark.parametrize("register", [None, "other"])
def test_values_are_sent_where_the_recipe_s_name_cannot_be_registered(
    tmp_path: Path, register: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base model isn't here, which `--register` refuses and the recipe's wish doesn't."""
    run = make_run(tmp_path)
    file = run.root / run.plan.recipe_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "ftc: 1\nname: x\ntask: {kind: classification}\ndata: {source: {path: a.csv}}\nmodel: {base: ./m}\n"
        "strategy: {kind: lora}\ntrack: {mlflow: {registered_model: tickets}}\n",
        encoding="utf-8",
    )
    sent: list[str] = []

    class Reporters:
        places = (("mlflow", "run x of experiment y"),)
        sent: ClassVar[dict[str, int]] = {"mlflow": 26}

        def __init__(self, *_: object) -> None: ...

        def begin(self, *, live: bool) -> None: ...

        def ask_for_all(self) -> None:
            sent.append("all")

        def wait(self, _seconds: float) -> bool:
            return True

        def finish(self, _seconds: float) -> tuple[()]:
            return ()

    monkeypatch.setattr("ftc.verbs.track.find_spec", lambda name: True)
    monkeypatch.setattr("ftc.runtime.tracking.reporters.Reporters", Reporters)
    if register is not None:
        with pytest.raises(Refusal) as refused:
            api.track(run, "mlflow", register=register)
        assert [one.code for one in refused.value.diagnostics] == ["FTC687"]
        assert not sent
        return
    done = api.track(run, "mlflow")
    assert (done.values, sent) == (26, ["all"])
    assert "`tickets` is not registered: " in done.where
    assert "is not here" in done.where
