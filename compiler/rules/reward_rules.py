"""Rules of tasks that sample their own answers: what rewards need, and what such training can be done with.

Pure functions over the recipe alone, in the form of `ftc.compiler.rules.recipe_rules`, which runs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.reinforcement_losses import REINFORCEMENT_LOSSES, reinforcement_loss
from ftc.spec.rewards import RewardTerm, judge_of, reward_card, reward_model_of
from ftc.spec.sections.recipe import Recipe
from ftc.spec.storage.reading import parse_json
from ftc.spec.writers import WRITERS, writer_card

__all__ = [
    "groups_are_whole",
    "loss_knows_its_keys",
    "rewards_are_complete",
    "sampled_answers_are_taken_as_they_are",
    "teachers_answers_know_their_keys",
    "writers_know_their_keys",
]


def rewards_are_complete(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Each reward has the keys that its kind needs, no others, and patterns and schemas that can be read."""
    sampling = recipe.task.sampling
    for number, reward in enumerate(sampling.rewards if sampling else ()):
        path = f"task.rewards[{number}]"
        for key in reward_card(reward.kind).required:
            if getattr(reward, key) is None:
                summary = f"a reward of kind `{reward.kind}` needs `{key}`"
                yield diagnostic("FTC441", summary, source.span(path), help=f"add `{key}`", path=path)
        yield from _idle_keys(reward, path, source)
        yield from _unreadable(reward, path, source)
        if reward.judge is not None and reward.judge.shows_key:
            place = f"{path}.judge.url"
            summary = "the key would be sent unencrypted"
            yield diagnostic("FTC243", summary, source.span(place), help="use `https://`", path=place)
        if reward.judge is not None and sampling is not None and judge_of(sampling.rewards) is not reward.judge:
            summary, help = "a second judge", "keep one, whose criterion names all that counts"
            yield diagnostic("FTC442", summary, source.span(path), help=help, path=path)
        if reward.base is not None and sampling is not None and reward_model_of(sampling.rewards) is not reward:
            summary, help = "a second reward model", "keep one"
            yield diagnostic("FTC442", summary, source.span(path), help=help, path=path)
        other = next((one for one in sampling.rewards if _takes(one) == "text"), None) if sampling else None
        if other is not None and _takes(reward) == "tests":
            summary = f"`{other.kind}` compares answers with the reference, which `{reward.kind}` takes for tests"
            yield diagnostic("FTC442", summary, source.span(path), help="remove one of both", path=path)


def _takes(reward: RewardTerm) -> str | None:
    """What a reward takes the row's reference for."""
    return "text" if reward.compares else reward_card(reward.kind).reference


def _idle_keys(reward: RewardTerm, path: str, source: Source) -> Iterator[Diagnostic]:
    card = reward_card(reward.kind)
    for key in sorted(RewardTerm.model_fields.keys() - {"kind", "weight", *card.reads}):
        if source.node(f"{path}.{key}") is not None:
            known = ", ".join(f"`{name}`" for name in ("weight", *card.reads))
            yield diagnostic(
                "FTC440",
                f"`{key}` has no effect in a reward of kind `{reward.kind}`",
                source.key_span(f"{path}.{key}"),
                help=f"remove it; this kind reads {known}",
                path=f"{path}.{key}",
            )


def _unreadable(reward: RewardTerm, path: str, source: Source) -> Iterator[Diagnostic]:
    """Patterns that are none, a schema that is no JSON object, and bounds that no length keeps."""
    for key in ("pattern", "extract"):
        try:
            re.compile(getattr(reward, key) or "")
        except (re.error, ValueError, OverflowError, RecursionError) as error:  # as `re` says of odd patterns
            place = f"{path}.{key}"
            summary = f"`{key}` is not a valid regular expression: {error}"
            yield diagnostic("FTC442", summary, source.span(place), help="fix the pattern", path=place)
    if reward.json_schema is not None:
        place = f"{path}.json_schema"
        try:
            is_object = isinstance(parse_json(reward.json_schema), dict)
        except ValueError:
            is_object = False
        if not is_object:
            help = 'write a JSON object as text, such as `{"type": "object"}`'
            yield diagnostic("FTC442", "`json_schema` is no JSON object", source.span(place), help=help, path=place)
    if "tags" in reward_card(reward.kind).reads and len({*reward.tags}) < len(reward.tags):
        place, summary = f"{path}.tags", "no answer has an element once that is asked for twice"
        yield diagnostic("FTC442", summary, source.span(place), help="name each element once", path=place)
    if reward.max_characters is not None and reward.max_characters < reward.min_characters:
        place, help = f"{path}.max_characters", f"write at least {reward.min_characters}"
        summary = f"no answer has at least {reward.min_characters} and at most {reward.max_characters} characters"
        yield diagnostic("FTC442", summary, source.span(place), help=help, path=place)


def groups_are_whole(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A step's answers are whole groups."""
    sampling, batch = recipe.task.sampling, recipe.train.batch_size
    if sampling is None or batch % sampling.group_size == 0:
        return
    size = sampling.group_size
    path = "train.batch_size" if source.node("train.batch_size") is not None else "task.group_size"
    yield diagnostic(
        "FTC443",
        f"batch size {batch} is not a multiple of the group size {size}",
        source.span(path),
        help=f"write `batch_size: {-(-batch // size) * size}`, so that each step has whole groups of answers",
        notes="`train.batch_size` counts sampled answers",
        path=path,
    )


def loss_knows_its_keys(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """What only some losses know is written for those alone."""
    sampling = recipe.task.sampling
    if sampling is None or not sampling.beta or "beta" in reinforcement_loss(sampling.loss).reads:
        return
    others = ", ".join(f"`{card.kind}`" for card in REINFORCEMENT_LOSSES if "beta" in card.reads)
    yield diagnostic(
        "FTC445",
        f"`beta` has no effect for `{sampling.loss}`",
        source.span("task.beta"),
        help=f"remove `beta`, or choose a loss that has a divergence: {others}",
        path="task.beta",
    )


def writers_know_their_keys(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Importance is weighted where a server writes, and bits are proved where none does."""
    sampling, asked = recipe.task.sampling, recipe.train.determinism
    if sampling is None:
        return
    card = writer_card(sampling.writer)
    if not card.is_server and source.node("task.importance_cap") is not None:
        path, servers = "task.importance_cap", ", ".join(f"`{one.kind}`" for one in WRITERS if one.is_server)
        summary = f"`importance_cap` has no effect: with `writer: {card.kind}` the probabilities are the trainer's own"
        help = f"remove it, or choose a server as the writer: {servers}"
        yield diagnostic("FTC464", summary, source.span(path), help=help, path=path)
    if sampling.writer_memory is not None and card.own is None:
        path, starters = "task.writer_memory", ", ".join(f"`{one.kind}`" for one in WRITERS if one.own is not None)
        summary = f"`writer_memory` has no effect: with `writer: {card.kind}` the run starts no server"
        help = f"remove it, or choose a server that a run can start within a share of its GPU: {starters}"
        yield diagnostic("FTC464", summary, source.span(path), help=help, path=path)
    if card.is_server and asked in ("bitwise", "best_effort"):
        path, summary = "train.determinism", f"a server of {card.label} promises no bits that could be proved"
        help = "remove `determinism`, or write `writer: transformers`"
        yield diagnostic("FTC464", summary, source.span(path), help=help, path=path)


def sampled_answers_are_taken_as_they_are(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """What training on sampled answers can't be done with: several devices where these can't divide them, packed rows,
    smoothed labels, and a share of the loss that takes them for right.
    """
    if recipe.writing is None:
        return
    train, budget, divides = recipe.train, recipe.budget, recipe.writing.divides
    if budget.devices != "auto" and budget.devices > 1 and not divides:
        path, why = "budget.devices", "answers are sampled on one device"
        yield diagnostic("FTC446", why, source.span(path), help="write `devices: 1`", path=path)
    if budget.nodes > 1 and not divides:
        path, why = "budget.nodes", "answers are sampled on one machine"
        yield diagnostic("FTC446", why, source.span(path), help="remove `nodes`", path=path)
    if train.packing is True:
        path, why = "train.packing", "sampled answers are not packed: their lengths are unknown before each step"
        yield diagnostic("FTC446", why, source.span(path), help="remove `packing`", path=path)
    if recipe.writing.by == "teacher":  # whose answers are reference answers
        return
    if train.label_smoothing:
        path, why = "train.label_smoothing", "label smoothing has no effect on sampled answers"
        yield diagnostic("FTC446", why, source.span(path), help="remove `label_smoothing`", path=path)
    if train.distillation is not None and train.distillation.weight < 1:
        path, why = "train.distillation.weight", "answers that the model writes itself are no reference answers"
        help = "remove `weight`, so that only the teacher's loss counts, or remove `on_policy`"
        yield diagnostic("FTC446", why, source.span(path), help=help, path=path)


def teachers_answers_know_their_keys(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Where the teacher's answers alone are learned, keys of its probabilities have no effect."""
    lesson = recipe.train.distillation
    if lesson is None or lesson.seq_kd is None:
        return
    section, unused = "train.distillation", list[tuple[str, str, str]]()
    if lesson.weight == 0:
        why, help = "with `weight: 0` the teacher's answers alone are learned", "remove it, or write a larger `weight`"
        unused += [(name, why, help) for name in ("loss", "beta", "temperature")]
    if lesson.seq_kd.temperature == 0 and lesson.seq_kd.top_k:
        why, help = "with `temperature: 0` the likeliest token is taken", "remove it, or write a `temperature` above 0"
        unused.append(("seq_kd.top_k", why, help))
    for name, why, help in unused:
        path = f"{section}.{name}"
        if source.node(path) is not None:
            summary = f"`{name.rpartition('.')[2]}` has no effect: {why}"
            yield diagnostic("FTC230", summary, source.span(path), help=help, path=path)
