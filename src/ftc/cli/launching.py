"""`ftc launch`: a saved plan on one or several machines, or at a hosted service."""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.cli.arguments import Command, Example, Parser
from ftc.cli.terminal import write
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.verbs.hosted.prepare import Prepared
    from ftc.verbs.launch import Launch

__all__ = ["COMMANDS"]

_HOSTED = ("together", "openai")
"""Names of `ftc.spec.providers.PROVIDERS`."""
_ENGINES = ("torchrun", "ray", "slurm", "k8s", "sky", *_HOSTED)
"""torchrun, Ray, keys of `ftc.verbs.job_files.JOB_FILES`, and services; none need be loaded to read a command line."""


def launch_arguments(parser: Parser) -> None:
    parser.add_argument("plan", metavar="PLAN", help="a plan that `ftc plan -o` saved")
    about = (
        "torchrun: start this machine's processes; slurm: write a job script and submit it; ray: run it by Ray Train; "
        "k8s, sky: write a file for Kubernetes (Kubeflow Trainer) or SkyPilot; "
        "together, openai: train at a hosted service, for money"
    )
    parser.add_argument("--on", required=True, choices=_ENGINES, metavar="ENGINE", help=about)
    parser.add_argument("--print", action="store_true", dest="shows", help="show what would be started or submitted")
    parser.add_argument("--force", action="store_true", help="replace a file that ftc didn't write")
    about = "launch only the plan with this digest, or of the job with this digest; its first 8 characters are enough"
    parser.add_argument("--expect", metavar="DIGEST", help=about)
    about = "of torchrun: where the machines meet; default: the first of `torchrun.hosts` in ftc.launch.yaml"
    parser.add_argument("--head", type=_meeting_place, metavar="HOST:PORT", help=about)
    about = "of ray: `auto`, HOST:PORT, or http://HOST:PORT to submit a job; default: `ray.address` in ftc.launch.yaml"
    parser.add_argument("--address", metavar="ADDRESS", help=about)
    about = "of a service: pass over personal-data, price, secrets, shutdown or tokens; repeatable"
    parser.add_argument("--waive", action="append", dest="waived", metavar="NAME", help=about)
    about = "of a service: return once the job is created; the same command without it follows and fetches"
    parser.add_argument("--yes", action="store_true", help="of a service: don't ask before a paid job is created")
    parser.add_argument("--no-wait", action="store_true", help=about)
    about = "of a service: create one more paid job, where the last one ended or can't be found"
    parser.add_argument("--another", action="store_true", help=about)


def _meeting_place(text: str) -> str:
    """A host with a port, as torch takes them."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
        raise ArgumentTypeError(f"`{text}` is not HOST:PORT, such as node1:29400")
    return text


def run_launch(args: Namespace) -> int:
    """Starts or submits the plan; under torchrun the exit code is that of the run."""
    from ftc import api
    from ftc.spec.storage.atomic_write import write_text
    from ftc.spec.storage.outputs import OutputKind, claim_output
    from ftc.verbs.job_files import JOB_FILES
    from ftc.verbs.launch import launch_of
    from ftc.verbs.plan import refuse_other

    if problem := _misuse(args):
        sys.stderr.write(f"error: {problem}\n")
        return ExitCode.USAGE
    file = Path(args.plan)
    launch = launch_of(file, api.load_plan(file))
    if args.expect is not None:
        refuse_other(launch.plan, args.expect)
    if args.on == "torchrun":
        return _torchrun(args, launch)
    if args.on == "ray":
        return _ray(args, launch)
    if args.on in _HOSTED:
        return _hosted(args, launch)
    engine = JOB_FILES[args.on]
    text = engine.text(launch)
    if args.shows:
        write(text)
        return ExitCode.FINE
    target = file.with_name(f"{file.name.removesuffix('.json').removesuffix('.plan')}{engine.suffix}")
    claim_output(target, OutputKind.JOB_SCRIPT, force=args.force)
    write_text(target, text)
    write(f"{target}: {engine.start(target)}\n")
    return ExitCode.FINE


def _misuse(args: Namespace) -> str | None:
    """What can't go together, in words."""
    if args.head is not None and args.on != "torchrun":
        return "--head is for `--on torchrun`"
    if args.address is not None and args.on != "ray":
        return "--address is for `--on ray`"
    used = {"--waive": args.waived, "--yes": args.yes, "--no-wait": args.no_wait, "--another": args.another}
    used["--json"] = args.json
    if (others := [flag for flag, value in used.items() if value]) and args.on not in _HOSTED:
        return f"{', '.join(others)}: only for `--on {'` and `--on '.join(_HOSTED)}`"
    return None


def _hosted(args: Namespace, launch: Launch) -> int:
    """Trains at a service, or shows what would be sent."""
    from ftc.cli.terminal import declined, page, print_json
    from ftc.spec.providers import PROVIDERS
    from ftc.verbs.hosted.launch import launch_hosted, prepared_job
    from ftc.views.hosted import hosted_text, question_text, would_send_text
    from ftc.views.page import escaped

    card = next(one for one in PROVIDERS if one.name == args.on)
    if args.shows:
        with prepared_job(launch, card, args.waived or ()) as prepared:
            with prepared.files["train"].open(encoding="utf-8") as rows:
                line = rows.readline().rstrip()
            text = would_send_text(prepared.job, prepared.closes, line, page=page(sys.stdout, args))
            if args.json:
                print_json({**prepared.job.to_json(), "closes": prepared.closes})
            else:
                write(text)
        return ExitCode.FINE
    code = None

    def agree(prepared: Prepared) -> bool:
        nonlocal code
        sys.stderr.write(question_text(prepared.job, prepared.key, prepared.closes, page=page(sys.stderr, args)))
        code = None if args.yes else declined("Send the rows and create this paid job?", "creates the paid job")
        return code is None

    def tell(line: str) -> None:
        sys.stderr.write(f"{escaped(line)}\n")
        sys.stderr.flush()

    job = launch_hosted(
        launch,
        card,
        waived=args.waived or (),
        agree=agree,
        another=args.another,
        waits=not args.no_wait,
        tell=tell,
    )
    if job is None:
        return code or ExitCode.FINE
    if args.json:
        print_json(job.to_json())
    else:
        folder = f"runs/{job.name}/{job.id}"
        write(hosted_text(job, folder, page=page(sys.stdout, args)))
    return ExitCode.FINE


def _ray(args: Namespace, launch: Launch) -> int:
    """Runs the plan by Ray Train, or submits a job that does."""
    from importlib.util import find_spec

    from pydantic import ValidationError

    from ftc.spec.documents.launch import RaySettings
    from ftc.spec.storage.ignored import make_ignored
    from ftc.verbs.ray_job import RAY_FOLDER, is_submitted, ray_job, ray_text, submit_to_ray

    try:
        address = RaySettings(address=args.address).address or launch.settings.ray.address
    except ValidationError:
        sys.stderr.write(f"error: `{args.address}` is neither `auto` nor HOST:PORT nor http://HOST:PORT\n")
        return ExitCode.USAGE
    if args.shows:
        write(ray_text(launch, address))
        return ExitCode.FINE
    if find_spec("ray") is None:
        help = "`pip install 'ftc[ray]'` installs it; every machine of the cluster needs it, and ftc"
        raise Refusal([diagnostic("FTC650", "`--on ray` needs `ray`", help=help)])
    if is_submitted(address):
        write(f"submitted as job {submit_to_ray(launch, str(address))}; `ray job logs` follows it\n")
        return ExitCode.FINE
    if address is None and (nodes := launch.plan.settings.train.nodes) > 1:
        help = "name the cluster with `--address`, or set `ray: {address: …}` in ftc.launch.yaml"
        raise Refusal([diagnostic("FTC709", f"where is the Ray cluster of {nodes} machines?", help=help)])
    from ftc.runtime.execution.ray_workers import run_ray

    make_ignored(launch.root / RAY_FOLDER)
    return run_ray(ray_job(launch, address))


def _torchrun(args: Namespace, launch: Launch) -> int:
    """Starts this machine's processes; those of the others have to be started there, by the line that is shown."""
    from importlib.util import find_spec

    from ftc.cli.faults import missing_package
    from ftc.views.numbers import plural

    train, site = launch.plan.settings.train, launch.settings.torchrun
    if args.head is not None and train.nodes == 1:
        sys.stderr.write("error: --head is for a plan of several machines; this one needs one\n")
        return ExitCode.USAGE
    head = args.head or (f"{site.hosts[0]}:{site.port}" if site.hosts else None)
    if train.nodes > 1 and head is None:
        help = "name the first machine with `--head HOST:PORT`, or list `torchrun: {hosts: […]}` in ftc.launch.yaml"
        raise Refusal([diagnostic("FTC709", f"where do the {train.nodes} machines meet?", help=help)])
    if args.head is None and 0 < len(site.hosts) < train.nodes:
        summary = f"`torchrun.hosts` names {plural(len(site.hosts), 'machine')}, and this plan needs {train.nodes}"
        help = "list all of them in ftc.launch.yaml, or name the first one with `--head HOST:PORT`"
        raise Refusal([diagnostic("FTC709", summary, help=help)])
    if train.nodes > 1:
        others = shlex.join(["ftc", "launch", args.plan, "--on", "torchrun", "--head", str(head)])
        sys.stderr.write(f"This plan needs {train.nodes} machines. Start the same on each of them:\n  {others}\n")
    if args.shows:
        agent = ["torchrun", f"--nnodes={train.nodes}", f"--nproc-per-node={launch.devices}"]
        agent += [f"--max-restarts={site.restarts}", f"--rdzv-id={launch.plan.run_id}"]
        place = ["--rdzv-backend=c10d", f"--rdzv-endpoint={head}"] if train.nodes > 1 else ["--standalone"]
        write(shlex.join([*agent, *place, "-m", "ftc", *launch.words(launch.file)]) + "\n")
        return ExitCode.FINE
    if find_spec("torch") is None:
        raise missing_package("torch")
    from ftc.runtime.execution.agent import run_agent

    return run_agent(
        launch.words(launch.file),
        nodes=train.nodes,
        devices=launch.devices,
        head=head if train.nodes > 1 else None,
        name=launch.plan.run_id,
        restarts=site.restarts,
    )


COMMANDS: dict[str, Command] = {
    "launch": Command(
        launch_arguments,
        run_launch,
        examples=(
            Example("ftc launch job.plan.json --on slurm --print", "show the job script"),
            Example("ftc launch job.plan.json --on slurm", "write it and submit it"),
            Example("ftc launch job.plan.json --on ray --address auto", "on the Ray cluster of this machine"),
            Example("ftc launch job.plan.json --on k8s --print", "show a TrainJob for Kubernetes"),
            Example("ftc launch job.plan.json --on together --print", "show what would be sent to a service"),
            Example("ftc launch job.plan.json --on torchrun --head node1:29400", "the same on each machine"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
