"""Distillation as TRL's `GKDConfig` and `GOLDConfig` say it; Oumi has their keys in a section of their own."""

from __future__ import annotations

from collections.abc import Callable

from ftc.compiler.importers import rules
from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.divergences import DIVERGENCES

__all__ = ["as_judged", "of_judging", "tells_judging"]

_LESSON = "train.distillation"
_TEACHER = "teacher_model_name_or_path"
_USUAL = "TRL's default"
_WRITTEN = "a loss by rank of answers that are written in training"
_HEATS = ("uld_student_temperature", "uld_teacher_temperature")


def tells_judging(t: Translation) -> str | None:
    """A key of `GKDConfig` that is there and that no other trainer of TRL has."""
    return next((key for key in (_TEACHER, "lmbda", "seq_kd") if t.has(key)), None)


def as_judged(t: Translation, under: str = "", *, is_gold: bool = False) -> None:
    """Writes teacher, divergence and how answers are sampled, as far as these map.

    Args:
        t: The translation.
        under: What stands before TRL's keys, with its dot.
        is_gold: Whether the trainer is GOLD, which without its loss by rank is GKD with some other names and defaults.
    """
    if (name := t.text(under + _TEACHER)) is None:
        t.block((), "no teacher is named", rules.NAME_THE_TEACHER)
        return
    if t.flag(under + "use_uld_loss"):
        t.carry(under + _TEACHER, f"{_LESSON}.teacher", name)
        _by_rank(t, under)
        return
    if t.has(under + "max_completion_length") and not is_gold:  # `DistillationConfig`, whose rows are prompts alone
        help = "add answers to the rows, which validation and test need, and write `on_policy: {lmbda: 1}`"
        t.block(
            under + "max_completion_length", "a teacher's judgment of prompts without answers is not supported", help
        )
        return
    by_teacher = t.flag(under + "seq_kd")
    if by_teacher and not _on_rows_alone(t, under):
        help = "write `lmbda: 0`, so that the teacher answers in each step, or `seq_kd: false`"
        t.block(under + "seq_kd", "a run in which the model and the teacher write in turn is not supported", help)
    if not by_teacher:
        t.needless(under + "seq_kd", "steps without the model's own answers train on those of the rows")
    t.carry(under + _TEACHER, f"{_LESSON}.teacher", name)
    _divergence(t, under + "beta", under + "temperature" if is_gold else None)

    section = f"{_LESSON}.seq_kd" if by_teacher else f"{_LESSON}.on_policy"
    longest = "max_completion_length" if is_gold else "max_new_tokens"

    def said(key: str, read: Callable[[str], float | None], usual: float, foreign: str = "", why: str = "") -> None:
        foreign = under + (foreign or key)
        if not t.has(foreign):
            t.add(f"{section}.{key}", usual, _USUAL + why)
        elif (value := read(foreign)) is not None:
            t.carry(foreign, f"{section}.{key}", value, why.removeprefix("; "))

    if _on_rows_alone(t, under):
        t.add(f"{_LESSON}.weight", 1, "TRL trains on the teacher's probabilities alone")
        t.add(f"{_LESSON}.temperature", 1, "TRL does not scale the probabilities")
        for key in ("lmbda",) if by_teacher else ("lmbda", "temperature", longest):
            t.needless(under + key, "with `lmbda: 0` the model writes no answers")
        if by_teacher:
            said("temperature", t.number, 0.9)
            said("max_new_tokens", t.whole, 128, longest)
            t.carry(under + "seq_kd", f"{section}.top_k", 0, "TRL draws among all tokens")
        return
    nucleus = "; GOLD's default is to draw from tokens that hold 95 % of the probability, and ftc draws from all"
    said("lmbda", t.number, 0.5)
    said("temperature", t.number, 0.9, why=nucleus if is_gold and not t.has(under + "top_p") else "")
    said("max_new_tokens", t.whole, 128, longest)


def _on_rows_alone(t: Translation, under: str) -> bool:
    """Whether no step trains on answers of the model's own."""
    return t.has(under + "lmbda") and t.number(under + "lmbda") == 0


def _by_rank(t: Translation, under: str) -> None:
    """A teacher with another tokenizer, as `GOLDConfig` has it."""
    card = next(one for one in DIVERGENCES if one.by_rank)
    t.carry(under + "use_uld_loss", f"{_LESSON}.loss", card.kind)
    for key, why in (
        ("uld_use_hybrid_loss", "a loss of tokens that both have beside one by rank"),
        ("seq_kd", _WRITTEN),
    ):
        if t.flag(under + key):
            t.block(under + key, f"{why} is not supported", f"write `{key}: false`")
        t.needless(under + key, "it is off")
    if not _on_rows_alone(t, under):
        where = under + "lmbda" if t.has(under + "lmbda") else ()
        t.block(
            where, f"{_WRITTEN} is not supported", "write `lmbda: 0`, so that each step trains on the rows' answers"
        )
    own, theirs = (
        usual if (value := t.number(under + key) if t.has(under + key) else usual) is None else value
        for key, usual in (("uld_crossentropy_weight", 0.0), ("uld_distillation_weight", 1.0))
    )
    if theirs <= 0 or own < 0:
        t.block(under + "uld_distillation_weight", "nothing is learned from the teacher", "write a weight above 0")
        return
    weights: list[str | Key] = [under + "uld_crossentropy_weight", under + "uld_distillation_weight"]
    t.carry(weights, f"{_LESSON}.weight", round(theirs / (own + theirs), 6), f"{theirs:g} of {own + theirs:g}")
    heats = {t.number(under + key) for key in _HEATS if t.has(under + key)} or {1.0}
    if len(heats) > 1 or (len(heats) == 1 and sum(t.has(under + key) for key in _HEATS) == 1 and heats != {1.0}):
        t.block(under + _HEATS[0], "two temperatures are not supported", "write the same for model and teacher")
        return
    t.carry([under + key for key in _HEATS], f"{_LESSON}.temperature", heats.pop())
    if t.has(under + "use_extended_uld") and not t.flag(under + "use_extended_uld"):
        t.drop(under + "use_extended_uld", "ftc aligns tokens by the answers' text, not by their number")
    for key in ("use_extended_uld", "lmbda", "beta", "temperature", "top_p", "top_k", "max_completion_length"):
        t.needless(under + key, "each step trains on the rows' answers, aligned by their text")
    for key in ("uld_skip_student_eos", "uld_skip_teacher_eos"):
        t.drop(under + key, "what ends an answer is compared, too")
    t.needless(under + "teacher_tokenizer_name_or_path", "the teacher's own tokenizer is read")


def _divergence(t: Translation, key: str, divides: str | None) -> None:
    """The divergence by its beta; `divides` is the key of the temperature that divides its logits, if GOLD has one."""
    why = "GOLD's loss has it, too; ftc multiplies the divergence by its square, as Hinton et al. do"
    if divides is not None and not t.has(divides):
        t.add(f"{_LESSON}.temperature", 0.9, f"{_USUAL}; {why}")
    elif divides is not None and (heat := t.number(divides)) is not None:
        t.carry(divides, f"{_LESSON}.temperature", heat, why)
    if (beta := t.number(key) if t.has(key) else 0.5) is None:
        return
    card = next((one for one in DIVERGENCES if one.beta == beta), None)
    if card is None:
        card = next(one for one in DIVERGENCES if "beta" in one.reads)
        t.add(f"{_LESSON}.loss", card.kind, "the divergence of GKD")
        t.carry(key, f"{_LESSON}.beta", beta)
    elif t.has(key):
        t.carry(key, f"{_LESSON}.loss", card.kind, f"beta {beta:g} is {card.label}")
    else:
        t.add(f"{_LESSON}.loss", card.kind, _USUAL)


def _among(t: Translation, key: Key) -> None:
    """Tokens from which whoever writes the answers draws, as `GOLDConfig` says it."""
    writes = [one for one in ("on_policy", "seq_kd") if f"{_LESSON}.{one}.temperature" in t.values]
    if writes and (count := t.whole(key)) is not None:
        t.carry(key, f"{_LESSON}.{writes[0]}.top_k", count)
    else:
        t.needless(key, "no step draws tokens")


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
        **rules.needless("the loss is the divergence of the same tokens", f"{under}use_uld_loss"),
        **rules.each(_among, f"{under}top_k"),
    }  # fmt: skip
