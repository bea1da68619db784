"""Models beside the base model: where they are found, a teacher's tokens, and the label that a classifier counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.hub import Hub
from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.model import ResolvedModel, resolve_model
from ftc.compiler.resolve.models.tokenizer import token_ids
from ftc.spec.companions import COMPANIONS, Asked, Companion, Role, value_at
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.companion_settings import ClassifierSettings
from ftc.spec.documents.facts import ModelFacts, TeacherFacts
from ftc.spec.documents.lockfile import Lock
from ftc.spec.documents.reward_models import RewardModelFacts
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.safe_repr import quoted
from ftc.spec.sections.evaluation import Classifier
from ftc.spec.sections.recipe import Recipe

__all__ = [
    "Beside",
    "World",
    "classifier_settings",
    "known_beside",
    "locked_commit",
    "numbered_labels",
    "pinned",
    "resolve_companion",
    "teacher_facts",
]

SpanOf = Callable[[str], Span | None]
Known = TypeVar("Known")
_MOST_LABELS = 1000


class World(NamedTuple):
    """Where models are looked up.

    Attributes:
        folder: The recipe's folder.
        root: The project's root, which no path leaves.
        hub: Where ids are looked up.
        digests: Remembers digests of files.
        span_of: The place of a recipe value by its dotted path.
    """

    folder: Path
    root: Path
    hub: Hub
    digests: DigestCache
    span_of: SpanOf


def resolve_companion(card: Companion, recipe: Recipe, lock: Lock | None, world: World) -> ResolvedModel | None:
    """A model of some role beside the base, through the base model's own door; None where a recipe asks for none.

    Args:
        card: The role.
        recipe: The recipe.
        lock: The lock on disk; a commit of the hub that it keeps for the same model stays.
        world: Where models are looked up.

    Raises:
        Refusal: The model can't be used, by the codes of a base model.
    """
    asked = card.asked(recipe)
    if asked is None:
        return None
    here = {"model.base": card.base(recipe), "model.revision": card.revision(recipe)}
    base = asked.base
    if asked.is_run and card.takes_runs:
        from ftc.compiler.resolve.models.reward_models import folder_of_run  # most recipes need no run's documents

        base = folder_of_run(card, recipe, lock, world)
    try:
        found = resolve_model(
            base,
            asked.revision,
            locked_commit=locked_commit(card, asked, lock),
            folder=world.folder,
            root=world.root,
            hub=world.hub,
            digests=world.digests,
            span_of=lambda path: world.span_of(here.get(path, path)),
        )
        if found.facts.packed is not None:  # the others are read whole, each in its own way
            summary, path = f"`{found.facts.name}` holds packed weights, as only the base model may", "model.base"
            help = "choose the unquantized model"
            raise Refusal([diagnostic("FTC313", summary, world.span_of(here[path]), help=help, path=path)])
        return found
    except Refusal as refusal:
        shown = [replace(one, path=here.get(one.path, one.path) if one.path else None) for one in refusal.diagnostics]
        helps = card.helps
        raise Refusal([replace(one, help=(helps[one.code],)) if one.code in helps else one for one in shown]) from None


def locked_commit(card: Companion, asked: Asked, lock: Lock | None) -> str | None:
    """The commit that the lock keeps for a companion, as long as the same is asked for."""
    if lock is None:
        return None
    commit = pinned(card, asked, lock).get("commit")
    return str(commit) if commit else None


def pinned(card: Companion, asked: Asked, lock: Lock | None) -> Mapping[str, Any]:
    """What the lock keeps of a companion, as long as the same is asked for; empty else."""
    if lock is None:
        return {}
    before = card.said(lock)
    is_same = (before.get(card.key), before.get("revision")) == (asked.base, asked.revision)
    return value_at(lock.train.settings, card.pins) if is_same else {}


class Beside(NamedTuple):
    """What is known of the models beside the base model; None, and nothing, where a recipe asks for none."""

    classifier: ClassifierSettings | None
    grader: ModelFacts | None
    teacher: TeacherFacts | None
    reward_models: Mapping[Role, RewardModelFacts]


def known_beside(
    recipe: Recipe, models: Mapping[Role, ResolvedModel], student: ResolvedModel | None, lock: Lock | None, world: World
) -> Beside:
    """What is known of the companions of a recipe that could be resolved.

    Args:
        recipe: The recipe.
        models: These companions, by role.
        student: The base model, with whose tokenizer a teacher's is compared; None where it can't be used itself.
        lock: The lock on disk.
        world: Where they were looked up.

    Raises:
        Refusal: One of them can't do what it is asked for; the findings on all of them.
    """
    found: list[Diagnostic] = []

    def attempt(look_up: Callable[[], Known]) -> Known | None:
        try:
            return look_up()
        except Refusal as refusal:
            found.extend(refusal.diagnostics)
            return None

    grader, judged_by = models.get("classifier"), recipe.eval.classifier
    classifier = None
    if grader is not None and judged_by is not None:
        classifier = attempt(lambda: classifier_settings(judged_by, grader, world.span_of))
    lesson = models.get("teacher")
    teacher = attempt(lambda: teacher_facts(lesson, student, world)) if lesson is not None else None
    rewarding = dict[Role, RewardModelFacts]()
    for card in COMPANIONS:
        if card.takes_runs and (model := models.get(card.role)) is not None:
            from ftc.compiler.resolve.models.reward_models import reward_model_facts

            known = attempt(partial(reward_model_facts, card, model, recipe, lock, world))
            rewarding |= {card.role: known} if known is not None else {}
    if found:
        raise Refusal(found)
    return Beside(classifier, grader.facts if grader is not None else None, teacher, rewarding)


def numbered_labels(config: Mapping[str, Any]) -> list[str]:
    """Labels by their number; empty where `id2label` isn't a numbered list of different short texts."""
    named = config.get("id2label")
    if not isinstance(named, Mapping) or not 0 < len(named) <= _MOST_LABELS:
        return []
    labels = [named.get(str(number)) for number in range(len(named))]
    texts = [label for label in labels if isinstance(label, str) and 0 < len(label) <= 200]
    return texts if len(set(texts)) == len(named) else []


_TEACHER = "train.distillation.teacher"


def teacher_facts(model: ResolvedModel, student: ResolvedModel | None, world: World) -> TeacherFacts:
    """What is known of a model to learn from.

    Args:
        model: The teacher.
        student: The base model, whose tokenizer the teacher's is compared with; None where it can't be used itself.
        world: Where it was looked up.

    Raises:
        Refusal: One of its files can't be read.
    """
    config = read_json_object(model.folder / "config.json", world.span_of(_TEACHER), _TEACHER)
    problem = config.get("problem_type")
    return TeacherFacts(
        model=model.facts,
        labels=tuple(numbered_labels(config)),
        problem=problem if isinstance(problem, str) else None,
        other_tokens=_difference(model, student, world) if student else None,
    )


def _difference(teacher: ResolvedModel, student: ResolvedModel, world: World) -> str | None:
    """In what the two tokenizers differ; None where they give the same ids. Equal files need no look inside."""
    name = "tokenizer.json"
    if teacher.facts.files[name].sha256 == student.facts.files[name].sha256:
        return None
    span = world.span_of(_TEACHER)
    ours, theirs = (read_json_object(one.folder / name, span, _TEACHER) for one in (student, teacher))
    our_ids, their_ids = token_ids(ours, span), token_ids(theirs, span)
    if our_ids != their_ids:
        by_id, other = ({number: token for token, number in ids.items()} for ids in (our_ids, their_ids))
        number = min(one for one in by_id.keys() | other.keys() if by_id.get(one) != other.get(one))
        mine, its = (quoted(one[number]) if number in one else "no token" for one in (by_id, other))
        return f"id {number} is {mine} in the base model and {its} in the teacher"
    for part, what in (("normalizer", "normalizes"), ("pre_tokenizer", "divides"), ("model", "cuts")):
        if _rules(ours.get(part)) != _rules(theirs.get(part)):
            return f"the tokens are the same, but text is {what} differently (`{part}` in tokenizer.json)"
    return None


def _rules(part: Any) -> Any:
    """How text is cut, without the vocabulary and what is off; merges are pairs, however a file writes them."""
    if isinstance(part, Mapping):
        kept = {key: value for key, value in part.items() if key != "vocab" and value not in (None, False)}
        if isinstance(merges := kept.get("merges"), list):
            kept["merges"] = [one.split(" ") if isinstance(one, str) else one for one in merges]
        return {key: value if key == "merges" else _rules(value) for key, value in kept.items()}
    return [_rules(one) for one in part] if isinstance(part, list) else part


_BASE = "eval.classifier.base"
_HEAD = re.compile(r"(classifier|score|classification_head)(\.out_proj)?\.weight")
"""The last layer of the heads for sequences that transformers has."""
_USUAL_LENGTH = 512
"""Tokens that are read at once of an answer where the model itself has no limit."""


def classifier_settings(asked: Classifier, model: ResolvedModel, span_of: SpanOf) -> ClassifierSettings:
    """What of a classifier counts.

    Args:
        asked: `eval.classifier` of the recipe.
        model: The model that it names.
        span_of: The place of a recipe value by its dotted path.

    Raises:
        Refusal: It is no such classifier (FTC244).
    """
    facts = model.facts
    config = read_json_object(model.folder / "config.json", span_of(_BASE), _BASE)
    labels = numbered_labels(config)
    heads = [header.shape for name, header in facts.tensors.items() if _HEAD.fullmatch(name)]
    problem, fault = config.get("problem_type"), ""
    if not facts.architecture.endswith("ForSequenceClassification"):
        fault = f"its class is {quoted(facts.architecture or 'none')}"
    elif problem == "regression":
        fault = "it outputs a number, not a label"
    elif not labels:
        fault = "its config.json names no labels under `id2label`"
    elif not any(shape[:1] == (len(labels),) for shape in heads):
        fault = f"its weights have no head with {len(labels)} outputs"
    if fault:
        help = "use a text classifier in transformers format"
        summary = f"`{facts.name}` is not a text classifier: {fault}"
        raise Refusal([diagnostic("FTC244", summary, span_of(_BASE), help=help, path=_BASE)])
    if asked.label not in labels:
        path, close = "eval.classifier.label", nearest(asked.label, labels)
        help = f"did you mean `{close}`?" if close else f"its labels are {', '.join(map(quoted, labels[:12]))}"
        summary = f"the classifier has no label {quoted(asked.label)}"
        raise Refusal([diagnostic("FTC244", summary, span_of(path), help=help, path=path)])
    pad_id = config.get("pad_token_id")  # by which alone the head looks for the last token
    if type(pad_id) is not int or not 0 <= pad_id < facts.vocab_size:
        pad_id = (facts.tokenizer.pad_id or 0) if facts.family == "encoder" else None
    return ClassifierSettings(
        base=facts.name,
        commit=facts.commit,
        files=facts.files,
        label=asked.label,
        label_id=labels.index(asked.label),
        num_labels=len(labels),
        single=len(labels) > 1 and problem != "multi_label_classification",
        max_length=facts.max_positions or _USUAL_LENGTH,
        pad_id=pad_id,
    )
