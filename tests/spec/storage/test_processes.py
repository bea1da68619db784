"""What the environment must say before Python starts, in the words of the libraries that read it."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers

from ftc.spec.diagnostics import Refusal
from ftc.spec.storage.processes import PINNED, contract, machine_name, unpinned


def test_the_switch_of_tokenizers_is_the_one_that_the_library_reads() -> None:
    (name,) = (name for name in PINNED if name.startswith("TOKENIZERS_"))
    (library,) = (file for file in Path(tokenizers.__file__).parent.iterdir() if file.suffix in (".so", ".pyd"))
    assert name.encode() in library.read_bytes()


def test_what_is_pinned_is_not_asked_for_again() -> None:
    assert unpinned(PINNED) == {}
    assert unpinned({**PINNED, "OMP_DYNAMIC": "TRUE"}) == {"OMP_DYNAMIC": "FALSE"}


def test_agents_of_one_host_count_as_machines() -> None:
    names = {machine_name({"GROUP_RANK": group}) for group in "01"}
    assert len(names | {machine_name({})}) == 3


_STEP = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_ID": "41", "SLURM_STEP_ID": "0", "SLURM_PROCID": "1"}


_TORCHRUN = {"RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "node1", "MASTER_PORT": "29400"}


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("n1", "n1"), ("n[1-2]", "n1"), ("gpu[003-004,7],x1", "gpu003"), ("a1,b2", "a1"), ("r[1,3]-ib", "r1-ib")],
)
def test_processes_of_a_slurm_step_find_each_other(nodes: str, first: str) -> None:
    """D5: each of them began a run of its own."""
    found = contract({**_STEP, "SLURM_STEP_NODELIST": nodes, "SLURM_LOCALID": "1", "SLURM_NODEID": "0"})
    assert {name: found[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")} == {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": first,
    }
    assert 1024 < int(found["MASTER_PORT"]) < 65536


def test_what_a_script_says_of_the_meeting_stands() -> None:
    said = {"MASTER_ADDR": "head", "MASTER_PORT": "999", "SLURM_STEP_NODELIST": "n1"}
    assert not {"MASTER_ADDR", "MASTER_PORT"} & contract({**_STEP, **said}).keys()


def test_inside_an_allocation_a_command_without_srun_is_alone() -> None:
    assert contract({"SLURM_JOB_ID": "41", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"}) == {}


def test_torchrun_is_obeyed_under_srun_too() -> None:
    assert contract({**_STEP, **_TORCHRUN}) == {}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"RANK": None}, "`RANK` is not set"),
        ({"RANK": "x"}, "`RANK` is `x`"),
        ({"RANK": "4"}, "counted from 0"),
        ({"WORLD_SIZE": "four"}, "`WORLD_SIZE` is `four`"),
        ({"MASTER_ADDR": None}, "`MASTER_ADDR` is not set"),
        ({"MASTER_PORT": "http"}, "`MASTER_PORT` is `http`"),
    ],
)
def test_half_a_contract_is_refused(change: dict[str, str | None], why: str) -> None:
    """It was a bug in ftc, or a lost process, which a scheduler would start again and again."""
    environ = {name: value for name, value in {**_TORCHRUN, **change}.items() if value is not None}
    with pytest.raises(Refusal) as refused:
        contract(environ)
    assert (refused.value.diagnostics[0].code, refused.value.exit_code) == ("FTC703", 64)
    assert why in refused.value.diagnostics[0].notes[0]


def test_processes_of_mpirun_have_its_numbers_where_slurm_started_its_helpers() -> None:
    """All processes of a machine had the number of the one helper there."""
    own = {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
    for numbers in (own, {"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1"}):
        found = contract({**_STEP, "SLURM_LOCALID": "0", **numbers, "MASTER_ADDR": "a", "MASTER_PORT": "1"})
        assert (found["RANK"], found["WORLD_SIZE"], found["LOCAL_RANK"]) == ("3", "4", "1")


def test_mpi_without_an_address_is_refused() -> None:
    environ = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}
    with pytest.raises(Refusal) as refused:
        contract(environ)
    assert (refused.value.diagnostics[0].code, refused.value.exit_code) == ("FTC703", 64)
    found = contract({**environ, "MASTER_ADDR": "a", "MASTER_PORT": "1"})
    assert (found["RANK"], found["WORLD_SIZE"]) == ("1", "2")
