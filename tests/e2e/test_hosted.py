"""A plan's training at a hosted service: what is sent, what is refused, and one paid job whatever breaks."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.hosted import HostedJob
from ftc.spec.documents.launch import HostedSettings
from ftc.spec.documents.ledger import HostedCreated, read_ledger
from ftc.spec.documents.lockfile import Lock, sealed
from ftc.spec.documents.plan import Plan
from ftc.spec.providers import PROVIDERS, Asked, ProviderCard, treatment
from ftc.spec.storage.atomic_write import write_text
from ftc.verbs.hosted.launch import launch_hosted
from ftc.verbs.launch import launch_of
from tests.e2e.conftest import Ftc
from tests.support.hosted_server import FAULTS, KEY, HostedServer, hosted_server
from tests.support.projects import make_project

TODAY = date(2026, 11, 29)
TOGETHER, OPENAI = PROVIDERS
BOTH = pytest.mark.parametrize("card", PROVIDERS, ids=lambda card: card.name)


class _Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def planned(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a saved plan of a chat, and its cache beside it."""
    folder = tmp_path_factory.mktemp("hosted")
    root = make_project(folder / "project", models, "chat")
    recipe = root / "recipe.yaml"
    text = recipe.read_text().replace("epochs: 100, max_steps: 4, ", "epochs: 2, ").replace(", evaluate_every: 2", "")
    recipe.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(folder / "cache"))
        api.save_plan(api.plan(recipe), root / "job.plan.json")
    return root


@pytest.fixture
def here(planned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, with the working folder in it."""
    shutil.copytree(planned.parent, tmp_path / "copy")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "copy" / "cache"))
    monkeypatch.chdir(tmp_path / "copy" / "project")
    for card in PROVIDERS:
        monkeypatch.setenv(card.key, KEY)
    return tmp_path / "copy" / "project"


@pytest.fixture(scope="module")
def tokenize(planned: Path) -> Callable[[list[dict[str, str]]], tuple[list[int], list[int]]]:
    """A conversation's tokens and labels by transformers, which knows nothing of ftc."""
    import transformers

    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(planned / "decoder")

    def tokenized(messages: list[dict[str, str]]) -> tuple[list[int], list[int]]:
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        begin = len(tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True))
        read = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        kept = [end > begin for _, end in read["offset_mapping"]]
        ids = list(read["input_ids"])
        return ids, [token if one else -100 for token, one in zip(ids, kept, strict=True)]

    return tokenized


@pytest.fixture
def server(tokenize: Any, here: Path) -> Iterator[HostedServer]:
    """Both services on this machine, which the project's file names."""
    with hosted_server(tokenize) as found:
        site(here, found)
        yield found


def site(root: Path, server: HostedServer, **more: str) -> None:
    """Writes the site's file, with further keys for both services."""
    keys = {"model": "tiny/base", "base_url": server.url, "poll_seconds": "0.001", **more}
    own = ", ".join(f"{name}: {value}" for name, value in keys.items())
    theirs = f"{own}, leave: [strategy, train.learning_rate]"
    (root / "ftc.launch.yaml").write_text(f"ftc_launch: 1\ntogether: {{{own}}}\nopenai: {{{theirs}}}\n")


def launched(card: ProviderCard = TOGETHER, **wishes: Any) -> HostedJob:
    """What the verb does, without waiting."""
    file = Path("job.plan.json")
    launch = launch_of(file, api.load_plan(file))
    job = launch_hosted(launch, card, **{"sleep": lambda seconds: None, "today": TODAY, **wishes})
    assert job is not None
    return job


def codes(refusal: pytest.ExceptionInfo[Refusal]) -> list[str]:
    return [one.code for one in refusal.value.diagnostics]


def record(root: Path) -> HostedJob:
    (file,) = root.glob("runs/tiny/*/hosted.json")
    found = HostedJob.model_validate_json(file.read_bytes())
    assert found.sha256 == found.expected_sha256()
    return found


@BOTH
def test_a_plan_is_trained_once_and_its_record_says_how(card: ProviderCard, here: Path, server: HostedServer) -> None:
    said = list[str]()
    job = launched(card, tell=said.append)
    assert job.job is not None
    assert (job.job.status, len(server.jobs), server.kinds("create")) == ("succeeded", 1, 1)
    assert job == record(here)
    assert (job.preview is not None, bool(job.outputs)) == (card.previews, card.returns_weights)
    if card.returns_weights:
        assert (here / "runs/tiny" / job.id / "adapter/adapter_model.safetensors").read_bytes() == b"weights" * 100
    assert launched(card) == job, "a second call asks for nothing"
    assert (len(server.jobs), server.kinds("create", "upload")) == (1, 2)
    assert [one.job for one in read_ledger(here) if isinstance(one, HostedCreated)] == [job.job.id]
    everything = "".join(file.read_text(errors="replace") for file in here.rglob("*") if file.is_file())
    assert KEY not in everything + "".join(said)


@BOTH
def test_test_rows_are_never_sent(card: ProviderCard, here: Path, server: HostedServer) -> None:
    site(here, server, send_validation="true")
    job = launched(card)
    from ftc.spec.documents.streams import open_stream

    streams = Path(os.environ["FTC_CACHE"]) / "streams" / api.load_plan("job.plan.json").stream_key
    read = {
        part: {open_stream(streams / f"{part}.arrow").place(i) for i in range(n)}
        for part, n in (("test", 5), ("train", 37))
    }
    assert not read["test"] & read["train"]
    texts = [json.loads(line)["messages"] for line in (here / "rows.jsonl").read_text().splitlines()]
    tested = [texts[int(place.rpartition(":")[2]) - 1] for place in read["test"]]
    sent = [row for id in server.files for row in server.rows(id)]
    assert (job.train.rows, job.validation and job.validation.rows, len(sent)) == (37, 5, 42)
    assert not [row for row in tested if row in sent]
    assert [row for row in sent if row not in texts] == [], "what was sent are the project's own rows"


def test_the_recipe_lies_beside_a_job_while_it_is_the_plans(here: Path, server: HostedServer) -> None:
    recipe = here / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("epochs: ", "batch_size: 2, epochs: "))
    launched()
    (job,) = (here / "runs" / "tiny").iterdir()
    assert (job / "plan.json").is_file()
    assert not (job / "recipe.yaml").exists(), "another recipe than the one that was planned"


@BOTH
def test_rows_that_were_deleted_at_the_service_are_uploaded_anew(
    card: ProviderCard, here: Path, server: HostedServer
) -> None:
    server.faults["list"] = [None, 503]  # the second look for the job, before it is created
    with pytest.raises(Refusal):
        launched(card)
    assert (server.jobs, len(server.files)) == ([], 1)
    uploaded = record(here).train.id
    server.files = {"another": b""}
    job = launched(card)
    assert job.train.id not in (None, uploaded)
    assert any("no longer at the service" in one.what for one in job.moments)
    assert len(server.jobs) == 1


@BOTH
def test_a_preview_shows_it_all_and_connects_to_nothing(
    card: ProviderCard, here: Path, server: HostedServer, ftc: Ftc
) -> None:
    site(here, server, price_per_million_tokens="0.48 USD", price_as_of="2026-11-20")
    shown = ftc("launch", "job.plan.json", "--on", card.name, "--print")
    assert shown.code == 0
    assert server.requests == []
    assert not (here / "runs").exists()
    assert "37 rows" in shown.text
    assert "2,260 tokens to train on · 0.0011 USD · by the price of 2026-11-20" in shown.text
    assert all(name in shown.text for name in card.not_pinned)
    told = json.loads(ftc("launch", "job.plan.json", "--on", card.name, "--print", "--json").out)
    plan = Plan.model_validate_json((here / "job.plan.json").read_bytes()).settings.to_json()
    assert sorted(one["path"] for one in told["settings"]) == sorted(paths(plan)), "no setting is left out"


def paths(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from paths(one, f"{path}.{name}" if path else name)
    else:
        yield path


@BOTH
def test_every_setting_that_plans_have_has_an_entry(card: ProviderCard) -> None:
    from tests.support.documents import plan

    for path in paths(plan().settings.to_json()):
        assert treatment(card, path) is not None, path
    assert treatment(card, "model.rope") is None, "what nobody has written down is refused"


def test_a_base_of_the_hub_is_sent_with_its_commit(here: Path) -> None:
    plan = api.load_plan("job.plan.json")
    model = plan.settings.model.model_copy(update={"base": "acme/brook", "commit": "c" * 40})
    settings = plan.settings.model_copy(update={"model": model})
    pinned = plan.model_copy(update={"settings": settings})
    asked = Asked(pinned, HostedSettings(), "acme/brook", 2, "ftc-1", "file-1", None)
    body = TOGETHER.request(asked)
    assert (body["from_hf_model"], body["hf_model_revision"]) == ("acme/brook", "c" * 40)
    assert "from_hf_model" not in OPENAI.request(asked)


CHANGES = {
    "FTC790": ("lora, rank: 4", "lora, rank: 4, dora: true"),
    "FTC791": ("epochs: 2, ", "epochs: 2, max_steps: 7, "),
}


@pytest.mark.parametrize("code", CHANGES)
def test_what_a_service_cannot_do_is_refused_by_name(code: str, here: Path, server: HostedServer) -> None:
    recipe = here / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(*CHANGES[code]))
    api.save_plan(api.plan(recipe), here / "job.plan.json")
    with pytest.raises(Refusal) as refusal:
        launched()
    assert codes(refusal) == [code]
    assert server.requests == []


def test_a_written_setting_that_a_service_decides_is_refused_until_it_is_left(here: Path, server: HostedServer) -> None:
    text = (here / "ftc.launch.yaml").read_text()
    (here / "ftc.launch.yaml").write_text(text.replace("strategy, ", ""))
    with pytest.raises(Refusal) as refusal:
        launched(OPENAI)
    assert {one.path for one in refusal.value.diagnostics} == {
        *("strategy.kind", "strategy.adapter.rank", "strategy.adapter.dropout")
    }
    assert server.requests == []


def test_a_written_value_that_cannot_be_sent_is_left_only_where_it_stays_out(here: Path, server: HostedServer) -> None:
    recipe = here / "recipe.yaml"
    text = recipe.read_text().replace("rank: 4", "rank: 4, dora: true")
    recipe.write_text(text.replace("1e-3", "1e-3, schedule: {kind: polynomial}"))
    api.save_plan(api.plan(recipe), here / "job.plan.json")
    own = f"model: tiny/base, base_url: {server.url}, leave: [strategy.adapter.dora, train.schedule]"
    (here / "ftc.launch.yaml").write_text(f"ftc_launch: 1\ntogether: {{{own}}}\n")
    with pytest.raises(Refusal) as refusal:
        launched()
    assert [one.path for one in refusal.value.diagnostics] == ["train.schedule.kind"]
    assert server.requests == []


def test_a_name_under_leave_that_is_no_setting(here: Path, server: HostedServer) -> None:
    own = f"model: tiny/base, base_url: {server.url}, leave: [train.learning_rat, optimiser]"
    (here / "ftc.launch.yaml").write_text(f"ftc_launch: 1\ntogether: {{{own}}}\n")
    with pytest.raises(Refusal) as refusal:
        launched()
    near, far = refusal.value.diagnostics
    assert (near.code, near.help) == ("FTC790", ("did you mean `train.learning_rate`?",))
    assert "`optimiser`, which is no setting" in far.summary
    assert server.requests == []


def test_a_busy_service_is_asked_again_about_a_running_job(here: Path, server: HostedServer) -> None:
    server.faults["job"] = [429, 503, "cut"]
    assert launched().fetched
    assert server.kinds("job") == 5


def test_an_address_without_encryption_gets_neither_key_nor_rows(here: Path, server: HostedServer) -> None:
    site(here, server, base_url="http://tuning.example.org/v1")
    with pytest.raises(Refusal) as refusal:
        launched()
    assert codes(refusal) == ["FTC794"]
    with pytest.raises(Refusal) as refusal:
        launched(waived=["token"])
    assert [one.help for one in refusal.value.diagnostics if "called" in one.summary] == [("did you mean `tokens`?",)]


def test_limits_of_the_service_are_named(here: Path, server: HostedServer) -> None:
    recipe = here / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("rank: 4", "rank: 128").replace("1e-3", "0.5"))
    api.save_plan(api.plan(recipe), here / "job.plan.json")
    with pytest.raises(Refusal) as refusal:
        launched()
    assert codes(refusal) == ["FTC791"]
    assert refusal.value.diagnostics[0].notes == ("learning_rate 0.5 is above 0.01", "lora_r 128 is above 64")
    assert server.kinds("upload", "create") == 0


def test_openai_takes_no_jobs_from_2027_on_and_others_do(here: Path, server: HostedServer) -> None:
    server_file = (here / "ftc.launch.yaml").read_text()
    (here / "ftc.launch.yaml").write_text(server_file.replace(f"base_url: {server.url}, ", ""))
    with pytest.raises(Refusal) as refusal:
        launched(OPENAI, today=date(2027, 1, 6))
    assert codes(refusal) == ["FTC792"]
    (here / "ftc.launch.yaml").write_text(server_file)
    assert launched(OPENAI, today=date(2027, 1, 6)).fetched
    server.shutdown = "2027-02-01"
    shutil.rmtree(here / "runs")
    server.jobs.clear()
    with pytest.raises(Refusal) as refusal:
        launched(OPENAI)
    assert codes(refusal) == ["FTC792"]
    assert launched(OPENAI, waived=["shutdown"]).fetched


def test_other_tokens_stop_it_before_money_is_spent(here: Path, server: HostedServer) -> None:
    own = server.tokenize
    server.tokenize = lambda messages: (own(messages)[0], own(messages)[0])  # trained on the prompt, too
    with pytest.raises(Refusal) as refusal:
        launched()
    assert codes(refusal) == ["FTC795"]
    server.tokenize = lambda messages: ([7, *own(messages)[0]], [-100, *own(messages)[1]])
    with pytest.raises(Refusal) as refusal:
        launched()
    assert codes(refusal) == ["FTC795"]
    assert server.kinds("create") == 0
    seen = launched(waived=["tokens", "price"])
    assert seen.fetched
    assert seen.waived == ("price", "tokens")
    assert seen.preview is not None
    assert len(seen.preview.differing) == seen.preview.rows == 8


@pytest.mark.parametrize(
    ("more", "price", "is_allowed", "words"),
    [
        ({"most": "5 USD"}, 7.1, True, "7.10 USD are expected"),
        ({"most": "5 EUR"}, 0.1, True, "nobody knows the price in EUR"),
        ({}, 0.1, False, "doesn't allow this account"),
    ],
)
def test_a_price_that_nobody_agreed_to_stops_it(
    more: dict[str, str], price: float, is_allowed: bool, words: str, here: Path, server: HostedServer
) -> None:
    site(here, server, **more)
    server.price, server.is_allowed = price, is_allowed
    with pytest.raises(Refusal) as refusal:
        launched()
    assert codes(refusal) == ["FTC796"]
    assert words in refusal.value.diagnostics[0].notes[0]
    assert server.kinds("create") == 0


def test_rows_with_personal_data_stay_here_until_somebody_says_otherwise(here: Path, server: HostedServer) -> None:
    rows = (here / "rows.jsonl").read_text().splitlines()
    changed = [row.replace('"content": "', '"content": "a@b.org ', 1) for row in rows]
    (here / "rows.jsonl").write_text("\n".join(changed) + "\n")
    (here / "recipe.yaml").write_text((here / "recipe.yaml").read_text().replace("max_length: 32", "max_length: 64"))
    api.save_plan(api.plan(here / "recipe.yaml"), here / "job.plan.json")
    with pytest.raises(Refusal) as refusal:
        launched()
    assert codes(refusal) == ["FTC793"]
    assert server.requests == []
    assert launched(waived=["personal-data"]).fetched


@pytest.mark.parametrize(("trained_on", "words"), [(2, "2 test rows are"), (None, "were not searched")])
def test_test_rows_that_may_be_training_rows_are_not_sent(
    here: Path, server: HostedServer, trained_on: int | None, words: str
) -> None:
    plan = api.load_plan(here / "job.plan.json")
    unknown = plan.model_copy(update={"quality": plan.quality.model_copy(update={"trained_on": trained_on})})
    with pytest.raises(Refusal) as refusal:
        launch_hosted(launch_of(here / "job.plan.json", unknown), TOGETHER, sleep=lambda seconds: None, today=TODAY)
    assert codes(refusal) == ["FTC793"]
    assert words in refusal.value.diagnostics[0].summary
    assert server.requests == []


def test_a_key_is_needed_and_a_bad_one_is_not_repeated(
    here: Path, server: HostedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOGETHER.key)
    with pytest.raises(Refusal) as refusal:
        launched()
    assert codes(refusal) == ["FTC794"]
    monkeypatch.setenv(TOGETHER.key, "sk-another-secret")
    with pytest.raises(Refusal) as refusal:
        launched()
    assert codes(refusal) == ["FTC794"]
    assert "sk-another-secret" not in str([(one.summary, one.notes, one.help) for one in refusal.value.diagnostics])


@pytest.mark.parametrize("key", ["…", "sk-secret\nsk-other", "sk-secret\x7f"])
def test_a_key_that_no_header_can_carry_is_named_by_its_variable_alone(
    key: str, here: Path, server: HostedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOGETHER.key, key)
    with pytest.raises(Refusal) as refusal:
        launched()
    assert codes(refusal) == ["FTC794"]
    assert key not in str(refusal.value.diagnostics)
    assert server.requests == []


@pytest.mark.parametrize("address", ["https://[::1", "https://[zz]/v1", "https://host:port/v1", "https://host:99999"])
def test_an_address_that_is_none_is_a_finding_of_the_launch_file(
    address: str, here: Path, server: HostedServer, ftc: Ftc
) -> None:
    site(here, server, base_url=f'"{address}"')
    done = ftc("launch", "job.plan.json", "--on", "together", "--print")
    assert "FTC707" in done.text
    assert "base_url" in done.text
    assert "Traceback" not in done.text


@pytest.mark.parametrize("kind", ["ln_tuning", "ia3"])
def test_what_is_sent_cannot_be_left_to_the_service(kind: str, here: Path, server: HostedServer) -> None:
    recipe = here / "recipe.yaml"
    recipe.write_text(re.sub(r"strategy: \{.*?\}", f"strategy: {{kind: {kind}}}", recipe.read_text()))
    own = f"{{model: tiny/base, base_url: '{server.url}', leave: [strategy, train]}}"
    (here / "ftc.launch.yaml").write_text(f"ftc_launch: 1\ntogether: {own}\n")
    api.save_plan(api.plan(recipe), here / "job.plan.json")
    with pytest.raises(Refusal) as refusal:
        launched()
    assert ("FTC790", "strategy.kind") in {(one.code, one.path) for one in refusal.value.diagnostics}
    assert server.requests == [], "full training would have been asked for"


def test_a_job_that_fails_is_paid_again_only_when_asked(here: Path, server: HostedServer, ftc: Ftc) -> None:
    server.end = "failed"
    with pytest.raises(Refusal) as refusal:
        launched(OPENAI)
    assert codes(refusal) == ["FTC798"]
    assert refusal.value.diagnostics[0].notes == ("the rows are bad",)
    server.end = "succeeded"
    assert ftc("launch", "job.plan.json", "--on", "openai").code == 1
    assert len(server.jobs) == 1
    done = ftc("launch", "job.plan.json", "--on", "openai", "--another", "--yes")
    assert done.code == 0, done.text
    assert len(server.jobs) == 2
    assert server.jobs[0]["metadata"]["ftc_job"] != server.jobs[1]["metadata"]["ftc_job"]


@BOTH
def test_nothing_is_sent_before_somebody_agrees(card: ProviderCard, here: Path, server: HostedServer, ftc: Ftc) -> None:
    asked = ftc("launch", "job.plan.json", "--on", card.name)
    assert (asked.code, server.requests) == (64, [])
    for shown in (server.url, f"the value of {card.key}", "37 rows", "not estimated", *card.not_pinned):
        assert shown in asked.text
    other = ftc("launch", "job.plan.json", "--on", "slurm", "--yes")
    assert (other.code, "--yes: only for" in other.text) == (64, True)


def test_a_job_is_followed_later(here: Path, server: HostedServer, ftc: Ftc) -> None:
    begun = ftc("launch", "job.plan.json", "--on", "together", "--no-wait", "--yes")
    assert begun.code == 0
    assert record(here).job is not None
    assert not record(here).fetched
    assert ftc("launch", "job.plan.json", "--on", "together").code == 0
    assert record(here).fetched
    assert len(server.jobs) == 1
    assert ftc("audit", "toge").code == 0
    (here / "runs" / "toge").mkdir()
    assert "FTC520" in ftc("audit", "toge").text, "the name of a recipe is not the beginning of a job's"


@pytest.mark.sample(5)
@BOTH
@pytest.mark.parametrize("fault", FAULTS)
def test_one_job_whatever_becomes_of_the_answer(
    card: ProviderCard, fault: Any, here: Path, server: HostedServer
) -> None:
    server.faults["create"] = [fault]
    try:
        job = launched(card)
    except Refusal as refusal:
        (found,) = refusal.diagnostics
        assert not server.jobs, "a job that was created is found"
        if found.code == "FTC794":  # the service said that it did nothing
            assert fault == 429
            job = launched(card)
        else:
            assert found.code == "FTC797"
            with pytest.raises(Refusal):
                launched(card)
            assert not server.jobs, "asked once, however often it is called"
            job = launched(card, another=True)
    assert job.fetched
    assert len(server.jobs) == 1


def test_a_job_that_is_listed_late_is_found_later(here: Path, server: HostedServer) -> None:
    server.faults["create"], server.hides = ["late"], True
    for _ in range(3):
        with pytest.raises(Refusal) as refusal:
            launched()
        assert codes(refusal) == ["FTC797"]
    server.hides = False
    assert launched().fetched
    assert len(server.jobs) == 1


def test_another_job_is_asked_for_only_where_the_first_is_still_not_listed(here: Path, server: HostedServer) -> None:
    server.faults["create"], server.hides = ["late"], True
    with pytest.raises(Refusal):
        launched()
    server.hides = False
    with pytest.raises(Refusal) as refusal:
        launched(another=True)
    assert codes(refusal) == ["FTC794"]
    assert "is not over" in refusal.value.diagnostics[0].summary
    assert (launched().fetched, len(server.jobs)) == (True, 1)


@pytest.mark.parametrize("fault", [429, 503, "refused"])
def test_a_job_is_followed_through_what_passes(fault: Any, here: Path, server: HostedServer) -> None:
    if fault == "refused":
        from ftc.verbs.hosted.openai import OpenAI
        from ftc.verbs.hosted.service import ServiceFault

        own, left = OpenAI.job, [ServiceFault("the service can't be reached", is_refused=True)]

        def job(self: OpenAI, id: str) -> Any:
            if left:
                raise left.pop()
            return own(self, id)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(OpenAI, "job", job)
            assert launched(OPENAI).fetched
    else:
        server.faults["job"] = [fault, None, fault]
        assert launched(OPENAI).fetched


def test_notes_that_are_lost_lead_back_to_the_same_job(here: Path, server: HostedServer) -> None:
    first = launched()
    shutil.rmtree(here / "runs")
    again = launched()
    assert again.job == first.job
    assert len(server.jobs) == 1


def test_a_server_that_keeps_no_metadata_is_asked_by_its_rows(here: Path, server: HostedServer) -> None:
    server.keeps_metadata = False
    server.faults["create"] = ["late"]
    assert launched(OPENAI).fetched
    server.jobs[0]["status"] = "failed"
    assert len(server.jobs) == 1


@pytest.mark.sample(5)
@pytest.mark.parametrize("at", [9, 10, 11, 12, 13, *range(9), *range(14, 22)])
def test_a_process_that_ends_between_any_two_notes_goes_on(
    at: int, here: Path, server: HostedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    survived = _with_kills(monkeypatch, {at})
    for _ in range(3):
        try:
            job = launched(another=server_shows_none(here, server))
            break
        except _Killed:
            continue
    else:
        pytest.fail("one kill, and it never came to an end")
    assert job.fetched
    assert len(server.jobs) == 1
    assert survived() > 0


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a signal that nobody can catch")
@pytest.mark.parametrize("kind", ["preview", "create", "job", "download"])
@pytest.mark.parametrize("fault", ["kill", "late kill"])
def test_a_process_that_is_killed_goes_on(kind: str, fault: Any, here: Path, server: HostedServer) -> None:
    words = [sys.executable, "-m", "ftc", "launch", "job.plan.json", "--on", "together", "--yes"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        server.faults[kind], server.kill = [fault], process.kill
        assert process.wait(120) == -signal.SIGKILL
    if kind == "create" and fault == "kill":
        assert not server.jobs
        with pytest.raises(Refusal) as refusal:
            launched()
        assert codes(refusal) == ["FTC797"]
    assert launched(another=kind == "create" and fault == "kill").fetched
    assert len(server.jobs) == 1


def test_what_a_service_sends_as_weights_is_only_data(here: Path, server: HostedServer) -> None:
    server.weights = {"../../../escaped": b"x"}
    with pytest.raises(Refusal) as refusal:
        launched()
    assert codes(refusal) == ["FTC798"]
    assert not list(here.parent.rglob("escaped"))
    server.weights = {"adapter_config.json": b"{}"}
    assert launched().fetched, "the same command fetches it again"
    assert len(server.jobs) == 1


@pytest.mark.slow
def test_answers_that_mean_nothing_end_in_words(here: Path, server: HostedServer, ftc: Ftc) -> None:
    for kind in ("limits", "upload", "place", "preprocess", "file", "content", "preview", "estimate", "list", "job"):
        server.faults = {kind: ["garbage"]}
        answer = ftc("launch", "job.plan.json", "--on", "together", "--yes")
        assert answer.code in (0, 1, 6), (kind, answer.text)
        assert "Traceback" not in answer.text
    server.faults = {}
    assert launched().fetched
    assert len(server.jobs) == 1


def _with_kills(monkeypatch: pytest.MonkeyPatch, at: set[int]) -> Callable[[], int]:
    """Ends the process before (even) or after (odd) a note, by the number of the chance to do so."""
    chances = [0]

    def killing(file: Path, text: str) -> None:
        for moment in (0, 1):
            chances[0] += 1
            if chances[0] - 1 in at:
                raise _Killed
            if moment == 0:
                write_text(file, text)

    monkeypatch.setattr("ftc.verbs.hosted.walk.write_text", killing)
    return lambda: chances[0]


CAMPAIGN = 500 if os.environ.get("FTC_FAULTS") else 12
"""Random faults that are injected in all; `nox -s hosted` runs the whole campaign."""


@pytest.mark.sample(1)
@pytest.mark.parametrize("seed", range(4))
def test_no_fault_makes_a_second_job(
    seed: int, here: Path, server: HostedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, injected, ended = random.Random(seed), 0, 0
    kinds = (
        "upload",
        "place",
        "preprocess",
        "file",
        "content",
        "preview",
        "estimate",
        "list",
        "create",
        "create",
        "job",
    )
    while injected < CAMPAIGN / 4:
        card = draw.choice(PROVIDERS)
        kills = {draw.randrange(24) for _ in range(draw.randrange(3))}
        with monkeypatch.context() as patch:
            _with_kills(patch, kills)
            for _ in range(60):
                kind, fault = draw.choice(kinds), draw.choice(FAULTS)
                server.faults = {kind: [None] * draw.randrange(2) + [fault]} if draw.random() < 0.5 else {}
                server.hides = draw.random() < 0.1
                try:
                    if launched(card, another=server_shows_none(here, server)).fetched:
                        break
                except _Killed:
                    ended += 1
                except Refusal:
                    continue
            else:
                pytest.fail("never came to an end")
        assert len(server.jobs) == 1
        injected = server.injected + ended
        server.faults, server.hides = {}, False
        server.jobs.clear()
        server.files.clear()
        shutil.rmtree(here / "runs")


def server_shows_none(root: Path, server: HostedServer) -> bool:
    """What a careful person finds on the service's own page before asking for another job."""
    files = list(root.glob("runs/tiny/*/hosted.json"))
    return bool(files) and record(root).creating and not server.jobs


@pytest.mark.sample(1)
@BOTH
def test_an_audit_shows_what_agrees_and_says_what_nobody_can_prove(
    card: ProviderCard, here: Path, server: HostedServer, ftc: Ftc
) -> None:
    job = launched(card)
    seen = ftc("audit", job.id)
    assert (seen.code, "CONSISTENT" in seen.text) == (0, True), seen.text
    assert "37 train rows made again, the bytes that were sent" in seen.text
    for words in (*card.not_proved, *(f"not pinned: {one}" for one in card.not_pinned)):
        assert words in seen.text
    assert ftc("audit", job.id, "--level", "replay").code == 8
    assert job.job is not None
    assert job.job.id in ftc("show", job.id).text
    assert f"{job.id} tiny at {server.url}: job {job.job.id}" in ftc("run", "list").text
    file = next(here.glob("runs/tiny/*/hosted.json"))
    for changes in FORGED:
        forged = job.model_copy(update=changes(job)).sealed()
        file.write_text(forged.to_text())
        assert ftc("audit", job.id).code == 6, changes
    file.write_text(job.to_text())
    if card.returns_weights:
        (here / "runs/tiny" / job.id / "adapter/adapter_model.safetensors").write_bytes(b"others")
        assert "FTC799" in ftc("audit", job.id).text


@BOTH
def test_the_lock_of_a_hosted_job_says_what_is_not_pinned(
    card: ProviderCard, here: Path, server: HostedServer, ftc: Ftc
) -> None:
    job, plan = launched(card, waits=False), api.load_plan(Path("job.plan.json"))
    assert "hosted" not in plan.lock.to_json(), "a recipe is planned before anybody names a service"
    file = here / "runs/tiny" / job.id / "recipe.lock.json"
    lock = Lock.model_validate_json(file.read_bytes())
    assert lock.hosted is not None
    assert lock.broken_seals() == ()
    assert {*card.not_pinned} <= {*lock.hosted.not_pinned}
    assert lock.hosted.fixed == tuple(one.path for one in job.settings if one.how == "fixed")
    assert sealed(lock.model_copy(update={"hosted": None})).to_text() == plan.lock.to_text()
    seen = ftc("diff", "recipe.lock.json", str(file), "--json")
    changes = {one["path"]: one["new"] for one in json.loads(seen.out)["changes"]}
    assert changes["hosted.not_pinned"] == list(lock.hosted.not_pinned), changes
    assert "with what the service leaves open" in ftc("audit", job.id).text
    other = lock.hosted.model_copy(update={"not_pinned": ()})
    file.write_text(sealed(lock.model_copy(update={"hosted": other})).to_text())
    assert ftc("audit", job.id).code == 6
    file.unlink()
    assert "recipe.lock.json: there is none" in ftc("audit", job.id).text
    assert launched(card, waits=False).job == job.job
    assert file.exists(), "a job of an earlier release gets one"


def test_an_audit_of_a_copy_elsewhere_or_of_a_forged_request_is_no_crash(
    here: Path, server: HostedServer, ftc: Ftc, tmp_path: Path
) -> None:
    job = launched()
    found = here / "runs/tiny" / job.id
    shutil.copytree(found, tmp_path / "copy of it")
    (tmp_path / "copy of it" / ".git").mkdir()
    assert ftc("audit", str(tmp_path / "copy of it")).code == 0
    for request in ("no JSON", "[1]", job.request.replace('"batch_size": 8', '"batch_size": 16')):
        forged = job.model_copy(update={"request": request})
        forged = forged.model_copy(update={"request_sha256": forged.expected_request_sha256()}).sealed()
        (found / "hosted.json").write_text(forged.to_text())
        seen = ftc("audit", job.id)
        assert (seen.code, "the plan calls for another request" in seen.text) == (6, True), seen.text


FORGED: tuple[Callable[[HostedJob], dict[str, Any]], ...] = (
    lambda job: {"train": job.train.model_copy(update={"tokens": 3})},
    lambda job: {"train": job.train.model_copy(update={"facts": job.train.facts.model_copy(update={"sha256": "0"})})},
    lambda job: {"settings": job.settings[1:]},
    lambda job: {"plan_sha256": "0" * 64},
    lambda job: {"job": job.job.model_copy(update={"id": "ft-9"}) if job.job else None},
    lambda job: {
        "request": job.request.replace('"batch_size": 8', '"batch_size": 16').replace('"seed": 17', '"seed": 1')
    },
)
"""Records that somebody rewrote, with a right digest."""
