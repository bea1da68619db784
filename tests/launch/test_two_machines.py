"""Two machines train the same plan with the same files, or nobody trains; a machine that is lost is named.

The first test is a sample; the others have a session of their own, `nox -s launch`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc.spec.exit_codes import ExitCode
from tests.launch.machines import (
    PLAN,
    Machine,
    Proxy,
    copied,
    ended,
    free_port,
    plan_of,
    site,
    start,
    together,
    under_torchrun,
)
from tests.support.projects import make_model

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and links")
_SESSION = pytest.mark.skipif("FTC_LAUNCH" not in os.environ, reason="has its own session: nox -s launch")


@pytest.fixture
def first(planned: Machine, tmp_path: Path) -> Machine:
    """A copy of the planned machine."""
    shutil.copytree(planned.root, tmp_path / "a")
    shutil.copytree(planned.cache, tmp_path / "cache-a")
    return Machine(tmp_path / "a", tmp_path / "cache-a")


def _record(machine: Machine) -> dict[str, Any]:
    (file,) = machine.root.glob("runs/tiny/*/record.json")
    record: dict[str, Any] = json.loads(file.read_text())
    return record


def _has_run(machine: Machine) -> bool:
    return any(machine.root.glob("runs/*/*/record.json"))


@pytest.mark.slow
def test_two_plans_do_not_train_together(first: Machine) -> None:
    """D1: they did, and the audit called the run consistent."""
    second = copied(first, "b")
    other = plan_of(second, "--set", "train.learning_rate=1e-2")
    for one in together(start([first, second], "apply", PLAN)):
        assert one.code == 6, one.text
        if "rank 1" not in one.err:
            assert "error[FTC701]: process 1 on" in one.err
            assert other["sha256"] != json.loads((first.root / PLAN).read_text())["sha256"]
            assert "plan" in one.err
    assert not _has_run(first)


@_SESSION
def test_one_machine_without_a_file_stops_all(first: Machine) -> None:
    second = copied(first, "b")
    (second.root / "encoder" / "model.safetensors").unlink()
    told = together(start([first, second], "apply", PLAN))
    assert [one.code for one in told] == [6, 6], [one.text for one in told]
    assert "process 1 on" in told[0].err
    assert "model.safetensors" in told[0].err
    assert not _has_run(first) or _record(first)["steps_done"] == 0


@_SESSION
def test_machines_with_other_packages_do_not_train(first: Machine) -> None:
    second = copied(first, "b")
    second.with_package("accelerate", "99.0")
    told = together(under_torchrun([first, second], "apply", PLAN))
    assert "package accelerate" in told[0].err, told[0].text
    assert "99.0" in told[0].err
    assert not _has_run(first)


@_SESSION
def test_the_second_machine_neither_plans_nor_tokenizes(first: Machine) -> None:
    """D3: it needs the plan, the model and the streams; rows and recipe may be elsewhere. D4: the record names all."""
    second = copied(first, "b")
    (second.root / "recipe.yaml").unlink()
    (second.root / "rows.csv").unlink()
    told = together(under_torchrun([first, second], "apply", PLAN))
    assert [one.code for one in told] == [0, 0], [one.text for one in told]
    record = _record(first)
    (segment,) = record["segments"]
    assert [one["rank"] for one in segment["processes"]] == [0, 1]
    assert all(one["host"] and one["packages_sha256"] and one["inputs_sha256"] for one in segment["processes"])
    assert segment["launcher"]["kind"] == "torchrun"
    assert segment["launcher"]["job_id"] == "t"
    audited = first.ftc("audit", record["id"])
    assert audited.code == 0, audited.text
    assert "2 processes on 1 machine" in audited.text
    assert not [*first.root.parent.glob("*/.ftc/copies")], "both machines see one folder of runs"
    assert not [*first.root.glob("runs/.seen-*")]


@_SESSION
def test_streams_that_are_nowhere_are_named(first: Machine) -> None:
    second = copied(first, "b")
    shutil.rmtree(second.cache)
    (second.root / "rows.csv").unlink()
    told = together(start([first, second], "apply", PLAN))
    assert [one.code for one in told] == [6, 6], [one.text for one in told]
    assert "process 1 on" in told[0].err
    assert "[FTC704]" in told[0].err


def _with_storage(first: Machine, second: Machine, place: Path) -> None:
    """Has two machines share an address, of which the second has neither rows nor streams."""
    for one in (first, second):
        (one.root / "ftc.launch.yaml").write_text(f"ftc_launch: 1\nstorage: file://{place}\n")
    shutil.rmtree(second.cache / "streams")
    (second.root / "rows.csv").unlink()


@_SESSION
def test_streams_come_from_the_storage(first: Machine, tmp_path: Path) -> None:
    second = copied(first, "b")
    _with_storage(first, second, tmp_path / "store")
    told = together(under_torchrun([first, second], "apply", PLAN))
    assert [one.code for one in told] == [0, 0], [one.text for one in told]
    (made,), (fetched,) = ([*one.cache.glob("streams/[!.]*")] for one in (first, second))
    assert fetched.name == made.name
    assert (fetched / "train.arrow").read_bytes() == (made / "train.arrow").read_bytes()
    assert not (fetched / "manifest.json").exists(), "they aren't what rows of this machine gave"
    assert (fetched / "unpacked.json").exists()
    (segment,) = _record(first)["segments"]
    assert len({one["inputs_sha256"] for one in segment["processes"]}) == 1

    shutil.rmtree(first.root / "runs" / "tiny")
    shutil.rmtree(tmp_path / "store")
    told = together(under_torchrun([first, second], "apply", PLAN))
    assert [one.code for one in told] == [0, 0], [one.text for one in told]
    assert not (tmp_path / "store" / "streams").exists(), "nobody lacked any"


@_SESSION
@pytest.mark.parametrize("is_listed", [True, False])
def test_damaged_streams_of_the_storage_are_not_used(first: Machine, tmp_path: Path, is_listed: bool) -> None:
    second = copied(first, "b")
    _with_storage(first, second, tmp_path / "store")
    assert [one.code for one in together(start([first, second], "apply", PLAN))] == [0, 0]
    shutil.rmtree(first.root / "runs" / "tiny")
    shutil.rmtree(second.cache / "streams")
    (place,) = (tmp_path / "store" / "streams").iterdir()
    if is_listed:
        file = max((place / "objects").iterdir(), key=lambda one: one.stat().st_size)
        file.write_bytes(bytes(reversed(file.read_bytes())))
    else:
        listed = json.loads((place / "streams.json").read_text())
        listed["manifest"]["files"] = {"../../../evil": next(iter(listed["manifest"]["files"].values()))}
        (place / "streams.json").write_text(json.dumps(listed))
    told = together(start([first, second], "apply", PLAN))
    assert not [*second.root.parent.glob("**/evil")]
    if not is_listed:  # the first process sees that the list is another one, and stores its own
        assert [one.code for one in told] == [0, 0], [one.text for one in told]
        return
    assert [one.code for one in told] == [6, 6], [one.text for one in told]
    assert "[FTC704]" in told[0].err
    assert "are damaged" in told[0].err
    assert "has another sha256 than its list" in " ".join(told[0].err.split())
    assert not (place / "streams.json").exists()
    assert not [*second.cache.glob("streams/[!.]*")]
    told = together(start([first, second], "apply", PLAN))
    assert [one.code for one in told] == [0, 0], "what was damaged was stored again"


@_SESSION
def test_a_killed_worker_is_named_and_the_run_goes_on(planned: Machine, tmp_path: Path) -> None:
    """D6 and D7: it was exit code 1, as for a bug, with torch's own words."""
    first = _long(planned, tmp_path)
    run = first.popen(["-m", "ftc", "apply", PLAN, "--json"])
    assert run.stdout is not None
    for line in run.stdout:
        if json.loads(line).get("step") == 3:
            break
    os.kill(_workers(run.pid)[0], signal.SIGKILL)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 75, out + err
    assert f"process 1 on {platform.node()} was lost: killed by SIGKILL" in out + err
    record = _record(first)
    assert f"process 1 on {platform.node()} was lost" in record["interruptions"][-1]["reason"]
    assert record["interruptions"][-1]["code"] == "FTC644"


@_SESSION
def test_one_machine_alone_does_not_start_the_run_of_two(first: Machine) -> None:
    plan_of(first, "--set", "budget.devices=1", "--set", "budget.nodes=2")
    alone = first.ftc("apply", PLAN)
    assert alone.code == 64, alone.text
    assert "error[FTC706]: the plan needs 2 machines with 1 processes each" in alone.err


@_SESSION
def test_two_machines_are_launched_without_a_scheduler(first: Machine) -> None:
    plan_of(first, "--set", "budget.devices=1", "--set", "budget.nodes=2")
    second, port = copied(first, "b"), free_port()
    words = ["-m", "ftc", "launch", PLAN, "--on", "torchrun", "--head", f"127.0.0.1:{port}"]
    told = together([one.popen(words) for one in (first, second)])
    assert [one.code for one in told] == [0, 0], [one.text for one in told]
    (segment,) = _record(first)["segments"]
    assert (len(segment["processes"]), segment["launcher"]["kind"]) == (2, "torchrun")


@_SESSION
def test_a_killed_worker_ends_a_launch_without_the_banner_of_torch(planned: Machine, tmp_path: Path) -> None:
    first = _long(planned, tmp_path)
    run = first.popen(["-m", "ftc", "launch", PLAN, "--on", "torchrun"])
    _wait_for_steps(first)
    os.kill(_of_rank(1, _workers(run.pid)), signal.SIGKILL)
    out, err = run.communicate(timeout=180)
    assert run.returncode == 75, out + err
    assert f"process 1 on {platform.node()} was lost: killed by SIGKILL" in err
    assert err.count("error[") == 1, err
    assert "Root Cause" not in out + err
    assert "Traceback" not in out + err


@_SESSION
@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("begin", [under_torchrun, start], ids=["torchrun", "bare launcher"])
def test_machines_without_a_shared_disk_name_the_process_that_was_killed(
    planned: Machine, tmp_path: Path, begin: Callable[..., list[subprocess.Popen[str]]], lost: int
) -> None:
    """The survivor's parent is no process of ftc, and another machine's launcher knows how the other one ended."""
    machines = _unpacked(_long(planned, tmp_path), tmp_path / "apart")
    processes = begin(machines, "apply", PLAN)
    _wait_for_steps(*machines)
    workers = {one.pid if begin is start else _workers(one.pid)[0]: one for one in processes}
    worker = _of_rank(lost, [*workers])
    os.kill(worker, signal.SIGKILL)
    killed, told = ended(workers.pop(worker)), ended(*workers.values())
    # A parent that asks for the status before anybody else has seen it, as this test is, keeps the signal to itself.
    hows = ("killed by SIGKILL", *(("it ended without a word, as after SIGKILL",) if begin is start else ()))
    said = [f"process {lost} on {platform.node()} was lost: {how}" for how in hows]
    (named, *_) = [one for one in said if f"error[FTC644]: {one}" in told.err] or said
    assert told.err.count("error[") == 1, told.err
    assert f"error[FTC644]: {named}" in told.err
    assert told.code == (75 if begin is start else 1), "torchrun ends with 1 whatever its processes say"
    assert "gloo" not in told.err
    if lost == 0:
        assert "its output: loading     ./encoder" in told.err, "it speaks in the place of the first one"
        assert "FTC644" not in killed.err
    else:
        (record,) = (_record(one) for one in machines if _has_run(one))
        assert record["interruptions"][-1]["reason"] == named


_STEPS = ("strategy.dropout=0", "train.max_steps=40", "train.evaluate_every=10")
_COPIES = ("budget.nodes=2", "train.sharding=hsdp", *_STEPS)


def _sets(*values: str) -> list[str]:
    return [word for value in values for word in ("--set", value)]


def _pairs(first: Machine, other: Path) -> list[list[Machine]]:
    """Two machines to train undisturbed, and two like them to be disturbed."""
    other.mkdir()
    shutil.copytree(first.root, other / "a")
    shutil.copytree(first.cache, other / "cache-a")
    return [[one, copied(one, "b")] for one in (first, Machine(other / "a", other / "cache-a"))]


def _losses(machine: Machine, run: str) -> list[float]:
    (file,) = machine.root.glob(f"runs/tiny/{run}/events.ndjson")
    events = [json.loads(line) for line in file.read_text().splitlines()]
    return [float(event["loss"]) for event in events if event["kind"] == "step"]


@_SESSION
def test_machines_with_copies_of_a_model_lose_a_process_and_go_on_with_the_same_bits(
    first: Machine, tmp_path: Path
) -> None:
    plan_of(first, *_sets(*_COPIES))
    machines, others = _pairs(first, tmp_path / "other")
    other = others[0]
    told = together(under_torchrun(machines, "apply", PLAN, each=2))
    assert _record(first)["status"] == "finished", [one.text for one in told]

    agents = under_torchrun(others, "apply", PLAN, each=2)
    ends = time.monotonic() + 240
    while not any(other.root.glob("runs/tiny/*/checkpoints/*10/MANIFEST.json")):
        assert time.monotonic() < ends
        time.sleep(0.05)
    os.kill(_of_rank(3, [one for agent in agents for one in _workers(agent.pid)]), signal.SIGKILL)
    assert all(one.code for one in together(agents))
    assert 10 <= _record(other)["steps_done"] < 40
    told = together(under_torchrun(others, "apply", PLAN, each=2))
    assert _record(other)["status"] == "finished", [one.text for one in told]
    kept, record = "final_weights_sha256", _record(other)
    assert record[kept] == _record(first)[kept]
    assert [len(one["processes"]) for one in record["segments"]] == [4, 4]
    audited = other.ftc("audit", record["id"])
    assert (audited.code, "8 processes on 1 machine" in audited.text) == (0, True), audited.text


@_SESSION
def test_a_run_goes_on_as_copies_on_two_machines_and_then_in_parts_on_one(tmp_path: Path) -> None:
    """Of a decoder, which has no dropout of its own."""
    make_model(tmp_path / "models" / "decoder", "decoder")
    first = site(tmp_path, tmp_path / "models", task="chat")
    one = ("budget.devices=1", "train.sharding=auto", *_STEPS)
    assert first.ftc("apply", "recipe.yaml", "--yes", *_sets(*one), "--until", "10").code == 0
    source = _record(first)["id"]
    plan_of(first, *_sets(*_COPIES))
    assert first.ftc("apply", PLAN, "--from", source).code == 0
    machines = [first, copied(first, "b")]
    told = together(under_torchrun(machines, "apply", PLAN, "--until", "20", each=2))
    assert "paused" in told[0].text + told[1].text
    (copies,) = (file.parent.name for file in first.root.glob("runs/tiny/*/record.json") if file.parent.name != source)
    fsdp = ("budget.devices=2", "train.sharding=fsdp", *_STEPS)
    done = first.ftc("apply", "recipe.yaml", "--yes", *_sets(*fsdp), "--from", copies)
    assert done.code == 0, done.text
    ids = {file.parent.name for file in first.root.glob("runs/tiny/*/record.json")} - {source, copies}
    (last,) = ids
    assert first.ftc("apply", "recipe.yaml", "--yes", "--again", *_sets(*one)).code == 0
    (undisturbed,) = {file.parent.name for file in first.root.glob("runs/tiny/*/record.json")} - {source, copies, last}
    assert _losses(first, last) == pytest.approx(_losses(first, undisturbed), rel=1e-6)
    audited = first.ftc("audit", last)
    assert audited.code == 0, audited.text


_SILENT = {"FTC_SILENT_SECONDS": "6"}


@_SESSION
def test_a_worker_that_is_stopped_is_named_and_ends_once_it_goes_on(planned: Machine, tmp_path: Path) -> None:
    first = _long(planned, tmp_path)
    one, other = start([first, copied(first, "b")], "apply", PLAN, each=1, **_SILENT)
    _wait_for_steps(first)
    other.send_signal(signal.SIGSTOP)
    told = ended(one)
    other.send_signal(signal.SIGCONT)
    assert told.code == 75, told.text
    assert f"process 1 on {platform.node()} was lost: silent for 6 s" in told.err
    assert ended(other).code == 75


@_SESSION
def test_a_network_that_swallows_what_is_sent_is_a_lost_process(planned: Machine, tmp_path: Path) -> None:
    """The second machine reaches the first one's store through a proxy, which stops forwarding."""
    first = _long(planned, tmp_path)
    second, port = copied(first, "b"), free_port()
    proxy = Proxy(port)
    shared = {**_SILENT, "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    words = ["-m", "ftc", "apply", PLAN]
    one = first.popen(words, **shared, RANK="0", MASTER_PORT=str(port))
    other = second.popen(words, **shared, RANK="1", MASTER_PORT=str(proxy.port))
    _wait_for_steps(first)
    proxy.cut()
    told = ended(one)
    assert told.code == 75, told.text
    assert f"process 1 on {platform.node()} was lost: silent for 6 s" in told.err
    assert ended(other).code == 75


@_SESSION
@pytest.mark.parametrize("gone", ["agent that keeps the store", "machine"])
def test_a_killed_agent_leaves_no_process_and_the_run_goes_on_with_the_same_bits(
    first: Machine, tmp_path: Path, gone: str
) -> None:
    plan_of(first, *_sets(*_STEPS))
    machines, others = _pairs(first, tmp_path / "other")
    other = others[0]
    told = together(under_torchrun(machines, "apply", PLAN))
    assert _record(first)["status"] == "finished", [one.text for one in told]

    agents = under_torchrun(others, "apply", PLAN, each=1, **_SILENT)
    ends = time.monotonic() + 240
    while not any(other.root.glob("runs/tiny/*/checkpoints/*10/MANIFEST.json")):
        assert time.monotonic() < ends
        time.sleep(0.05)
    workers = [one for agent in agents for one in _workers(agent.pid)]
    if gone == "machine":
        os.kill(agents[1].pid, signal.SIGKILL)
        os.kill(_of_rank(1, workers), signal.SIGKILL)
    else:
        os.kill(next(one.pid for one in agents if _of_rank(0, workers) in _workers(one.pid)), signal.SIGKILL)
    for worker in workers:  # none is left, though nobody ends those whose agent is gone
        while _lives(worker):
            assert time.monotonic() < ends
            time.sleep(0.2)
    together(agents)
    told = together(under_torchrun(others, "apply", PLAN))
    assert _record(other)["status"] == "finished", [one.text for one in told]
    kept = "final_weights_sha256"
    assert _record(other)[kept] == _record(first)[kept]


def _lives(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def _wait_for_steps(*machines: Machine) -> None:
    ends = time.monotonic() + 240
    logs = [(one.root, "runs/*/*/events.ndjson") for one in machines]
    while not any('"kind": "step"' in file.read_text() for root, name in logs for file in root.glob(name)):
        assert time.monotonic() < ends
        time.sleep(0.2)


def _of_rank(rank: int, processes: list[int]) -> int:
    """The one of them that is this process of a run."""
    said = f"RANK={rank}".encode()
    return next(one for one in processes if said in Path(f"/proc/{one}/environ").read_bytes().split(b"\0"))


def _workers(parent: int) -> list[int]:
    """The processes of ftc that another one has started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(one) for one in children if b"\0apply\0" in Path(f"/proc/{one}/cmdline").read_bytes()]


def _long(planned: Machine, tmp_path: Path) -> Machine:
    shutil.copytree(planned.root, tmp_path / "a")
    shutil.copytree(planned.cache, tmp_path / "cache-a")
    machine = Machine(tmp_path / "a", tmp_path / "cache-a")
    plan_of(machine, "--set", "train.max_steps=3000", "--set", "train.evaluate_every=1000")
    return machine


def _unpacked(first: Machine, folder: Path) -> list[Machine]:
    """Two machines that share nothing: each has unpacked the plan of another one by itself."""
    folder.mkdir()
    packed = first.ftc("pack", PLAN, "-o", str(folder / "job.tar"))
    assert packed.code == 0, packed.text
    machines = []
    for name in ("one", "two"):
        root = folder / name
        root.mkdir()
        machine = Machine(root, folder / f"cache-{name}")
        unpacked = machine.ftc("unpack", str(folder / "job.tar"))
        assert unpacked.code == 0, unpacked.text
        (plan,) = root.glob(f"*/{PLAN}")
        machines.append(Machine(plan.parent, machine.cache))
    return machines


@_SESSION
@pytest.mark.parametrize(
    "sharding", [["ddp"], ["fsdp"], ["fsdp", "train.save_in_background=true"]], ids=["ddp", "fsdp", "in background"]
)
def test_machines_without_a_shared_disk_train_one_run_and_go_on_after_a_kill(
    first: Machine, tmp_path: Path, sharding: list[str]
) -> None:
    plan_of(first, *_sets(*_STEPS, f"train.sharding={sharding[0]}", *sharding[1:]))
    undisturbed = together(start([first, copied(first, "b")], "apply", PLAN))
    assert [one.code for one in undisturbed] == [0, 0], [one.text for one in undisturbed]
    weights = _record(first)["final_weights_sha256"]

    shutil.rmtree(first.root / "runs")
    machines = one, two = _unpacked(first, tmp_path / "apart")
    processes = start(machines, "apply", PLAN)
    ends = time.monotonic() + 240
    while not any(one.root.glob("runs/tiny/*/checkpoints/*10/MANIFEST.json")):
        assert time.monotonic() < ends
        time.sleep(0.05)
    processes[1].kill()
    assert together(processes)[0].code == 75
    assert 10 <= _record(one)["steps_done"] < 40

    swapped = together(start([two, one], "apply", PLAN))
    assert [each.code for each in swapped] == [6, 6], "the first process has nothing of the run"
    assert "error[FTC702]: the run's folder is not shared: process 1 on" in swapped[0].err
    assert not _has_run(two)

    told = together(start(machines, "apply", PLAN))
    assert [each.code for each in told] == [0, 0], [each.text for each in told]
    record = _record(one)
    assert record["status"] == "finished"
    assert [len(segment["processes"]) for segment in record["segments"]] == [2, 2]
    assert record["final_weights_sha256"] == weights
    assert not [*two.root.glob("runs/*/*")], "it was the first one once, and began no run"
    assert not [*two.root.glob(".ftc/copies/**/*.safetensors")]
    again = together(start(machines, "apply", PLAN))
    assert [each.code for each in again] == [0, 0], "a finished run is left as it is"
    assert _record(one) == record


@_SESSION
def test_a_machine_gets_weights_alone_and_a_killed_one_keeps_none(first: Machine, tmp_path: Path) -> None:
    machines = one, two = _unpacked(first, tmp_path / "apart")
    processes = start(machines, "apply", PLAN, each=1, **_SILENT)
    ends, copies, seen = time.monotonic() + 240, two.root / ".ftc" / "copies", set[str]()
    while not any(copies.glob("*/*/*/*/adapter/*.safetensors")):  # of the result, which is sent behind the checkpoint
        seen |= {file.name for file in copies.glob("*/*/*/*/checkpoints/**/*.safetensors")}
        assert time.monotonic() < ends
        time.sleep(0.001)
    processes[1].kill()
    together(processes)
    assert not [name for name in seen if "optimizer" in name], seen
    assert not [*copies.glob("**/checkpoints/**/*.safetensors")], "they go once they are read"
    assert [each.code for each in together(start([one, two], "apply", PLAN))] == [0, 0]
    assert not [*copies.glob("**/*.safetensors")]


@_SESSION
def test_a_machine_that_takes_no_copies_is_named_with_what_to_do(first: Machine, tmp_path: Path) -> None:
    machines = one, two = _unpacked(first, tmp_path / "apart")
    (two.root / ".ftc").mkdir(exist_ok=True)
    (two.root / ".ftc" / "copies").write_text("")
    told = together(start(machines, "apply", PLAN))
    assert [each.code for each in told] == [6, 6], [each.text for each in told]
    assert all("process 1 on" in each.text for each in told)
    assert "/.ftc/copies`isnotwritable" in "".join(told[0].err.split()), told[0].err  # lines may break in a path
    assert "[FTC648]; make the folder writable" in told[0].text
    assert not _has_run(one)


@_SESSION
@pytest.mark.parametrize("document", ["record.json", "plan.json"])
def test_what_is_torn_is_recovered_on_machines_without_a_shared_disk(
    first: Machine, tmp_path: Path, document: str
) -> None:
    """Each process recovered it from its own folder, and those without a run had another record than the first."""
    machines = one, _ = _unpacked(first, tmp_path / "apart")
    told = together(start(machines, "apply", PLAN, "--until", "train"))
    before = _record(one)
    assert before["status"] == "paused", [each.text for each in told]
    (file,) = one.root.glob(f"runs/tiny/*/{document}")
    file.write_bytes(file.read_bytes()[:-100])
    told = together(start(machines, "apply", PLAN, each=1, **_SILENT))
    assert [each.code for each in told] == [0, 0], [each.text for each in told]
    record = _record(one)
    assert record["status"] == "finished"
    assert "recovered" in {each["kind"] for each in record["interruptions"]}
    assert record["final_weights_sha256"] == before["final_weights_sha256"]


@_SESSION
def test_preferences_are_measured_on_machines_without_a_shared_disk(tmp_path: Path) -> None:
    """The first process alone keeps the reference's figures of the test rows; the others go its way without them."""
    make_model(tmp_path / "models" / "decoder", "decoder")
    machines = one, two = _unpacked(site(tmp_path, tmp_path / "models", task="preference"), tmp_path / "apart")
    told = together(start(machines, "apply", PLAN, each=1, **_SILENT))
    assert [each.code for each in told] == [0, 0], [each.text for each in told]
    (file,) = one.root.glob("runs/tiny/*/eval.json")
    measured = json.loads(file.read_text())
    assert measured["base"]
    assert measured["tuned"]
    assert [*one.root.glob("runs/tiny/*/references/test")]
    assert not [*two.root.glob("**/references")]


@_SESSION
@pytest.mark.parametrize("changes", [_COPIES, ("budget.nodes=2", "train.sharding=fsdp", *_STEPS)], ids=["hsdp", "fsdp"])
def test_machines_of_several_processes_need_no_shared_disk(
    first: Machine, tmp_path: Path, changes: tuple[str, ...]
) -> None:
    plan_of(first, *_sets(*changes))
    undisturbed = together(start([first, copied(first, "b")], "apply", PLAN, each=2))
    assert [one.code for one in undisturbed] == [0] * 4, [one.text for one in undisturbed]
    machines = one, two = _unpacked(first, tmp_path / "apart")
    paused = together(start(machines, "apply", PLAN, "--until", "20", each=2))
    assert _record(one)["status"] == "paused", [each.text for each in paused]
    done = together(start(machines, "apply", PLAN, each=2))
    assert [each.code for each in done] == [0] * 4, [each.text for each in done]
    kept = "final_weights_sha256"
    assert _record(one)[kept] == _record(first)[kept]
    assert not [*two.root.glob("runs/*/*")]
    assert not [*two.root.glob(".ftc/copies/**/*.safetensors")]
    audited = one.ftc("audit", _record(one)["id"])
    assert audited.code == ExitCode.INCONCLUSIVE, "rows stay at home, so that steps can't be repeated here"


@_SESSION
def test_answers_of_a_model_in_training_need_no_shared_disk(tmp_path: Path) -> None:
    make_model(tmp_path / "models" / "decoder", "decoder")
    first = site(tmp_path, tmp_path / "models", task="generation", steps=20)
    lesson = "train.distillation={teacher: decoder, on_policy: {max_new_tokens: 4}}"
    plan_of(first, *_sets(lesson, "strategy.dropout=0", "train.evaluate_every=5"))
    undisturbed = together(start([first, copied(first, "b")], "apply", PLAN))
    assert [one.code for one in undisturbed] == [0, 0], [one.text for one in undisturbed]
    machines = one, _ = _unpacked(first, tmp_path / "apart")
    paused = together(start(machines, "apply", PLAN, "--until", "10"))
    assert _record(one)["status"] == "paused", [each.text for each in paused]
    done = together(start(machines, "apply", PLAN))
    assert [each.code for each in done] == [0, 0], [each.text for each in done]
    kept = "final_weights_sha256"
    assert _record(one)[kept] == _record(first)[kept]
