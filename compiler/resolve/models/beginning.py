"""What a recipe's training begins from: a plain base model, or an earlier run's model or adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ftc.compiler.resolve.models.companions import World
from ftc.compiler.resolve.models.image_processor import with_pan_and_scan
from ftc.compiler.resolve.models.model import ResolvedModel, resolve_model
from ftc.compiler.resolve.models.own_tokenizer import with_own_tokenizer
from ftc.spec.companions import Asked, Role
from ftc.spec.diagnostics import Refusal, Span, diagnostic
from ftc.spec.documents.lineage import RUN_PREFIX, Beginning
from ftc.spec.documents.lockfile import Lock, is_weight_file
from ftc.spec.sections.recipe import Recipe
from ftc.spec.storage.model_files import TensorDigest, content_digest

__all__ = ["Based", "EarlierRun", "resolve_base"]


class EarlierRun(NamedTuple):
    """An earlier run as a beginning.

    Attributes:
        beginning: Which run it is, and what of it is used.
        commit: Commit of the model to load on the hub; None for a folder.
        files: sha256 of each file that the model must have, by name.
        content: Digest of the model's tensors; None where the digests of the files say all.
        adapter: Folder of the adapter that is trained further; None where none is.
    """

    beginning: Beginning
    commit: str | None
    files: Mapping[str, str]
    content: str | None = None
    adapter: Path | None = None


class Based(NamedTuple):
    """The model that is loaded, and the earlier run that it belongs to; None for a plain base model."""

    model: ResolvedModel
    begun: EarlierRun | None

    def folders(self, beside: Mapping[Role, ResolvedModel]) -> dict[Role, Path]:
        """Folders of what is needed beside the base model: companions, and the adapter that is trained further."""
        found: dict[Role, Path] = {role: one.folder for role, one in beside.items()}
        if self.begun and self.begun.adapter:
            found["parent"] = self.begun.adapter
        return found

    def refuse_other_base(self, tensors: Mapping[str, TensorDigest], span: Span | None) -> None:
        """Lets pass a model that is the one which the earlier run's result belongs to.

        Raises:
            Refusal: It is another one by now (FTC563).
        """
        if (begun := self.begun) is None:
            return
        files = self.model.facts.files
        changed = [name for name, facts in files.items() if begun.files.get(name) != facts.sha256]
        if begun.content is not None and content_digest(tensors) == begun.content:
            changed = [name for name in changed if not is_weight_file(name)]
        if not changed:
            return
        run, base = begun.beginning.parent.run_id, begun.beginning.base
        summary = f"`{base}` is not the model that run `{run}` {'left' if begun.content is None else 'was made with'}"
        notes = [f"`{name}` has other contents" if name in begun.files else f"`{name}` is new" for name in changed]
        help = "restore the folder as it was when the run ended, or name another run"
        raise Refusal([diagnostic("FTC563", summary, span, notes=notes, help=help, path="model.base")])


def resolve_base(recipe: Recipe, lock: Lock | None, world: World) -> Based:
    """The model that is loaded, and the earlier run that a recipe begins from, where its base is one.

    Args:
        recipe: The recipe.
        lock: The lock on disk, which keeps the commit, or the run, of what the recipe asks for.
        world: Where models are looked up.

    Raises:
        Refusal: The model or the run can't be used.
    """
    asked, begun = Asked(recipe.model.base, recipe.model.revision), None
    pinned = {"base": asked.base, "revision": asked.revision}
    commit = lock.model.commit if lock and lock.model.asked == pinned else None
    if asked.base.startswith(RUN_PREFIX):
        from ftc.compiler.resolve.models.parent import resolve_parent  # most recipes need none of the runs' documents

        begun = resolve_parent(recipe, lock, world)
        asked, commit = Asked(begun.beginning.base, begun.commit), begun.commit
    model = resolve_model(
        asked.base,
        asked.revision,
        locked_commit=commit,
        folder=world.folder,
        root=world.root,
        hub=world.hub,
        digests=world.digests,
        span_of=world.span_of,
    )
    span = world.span_of("model.base" if recipe.model.pan_and_scan is None else "model.pan_and_scan")
    facts = with_pan_and_scan(model.facts, model.folder, recipe.model.pan_and_scan, span)
    model = replace(model, facts=facts)
    own = begun.beginning.plan.settings.model if begun is not None and begun.adapter is not None else None
    if own is not None and (own.tokenizer or own.rope or recipe.model.adds_tokens or recipe.model.rope):
        summary = "an adapter that is trained further can't have tokens, a template or positions that its base lacks"
        help = "make a whole model of the earlier run with `ftc run merge`, and name its folder as `model.base`"
        raise Refusal([diagnostic("FTC474", summary, world.span_of("model.base"), help=help, path="model.base")])
    return Based(with_own_tokenizer(model, recipe, world), begun)
