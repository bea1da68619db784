"""What processes of a run say of each other, in words; and who started them."""

from __future__ import annotations

import errno
import json
from typing import get_args

import pytest

from ftc.runtime.execution.agreement import (
    RUN_FOLDER,
    Report,
    ahead,
    compare,
    launcher,
    mixed_machines,
    unlike,
)
from ftc.runtime.execution.copies import Copies, Sight
from ftc.runtime.execution.lost_processes import ask_about_losses, how_it_ended, lost, may_be_retried, refusal_of
from ftc.runtime.execution.refused_disks import raise_first, refused_here
from ftc.spec.launchers import LAUNCHERS, RAY_JOB, SEEN_BY_PARENT, LauncherKind


def _reports(*values: dict[str, str], hosts: str = "aabb") -> list[Report]:
    return [Report(rank=rank, host=hosts[rank], values=one) for rank, one in enumerate(values)]


def test_processes_that_have_the_same_are_fine() -> None:
    assert compare(_reports({"plan": "x"}, {"plan": "x"})) is None


def test_the_odd_one_is_named_with_its_machine_and_both_values() -> None:
    same = {"plan": "x", "package torch": "2.13.0"}
    found = compare(_reports(same, same, {**same, "package torch": "2.10.0"}, same))
    assert found is not None
    assert found.code == "FTC701"
    assert found.summary == "process 2 on b differs from processes 0, 1, 3 on 2 machines: package torch"
    assert found.notes == ("package torch: 2.13.0 in processes 0, 1, 3 on 2 machines; 2.10.0 in process 2 on b",)


def test_with_two_the_second_one_differs() -> None:
    found = compare(_reports({"plan": "x", "a": "1"}, {"plan": "y"}, hosts="ab"))
    assert found is not None
    assert found.summary == "process 1 on b differs from process 0 on a: plan and 1 more difference"
    assert found.notes[1] == "a: 1 in process 0 on a; absent in process 1 on b"


def test_one_that_can_not_take_part_is_named_before_differences() -> None:
    reports = _reports({"plan": "x"}, {})
    reports[1] = reports[1].model_copy(update={"refusals": ("the plan is stale [FTC512]",)})
    found = compare(reports)
    assert found is not None
    assert (found.code, found.summary) == ("FTC701", "process 1 on a can't take part")
    assert found.notes == ("process 1 on a: the plan is stale [FTC512]",)


def test_another_state_of_the_run_alone_is_a_disk_that_is_not_shared() -> None:
    found = compare(_reports({RUN_FOLDER: "7f finished at step 6"}, {RUN_FOLDER: "7f not begun"}, hosts="ab"))
    assert found is not None
    assert found.code == "FTC702"


_BARE = {"RANK": "0", "WORLD_SIZE": "2"}
_STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}
_OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}
_HYDRA = {"PMI_RANK": "0", "PMI_SIZE": "2", "MPI_LOCALRANKID": "0"}
_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("environ", "kind", "scheduler", "job", "restart"),
    [
        ({SEEN_BY_PARENT: "1"} | _BARE, "ftc", None, None, None),
        (_BARE, "environment", None, None, None),
        (_BARE | _POD, "environment", "kubernetes", None, None),
        (_BARE | _POD | {"PET_NNODES": "2"}, "kubeflow", "kubernetes", None, None),
        (_BARE | _POD | {"TORCHELASTIC_RUN_ID": "x", "PET_NNODES": "2"}, "torchrun", "kubernetes", "x", None),
        (_BARE | {"TORCHELASTIC_RUN_ID": "x", "TORCHELASTIC_RESTART_COUNT": "2"}, "torchrun", None, "x", 2),
        (_BARE | _STEP | {"SLURM_RESTART_COUNT": "1"}, "slurm", "slurm", "7", 1),
        (_BARE | _STEP | {"TORCHELASTIC_RUN_ID": "x"}, "torchrun", "slurm", "7", 0),
        ({"SLURM_JOB_ID": "7"}, "ftc", "slurm", "7", 0),
        (_BARE | _OPEN_MPI, "openmpi", None, None, None),
        (_BARE | _OPEN_MPI | _STEP, "openmpi", "slurm", "7", 0),
        (_BARE | _HYDRA, "mpich", None, None, None),
        (_BARE | _HYDRA | _STEP, "mpich", "slurm", "7", 0),
        (_BARE | _STEP | {"PMI_RANK": "0", "PMI_SIZE": "2"}, "slurm", "slurm", "7", 0),
        (_BARE | {"PMI_RANK": "0", "PMI_SIZE": "2"}, "mpich", None, None, None),
        (_BARE | {RAY_JOB: "02000000", "TORCHELASTIC_USE_AGENT_STORE": "True"}, "ray", None, "02000000", None),
    ],
)
def test_who_started_a_process(
    environ: dict[str, str], kind: str, scheduler: str | None, job: str | None, restart: int | None
) -> None:
    """Launchers start each other: `mpirun` its helpers by `srun`, and `srun` speaks PMI."""
    found = launcher(environ)
    assert found is not None
    assert (found.kind, found.scheduler, found.job_id, found.restart) == (kind, scheduler, job, restart)
    assert (found.version is not None) == (kind == "torchrun")


def test_each_launcher_is_told_from_the_others() -> None:
    told = {found.kind for one in LAUNCHERS if (found := launcher(dict.fromkeys((*one.marks, one.size), "2")))}
    assert told == set(get_args(LauncherKind))


def test_a_run_of_one_process_in_a_shell_has_no_launcher() -> None:
    assert launcher({}) is None


def test_a_loss_is_told_by_the_one_who_knows_it() -> None:
    try:
        ask_about_losses(lambda seconds: lost("process 1", how_it_ended(-9), ["a", "", "last"]))
        (found,) = refusal_of("another process", "the connection broke").diagnostics
    finally:
        ask_about_losses(None)
    assert found.summary == "process 1 was lost: killed by SIGKILL"
    assert found.notes[-1] == "its output: last"
    assert refusal_of("another process", "x").exit_code == 75


@pytest.mark.parametrize(("code", "again"), [(-9, True), (143, True), (75, True), (1, False), (6, False)])
def test_what_a_scheduler_may_try_again(code: int, again: bool) -> None:
    assert may_be_retried(code) is again


def test_a_model_is_held_by_the_processes_of_one_machine() -> None:
    assert mixed_machines(["a", "a", "b", "b"], 2) is None
    for places, named in ((["a", "b", "a", "b"], "process 1 on b"), (["a", "a", "a", "b"], "process 3 on b")):
        found = mixed_machines(places, 2)
        assert found is not None
        assert (found.code, named in found.notes[0]) == ("FTC716", True)


def _seen(*sides: tuple[str, int | None]) -> list[Report]:
    sights = [
        Sight(place=place, sees_runs=place == "a", run_id="7f", steps=steps, status=None if steps is None else "paused")
        for place, steps in sides
    ]
    return [Report(rank=rank, host=one.place, values={}, sight=one) for rank, one in enumerate(sights)]


def test_the_first_process_must_be_where_the_run_is() -> None:
    assert ahead(_seen(("a", 20), ("b", None), ("b", 10))) is None, "what is behind is left"
    assert ahead(_seen(("a", None), ("b", None))) is None
    assert ahead(_reports({}, {})) is None
    found = ahead(_seen(("a", None), ("b", 10)))
    assert found is not None
    assert found.code == "FTC702"
    assert found.summary.endswith("process 1 on b has the run at step 10, and process 0 on a has nothing of it")


def test_processes_that_see_the_run_see_it_in_one_state() -> None:
    reports = _seen(("a", 20), ("a", 20), ("b", None))
    assert unlike(reports) is None, "what has no sight of it is sent what the first one has"
    for change in ({"status": "finished"}, {"steps": 10}, {"run_id": "7f-2"}, {"status": None}):
        sight = reports[1].sight
        assert sight is not None
        found = unlike([reports[0], reports[1].model_copy(update={"sight": sight.model_copy(update=change)})])
        assert found is not None
        assert found.code == "FTC702"


def test_what_one_disk_refuses_is_raised_everywhere() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "optimizer")
    said = [None, json.loads(json.dumps(refused_here(full)))]
    raise_first(None, [None, refused_here(None)])
    with pytest.raises(OSError, match=r"No space left on device \(process 1 on .*\): 'optimizer'") as elsewhere:
        raise_first(None, said)
    assert elsewhere.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="No space") as here:
        raise_first(full, said)
    assert here.value is full


def test_one_process_of_each_machine_writes_what_the_first_one_sends() -> None:
    sights = [one.sight for one in _seen(("a", 0), ("a", 0), ("b", None), ("b", None), ("c", None))]
    copies = [Copies.of([one for one in sights if one], rank) for rank in range(5)]
    assert [one.is_elsewhere for one in copies] == [False, False, True, True, True]
    assert copies[0].writers == {2: 2, 3: 2, 4: 4}
    assert not Copies.of([], 0).writers, "one process"


def test_nobody_gets_copies_of_what_it_sees_by_itself() -> None:
    seen = {"a": True, "b": True, "c": False}
    sights = [Sight(place=place, sees_runs=sees, run_id="7f") for place, sees in seen.items()]
    assert Copies.of(sights, 1) == Copies(1, {2: 2})
