"""The table of verbs, in the groups in which people look for them, and the way to the module of each.

A verb's module is imported when the verb runs, and never by a name made at run time: what can be called stands here.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Protocol

from ftc.cli.arguments import Parser

__all__ = ["GROUPS", "VERBS", "Verb", "module_of"]

GROUPS: dict[str, dict[str, str]] = {
    "write a recipe": {
        "init": "write a starter recipe",
        "validate": "check a recipe without loading anything; --fix mends",
        "fmt": "lay out a recipe as all recipes are",
        "import": "turn another tool's configuration into a recipe",
        "explain": "explain a diagnostic code",
        "schema": "print the recipe language as JSON Schema, for editors",
        "lsp": "serve editors while a recipe is written",
    },
    "plan and run": {
        "devices": "list the devices that a plan can be made for",
        "calibrate": "measure this machine's device, so that plans can tell their time",
        "plan": "compile a recipe: what would run, and whether it fits",
        "tokens": "show rows as the model is fed them, and what of them is learned",
        "lock": "bring a recipe's lock up to date, or check it",
        "apply": "train and evaluate what a recipe or a saved plan says",
        "eval": "measure a finished run once more, on its test rows or on a file",
        "merge": "merge a run's adapter into its base: a model for servers and students",
    },
    "look and compare": {
        "show": "show a run or a saved plan",
        "runs": "list the runs of this project",
        "diff": "compare two recipes, locks, plans or runs: what changed, and what that calls for",
        "compare": "hold runs against each other on the same test rows",
        "rate": "compare answers by hand, without knowing whose they are",
        "unlock": "free a run whose holder is gone",
    },
    "prove": {
        "audit": "check that a run is what its record says, or do it again",
        "whence": "tell which recipe, data, base and run made a file of weights",
        "who-used": "list the locks and runs that hold a digest",
        "export": "tell of a run in the formats of other tools: provenance, bill of materials, data",
        "sign": "sign a finished run, or any folder, with a key of your own",
        "verify": "check that a folder is the one that was signed",
    },
}
"""Every verb with its help by group, in the order in which a newcomer meets them."""

VERBS: dict[str, str] = {name: text for group in GROUPS.values() for name, text in group.items()}
"""Every verb with its help. The module of each has its name, with `_` for `-`, and `eval_` and `import_`."""


class Verb(Protocol):
    """What the module of a verb offers."""

    def add_arguments(self, parser: Parser, /) -> None:
        """Declares the verb's arguments."""

    def run(self, args: Namespace, /) -> int:
        """Does it, and gives the exit code."""
        ...


def module_of(name: str) -> Verb:
    """The module of a verb of the table."""
    found = _writing(name) or _running(name) or _looking(name) or _proving(name)
    assert found is not None, f"{name} stands in GROUPS and has no module"
    return found


def _writing(name: str) -> Verb | None:
    match name:
        case "init":
            from ftc.cli import init

            return init
        case "validate":
            from ftc.cli import validate

            return validate
        case "fmt":
            from ftc.cli import fmt

            return fmt
        case "import":
            from ftc.cli import import_

            return import_
        case "explain":
            from ftc.cli import explain

            return explain
        case "schema":
            from ftc.cli import schema

            return schema
        case "lsp":
            from ftc.cli import lsp

            return lsp
        case _:
            return None


def _running(name: str) -> Verb | None:
    match name:
        case "devices":
            from ftc.cli import devices

            return devices
        case "calibrate":
            from ftc.cli import calibrate

            return calibrate
        case "plan":
            from ftc.cli import plan

            return plan
        case "tokens":
            from ftc.cli import tokens

            return tokens
        case "lock":
            from ftc.cli import lock

            return lock
        case "apply":
            from ftc.cli import apply

            return apply
        case "eval":
            from ftc.cli import eval_

            return eval_
        case "merge":
            from ftc.cli import merge

            return merge
        case _:
            return None


def _looking(name: str) -> Verb | None:
    match name:
        case "show":
            from ftc.cli import show

            return show
        case "diff":
            from ftc.cli import diff

            return diff
        case "unlock":
            from ftc.cli import unlock

            return unlock
        case "runs":
            from ftc.cli import runs

            return runs
        case "compare":
            from ftc.cli import compare

            return compare
        case "rate":
            from ftc.cli import rate

            return rate
        case _:
            return None


def _proving(name: str) -> Verb | None:
    match name:
        case "whence":
            from ftc.cli import whence

            return whence
        case "who-used":
            from ftc.cli import who_used

            return who_used
        case "audit":
            from ftc.cli import audit

            return audit
        case "export":
            from ftc.cli import export

            return export
        case "sign":
            from ftc.cli import sign

            return sign
        case "verify":
            from ftc.cli import verify

            return verify
        case _:
            return None
