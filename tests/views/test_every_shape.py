"""Every page is drawn whatever a run measured: each task, texts of any script, numbers of any size, and none at all.

Beside the metrics stand what some runs measure besides: forgetting, swapped answers, grades of a judge, shares by a
classifier, of models that read images too.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ftc.spec.documents.attributions import Attribution, TokenWeight
from ftc.spec.documents.events import Evaluated, Event, SampledStep, StepDone
from ftc.spec.documents.findings import BaselineResult
from ftc.spec.documents.intervals import Interval
from ftc.spec.documents.judging import JudgeEstimate, JudgeUse, TokenRange
from ftc.spec.documents.loss_settings import EmbeddingSettings, SamplingSettings
from ftc.spec.documents.outcomes import OTHER_LABEL, Outcome, Said
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import (
    ClassifierResult,
    Evaluation,
    Gain,
    Gap,
    GroupResult,
    JudgeResult,
    Prediction,
    RetentionResult,
    SliceResult,
    SwapExample,
    SwapPair,
    SwapsResult,
)
from ftc.spec.heads import head_card
from ftc.spec.metrics import METRICS
from ftc.spec.rewards import RewardTerm
from ftc.spec.sections.evaluation import Judge
from ftc.spec.tasks import TASKS
from ftc.spec.tasks.card import EVERY_FAMILY, Mode
from ftc.spec.text_forms import form_card
from ftc.views.card import model_card
from ftc.views.report.charts import drawer
from ftc.views.report.run_report import report_html
from ftc.views.run import run_html, run_text
from tests.spec.test_task_cards import every_option
from tests.support import documents
from tests.support.vision_settings import tiny_vision

MODES = {
    (mode.head, mode.form, mode.traits): mode
    for task in TASKS
    for one in every_option(task)
    for mode in (one.mode_for(family) for family in EVERY_FAMILY)
}
"""Every way to do a task."""
LABELS = ("", "money", "`spört`", OTHER_LABEL, "<b>", "长" * 40)
words = st.text(max_size=30) | st.sampled_from(["", "\x00", "\u202e", "a@b.example", "</script>", "x" * 3000, *LABELS])
tokens = words.filter(lambda word: len(word) < 64)  # behind more letters an address is none
typed = words.filter(lambda word: "@" not in word)  # in a recipe or by ftc, and a report may show it
reals = st.floats(allow_nan=False, allow_infinity=False)
losses = st.floats(0, 1e300)


REWARDS = (RewardTerm(kind="exact_match"), RewardTerm(kind="regex", pattern="[0-9]+", weight=-0.5))
SAMPLING = SamplingSettings(
    rewards=REWARDS, loss="grpo", group_size=4, max_new_tokens=8, temperature=1.0, top_k=0, beta=0.0
)
EMBEDDING = EmbeddingSettings(
    loss="multiple_negatives", temperature=0.05, pooling="mean", normalize=True, matryoshka=(8, 16)
)


VISION = tiny_vision("llava", 16, pixels="0" * 64)
JUDGE = Judge(url="http://localhost/v1", model="`<large>`")


def plan_of(mode: Mode, *, reads_images: bool = False, is_judged: bool = False) -> Plan:
    plain = documents.plan().settings.model_dump(mode="python")
    has_labels = head_card(mode.head).is_labeled or mode.writes_labels
    how: dict[str, Any] = {"sampling": SAMPLING} if form_card(mode.form).is_sampled else {}
    how |= {"embedding": EMBEDDING} if mode.form == "embed" else {}
    estimate = JudgeEstimate(
        requests=18,
        at_once=4,
        sent=TokenRange(low=5_000, expected=5_100, high=6_000),
        received_high=18_432,
        method="the base model's tokenizer",
        seconds=None,
        seconds_method="",
    )
    return documents.plan(
        judge=estimate if is_judged else None,
        settings=plain
        | {
            "model": plain["model"] | {"head": mode.head} | ({"vision": VISION} if reads_images else {}),
            "eval": plain["eval"] | ({"judge": JUDGE} if is_judged else {}),
            "text": plain["text"] | {"form": mode.form, "labels": LABELS if has_labels else ()},
            "train": plain["train"] | how,
        },
    )


@st.composite
def said(draw: Any, mode: Mode) -> Said:
    head = head_card(mode.head)
    return Said(
        text=draw(st.none() | words) if not head.is_labeled else draw(st.sampled_from(LABELS)),
        loss_sum=draw(losses),
        targets=draw(st.integers(0, 9)),
        confidence=draw(st.floats(0, 1)) if head.has_confidence else None,
        predicted=draw(predicted(mode)),
    )


@st.composite
def predicted(draw: Any, mode: Mode) -> tuple[float, ...]:
    """Classes or tags, three figures of a pair, rank and similarity of a query, or nothing."""
    if head_card(mode.head).keeps_targets:
        return tuple(draw(st.lists(st.integers(0, len(LABELS) - 1).map(float), max_size=4)))
    if form_card(mode.form).is_pair:
        return draw(reals), draw(reals), draw(reals)
    return (float(draw(st.integers(1, 10**6))), draw(reals)) if mode.form == "embed" else ()


@st.composite
def outcomes(draw: Any, mode: Mode) -> list[Outcome]:
    has_base, has_text = draw(st.booleans()), draw(st.booleans())
    expected = st.sampled_from(LABELS) if head_card(mode.head).is_labeled or mode.writes_labels else words
    return [
        Outcome(
            row=row,
            prompt=draw(words),
            expected=draw(expected) if has_text else None,
            targets=tuple(draw(st.lists(st.integers(0, len(LABELS) - 1), max_size=4))),
            right=tuple(draw(st.lists(words, max_size=2))),
            base=draw(said(mode)) if has_base else None,
            tuned=draw(said(mode)),
        )
        for row in range(draw(st.integers(0, 8)))
    ]


@st.composite
def baselines(draw: Any, names: list[str]) -> tuple[BaselineResult, ...]:
    kinds = draw(st.lists(st.sampled_from(["majority", "tfidf", "nearest"]), max_size=3, unique=True))
    return tuple(
        BaselineResult(
            kind=kind,
            method="the most frequent label",
            rows=draw(st.integers(0, 10**9)),
            metrics={name: draw(reals) for name in names},
            gains={name: Gain(value=draw(reals), interval=None) for name in names},
            seconds=draw(losses),
        )
        for kind in kinds
    )


@st.composite
def slices(draw: Any, names: list[str]) -> tuple[SliceResult, ...]:
    groups = tuple(
        GroupResult(
            group=group, detail="up to 9 tokens", rows=draw(st.integers(0, 99)), tuned={n: draw(reals) for n in names}
        )
        for group in draw(st.lists(words, min_size=1, max_size=4, unique=True))
    )
    lowest, highest = groups[0].group, groups[-1].group
    gaps = {
        name: Gap(value=draw(losses), interval=None, by_chance=draw(st.none() | losses), lowest=lowest, highest=highest)
        for name in names
    }
    return (SliceResult(slice="region", groups=groups, gaps=gaps if len(groups) > 1 else {}),)


intervals = st.none() | st.builds(Interval, low=reals, high=reals)
gains = st.builds(Gain, value=reals, interval=intervals)
retentions = st.builds(
    RetentionResult,
    blocks=st.integers(0, 10**9),
    tokens=st.integers(0, 10**15),
    base=losses,
    tuned=losses,
    forgetting=gains,
)
swaps = st.builds(
    SwapsResult,
    rows=st.integers(0, 10**9),
    share=st.floats(0, 1),
    interval=intervals,
    base=st.none() | st.floats(0, 1),
    change=st.none() | gains,
    pairs=st.lists(
        st.builds(
            SwapPair, phrase=typed, other=typed, rows=st.integers(0, 9), changed=st.integers(0, 9), base=st.none()
        ),
        max_size=3,
    ).map(tuple),
    examples=st.lists(
        st.builds(
            SwapExample, row=st.integers(0, 9), place=typed, phrase=typed, other=typed, before=words, after=words
        ),
        max_size=3,
    ).map(tuple),
)
uses = st.builds(
    JudgeUse,
    url=st.just(JUDGE.url),
    requests=st.integers(0, 10**9),
    answered=st.integers(0, 10**9),
    at_once=st.integers(1, 99),
    seconds=losses,
    answer_seconds=losses,
    with_usage=st.integers(0, 10**9),
    sent_tokens=st.integers(0, 10**15),
    received_tokens=st.integers(0, 10**15),
)
grades = st.none() | st.floats(1, 10)
judged = st.builds(
    JudgeResult,
    model=typed,
    rows=st.integers(0, 10**9),
    graded=st.integers(0, 10**9),
    tuned=grades,
    interval=intervals,
    base=grades,
    gain=st.none() | gains,
    failure=typed,
    use=st.none() | uses,
)
classified = st.builds(
    ClassifierResult,
    name=typed,
    label=typed,
    rows=st.integers(0, 10**9),
    tuned=st.floats(0, 1),
    interval=st.builds(Interval, low=reals, high=reals),
    base=st.none() | st.floats(0, 1),
    gain=st.none() | gains,
    examples=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    cut=st.integers(0, 9),
)


@st.composite
def evaluations(draw: Any, mode: Mode) -> Evaluation | None:
    if draw(st.booleans()) and draw(st.booleans()):
        return None
    names = draw(st.lists(st.sampled_from([one.name for one in METRICS]), max_size=4, unique=True))
    metrics = {name: draw(reals) for name in names}
    tuned = {"metrics": metrics, "rows": draw(st.integers(0, 10**12)), "seconds": draw(losses)}
    base = {**tuned, "metrics": {name: draw(reals) for name in names}} if draw(st.booleans()) else None
    texts = st.lists(st.tuples(words, words, words, words), max_size=3)
    return documents.evaluation(
        tuned=tuned,
        base=base,
        gains={},
        gates=(),
        baselines=draw(st.just(()) | baselines(names)),
        slices=draw(st.just(()) | slices(names)),
        retention=draw(st.none() | retentions),
        swaps=draw(st.none() | swaps),
        judge=draw(st.none() | judged),
        classifier=draw(st.none() | classified),
        predictions=tuple(
            Prediction(row=row, text=a, expected=b, base=c if base else None, tuned=d)
            for row, (a, b, c, d) in enumerate(draw(texts))
        ),
        attributions=tuple(
            Attribution(row=0, label=label, tokens=tuple(TokenWeight(text=text, weight=draw(reals)) for text in tokens))
            for label, tokens in draw(
                st.lists(st.tuples(st.sampled_from(LABELS), st.lists(tokens, max_size=3)), max_size=2)
            )
        ),
    )


sampled_steps = st.builds(
    SampledStep,
    answers=st.integers(0, 10**9),
    reward=reals,
    correct=st.floats(0, 1),
    length=losses,
    ended=st.floats(0, 1),
    even_groups=st.floats(0, 1),
    seconds=losses,
)


@st.composite
def events(draw: Any) -> list[Event]:
    found: list[Event] = []
    for step in range(1, draw(st.integers(0, 5))):
        fields = {name: draw(losses) for name in ("epoch", "loss", "learning_rate", "grad_norm", "seconds")}
        sampled = draw(st.none() | sampled_steps)
        found.append(StepDone(step=step, tokens=draw(st.integers(0, 10**15)), supervised=0, sampled=sampled, **fields))
        if draw(st.booleans()):
            found.append(
                Evaluated(step=step, metrics={"val_loss": draw(losses)}, best=draw(st.booleans()), seconds=0.0)
            )
    return found


@pytest.mark.parametrize(
    "mode", MODES.values(), ids=[f"{head}-{form}-{'-'.join(traits)}" for head, form, traits in MODES]
)
@given(data=st.data())
@settings(max_examples=6, derandomize=True, phases=(Phase.generate,))
def test_every_page_is_drawn(mode: Mode, data: st.DataObject) -> None:
    writes = head_card(mode.head).writes
    plan = plan_of(
        mode, reads_images=writes and data.draw(st.booleans()), is_judged=writes and data.draw(st.booleans())
    )
    record, evaluation = documents.record(plan), data.draw(evaluations(mode))
    page = report_html(plan, record, evaluation, data.draw(events()), data.draw(outcomes(mode)))
    assert page.startswith("<!doctype html>")
    assert "</script>" not in page
    assert "a@b.example" not in page
    assert model_card(plan, record, evaluation)
    assert run_text(plan, record, evaluation, "runs/x")
    assert run_html(plan, record, evaluation)


@pytest.mark.charts
@given(data=st.data())
@settings(max_examples=2, derandomize=True, phases=(Phase.generate,))
def test_every_chart_is_drawn(data: st.DataObject) -> None:
    mode = next(one for one in MODES.values() if head_card(one.head).has_confidence)
    plan = plan_of(mode)
    rows, happened = data.draw(outcomes(mode)), data.draw(events())
    page = report_html(plan, documents.record(plan), data.draw(evaluations(mode)), happened, rows, drawer())
    assert page.startswith("<!doctype html>")


@pytest.mark.parametrize("prose", ["base", "tuned", "both"])
def test_a_model_that_writes_prose_stands_beside_one_that_names_a_class(prose: str) -> None:
    """The usual case of a generated class: the base writes anything, the tuned model a class."""
    (mode,) = (one for one in MODES.values() if one.writes_labels and one.form == "prompt")
    plan = plan_of(mode)

    def text(model: str) -> Said:
        return Said(text="I think so!" if prose in (model, "both") else LABELS[1], loss_sum=1.0, targets=2)

    rows = [
        Outcome(row=number, prompt="a", expected=label, base=text("base"), tuned=text("tuned"))
        for number, label in enumerate((*LABELS[1:3], LABELS[1]))
    ]
    page = report_html(plan, documents.record(plan), documents.evaluation(), [], rows)
    assert OTHER_LABEL in page
