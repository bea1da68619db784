"""`ftc models`: base models that could do a recipe's job on a device."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from ftc.cli.arguments import Command, Example, Parser, add_offline, add_overrides, add_recipe
from ftc.cli.terminal import page, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.spec.documents.base_models import BaseModelPlan

__all__ = ["COMMANDS"]

_SORTS: dict[str, Callable[[BaseModelPlan], object]] = {
    "size": lambda one: one.parameters,
    "memory": lambda one: (one.memory_bytes is None, one.memory_bytes or 0),
    "time": lambda one: (one.low_seconds is None, one.low_seconds or 0.0),
    "released": lambda one: (one.released is None, one.released or ""),
    "name": lambda one: one.name.lower(),
}


def models_arguments(parser: Parser) -> None:
    add_recipe(parser)
    parser.add_argument("--task", metavar="KIND", help="the task that is planned for, of the same rows (the recipe's)")
    parser.add_argument("--device", metavar="NAME", help="the device that is planned for (the recipe's)")
    parser.add_argument("--time", metavar="TIME", help="longest run, such as 2h (the recipe's `budget.time`)")
    about = "only this license; repeatable"
    parser.add_argument("--license", type=_license, action="append", default=[], metavar="ID", help=about)
    about = "only models that are known for it, such as de"
    parser.add_argument("--language", type=_language, metavar="CODE", help=about)
    parser.add_argument("--ungated", action="store_true", help="only those known to need no consent")
    parser.add_argument("--fits", action="store_true", help="only those that fit")
    about = f"{', '.join(_SORTS)} (what fits first, largest on top)"
    parser.add_argument("--sort", choices=list(_SORTS), metavar="KEY", help=about)
    add_overrides(parser)
    add_offline(parser)


def _license(text: str) -> str:
    """A license of the catalog; another one would only be an empty list."""
    from ftc.spec.base_models import BASE_MODELS

    return _one_of(text, {one.license for one in BASE_MODELS}, "license")


def _language(text: str) -> str:
    """A language of the catalog."""
    from ftc.spec.base_models import BASE_MODELS

    return _one_of(text, {code for one in BASE_MODELS for code in one.languages}, "language")


def _one_of(text: str, known: set[str], what: str) -> str:
    if text.lower() not in known:
        raise ArgumentTypeError(f"no model of the catalog has {what} `{text}`; there are {', '.join(sorted(known))}")
    return text.lower()


def run_models(args: Namespace) -> int:
    """Plans and lists them."""
    from ftc import api
    from ftc.verbs.models import Wanted
    from ftc.views.models import models_text

    asked = {"task.kind": args.task, "budget.device": args.device, "budget.time": args.time}
    overrides = [*args.overrides, *(f"{path}={value}" for path, value in asked.items() if value is not None)]
    wanted = Wanted(tuple(args.license), args.language, args.ungated, args.fits)
    sort = _SORTS[args.sort] if args.sort else None
    found = api.models(args.recipe, overrides=overrides, wanted=wanted, sort=sort, offline=args.offline)
    write(found.to_text() if args.json else models_text(found, page=page(sys.stdout, args)))
    return ExitCode.FINE


COMMANDS: dict[str, Command] = {
    "models": Command(
        models_arguments,
        run_models,
        examples=(
            Example("ftc models --device rtx-4090 --time 2h --fits", "what this folder's recipe could be trained on"),
            Example("ftc models tickets.yaml --license apache-2.0 --language de", "by license and language"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
