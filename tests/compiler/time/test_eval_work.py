"""Looks at rows are counted as the run takes them: who is looked at, what is folded, and what prompts share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ftc.compiler.draft import Measured
from ftc.compiler.time import eval_work
from ftc.compiler.time.run_work import RunWork, run_work
from ftc.spec.documents.attributions import LONGEST_ROW, PATH_POINTS
from ftc.spec.documents.estimates import Phase, Work
from ftc.spec.documents.prompted import PromptBaseline
from ftc.spec.documents.streams import RowLengths
from tests.support.drafts import CARD, CPU, T4, decided, draft_of, model_facts

WRITTEN: dict[str, Any] = {"task": {"kind": "generation", "prompt": "{{ text }}"}}


def work(shared: int = 0, *, rows: int = 40, tokens: int = 100, answer: Any = 20, **recipe: Any) -> RunWork:
    draft = draft_of(device=recipe.pop("device", CARD), **{**WRITTEN, **recipe})
    whole, scored = np.full(rows, tokens), np.full(rows, answer)
    lengths = RowLengths(whole, whole - scored, scored, whole // 2, shared)
    draft = replace(draft, lengths=dict.fromkeys((*draft.splits, "swaps"), lengths))
    return run_work(decided(draft))


@pytest.fixture
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at test rows alone, without what is kept of validation rows in the same phase."""
    monkeypatch.setattr(eval_work, "_kept", lambda draft, tuned: [])


def written(found: RunWork) -> tuple[Work, Work, Work]:
    return found.phases["generate"]


def test_what_is_kept_of_validation_rows_costs_a_look_at_a_thousand_of_them() -> None:
    def evaluated(rows: int, kind: str) -> float:
        looks = {"baseline": False, "samples": 0}
        task = {**WRITTEN["task"], "kind": kind}
        return work(rows=rows, task=task, eval=looks).phases["evaluate"][1].flops

    for kind in ("generation", "classification"):
        few, many, most = (evaluated(rows, kind) for rows in (500, 1_000, 4_000))
        assert many == pytest.approx(2 * few, rel=0.01)
        assert most < 4 * many, "only the test rows go on growing"


def test_what_prompts_share_goes_through_once() -> None:
    apart, alike, hardly = (work(shared) for shared in (0, 60, 10))
    assert apart.prompts is not None
    assert alike.prompts is not None
    assert alike.prompts.flops == pytest.approx(apart.prompts.flops * 0.25, rel=0.1)  # 20 of 80 tokens are a row's own
    for before, after in zip(written(apart), written(alike), strict=True):
        assert before.flops - after.flops == pytest.approx(apart.prompts.flops - alike.prompts.flops)
    assert hardly == apart, "so few are not worth a pass"
    assert alike.phases["train"] == apart.phases["train"]
    assert alike.phases["evaluate"] == apart.phases["evaluate"]


@pytest.mark.parametrize(
    "recipe",
    [
        {"strategy": {"kind": "prompt_tuning"}},
        {"facts": model_facts(attention=("eager", "sdpa"), model_type="gpt_neo")},
        {"facts": model_facts(family="encoder_decoder", num_decoder_layers=2, decoder_start_id=0, model_type="t5")},
        {"facts": model_facts().model_copy(update={"config": {"sliding_window": 32}})},
    ],
    ids=["virtual tokens", "padding in places", "encoder", "window"],
)
def test_where_the_run_takes_no_prompt_apart_it_is_not_counted_so(recipe: dict[str, Any]) -> None:
    assert work(60, **recipe) == work(0, **recipe)


LEAVES: list[dict[str, Any]] = [{}, {"rows": 10_000, "device": CPU}]
COMPILES: list[dict[str, Any]] = [{"rows": 10_000}]
STAYS: list[dict[str, Any]] = [
    {"strategy": {"kind": "prompt_tuning"}},
    {"facts": model_facts().model_copy(update={"config": {"sliding_window": 32}})},
    {"facts": model_facts().model_copy(update={"config": {"rope_scaling": {"rope_type": "dynamic"}}})},
]


@pytest.mark.parametrize("recipe", [*LEAVES, *COMPILES, *STAYS], ids=repr)
def test_a_batch_is_shorter_where_rows_may_leave_it(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    unlike = np.resize([4, 6, 10, 40], recipe.get("rows", 40))
    found = written(work(answer=unlike, **recipe))
    monkeypatch.setattr(eval_work, "_may_leave", lambda *_: False)
    kept = written(work(answer=unlike, **recipe))
    assert found[2] == kept[2], "the most that it may take stays"
    assert (found[0].flops < kept[0].flops) == (recipe not in STAYS), "whether a card compiles isn't known"
    assert (found[1].flops < kept[1].flops) == (recipe in LEAVES)


@pytest.mark.parametrize(("devices", "leaves"), [(1, False), (4, True)])
def test_each_process_compiles_for_its_own_rows(devices: int, leaves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 400 rows in batches of 8 one process writes 3,200 tokens after one another, four write 832 each."""
    card = CARD.model_copy(update={"count": devices})
    asked = {"batch_size": 8, "max_new_tokens": 64, "baseline": False}
    answers = np.resize([4, 6, 10, 40], 400)

    def found() -> tuple[Work, Work, Work]:
        return written(work(rows=400, answer=answers, device=card, budget={"devices": devices}, eval=asked))

    low, usual, _ = found()
    monkeypatch.setattr(eval_work, "_may_leave", lambda *_: False)
    _, all_stay, _ = found()
    assert low.flops < all_stay.flops
    assert usual == (low if leaves else all_stay)


def test_what_is_expected_of_answers_is_said() -> None:
    def method(**recipe: Any) -> str:
        draft = decided(draft_of(device=T4, **{**WRITTEN, **recipe}))
        assert draft.time is not None
        return next(one.method for one in draft.time.phases if one.phase == "generate")

    assert method(eval={"max_new_tokens": 50}).endswith("; answers as long as the rows' own, the base's of 50 tokens")
    assert method(eval={"baseline": False}).endswith("; answers as long as the rows' own")


def test_an_adapter_costs_where_it_stands_beside_its_layers() -> None:
    beside = work(strategy={"kind": "lora", "rank": 64}, train={"precision": "bfloat16"}).phases
    folded = work(strategy={"kind": "lora", "rank": 64}, train={"precision": "float32"}).phases
    whole = work(strategy={"kind": "full"}, train={"precision": "float32"}).phases
    assert folded["evaluate"][1].flops == whole["evaluate"][1].flops
    assert folded["validate"][1].flops > whole["validate"][1].flops
    assert beside["evaluate"][1].flops > folded["evaluate"][1].flops
    alone = work(strategy={"kind": "lora", "rank": 64}, eval={"baseline": False}).phases
    assert alone["evaluate"][1].flops > beside["evaluate"][1].flops / 2, "the base has no adapter"


def test_answers_are_a_phase_of_their_own_with_their_prompts() -> None:
    found = work()
    low, usual, high = written(found)
    assert found.prompts is not None
    assert found.prompts.flops < low.flops < usual.flops < high.flops
    assert work(tokens=110, answer=30).phases["generate"][0].flops > low.flops
    read = work(task={"kind": "chat"})
    assert "generate" not in read.phases
    assert read.prompts is None


@pytest.mark.usefixtures("nothing_kept")
def test_a_look_that_gives_rows_classes_leaves_out_what_no_head_reads() -> None:
    def read(**recipe: Any) -> float:
        plain = {"baseline": False, "samples": 0}
        return work(task={"kind": "classification"}, eval=plain, **recipe).phases["evaluate"][1].flops

    untold = model_facts(model_type="opt")
    layers, whole = model_facts().num_layers, read(facts=untold)
    assert whole * (1 - 1 / layers) < read() < whole * (1 - 0.5 / layers), "most of the last layer"
    virtual = {"kind": "prompt_tuning"}
    assert read(strategy=virtual) == read(strategy=virtual, facts=untold)


@pytest.mark.usefixtures("nothing_kept")
def test_why_a_classifier_chose_costs_eight_passes_in_both_directions_for_each_row_that_is_shown() -> None:
    def measured(samples: int, task: str = "classification", **recipe: Any) -> float:
        looks = {"baseline": False, "samples": samples}
        found = work(task={**WRITTEN["task"], "kind": task}, eval=looks, facts=model_facts(model_type="opt"), **recipe)
        return found.phases["evaluate"][1].flops

    row = measured(0) / 80  # test rows, and as many of the swaps
    assert 2 < (measured(5) - measured(0)) / (10 * PATH_POINTS * row) < 2.5, "the way back through attention is longer"
    assert measured(10) - measured(0) == pytest.approx(2 * (measured(5) - measured(0)))
    assert measured(20) == measured(30), "no more rows than there are"
    assert measured(5, tokens=LONGEST_ROW + 1) == measured(0, tokens=LONGEST_ROW + 1)
    assert measured(5, "generation") == measured(0, "generation")


@pytest.mark.usefixtures("nothing_kept")
def test_a_longer_prompt_for_the_base_costs_its_tokens() -> None:
    """The prompts of a baseline are read and answered by the base, beside the test rows."""
    plain = work()
    draft = draft_of(device=CARD, **WRITTEN)
    rows, prompt = np.full(40, 200), np.full(40, 180)
    test = RowLengths(np.full(40, 100), np.full(40, 80), np.full(40, 20), np.full(40, 50), 0)
    asked = RowLengths(rows, prompt, np.full(40, 20), rows // 2, 0)
    few, own = (
        PromptBaseline(
            name=name,
            kind="few_shot",
            path="",
            seed=17,
            prompt="{{ text }}",
            separator=None,
            examples=(),
            prompt_tokens=180.0,
            own_tokens=80.0,
            cut_rows=0,
            stream_sha256="",
            is_own=is_own,
        )
        for name, is_own in (("few_shot_2", False), ("zero_shot", True))
    )

    def with_prompts(*baselines: PromptBaseline) -> RunWork:
        lengths = {**dict.fromkeys((*draft.splits, "swaps"), test), "few_shot_2": asked}
        return run_work(decided(replace(draft, lengths=lengths, measured=Measured(baselines=baselines))))

    assert with_prompts(own).phases == plain.phases, "the base was given these very prompts"
    more = with_prompts(few, own)
    read: dict[Phase, int] = {"evaluate": 40 * 200, "generate": 40 * 180}
    for phase, by in read.items():
        before, after = plain.phases[phase][0].flops, more.phases[phase][0].flops
        base = before / 3 if phase == "generate" else before / 2
        assert after - before > base * by / (40 * 100) * 0.9
    assert more.phases["train"] == plain.phases["train"]
