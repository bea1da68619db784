"""Planning an untrusted recipe executes nothing, asks nobody and tells no secret: SECURITY.md, attacked.

Each attack runs in a process whose audit events are noted, so that what would have happened shows even where it
failed. The only process that planning may start is its own sandbox for templates.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pytest

from ftc.spec.language.section_tree import all_sections
from tests.diagnostics.worlds import edit_json, write_plain_model
from tests.security import guarded

CANARY = "canary-has-fired"
TOKEN = "hf_" + "Ab1Cd2Ef3" * 4
RECIPE = """\
ftc: 1
name: tiny
task: {kind: generation}
data: {source: {path: rows.jsonl}, fields: {prompt: question, completion: answer}}
model: {base: ./model}
strategy: {kind: lora}
budget: {device: cpu}
"""


@dataclass
class Seen:
    """What a process that planned did."""

    outcomes: list[list[str]]
    events: list[list[str]]
    loaded: list[str]
    output: str

    def started(self) -> list[str]:
        """Processes that were started, but for the sandbox of templates, and everything else that was noted."""
        return [" ".join(event) for event in self.events if not _is_sandbox(event)]


def _is_sandbox(event: list[str]) -> bool:
    return event[0] == "subprocess.Popen" and sys.executable in event[1] and "sandbox_child" in event[2]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A project with a recipe that can be planned."""
    folder = tmp_path / "project"
    (folder / ".ftc").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    write_plain_model(folder / "model")
    rows = [{"question": f"{word} a b {number}", "answer": word} for number in range(30) for word in "abc"]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def plan(job: Path, *recipes: Path, **environment: str) -> Seen:
    """Plans recipes of a job, its own one first so that all that planning needs is loaded."""
    command = [sys.executable, guarded.__file__, str(job / "recipe.yaml"), *map(str, recipes)]
    child = _run(command, job, environment)
    assert child.returncode == 0, child.stderr
    assert "Traceback" not in child.stderr
    assert not list(job.parent.rglob(CANARY)), "code of the project ran"
    return Seen(**json.loads(child.stdout.splitlines()[-1]), output=child.stdout + child.stderr)


def _run(command: list[str], job: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "FTC_CACHE": str(job.parent / "cache"),
        "HF_HOME": str(job.parent / "hub"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        **environment,
    }
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=job, env=env)


def firing(job: Path) -> str:
    """A shell command that leaves a trace."""
    return f"touch {job / CANARY}"


def pickled(job: Path) -> bytes:
    """A pickle that runs a command when it is read."""
    return b"cos\nsystem\n(S'" + firing(job).encode() + b"'\ntR."


def script(job: Path) -> str:
    """A module that leaves a trace when it is imported."""
    return f"import pathlib\npathlib.Path({str(job / CANARY)!r}).touch()\n"


def written(job: Path, name: str, text: str) -> Path:
    """Another recipe of the job."""
    recipe = job / f"{name}.yaml"
    recipe.write_text(text, encoding="utf-8")
    return recipe


@pytest.mark.slow
def test_the_traps_work(job: Path) -> None:
    """Else silence would prove nothing: each kind of event is noted when it happens."""
    code = (
        f"import sys, runpy\nsys.argv = ['guarded', {str(job / 'recipe.yaml')!r}]\n"
        "import ftc.api, os, socket\nreal = ftc.api.plan\n"
        "def plan(recipe):\n"
        f"    os.system({firing(job)!r})\n    exec(compile('1', {str(job / 'x.py')!r}, 'exec'))\n"
        "    socket.socket().connect_ex(('127.0.0.1', 9))\n    return real(recipe)\n"
        "ftc.api.plan = plan\n"
        f"runpy.run_path({guarded.__file__!r}, run_name='__main__')\n"
    )
    child = _run([sys.executable, "-c", code], job, {})
    seen = Seen(**json.loads(child.stdout.splitlines()[-1]), output="")
    assert (job / CANARY).exists()
    assert [event[0] for event in seen.events if not _is_sandbox(event)] == ["os.system", "exec", "socket.connect"]


@pytest.mark.slow
def test_a_plain_plan_starts_nothing_but_the_sandbox(job: Path) -> None:
    seen = plan(job)
    assert seen.outcomes == [["planned"]]
    assert seen.started() == []


LOADER_NAMES = (
    *("pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "consolidated.00.pth", "training_args.bin"),
    *("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth", "trainer_state.pkl", "adapter_model.bin"),
    *("tf_model.h5", "flax_model.msgpack", "tokenizer.pkl", "vocab.pkl", "dataset.pkl", "index.pkl", "v_head.bin"),
)
SCRIPTS = (
    *("modeling_evil.py", "configuration_evil.py", "tokenization_evil.py", "__init__.py", "conftest.py", "setup.py"),
    *("sitecustomize.py", "usercustomize.py", "rows.py", "model.py", "handler.py", "generate.py", "train.py"),
)


@pytest.mark.slow
def test_pickles_and_scripts_beside_model_and_data_stay_untouched(job: Path) -> None:
    for folder in (job, job / "model"):
        for name in LOADER_NAMES:
            (folder / name).write_bytes(pickled(job))
        for name in SCRIPTS:
            (folder / name).write_text(script(job), encoding="utf-8")
    seen = plan(job)
    assert seen.outcomes == [["planned"]]
    assert seen.started() == []


AUTO_MAP = {"AutoConfig": "configuration_evil.EvilConfig", "AutoModelForCausalLM": "modeling_evil.EvilModel"}
CONFIGS: dict[str, dict[str, Any]] = {
    "auto_map": {"auto_map": AUTO_MAP},
    "trust": {"trust_remote_code": True},
    "attention from the hub": {"_attn_implementation_internal": "evil/kernel"},
    "quantizer by name": {"quantization_config": {"quant_method": "os.system", "_target_": "os.system"}},
    "instantiate": {"_target_": "os.system", "_args_": ["true"]},
    "class by path": {"architectures": ["os.system"], "model_type": "os.system"},
}


def test_a_model_that_asks_for_code_gets_none(job: Path) -> None:
    recipes = []
    for number, config in enumerate(CONFIGS.values()):
        model = job / f"asks-{number}"
        shutil.copytree(job / "model", model)
        for name in SCRIPTS:
            (model / name).write_text(script(job), encoding="utf-8")
        edit_json(model / "config.json", **config)
        edit_json(model / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_evil.Evil", None]})
        recipes.append(written(job, model.name, RECIPE.replace("./model", f"./{model.name}")))
    seen = plan(job, *recipes)
    assert len(seen.outcomes) == 1 + len(CONFIGS)
    assert seen.started() == []


@pytest.mark.slow
def test_weights_and_rows_that_are_pickles_are_refused(job: Path) -> None:
    names = (
        "rows.pkl",
        "rows.pt",
        "rows.py",
        "rows.csv",
        "data.jsonl",
        "rows.parquet",
        "rows.arrow",
        "rows.npy",
        "rows.zip",
    )
    recipes = []
    for name in names:
        (job / name).write_bytes(script(job).encode() if name.endswith(".py") else pickled(job))
        recipes.append(written(job, f"reads-{name}", RECIPE.replace("rows.jsonl", name)))
    shutil.copytree(job / "model", job / "pickled")
    (job / "pickled" / "model.safetensors").write_bytes(pickled(job))
    recipes.append(written(job, "weights", RECIPE.replace("./model", "./pickled")))
    seen = plan(job, *recipes)
    assert seen.outcomes[0] == ["planned"]
    assert all(outcome and outcome != ["planned"] for outcome in seen.outcomes[1:]), seen.outcomes
    assert seen.started() == []


def text_fields() -> Iterator[str]:
    """Dotted paths of all places for text, in sections that a recipe may have."""
    for path, section in all_sections():
        for name, information in section.model_fields.items():
            if str in _types(information.annotation):
                yield f"{path}.{name}".lstrip(".")


def _types(annotation: Any) -> list[Any]:
    return [annotation, *(inner for part in get_args(annotation) for inner in _types(part))]


PLACES = sorted(set(text_fields()) - {"budget.price_per_hour.currency", "budget.cost.currency"})
PAYLOADS = (
    *("os.system", "subprocess.run", "builtins.exec", "ftc.cli.main:main", "__import__('os').system('touch CANARY')"),
    *("$(touch CANARY)", "`touch CANARY`", "; touch CANARY #", "| touch CANARY", "${HOME}", "{{ cycler.__init__ }}"),
    *("!!python/object/apply:os.system [touch CANARY]", "-c 'touch CANARY'", "--upload-pack=touch CANARY"),
    *(
        "file:///etc/passwd",
        "../../../../../etc/passwd",
        "/etc/passwd",
        "http://127.0.0.1:9/x",
        "git+ssh://x@127.0.0.1/y",
    ),
)
_SAMPLED = 4
"""Shares no divisor with the number of payloads, so that each of them stands at every fourth place."""
assert len(PAYLOADS) % 2 == 1


def hostile(job: Path, place: str, payload: str) -> str:
    """A recipe with a payload at a place, written as JSON, which is YAML."""
    recipe: dict[str, Any] = {
        "ftc": 1,
        "name": "tiny",
        "task": {"kind": "generation"},
        "data": {"source": {"path": "rows.jsonl"}, "fields": {"prompt": "question", "completion": "answer"}},
        "model": {"base": "./model"},
        "strategy": {"kind": "lora"},
        "budget": {"device": "cpu"},
    }
    *outer, last = place.split(".")
    holder = recipe
    for part in outer:
        holder = holder.setdefault(part, {}) if isinstance(holder.get(part, {}), dict) else {}
    value = payload.replace("CANARY", str(job / CANARY))
    lists = {"labels": [value, "b"], "targets": [value], "allow": [value], "metrics": [value]}
    mappings = {"fields": {"prompt": value, "completion": value}, "gates": {"exact_match": value}}
    holder[last] = lists.get(last, mappings.get(last, value))
    if place.startswith("task.labels"):
        recipe["task"]["kind"] = "classification"
    if place == "task.prompt":
        del recipe["data"]["fields"]["prompt"]
        recipe["task"]["prompt"] = f"{{{{ question }}}} {value}"
    if place == "model.revision":
        recipe["model"]["base"] = "owner/model"
    if last in ("hub", "file", "revision") and outer[0] == "data":
        holder.pop("path", None)
        holder.update({"hub": "owner/name", "file": "rows.jsonl", last: value})
    return json.dumps(recipe)


def test_text_fields_are_all_there() -> None:
    expected = {
        "model.base",
        "data.source.path",
        "data.source.hub",
        "task.prompt",
        "budget.device",
        "strategy.targets",
        "extends",
    }
    assert expected <= set(PLACES)


@pytest.mark.slow
def test_no_text_of_a_recipe_becomes_code_or_a_command(job: Path) -> None:
    """Payloads at every place that takes text, with FTC_FUZZ all of them; nothing is started, no module is loaded."""
    address = "http://127.0.0.1:9/rows.jsonl"  # where nobody answers; what reads addresses is loaded for any of them
    harmless = [written(job, "plain-address", hostile(job, "data.source.path", address))]
    harmless += [written(job, f"plain-{number}", hostile(job, place, "zzz")) for number, place in enumerate(PLACES)]
    recipes = [
        written(job, f"hostile-{number}", hostile(job, place, payload))
        for number, (place, payload) in enumerate(itertools.product(PLACES, PAYLOADS))
        if number % _SAMPLED == 0 or os.environ.get("FTC_FUZZ")
    ]
    seen = plan(job, *harmless, *recipes, HF_HUB_OFFLINE="1")
    assert seen.started() == []
    alone = plan(job, *harmless, HF_HUB_OFFLINE="1")
    assert sorted(set(seen.loaded) - set(alone.loaded)) == []


@pytest.mark.slow
def test_names_on_the_hub_stay_inside_of_their_repository(job: Path) -> None:
    """Names of files and branches become paths in the hub's cache, which other projects share."""
    source, base, recipes = "{path: rows.jsonl}", "{base: ./model}", []
    for number, name in enumerate(("../../../etc/passwd", "/etc/passwd", "a/../../b", "~/x", "C:/x", "..\\x")):
        texts = {
            "file": RECIPE.replace(source, json.dumps({"hub": "owner/name", "file": name})),
            "branch": RECIPE.replace(source, json.dumps({"hub": "a/b", "file": "x", "revision": name})),
            "model": RECIPE.replace(base, json.dumps({"base": "a/b", "revision": name})),
        }
        recipes += [written(job, f"{kind}-{number}", text) for kind, text in texts.items()]
    seen = plan(job, *recipes, HF_HUB_OFFLINE="1")
    assert seen.outcomes[1:] == [["FTC300"]] * len(recipes)
    assert seen.started() == []


@dataclass
class Listener:
    """A server that notes who calls."""

    port: int
    calls: list[bytes] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        listener, done = Listener(server.getsockname()[1]), threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    listener.calls.append(b"call")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener
        finally:
            done.set()
            thread.join()


def test_a_listener_hears_a_call() -> None:
    with listening() as listener:
        socket.create_connection(("127.0.0.1", listener.port)).close()
        for _ in range(1000):
            if listener.calls:
                break
            threading.Event().wait(0.01)
    assert listener.calls


@pytest.mark.slow
def test_addresses_in_recipe_model_and_rows_are_never_asked(job: Path) -> None:
    recipes = []
    with listening() as listener:
        for scheme in ("http", "https", "ftp", "file", "s3", "hf"):
            recipes += asking(job, scheme, f"{scheme}://127.0.0.1:{listener.port}/x.jsonl")
        seen = plan(job, *recipes)
    assert listener.calls == []
    assert seen.started() == []
    refused = [outcome for recipe, outcome in zip(recipes, seen.outcomes[1:], strict=True) if "rows" not in recipe.stem]
    assert len(refused) == len(recipes) * 4 / 5
    assert all(outcome != ["planned"] for outcome in refused), seen.outcomes


def asking(job: Path, scheme: str, url: str) -> list[Path]:
    """Recipes that hold an address: in rows and model files, of which the first tells, and in place of a path."""
    rows = [{"question": f"{url} {number}", "answer": url, "image": url} for number in range(40)]
    (job / f"{scheme}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    model = job / scheme
    shutil.copytree(job / "model", model)
    edit_json(model / "config.json", _name_or_path=url)
    edit_json(model / "tokenizer_config.json", name_or_path=url)
    plain = RECIPE.replace("./model", f"./{scheme}")
    task = f'{{kind: generation, system: "{url}", prompt: "{url} {{{{ question }}}}"}}'
    asked = plain.replace("prompt: question, ", "").replace("{kind: generation}", task)
    return [
        written(job, f"{scheme}-rows", asked.replace("rows.jsonl", f"{scheme}.jsonl")),
        written(job, f"{scheme}-path", plain.replace("rows.jsonl", f'"{url}"')),
        written(job, f"{scheme}-model", RECIPE.replace("./model", f'"{url}"')),
        written(job, f"{scheme}-extends", f'extends: "{url}"\n{plain}'),
        written(job, f"{scheme}-split", plain.replace("fields:", f'split: {{test: {{path: "{url}"}}}}, fields:')),
    ]


INJECTIONS = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('touch CANARY').read() }}",
    "{{ lipsum.__globals__['os'].system('touch CANARY') }}",
    "{{ raise_exception.__globals__['__builtins__']['open']('CANARY', 'w') }}",
    "{{ ('{0.__class__}'|attr('format'))('') }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.system('touch CANARY') }}",
    "{{ question.__class__.__init__.__globals__ }}",
)


@pytest.mark.slow
def test_templates_cannot_reach_out(job: Path) -> None:
    recipes = []
    for number, injection in enumerate(INJECTIONS):
        payload = injection.replace("CANARY", str(job / CANARY))
        task = json.dumps({"kind": "generation", "prompt": "{{ question }}" + payload})
        text = RECIPE.replace("{kind: generation}", task).replace("prompt: question, ", "")
        recipes.append(written(job, f"prompt-{number}", text))
        shutil.copytree(job / "model", job / f"model-{number}")
        edit_json(
            job / f"model-{number}" / "tokenizer_config.json", chat_template="{{ messages[0].content }}" + payload
        )
        recipes.append(written(job, f"chat-{number}", RECIPE.replace("./model", f"./model-{number}")))
    seen = plan(job, *recipes)
    assert seen.started() == []
    assert all(outcome[0].startswith(("FTC33", "FTC362", "FTC329")) for outcome in seen.outcomes[1:]), seen.outcomes
    assert "root:" not in seen.output
    for file in job.rglob("*.lock.json"):
        assert "<class" not in file.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_sandbox_gets_no_secrets(job: Path) -> None:
    seen = plan(job, HF_TOKEN=TOKEN)
    sandboxes = [event for event in seen.events if _is_sandbox(event)]
    assert sandboxes
    for event in sandboxes:
        assert event[4] != "None", "the child would inherit the whole environment"
        assert TOKEN not in " ".join(event)


SECRETS = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "GITHUB_TOKEN",
    "OPENAI_API_KEY",
    "WANDB_API_KEY",
)


def everything(job: Path) -> Iterator[tuple[Path, bytes]]:
    """All files that planning could have left."""
    return ((file, file.read_bytes()) for file in sorted(job.parent.rglob("*")) if file.is_file())


@pytest.mark.slow
def test_secrets_of_the_environment_are_in_no_artifact_and_no_output(job: Path) -> None:
    environment: dict[str, str] = dict.fromkeys(SECRETS, TOKEN)
    for arguments in (
        ["plan", "recipe.yaml", "-o", "tiny.plan.json", "--origins"],
        ["plan", "recipe.yaml", "--json"],
        ["validate", "recipe.yaml", "--json"],
    ):
        child = _run([sys.executable, "-m", "ftc", *arguments], job, environment)
        assert child.returncode == 0, child.stderr
        assert TOKEN not in child.stdout + child.stderr
    assert (job / "tiny.plan.json").is_file()
    assert [file for file, content in everything(job) if TOKEN.encode() in content] == []


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "text",
    [
        RECIPE.replace("{kind: generation}", f"{{kind: generation, system: {TOKEN}}}"),
        RECIPE.replace("rows.jsonl", f"{TOKEN}.jsonl"),
        RECIPE.replace("./model", f'"https://user:{TOKEN}@127.0.0.1/model"'),
        RECIPE + f"# {TOKEN}\n",
        RECIPE + f"{TOKEN}: 1\n",
        RECIPE.replace("./model", TOKEN) + "train: {epochs: 0}\n",
    ],
    ids=["value", "path", "url", "comment", "key", "beside another mistake"],
)
def test_a_secret_in_a_recipe_is_masked_wherever_it_is_shown(job: Path, text: str) -> None:
    recipe = written(job, "secret", text)
    for arguments in (["plan"], *(["validate", "--format", form] for form in ("text", "json", "sarif", "github"))):
        child = _run([sys.executable, "-m", "ftc", *arguments, str(recipe)], job, {})
        assert child.returncode == 3
        assert TOKEN not in child.stdout + child.stderr
        assert "Traceback" not in child.stderr
    assert [file for file, content in everything(job) if TOKEN.encode() in content] == [recipe]
