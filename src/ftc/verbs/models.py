"""`ftc models`: which base models of the catalog could do a recipe's job on a device, by the planner itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.verbs.runs import past_runs
from ftc.verbs.text import shown_path, with_sources

if TYPE_CHECKING:
    from ftc.compiler.recipes.layers import Override
    from ftc.spec.documents.base_models import BaseModelPlan, BaseModelPlans

__all__ = ["Wanted", "models"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which models are listed.

    Attributes:
        licenses: Licenses that are fine; any where empty.
        language: A language that the catalog lists for the model, by its two letters; None for any.
        ungated: Only those of which it is known that the hub gives them without consent.
        fits: Only those whose plan has no error.
    """

    licenses: tuple[str, ...] = ()
    language: str | None = None
    ungated: bool = False
    fits: bool = False

    def has(self, one: BaseModelPlan) -> bool:
        """Whether a model is one of them."""
        return (
            (not self.licenses or one.license in self.licenses)
            and (self.language is None or self.language in one.languages)
            and (one.gated is False or not self.ungated)
            and (one.fits or not self.fits)
        )


def models(
    recipe: Path | str,
    *,
    overrides: Sequence[Override] = (),
    wanted: Wanted | None = None,
    sort: Callable[[BaseModelPlan], object] | None = None,
    offline: bool = False,
) -> BaseModelPlans:
    """Plans a recipe with each base model of the catalog, without fetching any of them.

    Args:
        recipe: The recipe's file. Its own base model must be here: rows are counted with its tokenizer.
        overrides: What lies on top of it, such as `budget.device=rtx-4090`.
        wanted: Which models are listed; all where left out.
        sort: Key of the order; those that fit come first, the largest of them on top, where left out.
        offline: Use only what is on this machine.

    Raises:
        Refusal: The recipe has errors, or names something unusable.
    """
    from ftc.compiler.other_bases import plan_other_bases
    from ftc.compiler.policy import prices_of
    from ftc.compiler.resolve.files.safe_files import project_root, read_recipe
    from ftc.compiler.rules.check import check_recipe

    path = Path(recipe)
    checked = check_recipe(read_recipe(path), shown_path(path), path=path, overrides=overrides)
    root = project_root(path)
    past = (past_runs(root), prices_of(root))
    found = with_sources(checked.sources, lambda: plan_other_bases(checked, path, offline=offline, past=past))
    listed = [one for one in found.models if wanted is None or wanted.has(one)]
    if sort is not None:
        listed.sort(key=sort)  # type: ignore[arg-type]
    return found.model_copy(update={"models": tuple(listed)})
