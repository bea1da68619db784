"""The answers that a run wrote in training, against the plan: which prompts, what they earned, what that is worth.

Rewards and advantages are computed again from the tokens of each answer, by the same definitions but from the record
alone, and so is the digest of what each step was fed. Whether the model wrote these tokens is more than this level can
say: a replay samples them again, unless a server wrote them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from ftc.compiler.audit.tally import SAMPLES, SERVED, Tally, difference, finding, plural
from ftc.compiler.resolve.models.vision_config import language_part
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.events import Event, SampledStep, without_repeats
from ftc.spec.documents.loss_settings import SamplingSettings
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.sampled import (
    Earned,
    SampledAgain,
    SampledAnswer,
    WrittenAnswer,
    answer_kind,
    read_answers,
    server_means,
)
from ftc.spec.documents.streams import TokenStream, open_stream
from ftc.spec.rewards import is_correct
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.reading import parse_json
from ftc.spec.writing import Writing

__all__ = ["Recompute", "check_sampled"]

Recompute = Callable[[Sequence[WrittenAnswer], TokenStream, Path, str], SampledAgain]
"""What answers earn by a plan and what their steps were fed, computed from their tokens, the training split and the
tokenizer's folder; with why what they earn can't be computed, empty where it can."""

_CLOSE = 1e-9
_MOST = 5
"""Findings of one kind that are listed."""
_FILE = "answers.ndjson"


def check_sampled(
    tally: Tally,
    plan: Plan,
    run: RunFolder,
    record: RunRecord,
    events: Sequence[Event],
    folders: tuple[Path | None, Path | None],
    recompute: Recompute,
) -> None:
    """Compares written answers with plan, events and their own tokens; nothing where a plan has none written.

    Args:
        tally: What was found so far.
        plan: What was to be written.
        run: The run's folder.
        record: Its record.
        events: What it said.
        folders: Folders of the base model and of the token streams; None where one is not here.
        recompute: Gives what answers earn and what their steps were fed.
    """
    writing = plan.settings.train.writing
    if writing is None or not run.answers.is_file():
        return
    answers = list(read_answers(run.answers, answer_kind(earns=plan.settings.train.sampling is not None)))
    found = [*_by_events(plan.settings.train.sampling, writing, answers, events, record.steps_done)]
    model, streams = folders
    stream = streams / "train.arrow" if streams is not None else None
    if model is None or stream is None or not stream.is_file():
        tally.not_checked.append(f"the answers in {_FILE}: the base model or the token streams are not here")
    else:
        rows = open_stream(stream)
        found += _prompts(plan, rows, answers)
        if not found:
            found += _tokens(plan, model, answers)
        if not found:
            try:
                again = recompute(answers, rows, model, _without_scores(tally, plan.settings.train.sampling))
            except (ValueError, LookupError, TypeError, ArithmeticError) as problem:
                hint = "no run trains on such answers; restore the run's folder from a copy"
                found.append(finding("FTC537", _FILE, "answers that earn something", problem, hint))
            else:
                if plan.settings.train.sampling is not None:
                    sampled = [one for one in answers if isinstance(one, SampledAnswer)]
                    found += _rewards(tally, sampled, again.earned)
                    tally.not_checked += [f"{_FILE}: {again.left_out}"] if again.left_out else []
                found += _fed(tally, events, again.fed)
    tally.not_checked.append(SAMPLES if writing.here else SERVED)
    tally.findings[:0] = found[:_MOST]


def _without_scores(tally: Tally, sampling: SamplingSettings | None) -> str:
    """Why no reward model can speak about answers: another one than the run's accuses an honest run."""
    own = sampling.reward_model if sampling is not None else None
    if own is not None and "reward_model" in tally.changed:
        return "the reward model is not the one that was locked"
    return ""


def _by_events(
    sampling: SamplingSettings | None,
    writing: Writing,
    answers: Sequence[WrittenAnswer],
    events: Sequence[Event],
    steps_done: int,
) -> Iterator[Finding]:
    """Each step's answers are as many as its event says, and what it sums up of them is so."""
    said = {step.step: step for step in without_repeats(events)[0]}
    kept = {step: list(group) for step, group in groupby(answers, key=lambda one: one.step)}
    yield from difference(f"{_FILE}: number of steps", len(kept), writing.count(steps_done), "record.json")
    others = [step for step in sorted(kept) if not (1 <= step <= steps_done and writing.at(step - 1))]
    yield from difference(f"{_FILE}: steps that train on rows alone", others, [], "plan.json")
    for step, group in kept.items():
        event = said.get(step)
        own = event.own_answers if event is not None else None
        if event is None or own is None:
            continue
        subject, count = f"{_FILE}, step {step}", len(group)
        yield from difference(f"{subject}: answers", count, own.answers, "events.ndjson")
        means = {
            "mean length": (sum(len(one.ids) for one in group) / count, own.length),
            "ended": (sum(one.ended for one in group) / count, own.ended),
        }
        if sampling is not None and event.sampled is not None:
            means |= _earned_means(sampling, [one for one in group if isinstance(one, SampledAnswer)], event.sampled)
        for name, (mean, told) in means.items():
            if abs(mean - told) > _CLOSE:
                yield from difference(f"{subject}: {name}", mean, told, "events.ndjson")


def _earned_means(
    sampling: SamplingSettings, group: Sequence[SampledAnswer], told: SampledStep
) -> dict[str, tuple[float, float]]:
    """What a step's answers earned, by themselves and as the step's event has it."""
    count, size = len(group), sampling.group_size
    prompts = [group[start : start + size] for start in range(0, count, size)]
    even = sum(len({one.reward for one in each}) == 1 for each in prompts) / len(prompts)
    return {
        "mean reward": (sum(one.reward for one in group) / count, told.reward),
        "correct": (sum(is_correct(sampling.rewards, one.rewards) for one in group) / count, told.correct),
        "even groups": (even, told.even_groups),
        **{
            name.replace("_", " "): (mean, -1.0 if (said := getattr(told, name)) is None else said)
            for name, mean in server_means(group, sampling.importance_cap).items()
        },
    }


def _prompts(plan: Plan, rows: TokenStream, answers: Sequence[WrittenAnswer]) -> Iterator[Finding]:
    """Each step answered the prompts that follow from the plan's seed, each as often as the plan says."""
    from ftc.spec.batches import BatchOrder  # numpy, which nothing but a run that writes answers needs here

    writing = plan.settings.train.writing
    assert writing is not None, "the caller looked"
    order = BatchOrder.of(rows, plan.settings, writing.answers)
    for step, group in groupby(answers, key=lambda one: one.step):
        wanted = [(prompt, number) for prompt in order.rows(step - 1) for number in range(writing.answers)]
        told = [(one.prompt, one.answer) for one in group]
        yield from difference(f"{_FILE}, step {step}: prompts", told, wanted, "the plan's seed")


def _tokens(plan: Plan, model: Path, answers: Sequence[WrittenAnswer]) -> Iterator[Finding]:
    """Each token has a row in the model's embedding: no model writes another one, and nothing follows from one."""
    own = plan.settings.model.tokenizer
    rows = own.rows if own else int(language_part(parse_json((model / "config.json").read_bytes()))["vocab_size"])
    for line, one in enumerate(answers, 1):
        if odd := [token for token in one.ids if not 0 <= token < rows]:
            hint = "the model has no such token; restore the run's folder from a copy"
            yield finding("FTC537", f"{_FILE}, line {line}: tokens", f"0 to {rows - 1}", odd[0], hint)


def _fed(tally: Tally, events: Sequence[Event], fed: Mapping[int, str] | str) -> Iterator[Finding]:
    """Each step was fed the tokens that its answers consist of, which may be others that earn the same."""
    if isinstance(fed, str):
        tally.not_checked.append(f"tokens in {_FILE}: {fed}")
        return
    tally.checked.append(f"the batches of {plural(len(fed), 'step')} made again from written answers")
    for step in without_repeats(events)[0]:
        if step.step in fed and step.batch_sha256:
            yield from difference(f"{_FILE}, step {step.step}: tokens", fed[step.step], step.batch_sha256, "its event")


def _rewards(tally: Tally, answers: Sequence[SampledAnswer], earned: Sequence[Earned] | str) -> Iterator[Finding]:
    if isinstance(earned, str):
        tally.not_checked.append(f"rewards in {_FILE}: {earned}")
        return
    tally.checked.append(f"rewards and advantages of {plural(len(answers), 'sampled answer')} computed again")
    for line, (one, again) in enumerate(zip(answers, earned, strict=True), 1):
        pairs = (
            ("rewards", one.rewards, again.rewards),
            ("reward", (one.reward,), (again.reward,)),
            ("advantage", (one.advantage,), (again.advantage,)),
        )
        for name, said, computed in pairs:
            if len(said) != len(computed) or any(abs(a - b) > _CLOSE for a, b in zip(said, computed, strict=True)):
                hint = f"its tokens give {computed}; restore the run's folder from a copy"
                yield finding("FTC537", f"{_FILE}, line {line}: {name}", computed, said, hint)
