"""Facts of a teacher: its labels, and whether its tokens are the base model's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftc.compiler.resolve.files.json_files import read_json_object
from ftc.compiler.resolve.models.beside import World, numbered_labels
from ftc.compiler.resolve.models.model import ResolvedModel
from ftc.compiler.resolve.models.tokenizer import token_ids
from ftc.spec.documents.facts import TeacherFacts
from ftc.spec.language.safe_repr import quoted

__all__ = ["teacher_facts"]

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
        return _first_other_token(our_ids, their_ids)
    for part, what in (("normalizer", "normalizes"), ("pre_tokenizer", "divides"), ("model", "cuts")):
        if _rules(ours.get(part)) != _rules(theirs.get(part)):
            return f"the tokens are the same, and it {what} text otherwise (`{part}` in tokenizer.json)"
    return None


def _first_other_token(ours: Mapping[str, int], theirs: Mapping[str, int]) -> str:
    """The lowest id that doesn't stand for the same token in both."""
    by_id = {number: token for token, number in ours.items()}
    other = {number: token for token, number in theirs.items()}
    number = min(one for one in by_id.keys() | other.keys() if by_id.get(one) != other.get(one))
    mine, its = (quoted(one[number]) if number in one else "no token" for one in (by_id, other))
    return f"id {number} is {mine} for the base model and {its} for the teacher"


def _rules(part: Any) -> Any:
    """How text is cut, without the vocabulary and what is off; merges are pairs, however a file writes them."""
    if isinstance(part, Mapping):
        kept = {key: value for key, value in part.items() if key != "vocab" and value not in (None, False)}
        return {key: _merges(value) if key == "merges" else _rules(value) for key, value in kept.items()}
    return [_rules(one) for one in part] if isinstance(part, list) else part


def _merges(merges: Any) -> Any:
    if not isinstance(merges, list):
        return merges
    return [one.split(" ") if isinstance(one, str) else one for one in merges]
