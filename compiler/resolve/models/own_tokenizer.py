"""What a recipe changes of the model's tokenizer, compared with the files, and the model's sizes with new tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ftc.compiler.resolve.files.safe_files import UnsafePath, read_json_object, safe_path
from ftc.compiler.resolve.models.companions import World
from ftc.compiler.resolve.models.model import ResolvedModel
from ftc.compiler.resolve.models.model_form import input_embedding, vocabulary_tensors
from ftc.compiler.resolve.models.tokenizer import token_ids
from ftc.spec.diagnostics import Diagnostic, Refusal, Severity, diagnostic
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.own_tokenizer import AddedToken, OwnTemplate, OwnTokenizer
from ftc.spec.documents.rope import RopeSettings
from ftc.spec.language.safe_repr import quoted
from ftc.spec.module_names import head_parts
from ftc.spec.rotations import rotation_of
from ftc.spec.sections.model import MOST_FACTOR, Model, Rope, SpecialTokens
from ftc.spec.sections.recipe import Recipe
from ftc.spec.storage.own_tokenizer import add_tokens
from ftc.spec.storage.tokenizer_file import FILE, load_tokenizer, tokenizer_call

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["with_own_facts", "with_own_tokenizer"]

_MAX_TEMPLATE_BYTES = 2**20
_TEMPLATE = "model.chat_template"


class _Asked(NamedTuple):
    """A token that a recipe names, and where."""

    token: str
    special: bool
    path: str


def with_own_tokenizer(model: ResolvedModel, recipe: Recipe, world: World) -> ResolvedModel:
    """The model as it is with the recipe's tokens and template.

    Args:
        model: As its files are.
        recipe: What is asked for.
        world: Where paths are looked up.

    Raises:
        Refusal: A token can't be added (FTC471 to FTC474), or the template can't be read (FTC300, FTC475).
    """
    asked = recipe.model
    if asked.rope is not None:
        model = replace(model, facts=_with_scaled_rotation(model.facts, asked.rope, recipe.data.max_length, world))
    if not asked.changes_tokenizer:
        return model
    roles = asked.special_tokens or SpecialTokens()
    found: list[Diagnostic] = []
    template = _template(asked.chat_template, world, found) if asked.chat_template else None
    tokens = _tokens(model, asked, roles, found)
    placed = [replace(one, span=world.span_of(one.path or "model")) for one in found]
    if any(one.is_error for one in placed):
        raise Refusal(placed)
    sized = vocabulary_tensors(model.facts.tensors, model.facts.vocab_size) if tokens else ()
    tables = [name.removesuffix(".weight") for name in sized if len(model.facts.tensors[name].shape) == 2]
    own = OwnTokenizer(
        tokens=tokens,
        rows=max((model.facts.vocab_size, *(one.id + 1 for one in tokens))),
        tables=tuple(name for name in tables if not (model.facts.tied_embeddings and head_parts(name))),
        eos_token=roles.eos_token,
        pad_token=roles.pad_token,
        chat_template=template,
    )
    return replace(model, facts=with_own_facts(model.facts, own, model.folder), warnings=tuple(placed))


def _with_scaled_rotation(
    facts: ModelFacts, asked: Rope, max_length: Literal["auto"] | int, world: World
) -> ModelFacts:
    """The model with scaled rotary positions, enough of them for rows of the recipe's `max_length`.

    Raises:
        Refusal: It takes none, has a scaling of its own, or needs none (FTC476).
    """

    def refused(what: str, help: str) -> Refusal:
        summary = f"`rope` can't be used for `{facts.name}`: {what}"
        span = world.span_of("model.rope")
        return Refusal([diagnostic("FTC476", summary, span, help=help, path="model.rope")])

    scaling = rotation_of(facts.config)
    own = scaling.get("rope_type") or scaling.get("type") or "default"
    known = facts.kind.scales_rotation and facts.vision is None and facts.max_positions is not None
    if not known or own != "default":
        what = f"its rotation is scaled already ({own})" if known else "it has no rotation that transformers scales"
        raise refused(what, "remove `rope`, or choose a model such as Llama, Qwen or Mistral without a scaling")
    original, factor = facts.max_positions or 0, asked.factor
    if factor == "auto":
        if max_length == "auto":
            what = "`rope.factor` is `auto` and so is `data.max_length`, which it follows"
            raise refused(what, f"write `data.max_length`, more than the model's {original} positions, or the factor")
        if max_length <= original:
            what = f"rows of at most {max_length} tokens (`data.max_length`) fit its {original} positions"
            raise refused(what, "remove `rope`, raise `data.max_length`, or write the factor")
        factor = float(-(-max_length // original))
        if factor > MOST_FACTOR:
            what = f"rows of {max_length} tokens would take a factor of {factor:g}, and {MOST_FACTOR} is the most"
            raise refused(what, f"write `max_length: {original * MOST_FACTOR}` or less")
    rope = RopeSettings(kind=asked.kind, factor=factor, original=original, positions=int(original * factor))
    return facts.model_copy(update={"rope": rope, "max_positions": rope.positions})


def with_own_facts(facts: ModelFacts, own: OwnTokenizer, folder: Path) -> ModelFacts:
    """A model's facts as they are with the changes: tokens, template, and the rows of its tables.

    Args:
        facts: As its files are.
        own: What is changed.
        folder: Where these lie.
    """
    ids = token_ids(read_json_object(folder / FILE, None), None) | {one.token: one.id for one in own.tokens}
    known = facts.tokenizer
    eos, pad = own.eos_token or known.eos_token, own.pad_token or known.pad_token
    tokenizer = known.model_copy(
        update={
            "vocab_size": max(known.vocab_size, *(one.id + 1 for one in own.tokens), 0),
            "eos_token": eos,
            "pad_token": pad,
            "eos_id": ids.get(eos or ""),
            "pad_id": ids.get(pad or ""),
            "chat_template": own.chat_template.text if own.chat_template else known.chat_template,
            "own": own,
        }
    )
    if own.rows == facts.vocab_size:
        return facts.model_copy(update={"tokenizer": tokenizer})
    tensors = dict(facts.tensors)
    for name in vocabulary_tensors(facts.tensors, facts.vocab_size):
        shape = tuple(own.rows if size == facts.vocab_size else size for size in tensors[name].shape)
        tensors[name] = tensors[name].model_copy(update={"shape": shape})
    config = {**facts.config, "vocab_size": own.rows}
    changes = {"tokenizer": tokenizer, "tensors": tensors, "vocab_size": own.rows, "config": config}
    return facts.model_copy(update=changes)


def _template(asked: str, world: World, found: list[Diagnostic]) -> OwnTemplate | None:
    try:
        file = safe_path(world.root, asked, world.folder)
        if not file.is_file():
            raise ValueError("there is no such file")
        with file.open("rb") as stream:
            data = stream.read(_MAX_TEMPLATE_BYTES + 1)
        if len(data) > _MAX_TEMPLATE_BYTES:
            raise ValueError(f"it is larger than {_MAX_TEMPLATE_BYTES:,} bytes")
        text = data.decode()
        if not text.strip():
            raise ValueError("it is empty")
    except UnsafePath as error:
        found.append(error.diagnostic(None, _TEMPLATE))
    except (OSError, ValueError) as error:
        reason = "it isn't UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
        summary = f"the chat template {quoted(asked)} can't be read"
        help = "name a Jinja file of the project, relative to the recipe's folder"
        found.append(diagnostic("FTC475", summary, notes=reason, help=help, path=_TEMPLATE))
    else:
        return OwnTemplate(path=file.relative_to(world.root.resolve()).as_posix(), text=text)
    return None


def _tokens(
    model: ResolvedModel, asked: Model, roles: SpecialTokens, found: list[Diagnostic]
) -> tuple[AddedToken, ...]:
    """The tokens with their ids, as the library gives them."""
    file = model.folder / FILE
    known = token_ids(read_json_object(file, None), None)
    new = [
        *(_Asked(one, False, f"model.add_tokens[{at}]") for at, one in enumerate(asked.add_tokens)),
        *(_Asked(one, True, f"model.add_special_tokens[{at}]") for at, one in enumerate(asked.add_special_tokens)),
    ]
    named = {"eos_token": roles.eos_token, "pad_token": roles.pad_token}
    for role, token in named.items():
        if token is not None and token not in known and token not in [one.token for one in new]:
            new.append(_Asked(token, True, f"model.special_tokens.{role}"))
    for number, one in enumerate(new):
        is_known = one.token in known
        if is_known or any(one.token == earlier.token for earlier in new[:number]):
            summary = f"token {quoted(one.token)} {'is in the vocabulary already' if is_known else 'is listed twice'}"
            notes = f"its id is {known[one.token]}" if is_known else ()
            found.append(diagnostic("FTC471", summary, notes=notes, help="remove it from the list", path=one.path))
    if not new or any(one.is_error for one in found):
        return ()
    if model.facts.vision is not None or input_embedding(model.facts.tensors) is None:
        kind = model.facts.vision.model_type if model.facts.vision else model.facts.model_type
        summary = f"tokens can't be added to a `{kind}` model"
        notes = "its image token has a fixed place" if model.facts.vision else "its embedding isn't known by name"
        help = "use tokens of its vocabulary, or another base model"
        found.append(diagnostic("FTC474", summary, notes=notes, help=help, path=new[0].path))
        return ()
    tokenizer = load_tokenizer(file)
    tokenizer_call(file, add_tokens, tokenizer, [(one.token, one.special) for one in new])
    for one in new:
        found += tokenizer_call(file, list, _misread(tokenizer, one))
    if any(one.is_error for one in found):
        return ()
    ids = {one.token: tokenizer.token_to_id(one.token) for one in new}
    return tuple(AddedToken(token=one.token, id=ids[one.token] or 0, special=one.special) for one in new)


def _misread(tokenizer: Tokenizer, one: _Asked) -> Iterator[Diagnostic]:
    """Whether a token is found in a text, by itself and beside words, and what else is read as it."""
    number = tokenizer.token_to_id(one.token)
    places = (one.token, f"a{one.token}b", f"a {one.token} b")
    read: list[Any] = [tokenizer.encode(text, add_special_tokens=False) for text in places]
    lost = [text for text, encoded in zip(places, read, strict=True) if encoded.ids.count(number) != 1]
    if number is None or lost or len(read[0].ids) != 1:
        summary = f"token {quoted(one.token)} would be split"
        pieces = " ".join(map(quoted, read[places.index(lost[0]) if lost else 0].tokens[:12]))
        notes = f"with it added, the tokenizer reads {quoted(lost[0] if lost else one.token)} as {pieces}"
        help = "choose a text without white space at its ends, or list it in `add_special_tokens`"
        yield diagnostic("FTC472", summary, notes=notes, help=help, path=one.path)
        return
    normalizer = tokenizer.normalizer
    if normalizer is None or one.special:
        return
    normal = normalizer.normalize_str(one.token)
    if normal.strip() != one.token:
        summary = f"the tokenizer's normalizer makes {quoted(one.token)} into {quoted(normal)}"
        notes = "every text that it makes into the same is read as this token"
        help = "write it as the normalizer does, or list it in `add_special_tokens`, which are read as they are"
        yield diagnostic("FTC473", summary, notes=notes, help=help, path=one.path, severity=Severity.WARNING)
