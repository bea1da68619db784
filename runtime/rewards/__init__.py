"""What each reward of `ftc.spec.rewards` gives an answer, once: by the text of the answer and of the row's reference.

No model is needed and nothing is drawn, so that an audit computes the same from the record. Code in an answer is run by
a process that can do nothing but compute. Patterns come from a
recipe and run over texts that a model wrote, so each search has a limit; beyond it the run ends rather than guesses.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from ftc.runtime.extensions import reward_value
from ftc.runtime.rewards.code_runs import code_in, run_tests
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.rewards import RewardTerm, reward_card

__all__ = ["VALUES", "reward_values", "total_reward"]

_SECONDS = 5.0
"""What a search may take; usual ones take microseconds."""
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+")


def reward_values(
    rewards: Sequence[RewardTerm], answer: str, reference: str, recorded: Sequence[float] = ()
) -> tuple[float, ...]:
    """What an answer earns by each reward, without weights.

    Args:
        rewards: The plan's.
        answer: As the model wrote it, without special tokens.
        reference: The row's; empty where no reward compares with one.
        recorded: What those rewards are that are asked for once (`RewardCard.recorded`), in their order.

    Raises:
        ValueError: There are fewer or more of these.
        Refusal: A pattern takes too long on the answer, or a pattern or schema can't be applied (FTC444); a package
            gives no value (FTC480 to FTC483); the system can't confine code that tests run (FTC455).
    """
    given = iter(recorded)
    if len(recorded) != sum(reward_card(one.kind).recorded for one in rewards):
        raise ValueError("an answer lacks the reward that a judge gave it")
    return tuple(
        next(given) if reward_card(one.kind).recorded else VALUES[one.kind](one, answer, reference) for one in rewards
    )


def total_reward(rewards: Sequence[RewardTerm], values: Sequence[float]) -> float:
    """The weighted sum of what an answer earns."""
    return math.fsum(one.weight * value for one, value in zip(rewards, values, strict=True))


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    import regex

    try:
        return regex.compile(pattern, regex.DOTALL)
    except (regex.error, ValueError, OverflowError, RecursionError) as error:  # where it differs from Python's `re`
        summary = f"the pattern `{pattern[:80]}` is none that the package `regex` reads: {error}"
        raise Refusal([diagnostic("FTC444", summary, help="fix the pattern", path="task.rewards")]) from None


def _search(pattern: str, answer: str, *, last: bool = False) -> Any:
    """The first match, or the last one; None where there is none."""
    try:
        if not last:
            return _compiled(pattern).search(answer, timeout=_SECONDS)
        return next(iter([*_compiled(pattern).finditer(answer, timeout=_SECONDS)][-1:]), None)
    except TimeoutError:
        summary = (
            f"the pattern `{pattern[:80]}` takes more than {_SECONDS:g} s on an answer of {len(answer):,} characters"
        )
        help = "write a pattern without nested repetitions such as `(a+)+`"
        raise Refusal([diagnostic("FTC444", summary, help=help, path="task.rewards")]) from None


def _compared(reward: RewardTerm, answer: str) -> str | None:
    """The part of an answer that is compared; None where it has no such part."""
    if reward.extract is None:
        return answer
    found = _search(reward.extract, answer, last=True)
    if found is None:
        return None
    text: str | None = found.group(1) if found.re.groups else found.group(0)
    return text


def _exact_match(reward: RewardTerm, answer: str, reference: str) -> float:
    said = _compared(reward, answer)
    if said is None:
        return 0.0
    said, wanted = said.strip(), reference.strip()
    return float(said.casefold() == wanted.casefold() if reward.ignore_case else said == wanted)


def _last_number(text: str) -> float | None:
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def _numeric_match(reward: RewardTerm, answer: str, reference: str) -> float:
    said = _compared(reward, answer)
    number, wanted = (None if said is None else _last_number(said)), _last_number(reference)
    if number is None or wanted is None or not (math.isfinite(number) and math.isfinite(wanted)):
        return 0.0
    return float(abs(number - wanted) <= reward.tolerance)


def _regex(reward: RewardTerm, answer: str, reference: str) -> float:  # noqa: ARG001 - the form of an answer alone counts
    assert reward.pattern is not None, "a recipe without one is refused (FTC441)"
    return float(_search(reward.pattern, answer) is not None)


@lru_cache(maxsize=32)
def _validator(schema: str) -> Any:
    from jsonschema.exceptions import SchemaError, ValidationError
    from jsonschema.validators import extend, validator_for
    from referencing import Registry

    def matches(_validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
        """`pattern` of a schema, in whose dot no line break is, with a limit as each search has."""
        if isinstance(value, str) and _search(f"(?-s:{pattern})", value) is None:
            yield ValidationError("no match")

    read = json.loads(schema)
    try:
        kind = validator_for(read)
        kind.check_schema(read)
    except (SchemaError, AttributeError) as error:  # the second where `$schema` is no text
        raise _inapplicable(error) from None
    # An empty registry: a schema that names another one by its address must not be fetched.
    return extend(kind, {"pattern": matches})(read, registry=Registry())


def _inapplicable(error: Exception) -> Refusal:
    summary = f"a JSON schema can't be applied: {str(getattr(error, 'message', error)).strip().splitlines()[0][:200]}"
    help = "write a schema that is valid and complete: it contains all that it refers to, and nothing is fetched"
    return Refusal([diagnostic("FTC444", summary, help=help, path="task.rewards")])


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _json_schema(reward: RewardTerm, answer: str, reference: str) -> float:  # noqa: ARG001 - as above
    from referencing.exceptions import Unresolvable

    assert reward.json_schema is not None, "a recipe without one is refused (FTC441)"
    said, validator = _compared(reward, answer), _validator(reward.json_schema)
    try:
        return float(validator.is_valid(json.loads(said or "", parse_constant=_no_number)))
    except (ValueError, RecursionError):  # none of JSON, or nested too deeply to be read or checked
        return 0.0
    except Unresolvable as error:
        raise _inapplicable(error) from None


def _format(reward: RewardTerm, answer: str, reference: str) -> float:  # noqa: ARG001 - as above
    left = answer.strip()
    for tag in reward.tags:
        opening, closing = f"<{tag}>", f"</{tag}>"
        if not left.startswith(opening) or answer.count(opening) != 1 or answer.count(closing) != 1:
            return 0.0
        _, found, left = left.partition(closing)
        if not found:
            return 0.0
        left = left.strip()
    return float(not left)


def _length(reward: RewardTerm, answer: str, reference: str) -> float:  # noqa: ARG001 - as above
    assert reward.max_characters is not None, "a recipe without one is refused (FTC441)"
    return float(reward.min_characters <= len(answer) <= reward.max_characters)


def _of_a_package(reward: RewardTerm, answer: str, reference: str) -> float:
    assert reward.name is not None, "a recipe without one is refused (FTC441)"
    return reward_value(reward.name, answer, reference if reward.compares else "")


def _unit_tests(reward: RewardTerm, answer: str, reference: str) -> float:
    said = code_in(answer) if reward.extract is None else _compared(reward, answer)
    return 0.0 if said is None else run_tests(said, reference, reward.cpu_seconds, reward.memory)


VALUES: dict[str, Callable[[RewardTerm, str, str], float]] = {
    "exact_match": _exact_match,
    "numeric_match": _numeric_match,
    "regex": _regex,
    "json_schema": _json_schema,
    "format": _format,
    "length": _length,
    "unit_tests": _unit_tests,
    "package": _of_a_package,
}
"""What each kind that isn't recorded gives an answer beside a reference."""
