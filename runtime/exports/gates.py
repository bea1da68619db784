"""Proofs that an exported file is the tuned model: its scores, its tokens, and what the recipe's gates say of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from ftc.runtime.evaluation.measures import Measures
from ftc.runtime.evaluation.scoring import RowScore, eval_mode, gathered, score_rows
from ftc.runtime.metrics import LOSSES
from ftc.runtime.metrics.statistics import difference, intervals
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.exported import AnswersKept, Parity
from ftc.spec.documents.outcomes import plain_name
from ftc.spec.documents.package_metrics import judged_metrics
from ftc.spec.documents.record import Gain, GateResult
from ftc.spec.documents.streams import Lists

if TYPE_CHECKING:
    from ftc.runtime.evaluation.reference import Reference
    from ftc.runtime.execution.session import Session
    from ftc.runtime.exports.children import Llama
    from ftc.runtime.tasks.scorer import ModelWithScorer
    from ftc.spec.documents.streams import Split, TokenStream
    from ftc.spec.model_formats import FileType

__all__ = [
    "Answers",
    "answers_of_file",
    "answers_of_model",
    "first_rows",
    "kept",
    "largest_difference",
    "parity",
    "parity_of",
    "require",
    "require_gates",
    "same_tokens",
    "sequences_of",
    "texts_of_tokens",
]

_MOST_TOKENIZED = 100


def parity(llama: Llama, rows: TokenStream, reference: Reference, bound: FileType, widest: float) -> Parity:
    """How far a file's scores are from those of the tuned model.

    Args:
        llama: The file.
        rows: The split of the reference.
        reference: What the tuned model says.
        bound: The type of the file's weights, which says what is allowed.
        widest: What is allowed at least, since the tuned model rounds by itself.
    """
    asked = []
    for index, number in enumerate(reference.rows.tolist()):
        mine = reference.owners == index
        asked += sequences_of(rows, number, reference.places[mine].tolist(), reference.choices[mine].tolist())
    found = [place for row in llama.score(asked) for place in row]
    scores = torch.tensor([place["scores"] for place in found])
    sums = torch.tensor([place["log_sum_exp"] for place in found])
    largest = max(largest_difference(scores, reference.scores), largest_difference(sums, reference.log_sum_exp))
    highest = torch.tensor([place["highest"] for place in found])
    return parity_of(
        reference,
        bound,
        widest,
        runtime=llama.runtime,
        largest=largest,
        compared=scores.numel() + sums.numel(),
        places=len(found),
        same=int((highest == reference.choices[:, 0]).sum()),
    )


def largest_difference(found: torch.Tensor, reference: torch.Tensor) -> float:
    """The largest difference between scores: none between equal infinities, an infinite one from what is no number."""
    apart = torch.where(found == reference, 0.0, (found - reference).abs())
    return float(torch.where(apart.isnan(), math.inf, apart).max())


def parity_of(
    reference: Reference,
    bound: FileType,
    widest: float,
    *,
    runtime: str,
    largest: float,
    compared: int,
    places: int,
    same: int,
) -> Parity:
    """How far scores are from those of the tuned model.

    Args:
        reference: What the tuned model says.
        bound: The type of the file's weights, which says what is allowed.
        widest: What is allowed at least, since the tuned model rounds by itself.
        runtime: What computed the scores of the file.
        largest: The largest difference.
        compared: Scores that were compared.
        places: Places at which they stand.
        same: Places at which the same output scores highest.

    Raises:
        Refusal: A score is infinite or no number where the tuned model's isn't, or the other way round (FTC669).
    """
    if not math.isfinite(largest):
        summary = "the exported file gives scores that are infinite or no numbers, otherwise than the tuned model"
        note = f"found in {compared} scores of {len(reference.rows)} rows of {reference.split}; nothing was kept"
        help = "see what the tuned model says with `ftc predict`: a weight of it may be infinite or no number"
        raise Refusal([diagnostic("FTC669", summary, notes=note, help=help)])
    return Parity(
        split=_not_test(reference.split),
        rows=len(reference.rows),
        places=places,
        compared=compared,
        runtime=runtime,
        largest_difference=largest,
        spread=reference.spread,
        share=largest / reference.spread,
        allowed=max(bound.allowed, widest),
        same_choices=same,
        least_same=bound.least_same,
    )


def _not_test(split: Split) -> Any:
    assert split != "test", "test rows are for the evaluation alone"
    return split


def sequences_of(
    rows: TokenStream, number: int, wanted: list[int] | None = None, choices: list[list[int]] | None = None
) -> list[dict[str, Any]]:
    """A row as what is asked of the file; a preference is two, one for each answer.

    Args:
        rows: The split.
        number: The row.
        wanted: Which of its scored places, ascending; None for all.
        choices: The outputs whose scores are wanted, for each of them.
    """
    ids, mask = rows.ids(number).tolist(), rows.mask(number)
    cuts = [0, *(rows.targets[number].tolist()[:1] if len(rows.targets[number]) else []), len(ids)]
    found, first = list[dict[str, Any]](), 0
    for start, end in itertools.pairwise(cuts):
        places = mask[start + 1 : end].nonzero()[0].tolist()
        here = [n for n in (wanted if wanted is not None else range(first + len(places))) if n >= first]
        here = [n for n in here if n < first + len(places)]
        mine = [places[n - first] for n in here]
        targets = [ids[start + place + 1] for place in mine]
        some = None if choices is None or wanted is None else [choices[wanted.index(n)] for n in here]
        found.append({"ids": ids[start:end], "places": mine, "targets": targets, "choices": some})
        first += len(places)
    return found


def same_tokens(llama: Llama, rows: TokenStream, tokenizer: Any) -> tuple[int, int, bool]:
    """How many rows the file's tokenizer splits as the run did, how many were asked, and whether it adds a first token.

    Args:
        llama: The file.
        rows: The rows.
        tokenizer: The base model's own, of transformers.
    """
    texts, expected = texts_of_tokens(rows, tokenizer)
    found, adds_first = llama.tokenize(texts)
    return sum(one == other for one, other in zip(found, expected, strict=True)), len(texts), adds_first


def texts_of_tokens(rows: TokenStream, tokenizer: Any) -> tuple[list[str], list[list[int]]]:
    """Texts of the first rows that give their tokens again, and these tokens; of a prompt where there is one.

    Args:
        rows: The rows.
        tokenizer: The base model's own, of transformers.
    """
    texts, expected = list[str](), list[list[int]]()
    for number in range(min(len(rows), _MOST_TOKENIZED)):
        ids: list[int] = rows.ids(number)[: rows.prompt_length(number) or None].tolist()
        text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if tokenizer.encode(text, add_special_tokens=False) == ids:
            texts.append(text)
            expected.append(ids)
    return texts, expected


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model made of rows: the loss of each, and its answer where the run writes any."""

    scores: list[RowScore]
    texts: dict[int, str]


def first_rows(rows: TokenStream, count: int) -> TokenStream:
    """The first rows of a split, whose order is random."""
    count = min(count, len(rows))

    def cut(lists: Lists) -> Lists:
        return Lists(lists.values, lists.boundaries[: count + 1])

    return replace(
        rows,
        boundaries=rows.boundaries[: count + 1],
        prompt_lengths=rows.prompt_lengths[:count],
        labels=rows.labels[:count],
        rows=rows.rows[:count],
        targets=cut(rows.targets),
        offsets=cut(rows.offsets),
        table=None if rows.table is None else rows.table.slice(0, count),
    )


def answers_of_model(session: Session, work: ModelWithScorer, rows: TokenStream) -> Answers:
    """What the tuned model makes of rows, by the code that evaluated it.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    from ftc.runtime.evaluation.evaluate import written

    settings = session.plan.settings
    measures = Measures(settings, rows, session.inputs.model_folder)
    with eval_mode(work.model):
        batches = score_rows(work, rows, settings.eval.batch_size, session.accelerator, session.stop)
        scores = gathered(work, rows, [score for batch in batches for score in batch], session.accelerator)
        texts = written(session, None, work, rows, measures.decode) if measures.is_written else measures.said(scores)
    return Answers(scores, texts)


def answers_of_file(session: Session, llama: Llama, rows: TokenStream) -> Answers:
    """What an exported file makes of the same rows."""
    settings = session.plan.settings
    measures = Measures(settings, rows, session.inputs.model_folder)
    asked = [row for number in range(len(rows)) for row in sequences_of(rows, number)]
    scores = [
        RowScore(number, sum(place["loss"] for place in found), len(found))
        for number, found in enumerate(llama.score(asked))
    ]
    if (most := settings.eval.max_new_tokens) is None:
        return Answers(scores, {})
    prompts = [rows.ids(number)[: rows.prompt_length(number)].tolist() for number in range(len(rows))]
    answers = llama.write(prompts, settings.model.stop_ids, most)
    return Answers(scores, {number: measures.decode(ids) for number, ids in enumerate(answers)})


def kept(
    session: Session, rows: TokenStream, split: Split, tuned: Answers, exported: Answers, waived: Collection[str]
) -> AnswersKept:
    """What became of the recipe's metrics and gates."""
    settings = session.plan.settings
    measures = Measures(settings, rows, session.inputs.model_folder)
    judged = judged_metrics(settings)
    names = [name for name in settings.eval.metrics if (name in LOSSES or tuned.texts) and name not in judged]
    before, after = (measures.statistics(names, one.scores, one.texts) for one in (tuned, exported))
    changes = dict(zip(names, intervals([difference(before[name], after[name]) for name in names]), strict=True))
    known = {name: one.observed for name, one in after.items()}
    gates = {plain_name(name): gate for name, gate in sorted(settings.eval.gates.items())}
    same = sum(exported.texts[row] == text for row, text in tuned.texts.items()) if tuned.texts else None
    return AnswersKept(
        split=_not_test(split),
        rows=len(rows),
        same_answers=same,
        tuned={name: one.observed for name, one in before.items()},
        exported=known,
        changes={name: Gain(value=known[name] - before[name].observed, interval=changes[name]) for name in names},
        gates=tuple(
            GateResult(
                metric=name,
                bound=f"{gate.comparison} {gate.bound:g}",
                value=known[name],
                interval=None,
                passed=gate.holds(known[name]),
            )
            for name, gate in gates.items()
            if name in known
        ),
        unchecked=tuple(name for name in gates if name not in known),
        waived=tuple(sorted(waived)),
    )


_MORE_BITS = "export it with a type of more bits, such as `--type f16`"


def require(
    found: Parity, what: str, *, help: str = f"{_MORE_BITS}, or use the merged model with transformers"
) -> None:
    """Lets pass a file that says the same.

    Raises:
        Refusal: It doesn't (FTC669).
    """
    if found.holds:
        return
    summary = (
        f"{what} differs from the tuned model by up to {100 * found.share:.3g} % of the range of its scores on "
        f"{found.rows} rows of {found.split}; {100 * found.allowed:.3g} % is allowed"
    )
    notes = (
        f"{found.same_choices} of {found.places} choices are the same, at least {100 * found.least_same:.0f} % must be",
        "nothing was kept",
    )
    raise Refusal([diagnostic("FTC669", summary, notes=notes, help=help)])


def require_gates(found: AnswersKept, type_name: str, *, help: str = _MORE_BITS) -> None:
    """Lets pass a file with which the recipe's gates hold.

    Args:
        found: What became of them.
        type_name: Type of the file's weights.
        help: What else can be done, beside waiving a gate.

    Raises:
        Refusal: One doesn't (FTC670).
    """
    if findings := list(_broken(found, type_name, help)):
        raise Refusal(findings)


def _broken(found: AnswersKept, type_name: str, help: str) -> Iterator[Diagnostic]:
    for gate in found.failed:
        change, value, was = found.changes[gate.metric], found.exported[gate.metric], found.tuned[gate.metric]
        summary = (
            f"with weights in {type_name}, {gate.metric} is {value:.4g} on {found.rows} rows of {found.split}; "
            f"the gate: {gate.bound}"
        )
        sure = change.interval
        between = f", 95 % interval {sure.low:+.4g} to {sure.high:+.4g}" if sure else ""
        notes = (
            f"the tuned model: {was:.4g} on the same rows, a change of {change.value:+.4g}{between}",
            "nothing was kept",
        )
        yield diagnostic("FTC670", summary, notes=notes, help=(help, f"or accept it with `--waive {gate.metric}`"))
