"""A running server measured against the run whose model it should serve: prompts, log-probabilities, answers, time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ftc.runtime.evaluation.at_once import MOST_SILENT, ask_at_once
from ftc.runtime.evaluation.endpoint import Endpoint, EndpointFault, Reply
from ftc.runtime.evaluation.evaluate_again import reopened
from ftc.runtime.evaluation.measures import Measures
from ftc.runtime.evaluation.reference import Reference, evenly, read_reference
from ftc.runtime.execution.verify import verify_some
from ftc.runtime.exports.gates import answers_of_model, first_rows, sequences_of
from ftc.runtime.metrics import LOSSES
from ftc.runtime.metrics.statistics import difference, intervals
from ftc.spec.documents.exported import Parity
from ftc.spec.documents.outcomes import plain_name
from ftc.spec.documents.package_metrics import judged_metrics
from ftc.spec.documents.record import Gain, GateResult
from ftc.spec.documents.served import FailedRequests, PromptCheck, ServedAnswers, ServedModel, ServedRow, latency_of

if TYPE_CHECKING:
    from ftc.runtime.execution.execute import Inputs
    from ftc.runtime.execution.session import Session
    from ftc.runtime.metrics.statistics import Statistics
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import RunRecord
    from ftc.spec.documents.streams import Split, TokenStream
    from ftc.spec.model_formats import FileType
    from ftc.spec.storage.paths import RunFolder

__all__ = ["AskedServer", "measure_server"]

_MOST_PROMPTS = 20
_PLACES = 4
"""Places of a row of the reference that are asked: each is a request."""
_HIGHEST = 5
"""Log-probabilities of a place; OpenAI's protocol gives no more."""
_USUAL_NEW_TOKENS = 64
"""Longest answer where the run's metrics need none."""


@dataclass(frozen=True, slots=True)
class AskedServer:
    """What is asked of a server.

    Attributes:
        endpoint: The server.
        url: Its address, for people.
        model: What it calls the model.
        split: Whose rows; `test` for a file's.
        data: What these are called.
        stream: Tokens of a file's rows; None for the run's own.
        rows: The rows as they are asked, in the stream's order.
        bound: What may differ, by the type of the server's weights.
        at_once: Requests that may be out at the same time.
        compares: Whether the tuned model answers the same rows here.
    """

    endpoint: Endpoint
    url: str
    model: str
    split: Split
    data: str
    stream: TokenStream | None
    rows: Sequence[ServedRow]
    bound: FileType
    at_once: int
    compares: bool


def measure_server(
    plan: Plan, inputs: Inputs, run: RunFolder, record: RunRecord, asked: AskedServer, listen: EventListener
) -> ServedModel:
    """Asks a server some rows of a run.

    Raises:
        Refusal: Rows or base are not the run's (FTC620, FTC621), or its weights changed (FTC630).
        KeyboardInterrupt: Somebody asked to stop.
    """
    with reopened(plan, inputs, run, record, listen) as session:
        with session.journal.phase("verify", "rows and base"):
            verify_some(plan, inputs, [] if asked.stream else [asked.split], session.stamps)
        whole = asked.stream or session.stream(asked.split)
        assert whole is not None, "the verb has chosen a split with rows"
        job = _Job(session, asked, first_rows(whole, len(asked.rows)))
        with session.journal.phase("compare", "prompts"):
            prompts = job.prompts()
        reference = read_reference(session, run)
        with session.journal.phase("compare", "log-probabilities"):
            parity = job.parity(reference) if reference is not None else None
        with session.journal.phase("compare", f"answers to {len(asked.rows)} rows"):
            started = time.perf_counter()
            found = ask_at_once(job.ask, len(asked.rows), asked.at_once, session.stop, is_silent=_is_fault)
            seconds = time.perf_counter() - started
        replies = {number: one for number, one in found.items() if isinstance(one, Reply)}
        failed = Counter(one.reason for one in found.values() if isinstance(one, EndpointFault))
        if left := len(asked.rows) - len(found):
            failed[f"not asked after {MOST_SILENT} requests in a row without an answer"] = left
        first = [one.first_seconds for one in replies.values() if one.first_seconds is not None]
        counts = [one.tokens for one in replies.values()]
        known = [count for count in counts if count is not None]
        return ServedModel(
            run_id=record.id,
            url=asked.url,
            model=asked.model,
            data=asked.data,
            rows=len(asked.rows),
            prompts=prompts or job.counted(replies),
            parity=parity,
            answers=job.answers(replies) if replies else None,
            answered=len(replies),
            failed=tuple(FailedRequests(reason=reason, count=count) for reason, count in failed.most_common()),
            at_once=min(asked.at_once, len(asked.rows)),
            first_token=latency_of(first),
            whole=latency_of([one.seconds for one in replies.values()]),
            seconds=seconds,
            tokens=sum(known) if known and len(known) == len(counts) else None,
            notes=tuple(job.notes(reference, parity, prompts)),
        )


def _is_fault(one: Reply | EndpointFault) -> bool:
    return isinstance(one, EndpointFault)


class _Job:
    """One measurement."""

    def __init__(self, session: Session, asked: AskedServer, rows: TokenStream) -> None:
        self._session, self._asked, self._rows = session, asked, rows
        self._endpoint, self._settings = asked.endpoint, session.plan.settings
        self._measures = Measures(self._settings, rows, session.inputs.model_folder)
        self._new_tokens = self._settings.eval.max_new_tokens or _USUAL_NEW_TOKENS

    def prompts(self) -> PromptCheck | None:
        """Prompts beside those of the run, as text or as tokens; None where the server shows neither."""
        rows = self._asked.rows
        some = [number for number, row in enumerate(rows) if row.messages][:_MOST_PROMPTS]
        for by, make in (("text", self._as_text), ("token ids", self._as_ids)):
            if by != "text":
                some = [number for number in some if rows[number].is_exact]
            seen: list[bool] = []
            with suppress(EndpointFault, KeyError, TypeError):
                for number in some:
                    self._session.stop.check()
                    seen.append(make(number))
            if some and len(seen) == len(some):
                return self._check(by, some, seen)
        return None

    def _as_text(self, number: int) -> bool:
        row = self._asked.rows[number]
        found = self._endpoint.post("/apply-template", {"messages": row.messages}, at_root=True)["prompt"]
        mine = (row.text or "").removeprefix(row.first)
        return isinstance(found, str) and found.removeprefix(row.first) == mine

    def _as_ids(self, number: int) -> bool:
        row = self._asked.rows[number]
        asked = {"model": self._asked.model, "messages": row.messages, "add_generation_prompt": True}
        found = self._endpoint.post("/tokenize", asked, at_root=True)["tokens"]
        return bool(found == self._prompt_ids(number))

    def counted(self, replies: dict[int, Reply]) -> PromptCheck | None:
        """The same by the lengths that the server counts, which is all that OpenAI's protocol shows."""
        rows = self._asked.rows
        some = [number for number, one in sorted(replies.items()) if one.prompt_tokens and rows[number].is_exact]
        if not some:
            return None
        return self._check("token count", some, [replies[n].prompt_tokens == self._rows.prompt_length(n) for n in some])

    def _check(self, by: Any, numbers: Sequence[int], seen: Sequence[bool]) -> PromptCheck:
        other = next((number for number, same in zip(numbers, seen, strict=True) if not same), None)
        name = None if other is None else self._rows.place(other) or f"row {int(self._rows.rows[other]) + 1}"
        return PromptCheck(by=by, rows=len(numbers), same=sum(seen), first_other=name)

    def _prompt_ids(self, number: int) -> list[int]:
        found: list[int] = self._rows.ids(number)[: self._rows.prompt_length(number)].tolist()
        return found

    def parity(self, reference: Reference) -> Parity | None:
        """The log-probabilities of what the tuned model finds likeliest; None where the server gives none."""
        rows = self._session.stream(reference.split)
        assert rows is not None, "a reference is of rows that are there"
        compared, places, same, largest = 0, 0, 0, 0.0
        for index, ids in _places(rows, reference):
            self._session.stop.check()
            try:
                found = self._likeliest(ids)
            except EndpointFault:
                return None
            choices = reference.choices[index].tolist()
            known = dict(zip(choices, (reference.scores[index] - reference.log_sum_exp[index]).tolist(), strict=True))
            said = self._by_number(found, choices)
            both = [(value, known[number]) for number, value in said.items() if number in known]
            if not both or max(said.values()) < max(value for _, value in found):  # which is likeliest is not known
                continue
            places += 1
            compared += len(both)
            largest = max([largest, *(abs(value - right) for value, right in both)])
            same += max(said, key=lambda number: said[number]) == choices[0]
        if not compared:
            return None
        return Parity(
            split="train" if reference.split == "train" else "validation",
            rows=len(reference.rows),
            places=places,
            compared=compared,
            runtime=f"{self._asked.model} at {self._asked.url}",
            largest_difference=largest,
            spread=reference.spread,
            share=largest / reference.spread,
            allowed=self._asked.bound.allowed,
            same_choices=same,
            least_same=self._asked.bound.least_same,
        )

    def _by_number(self, found: Sequence[tuple[int | str, float]], choices: Sequence[int]) -> dict[int, float]:
        """Log-probabilities by token; of those that a server names by their text, such as only one choice has."""
        texts = Counter(key for key, _ in found if isinstance(key, str))
        if not texts:
            return {key: value for key, value in found if isinstance(key, int)}
        named: dict[str, list[int]] = {}
        for number in choices:
            named.setdefault(self._measures.decode([number]), []).append(number)
        single = {text: numbers[0] for text, numbers in named.items() if len(numbers) == 1 and texts[text] == 1}
        return {single[key]: value for key, value in found if isinstance(key, str) and key in single}

    def _likeliest(self, ids: Sequence[int]) -> list[tuple[int | str, float]]:
        """The likeliest next tokens, by number or by text, with their log-probabilities."""
        asked = {
            "model": self._asked.model,
            "prompt": list(ids),
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": _HIGHEST,
            "return_tokens_as_token_ids": True,  # vLLM's; others leave it aside
        }
        reply = self._endpoint.post("/completions", asked)
        try:
            return list(_listed(reply["choices"][0]["logprobs"]))
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            return []

    def ask(self, number: int, _ended: threading.Event) -> Reply | EndpointFault:
        """The answer to a row, or why there is none."""
        row, most = self._asked.rows[number], self._new_tokens
        common = {"model": self._asked.model, "max_tokens": most, "temperature": 0}
        counted = {"stream_options": {"include_usage": True}}
        path, asked = (
            ("/chat/completions", {"messages": row.messages})
            if row.messages
            else ("/completions", {"prompt": self._prompt_ids(number)})
        )
        try:
            return self._endpoint.write(path, {**common, **asked, **counted})
        except EndpointFault as fault:
            if fault.status not in (400, 422):
                return fault
        try:
            return self._endpoint.write(path, {**common, **asked})  # some know no `stream_options`
        except EndpointFault as fault:
            return fault

    def answers(self, replies: dict[int, Reply]) -> ServedAnswers:
        """Answers by the recipe's metrics and gates."""
        settings, rows = self._settings, self._rows
        texts = {number: replies[number].text if number in replies else "" for number in range(len(rows))}
        others = {*LOSSES, *judged_metrics(settings)}
        names = [name for name in settings.eval.metrics if name not in others] if self._measures.is_written else []
        found = self._measures.statistics(names, [], texts)
        values = {name: one.observed for name, one in found.items()}
        sure = dict(zip(names, intervals(list(found.values())), strict=True)) if names else {}
        gates = {plain_name(name): gate for name, gate in sorted(settings.eval.gates.items())}
        same, changes = self._beside_tuned(texts, found) if self._asked.compares else (None, {})
        return ServedAnswers(
            rows=len(rows),
            metrics=values,
            intervals={name: one for name, one in sure.items() if one is not None},
            gates=tuple(
                GateResult(
                    metric=name,
                    bound=f"{gate.comparison} {gate.bound:g}",
                    value=values[name],
                    interval=sure[name],
                    passed=gate.holds(values[name]),
                )
                for name, gate in gates.items()
                if name in values
            ),
            unchecked=tuple(name for name in gates if name not in values),
            cut=sum(one.ended_by == "length" for one in replies.values()),
            same_answers=same,
            changes=changes,
        )

    def _beside_tuned(self, texts: dict[int, str], found: dict[str, Statistics]) -> tuple[int | None, dict[str, Gain]]:
        from ftc.runtime.artifacts.export import load_exported

        session = self._session
        work = session.build()
        load_exported(session, work.model)
        tuned = answers_of_model(session, work, self._rows)
        before = self._measures.statistics(list(found), tuned.scores, tuned.texts)
        sure = intervals([difference(before[name], found[name]) for name in found]) if found else []
        changes = {
            name: Gain(value=one.observed - before[name].observed, interval=interval)
            for (name, one), interval in zip(found.items(), sure, strict=True)
        }
        same = sum(tuned.texts[row] == text for row, text in texts.items()) if tuned.texts else None
        return same, changes

    def notes(self, reference: Reference | None, parity: Parity | None, prompts: PromptCheck | None) -> Iterator[str]:
        """What could not be checked, and why."""
        rows = self._asked.rows
        if reference is None:
            yield "the run keeps no reference, so log-probabilities were not compared"
        elif parity is None:
            yield "the server gives no log-probabilities of token ids, so they were not compared"
        if not any(row.messages for row in rows):
            yield "the rows aren't conversations that can be sent, so prompts were sent as token ids"
        elif lacking := sum(row.messages is None for row in rows):
            yield f"{lacking} of {len(rows)} rows aren't conversations that can be sent; these went as token ids"
        elif prompts is None:
            yield "the server shows no prompts; their lengths were compared, where it counts them"
        if not self._measures.is_written:
            yield "the run's metrics need no answers, so the server's were not scored"


def _places(rows: TokenStream, reference: Reference) -> Iterator[tuple[int, list[int]]]:
    """Some places of a reference, by number, with the tokens before each."""
    for index, number in enumerate(reference.rows.tolist()):
        mine = torch.nonzero(reference.owners == index).flatten().tolist()
        some = [mine[one] for one in evenly(len(mine), _PLACES)]
        sequences = sequences_of(rows, number, [int(reference.places[one]) for one in some])
        prompts = [part["ids"][: place + 1] for part in sequences for place in part["places"]]
        yield from zip(some, prompts, strict=True)


def _listed(logprobs: Any) -> Iterator[tuple[int | str, float]]:
    """The first place's tokens, in the forms that servers give them."""
    if logprobs.get("content"):
        for one in logprobs["content"][0]["top_logprobs"]:
            yield (int(one["id"]) if "id" in one else str(one["token"]).strip()), float(one["logprob"])
        return
    for name, value in logprobs["top_logprobs"][0].items():
        by_number = name.removeprefix("token_id:")
        yield (int(by_number) if by_number != name else name.strip()), float(value)
