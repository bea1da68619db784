"""What is measured at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

from ftc.compiler.draft import ClosedDraft, Draft, Reasons
from ftc.compiler.reward_models import reward_model_settings
from ftc.spec.companions import companion
from ftc.spec.documents.companion_settings import ClassifierSettings, WordnetSettings
from ftc.spec.documents.plan import Check, EvaluateStep, ExportStep, ProveStep, Step, TrainStep, VerifyStep
from ftc.spec.documents.prompted import prompted_apart
from ftc.spec.documents.quality import CheckName
from ftc.spec.documents.settings import OpenEval
from ftc.spec.documents.slices import FIGURES, measured
from ftc.spec.heads import head_card
from ftc.spec.judges import Judge
from ftc.spec.metrics import metric_named
from ftc.spec.rewards import judge_of
from ftc.spec.sections.evaluation import SimpleBaseline, parse_gate
from ftc.spec.step_scores import aggregate_card
from ftc.spec.strategies import strategy_card
from ftc.spec.tasks.rows import AnswerRows

__all__ = ["build_steps", "choose_evaluation"]


def choose_evaluation(draft: Draft) -> Draft:
    """Settles what is under `eval`, but for the rows at once."""
    why, asked, measured = draft.reasons("eval"), draft.recipe.eval, draft.measured
    metrics = _metrics(draft, why)
    gates = {name: gate for name, text, _ in asked.bounds() if (gate := parse_gate(text))}  # rules refuse other texts
    section = OpenEval(
        baseline=why.take("baseline", asked.baseline),
        simple_baselines=_simple_baselines(draft, why),
        samples=why.take("samples", asked.samples),
        slices=why.take("slices", asked.slices),
        judge=why.take("judge", asked.judge),
        metrics=metrics,
        gates=why.take("gates", gates),
        max_new_tokens=_new_tokens(draft, why, metrics),
        max_answer_tokens=_answer_tokens(draft, why),
        classifier=_classifier(draft, why),
        wordnet=_wordnet(draft, why),
        retention_sha256=why.derive("retention_sha256", measured.retention, "tokens of the text of `retention`"),
        swaps_sha256=why.derive("swaps_sha256", measured.swaps, "the test rows with the substitutions of `swaps`"),
        groups_sha256=why.derive("groups_sha256", measured.groups, "values of the `slices` columns in the test rows"),
        **(_prompts(draft, why) | _reward_model(draft, why)),
    )
    draft = draft.settle("eval", section, why)
    sampling = draft.recipe.task.sampling
    asked_of = judge_of(sampling.rewards) if sampling is not None else None
    sent = () if asked_of is None else (_sent(asked_of, "sampled answers and their prompts"),)
    found = [
        *_checks(section, why),
        *_scoring(draft),
        *(Check(name=CheckName.JUDGE, code=None, result=one) for one in sent),
    ]
    return replace(draft, checks=(*draft.checks, *found))


def _checks(section: OpenEval, why: Reasons) -> Iterator[Check]:
    """What a reader should know: who is asked beside the model, and what METEOR goes by."""
    if section.judge is not None:
        words = _sent(section.judge, "prompts and answers of the test rows")
        yield Check(name=CheckName.JUDGE, code=None, result=words)
    if (found := section.classifier) is not None:
        words = f"{found.base} rates answers for `{found.label}` after the tuned model has left the device; "
        yield Check(name="classifier", code=None, result=f"{words}its memory is an analytical estimate")
    if section.wordnet is not None:
        words = f"{why.words('wordnet')}, digest {section.wordnet.sha256[:12]}"
        yield Check(name="wordnet", code=None, result=words)


def _scoring(draft: Draft) -> Iterator[Check]:
    """Which reward models score answers."""
    for role, known in draft.reward_models.items():
        card = companion(role)
        what = "sampled answers, and those that are evaluated" if card.shapes_weights else "answers to test rows"
        by = f", {aggregate_card(known.steps.aggregate).label} of each" if known.steps is not None else ""
        trained = f", which run {known.run} trained," if known.run else ""
        words = f"`{known.model.name}`{trained} scores {what}{by}; its memory is an analytical estimate"
        yield Check(name=card.title, code=None, result=words)


def _sent(judge: Judge, what: str) -> str:
    """What leaves this machine, and for where; a stranger's recipe may name any variable and any host."""
    words = f"{what} are sent to {judge.url}"
    if judge.key_env is None:
        return words
    return f"{words}, together with the value of the environment variable {judge.key_env}"


def _classifier(draft: Draft, why: Reasons) -> ClassifierSettings | None:
    found = draft.classifier
    if found is None:
        return why.take("classifier", None)
    return why.derive("classifier", found, f"`{found.label}` is output {found.label_id} of {found.num_labels}")


def _reward_model(draft: Draft, why: Reasons) -> dict[str, Any]:
    """The reward model that scores answers; nothing where none does, so that the plan doesn't name it."""
    found = reward_model_settings(draft, "eval_reward_model")
    if found is None:
        return {}
    return {"reward_model": why.derive("reward_model", found, "its files, and its text around the answers")}


def _wordnet(draft: Draft, why: Reasons) -> WordnetSettings | None:
    found = draft.wordnet
    if found is None:
        return why.derive("wordnet", None, "METEOR is not among the metrics")
    return why.derive(
        "wordnet", found, f"METEOR takes synonyms from WordNet {found.release or 'of an unknown release'}"
    )


def _simple_baselines(draft: Draft, why: Reasons) -> tuple[SimpleBaseline, ...]:
    asked, path = draft.recipe.eval.simple_baselines, "simple_baselines"
    if asked == "none":
        return why.derive(path, (), "`none`, as the recipe says")
    if asked != "auto":
        return why.take(path, tuple(dict.fromkeys(asked)))
    if draft.mode.sorts_rows:
        every: tuple[SimpleBaseline, ...] = get_args(SimpleBaseline)
        return why.derive(path, every, "a tuned model should beat what is fitted in seconds")
    return why.derive(path, (), "rows without classes of their own have no simple baseline here")


def _prompts(draft: Draft, why: Reasons) -> dict[str, Any]:
    """The prompts for the base model; nothing where the recipe asks for none, so that the plan doesn't name them."""
    found = draft.measured.baselines
    return {"baselines": why.derive("baselines", found, "`baselines` with the rows that they draw")} if found else {}


def _metrics(draft: Draft, why: Reasons) -> tuple[str, ...]:
    asked, task = draft.recipe.eval.metrics, draft.recipe.task
    if asked == "auto":
        return why.derive(
            "metrics", _with_gates(draft, draft.mode.usual_metrics), f"default metrics of the task `{task.kind}`"
        )
    if (complete := _with_gates(draft, asked)) != asked:
        return why.derive("metrics", complete, "set in the recipe, or required by its gates")
    return why.take("metrics", asked)


def _with_gates(draft: Draft, metrics: tuple[str, ...]) -> tuple[str, ...]:
    gated = dict.fromkeys(measured(bound.name).metric for bound in draft.recipe.eval.bounds())
    return (*metrics, *(name for name in gated if name not in metrics and name not in FIGURES))


def _new_tokens(draft: Draft, why: Reasons, metrics: tuple[str, ...]) -> int | None:
    """Most tokens of a written answer; None where no metric needs one."""
    is_written = head_card(draft.loaded.head).writes
    cards = [card for name in metrics if (card := metric_named(name)) is not None and not card.of_loss]
    if not is_written or not any(card.generates or draft.mode.writes_labels for card in cards):
        return why.derive("max_new_tokens", None, "no metric needs generated answers")
    asked = draft.recipe.eval.max_new_tokens
    if asked == "auto" and draft.recipe.task.sampling is not None:
        return why.take("max_new_tokens", draft.recipe.task.sampling.max_new_tokens, "task.max_new_tokens")
    if asked != "auto":
        return why.take("max_new_tokens", asked)
    longest = draft.splits["train"].supervised_max
    reason = f"the longest training answer has {longest} tokens, plus a quarter"
    return why.derive("max_new_tokens", math.ceil(longest * 1.25), reason)


def _answer_tokens(draft: Draft, why: Reasons) -> int | None:
    """Longest answer that is cut out of a context."""
    rows = draft.recipe.task.settled(draft.model.family).rows()
    if isinstance(rows, AnswerRows) and rows.is_extractive:
        return why.take("max_answer_tokens", rows.longest, "task.max_answer_length")
    return why.derive("max_answer_tokens", None, "not extractive question answering")


def build_steps(draft: ClosedDraft) -> ClosedDraft:
    """The steps: verify, prove where asked, train, export, then measure base and tuned on the test split, once."""
    teacher = len(draft.teacher.model.files) if draft.teacher else 0
    scoring = sum(len(one.model.files) for one in draft.reward_models.values())
    files = len(draft.model.files) + teacher + scoring + len(draft.splits)
    artifact = strategy_card(draft.strategy).result
    proof_steps = draft.determinism.proof_steps
    steps: list[Step] = [
        VerifyStep(kind="verify", files=files),
        *([ProveStep(kind="prove", steps=proof_steps)] if proof_steps else []),
        TrainStep(kind="train", steps=draft.train.num_steps),
        ExportStep(kind="export", artifact=artifact),
    ]
    if "test" not in draft.splits:
        return replace(draft.miss("quality: there is no test split"), steps=tuple(steps))
    rows = draft.splits["test"].measured(draft.text.form)
    if draft.eval.baseline:
        steps.append(EvaluateStep(kind="evaluate", subject="base", rows=rows))
    names = prompted_apart(draft.eval.baselines)
    steps += [EvaluateStep(kind="evaluate", subject=name, rows=rows) for name in names]
    steps.append(EvaluateStep(kind="evaluate", subject="tuned", rows=rows))
    return replace(draft, steps=tuple(steps))
