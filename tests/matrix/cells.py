"""The matrix of tasks, model families and strategies, and what becomes of a cell of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftc import api
from ftc.spec.architectures import architecture
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.step_log import read_step_log
from ftc.spec.heads import head_card
from ftc.spec.strategies import strategy_card
from ftc.spec.strategies.qlora import QLoraSettings
from ftc.spec.unquantized import unquantized
from ftc.views.words import auto_class
from tests.support.cards import CardRunner
from tests.support.families import EXPERTS, IMAGES
from tests.support.lessons import taught
from tests.support.projects import PROJECTS, make_model, make_project
from tests.support.vision_models import make_vision_project

__all__ = ["BASES", "FAMILIES", "STRATEGIES", "TASKS", "Cell", "cells", "outcome_of", "project_of"]

TASKS = {
    "classification": "classification",
    "multi_label": "classification, several labels",
    "regression": "regression",
    "choice": "classification, written by the model",
    "token_classification": "token classification",
    "extraction": "question answering, cut out",
    "question_answering": "question answering, written",
    "summarization": "summarization",
    "translation": "translation",
    "generation": "generation",
    "chat": "chat",
    "on_policy": "chat, on-policy distillation",
    "preference": "preference",
    "rated": "preference, rated answers",
    "reward": "reward",
    "rated_reward": "reward, rated answers",
    "steps": "reward, rated steps",
    "embedding": "embedding",
    "reranking": "reranking",
    "reinforcement": "reinforcement",
    "pretraining": "pretraining",
    "masked_language_modeling": "masked language modeling",
    "span_corruption": "span corruption",
}
"""Tasks and the ways to put them, by what `make_project` calls them."""
METHODS = {
    "EMA": ("classification", "ema_decay: 0.9"),
    "focal_loss": ("classification", "focal_gamma: 2"),
    "z_loss": ("generation", "z_loss: 0.001"),
}
"""Ways to train: a task to try each with, and what stands in its section `train`."""
FAMILIES = {"encoder": "encoder", "decoder": "decoder", "encoder_decoder": "encoder-decoder"}
STRATEGIES = {
    "full": "full",
    "partial": "partial, layers: 1",
    "bitfit": "bitfit",
    "ln_tuning": "ln_tuning",
    "lora": "lora",
    "lora, DoRA": "lora, dora: true, rank_stabilized: true",
    "lora, PiSSA": "lora, init: pissa",
    "qlora": "qlora",
    "qlora, int8": "qlora, quantization: int8",
    "ia3": "ia3",
    "bottleneck": "bottleneck, placement: houlsby, size: 8",
    "prompt_tuning": "prompt_tuning, virtual_tokens: 4",
    "p_tuning": "p_tuning, virtual_tokens: 4",
    "prefix_tuning": "prefix_tuning, virtual_tokens: 4",
    "vera": "vera, rank: 8",
    "oft": "oft, block_size: 8",
    "loha": "loha, rank: 2",
    "lokr": "lokr, rank: 2",
    "randlora": "randlora, rank: 6",
}
"""Strategies by name, and what a recipe says."""
BASES = {
    ("masked_language_modeling", "encoder"): "masked_encoder",
    ("span_corruption", "encoder_decoder"): "span_encoder_decoder",
}
"""Models in place of the family's usual one, which lacks the layers that a task needs."""
LIKE_LORA: tuple[str, ...] = ("vera", "oft", "loha", "lokr", "randlora")
"""Adapters that differ from LoRA in peft's configuration alone, and the tasks that stand for all with them."""
TRIED = ("classification", "chat", "translation")
USUAL: tuple[str, ...] = ("full", "lora", "qlora")
"""Strategies that methods and further ways to rate answers are tried with, each with its task's usual family."""
FEWER = ("rated_reward", "steps", *METHODS)
_STEPS = "{max_steps: 3, batch_size: 8, learning_rate: 0.01}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One job of the matrix."""

    task: str
    family: str
    strategy: str

    def __str__(self) -> str:
        """Its name in the list of results."""
        return f"{self.task} / {self.family} / {self.strategy}"


def cells() -> Iterator[Cell]:
    """All of them."""
    for task in (*TASKS, *METHODS):
        kind, _ = METHODS.get(task, (task, ""))
        for family in (PROJECTS[kind][2],) if task in FEWER else FAMILIES:
            known = USUAL if task in FEWER else STRATEGIES
            told = (one for one in known if one not in LIKE_LORA or task in TRIED)
            yield from (Cell(task, family, strategy) for strategy in told)
    for own in EXPERTS:
        yield from (Cell("generation", own.model_type, strategy) for strategy in STRATEGIES)
    for own in IMAGES:
        yield from (Cell("generation", own.model_type, strategy) for strategy in USUAL)


def outcome_of(cell: Cell, root: Path, models: Path, cards: CardRunner) -> str:
    """`works`, or the code of the rule that refuses the job.

    Three steps are trained on a tiny model; the result is saved, loaded by the library that other people would use, and
    has to say what the trained model says. The model card's code runs where the card lies.
    """
    _project(cell, root, models)
    with _inside(root):
        try:
            applied = api.apply(Path("recipe.yaml"))
        except Refusal as refusal:
            return min(found.code for found in refusal.diagnostics if found.is_error)
        (run,) = Path("runs").glob("*/*/")
        assert api.audit(applied.record.id).verdict == "CONSISTENT"
        _compare(run)
        cards.run(run / "README.md")
    return "works"


def project_of(root: Path, models: Path, task: str, strategy: str, model: str) -> None:
    """A project of three steps for a task of the matrix."""
    if model in {own.model_type for own in IMAGES}:
        (root / ".ftc").mkdir(parents=True)
        way = f"{{kind: {STRATEGIES[strategy]}}}"
        make_vision_project(root, task, model_type=model, strategy=way, train=_STEPS)
        return
    if not (models / model).is_dir():
        make_model(models / model, model)
    is_taught = task == "on_policy"
    kind, key = METHODS.get(task, ("chat" if is_taught else task, ""))
    make_project(root, models, kind, STRATEGIES[strategy], steps=3, model=model)
    if key:
        file = root / "recipe.yaml"
        file.write_text(file.read_text(encoding="utf-8").replace("train: {", f"train: {{{key}, "), encoding="utf-8")
    if is_taught:
        taught(root, model)


def _project(cell: Cell, root: Path, models: Path) -> None:
    model = BASES.get((cell.task, cell.family), cell.family)
    project_of(root, models, cell.task, cell.strategy, model)
    file = root / "recipe.yaml"
    text = file.read_text(encoding="utf-8").replace("evaluate_every: 1", "evaluate_every: 3")
    if cell.task == "summarization":  # a written prompt takes more than the tests' usual length
        text = text.replace("max_length: 32", "max_length: 60")
    file.write_text(text, encoding="utf-8")


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _compare(run: Path) -> None:
    """The trained model and the loaded one give the same numbers."""
    import torch

    from ftc.runtime.artifacts import checkpoint
    from ftc.runtime.models.base_model import FolderBase, load_weights, trainable_tensors
    from ftc.runtime.models.build_model import build_model

    plan = Plan.model_validate_json((run / "plan.json").read_text(encoding="utf-8"))
    trained: Any = build_model(plan.settings, FolderBase(Path(plan.settings.model.base)), torch.device("cpu"))
    named = trainable_tensors(trained)
    assert plan.model.num_trainable == sum(one.numel() for one in named.values())
    if (mixture := architecture(trained.config.model_type).experts) is not None:
        assert not any(mixture.is_router(name) for name in named), "routers are trained only where the recipe says so"
        is_whole = strategy_card(plan.settings.strategy).is_whole
        assert is_whole or not any(mixture.is_expert(name) for name in named), "adapters aren't put on routed experts"
    log = read_step_log(run / "ladder.ndjson")
    kept = checkpoint.newest(run / "checkpoints", plan.job_sha256(), lambda _: None, log)
    assert kept is not None
    load_weights(trained, kept.weights({}))
    loaded = _as_others_load(plan, run)
    inputs = _inputs(plan)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`past_key_values` is deprecated")  # which peft doesn't know yet
        ours, theirs = trained(**inputs), loaded(**inputs)
    known = ("logits", "start_logits", "end_logits", "last_hidden_state")
    names = [name for name in known if getattr(ours, name, None) is not None]
    assert names in (["logits"], ["start_logits", "end_logits"], ["last_hidden_state"]), "there is something to compare"
    for name in names:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-6, rtol=1e-6)


def _as_others_load(plan: Plan, run: Path) -> Any:
    """The saved model as the libraries load it that a model card names."""
    import peft
    import transformers

    from ftc.runtime.models.base_model import keep_differentiable
    from ftc.runtime.strategies.bottleneck import load_adapter

    settings, strategy = plan.settings, plan.settings.strategy
    loader = getattr(transformers, auto_class(plan))
    if strategy_card(strategy).is_whole:
        return loader.from_pretrained(run / "model").eval()
    options: dict[str, Any] = {"num_labels": len(settings.text.labels)} if settings.text.labels else {}
    if isinstance(strategy, QLoraSettings):
        options["quantization_config"] = _quantization(settings, strategy)
    base = loader.from_pretrained(settings.model.base, **options)
    if loader is transformers.AutoModel and hasattr(base, "pooler"):
        base.pooler = None  # as the card says
    load = load_adapter if strategy.kind == "bottleneck" else peft.PeftModel.from_pretrained
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unsupported layer type")  # peft asks norms for their inputs and outputs
        warnings.filterwarnings("ignore", "Invalid `oft_block_size`|Specified to not ")  # as the plan has it
        model = load(base, run / "adapter").eval()
    keep_differentiable(model)  # bitsandbytes repacks weights for a faster kernel, and not those of a tiny width
    return model


def _quantization(settings: Settings, strategy: QLoraSettings) -> Any:
    import transformers

    kept = list(unquantized(settings)) or None
    if strategy.quantization == "int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=strategy.quantization,
        bnb_4bit_use_double_quant=strategy.double_quantization,
        bnb_4bit_compute_dtype="float32",
        llm_int8_skip_modules=kept,
    )


def _inputs(plan: Plan) -> dict[str, Any]:
    import torch

    ids = torch.arange(8, 32).reshape(2, 12)
    ids[:, -1] = 2  # a classifier on an encoder-decoder reads the end of the row
    ids = ids if plan.settings.model.vision is None else ids % 4  # none of them stands for an image
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if plan.settings.model.family == "encoder_decoder" and head_card(plan.settings.model.head).writes:
        inputs["decoder_input_ids"] = ids[:, :6]
    return inputs
