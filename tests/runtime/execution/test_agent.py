"""torch's elastic agent, which starts and ends the processes of one machine, as a person sees it."""

from __future__ import annotations

import logging
import signal
from typing import NoReturn

import pytest

pytest.importorskip("torch")


def test_only_ftc_speaks_when_a_person_stops_a_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed.elastic.multiprocessing import SignalException

    from ftc.runtime.execution.agent import run_agent

    logger = logging.getLogger("torch.distributed.elastic.agent.server.api")
    heard: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", heard.append)

    def stopped(*_: object) -> NoReturn:
        logger.warning("Received 2 death signal, shutting down workers")
        raise SignalException("stopped", signal.SIGINT)

    monkeypatch.setattr("torch.distributed.launcher.api.launch_agent", stopped)
    logger.addHandler(handler)
    try:
        code = run_agent(["apply", "x.plan.json"], nodes=1, devices=1, head=None, name="x", restarts=0)
        assert (code, heard) == (130, [])
        logger.warning("afterwards others may log again")
        assert len(heard) == 1
    finally:
        logger.removeHandler(handler)
