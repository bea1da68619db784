"""What a run has to do and leaves behind, as the plan counts it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ftc.compiler.draft import ClosedDraft, PastRun
from ftc.compiler.passes.estimate_cost import estimate_cost
from ftc.compiler.resolve.machine.device import resolve_device
from ftc.compiler.time.amounts import Amounts, decode_amounts, leaving_amounts, prompt_amounts, target_amounts
from ftc.compiler.time.answers import answer_amounts, own_answers
from ftc.compiler.time.operator_costs import bytes_and_kernels
from ftc.compiler.time.run_time import _narrowed
from ftc.compiler.time.run_work import run_work
from ftc.compiler.time.speed import scale_only
from ftc.compiler.time.workload import (
    RowShape,
    Training,
    draft_network,
    evaluation_amounts,
    training_amounts,
)
from ftc.compiler.weights import device_bytes, num_trainable
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.calibration import Calibration, Measurement
from ftc.spec.documents.estimates import Work
from ftc.spec.documents.facts import TeacherFacts
from ftc.spec.documents.streams import RowLengths
from tests.support.drafts import decided, draft_of, model_facts

CARD = resolve_device("rtx-4090", cards=list)


def compiled(**recipe: Any) -> ClosedDraft:
    return decided(draft_of(device=CARD, **recipe))


def test_the_whole_model_is_written_however_little_of_it_was_trained() -> None:
    whole = compiled(strategy={"kind": "full"})
    for strategy in ({"kind": "bitfit"}, {"kind": "partial", "layers": 1}):
        disk = compiled(strategy=strategy).disk
        assert disk["model"] == whole.disk["model"]
        assert sum(disk.values()) < sum(whole.disk.values())
    assert compiled(strategy={"kind": "lora"}).disk["adapter"] < whole.disk["model"]


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_paged"])
def test_an_average_takes_four_bytes_of_each_trained_weight_in_memory_and_in_checkpoints(optimizer: str) -> None:
    draft, averaged = (
        compiled(strategy={"kind": "lora"}, train={"optimizer": {"kind": optimizer}, **ema})
        for ema in ({}, {"ema_decay": 0.99})
    )
    weights = num_trainable(draft)
    assert device_bytes(averaged) - device_bytes(draft) == 4 * weights
    (less, more), (name, *_) = (sum(one.disk.values()) for one in (draft, averaged)), draft.disk
    assert more - less == 4 * weights * int(name.split()[0])


def test_energy_is_that_of_all_cards() -> None:
    draft = compiled()
    two = estimate_cost(draft.at(replace(draft.candidate, devices=2))).time
    assert two is not None
    assert two.energy_high_joules == pytest.approx(2 * 450 * two.high_seconds)


def test_processes_that_share_a_processor_are_no_faster_and_paid_for_once() -> None:
    measured = Measurement(
        torch="2",
        flops={"float32": 10**11},
        bandwidth=10**10,
        operation_seconds=1e-6,
        import_seconds=1.0,
        context_bytes=None,
        steps=(),
    )
    found = Calibration(device="cpu", label="a CPU", threads=4, measured_at="2026-05-04T03:02:01Z", measured=measured)
    seconds, costs = [], []
    for count in (1, 4):
        draft = draft_of(
            facts=model_facts(hidden=512),
            budget={"devices": count, "price_per_hour": "1 USD"},
            train={"micro_batch": 1},
        )
        time = decided(replace(draft, calibration=found)).time
        assert time is not None
        assert time.cost_high is not None
        seconds.append(next(one.seconds.expected for one in time.phases if one.phase == "train"))
        costs.append(time.cost_high.amount / time.high_seconds)
    assert seconds[1] == pytest.approx(seconds[0], rel=0.3)
    assert costs[1] == pytest.approx(costs[0])


def test_cards_that_are_joined_exchange_faster() -> None:
    shared: dict[str, Any] = {"budget": {"devices": 2}, "train": {"sharding": "ddp"}}
    cards = [CARD.model_copy(update={"name": name, "capability": (9, 0)}) for name in ("h100-pcie", "h100-80gb")]
    slow, fast = (decided(draft_of(device=card, **shared)).work for card in cards)
    assert slow is not None
    assert fast is not None
    assert slow.phases["train"].host_bytes > 5 * fast.phases["train"].host_bytes > 0


def test_the_prompt_gives_a_decoder_its_first_token() -> None:
    prompt, first, third = prompt_amounts(2, 5), decode_amounts(2, 5, 1), decode_amounts(2, 5, 3)
    assert (prompt.passes, prompt.tokens, prompt.scored, prompt.pairs) == (1, 10, 2, 50)
    assert first == Amounts()
    assert (third.passes, third.tokens, third.scored, third.pairs) == (2, 4, 4, 2 * (6 + 7))
    assert decode_amounts(2, 5, 9, window=7).near_pairs == 2 * (6 + 7 + 6 * 7)
    encoder = target_amounts(2, 5, 3)
    assert (encoder.passes, encoder.target_tokens, encoder.scored) == (3, 6, 6)


def test_rows_leave_a_batch_as_their_answers_end() -> None:
    found = leaving_amounts([8, 2, 16, 4], 10)
    parts = (decode_amounts(4, 10, 2), decode_amounts(3, 11, 3), decode_amounts(2, 13, 5), decode_amounts(1, 17, 9))
    assert found == sum(parts, start=Amounts())
    assert (found.passes, found.tokens) == (15, 4 * 1 + 3 * 2 + 2 * 4 + 1 * 8)
    assert leaving_amounts([6] * 4, 10) == decode_amounts(4, 10, 6), "all end at once"
    together = leaving_amounts([2, *[9] * 7], 10)
    assert together == decode_amounts(8, 10, 9), "one of eight is no quarter"
    assert leaving_amounts([2, 3, *[9] * 6], 10).tokens == 8 * 2 + 6 * 6


def test_answers_of_unlike_lengths_cost_what_they_have() -> None:
    whole, scored = np.full(8, 60), np.array([4, 4, 4, 4, 4, 4, 4, 40])
    rows = RowLengths(whole, whole - scored, scored, whole // 2)
    shape = RowShape("lm", "decoder")
    stay, leave = (answer_amounts(rows, shape, 8, None, 64, leaves=leaves) for leaves in (False, True))
    assert (stay.passes, stay.tokens) == (39, 8 * 39)
    assert (leave.passes, leave.tokens) == (39, 8 * 3 + 36)
    assert answer_amounts(rows, shape, 8, 64, 64, leaves=True) == answer_amounts(rows, shape, 8, 64, 64), "all cut off"
    assert answer_amounts(rows, shape, 8, None, 10, leaves=True).passes == 9


def test_the_last_answer_of_a_conversation_is_written_behind_the_others() -> None:
    """Three answers of 20 tokens: the first two are in the prompt, and the last takes 19 passes after it."""
    rows = RowLengths(np.full(8, 150), np.full(8, 128), np.full(8, 60), np.full(8, 150))
    shape = RowShape("lm", "decoder")
    assert answer_amounts(rows, shape, 8, None, 64).passes == 21, "with two tokens that end it"
    assert answer_amounts(replace(rows, tokens=np.full(8, 148)), shape, 8, None, 64).passes == 19
    assert list(own_answers(rows)) == [22] * 8


def test_weights_are_read_in_as_many_bytes_as_they_are_packed_in() -> None:
    def read(strategy: dict[str, Any]) -> float:
        network = draft_network(compiled(strategy=strategy))
        return bytes_and_kernels(network, 2, checkpointing=False).forward.passes / network.linear_weights

    eight = read({"kind": "qlora", "quantization": "int8"})
    four = read({"kind": "qlora", "quantization": "nf4", "double_quantization": False})
    assert eight - four == pytest.approx(1 - (0.5 + 4 / 64))


def lengths_of(tokens: list[int]) -> RowLengths:
    """Rows of these lengths, half of each a prompt."""
    whole = np.array(tokens, dtype=np.int64)
    return RowLengths(whole, whole // 2, whole - whole // 2, whole // 2)


def test_rows_are_shared_and_cut_as_the_run_does() -> None:
    rows = lengths_of([40, 40, *[10] * 14])
    tagger, classifier = RowShape("token_classification", "encoder"), RowShape("classification", "encoder")
    assert evaluation_amounts(rows, tagger, 2).passes == 8
    assert evaluation_amounts(rows, classifier, 2).passes == 3  # two long ones, then eight short ones at once, then six
    shared = evaluation_amounts(rows, tagger, 2, world_size=2)
    assert (shared.rows, shared.tokens) == (8, 2 * 40 + 6 * 10)
    assert answer_amounts(rows, RowShape("lm", "decoder"), 2, 3, 3, world_size=2).scored == 8 * 2


def test_batches_are_those_of_rows_in_shards() -> None:
    rows = replace(lengths_of([10 * (number // 8 + 1) for number in range(80)]), shards=tuple(range(0, 80, 8)))
    training = Training(20, 20, 4, 4, None, packs=False, batching="shuffled", seed=3, world_size=1)
    order = BatchOrder(rows.tokens, 4, 20, 3, shards=rows.shards)
    padded = sum(len(some) * int(rows.tokens[some].max()) for some in map(order.rows, range(20)))
    found = training_amounts(rows, RowShape("classification", "encoder"), training)
    assert (found.passes, found.rows, found.tokens) == (20, 80, padded)
    of_one_file = training_amounts(replace(rows, shards=()), RowShape("classification", "encoder"), training)
    assert of_one_file.tokens != padded, "rows of ten shards are not mixed as those of one file"


def test_of_very_many_rows_some_stand_for_all() -> None:
    form = RowShape("token_classification", "encoder")
    many = evaluation_amounts(lengths_of([10, 20] * 30_000), form, 8)
    assert many.rows == 60_000
    assert many.passes == pytest.approx(7_500)


def test_no_padding_is_counted_where_there_is_none() -> None:
    encoder_decoder = model_facts().model_copy(update={"family": "encoder_decoder", "num_decoder_layers": 2})
    whole = lengths_of([60] * 100)
    for changes in ({"facts": encoder_decoder}, {"strategy": {"kind": "prompt_tuning"}}):
        draft = compiled(**changes)
        draft = replace(draft, lengths=dict.fromkeys(draft.splits, whole))
        epochs = draft.train.num_steps / draft.train.steps_per_epoch
        assert run_work(draft).train_tokens == epochs * 6000


def test_a_teacher_costs_its_forward_pass_and_its_weights() -> None:
    large = model_facts(layers=8, hidden=256)
    lesson: dict[str, Any] = {"train": {"distillation": {"teacher": "models/large"}}}
    facts = TeacherFacts(model=large, labels=(), problem=None, other_tokens=None)
    usual: dict[str, Any] = {"task": {"kind": "generation", "prompt": "{{ text }}"}, "strategy": {"kind": "lora"}}
    alone = compiled(**usual)
    taught = decided(replace(draft_of(device=CARD, **usual, **lesson), teacher=facts))
    more = run_work(taught).phases["train"][1].flops - run_work(alone).phases["train"][1].flops
    forward = 2 * sum(inputs * outputs for inputs, outputs in large.linear_modules.values())
    assert more == pytest.approx(forward * run_work(alone).train_tokens, rel=0.3)  # the rest is attention and the head
    assert taught.memory is not None
    assert taught.memory.components["teacher"] == 2 * large.num_parameters


def test_answers_that_a_teacher_judges_are_planned_for_all_lengths() -> None:
    usual: dict[str, Any] = {"task": {"kind": "generation", "prompt": "{{ text }}"}, "strategy": {"kind": "lora"}}
    facts = TeacherFacts(model=model_facts(layers=8, hidden=256), labels=(), problem=None, other_tokens=None)

    def planned(**own: Any) -> ClosedDraft:
        lesson = {"teacher": "models/large", **({"on_policy": own} if own else {})}
        return decided(replace(draft_of(device=CARD, **usual, train={"distillation": lesson}), teacher=facts))

    rows, half, always = planned(), planned(max_new_tokens=40), planned(max_new_tokens=40, lmbda=1)
    low, expected, high = (one.flops for one in run_work(half).phases["sample"])
    assert 0 < low < expected < high
    assert "sample" not in run_work(rows).phases
    share = half.recipe.writing.count(half.train.num_steps) / half.train.num_steps if half.recipe.writing else 0
    assert expected == pytest.approx(share * run_work(always).phases["sample"][1].flops)
    assert run_work(half).phases["train"][0].flops < run_work(half).phases["train"][2].flops
    assert half.memory is not None
    assert rows.memory is not None
    sampling = {phase.phase for phase in half.memory.phases} - {phase.phase for phase in rows.memory.phases}
    assert sampling == {"sampling: prompts", "sampling: last token"}
    last = next(phase for phase in half.memory.phases if phase.phase == "sampling: last token")
    assert last.components["teacher"] > 0, "it stays while answers are written"
    assert last.components["optimiser state"] > 0


def test_a_teacher_that_writes_is_planned_by_its_own_size() -> None:
    usual: dict[str, Any] = {"task": {"kind": "generation", "prompt": "{{ text }}"}, "strategy": {"kind": "lora"}}

    def planned(layers: int, **lesson: Any) -> ClosedDraft:
        facts = TeacherFacts(model=model_facts(layers=layers, hidden=256), labels=(), problem=None, other_tokens=None)
        asked = {"teacher": "models/large", "seq_kd": {"max_new_tokens": 40}, **lesson}
        return decided(replace(draft_of(device=CARD, **usual, train={"distillation": asked}), teacher=facts))

    small, large, judged = planned(4), planned(8), planned(8, weight=0.5)
    low, expected, high = (one.flops for one in run_work(large).phases["sample"])
    assert 0 < low < expected < high
    assert expected > 1.5 * run_work(small).phases["sample"][1].flops
    assert run_work(large).phases["train"][1].flops == run_work(small).phases["train"][1].flops
    assert run_work(judged).phases["train"][1].flops > run_work(large).phases["train"][1].flops
    assert large.memory is not None
    assert judged.memory is not None
    phases = {phase.phase for phase in large.memory.phases}
    assert {"sampling: prompts", "sampling: last token"} <= phases
    assert {"teacher", "loss"} <= {phase.phase for phase in judged.memory.phases} - phases


def test_a_record_that_says_that_training_did_nothing_tells_no_speed() -> None:
    """Any record in a project may be damaged, and every plan reads all of them."""
    nothing = Work(flops=0.0, bytes=0.0, operations=0.0)
    idle = PastRun("card", 1, "model", "lora", "float32", {"train": nothing}, {"train": 2.0})
    for alike, others in (([idle], []), ([], [idle])):
        assert _narrowed(scale_only(), scale_only(), alike, others, "train") == scale_only()
