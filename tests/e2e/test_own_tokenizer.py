"""A recipe's own tokens, end of texts and chat template, from recipe to a folder that plain transformers loads."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from ftc import api
from ftc.runtime.artifacts.tensor_files import read_tensors
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import StepDone
from ftc.spec.documents.settings import Settings
from ftc.verbs.runs import load_events
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.cards import CardRunner
from tests.support.projects import make_model

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OWN = "add_tokens: [<tool>], add_special_tokens: [<|im_start|>], special_tokens: {eos_token: <|im_end|>}"
TURNS = [{"role": "user", "content": "the old bank"}]


def with_own(model: str, own: str, template: str | None = CHATML) -> None:
    """Writes the template and the keys of `model` into the project's recipe."""
    file = Path("recipe.yaml")
    if template is not None:
        Path("chatml.jinja").write_text(template, encoding="utf-8")
        own += ", chat_template: chatml.jinja"
    text = file.read_text(encoding="utf-8").replace("max_length: 32", "max_length: 48")
    assert f"model: {{base: ./{model}}}" in text
    file.write_text(text.replace(f"model: {{base: ./{model}}}", f"model: {{base: ./{model}, {own}}}"), encoding="utf-8")


def refused() -> list[tuple[str, str]]:
    """Codes and places of what a plan finds wrong."""
    with pytest.raises(Refusal) as refusal:
        api.plan(Path("recipe.yaml"))
    return [(one.code, one.path or "") for one in refusal.value.diagnostics if one.is_error]


@pytest.mark.slow
@pytest.mark.sample(1)
@pytest.mark.parametrize("strategy", ["lora, init: default", "full"])
@pytest.mark.parametrize("model", ["decoder", "mistral"])
def test_a_run_learns_its_tokens_and_leaves_a_model_that_transformers_reads(
    model: str, strategy: str, project: MakeProject, models: Path, ftc: Ftc, cards: CardRunner
) -> None:
    """With tied embeddings and with an output layer of its own."""
    if not (models / model).is_dir():
        make_model(models / model, model)
    project("chat", strategy, steps=4, model=model)
    with_own(model, OWN)
    plan = api.plan(Path("recipe.yaml")).plan
    own = plan.settings.model.tokenizer
    assert own is not None
    assert own.chat_template is not None
    base = json.loads(Path(model, "config.json").read_text())["vocab_size"]
    assert [(one.token, one.special) for one in own.tokens] == [
        ("<tool>", False), ("<|im_start|>", True), ("<|im_end|>", True)
    ]  # fmt: skip
    assert own.rows == base + 3 == max(one.id for one in own.tokens) + 1
    assert plan.settings.model.stop_ids == (own.tokens[2].id,)
    digest = hashlib.sha256(CHATML.encode()).hexdigest()
    assert plan.lock.text.chat_template_sha256 == digest
    assert CHATML not in plan.lock.to_text(), "the lock pins the text by its digest"
    shown = ftc("plan", "recipe.yaml").text
    assert "3 tokens added: <tool>, <|im_start|>, <|im_end|>" in shown
    assert f"chat template chatml.jinja, sha256 {digest[:4]}" in shown

    run = api.apply(Path("recipe.yaml"))
    (folder,) = Path("runs").glob("*/*")
    assert api.audit(run.record.id, level="full").verdict == "REPRODUCED_BITWISE"
    Path("chatml.jinja").unlink()  # what comes after a run reads the plan alone
    said = ftc("predict", run.record.id, "the old bank").out.strip()
    is_whole = strategy == "full"
    if is_whole:
        merged = folder / "model"
    else:
        merged = Path("merged")
        api.merge(run.record.id, merged)
        trained = set(json.loads((folder / "adapter/adapter_config.json").read_text())["trainable_token_indices"])
        assert len(trained) == (1 if model == "decoder" else 2)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(merged)
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(merged).eval()
    assert loaded.get_input_embeddings().weight.shape[0] == loaded.config.vocab_size == own.rows
    text = tokenizer.apply_chat_template(TURNS, add_generation_prompt=True, tokenize=False)
    assert text == "<|im_start|>user\nthe old bank<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    assert ids["input_ids"].tolist()[0].count(own.tokens[1].id) == 2
    limit = plan.settings.eval.max_new_tokens or plan.data["train"].supervised_max
    with torch.no_grad():
        out = loaded.generate(**ids, do_sample=False, max_new_tokens=limit)
    assert tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True).strip() == said
    answer = ftc("run", "export", run.record.id, "--format", "merged", "--type", "f32", "-o", "exported", "--json")
    assert answer.code == 0, answer.err
    exported = transformers.AutoTokenizer.from_pretrained("exported")
    assert exported(text)["input_ids"] == tokenizer(text)["input_ids"]
    model_of_export: Any = transformers.AutoModelForCausalLM.from_pretrained("exported").eval()
    with torch.no_grad():
        assert torch.equal(model_of_export(**ids).logits, loaded(**ids).logits)
    assert "3 tokens added" in (folder / "README.md").read_text()
    assert cards.run(folder / "README.md")


def test_rows_are_drawn_as_transformers_draws_them_and_by_the_seed(project: MakeProject, tmp_path: Path) -> None:
    from ftc.runtime.models.base_model import FolderBase
    from ftc.runtime.models.build_model import build_model

    project("chat", "full", steps=2)
    with_own("decoder", OWN)
    settings = api.plan(Path("recipe.yaml")).plan.settings

    def drawn(one: Settings) -> torch.Tensor:
        model: Any = build_model(one, FolderBase(Path("decoder")), torch.device("cpu"))
        rows: torch.Tensor = model.get_input_embeddings().weight.detach()[-3:]
        return rows

    plain: Any = transformers.AutoModelForCausalLM.from_pretrained("decoder")
    torch.manual_seed(settings.seeds.init)
    plain.resize_token_embeddings(plain.config.vocab_size + 3)
    assert torch.equal(drawn(settings), plain.get_input_embeddings().weight[-3:])
    seeds = settings.seeds.model_copy(update={"init": settings.seeds.init + 1})
    assert not torch.equal(drawn(settings), drawn(settings.model_copy(update={"seeds": seeds})))


@pytest.mark.slow
def test_a_run_that_goes_on_equals_one_that_never_stopped(project: MakeProject) -> None:
    project("chat", "lora", steps=4)
    with_own("decoder", OWN)
    whole = api.apply("recipe.yaml").record
    assert api.apply("recipe.yaml", again=True, until=3).record.status == "paused"
    assert api.apply("recipe.yaml").record.final_weights_sha256 == whole.final_weights_sha256


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ("add_tokens: [the]", [("FTC471", "model.add_tokens[0]")]),
        ("add_tokens: [<a>, <a>]", [("FTC471", "model.add_tokens[1]")]),
        ("add_tokens: [<a>], add_special_tokens: [<a>]", [("FTC471", "model.add_special_tokens[0]")]),
        ("add_tokens: [' ']", [("FTC472", "model.add_tokens[0]")]),
        ("chat_template: none.jinja", [("FTC475", "model.chat_template")]),
        ("chat_template: ../../none.jinja", [("FTC300", "model.chat_template")]),
        ("chat_template: decoder", [("FTC475", "model.chat_template")]),
    ],
)
def test_what_a_recipe_brings_along_is_checked(own: str, found: list[tuple[str, str]], project: MakeProject) -> None:
    project("chat", "lora")
    with_own("decoder", own, None)
    assert refused() == found


@pytest.mark.parametrize("strategy", ["ln_tuning", "ia3", "bitfit", "full, freeze: [embed_tokens]"])
def test_tokens_that_nobody_trains_are_refused(strategy: str, project: MakeProject) -> None:
    project("chat", strategy)
    with_own("decoder", "add_tokens: [<tool>]", None)
    assert ("FTC474", "strategy.kind") in refused()


@pytest.mark.parametrize(
    ("template", "code"), [("{% for x in %}", "FTC331"), ("{{ messages[0]['content'] }}", "FTC329")]
)
def test_a_template_that_fails_is_found_at_its_key(template: str, code: str, project: MakeProject) -> None:
    project("chat", "lora")
    with_own("decoder", "add_tokens: [<tool>]", template)
    assert refused() == [(code, "model.chat_template")]


def test_an_end_of_texts_that_the_vocabulary_has_adds_nothing(project: MakeProject) -> None:
    project("chat", "lora")
    with_own("decoder", "special_tokens: {eos_token: <s>, pad_token: <unk>}", None)
    settings = api.plan(Path("recipe.yaml")).plan.settings
    assert settings.model.tokenizer is not None
    assert settings.model.tokenizer.tokens == ()
    assert (settings.model.stop_ids, settings.model.pad_id) == ((1,), 3)
    assert "token_ids" not in settings.strategy.model_dump()["adapter"]


def test_another_id_than_planned_stops_a_run(project: MakeProject) -> None:
    from ftc.spec.storage.own_tokenizer import tokenizer_folder

    project("chat", "lora")
    with_own("decoder", "add_tokens: [<tool>]", None)
    own = api.plan(Path("recipe.yaml")).plan.settings.model.tokenizer
    assert own is not None
    other = own.model_copy(update={"tokens": (own.tokens[0].model_copy(update={"id": own.rows + 4}),)})
    with pytest.raises(Refusal) as refusal:
        tokenizer_folder(Path("decoder"), other)
    assert refusal.value.diagnostics[0].code == "FTC470"


def test_a_normalizer_that_changes_a_token_is_told(project: MakeProject) -> None:
    project("classification", "full")
    file = Path("encoder/tokenizer.json")
    content = json.loads(file.read_text())
    content["normalizer"] = {"type": "Lowercase"}
    file.write_text(json.dumps(content))
    with_own("encoder", "add_tokens: [<Tool>]", None)
    found = api.plan(Path("recipe.yaml")).diagnostics
    assert [one.path for one in found if one.code == "FTC473"] == ["model.add_tokens[0]"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["decoder", "mistral"])
def test_two_processes_that_share_the_model_train_the_same_tokens(
    model: str, project: MakeProject, models: Path
) -> None:
    """With tied embeddings and with an output layer of its own."""
    if not (models / model).is_dir():
        make_model(models / model, model)
    project("chat", "lora, init: default", steps=4, model=model)
    with_own(model, OWN)
    recipe = Path("recipe.yaml")
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("dropout: 0.1", "dropout: 0.0"), encoding="utf-8")
    sets = "budget.devices=2", "train.sharding=fsdp"
    command = [sys.executable, "-m", "ftc", "apply", "recipe.yaml", "--yes"]
    for more in ((), sets):
        words = [word for value in more for word in ("--set", value)]
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    first, second = sorted(api.runs(), key=lambda run: run.record.observed.world_size)
    assert second.record.observed.wrapper == "FSDP2"
    losses = [[one.loss for one in load_events(run.folder) if isinstance(one, StepDone)] for run in (first, second)]
    assert len(losses[0]) == 4
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    one, two = (read_tensors(run.folder / "adapter" / "adapter_model.safetensors") for run in (first, second))
    assert one.keys() == two.keys()
    assert any("embed" in name for name in one)
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-5
