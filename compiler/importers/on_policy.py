"""On-policy distillation, as TRL's `GKDConfig` says it; Oumi has its keys in a section of their own."""

from __future__ import annotations

from collections.abc import Callable

from ftc.compiler.importers import rules
from ftc.compiler.importers.translation import Translation
from ftc.spec.divergences import DIVERGENCES

__all__ = ["as_judged", "of_judging", "tells_judging"]

_LESSON = "train.distillation"
_OWN = f"{_LESSON}.on_policy"
_TEACHER = "teacher_model_name_or_path"
_USUAL = "TRL's default"


def tells_judging(t: Translation) -> str | None:
    """A key of `GKDConfig` that is there and that no other trainer of TRL has."""
    return next((key for key in (_TEACHER, "lmbda", "seq_kd") if t.has(key)), None)


def as_judged(t: Translation, under: str = "") -> None:
    """Writes teacher, divergence and how answers are sampled, as far as these map.

    Args:
        t: The translation.
        under: What stands before TRL's keys, with its dot.
    """
    if (name := t.text(under + _TEACHER)) is None:
        t.block((), "no teacher is named", rules.NAME_THE_TEACHER)
        return
    if t.has(under + "max_completion_length"):  # `DistillationConfig`, whose rows are prompts alone
        help = "add answers to the rows, which validation and test need, and write `on_policy: {lmbda: 1}`"
        t.block(
            under + "max_completion_length", "a teacher's judgment of prompts without answers is not supported", help
        )
        return
    if t.flag(under + "seq_kd"):
        help = "let the teacher answer the prompts once with `ftc predict`, and train on these rows"
        t.block(under + "seq_kd", "answers that the teacher writes in training are not supported", help)
    t.needless(under + "seq_kd", "steps without the model's own answers train on those of the rows")
    t.carry(under + _TEACHER, f"{_LESSON}.teacher", name)
    _divergence(t, under + "beta")

    def said(key: str, read: Callable[[str], float | None], usual: float) -> None:
        if not t.has(under + key):
            t.add(f"{_OWN}.{key}", usual, _USUAL)
        elif (value := read(under + key)) is not None:
            t.carry(under + key, f"{_OWN}.{key}", value)

    if t.has(under + "lmbda") and t.number(under + "lmbda") == 0:  # the rows' answers alone
        t.add(f"{_LESSON}.weight", 1, "TRL trains on the teacher's probabilities alone")
        t.add(f"{_LESSON}.temperature", 1, "TRL does not scale the probabilities")
        for key in ("lmbda", "temperature", "max_new_tokens"):
            t.needless(under + key, "with `lmbda: 0` the model writes no answers")
        return
    said("lmbda", t.number, 0.5)
    said("temperature", t.number, 0.9)
    said("max_new_tokens", t.whole, 128)


def _divergence(t: Translation, key: str) -> None:
    if (beta := t.number(key) if t.has(key) else 0.5) is None:
        return
    card = next((one for one in DIVERGENCES if one.beta == beta), None)
    if card is None:
        card = next(one for one in DIVERGENCES if one.beta is None)
        t.add(f"{_LESSON}.loss", card.kind, "the divergence of GKD")
        t.carry(key, f"{_LESSON}.beta", beta)
    elif t.has(key):
        t.carry(key, f"{_LESSON}.loss", card.kind, f"beta {beta:g} is {card.label}")
    else:
        t.add(f"{_LESSON}.loss", card.kind, _USUAL)


def of_judging(under: str = "") -> rules.Rules:
    """Rules of the keys of GKD that a recipe doesn't have.

    Args:
        under: What stands before them, with its dot.
    """
    return {
        **rules.dropped("how the teacher is loaded is the plan's to say", f"{under}teacher_model_init_kwargs",
            "set `train.distillation.precision` or `quantization`"),
        **rules.dropped("the model's own dropout stays on in training", f"{under}disable_dropout",
            "an adapter's is `strategy.dropout`"),
    }  # fmt: skip
