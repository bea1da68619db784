"""`ftc launch`: what is written for a scheduler, and what is refused before anything starts."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc.cli.launching import _ENGINES
from ftc.cli.main import main
from ftc.spec.documents.plan import Plan
from ftc.spec.providers import PROVIDERS
from ftc.verbs.job_files import JOB_FILES
from ftc.verbs.job_files.slurm import sbatch_script
from ftc.verbs.launch import launch_of
from tests.support.documents import plan
from tests.support.session_packages import package_of

SITE = """\
ftc_launch: 1
slurm:
  partition: gpu
  account: nlp.research
  time: 1-12:00:00
  options: [--constraint=h100, --exclusive]
  setup: [module load cuda/12.8, source .venv/bin/activate]
  requeue: 5
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a saved plan for two machines with four GPUs each."""
    (tmp_path / ".ftc").mkdir()
    monkeypatch.chdir(tmp_path)
    _save(tmp_path / "job.plan.json", nodes=2, world_size=8)
    return tmp_path


def _save(file: Path, *, nodes: int, world_size: int) -> Plan:
    saved = plan()
    train = saved.settings.train.model_copy(update={"nodes": nodes, "world_size": world_size, "sharding": "fsdp"})
    device = saved.settings.device.model_copy(
        update={"kind": "cuda", "name": "h100-80gb", "count": world_size // nodes, "threads": 6}
    )
    settings = saved.settings.model_copy(update={"train": train, "device": device})
    made = saved.model_copy(update={"settings": settings}).sealed()
    file.write_text(made.to_text())
    return made


def _fake(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name, first on the path."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_job_script_for_slurm(
    project: Path, golden: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "ftc.launch.yaml").write_text(SITE)
    assert main(["launch", "job.plan.json", "--on", "slurm", "--print"]) == 0
    out = capsys.readouterr().out
    saved = Plan.model_validate_json((project / "job.plan.json").read_bytes())
    command = next(line for line in out.splitlines() if line.startswith("srun"))
    assert command.endswith(f"-P -m ftc apply job.plan.json --expect {saved.sha256}")
    stable = out.replace(command, "srun …").replace(str(project), "PROJECT")
    golden("job.sbatch", stable.replace(saved.sha256[:12], "PLAN").replace(saved.run_id, "JOB"))
    assert not list(project.glob("*.sbatch")), "`--print` writes nothing"


@pytest.mark.skipif(os.name != "posix", reason="a shell")
@pytest.mark.parametrize(
    ("ends", "restarts", "state", "again"),
    [
        (75, 0, "RUNNING", True),
        (137, 1, "RUNNING", True),
        (143, 0, "RUNNING", True),
        (143, 0, "CANCELLED", False),
        (75, 5, "RUNNING", False),
        (6, 0, "RUNNING", False),
        (1, 0, "RUNNING", False),
        (0, 0, "RUNNING", False),
    ],
)
def test_a_job_is_requeued_where_trying_again_may_help(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: int, restarts: int, state: str, again: bool
) -> None:
    (project / "ftc.launch.yaml").write_text("ftc_launch: 1\nslurm: {requeue: 5}\n")
    saved = Plan.model_validate_json((project / "job.plan.json").read_bytes())
    script = project / "job.sbatch"
    script.write_text(sbatch_script(launch_of(project / "job.plan.json", saved)))
    _fake(tmp_path / "bin", "srun", f"exit {ends}", monkeypatch)
    _fake(tmp_path / "bin", "squeue", f"echo {state}", monkeypatch)
    _fake(tmp_path / "bin", "scontrol", f'echo "$@" > {tmp_path}/asked', monkeypatch)
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("no bash")
    environment = {**os.environ, "SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": str(restarts)}
    assert subprocess.run([shell, str(script)], env=environment, check=False).returncode == ends
    assert (tmp_path / "asked").exists() is again
    if again:
        assert (tmp_path / "asked").read_text() == "requeue 7\n"


@pytest.mark.skipif(os.name != "posix", reason="a shell")
def test_a_job_is_written_and_submitted(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fake(tmp_path / "bin", "sbatch", f'echo "$@" > {tmp_path}/asked; echo "4711;cluster"', monkeypatch)
    assert main(["launch", "job.plan.json", "--on", "slurm"]) == 0
    assert capsys.readouterr().out == "job.sbatch: submitted as job 4711\n"
    assert (tmp_path / "asked").read_text() == "--parsable job.sbatch\n"
    assert "#SBATCH --nodes=2\n" in (project / "job.sbatch").read_text()
    assert main(["launch", "job.plan.json", "--on", "slurm"]) == 0, "its own script is renewed"


@pytest.mark.skipif(os.name != "posix", reason="a shell and links")
def test_a_script_that_somebody_wrote_stays(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fake(tmp_path / "bin", "sbatch", f"touch {tmp_path}/asked; echo 7", monkeypatch)
    script, theirs = project / "job.sbatch", "#!/bin/bash\n#SBATCH --nodes=4\necho mine\n"
    script.write_text(theirs)
    assert main(["launch", "job.plan.json", "--on", "slurm"]) == 1
    assert "FTC651" in capsys.readouterr().err
    assert (script.read_text(), (tmp_path / "asked").exists()) == (theirs, False)
    script.rename(project / "elsewhere")
    script.symlink_to("elsewhere")
    assert main(["launch", "job.plan.json", "--on", "slurm", "--force"]) == 1
    assert (project / "elsewhere").read_text() == theirs
    script.unlink()
    script.write_text(theirs)
    assert main(["launch", "job.plan.json", "--on", "slurm", "--force"]) == 0
    assert "echo mine" not in script.read_text()


@pytest.mark.skipif(os.name != "posix", reason="a shell")
def test_what_slurm_says_is_shown(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fake(tmp_path / "bin", "sbatch", 'echo "sbatch: error: invalid partition" >&2; exit 1', monkeypatch)
    assert main(["launch", "job.plan.json", "--on", "slurm"]) == 1
    err = capsys.readouterr().err
    assert "error[FTC708]: Slurm refuses the job" in err
    assert "invalid partition" in err


def test_without_slurm_the_script_is_still_written(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["launch", "job.plan.json", "--on", "slurm"]) == 1
    assert "error[FTC708]" in capsys.readouterr().err
    assert (project / "job.sbatch").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        "ftc_launch: 1\nslurm: {partiton: gpu}\n",
        'ftc_launch: 1\nslurm: {partition: "gpu\\n#SBATCH --uid=0"}\n',
        'ftc_launch: 1\nslurm: {setup: ["true\\nrm -rf x"]}\n',
        "ftc_launch: 2\n",
    ],
)
def test_settings_are_read_strictly(project: Path, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "ftc.launch.yaml").write_text(wrong)
    assert main(["launch", "job.plan.json", "--on", "slurm", "--print"]) == 3
    captured = capsys.readouterr()
    assert "error[FTC707]" in captured.err
    assert not captured.out


def test_machines_need_a_place_to_meet(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", "job.plan.json", "--on", "torchrun"]) == 64
    assert "error[FTC709]" in capsys.readouterr().err
    assert main(["launch", "job.plan.json", "--on", "torchrun", "--head", "node1:29400", "--print"]) == 0
    shown = capsys.readouterr()
    assert "ftc launch job.plan.json --on torchrun --head node1:29400" in shown.err
    words = shlex.split(shown.out)
    assert words[0] == "torchrun"
    assert "--rdzv-endpoint=node1:29400" in words
    assert words[words.index("-m") :][:4] == ["-m", "ftc", "apply", "job.plan.json"]
    assert "--expect" in words
    (project / "ftc.launch.yaml").write_text("ftc_launch: 1\ntorchrun: {hosts: [head, other], port: 3000}\n")
    assert main(["launch", "job.plan.json", "--on", "torchrun", "--print"]) == 0
    assert "--head head:3000" in capsys.readouterr().err


@pytest.mark.parametrize("head", ["node1", ":29400", "node1:", "node1:abc", "node1:99999"])
def test_a_place_to_meet_has_a_host_and_a_port(project: Path, capsys: pytest.CaptureFixture[str], head: str) -> None:
    assert main(["launch", "job.plan.json", "--on", "torchrun", "--head", head, "--print"]) == 64
    assert "HOST:PORT" in capsys.readouterr().err


CLUSTERS = """\
ftc_launch: 1
k8s:
  image: ghcr.io/team/ftc@sha256:0f1e
  claim: shared-disk
  folder: team/news
  queue: gpus
  namespace: nlp
  env: [FTC_CACHE=/project/.ftc/cache]
  setup: [source .venv/bin/activate]
sky:
  source: s3://bucket/news
  accelerator: H100
  infra: aws/us-east-1
  image: docker:ghcr.io/team/ftc
  spot: true
  env: [FTC_CACHE=/project/.ftc/cache]
"""


@pytest.mark.parametrize("engine", ["k8s", "sky"])
def test_the_files_of_clusters(
    project: Path, golden: Callable[[str, str], None], capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    (project / "ftc.launch.yaml").write_text(CLUSTERS)
    suffix, starts = JOB_FILES[engine].suffix, {"k8s": "kubectl create -f", "sky": "sky jobs launch"}[engine]
    for _ in range(2):  # its own file is renewed
        assert main(["launch", "job.plan.json", "--on", engine]) == 0
        assert capsys.readouterr().out == f"job{suffix}: `{starts} job{suffix}` starts it\n"
    written = (project / f"job{suffix}").read_text()
    saved = Plan.model_validate_json((project / "job.plan.json").read_bytes())
    stable = written.replace(saved.sha256, "DIGEST").replace(saved.sha256[:12], "PLAN").replace(saved.run_id, "JOB")
    golden(f"job{suffix}", stable)
    (project / f"job{suffix}").write_text("apiVersion: v1\n")
    assert main(["launch", "job.plan.json", "--on", engine]) == 1
    assert "FTC651" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["k8s", "sky"])
def test_what_a_cluster_needs_is_named(project: Path, capsys: pytest.CaptureFixture[str], engine: str) -> None:
    assert main(["launch", "job.plan.json", "--on", engine, "--print"]) == 64
    shown = capsys.readouterr()
    assert f"error[FTC710]: `{engine}." in shown.err
    assert not shown.out


def test_a_trainjob_is_one_by_kubeflows_own_models(project: Path) -> None:
    models = package_of("launchers", "kubeflow_trainer_api.models")
    (project / "ftc.launch.yaml").write_text(CLUSTERS)
    written = _written(project, "k8s")
    job = models.TrainerV1alpha1TrainJob.from_dict(written)
    assert job.to_dict() == written, "no key that Trainer doesn't know"
    assert (job.spec.trainer.num_nodes, job.spec.trainer.num_proc_per_node) == (2, 4)
    assert job.spec.trainer.resources_per_node.limits["nvidia.com/gpu"].actual_instance == 4


def test_a_task_is_one_by_skypilots_own_reader(project: Path) -> None:
    sky = package_of("launchers", "sky")
    (project / "ftc.launch.yaml").write_text(CLUSTERS)
    task = sky.Task.from_yaml_config(_written(project, "sky"))
    (resources,) = task.resources
    assert (task.num_nodes, resources.accelerators) == (2, {"H100": 4})
    assert resources.use_spot is True


def _written(project: Path, engine: str) -> Any:
    from ruamel.yaml import YAML

    saved = Plan.model_validate_json((project / "job.plan.json").read_bytes())
    return YAML(typ="safe").load(JOB_FILES[engine].text(launch_of(project / "job.plan.json", saved)))


@pytest.mark.skipif(os.name != "posix", reason="a shell")
@pytest.mark.parametrize("engine", ["k8s", "sky"])
def test_what_a_machine_of_a_cluster_runs(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """The shell of both files calls the launcher with the plan's digest and the place of the first machine."""
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("no bash")
    site = CLUSTERS.replace("  setup: [source .venv/bin/activate]\n", "").replace("k8s:", "k8s:\n  project: /tmp", 1)
    (project / "ftc.launch.yaml").write_text(site.replace("sky:", "sky:\n  project: /tmp", 1))
    written = _written(project, engine)
    lines = written["run"] if engine == "sky" else written["spec"]["trainer"]["command"][2]
    _fake(tmp_path / "bin", "ftc", f'echo "$PWD $@" > {tmp_path}/asked; exit 75', monkeypatch)
    told = {"PET_MASTER_ADDR": "first", "PET_MASTER_PORT": "29400", "SKYPILOT_NODE_IPS": "first\nsecond"}
    assert subprocess.run([shell, "-c", lines], env={**os.environ, **told}, check=False).returncode == 75
    words = (tmp_path / "asked").read_text().split()
    assert words[:5] == ["/tmp", "launch", "job.plan.json", "--on", "torchrun"]
    assert words[-2:] == ["--head", "first:29400"]


def test_another_plan_is_not_launched(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "ftc.launch.yaml").write_text(CLUSTERS)
    assert main(["launch", "job.plan.json", "--on", "k8s", "--print", "--expect", "0123456789ab"]) == 5
    assert "FTC700" in capsys.readouterr().err


def test_the_command_line_knows_every_launcher() -> None:
    assert ("torchrun", "ray", *JOB_FILES, *(card.name for card in PROVIDERS)) == _ENGINES


RAY = "ftc_launch: 1\nray: {address: 'head:6379', project: /shared/news, restarts: 5, env: [FTC_CACHE=/shared/cache]}\n"


def test_what_ray_is_asked_for(
    project: Path, golden: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "ftc.launch.yaml").write_text(RAY)
    saved = Plan.model_validate_json((project / "job.plan.json").read_bytes())
    assert main(["launch", "job.plan.json", "--on", "ray", "--print"]) == 0
    shown = capsys.readouterr().out
    stable = shown.replace(saved.sha256, "DIGEST").replace(saved.sha256[:12], "PLAN").replace(saved.run_id, "JOB")
    golden("job.ray.yaml", stable)
    assert main(["launch", "job.plan.json", "--on", "ray", "--address", "http://head:8265", "--print"]) == 0
    submitted = capsys.readouterr().out
    assert (
        f"cd /shared/news && exec ftc launch job.plan.json --on ray --address auto --expect {saved.sha256}" in submitted
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--on", "ray", "--address", "head"], 64, "neither `auto` nor HOST:PORT"),
        (["--on", "ray", "--address", "ray://head:10001"], 64, "neither `auto` nor HOST:PORT"),
        (["--on", "slurm", "--address", "auto"], 64, "--address is for `--on ray`"),
    ],
)
def test_addresses_of_ray(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert main(["launch", "job.plan.json", *words]) == code
    assert said in capsys.readouterr().err
    assert project.exists()


def test_ray_on_this_machine_has_no_others(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert main(["launch", str(project / "job.plan.json"), "--on", "ray"]) == 64
    assert "error[FTC709]: where is the Ray cluster of 2 machines?" in capsys.readouterr().err


def test_ray_that_is_not_installed_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["launch", str(project / "job.plan.json"), "--on", "ray"]) == 1
    assert "ftc[ray]" in capsys.readouterr().err


def test_a_list_of_machines_that_is_too_short_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "ftc.launch.yaml").write_text("ftc_launch: 1\ntorchrun: {hosts: [node1]}\n")
    assert main(["launch", "job.plan.json", "--on", "torchrun", "--print"]) == 64
    told = capsys.readouterr().err
    assert "FTC709" in told
    assert "names 1 machine, and this plan needs 2" in told
    assert main(["launch", "job.plan.json", "--on", "torchrun", "--print", "--head", "node1:29400"]) == 0
