"""Answers that a server writes, with the weights as they are before the step; and answers that are on record.

The weights go into a folder that both see, under their digest, and the server answers by that name, so that no answer
of older weights is taken for one of these. A server promises no bits: what it wrote is recorded with its
log-probabilities, and a replay trains on the record.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from ftc.runtime.artifacts.checkpoint import artifact_tensors
from ftc.runtime.artifacts.tensor_files import content_digest, write_tensors
from ftc.runtime.evaluation.at_once import ask_at_once
from ftc.runtime.evaluation.endpoint import Endpoint, EndpointFault
from ftc.runtime.models.base_model import trainable_tensors
from ftc.runtime.models.file_names import in_files
from ftc.runtime.strategies import half_of
from ftc.runtime.training.answer_writer import Asked
from ftc.runtime.training.seeding import stream_seed
from ftc.runtime.training.signals import StopRequest
from ftc.runtime.writers import AnswerServer, Said, UnusableAnswer, Wanted
from ftc.runtime.writers.sglang import SglangServer
from ftc.runtime.writers.vllm import VllmServer
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.launch import LAUNCH_FILE, WriterSettings
from ftc.spec.documents.sampled import Line, SampledAnswer, read_answers
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.storage.atomic_write import building_folder
from ftc.spec.strategies import strategy_card
from ftc.spec.writers import WriterCard, writer_card

__all__ = ["SERVERS", "RecordedAnswers", "ServerWriter"]

SERVERS: Mapping[str, Callable[[Endpoint, bool], AnswerServer]] = {
    "vllm": lambda endpoint, _whole: VllmServer(endpoint),
    "sglang": lambda endpoint, whole: SglangServer(endpoint, whole=whole),
}
"""Who talks to a server of each kind; the second argument says whether it gets whole models."""
_ROUNDS = 5
"""How often the answers of a step that are missing are asked for."""
_PAUSE_SECONDS = 1.0
"""Before the second round; twice as long before each further one."""
_AGAIN = frozenset({None, 404, 408, 409, 425, 429})
"""Statuses after which it may go better, beside those of 500 and more; a server that lost the weights says 404."""
_MOST_BYTES = 256 << 20
"""Of the answers to one prompt: a thousand answers of a thousand tokens take some 60 MB."""


class _Failed(NamedTuple):
    """Why a prompt has no answers.

    Attributes:
        reason: In words.
        notes: What the server says of it.
        is_final: Whether asking again can't help.
    """

    reason: str
    notes: tuple[str, ...]
    is_final: bool


class ServerWriter:
    """Has a server write the answers of a step.

    Args:
        model: The model in training.
        prompts: The training split.
        settings: The plan's.
        stop: Asked while answers are out.
        site: Where the server is.
        folder: Where weights are handed over unless the site says otherwise; deleted when a run of it begins.
        own_key: Key of a server that the run has started; empty for one that the site names.
        environment: Where the key of such a one is.
    """

    def __init__(
        self,
        model: Any,
        prompts: TokenStream,
        settings: Settings,
        stop: StopRequest,
        site: WriterSettings,
        folder: Path,
        own_key: str = "",
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        assert settings.train.sampling is not None, "the plan says how answers are sampled"
        assert settings.seeds.sampling is not None, "and from which seed"
        self._model, self._prompts, self._settings, self._stop = model, prompts, settings, stop
        self._sampling, self._seed = settings.train.sampling, settings.seeds.sampling
        self._card: WriterCard = writer_card(self._sampling.writer)
        self._is_whole = strategy_card(settings.strategy).is_whole
        assert self._card.address is not None, "a rule asks for a server where one is named"
        self.url = site.url or self._card.address
        key = own_key or (environment.get(site.key, "") if site.key is not None else "")
        endpoint = Endpoint(self.url, key, site.timeout_seconds, _MOST_BYTES)
        self._server = SERVERS[self._card.kind](endpoint, self._is_whole)
        self._at_once, self._site = site.at_once, site
        self._folder = Path(site.folder) / folder.parent.name if site.folder is not None else folder
        shutil.rmtree(self._folder, ignore_errors=True)
        self._name = ""

    def written(self, step: int, asked: Sequence[Asked]) -> list[Line]:
        """Each answer; see `Writes`.

        Raises:
            Interrupted: Somebody asked to stop.
            Refusal: The server doesn't answer (FTC466), or what it gives can't be trained on (FTC467).
        """
        groups = [[*group] for _, group in groupby(asked, key=lambda one: one.prompt)]
        with self._handed_over() as (name, folder):
            found = self._answered(step, groups, name, folder)
        return [line for number in range(len(groups)) for line in found[number]]

    @contextmanager
    def _handed_over(self) -> Iterator[tuple[str, Path]]:
        """Name and folder of the current weights; the server has forgotten the ones before."""
        name = content_digest(trainable_tensors(self._model))
        place = self._folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with building_folder(place) as temporary:
                self._write(temporary)
            yield name, place
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        tensors, strategy = artifact_tensors(self._model, self._settings), self._settings.strategy
        if self._is_whole:
            write_tensors(folder / "model.safetensors", in_files(self._model, tensors), {"format": "pt"})
            self._model.config.save_pretrained(folder)
            return
        write_tensors(folder / "adapter_model.safetensors", tensors, {"format": "pt"})
        config = half_of(strategy).adapter_config(self._model, strategy)
        config["base_model_name_or_path"] = self._settings.model.base
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")

    def _answered(self, step: int, groups: list[list[Asked]], name: str, folder: Path) -> dict[int, list[Line]]:
        """Lines of each group, by its number; what failed is asked for again, a few times."""
        found: dict[int, list[Line]] = {}
        failed: _Failed | None = None
        for attempt in range(_ROUNDS):
            if attempt:
                self._wait(_PAUSE_SECONDS * 2 ** (attempt - 1))
            failed = self._brought(name, folder)
            if failed is None:
                missing = [number for number in range(len(groups)) if number not in found]
                failed = self._round(step, groups, missing, name, found)
            if failed is None:
                return found
            if failed.is_final:
                break
        assert failed is not None, "there is a round"
        raise self._refusal(failed)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._stop.check()
            time.sleep(0.1)

    def _brought(self, name: str, folder: Path) -> _Failed | None:
        """Has the server load the weights, and forget those before; why it doesn't, if so."""
        there = folder if self._site.folder_there is None else Path(self._site.folder_there, *folder.parts[-2:])
        try:
            if self._name not in ("", name):
                self._server.drop(self._name)
            self._server.bring(name, str(there.absolute()))
        except EndpointFault as fault:
            return _failed(fault, "loading the weights: ", loads=True)
        except UnusableAnswer as problem:
            return _Failed(f"loading the weights: {problem.reason}", (), is_final=True)
        self._name = name
        return None

    def _round(
        self, step: int, groups: list[list[Asked]], missing: list[int], name: str, found: dict[int, list[Line]]
    ) -> _Failed | None:
        """Asks for the answers to some prompts, and adds them; the first failure, if any."""

        def ask(number: int, _ended: object) -> list[Said] | _Failed:
            group = groups[missing[number]]
            prompt, row = group[0].prompt, int(self._prompts.rows[group[0].prompt])
            ids = self._prompts.ids(prompt)[: self._prompts.prompt_length(prompt)].tolist()
            wanted = Wanted(
                seeds=tuple(stream_seed(self._seed, step, row, one.answer) for one in group),
                max_new_tokens=self._sampling.max_new_tokens,
                temperature=self._sampling.temperature,
                top_k=self._sampling.top_k,
                stops=tuple(self._settings.model.stop_ids),
            )
            try:
                return self._server.ask(name, ids, wanted)
            except EndpointFault as fault:
                return _failed(fault, "writing answers: ", loads=False)
            except UnusableAnswer as problem:
                raise self._unusable(problem.reason) from None

        heard = ask_at_once(
            ask, len(missing), self._at_once, self._stop, is_silent=lambda one: isinstance(one, _Failed)
        )
        failures = [one for one in heard.values() if isinstance(one, _Failed)]
        for number, said in heard.items():
            if not isinstance(said, _Failed):
                found[missing[number]] = self._checked(said, len(groups[missing[number]]), name)
        return next((one for one in failures if one.is_final), failures[0] if failures else None)

    def _checked(self, said: list[Said], count: int, name: str) -> list[Line]:
        """The answers to a prompt as lines.

        Raises:
            Refusal: They can't be trained on (FTC467).
        """
        if len(said) != count:
            raise self._unusable(f"{len(said)} answers came back where {count} were asked for")
        for one in said:
            if one.weights != name:
                raise self._unusable(f"weights `{one.weights[:80]}` answered where `{name[:12]}…` were asked")
            if len(one.ids) != len(one.log_probs) or not one.ids:
                raise self._unusable(f"{len(one.ids)} tokens came with {len(one.log_probs)} log-probabilities")
            if not all(math.isfinite(value) and value <= _ROUNDING for value in one.log_probs):
                raise self._unusable("a log-probability is not a number, or above 0")
            stops, most = self._settings.model.stop_ids, self._sampling.max_new_tokens
            if any(token in stops for token in one.ids[:-1]) or len(one.ids) > most:
                raise self._unusable(f"an answer goes on behind its end, or is longer than {most} tokens")
            if one.ids[-1] not in stops and len(one.ids) < most:
                raise self._unusable(
                    f"an answer ends after {len(one.ids)} of {most} tokens without a token that ends it",
                    "the server's longest sequence may be shorter than a prompt with `max_new_tokens`",
                )
        return [Line(one.ids, one.log_probs) for one in said]

    def _unusable(self, reason: str, *notes: str) -> Refusal:
        help = f"start {self._card.label} with the run's base model: {self._start()}"
        summary = f"what the server at {self.url} writes can't be trained on: {reason}"
        return Refusal([diagnostic("FTC467", summary, notes=notes, help=help, path="task.writer")])

    def _refusal(self, failed: _Failed) -> Refusal:
        summary = f"the {self._card.label} server at {self.url} failed: {failed.reason}"
        notes = (*failed.notes, "the run goes on from its last checkpoint when the plan is applied again")
        if self._sampling.writer_memory is not None:
            help = "read `server.log` in the run's folder, and apply the plan again"
        else:
            help = f"start it with `{self._start()}`, or name another address under `writers` in {LAUNCH_FILE}"
        return Refusal([diagnostic("FTC466", summary, notes=notes, help=help, path="task.writer")])

    def _start(self) -> str:
        words = self._card.start_whole if self._is_whole else self._card.start
        rank = self._settings.strategy.traits.rank
        return words.replace("BASE", self._settings.model.base).replace("RANK", str(self._card.rank_for(rank or 0)))


_ROUNDING = 1e-3
"""How far a log-probability may be above 0 by rounding."""


def _failed(fault: EndpointFault, doing: str, *, loads: bool) -> _Failed:
    """What a fault means; a server without the path that loads weights was started without leave to do so."""
    is_final = fault.status not in _AGAIN and (fault.status or 0) < 500
    notes = (f"the server says: {fault.said}",) if fault.said else ()
    return _Failed(doing + fault.reason, notes, is_final or (loads and fault.status == 404))


class RecordedAnswers:
    """Gives the answers of a step as they are on record, to train on them once more.

    Args:
        file: A run's `answers.ndjson`.
    """

    def __init__(self, file: Path) -> None:
        try:
            read = list(read_answers(file, SampledAnswer))
        except OSError:
            read = []
        self._known = {(one.step, one.prompt, one.answer): one for one in read}

    def written(self, step: int, asked: Sequence[Asked]) -> list[Line]:
        """Each answer; see `Writes`.

        Raises:
            Refusal: One is not on record (FTC467).
        """
        found = [self._known.get((step + 1, one.prompt, one.answer)) for one in asked]
        lines = [Line([*one.ids], [*one.log_probs]) for one in found if one is not None and one.log_probs is not None]
        if len(lines) < len(asked):
            summary = f"the record has no answers of a server for all prompts of step {step + 1}"
            help = "restore `answers.ndjson` from a copy of the run's folder"
            raise Refusal([diagnostic("FTC467", summary, help=help, path="task.writer")])
        return lines
