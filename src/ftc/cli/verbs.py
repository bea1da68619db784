"""The table of verbs, in the groups in which people look for them, and the way to each.

A verb's module is imported when the verb runs, and never by a name made at run time: what can be called stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ftc.cli.arguments import Command

__all__ = ["GROUPS", "VERBS", "Verb"]


class Verb(NamedTuple):
    """A row of the table."""

    name: str
    load: Callable[[], Mapping[str, Command]]
    """Imports its module, and gives what stands there."""
    help: str

    @property
    def command(self) -> Command:
        """Its arguments and what it does, once its module is imported."""
        return self.load()[self.name]


def _recipes() -> Mapping[str, Command]:
    from ftc.cli.recipes import COMMANDS

    return COMMANDS


def _plans() -> Mapping[str, Command]:
    from ftc.cli.plans import COMMANDS

    return COMMANDS


def _training() -> Mapping[str, Command]:
    from ftc.cli.training import COMMANDS

    return COMMANDS


def _using() -> Mapping[str, Command]:
    from ftc.cli.using import COMMANDS

    return COMMANDS


def _history() -> Mapping[str, Command]:
    from ftc.cli.history import COMMANDS

    return COMMANDS


def _proofs() -> Mapping[str, Command]:
    from ftc.cli.proofs import COMMANDS

    return COMMANDS


GROUPS: dict[str, tuple[Verb, ...]] = {
    "write a recipe": (
        Verb("init", _recipes, "write a starter recipe"),
        Verb("validate", _recipes, "check a recipe without loading anything; --fix mends"),
        Verb("fmt", _recipes, "lay out a recipe as all recipes are"),
        Verb("import", _recipes, "turn another tool's configuration into a recipe"),
        Verb("explain", _recipes, "explain a diagnostic code"),
        Verb("schema", _recipes, "print the recipe language as JSON Schema, for editors"),
        Verb("lsp", _recipes, "serve editors while a recipe is written"),
    ),
    "plan and run": (
        Verb("devices", _plans, "list the devices that a plan can be made for"),
        Verb("calibrate", _plans, "measure this machine's device, so that plans can tell their time"),
        Verb("plan", _plans, "compile a recipe: what would run, and whether it fits"),
        Verb("tokens", _plans, "show rows as the model is fed them, and what of them is learned"),
        Verb("lock", _plans, "bring a recipe's lock up to date, or check it"),
        Verb("apply", _training, "train and evaluate what a recipe or a saved plan says"),
        Verb("predict", _using, "use a finished run's model on texts or on a file, without labels"),
        Verb("eval", _training, "measure a finished run once more, on its test rows or on a file"),
        Verb("merge", _training, "merge a run's adapter into its base: a model for servers and students"),
    ),
    "look and compare": (
        Verb("show", _history, "show a run or a saved plan"),
        Verb("runs", _history, "list the runs of this project"),
        Verb("diff", _history, "compare two recipes, locks, plans or runs: what changed, and what that calls for"),
        Verb("compare", _history, "hold runs against each other on the same test rows"),
        Verb("rate", _history, "compare answers by hand, without knowing whose they are"),
        Verb("unlock", _history, "free a run whose holder is gone"),
    ),
    "prove": (
        Verb("audit", _proofs, "check that a run is what its record says, or do it again"),
        Verb("whence", _proofs, "tell which recipe, data, base and run made a file of weights"),
        Verb("who-used", _proofs, "list the locks and runs that hold a digest"),
        Verb("export", _proofs, "tell of a run in the formats of other tools: provenance, bill of materials, data"),
        Verb("sign", _proofs, "sign a finished run, or any folder, with a key of your own"),
        Verb("verify", _proofs, "check that a folder is the one that was signed"),
    ),
}
"""Every verb by group, in the order in which a newcomer meets them."""

VERBS: dict[str, Verb] = {verb.name: verb for group in GROUPS.values() for verb in group}
"""Every verb by its name."""
