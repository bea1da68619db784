"""A server beside a run: one that serves its model passes, and every other one is named with what differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.compiler.tokens.conversations import served_rows
from ftc.spec.documents.decoded import TextDecoder
from ftc.spec.documents.ledger import NotedEvaluation, read_ledger
from ftc.spec.documents.streams import open_stream
from ftc.spec.storage.paths import streams_folder
from ftc.spec.storage.tokenizer_file import load_tokenizer
from tests.e2e.conftest import Ftc, in_a_copy
from tests.support.chat_server import ChatServer, chat_server
from tests.support.projects import make_project

GATES = "samples: 2, metrics: [loss, rouge_l], gates: {rouge_l: '>= 0', loss: '<= 99'}"


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    make_project(folder / "project", models, "generation", steps=30, evaluation=GATES)
    recipe = folder / "project" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("learning_rate: 1e-3", "learning_rate: 3e-2"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(folder / "cache"))
        assert api.apply(recipe).record.status == "finished"
    return folder / "project"


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> api.Run:
    in_a_copy(finished, tmp_path, monkeypatch)
    (found,) = api.runs()
    return found


def template(messages: Sequence[Mapping[str, str]]) -> str:
    return "".join(f"<s>{one['role']}: {one['content']}</s>" for one in messages) + "<s>assistant: "


class Serving:
    """The tuned model as a server has it; `base` serves the model that it was trained from."""

    def __init__(self, run: api.Run, *, base: bool = False) -> None:
        import torch

        model: Any = api.load(run)._work.model
        tokenizer, decode = load_tokenizer(run.root / "decoder" / "tokenizer.json"), TextDecoder(run.root / "decoder")
        self.text = lambda number: decode([number])
        stream = open_stream(streams_folder(run.plan.stream_key) / "validation.arrow")
        self.rows = served_rows(stream, 50, run.root / "decoder")
        questions = [row.messages[-1]["content"] for row in self.rows if row.messages]
        assert len(questions) == len(self.rows) == len(stream)
        most = run.plan.settings.eval.max_new_tokens

        def written(text: str) -> str:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            options: dict[str, Any] = {
                "do_sample": False,
                "max_new_tokens": most,
                "eos_token_id": [2],
                "pad_token_id": 0,
            }
            with torch.no_grad():
                return decode(model.generate(input_ids=torch.tensor([ids]), **options)[0, len(ids) :].tolist())

        self._said = {one: written(row.text or "") for one, row in zip(questions, self.rows, strict=True)}
        self.lengths = {one: stream.prompt_length(number) for number, one in enumerate(questions)}

        def likeliest(ids: Sequence[int]) -> Mapping[int, float]:
            with torch.no_grad():
                scores = model(torch.tensor([list(ids)])).logits[0, -1].log_softmax(-1).topk(5)
            return dict(zip(scores.indices.tolist(), scores.values.tolist(), strict=True))

        if base:
            with model.disable_adapter():
                known = {tuple(ids): likeliest(ids) for ids in _prompts(run)}
            self.likeliest: Any = lambda ids: known[tuple(ids)]
        else:
            self.likeliest = likeliest

    def answer(self, messages: Any) -> str:
        return self._said[messages[-1]["content"]]

    def server(self, **options: Any) -> ChatServer:
        shown: dict[str, Any] = {"answer": self.answer, "likeliest": self.likeliest, "template": template}
        return ChatServer(**{**shown, **options})


def _prompts(run: api.Run) -> list[list[int]]:
    """All beginnings of the validation rows."""
    stream = open_stream(streams_folder(run.plan.stream_key) / "validation.arrow")
    rows = [stream.ids(number).tolist() for number in range(len(stream))]
    return [ids[:end] for ids in rows for end in range(1, len(ids))]


def test_a_server_of_the_tuned_model(run: api.Run, ftc: Ftc) -> None:
    serving = Serving(run)
    with chat_server(serving.server(prompt_tokens=lambda asked: 7)) as said:
        answer = ftc("run", "eval", run.record.id, "--server", said.url, "--compare", "--at-once", "2", "--json")
        assert answer.code == 0, answer.text
        found = json.loads(answer.out)
        count = len(serving.rows)
        assert (found["prompts"]["by"], found["prompts"]["same"], found["prompts"]["rows"]) == ("text", count, count)
        assert float(found["parity"]["share"]) < 1e-4
        assert found["parity"]["same_choices"] == found["parity"]["places"] > 8
        exact = sum(row.is_exact for row in serving.rows)
        assert 0 < exact <= found["answers"]["same_answers"] <= found["answered"] == count, "one token fewer for others"
        assert found["answers"]["unchecked"] == ["loss"]
        assert [gate["passed"] for gate in found["answers"]["gates"]] == [True]
        whole = [float(found["whole"][name]) for name in ("p50", "p95", "p99")]
        assert 0 < whole[0] <= whole[1] <= whole[2]
        assert found["tokens"] > 0
        assert said.most_at_once <= 2
        shown = ftc("run", "eval", run.record.id, "--server", said.url, "--rows", "1")
        assert f"tiny at {said.url} · run {run.record.id} · 1 row of validation" in " ".join(shown.out.split())
    assert not [one for one in read_ledger(run.root) if isinstance(one, NotedEvaluation) and "--server" in one.purpose]
    with chat_server(serving.server(template=None, prompt_tokens=None, likeliest=None, streams=False)) as said:
        found = api.evaluate_server(run, said.url).report
        assert (found.prompts, found.parity, found.first_token) == (None, None, None) or found.first_token is not None
        assert len(found.notes) == 2
    with chat_server(serving.server(by_text=serving.text)) as said:
        parity = api.evaluate_server(run, said.url, rows=1).report.parity
        assert parity is not None
        assert parity.holds
    with chat_server(serving.server(by_text="token {}".format)) as said:
        assert api.evaluate_server(run, said.url, rows=1).report.parity is None, "texts that no token has"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("500", "the server returns status 500"),
        ("hang", "no answer within 1 s"),
        ("cut", "the answer ends in the middle"),
        ("huge", "the answer is larger than 8 MiB"),
        ("redirect", "the server returns a redirect, which is not followed"),
        ("garbage", "the answer is not JSON"),
        ("error", "the server reports an error in its answer"),
    ],
)
def test_what_goes_wrong_is_named(run: api.Run, ftc: Ftc, fault: str, reason: str) -> None:
    with chat_server(ChatServer(lambda asked: "an answer", fault=fault)) as said:
        answer = ftc(
            "run",
            "eval",
            run.record.id,
            "--server",
            said.url,
            "--rows",
            "2",
            "--timeout",
            "1" if fault == "hang" else "20",
        )
        assert answer.code == 1, answer.text
        assert "[FTC753]: 2 of 2 requests have no answer" in answer.err
        assert f"2 x {reason}" in answer.err


@pytest.mark.slow
def test_what_differs_is_named(run: api.Run, ftc: Ftc) -> None:
    serving = Serving(run)
    words = ("run", "eval", run.record.id, "--rows", "3", "--server")
    with chat_server(serving.server(template=lambda messages: messages[-1]["content"])) as said:
        answer = ftc(*words, said.url)
        assert (answer.code, "[FTC754]" in answer.err) == (
            7,
            True,
        )
        assert "rows.jsonl:" in answer.err, "the first such row has a name"
    exact = [row.messages[-1]["content"] for row in serving.rows if row.messages and row.is_exact]
    lengths = {**serving.lengths, exact[0]: 1}
    counting = serving.server(template=None, prompt_tokens=lambda asked: lengths[asked[-1]["content"]])
    with chat_server(counting) as said:
        answer = ftc("run", "eval", run.record.id, "--server", said.url)
        words_said = f"in 1 of {len(exact)} rows" in answer.err, "by token count" in answer.err
        assert (answer.code, *words_said) == (7, True, True), answer.text
    with chat_server(serving.server(likeliest=Serving(run, base=True).likeliest)) as said:
        answer = ftc(*words, said.url)
        assert (answer.code, "[FTC755]" in answer.err, "[FTC754]" in answer.err) == (7, True, False), answer.text
    recipe = run.root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("'>= 0'", "'>= 0.001'"), encoding="utf-8")
    strict = api.apply(recipe)
    with chat_server(serving.server(answer=lambda asked: "xyz")) as said:
        answer = ftc("run", "eval", strict.record.id, "--server", said.url)
        assert (answer.code, "[FTC756]: rouge_l is 0 on" in answer.err) == (7, True), answer.text


def test_test_rows_and_files(run: api.Run, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    with chat_server(ChatServer(lambda asked: "film", key="secret")) as said:
        monkeypatch.setenv("SERVER_KEY", "secret")
        words = ("run", "eval", run.record.id, "--server", said.url, "--key-env", "SERVER_KEY")
        answer = ftc(*words, "--test", "--rows", "2")
        assert answer.code == 0, answer.text
        (noted,) = [
            one for one in read_ledger(run.root) if isinstance(one, NotedEvaluation) and "--server" in one.purpose
        ]
        assert (noted.rows, noted.purpose) == (2, "ftc eval --server, model tiny")
        shutil.copy(run.root / "rows.jsonl", "new.jsonl")
        assert "5 rows of new.jsonl" in " ".join(ftc(*words, "--data", "new.jsonl", "--rows", "5").out.split())
        odd = ["question,answer", "question,a film", "question,a goal", "a text,answer", "a goal,answer"]
        Path("odd.csv").write_text("\n".join(odd) + "\n", encoding="utf-8")
        answer = ftc(*words, "--data", "odd.csv", "--rows", "2")
        assert answer.code == 0, answer.text
        assert "[FTC488]: odd.csv seems to have no header" in answer.err
        assert ftc(*words, "--test", "--data", "new.jsonl").code == 64
        assert "[FTC752]" in ftc("run", "eval", run.record.id, "--server", said.url).err, "it wants its key"


@pytest.mark.parametrize(
    ("url", "words", "why"),
    [
        ("http://me:secret@127.0.0.1:1/v1", (), "its address holds a name, a password or a query"),
        ("http://127.0.0.1:1/v1?key=secret", (), "its address holds a name, a password or a query"),
        ("file:///etc/passwd", (), "none of http or https"),
        ("http://127.0.0.1:9/v1", (), "the server can't be reached"),
        ("http://[::1", (), "its address can't be read"),
        ("", ("--model", "other"), "it has no model `other`"),
        ("", ("--key-env", "NO_SUCH_KEY"), "`NO_SUCH_KEY` is not set"),
    ],
)
def test_servers_that_can_not_be_asked(run: api.Run, ftc: Ftc, url: str, words: tuple[str, ...], why: str) -> None:
    with chat_server(ChatServer(lambda asked: "film")) as said:
        answer = ftc("run", "eval", run.record.id, "--server", url or said.url, *words)
        assert (answer.code, "[FTC752]" in answer.err, why in answer.text) == (1, True, True), answer.text
        assert "secret" not in answer.text
        said.models = ("one", "two")
        assert "it lists 2 models" in ftc("run", "eval", run.record.id, "--server", said.url).text
        said.fault = "redirect all"
        assert "a redirect, which is not followed" in ftc("run", "eval", run.record.id, "--server", said.url).text
    assert ftc("run", "eval", run.record.id, "--rows", "3").code == 64


def test_conversations_are_found_behind_prompts(finished: Path) -> None:
    from ftc.compiler.tokens.conversations import _Search
    from ftc.compiler.tokens.sandbox import TemplateRenderer
    from tests.support.projects import _TEMPLATE

    with TemplateRenderer() as renderer:
        search = _Search(_TEMPLATE, {}, renderer)
        for roles in (["user"], ["system", "user"], ["system", "user", "assistant", "user", "assistant", "user"]):
            messages = [{"role": role, "content": f"text {number}\n\n of {role}"} for number, role in enumerate(roles)]
            prompt = template(messages)
            assert search.conversation(prompt, f"{prompt}the answer</s>") == tuple(messages)
            assert search.conversation(prompt.rstrip(), f"{prompt}the answer</s>") == tuple(messages), "a token is both"
        assert search.conversation("a text of no template", "a text of no template") is None
