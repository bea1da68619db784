"""Two measurements made into documents: metrics, probes, gates and a sample in `eval.json`, every row beside it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from ftc.runtime.evaluation.classifier import classifier_result
from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.evaluation.judge import judge_result
from ftc.runtime.evaluation.measures import Measures
from ftc.runtime.evaluation.reward_model import reward_model_result
from ftc.runtime.execution.session import Session
from ftc.runtime.metrics import loss_statistics
from ftc.runtime.metrics.slices import slice_results
from ftc.runtime.metrics.statistics import (
    RESAMPLING,
    Statistics,
    certainty,
    difference,
    intervals,
    mean_of_groups,
    means,
    share_of,
)
from ftc.spec.documents.findings import BaselineResult
from ftc.spec.documents.outcomes import Outcome, Said, gate_results
from ftc.spec.documents.probes import Swapped
from ftc.spec.documents.prompted import PromptBaseline, PromptedResult
from ftc.spec.documents.record import (
    Evaluation,
    Gain,
    Prediction,
    RetentionResult,
    SwapExample,
    SwapPair,
    SwapsResult,
)
from ftc.spec.documents.stream_images import StreamImages
from ftc.spec.documents.streams import TokenStream
from ftc.spec.documents.thumbnails import Thumbnail, of_reported_rows, thumbnail
from ftc.spec.heads import head_card
from ftc.spec.storage.atomic_write import write_file

__all__ = [
    "evaluation",
    "measures_of",
    "outcomes",
    "prompted_result",
    "retention_result",
    "swaps_result",
    "write_outcomes",
]

_PROMPT_CHARACTERS = 600
_SWAP_EXAMPLES = 8
_SWAP_CHARACTERS = 200


def evaluation(
    session: Session,
    base: Measurement | None,
    tuned: Measurement,
    baselines: tuple[BaselineResult, ...] = (),
    prompted: Mapping[str, Measurement] = MappingProxyType({}),
) -> Evaluation:
    """The evaluation of a run, or of its weights on other rows, to which no simple baselines were fitted and for which
    no prompts were made.
    """
    measures, rows = measures_of(session), session.stream("test")
    assert rows is not None, "what was measured has rows"
    sure = certainty(base.statistics if base else {}, tuned.statistics)
    slices = slice_results(session.plan.settings.eval.slices, session.groups(), rows, measures, base, tuned)
    kept = retention_result(base, tuned)
    swaps = None
    if tuned.swapped:
        exchanged = Swapped.model_validate_json((session.inputs.streams_folder / "swaps.json").read_bytes())
        swaps = swaps_result(exchanged, rows, base, tuned)
    judged = judge_result(session, measures, base, tuned)
    flagged = classifier_result(session, base, tuned)
    scored = reward_model_result(session, base, tuned)
    found = Evaluation(
        split="test",
        baselines=baselines,
        prompted=tuple(
            prompted_result(one, prompted[one.name], tuned)
            for one in session.plan.settings.eval.baselines
            if one.name in prompted  # a repetition with other seeds measures the tuned model alone
        ),
        tuned=tuned.result.model_copy(update={"intervals": sure.tuned}),
        base=base.result.model_copy(update={"intervals": sure.base}) if base else None,
        gains=sure.gains,
        resampling=RESAMPLING,
        slices=slices,
        retention=kept,
        swaps=swaps,
        attributions=tuned.attributions,
        gates=(),
        judge=judged,
        classifier=flagged,
        reward_model=scored,
        predictions=_predictions(session, base, tuned),
    )
    return found.model_copy(update={"gates": gate_results(found, session.plan.settings.eval.gates)})


def prompted_result(asked: PromptBaseline, found: Measurement, tuned: Measurement) -> PromptedResult:
    """The base with a prompt beside the tuned model, on the same rows."""
    sure = certainty(found.statistics, tuned.statistics)
    return PromptedResult(
        name=asked.name,
        title=asked.title,
        metrics=found.result.metrics,
        intervals=sure.base,
        gains=sure.gains,
        rows=found.result.rows,
        prompt_tokens=asked.prompt_tokens,
        own_tokens=asked.own_tokens,
        seconds=found.result.seconds,
    )


def outcomes(
    session: Session,
    base: Measurement | None,
    tuned: Measurement,
    prompted: Mapping[str, Measurement] = MappingProxyType({}),
) -> list[Outcome]:
    """Every row of the test split with what each model made of it."""
    rows = session.stream("test")
    assert rows is not None, "what was measured has rows"
    measures = measures_of(session)
    has_class = head_card(session.plan.settings.model.head).has_confidence
    groups = session.groups()
    return [
        Outcome(
            row=int(rows.rows[number]),
            place=rows.place(number),
            prompt=measures.given(number),
            images=tuple(rows.images(number)),
            expected=measures.expected(number) if tuned.texts else None,
            targets=measures.targets(number),
            right=measures.right(number),
            slices={name: values[number] for name, values in groups.items()},
            base=_said(base, number, measures, has_class=has_class) if base else None,
            tuned=_said(tuned, number, measures, has_class=has_class),
            prompted={name: _said(one, number, measures, has_class=has_class) for name, one in prompted.items()},
        )
        for number in sorted(tuned.texts) or range(len(rows))
    ]


def write_outcomes(session: Session, rows: Sequence[Outcome]) -> None:
    """Writes every row of the test split beside the run, and small pictures of the images that its report shows.

    Raises:
        OSError: A file can't be written.
    """
    write_file(session.folder.outcomes, b"".join(one.to_line() for one in rows))
    if shown := of_reported_rows(rows, session.plan.settings.eval.samples):
        images, pictures = StreamImages(session.inputs.streams_folder), list[Thumbnail]()
        for name in shown:
            with suppress(ValueError):  # an image that left the cache meanwhile: all that was measured is there
                pictures.append(thumbnail(name, images))
        write_file(session.folder.thumbnails, b"".join(one.to_line() for one in pictures))


def _said(measured: Measurement, number: int, measures: Measures, *, has_class: bool) -> Said:
    score = measured.scores[number]
    return Said(
        text=measured.texts.get(number),
        loss_sum=score.loss_sum,
        targets=score.targets,
        confidence=score.predicted[1] if has_class else None,
        predicted=score.predicted if measures.keeps_predictions else (),
        reward=measured.scored.get(number),
    )


def measures_of(session: Session) -> Measures:
    """How the run's test split is measured."""
    rows = session.stream("test")
    assert rows is not None, "what was measured has rows"
    return Measures(session.plan.settings, rows, session.inputs.model_folder)


def _predictions(session: Session, base: Measurement | None, tuned: Measurement) -> tuple[Prediction, ...]:
    """The first rows of the split, which are in the split's own random order."""
    rows = session.stream("test")
    if rows is None or not tuned.texts:
        return ()
    measures = measures_of(session)
    found = []
    for number in sorted(tuned.texts)[: session.plan.settings.eval.samples]:
        text = measures.given(number)
        found.append(
            Prediction(
                row=int(rows.rows[number]),
                place=rows.place(number),
                text=text if len(text) <= _PROMPT_CHARACTERS else text[: _PROMPT_CHARACTERS - 1] + "…",
                expected=measures.expected(number),
                base=base.texts[number] if base else None,
                tuned=tuned.texts[number],
            )
        )
    return tuple(found)


def retention_result(base: Measurement | None, tuned: Measurement) -> RetentionResult | None:
    """Both models on the same blocks of general text; None where it wasn't measured."""
    if base is None or not tuned.retained:
        return None
    before, after = (loss_statistics("loss", one.retained) for one in (base, tuned))
    sure = intervals([difference(before, after)])[0]
    return RetentionResult(
        blocks=len(tuned.retained),
        tokens=sum(score.targets for score in tuned.retained),
        base=before.observed,
        tuned=after.observed,
        forgetting=Gain(value=after.observed - before.observed, interval=sure),
    )


def swaps_result(swapped: Swapped, rows: TokenStream, base: Measurement | None, tuned: Measurement) -> SwapsResult:
    """What became of both models' predictions where words of the test rows were exchanged."""
    changes = _changes(swapped, tuned)
    before = _changes(swapped, base) if base else None
    found = means([_share(swapped, column) for column in (changes, before) if column is not None])
    counts, changed = Counter(swapped.pair), Counter(itertools.compress(swapped.pair, changes))
    of_base = None if before is None else Counter(itertools.compress(swapped.pair, before))
    examples = []
    for number in [number for number, is_changed in enumerate(changes) if is_changed][:_SWAP_EXAMPLES]:
        phrase, other = swapped.pairs[swapped.pair[number]]
        place = swapped.rows[number]
        said, then = tuned.texts[place][:_SWAP_CHARACTERS], tuned.swapped[number][:_SWAP_CHARACTERS]
        row, name = int(rows.rows[place]), rows.place(place)
        examples.append(SwapExample(row=row, place=name, phrase=phrase, other=other, before=said, after=then))
    return SwapsResult(
        rows=len(changes),
        share=found.tuned,
        interval=found.interval,
        base=found.base,
        change=found.gain,
        pairs=tuple(
            SwapPair(
                phrase=phrase,
                other=other,
                rows=counts[index],
                changed=changed[index],
                base=None if of_base is None else of_base[index],
            )
            for index, (phrase, other) in enumerate(swapped.pairs)
        ),
        examples=tuple(examples),
    )


def _share(swapped: Swapped, changes: Sequence[bool]) -> Statistics:
    """The share of changes; the exchanged rows of one test row are drawn together, since they are alike."""
    scores = [float(one) for one in changes]
    if len(set(swapped.rows)) == len(swapped.rows):
        return share_of(scores)
    return mean_of_groups(scores, swapped.rows)


def _changes(swapped: Swapped, measured: Measurement) -> list[bool]:
    """Whether the prediction of each exchanged row differs from that of its row."""
    return [measured.swapped[number] != measured.texts[place] for number, place in enumerate(swapped.rows)]
