"""What all tests share: golden files, the option that writes them again, and a browser."""

from __future__ import annotations

import functools
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from ftc.views.report.charts import Drawer, drawer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Thread pools on few cores wait for each other far longer than they compute, and no test reaches the real hub. Compiled
# modules are kept, or each process of a test would compile ftc again, and pytest each test file.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_ENDPOINT": "http://127.0.0.1:9"}
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile("ftc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ftc")  # how fast a machine is, busy as it may be, decides about no test


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--update-golden`."""
    parser.addoption("--update-golden", action="store_true", help="write golden files again instead of comparing")


def pytest_configure() -> None:
    """Ends the deafness that shells and `nohup` give to what they start in the background, and its children inherit."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """With `-n` alone the tests of a file run in one process, as in `nox -s tests`: what they share is made once."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "loadfile"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Makes all but the first cases of a test with `sample(n)` slow, before any test is selected by its marks."""
    seen: Counter[str] = Counter()
    for item in items:
        mark = item.get_closest_marker("sample")
        if mark is not None:
            family = item.nodeid.partition("[")[0]
            seen[family] += 1
            if seen[family] > mark.args[0]:
                item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Imports half a million objects of libraries without a garbage collector, which would walk them over and over."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Spares the garbage collector these objects, which each run's end walks."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _libraries() -> None:
    """Spares it what a file before this one has loaded as well; what is garbage goes, since it would stay for good."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_traces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts no process with torch for a plan; tests marked `traces` may, and wait for it."""
    if request.node.get_closest_marker("traces") is None:
        from ftc.compiler.memory.trace_client import Tracer
        from ftc.spec.documents.memory_trace import TraceAnswer

        monkeypatch.setattr(Tracer, "_ask", lambda *_: TraceAnswer(None, "no traces in tests", for_every_job=True))


@pytest.fixture(autouse=True)
def _no_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans say the same on a machine with an accelerator that ftc doesn't use."""
    from ftc.compiler.rules import device_rules

    monkeypatch.setattr(device_rules, "other_accelerators", list)


@pytest.fixture(scope="session", autouse=True)
def _temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What killed processes leave behind lies with the tests' own files, which pytest deletes after some runs."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("temporary"))
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_flushes() -> Iterator[None]:
    """Waits for no disk, which takes milliseconds a file: what is killed here leaves its files to a living kernel.

    A descriptor that is closed is refused as by a disk; tests of disks that refuse more bring their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield


@pytest.fixture(scope="session", autouse=True)
def _cache_secret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The secret of the cache belongs to the tests, not to the user who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE_KEY", str(tmp_path_factory.mktemp("secret") / "cache.key"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_package_code() -> Iterator[None]:
    """Hashes no installed package, which takes a second in each empty cache; processes of their own do."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("resolve.machine.environment", "tokens.compile_data", "memory.trace_client"):
            patch.setattr(f"ftc.compiler.{module}.code_digest", lambda name, cache: "")
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_code() -> Iterator[None]:
    """Hashes ftc's own files once: they stay as they are while the tests run."""
    from ftc.spec.documents import machine

    whole, own = machine.code_digest, functools.cache(machine.code_digest)

    def digest(package: Path | None = None) -> str:
        return own() if package in (None, machine._PACKAGE) else whole(package)

    with pytest.MonkeyPatch.context() as patch:
        for module in ("spec.documents.machine", "compiler.audit.contradictions", "compiler.audit.observed"):
            patch.setattr(f"ftc.{module}.code_digest", digest)
        yield


@pytest.fixture(scope="session", autouse=True)
def _template_process() -> Iterator[None]:
    """Plans share a process that renders templates."""
    from tests.support.template_process import one_template_process

    with one_template_process():
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_charts() -> Iterator[None]:
    """Draws no charts, which takes half a second a report; tests marked `charts` do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ftc.views.report.run_report.drawer", Drawer)
        yield


@pytest.fixture(autouse=True)
def _charts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("charts"):
        pytest.importorskip("matplotlib")
        monkeypatch.setattr("ftc.views.report.run_report.drawer", drawer)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)` compares text with `golden/<name>` beside the test; `--update-golden` writes the file."""
    folder = request.path.parent / "golden"

    def compare(name: str, text: str) -> None:
        file = folder / name
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        assert file.is_file(), f"{file} is missing; --update-golden writes it"
        with file.open(encoding="utf-8", newline="") as stream:
            assert text == stream.read()

    return compare


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium as installed; the tests are skipped where it or playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as engine:
        started = engine.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()
