"""What is measured at the end."""

from __future__ import annotations

import math
from dataclasses import replace

from ftc.compiler.draft import Draft
from ftc.compiler.memory.eval_passes import usual_rows
from ftc.spec.documents.plan import Check
from ftc.spec.documents.slices import FIGURES, measured
from ftc.spec.heads import head_card
from ftc.spec.metrics import metric_named
from ftc.spec.sections.evaluation import Judge, parse_gate, writes_labels
from ftc.spec.text_forms import form_card

__all__ = ["choose_evaluation"]


def choose_evaluation(draft: Draft) -> Draft:
    """Settles everything under `eval`."""
    draft = draft.take("eval.baseline").take("eval.samples").take("eval.slices").take("eval.judge")
    draft = _choose_extraction(_choose_answers(_choose_gates(_choose_metrics(draft))))
    if draft.recipe.eval.judge is not None:
        check = Check(name="judge", code=None, result=_sent(draft.recipe.eval.judge))
        draft = replace(draft, checks=(*draft.checks, check))
    draft = _choose_wordnet(_choose_classifier(draft))
    if draft.recipe.eval.batch_size != "auto":
        return draft.take("eval.batch_size")
    return draft.derive("eval.batch_size", *usual_rows(draft))


def _sent(judge: Judge) -> str:
    """What leaves this machine, and for where; a stranger's recipe may name any variable and any host."""
    words = f"prompts and answers of the test rows go to {judge.url}"
    if judge.key_env is None:
        return words
    return f"{words}; with them {judge.host} is sent the value of the environment variable {judge.key_env}"


def _choose_classifier(draft: Draft) -> Draft:
    found = draft.classifier
    if found is None:
        return draft.take("eval.classifier")
    words = f"answers are scored for `{found.label}` by {found.base}, once the model has left the device; "
    words += "its memory is by closed form"
    draft = replace(draft, checks=(*draft.checks, Check(name="classifier", code=None, result=words)))
    return draft.derive("eval.classifier", found, f"`{found.label}` is output {found.label_id} of {found.num_labels}")


def _choose_wordnet(draft: Draft) -> Draft:
    found = draft.wordnet
    if found is None:
        return draft.derive("eval.wordnet", None, "nothing is measured by METEOR")
    words = f"METEOR takes synonyms from WordNet {found.release or 'of an unknown release'}"
    check = Check(name="wordnet", code=None, result=f"{words}, digest {found.sha256[:12]}")
    draft = replace(draft, checks=(*draft.checks, check))
    return draft.derive("eval.wordnet", found, words)


def _choose_metrics(draft: Draft) -> Draft:
    if draft.recipe.eval.metrics == "auto":
        task = draft.recipe.task
        usual = draft.mode.usual_metrics
        return draft.derive("eval.metrics", _with_gates(draft, usual), f"the usual ones of a {task.kind}")
    asked = draft.recipe.eval.metrics
    if (complete := _with_gates(draft, asked)) != asked:
        return draft.derive("eval.metrics", complete, "those of the recipe, and those that its gates need")
    return draft.take("eval.metrics")


def _with_gates(draft: Draft, metrics: tuple[str, ...]) -> tuple[str, ...]:
    gated = dict.fromkeys(measured(bound.name).metric for bound in draft.recipe.eval.bounds())
    return (*metrics, *(name for name in gated if name not in metrics and name not in FIGURES))


def _choose_gates(draft: Draft) -> Draft:
    gates = {name: parse_gate(text) for name, text, _ in draft.recipe.eval.bounds()}
    return draft.inherit("eval.gates", gates, "eval.gates")


def _choose_answers(draft: Draft) -> Draft:
    is_written = head_card(draft.loaded.head).writes
    kinds = {name: metric_named(name) for name in draft.values["eval.metrics"] if name != "loss"}
    of_labels = writes_labels(draft.recipe.task)
    generates = is_written and any(of_labels or kind.generates for kind in kinds.values() if kind)
    if not generates:
        return draft.derive("eval.max_new_tokens", None, "no metric needs answers")
    if draft.recipe.eval.max_new_tokens != "auto":
        return draft.take("eval.max_new_tokens")
    longest = draft.splits["train"].supervised_max
    return draft.derive(
        "eval.max_new_tokens",
        math.ceil(longest * 1.25),
        f"the longest training answer has {longest} tokens, plus a quarter",
    )


def _choose_extraction(draft: Draft) -> Draft:
    if form_card(draft.text.form).moves_targets:
        return draft.take("eval.max_answer_tokens", "task.max_answer_length")
    return draft.derive("eval.max_answer_tokens", None, "no answer is cut out of a context")
