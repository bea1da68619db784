"""What an audit computes again from a run's rows and written answers, or why that can't be done here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.compiler.audit.contradictions import Witnesses
from ftc.spec.diagnostics import Refusal
from ftc.spec.storage.paths import RunFolder
from ftc.verbs.runs import Run

if TYPE_CHECKING:
    from ftc.runtime.rewards.rescored import Rescorer
    from ftc.spec.documents.audit import Recomputed
    from ftc.spec.documents.sampled import Earned, SampledAgain, SampledAnswer, WrittenAnswer
    from ftc.spec.documents.streams import TokenStream

__all__ = ["recomputed", "sampled_again"]


def recomputed(run: Run, witnesses: Witnesses, model: Path | None, streams: Path | None) -> Recomputed | str:
    """The scores that the run's rows give, or why they can't be computed here."""
    assert run.evaluation is not None, "rows come from an evaluation"
    try:
        from ftc.runtime.evaluation.recompute import FinishedRun, recompute
        from ftc.runtime.evaluation.split_rows import SplitRows
        from ftc.spec.documents.streams import open_stream

        finished = FinishedRun(run.plan, run.record.steps_done, witnesses.events, run.evaluation, witnesses.outcomes)
        splits: dict[str, SplitRows] = {}
        if model is not None and streams is not None:
            files = {name: streams / f"{name}.arrow" for name in ("train", "test") if name in run.plan.data}
            splits |= {name: SplitRows(run.plan.settings, open_stream(file), model) for name, file in files.items()}
        return recompute(finished, splits)
    except Refusal as problem:
        return _unconfined(problem)
    except ImportError as problem:
        return f"`{problem.name}` is not installed, `pip install 'ftc[train]'` brings it"
    except (ValueError, LookupError, TypeError) as problem:
        return f"predictions.ndjson can't be scored: {problem}"


def sampled_again(
    run: Run, answers: Sequence[WrittenAnswer], rows: TokenStream, model_folder: Path, unearned: str, *, continued: bool
) -> SampledAgain:
    """What written answers earn, unless something is said against it, and what their steps were fed.

    Either may be in words: why it can't be computed, such as for want of a package.
    """
    from ftc.spec.documents.sampled import SampledAgain

    try:
        from ftc.runtime.training.answer_rows import fed_digests

        again = "another run did the first steps, with other processes"
        fed = again if continued else fed_digests(run.plan.settings, rows, answers)
    except ImportError as problem:
        fed = f"`{problem.name}` is not installed"
    earned, left_out = (unearned, "") if unearned else _earned(run, answers, rows, model_folder)
    return SampledAgain(earned, fed, left_out)


def _earned(
    run: Run, answers: Sequence[WrittenAnswer], rows: TokenStream, model_folder: Path
) -> tuple[Sequence[Earned] | str, str]:
    """What answers earn, and what of that was taken as it is recorded; nothing where a teacher judges them."""
    from ftc.spec.documents.sampled import SampledAnswer
    from ftc.spec.rewards import asks_packages

    if (sampling := run.plan.settings.train.sampling) is None:
        return (), ""
    if asks_packages(sampling.rewards):
        return "a package computes them, which an audit doesn't run", ""
    try:
        from ftc.runtime.rewards.recompute import earned
        from ftc.spec.storage.own_tokenizer import tokenizer_folder

        texts = tokenizer_folder(model_folder, run.plan.settings.model.tokenizer)
        sampled = [one for one in answers if isinstance(one, SampledAnswer)]
        score = _rescorer(run, sampled, rows) if sampling.reward_model is not None else None
        if isinstance(score, str):
            return score, ""
        found = earned(sampling, sampled, rows, texts, RunFolder(run.folder).judged, score)
        return found, score.left_out if score is not None else ""
    except Refusal as problem:
        return _unconfined(problem), ""
    except ImportError as problem:
        return f"`{problem.name}` is not installed", ""


def _rescorer(run: Run, answers: Sequence[SampledAnswer], rows: TokenStream) -> Rescorer | str:
    """What scores the run's answers again, or why they can't be scored here."""
    from ftc.compiler.audit.locate import companion_folders
    from ftc.compiler.tokens.stream_manifest import kept_streams
    from ftc.runtime.rewards.rescored import Rescorer

    folder, streams = companion_folders(run.plan, run.root).get("reward_model"), kept_streams(run.plan)
    if folder is None or streams is None:
        return "the reward model, or the text around the answers, is not here"
    try:
        return Rescorer(run.plan.settings, folder, streams, answers, rows)
    except Refusal as problem:
        return problem.diagnostics[0].summary
    except (OSError, ValueError) as problem:
        return f"the text around the answers can't be read: {problem}"


def _unconfined(problem: Refusal) -> str:
    """Why answers can't be run or scored here; any other refusal goes on."""
    if (first := problem.diagnostics[0]).code not in ("FTC455", "FTC459"):
        raise problem
    return first.summary
