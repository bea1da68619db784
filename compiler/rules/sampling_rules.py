"""Rules of sampled answers that need the model, the rows or what is installed; `check_facts` runs them."""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.sampled_rows import longest_prompt
from ftc.spec.code_tests import CONFINING
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.lockfile import is_weight_file
from ftc.spec.precisions import precision_card
from ftc.spec.quantized_files import quantized_files
from ftc.spec.rewards import reads_tests, reward_card
from ftc.spec.sections.data import SHORTEST_TEXT
from ftc.spec.storage.reading import parse_json
from ftc.spec.strategies import strategy_card
from ftc.spec.writers import WRITERS, writer_card

__all__ = [
    "SAMPLING_RULES",
    "answers_have_positions",
    "base_can_be_asked",
    "code_can_be_confined",
    "reward_packages_are_here",
    "schemas_are_valid",
    "server_has_room",
    "server_has_the_products",
    "server_takes_the_weights",
    "some_steps_are_written",
]


def base_can_be_asked(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A divergence needs the base model, which is there behind an adapter that can be switched off."""
    sampling, strategy = draft.recipe.task.sampling, draft.strategy
    if sampling is None or not sampling.beta:
        return
    continues = draft.begins is not None and draft.begins.continues
    if strategy_card(strategy).is_whole or strategy.traits.changes_base or continues:
        changes = f"and `{strategy.kind}` changes its weights"
        why = "and a continued adapter is part of it" if continues else changes
        yield diagnostic(
            "FTC447",
            f"`beta` needs the base model, {why}",
            draft.source.span("task.beta"),
            help="remove `beta`, or write `strategy: {kind: lora}`",
            path="task.beta",
        )


def answers_have_positions(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """The longest prompt and the longest answer fit the model together."""
    writing, own = draft.recipe.writing, draft.strategy.traits.num_virtual
    teacher = draft.teacher.model.max_positions if draft.teacher is not None else None
    places = min((one for one in (draft.model.max_positions, teacher) if one is not None), default=None)
    if writing is None or places is None:
        return
    longest, room = longest_prompt(draft), places - own
    taken = 0 if draft.model.family == "encoder_decoder" else longest  # a decoder's places are its own
    if writing.max_new_tokens > room - taken:
        whose = "model's" if places == draft.model.max_positions else "teacher's"
        is_rewarded = draft.recipe.task.sampling is not None
        key = "on_policy" if writing.by == "model" else "seq_kd"
        path = "task.max_new_tokens" if is_rewarded else f"train.distillation.{key}.max_new_tokens"
        yield diagnostic(
            "FTC448",
            f"prompts of up to {longest:,} tokens and answers of up to {writing.max_new_tokens:,} exceed the {whose} "
            f"{places:,} positions",
            draft.source.span(path),
            help=_shorter(room, taken, writing.max_new_tokens),
            path=path,
        )


def _shorter(room: int, prompt: int, answer: int) -> list[str]:
    """What makes prompt and answer fit: a shorter answer, shorter prompts, or both where one of them takes all room.

    Args:
        room: Positions of the model for both.
        prompt: Tokens of the longest prompt that share them; 0 where it has positions of its own.
        answer: The most tokens of an answer.
    """
    found = [f"write `max_new_tokens: {room - prompt}`"] if room > prompt else []
    if prompt and room - answer >= SHORTEST_TEXT:
        found.append(f"{'or ' if found else ''}shorten the prompts with `data: {{max_length: {room - answer}}}`")
    if not found and prompt and room // 2 >= SHORTEST_TEXT:
        found = [f"write `max_new_tokens: {room // 2}` and `data: {{max_length: {room - room // 2}}}`"]
    return found or ["choose a model with more positions"]


def server_takes_the_weights(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """What is trained can be handed to a running server, and the server can read the prompts."""
    sampling, strategy = draft.recipe.task.sampling, draft.strategy
    if sampling is None or not (card := writer_card(sampling.writer)).is_server:
        return
    path, help = "strategy.kind", "write `strategy: {kind: lora}`, or `task: {writer: transformers}`"
    if strategy_card(strategy).is_whole:
        takers = ", ".join(f"`{one.kind}`" for one in WRITERS if one.is_server and one.takes_whole)
        why = None if card.takes_whole else "it takes adapters, and not all weights of a model"
        help = f"write `strategy: {{kind: lora}}`, or a writer that takes whole models: {takers}"
        if card.takes_whole and draft.model.quantized_files is not None:
            label = quantized_files(draft.model.quantized_files).label
            why = f"it holds {label} weights as the base model's files do, and whole ones are trained"
            help = "write `strategy: {kind: lora}`, or choose the unquantized model"
    else:
        why = strategy.no_lora_file()
    if draft.model.vision is not None:
        path, why, help = "task.writer", "it is sent tokens, and no images", "write `writer: transformers`"
    if why is not None:
        summary = f"a running server of {card.label} can't take what is trained: {why}"
        yield diagnostic("FTC465", summary, draft.source.span(path), help=help, path=path)


def server_has_room(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A server that the run starts gets memory for the base model's weights at least."""
    sampling = draft.recipe.task.sampling
    if sampling is None or (given := sampling.writer_memory) is None:
        return
    number, model = precision_card(draft.train.precision).products, draft.model
    weights, held = model.num_parameters * number.size, f"weights in {number.name}"
    if model.quantized_files is not None:  # the server starts from the same files
        stored = sum(one.size for name, one in model.files.items() if is_weight_file(name))
        weights, held = min(weights, stored), f"{quantized_files(model.quantized_files).label} weights"
    if given <= weights:
        path = "task.writer_memory"
        summary = f"{_written(given)} can't hold the server's {_written(weights)} of {held}"
        help = f"write at least `writer_memory: {_written(weights * 5 // 4)}`, with room for a cache of answers"
        yield diagnostic("FTC464", summary, draft.source.span(path), help=help, path=path)


def server_has_the_products(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A server that the run starts computes with weights of few bits in the type that the run has."""
    sampling, method = draft.recipe.task.sampling, draft.model.quantized_files
    if sampling is None or sampling.writer_memory is None or method is None:
        return
    card = writer_card(sampling.writer)
    if card.own is None:
        return  # another rule refuses `writer_memory`
    number, has = precision_card(draft.train.precision).products, card.own.products[method]
    if number.name not in has:
        path, label = "train.precision", quantized_files(method).label
        known = " or ".join(f"`{one}`" for one in has)
        summary = f"{card.label} has no products of {label} weights in {number.name}"
        help = f"write `precision: {has[0]}`, or choose the unquantized model"
        yield diagnostic("FTC464", summary, draft.source.span(path), help=help, notes=f"it has {known}", path=path)


def _written(size: int) -> str:
    """A size as a recipe writes it, rounded up."""
    unit, name = (2**20, "MiB") if size >= 2**20 else (2**10, "KiB")
    return f"{-(-size // unit)}{name}"


def some_steps_are_written(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A share of the steps is one step at least."""
    writing, steps = draft.recipe.writing, draft.train.num_steps
    if writing is None or writing.count(steps):
        return
    path = "train.distillation.on_policy.lmbda"
    summary = f"with `lmbda: {writing.share:g}` none of {steps:,} steps trains on the model's own answers"
    least, enough = math.ceil(100 / steps) / 100, math.ceil(1 / writing.share)
    help = f"write at least {least:g}, or train for {enough:,} steps or more"
    yield diagnostic("FTC230", summary, draft.source.span(path), help=help, path=path)


def reward_packages_are_here(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Libraries that rewards are computed by are installed, where the run is for this machine."""
    sampling = draft.recipe.task.sampling
    for number, reward in enumerate(sampling.rewards if sampling else ()):
        package = reward_card(reward.kind).package
        if package is not None and draft.device.local and find_spec(package[0]) is None:
            path = f"task.rewards[{number}]"
            summary = f"a reward of kind `{reward.kind}` needs the package `{package[0]}`"
            help = f"pip install 'ftc[{package[1]}]'"
            yield diagnostic("FTC449", summary, draft.source.span(path), help=help, path=path)


def code_can_be_confined(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Code in answers is run where the kernel confines it, if the run is for this machine."""
    sampling = draft.recipe.task.sampling
    here = sys.platform, platform.machine()
    if sampling is None or not reads_tests(sampling.rewards) or not draft.device.local:
        return
    if here[0] != CONFINING[0] or here[1] not in CONFINING[1]:
        summary = f"code that a model writes can't be confined on {here[0]}, {here[1]}"
        help = "plan for another machine and run it there: Linux, x86-64 or arm64"
        yield diagnostic("FTC455", summary, draft.source.span("task.rewards"), help=help, path="task.rewards")


def schemas_are_valid(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """JSON schemas are valid, and a first answer can be checked by them; where the library is here that reads them."""
    sampling = draft.recipe.task.sampling
    for number, reward in enumerate(sampling.rewards if sampling else ()):
        if reward.json_schema is not None and find_spec("jsonschema") is not None:
            fault = _schema_fault(reward.json_schema)
            if fault is not None:
                path = f"task.rewards[{number}].json_schema"
                summary = f"`json_schema` is no JSON schema: {fault}"
                help = "write a valid schema that refers to no other"
                yield diagnostic("FTC442", summary, draft.source.span(path), help=help, path=path)


def _schema_fault(schema: str) -> str | None:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    read = parse_json(schema)
    try:
        kind = validator_for(read)
        kind.check_schema(read)
        kind(read, registry=Registry()).is_valid({})
    except SchemaError as error:
        return str(error.message)[:200]
    except RecursionError:
        return "it refers to itself without end"
    except (AttributeError, Unresolvable) as error:  # the first where `$schema` is no text
        return str(error)[:200]
    return None


SAMPLING_RULES: tuple[Callable[[ClosedDraft], Iterator[Diagnostic]], ...] = (
    base_can_be_asked,
    answers_have_positions,
    some_steps_are_written,
    server_takes_the_weights,
    server_has_room,
    server_has_the_products,
    reward_packages_are_here,
    code_can_be_confined,
    schemas_are_valid,
)
"""Every rule."""
