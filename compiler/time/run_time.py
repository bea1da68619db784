"""How long each phase of a run takes: arithmetic by a roofline, files and libraries by their sizes, or as before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, get_args

from ftc.compiler.draft import ClosedDraft, Draft, PastRun
from ftc.compiler.time.eval_work import answers_expected
from ftc.compiler.time.run_work import RunWork, evaluations
from ftc.compiler.time.speed import (
    DeviceSpeed,
    Kind,
    by_data_sheet,
    calibrated_speed,
    narrowed,
    scale_only,
    seconds_for,
)
from ftc.compiler.weights import checkpoint_bytes, result_bytes
from ftc.spec.base import Money
from ftc.spec.documents.estimates import Phase, PhaseTime, SecondsRange, Work
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.judging import AT_ONCE, JudgeEstimate, TokenRange
from ftc.spec.judges import Judge
from ftc.spec.precisions import Precision, precision_card

__all__ = [
    "RunTime",
    "cost_of",
    "job_speed",
    "judge_cost",
    "judge_estimate",
    "judge_seconds",
    "num_paid",
    "price_of",
    "run_time",
    "server_is_timed",
]

_ALIKE, _OTHER = 0.15, 0.6
"""How far beyond earlier runs the next one may lie: of the same model and strategy, and of any other."""
_SAME = 0.05
"""How far the work of a job may be from that of another one that counts as the same again."""
_SHOWN_RUNS = 8
_KINDS: Mapping[Phase, Kind] = {
    **dict.fromkeys(get_args(Phase), "read"),
    **{"train": "train", "prove": "train", "sample": "write", "generate": "write"},
}
"""What goes through the model in a phase."""
_IMPORT_SECONDS = SecondsRange(low=3.0, expected=8.0, high=40.0)
"""torch, transformers and peft, from a warm cache to a cold disk of the slow kind."""
_READ_RATE = (2e9, 0.7e9, 0.08e9)
"""Bytes a second of files that are hashed and then loaded."""
_WRITE_RATE = (1e9, 0.3e9, 0.04e9)
_COPY_RATE = (12e9, 4e9, 1e9)
"""Bytes a second into host RAM that isn't pinned: from a GPU, or from elsewhere in it."""
_SAVE_SECONDS = (0.01, 0.05, 0.5)
"""What a checkpoint costs beside its bytes: its files are made durable one by one."""


class RunTime(NamedTuple):
    """Seconds by phase, and what they rest on.

    Attributes:
        phases: In the order in which they begin.
        speed: What the arithmetic rests on.
    """

    phases: tuple[PhaseTime, ...]
    speed: DeviceSpeed


def run_time(draft: ClosedDraft, work: RunWork) -> RunTime | None:
    """The time of a draft's run; None where nothing is known of its device's speed."""
    alike, others = _earlier(draft)
    speed = job_speed(draft)
    if speed is None:
        return None
    phases = [*_files(draft, alike), *_arithmetic(draft, work, alike, others)]
    order: tuple[Phase, ...] = get_args(Phase)
    known = {phase.phase: phase for phase in phases}
    return RunTime(tuple(known[name] for name in order if name in known), speed)


def job_speed(draft: ClosedDraft) -> DeviceSpeed | None:
    """The speed of a draft's device at training, by the best source there is; None where there is none."""
    base, (alike, others) = _base(draft, "train", draft.train.precision), _earlier(draft)
    if base is None and not alike and not others:
        return None
    base = base or scale_only()
    return _narrowed(base, base, alike, others, "train")


def _base(draft: ClosedDraft, kind: Kind, precision: Precision) -> DeviceSpeed | None:
    card = precision_card(precision)
    if card.float8 is not None and card.float8_time(draft.device) is None:
        return None
    found = calibrated_speed(draft, kind, precision) or by_data_sheet(draft.device, precision)
    return replace(found, prepares_ahead=kind == "train") if found is not None else None


def _earlier(draft: ClosedDraft) -> tuple[list[PastRun], list[PastRun]]:
    """Runs of this device in this precision: those of the same model and strategy, and the others."""
    device, threads, precision = draft.device.name, draft.threads, draft.train.precision
    here = [
        _by_writer(draft, run)
        for run in draft.past_runs
        if (run.device, run.precision) == (device, precision) and (run.threads == threads or draft.device.kind != "cpu")
    ]
    job = (draft.model.name, draft.recipe.strategy.kind)
    here = [run for run in here if _tells_pace(run)]
    if draft.row_images:  # records of ftc before it counted what reads images have no pixels
        here = [run for run in here if run.model != draft.model.name or run.work["train"].pixels]
    alike = [run for run in here if (run.model, run.strategy) == job]
    return alike[:_SHOWN_RUNS], [run for run in here if run not in alike][:_SHOWN_RUNS]


def _by_writer(draft: Draft, run: PastRun) -> PastRun:
    """A run without the time of writing where something else wrote: a server's speed is no run's own."""
    sampling = draft.recipe.task.sampling
    if run.writer == (sampling.writer if sampling is not None else ""):
        return run
    return replace(run, seconds={phase: seconds for phase, seconds in run.seconds.items() if phase != "sample"})


def server_is_timed(draft: ClosedDraft) -> bool:
    """Whether an earlier run of the same model had its answers written by such a server, so that its time is known."""
    return any(run.seconds.get("sample") for run in _earlier(draft)[0])


def _tells_pace(run: PastRun) -> bool:
    """Whether it is known what a run's training did and how long that took; older records don't say."""
    return "train" in run.work and run.seconds.get("train", 0.0) > 0


def _narrowed(
    base: DeviceSpeed, training: DeviceSpeed, alike: Sequence[PastRun], others: Sequence[PastRun], phase: Phase
) -> DeviceSpeed:
    """The speed at a phase, as earlier runs show it.

    Args:
        base: By data sheet or calibration, at passes of the phase's kind.
        training: The same at training steps.
        alike: Runs of the same model and strategy.
        others: Other runs of the device.
        phase: Where none of them has it, their training tells of the machine, if of nothing else.
    """
    if ratios := _ratios(base, alike, phase):
        return narrowed(base, ratios, _ALIKE, f"{_runs(ratios)} of this model on this device")
    if ratios := _ratios(training, alike, "train"):
        return narrowed(base, ratios, _OTHER, f"training of {_runs(ratios)} of this model on this device")
    if not others or base.source == "calibration":  # passes of small models were measured there already
        return base
    ratios = _ratios(base, others, phase) or _ratios(training, others, "train")
    if not ratios:  # their records say that training did nothing
        return base
    words = f"{_runs(ratios)} of other models on this device"
    return narrowed(base, ratios, _OTHER, words, of_other_models=True)


def _ratios(base: DeviceSpeed, runs: Sequence[PastRun], phase: Phase) -> list[float]:
    """What runs took by the roofline's figure."""
    pairs = [(run.seconds.get(phase, 0.0), run.work.get(phase)) for run in runs]
    by_figure = [(seconds, seconds_for(work, base).expected) for seconds, work in pairs if work and seconds > 0]
    return [seconds / expected for seconds, expected in by_figure if expected > 0]


def _runs(runs: Sequence[object]) -> str:
    return f"{len(runs)} earlier {'run' if len(runs) == 1 else 'runs'}"


def _arithmetic(
    draft: ClosedDraft, work: RunWork, alike: Sequence[PastRun], others: Sequence[PastRun]
) -> Iterator[PhaseTime]:
    usual = draft.train.precision
    training = _base(draft, "train", usual) or scale_only()
    for phase, amounts in work.phases.items():
        exact = phase == "grade" and draft.grader is not None  # a classifier computes in float32
        precision: Precision = "float32" if exact else usual
        base = _base(draft, _KINDS[phase], precision) or scale_only()
        beside = work.scores if exact and not _ratios(base, alike, phase) else None
        if beside is not None:  # a reward model doesn't
            amounts = _less(amounts, beside)
        speed = _narrowed(base, training, alike, others, phase)
        lengths = answers_expected(draft) if phase == "generate" else ""
        if any(_is_same(run.work.get(phase), amounts[1]) for run in alike if run.seconds.get(phase)):
            amounts, lengths = (amounts[1],) * 3, ""  # such a run tells how long answers were, too
        apart = work.prompts if phase == "generate" and not _ratios(base, alike, phase) else None
        rest = tuple(amount.less(apart) for amount in amounts) if apart else amounts
        low, expected, high = (seconds_for(amount, speed) for amount in rest)
        seconds = SecondsRange(low=low.low, expected=expected.expected, high=high.high)
        if apart:  # prompts are read at once, as rows that are scored
            read = _base(draft, "read", usual) or scale_only()
            seconds = seconds.plus(seconds_for(apart, _narrowed(read, training, alike, others, "evaluate")))
        if beside is not None:
            speed = _narrowed(_base(draft, _KINDS[phase], usual) or scale_only(), training, alike, others, phase)
            low, expected, high = (seconds_for(amount, speed) for amount in beside)
            seconds = seconds.plus(SecondsRange(low=low.low, expected=expected.expected, high=high.high))
        yield PhaseTime(phase=phase, seconds=seconds, method="; ".join(filter(None, (speed.method, lengths))))


def _less(amounts: tuple[Work, Work, Work], part: tuple[Work, Work, Work]) -> tuple[Work, Work, Work]:
    """What is left at the least, as expected and at the most beside a part."""
    low, expected, high = (one.less(own) for one, own in zip(amounts, part, strict=True))
    return low, expected, high


def _is_same(before: Work | None, now: Work) -> bool:
    return before is not None and abs(before.flops - now.flops) <= _SAME * now.flops


def _files(draft: ClosedDraft, alike: Sequence[PastRun]) -> Iterator[PhaseTime]:
    """Loading and saving: as earlier runs of the same model did, or by the bytes."""
    phases: dict[Phase, SecondsRange] = {"load": _loading(draft), "save": _saving(draft)}
    for phase, by_size in phases.items():
        method = "sizes, at the rates of disks"
        seen = [seconds for run in alike if (seconds := run.seconds.get(phase, 0.0)) > 0]
        if seen:
            mean = sum(seen) / len(seen)
            by_size = SecondsRange(low=min(seen) / (1 + _ALIKE), expected=mean, high=max(seen) * (1 + _ALIKE))
            method = f"{_runs(seen)} of this model on this device"
        yield PhaseTime(phase=phase, seconds=by_size, method=method)


def _loading(draft: Draft) -> SecondsRange:
    """Libraries once, and the weights as often as a model is built; each process of a proof does it, too.

    A teacher is loaded once in each.
    """
    size = _weights_size(draft.model)
    processes = 1 + 2 * bool(draft.determinism.proof_steps)
    builds = processes + ("test" in draft.splits)
    calibrated = draft.calibration.measured.import_seconds if draft.calibration else None
    libraries = _IMPORT_SECONDS
    if calibrated is not None:
        libraries = SecondsRange(low=0.7 * calibrated, expected=calibrated, high=3 * calibrated)
    read = builds * size + processes * (_weights_size(draft.teacher.model) if draft.teacher else 0)
    low, expected, high = (read / rate for rate in _READ_RATE)
    return SecondsRange(
        low=processes * libraries.low + low,
        expected=processes * libraries.expected + expected,
        high=processes * libraries.high + high,
    )


def _weights_size(model: ModelFacts) -> int:
    return sum(facts.size for name, facts in model.files.items() if name.endswith(".safetensors"))


def _saving(draft: ClosedDraft) -> SecondsRange:
    """A checkpoint at each evaluation, and the result.

    In the background training waits for the copy, and for the last one, which is written as any other; at the worst a
    step takes no longer than before and each is waited for.
    """
    saves, size = evaluations(draft), checkpoint_bytes(draft)
    copied = size * (saves - 1) if draft.train.save_in_background else 0
    written = size * saves - copied + result_bytes(draft)
    rates = zip((written, written, written + copied), _WRITE_RATE, _COPY_RATE, _SAVE_SECONDS, strict=True)
    low, expected, high = (bytes_ / rate + copied / copies + (saves + 1) * each for bytes_, rate, copies, each in rates)
    return SecondsRange(low=low, expected=expected, high=high)


_BEYOND = 0.6
"""How far beyond the requests of earlier runs the next ones may lie: others use the service, too."""
_MILLION = 1_000_000


def judge_estimate(draft: Draft) -> JudgeEstimate | None:
    """The estimate for a draft's run; None where nobody is asked, or the rows' messages weren't counted."""
    judge, counted = draft.recipe.eval.judge, draft.judged
    longest = draft.eval.max_new_tokens
    if judge is None or counted is None or longest is None:
        return None
    subjects = 2 if draft.eval.baseline else 1
    requests = subjects * draft.splits["test"].measured(draft.text.form)
    high = subjects * counted.empty + requests * longest
    sent = TokenRange(low=subjects * counted.empty, expected=min(subjects * counted.expected, high), high=high)
    received = requests * judge.max_tokens
    seconds, method = judge_seconds(requests, draft, judge)
    return JudgeEstimate(
        requests=requests,
        at_once=min(AT_ONCE, requests),
        sent=sent,
        received_high=received,
        method="the base model's tokenizer, because the judge's is unknown",
        seconds=seconds,
        seconds_method=method,
        cost_low=judge_cost(draft, sent.low, requests),
        cost_high=judge_cost(draft, sent.high, received),
    )


def judge_seconds(requests: int, draft: Draft, judge: Judge) -> tuple[SecondsRange | None, str]:
    """As long as requests took in earlier runs that were answered by the same judge, so many at once."""
    uses = ((run.judge_model, run.judge) for run in draft.past_runs)
    found = [use for model, use in uses if use and use.answered and (model, use.url) == (judge.model, judge.url)]
    before = found[:_SHOWN_RUNS]
    each = [use.answer_seconds / use.answered for use in before if use.at_once == min(AT_ONCE, requests)]
    if not each or not requests:
        return None, ""
    rounds = requests / min(AT_ONCE, requests)
    words = f"{len(each)} earlier {'run' if len(each) == 1 else 'runs'} with this judge"
    return (
        SecondsRange(
            low=rounds * min(each) / (1 + _BEYOND),
            expected=rounds * sum(each) / len(each),
            high=rounds * max(each) * (1 + _BEYOND),
        ),
        words,
    )


def judge_cost(draft: Draft, sent: int, received: int) -> Money | None:
    """What so many tokens cost at a judge; None without a price."""
    price = draft.recipe.budget.price_per_million_tokens
    if price is None:
        return None
    amount = (sent * price.sent.amount + received * price.received.amount) / _MILLION
    return Money(amount=amount, currency=price.sent.currency)


def price_of(draft: Draft) -> Money | None:
    """What an hour of a device costs: by the recipe, else by the project's policy."""
    return draft.recipe.budget.price_per_hour or draft.prices.get(draft.device.name)


def num_paid(draft: ClosedDraft) -> int:
    """Devices that are paid for: all processes on a CPU share it."""
    return draft.recipe.budget.nodes if draft.device.kind == "cpu" else draft.candidate.devices


def cost_of(draft: ClosedDraft, seconds: float, judge: Money | None = None) -> Money | None:
    """What a settled draft's devices cost in so many seconds, with what its judge costs.

    None where devices have no price, or one in another currency than the judge's.
    """
    price = price_of(draft)
    if price is None or (judge is not None and judge.currency != price.currency):
        return None
    amount = num_paid(draft) * seconds / 3600 * price.amount
    return Money(amount=amount + (judge.amount if judge is not None else 0.0), currency=price.currency)
