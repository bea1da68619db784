"""A server that the run starts itself to write answers, on the GPU that it trains on: a colocated server.

It is a process of its own, since servers need packages of their own. It is started before the model is loaded, serves
the base model from the same files, takes no more of the GPU than the plan says, and ends with training.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import torch

from ftc.runtime.evaluation.endpoint import Endpoint, EndpointFault
from ftc.runtime.execution.child_processes import ends_with_parent
from ftc.runtime.execution.session import Session
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.launch import LAUNCH_FILE
from ftc.spec.precisions import precision_card
from ftc.spec.writers import OwnServer, writer_card

__all__ = ["own_server"]

_ASK_SECONDS = 0.5
"""Between two questions whether the server answers."""
_MOST_SECONDS = 7200.0
"""Time that it has to load its weights."""
_REFUSES = frozenset({401, 403, 407})
"""Statuses that don't change by waiting."""
_END_SECONDS = 30.0
"""Time that it has to end by itself."""
_KEPT_LINES = 6
_MOST_READ = 64 << 10
"""Of the end of its log."""


@contextmanager
def own_server(session: Session) -> Iterator[None]:
    """Serves the base model while training goes on, where the plan has the run start a server; else does nothing.

    Within, `session.inputs` says where it is.

    Raises:
        Interrupted: Somebody asked to stop before it answered.
        Refusal: It can't be started (FTC469).
    """
    inputs, sampling = session.inputs, session.plan.settings.train.sampling
    if sampling is None or sampling.writer_memory is None or inputs.recorded is not None:
        yield
        return
    card = writer_card(sampling.writer)
    assert card.own is not None, "a rule asks for a server that a run can start"
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    log = session.folder.server_log
    key = secrets.token_urlsafe(24)  # other people of this machine reach its port, too
    with log.open("wb") as output:
        serving = _started(session, card.own, port, key, output.fileno())
        try:
            with session.journal.phase("serve", f"{card.label}, which prints into {log.name}"):
                _wait(session, serving, Endpoint(f"http://127.0.0.1:{port}", key, _ASK_SECONDS * 10), card.own.ready)
            here = {"url": f"http://127.0.0.1:{port}", "key": None, "folder": None, "folder_there": None}
            session.inputs = replace(inputs, writer=inputs.writer.model_copy(update=here), writer_key=key)
            yield
        finally:
            session.inputs = inputs
            _end(serving)


def _started(session: Session, own: OwnServer, port: int, key: str, output: int) -> subprocess.Popen[bytes]:
    named = session.inputs.writer.program
    program = named or shutil.which(own.program)
    help = f"install it, or name it in {LAUNCH_FILE} as `program` of the writer"
    if program is None:
        summary = f"the server of answers can't be started: there is no `{own.program}` on the PATH"
        raise Refusal([diagnostic("FTC469", summary, help=help)])
    facts = _facts(session) | {"port": str(port)}
    try:
        return subprocess.Popen(
            [program, *(word.format(**facts) for word in own.words)],
            env={**os.environ, **own.environment, own.key_variable: key, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # what it starts ends with it, and Ctrl-C reaches the run alone
            preexec_fn=ends_with_parent(),  # noqa: PLW1509 - a call of the system
        )
    except OSError as error:
        summary = f"the server of answers can't be started: `{program}` is no program that runs here: {error.strerror}"
        raise Refusal([diagnostic("FTC469", summary, help=help)]) from None


def _facts(session: Session) -> dict[str, str]:
    """What the server's words leave open, by name."""
    settings = session.plan.settings
    sampling, rows = settings.train.sampling, session.stream("train")
    assert sampling is not None, "the caller looked"
    assert sampling.writer_memory is not None, "the caller looked"
    assert rows is not None, "a plan has training rows"
    device = session.accelerator.device
    total = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total
    longest = max(rows.prompt_length(number) for number in range(len(rows)))
    return {
        "base": str(session.inputs.model_folder.resolve()),
        "dtype": precision_card(settings.train.precision).products.name,
        "longest": str(longest + sampling.max_new_tokens),
        "rank": str(writer_card(sampling.writer).rank_for(settings.strategy.traits.rank or 0)),
        "share": f"{int(sampling.writer_memory / total * 10_000) / 10_000:.4f}",
    }


def _wait(session: Session, serving: subprocess.Popen[bytes], endpoint: Endpoint, path: str) -> None:
    """Waits until the server answers.

    Raises:
        Interrupted: Somebody asked to stop.
        Refusal: It ended, takes hours, or refuses the run's key (FTC469).
    """
    until, why = time.monotonic() + _MOST_SECONDS, f"has not answered within {_MOST_SECONDS / 3600:.0f} h"
    while serving.poll() is None and time.monotonic() < until:
        session.stop.check()
        try:
            endpoint.get(path)
        except EndpointFault as fault:
            if fault.status in _REFUSES:
                why = f"refuses the run: {fault.reason}"
                break
            time.sleep(_ASK_SECONDS)
        else:
            return
    if serving.returncode is not None:
        why = f"ended with code {serving.returncode} before it answered"
    log = session.folder.server_log
    help = f"read `{log.name}` in the run's folder; where memory ran out, write a larger `writer_memory`"
    summary, notes = f"the server of answers {why}", _last_lines(log)
    raise Refusal([diagnostic("FTC469", summary, notes=notes, help=help, path="task.writer_memory")])


def _last_lines(log: Path) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _MOST_READ))
        lines = file.read().decode("utf-8", "replace").splitlines()
    told = ["".join(sign for sign in line.strip() if sign.isprintable())[:300] for line in lines]
    return [line for line in told if line][-_KEPT_LINES:]


def _end(serving: subprocess.Popen[bytes]) -> None:
    """Ends the server and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):  # the latter of a group that has ended, on macOS
            os.killpg(serving.pid, number)
        with suppress(subprocess.TimeoutExpired):
            serving.wait(_END_SECONDS)
