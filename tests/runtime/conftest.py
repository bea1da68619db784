"""Skips this folder where torch isn't installed, keeps libraries quiet, and runs a job once to compare others with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runtime.jobs import Job

pytest.importorskip("torch")
pytest.importorskip("peft")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that has run once, as `whole`; each test runs it under another name."""
    from tests.runtime.jobs import make_job

    made = make_job(tmp_path_factory.mktemp("undisturbed"))
    made.run("whole")
    return made


@pytest.fixture
def job(undisturbed: Job) -> Job:
    """The same job, with events of its own."""
    from tests.runtime.jobs import Job

    return Job(undisturbed.plan, undisturbed.inputs, undisturbed.root)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """The name of the test, as a folder may have it."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
