"""Several devices divide each layer where the recipe says so, or where nothing else fits, and it can be done."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.divided_layers import divides_head, layer_part, sums_of_layers, undivided_widths
from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.memory import by_closed_form
from ftc.compiler.rules.check import check_recipe
from ftc.compiler.search.tensors import tensor_obstacle
from ftc.compiler.time.amounts import Amounts
from ftc.compiler.time.run_work import exchanged, run_work, train_amounts
from ftc.compiler.time.workload import draft_network
from ftc.spec.devices import CARDS
from ftc.spec.links import host_link, peer_link
from ftc.spec.precisions import precision_card
from tests.compiler.search.test_device_counts import cards
from tests.support.drafts import CPU, decided, draft_of, model_facts, shaped
from tests.support.recipes import recipe_text

_FACTS = model_facts(hidden=4096, layers=8)


def _open(facts: Any = _FACTS, **sections: Any) -> Draft:
    """Chat on four cards, a row at a time, all weights trained."""
    train = {"batch_size": 8, "packing": False, "micro_batch": 1, **sections.pop("train", {})}
    budget = {"devices": 4, **sections.pop("budget", {})}
    usual: dict[str, Any] = {"task": {"kind": "chat"}, "strategy": {"kind": "full"}, "device": cards(4)}
    return draft_of(facts=facts, train=train, budget=budget, **usual | sections)


def _job(**sections: Any) -> ClosedDraft:
    return decided(_open(**sections))


def _refusals(draft: ClosedDraft) -> list[tuple[str, str | None]]:
    return [(one.code, one.path) for one in draft.diagnostics if one.is_error]


def test_layers_are_divided_where_nothing_else_fits() -> None:
    """Full training of a model whose layers are large beside a card."""
    one = _job(facts=model_facts(hidden=1024, layers=4))
    assert one.candidate.tensor_parallel == 1
    assert one.settings().train.to_json().keys().isdisjoint({"tensor_parallel"}), "other plans stay as they are"
    wide = model_facts(hidden=16_384, layers=2)
    two = _job(facts=wide, budget={"vram": "48GiB"}, train={"offload": "none"})
    assert two.candidate.tensor_parallel > 1
    assert two.candidate.sharding == "fsdp"
    assert two.memory is not None
    assert two.memory.verdict == "fits"
    assert two.origins["train.tensor_parallel"].reason == "nothing fits with fewer devices for each layer"
    asked = _job(
        facts=wide, budget={"vram": "48GiB"}, train={"tensor_parallel": 1, "context_parallel": 1, "offload": "none"}
    )
    assert _refusals(asked)[0][0] in ("FTC402", "FTC405")


def test_a_group_has_the_rows_of_one_device() -> None:
    whole, half = (_job(train={"tensor_parallel": size, "sharding": "fsdp"}) for size in (1, 2))
    assert (half.candidate.row_shares, half.share_of_batch) == (2, 4)
    assert (whole.candidate.row_shares, whole.share_of_batch) == (4, 2)
    assert half.parts == whole.parts == 4, "tensors of layers lie in as many parts"


def test_a_device_holds_and_computes_its_part_of_a_layer() -> None:
    pytest.importorskip("torch")
    from tests.support.grid import GRID, grid_facts

    model = grid_facts(GRID["Llama-3.1-8B"])
    part = layer_part(model, 4)
    assert (part.num_heads, part.num_kv_heads, part.intermediate_size) == (8, 2, 3584)
    inside = sum(i * o for i, o in model.linear_modules.values())
    assert 4 * sum(i * o for i, o in part.linear_modules.values()) == inside
    head = model.tensors["lm_head.weight"].num_elements
    assert part.tensors["lm_head.weight"].num_elements * 4 == head, "it has weights of its own"
    tables = model.num_parameters - inside - head
    assert part.num_parameters == tables + (inside + head) // 4
    tied = model.model_copy(update={"tied_embeddings": True})
    assert layer_part(tied, 4).tensors["lm_head.weight"].num_elements == head
    assert layer_part(model, 1) is model
    assert undivided_widths(model, 8) is None
    assert undivided_widths(model, 16) == "KV heads (8)"
    assert sums_of_layers(model) == (2 * 32, 5 * 32)


@pytest.mark.parametrize("is_tied", [True, False])
def test_memory_and_work_count_parts(*, is_tied: bool) -> None:
    """An output layer that shares the embeddings' weights is whole on each device, so that more is computed."""
    facts = model_facts(hidden=1024, layers=8, vocab_size=64_000, tied_embeddings=is_tied)
    whole = _job(facts=facts, train={"sharding": "fsdp"}, budget={"devices": 2})
    half = _job(facts=facts, train={"tensor_parallel": 2}, budget={"devices": 2})
    forms = [by_closed_form(one) for one in (whole, half)]
    phases = [next(p for p in one.phases if p.phase == "forward: layers").components for one in forms]
    assert phases[1]["saved activations"] < phases[0]["saved activations"]
    work = [run_work(one).phases["train"][1] for one in (whole, half)]
    more = work[1].flops / work[0].flops  # half of each layer, for twice as many rows
    assert (more > 1.05) == is_tied
    assert is_tied or more == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("is_tied", [True, False])
def test_time_counts_sums_of_states_and_scores_of_a_divided_output_layer(*, is_tied: bool) -> None:
    """Without other devices nothing else is exchanged."""
    facts = _FACTS.model_copy(update={"tied_embeddings": is_tied})
    half = _job(facts=facts, train={"tensor_parallel": 2}, budget={"devices": 2})
    network, amounts = draft_network(half), train_amounts(half)
    sent = exchanged(half, network, amounts, half.train.num_steps).host_bytes
    capability = half.device.capability or (0, 0)
    slowness = host_link(capability) / peer_link(half.device.name, capability)
    forward, backward = sums_of_layers(half.model)
    size = 4 if half.train.precision == "float32" else 2
    again = 2 if half.candidate.activation_checkpointing else 1
    states = (again * forward + backward) * amounts.tokens * network.hidden * size  # 2 (n - 1) / n of each for two
    scores = amounts.scored * (network.head_width + 2 * network.hidden) * size / 2
    assert divides_head(half.model, 2) is not is_tied
    assert sent == pytest.approx((states if is_tied else states + scores) * slowness)


@pytest.mark.parametrize(("is_tied", "head"), [(True, 0.0), (False, 0.5)])
def test_gradients_of_a_divided_output_layer_are_a_share(*, is_tied: bool, head: float) -> None:
    """They wait beside those of the embeddings, in the width of products and in float32."""
    facts = _FACTS.model_copy(update={"tied_embeddings": is_tied})
    half = _job(facts=facts, train={"tensor_parallel": 2, "precision": "bfloat16"})
    form = by_closed_form(half)
    moment = next(one for one in form.phases if one.phase == "backward: embedding").components
    table = facts.vocab_size * facts.hidden_size
    assert moment["temporaries"] == (1 + head) * table * (2 + 4)


def test_groups_of_a_machine_share_its_network() -> None:
    """Each of the eight devices that divide a layer gathers what it has from the other machine's, all at once."""
    budget = {"nodes": 2, "devices": 8, "link": "10 Gbit/s"}
    capability, link = (9, 0), 10e9 / 8
    device = _open(budget={"devices": 4}).device.model_copy(
        update={"name": "h100-80gb", "capability": capability, "speed": CARDS["h100-80gb"].speed, "local": False}
    )
    facts = model_facts(hidden=4096, layers=4, num_heads=32, num_kv_heads=32)
    job = _job(facts=facts, device=device, train={"tensor_parallel": 8, "batch_size": 16}, budget=budget)
    assert (job.candidate.tensor_parallel, job.candidate.layer_groups) == (8, 2)
    network = draft_network(job)
    weights = precision_card(job.train.precision).products.size * layer_part(facts, 8).num_parameters
    gradients = precision_card(job.train.precision).trained.size * network.trainable
    seconds = exchanged(job, network, Amounts(passes=1), 1).host_bytes / host_link(capability)
    assert seconds == pytest.approx(8 * (2 * weights + gradients) * (1 / 2) / link)


@pytest.mark.parametrize(
    ("sections", "word"),
    [
        ({"strategy": {"kind": "qlora"}}, "packed"),
        ({"strategy": {"kind": "lora", "dora": True}}, "DoRA"),
        ({"strategy": {"kind": "ia3"}}, "columns and rows"),
        ({"train": {"ema_decay": 0.99}}, "average"),
        ({"train": {"precision": "float16"}}, "float16"),
        ({"train": {"optimizer": {"kind": "adafactor"}}}, "whole matrices"),
        ({"task": {"kind": "preference"}}, "preference"),
        ({"task": {"kind": "classification"}}, "classification"),
        ({"facts": model_facts(hidden=60)}, "heads"),
        ({"facts": _FACTS.model_copy(update={"model_type": "mixtral"})}, "whole heads"),
    ],
)
def test_what_cannot_be_divided_is_said(sections: dict[str, Any], word: str) -> None:
    found = tensor_obstacle(_job(**sections), 8 if word == "heads" else 2)
    assert found is not None
    assert word in found


def test_a_recipe_that_asks_for_it_is_refused_at_its_key() -> None:
    draft = _job(strategy={"kind": "ia3"}, train={"tensor_parallel": 2})
    assert ("FTC718", "train.tensor_parallel") in _refusals(draft)
    alone = decided(shaped(_open(budget={"devices": "auto"}, device=CPU, train={"tensor_parallel": 2})))
    assert ("FTC718", "train.tensor_parallel") in _refusals(alone)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"budget": {"devices": 3}}, "the machine has 3"),
        ({"train": {"context_parallel": 2}}, "not both"),
        ({"train": {"sharding": "ddp"}}, "whole weights"),
        ({"train": {"sharding": "fsdp", "offload": "cpu"}}, "offload"),
        ({}, ""),
    ],
)
def test_what_excludes_divided_layers_is_known_from_the_recipe(changes: dict[str, Any], words: str) -> None:
    train = {"tensor_parallel": 2, "batch_size": 8, **changes.get("train", {})}
    text = recipe_text(budget={"devices": 4, **changes.get("budget", {})}, train=train)
    found = [one for one in check_recipe(text.encode(), "recipe.yaml").diagnostics if one.code == "FTC718"]
    assert [words in one.summary for one in found] == ([True] if words else [])
