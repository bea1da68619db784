"""Every card of a strategy: a plan, a traced step, steps on a CPU, a merge, words for people and for tools."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ftc.compiler.time.amounts import batch_amounts, cost
from ftc.compiler.time.network import network_of
from ftc.compiler.time.operator_costs import flop_rates
from ftc.runtime.artifacts.merged_weights import MergedWeights
from ftc.runtime.memory_trace.rows import stand_in_rows
from ftc.runtime.memory_trace.whole import whole_log
from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.strategies import half_of
from ftc.runtime.tasks import make_scorer
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.settings import Settings
from ftc.spec.strategies import STRATEGIES, Base, Card, Strategy
from tests.matrix.cells import STRATEGIES as IN_MATRIX
from tests.runtime.test_flops import facts_of
from tests.support.drafts import decided, draft_of
from tests.support.tiny_models import write_tiny_model
from tests.support.trace_jobs import trace_job

ROWS, LENGTH, SCORED = 2, 24, 8
SMALL: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"rank": 4},
    "qlora": {"rank": 4},
    "partial": {"layers": 1},
    "bottleneck": {"size": 8},
    "vera": {"rank": 8},
    "oft": {"block_size": 8},
    "lokr": {"rank": 2},
    "randlora": {"rank": 6},
    **{kind: {"virtual_tokens": 4} for kind in ("prompt_tuning", "p_tuning", "prefix_tuning")},
}
"""Values that suit a tiny model; others stay as the language has them."""
CARDS = [pytest.param(card, id=card.kind) for card in STRATEGIES]
PLAIN = [one for one in CARDS if one.id not in ("qlora", "bitfit")]
"""All that a Llama in float32 can be trained by: it has no biases, and packed weights need another library."""
MERGED = [
    pytest.param(card, id=card.kind)
    for card in STRATEGIES
    if card.no_merging is None and card.result == "adapter" and card.kind != "qlora"
]
HELD_BY_ONE_TOOL = {"bitfit", "bottleneck", "partial"}
"""Strategies that peft hasn't got."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("models") / "llama"
    write_tiny_model(found, "llama")
    return found


def section(card: Card, **more: Any) -> Strategy:
    return card.recipe.model_validate({"kind": card.kind, **SMALL.get(card.kind, {}), **more})


def settled(card: Card, folder: Path, **more: Any) -> tuple[Settings, Base]:
    """A run's settings with a strategy, for the Llama of a folder."""
    facts = facts_of(folder)
    base = Base(model=facts, head="lm", head_modules=(), held=facts.tensors, on_card=False, kept=frozenset())
    found = section(card, **more).settle(base)
    assert not [one for one in found.problems if one.code != "FTC225"]
    job = trace_job({"model_type": "llama"}, "full", model__attention="eager", train__precision="float32")
    return job.settings.model_copy(update={"strategy": found.settings}), base


def changed(model: Any) -> None:
    """Moves all that is trained, since most adapters add nothing at first."""
    torch.manual_seed(1)
    with torch.no_grad():
        for tensor in trainable_tensors(model).values():
            tensor.add_(torch.randn_like(tensor), alpha=0.05)


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.arange(4, 28).reshape(2, 12)).logits
    return found


@pytest.mark.parametrize("card", CARDS)
def test_a_card_is_told_in_docs_words_and_other_tools(card: Card) -> None:
    assert f"`{card.kind}`" in Path("docs/recipe.md").read_text(encoding="utf-8")
    assert any(words.split(",")[0] == card.kind for words in IN_MATRIX.values()), "a row of the matrix"
    for width, has_new_head in itertools.product((16, 384, 768, 2048, 4096, 16384), (False, True)):
        rate, reason = section(card).usual_rate(card, width, has_new_head=has_new_head)
        assert card.rate.low <= rate <= card.rate.high
        assert reason
    assert card.rate.source
    assert any(card.foreign_names.values()) or card.kind in HELD_BY_ONE_TOOL
    known = {one.value.lower() for one in peft.PeftType}
    assert known.issuperset(card.foreign_names.get("peft", ()))
    assert bool(card.marks) == (card.result == "adapter")


@pytest.mark.parametrize("card", CARDS)
def test_a_card_makes_a_plan(card: Card) -> None:
    kind = "classification" if card.kind == "bitfit" else "chat"
    draft = draft_of(task={"kind": kind}, strategy={"kind": card.kind, **SMALL.get(card.kind, {})})
    draft = decided(draft)
    assert not [one for one in draft.diagnostics if one.is_error and one.code != "FTC272"]
    assert draft.strategy.words()
    assert draft.memory is not None
    trained = draft.trained
    if card.kind not in ("bitfit", "ln_tuning"):  # of which this Llama has none
        assert trained.num_weights > 0
        assert trained.beside or trained.own or trained.from_start or trained.norms, "what is trained costs something"
    assert all(origin.reason for path, origin in draft.origins.items() if path.startswith("strategy."))


@pytest.mark.parametrize("card", PLAIN)
def test_a_card_counts_what_is_trained_and_saved(card: Card, folder: Path) -> None:
    settings, base = settled(card, folder)
    model = build_model(settings, FolderBase(folder), torch.device("cpu"))
    trained = settings.strategy.trained(base)
    assert trained.num_weights == sum(one.numel() for one in trainable_tensors(model).values())
    saved = half_of(settings.strategy).saved(model, settings.strategy)
    assert trained.num_saved == sum(one.numel() for one in saved.values())
    assert settings.strategy.words()
    if card.result == "adapter":
        names = [name for name, _ in (*model.named_parameters(), *model.named_buffers())]
        assert any(mark in name for mark in card.marks for name in names)


@pytest.mark.parametrize("card", PLAIN)
def test_a_card_takes_a_step_is_saved_and_comes_back(card: Card, folder: Path) -> None:
    settings, _ = settled(card, folder)
    model: Any = build_model(settings, FolderBase(folder), torch.device("cpu")).train()
    ids = torch.arange(4, 28).reshape(2, 12)
    parameters = trainable_tensors(model)
    optimizer = torch.optim.SGD(parameters.values(), lr=0.1)
    for _ in range(2):  # the first step of some moves one of two factors alone
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    assert all(one.grad is not None for one in parameters.values())
    saved = {name: one.clone() for name, one in half_of(settings.strategy).saved(model, settings.strategy).items()}
    again = build_model(settings, FolderBase(folder), torch.device("cpu"))
    before = logits(again)
    half_of(settings.strategy).load(again, settings.strategy, saved)
    torch.testing.assert_close(logits(again), logits(model.eval()))
    assert not torch.allclose(before, logits(again), atol=1e-7), "the steps changed something"


@pytest.mark.parametrize("card", PLAIN)
def test_a_card_counts_the_products_of_a_step(card: Card, folder: Path) -> None:
    settings, base = settled(card, folder)
    model = build_model(settings, FolderBase(folder), torch.device("cpu")).train()
    scorer = make_scorer(model, settings)
    rows = stand_in_rows(settings, BatchShape(length=LENGTH, supervised=SCORED, padded=False), ROWS)
    batch = scorer.batch(rows, list(range(ROWS)))
    with FlopCounterMode(display=False) as counter:
        scorer.losses(scorer.logits(model, batch), batch).sum().backward()
    trained = settings.strategy.trained(base)
    network = network_of(
        base.model,
        beside=trained.beside,
        trained=trained.own,
        flows_from_start=trained.from_start,
        trainable=0,
        new_outputs=0,
        attention="formula",
    )
    length = LENGTH + settings.strategy.traits.num_virtual
    expected = cost(flop_rates(network, checkpointing=False).step, batch_amounts(ROWS, length, scored=ROWS * SCORED))
    if card.kind not in ("prefix_tuning", "p_tuning"):  # what makes their tokens is small, and not counted
        assert expected == pytest.approx(counter.get_total_flops(), rel=0.02)


@pytest.mark.parametrize("card", MERGED)
def test_a_merged_model_says_the_same(card: Card, folder: Path) -> None:
    settings, _ = settled(card, folder)
    adapted = build_model(settings, FolderBase(folder), torch.device("cpu"))
    changed(adapted)
    expected = logits(adapted)
    weights = MergedWeights.of(adapted, torch.float32, {})
    tensors = {name: weights(name) for name in weights.forms}
    merged = build_model(
        settings.model_copy(update={"strategy": STRATEGIES[0].settings.model_validate({"kind": "full"})}),
        FolderBase(folder),
        torch.device("cpu"),
    )
    merged.load_state_dict(tensors, strict=False)
    torch.testing.assert_close(logits(merged), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.sample(1)
@pytest.mark.parametrize("card", PLAIN)
def test_a_card_is_traced(card: Card, folder: Path) -> None:
    """Shapes alone go through the run's own step, and what an adapter holds is known by its names."""
    settings, _ = settled(card, folder)
    job = trace_job(CONFIG, "full")
    log, _ = whole_log(job.model_copy(update={"settings": settings}))
    assert any(section.events for section in log.sections)


CONFIG = {
    "model_type": "llama",
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
