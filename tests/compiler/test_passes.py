"""Passes: every value is settled with a reason, and what does not fit is refused with what would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.compiler.candidate import Candidate
from ftc.compiler.draft import ClosedDraft, Draft, PastRun
from ftc.compiler.memory.memory import by_closed_form
from ftc.compiler.passes import SHAPING, decide, decide_by_trace, run_passes
from ftc.compiler.resolve.machine.device import resolve_device
from ftc.compiler.time.operator_costs import flop_rates
from ftc.compiler.time.workload import draft_network
from ftc.spec.base import Document
from ftc.spec.devices import CARDS
from ftc.spec.diagnostics import Diagnostic
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.memory_trace import TraceAnswer, TraceJob, TraceResult
from ftc.spec.documents.plan import Origin
from ftc.spec.documents.streams import RowLengths
from ftc.spec.precisions import PRECISIONS
from tests.support.drafts import CARD, CPU, T4, decided, draft_of, model_facts, shaped, split_report

PURE: dict[str, Any] = {"strategy": {"kind": "full"}, "train": {"precision": "pure_bfloat16"}, "device": CARD}
H100 = CARD.model_copy(update={"name": "h100-80gb", "capability": (9, 0), "speed": CARDS["h100-80gb"].speed})
GENERATION = {"kind": "generation", "prompt": "Q: {{ question }}"}


def compiled(draft: Draft) -> ClosedDraft:
    return decided(draft)


def settled(path: str, **recipe: Any) -> tuple[Any, str, str]:
    """A value with the kind and the reason of its origin."""
    draft = compiled(draft_of(**recipe))
    origin = draft.origins[path]
    return reduce(getattr, path.split("."), draft.settings()), origin.kind, origin.reason


def unexplained(document: Document, origins: Mapping[str, Origin], above: str = "") -> Iterator[str]:
    """Paths of values that are no defaults and have no origin."""
    for name, value in document:
        path = f"{above}{name}"
        if path not in origins and isinstance(value, Document):
            yield from unexplained(value, origins, f"{path}.")
        elif path not in origins and value != type(document).model_fields[name].default:
            yield path


def found(**recipe: Any) -> dict[str, Diagnostic]:
    return {finding.code: finding for finding in compiled(draft_of(**recipe)).diagnostics}


@pytest.mark.parametrize("strategy", ["full", "lora", "qlora"])
@pytest.mark.parametrize("task", ["classification", "generation", "chat"])
def test_every_value_has_an_origin_with_a_reason(task: str, strategy: str) -> None:
    kind = GENERATION if task == "generation" else {"kind": task}
    draft = compiled(draft_of(task=kind, strategy={"kind": strategy}))
    plain = draft.settings()
    assert not list(unexplained(plain, draft.origins))
    values: list[Any] = [reduce(getattr, path.split("."), plain) for path in draft.origins]
    assert all(origin.reason for origin in draft.origins.values())
    assert not [finding for finding in draft.diagnostics if finding.is_error]
    assert "auto" not in values
    assert draft.steps


def test_a_pass_changes_no_draft_that_it_is_given() -> None:
    draft = run_passes(SHAPING, draft_of())
    before = (dict(draft.settled), dict(draft.origins))
    assert compiled(draft) == compiled(draft)
    assert (draft.settled, draft.origins) == before


@pytest.mark.parametrize(
    ("path", "recipe", "value", "kind"),
    [
        ("train.learning_rate", {"train": {"learning_rate": 3e-4}}, 3e-4, "written"),
        ("train.learning_rate", {}, 2e-3, "derived"),
        ("train.learning_rate", {"strategy": {"kind": "full"}}, 2e-4, "derived"),
        ("train.batch_size", {}, 16, "default"),
        ("train.num_steps", {"train": {"epochs": 2, "batch_size": 10}}, 20, "derived"),
        ("train.num_steps", {"train": {"epochs": 0.5, "batch_size": 10}}, 5, "derived"),
        ("train.num_steps", {"train": {"epochs": 2, "batch_size": 10, "max_steps": 7}}, 7, "derived"),
        ("train.evaluate_every_steps", {"train": {"batch_size": 10}}, 10, "derived"),
        ("train.evaluate_every_steps", {"train": {"evaluate_every": 3}}, 3, "written"),
        ("train.schedule.warmup_steps", {"train": {"batch_size": 10, "epochs": 3}}, 2, "derived"),
        ("train.precision", {}, "float32", "derived"),
        ("train.precision", {"device": CARD}, "bfloat16", "derived"),
        ("train.precision", {"device": T4}, "float16", "derived"),
        ("train.precision", {"device": T4, "facts": model_facts(model_type="gemma2")}, "float32", "derived"),
        ("train.precision", {"device": T4, "train": {"precision": "float16"}}, "float16", "written"),
        ("train.optimizer.kind", PURE, "adamw_kahan", "default"),
        (
            "train.optimizer.kind",
            {**PURE, "train": {**PURE["train"], "optimizer": {"kind": "auto"}}},
            "adamw_kahan",
            "derived",
        ),
        ("train.optimizer.beta2", PURE, 0.99, "derived"),
        ("train.optimizer.beta2", {"strategy": {"kind": "full"}}, 0.999, "derived"),
        ("train.select", {}, "best", "derived"),
        ("train.select", {"splits": {"train": 100}}, "last", "derived"),
        ("train.micro_batch", {"train": {"micro_batch": 4}}, 4, "written"),
        ("strategy.adapter.alpha", {"strategy": {"kind": "lora", "rank": 8}}, 16, "derived"),
        ("strategy.adapter.alpha", {"strategy": {"kind": "lora", "alpha": 5}}, 5, "written"),
        ("strategy.adapter.targets", {}, ("down_proj", "q_proj", "up_proj", "v_proj"), "derived"),
        ("strategy.adapter.num_modules", {"strategy": {"kind": "lora", "targets": ["q_proj"]}}, 2, "derived"),
        ("strategy.adapter.trained_modules", {}, ("score",), "derived"),
        ("strategy.adapter.trained_modules", {"task": {"kind": "chat"}}, (), "derived"),
        (  # DeBERTa's pooler is part of the new head: no pretrained model has one
            "strategy.adapter.trained_modules",
            {"facts": model_facts(family="encoder", model_type="deberta-v2")},
            ("pooler", "classifier"),
            "derived",
        ),
        ("model.head", {}, "classification", "derived"),
        ("model.head", {"task": GENERATION}, "lm", "derived"),
        ("text.max_length", {}, 512, "derived"),
        ("text.max_length", {"facts": model_facts(max_positions=8192)}, 1024, "derived"),
        ("text.max_length", {"data": {"source": {"path": "a.csv"}, "max_length": 64}}, 64, "written"),
        ("text.prompt", {"task": GENERATION}, "Q: {{ question }}", "written"),
        ("eval.metrics", {}, ("accuracy", "macro_f1"), "derived"),
        ("eval.metrics", {"eval": {"metrics": ["mcc"], "gates": {"accuracy": "> 0"}}}, ("mcc", "accuracy"), "derived"),
        ("eval.max_new_tokens", {"task": GENERATION}, 25, "derived"),
        ("eval.max_new_tokens", {"task": {"kind": "chat"}}, None, "derived"),
        ("device.threads", {"budget": {"threads": 2}}, 2, "written"),
        ("device.threads", {}, 4, "derived"),
    ],
)
def test_a_value(path: str, recipe: dict[str, Any], value: Any, kind: str) -> None:
    assert settled(path, **recipe)[:2] == (value, kind)


def test_a_written_value_names_its_line() -> None:
    assert settled("train.batch_size", train={"batch_size": 8})[2].startswith("recipe.yaml:")


@pytest.mark.parametrize(
    ("code", "recipe", "words"),
    [
        ("FTC221", {"data": {"source": {"path": "a.csv"}, "max_length": 600}}, "at most 512"),
        ("FTC222", {"task": GENERATION, "facts": model_facts(family="encoder")}, "ForCausalLM"),
        ("FTC224", {"strategy": {"kind": "lora", "targets": ["q_prj"]}}, "`q_proj`"),
        ("FTC225", {"strategy": {"kind": "qlora"}}, "kind: lora"),
        ("FTC226", {"train": {"precision": "bfloat16"}, "device": T4}, "float32"),
        (
            "FTC270",
            {
                "task": {"kind": "embedding"},
                "train": {"activation_checkpointing": True},
                "facts": model_facts(family="encoder", model_type="mpnet"),
            },
            "another model",
        ),
        (
            "FTC258",
            {
                "strategy": {"kind": "full"},
                "train": {"quantize_aware": {"weights": "int8"}},
                "facts": model_facts(model_type="gpt2"),
            },
            "another model",
        ),
        ("FTC226", {"strategy": {"kind": "full"}, "train": {"precision": "float8"}, "device": T4}, "float32"),
        (
            "FTC258",
            {
                "strategy": {"kind": "full"},
                "train": {"precision": "float8"},
                "device": H100,
                "facts": model_facts(model_type="gpt2"),
            },
            "another model",
        ),
        (
            "FTC258",
            {"strategy": {"kind": "full", "freeze": ["layers"]}, "train": {"precision": "float8"}, "device": H100},
            "full",
        ),
        ("FTC288", {"strategy": {"kind": "full"}, "train": {"precision": "float8"}}, "float32"),
        ("FTC288", {"train": {"precision": "bfloat16"}}, "float32"),
        ("FTC288", {"train": {"precision": "float16"}}, "float32"),
    ],
)
def test_what_does_not_fit_together(code: str, recipe: dict[str, Any], words: str) -> None:
    finding = found(**recipe)[code]
    assert finding.span is not None
    assert words in " ".join(finding.help)


def test_a_model_that_cannot_do_the_task_is_named_by_its_own_family() -> None:
    generative = {"kind": "question_answering", "mode": "generative"}
    read = found(task=generative, facts=model_facts(family="encoder"))["FTC222"]
    assert read.summary == "a question answering task needs a decoder; BertModel is an encoder"
    whole = model_facts(family="encoder_decoder", model_type="t5", architecture="T5ForConditionalGeneration")
    embedded = found(task={"kind": "embedding"}, facts=whole)["FTC222"]
    assert "needs an encoder or a decoder; T5ForConditionalGeneration is an encoder-decoder" in embedded.summary
    masked = found(task={"kind": "masked_language_modeling"}, facts=model_facts(family="decoder"))["FTC222"]
    assert "needs an encoder; LlamaForCausalLM is a decoder" in masked.summary
    spans = found(task={"kind": "span_corruption"}, facts=model_facts(family="decoder"))["FTC222"]
    assert "needs an encoder-decoder; LlamaForCausalLM is none" in spans.summary


@pytest.mark.parametrize("precision", [card.kind for card in PRECISIONS if card.float8 is not None])
def test_products_in_8_bits_take_less_time_where_the_rates_are_known(precision: str) -> None:
    usual: dict[str, Any] = {"strategy": {"kind": "full"}, "device": H100, "facts": model_facts(family="decoder")}
    networks = [draft_network(decided(draft_of(train={"precision": one}, **usual))) for one in ("bfloat16", precision)]
    plain, eight = (flop_rates(one, checkpointing=False) for one in networks)
    assert {one.float8 is None for one in networks[1].linears} == {False}
    assert eight.forward.tokens == pytest.approx(plain.forward.tokens * 989 / 1979)
    share = 2 / 3 * 989 / 1979 + 1 / 3 if precision.endswith("gw_hp") else 989 / 1979
    assert eight.step.tokens == pytest.approx(plain.step.tokens * share)
    unknown = H100.model_copy(update={"speed": CARDS["a100-80gb"].speed})
    assert decided(draft_of(train={"precision": precision}, **{**usual, "device": unknown})).time is None


def test_a_mean_of_more_checkpoints_than_there_are() -> None:
    train = {"max_steps": 12, "evaluate_every": 5, "average_checkpoints": 4}
    few = found(train=train)["FTC229"]
    assert few.summary == "the mean of 4 checkpoints is asked for, and the run writes 3"
    assert "FTC229" not in found(train={**train, "average_checkpoints": 3})


def test_a_model_that_overflows_float16() -> None:
    gemma = model_facts(model_type="gemma2")
    assert "overflow float16" in found(train={"precision": "float16"}, device=T4, facts=gemma)["FTC289"].summary
    assert "FTC289" not in found(train={"precision": "float16"}, device=T4)
    assert "overflow float16" in settled("train.precision", device=T4, facts=gemma)[2]


def test_a_model_without_a_template_is_no_chat_model() -> None:
    plain = model_facts()
    bare = plain.model_copy(update={"tokenizer": plain.tokenizer.model_copy(update={"chat_template": None})})
    assert "FTC220" in found(task={"kind": "chat"}, facts=bare)
    assert settled("text.uses_chat_template", task=GENERATION, facts=bare)[0] is False


@pytest.mark.parametrize(("license", "allowed"), [("mit", True), ("apache-2.0", False), (None, False)])
def test_licenses(license: str | None, allowed: bool) -> None:
    model = {"base": "model", "license": {"allow": ["mit"]}}
    assert ("FTC401" in found(facts=model_facts(license=license), model=model)) is not allowed


def test_seeds_differ_from_each_other_and_follow_the_root() -> None:
    first, again, other = (compiled(draft_of(train={"seed": seed})).seeds for seed in (1, 1, 2))
    names = ("init", "order", "dropout")
    assert len({getattr(first, name) for name in names}) == 3
    assert first == again
    assert all(getattr(first, name) != getattr(other, name) for name in names)


@pytest.mark.parametrize(
    ("model_type", "told"),
    [
        ("llama", None),
        ("biogpt", "architecture: `biogpt` is not in ftc's table; estimates use typical values"),
        ("falcon", "architecture: ftc doesn't know these facts about `falcon`: two norms"),
    ],
)
def test_what_is_unknown_of_an_architecture_is_in_the_plan(model_type: str, told: str | None) -> None:
    missed = compiled(draft_of(facts=model_facts(model_type=model_type))).not_checked
    assert [one for one in missed if one.startswith("architecture")] == ([told] if told else [])


def test_without_a_test_split_quality_is_not_checked() -> None:
    draft = compiled(draft_of(splits={"train": 100, "validation": 10}))
    assert [step.kind for step in draft.steps] == ["verify", "train", "export"]
    assert any("quality" in reason for reason in draft.not_checked)


@pytest.mark.slow
@given(batch=st.integers(1, 512), mebibytes=st.integers(500, 4096))
@settings(max_examples=60, deadline=None)
def test_the_micro_batch_divides_the_batch_and_fits(batch: int, mebibytes: int) -> None:
    draft = compiled(
        draft_of(device=CARD, train={"batch_size": batch}, budget={"vram": f"{mebibytes}MiB"}, task={"kind": "chat"})
    )
    assert batch % draft.candidate.micro_batch == 0
    assert draft.memory is not None
    assert sum(draft.memory.components.values()) == draft.memory.peak_bytes
    codes = {finding.code for finding in draft.diagnostics} & {"FTC402", "FTC405"}
    assert codes == {"fits": set(), "tight": {"FTC405"}, "does not fit": {"FTC402"}}[draft.memory.verdict]
    assert draft.memory.limit_bytes == mebibytes * 2**20


def test_a_micro_batch_that_does_not_fit_is_refused() -> None:
    def planned(micro_batch: int | str, **budget: str) -> ClosedDraft:
        train = {"batch_size": 64, "micro_batch": micro_batch, "activation_checkpointing": False}
        facts = model_facts(hidden=1024, layers=16)
        return compiled(draft_of(facts=facts, device=CARD, task={"kind": "chat"}, train=train, budget=budget))

    memory = planned(4).memory
    assert memory is not None
    budget = {"vram": f"{memory.process.high}B"}
    assert {finding.code: finding.path for finding in planned(64, **budget).diagnostics}["FTC402"] == "budget.vram"
    assert not {finding.code for finding in planned(4, **budget).diagnostics} & {"FTC402", "FTC405"}
    assert planned("auto", **budget).candidate.micro_batch == 4


def test_what_is_refused_gives_no_fit_as_a_reason() -> None:
    train = {"batch_size": 64, "optimizer": {"kind": "auto"}}
    draft = compiled(draft_of(device=CARD, task={"kind": "chat"}, train=train, budget={"vram": "100MiB"}))
    assert "FTC402" in {finding.code for finding in draft.diagnostics}
    chosen = ("train.micro_batch", "train.activation_checkpointing", "train.optimizer.kind")
    assert {draft.origins[path].reason for path in chosen} == {"the smallest value, and it does not fit"}


def askable(draft: Draft) -> Draft:
    """As the pipeline hands it to the passes where a trace can be asked."""
    return replace(shaped(draft), traces={})


def candidate_in(job: TraceJob) -> Candidate:
    """The candidate that a job for the trace stands for."""
    model, train = job.settings.model, job.settings.train
    return Candidate(
        micro_batch=train.micro_batch,
        activation_checkpointing=train.activation_checkpointing,
        eval_batch=job.settings.eval.batch_size,
        attention=model.attention,
        optimizer=train.optimizer.kind,
        packing=train.packing,
        micro_batch_tokens=train.micro_batch_tokens,
        sharding=train.sharding,
        offload=train.offload,
        devices=train.world_size,
        loss_chunk_size=train.loss_chunk_size,
    )


def answered(
    draft: Draft, *, factor: float, asked: list[TraceJob], fails: Mapping[str, TraceAnswer] = MappingProxyType({})
) -> ClosedDraft:
    """The passes with a trace that finds `factor` times what the closed form says, or fails by a way of sharding."""
    draft = askable(draft)
    while (decided := decide(draft)).questions:
        answers = dict(draft.traces or {})
        for job in decided.questions:
            asked.append(job)
            if (failure := fails.get(job.settings.train.sharding)) is not None:
                answers[job.key()] = failure
                continue
            form = by_closed_form(decided.at(candidate_in(job)))
            size = round(factor * form.allocated_bytes)
            peaks = {one.phase: round(factor * one.peak_bytes) for one in form.phases}
            phases = tuple(PhasePeak(phase=n, peak_bytes=p, components={"weights": p}) for n, p in peaks.items())
            result = TraceResult(phases=phases, allocated_bytes=size, reserved_bytes=size, traced_layers=1, versions={})
            answers[job.key()] = TraceAnswer(result)
        draft = replace(draft, traces=answers)
    return decided


@pytest.mark.slow
@given(batch=st.integers(1, 128), mebibytes=st.integers(900, 6000), factor=st.floats(0.9, 1.15))
@settings(max_examples=15, deadline=None)
def test_the_trace_has_the_last_word_after_a_few_questions(batch: int, mebibytes: int, factor: float) -> None:
    asked: list[TraceJob] = []
    undecided = draft_of(
        device=CARD,
        train={"batch_size": batch},
        budget={"vram": f"{mebibytes}MiB"},
        task={"kind": "chat"},
        facts=model_facts(hidden=1024, layers=16),
    )
    draft = answered(undecided, factor=factor, asked=asked)
    assert draft.memory is not None
    assert draft.memory.method == "trace"
    refused = any(finding.code in ("FTC402", "FTC405") for finding in draft.diagnostics)
    assert refused is (draft.memory.verdict != "fits")
    assert len({job.key() for job in asked}) == len(asked) == draft.memory.traces
    assert len(asked) <= max(8, draft.memory.ways // 4)


@pytest.mark.parametrize("mebibytes", [pytest.param(700, marks=pytest.mark.slow), 1500, 6000])
def test_what_answers_of_the_trace_don_t_change_is_computed_once(mebibytes: int) -> None:
    """The passes ask the same and decide the same as where all of them run again for each answer."""
    asked: list[TraceJob] = []
    cards = CARD.model_copy(update={"count": 2})
    changes: dict[str, Any] = {"task": {"kind": "chat"}, "strategy": {"kind": "full"}, "train": {"batch_size": 8}}
    budget = {"vram": f"{mebibytes}MiB", "devices": 2}
    undecided = draft_of(device=cards, budget=budget, facts=model_facts(hidden=1024), **changes)
    again = answered(undecided, factor=1.05, asked=asked)
    assert again.traces
    answers, told = dict(again.traces), list[str]()

    def ask(jobs: Iterable[TraceJob]) -> dict[str, TraceAnswer]:
        keys = [job.key() for job in jobs]
        told.extend(keys)
        return {key: answers[key] for key in keys}

    once = decide_by_trace(askable(undecided), ask)
    assert told == [job.key() for job in asked]
    assert once == again


def test_a_trace_that_fails_leaves_the_closed_form_with_the_reason() -> None:
    draft = askable(draft_of(device=CARD))
    (job,) = decide(draft).questions
    after = decide(replace(draft, traces={job.key(): TraceAnswer(None, "LookupError: no such model")}))
    assert not after.questions
    assert after.memory is not None
    assert after.memory.method == "closed form"
    assert "memory trace: LookupError: no such model" in after.not_checked


@pytest.mark.slow
def test_what_cannot_be_traced_sends_no_other_way_to_the_closed_form() -> None:
    """Two cards may hold the model in parts or a whole copy each, of which the trace follows one alone."""
    changes: dict[str, Any] = {"task": {"kind": "chat"}, "strategy": {"kind": "full"}, "train": {"batch_size": 8}}
    reason = "RuntimeError: this torch divides models in another way"

    def decided(vram: str, untraceable: str) -> tuple[ClosedDraft, list[TraceJob]]:
        asked: list[TraceJob] = []
        cards = CARD.model_copy(update={"count": 2})
        budget = {"vram": vram, "devices": 2}
        draft = draft_of(device=cards, budget=budget, facts=model_facts(hidden=1024), **changes)
        fails = {untraceable: TraceAnswer(None, reason)}
        return answered(draft, factor=1.0, asked=asked, fails=fails), asked

    whole, _ = decided("1500MiB", "fsdp")
    assert whole.memory is not None
    assert (whole.candidate.sharding, whole.memory.method) == ("ddp", "trace")
    parts, asked = decided("900MiB", "fsdp")
    assert parts.memory is not None
    assert (parts.candidate.sharding, parts.memory.method) == ("fsdp", "closed form")
    assert f"memory trace: {reason}" in parts.not_checked
    assert 0 < parts.memory.traces < len(asked)
    traced, _ = decided("900MiB", "ddp")
    assert traced.memory is not None
    assert (traced.candidate.sharding, traced.memory.method) == ("fsdp", "trace")
    ways = "with offload none and sharding ddp"
    assert f"memory trace of candidates {ways}: {reason}; they use the analytical estimate" in traced.not_checked


def test_a_card_of_unknown_capability_is_traced_as_a_card() -> None:
    (job,) = decide(askable(draft_of(device=CARD))).questions
    assert CARD.capability is None
    assert job.device.capability == (8, 0)


def test_rows_that_cannot_be_packed_are_refused_after_a_trace_too() -> None:
    draft = answered(draft_of(device=CARD, train={"packing": True}), factor=1.0, asked=[])
    assert "FTC261" in {finding.code for finding in draft.diagnostics}
    assert draft.memory is not None
    assert draft.memory.method == "trace"


def test_a_gap_between_the_methods_is_told() -> None:
    plain, wide = (answered(draft_of(device=CARD), factor=factor, asked=[]) for factor in (1.01, 1.5))
    assert not [check for check in plain.checks if check.name == "memory"]
    (check,) = (check for check in wide.checks if check.name == "memory")
    assert "33% lower" in check.result


def test_the_fastest_point_is_taken_and_not_the_largest() -> None:
    """Rows of one length go in one piece; where padding would cost more than a tenth, smaller pieces are faster."""
    draft = draft_of(
        device=CPU, task={"kind": "chat"}, train={"batch_size": 8, "packing": False}, facts=model_facts(hidden=1024)
    )
    chosen = []
    for long in (64, 1024):
        tokens = np.array([64] * 84 + [long] * 16, dtype=np.int64)
        lengths = RowLengths(tokens, tokens - 8, np.full(100, 8), tokens)
        chosen.append(compiled(replace(draft, lengths={**draft.lengths, "train": lengths})).candidate.micro_batch)
    assert chosen[0] == 8
    assert chosen[1] < 8


@pytest.mark.parametrize(
    ("lengths", "packs"),
    [([100] * 40, False), ([30] * 37 + [400] * 3, True), ([*range(52, 132, 2)], False)],
    ids=["even", "few long", "short"],
)
def test_rows_are_packed_where_that_is_faster(lengths: list[int], packs: bool) -> None:
    draft = draft_of(task={"kind": "chat"}, train={"batch_size": 8, "micro_batch": 8}, facts=model_facts(hidden=1024))
    tokens = np.array(lengths, dtype=np.int64)
    rows = RowLengths(tokens, tokens - 8, np.full_like(tokens, 8), tokens)
    decided = compiled(
        replace(
            draft,
            splits={**draft.splits, "train": split_report(40, tokens=int(tokens.sum()), length_max=max(lengths))},
            lengths={"train": rows},
        )
    )
    assert decided.candidate.packing is packs
    assert "the roofline" in decided.origins["train.packing"].reason


def test_what_fits_by_luck_needs_consent() -> None:
    for allow, codes in ((False, {"FTC405"}), (True, set())):
        budget = {"vram": "550MiB", "allow_tight": allow}
        draft = compiled(draft_of(device=CARD, budget=budget))
        assert draft.memory is not None
        assert draft.memory.verdict == "tight"
        assert {finding.code for finding in draft.diagnostics} & {"FTC402", "FTC405"} == codes


def past(draft: Draft, seconds: float, **changes: Any) -> PastRun:
    """A run of the draft's job that took so long in training."""
    work = compiled(draft).work
    assert work is not None
    run = PastRun("cpu", 4, "models/tiny", "lora", "float32", work=work.phases, seconds={"train": seconds})
    return replace(run, **changes)


def test_time_comes_from_earlier_runs_where_nothing_else_is_known() -> None:
    draft = draft_of(train={"batch_size": 10})
    assert compiled(draft).time is None
    assert any(reason.startswith("Time not estimated:") for reason in compiled(draft).not_checked)
    time = compiled(replace(draft, past_runs=(past(draft, 100), past(draft, 200)))).time
    assert time is not None
    assert (time.source, time.method) == ("earlier runs", "2 earlier runs of this model on this device")
    train = next(phase.seconds for phase in time.phases if phase.phase == "train")
    assert train.low == pytest.approx(100 / 1.15)
    assert train.high == pytest.approx(200 * 1.15)
    other = compiled(replace(draft, past_runs=(past(draft, 100, model="models/other"),))).time
    assert other is not None
    assert "other models" in other.method
    for foreign in ({"threads": 2}, {"precision": "bfloat16"}, {"device": "t4"}):
        assert compiled(replace(draft, past_runs=(past(draft, 100, **foreign),))).time is None
    silent = replace(past(draft, 100), seconds={})  # a record of before seconds were kept by phase
    assert compiled(replace(draft, past_runs=(silent,))).time is None


@pytest.mark.parametrize(
    ("budget", "codes"),
    [
        ({"time": "30s"}, ["FTC403"]),
        ({"time": "110s"}, ["FTC406"]),
        ({"time": "2h"}, []),
        ({"cost": "1 USD", "price_per_hour": "90 USD"}, ["FTC404"]),
        ({"cost": "2.75 USD", "price_per_hour": "90 USD"}, ["FTC407"]),
        ({"cost": "9 USD", "price_per_hour": "90 USD"}, []),
    ],
)
def test_limits_of_time_and_cost(budget: dict[str, str], codes: list[str]) -> None:
    draft = draft_of(train={"batch_size": 10}, budget=budget)
    draft = replace(draft, past_runs=(past(draft, 100),))
    assert [finding.code for finding in compiled(draft).diagnostics] == codes


def test_a_disk_that_is_too_small_is_told_before_the_run() -> None:
    draft = draft_of()
    needed = sum(compiled(draft).disk.values())
    (found,) = compiled(replace(draft, free_disk=needed - 1)).diagnostics
    assert (found.code, found.help) == ("FTC408", ("free disk space, or lower `train.keep_checkpoints`",))
    (found,) = compiled(replace(draft, free_disk=1)).diagnostics
    assert (found.code, found.help) == ("FTC408", ("free disk space",)), "fewer checkpoints would not do"
    assert not compiled(replace(draft, free_disk=needed)).diagnostics


def test_a_card_of_the_catalog_gives_a_range_with_what_it_rests_on() -> None:
    draft = draft_of(device=resolve_device("rtx-4090", cards=list), budget={"price_per_hour": "0.40 USD"})
    time = compiled(draft).time
    assert time is not None
    assert time.source == "data sheet"
    assert 0 < time.low_seconds < time.expected_seconds < time.high_seconds
    assert time.low_seconds == pytest.approx(sum(phase.seconds.low for phase in time.phases))
    assert time.cost_high is not None
    assert time.cost_high.amount == pytest.approx(time.high_seconds / 9000)
    assert time.energy_high_joules == pytest.approx(450 * time.high_seconds)


@pytest.mark.slow
@given(st.integers(1, 4), st.integers(1, 60), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_more_work_takes_longer(epochs: int, tokens: int, batch: int) -> None:
    """Time rises with epochs and tokens; larger batches of the same rows launch less and so never take longer."""

    def seconds(epochs: int, tokens: int, batch: int) -> float:
        draft = draft_of(
            device=resolve_device("rtx-4090", cards=list),
            task={"kind": "chat"},
            train={"epochs": epochs, "batch_size": batch, "packing": False},
        )
        splits = {name: split_report(40, tokens=40 * tokens, length_max=100) for name in draft.splits}
        time = compiled(replace(draft, splits=splits)).time
        assert time is not None
        return next(phase.seconds.expected for phase in time.phases if phase.phase == "train")

    here = seconds(epochs, tokens, batch)
    assert seconds(epochs + 1, tokens, batch) > here
    assert seconds(epochs, tokens + 30, batch) >= here
    assert seconds(epochs, tokens, batch + 4) <= here


def test_longer_rows_need_more_memory() -> None:
    peaks = []
    for longest in (10, 50, 100):
        draft = draft_of(device=CPU, task={"kind": "chat"})
        split = split_report(100, length_max=longest)
        memory = compiled(replace(draft, splits={**draft.splits, "train": split})).memory
        assert memory is not None
        peaks.append(memory.peak_bytes)
    assert peaks == sorted(peaks)
    assert len(set(peaks)) == 3
