"""The verbs with which a recipe is written."""

from __future__ import annotations

import gc
import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ftc.cli.arguments import (
    JSON,
    TEXT,
    Command,
    Example,
    Parser,
    add_detailed_exitcode,
    add_output,
    add_overrides,
    add_quiet,
    add_recipes,
)
from ftc.cli.recipe_files import STDIN, recipes_in, stdin_text
from ftc.cli.terminal import STDOUT, page, print_json, show_diagnostics, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.spec.diagnostics import Diagnostic

    Findings = tuple[Sequence[Diagnostic], Mapping[str, Sequence[str]]]
    """What is found in one recipe, and the lines that places point into."""


__all__ = ["COMMANDS"]


def import_arguments(parser: Parser) -> None:
    from ftc.spec.documents.imported import TOOLS
    from ftc.spec.tasks import TASKS

    parser.add_argument(
        "file", metavar="FILE", help="the configuration: YAML, JSON, or a shell script with a command line; no Python"
    )
    add_output(parser, "write the recipe to a new file; `-` is the terminal", metavar="RECIPE")
    parser.add_argument(
        "--from",
        dest="tool",
        choices=sorted(TOOLS),
        metavar="TOOL",
        help=f"{', '.join(sorted(TOOLS))} (default: detected from its keys)",
    )
    tasks = [task.name() for task in TASKS if task.CARD.is_imported]
    parser.add_argument("--task", choices=tasks, metavar="KIND", help="task of the rows, if no key says it")
    parser.add_argument("--data", metavar="FILE", help="the rows, in place of those that the configuration names")
    parser.add_argument("--hub-file", metavar="FILE", help="which file of its data set on the hub holds the rows")
    parser.add_argument("--base", metavar="MODEL", help="the base model, in place of the one that it names")
    add_quiet(parser, "show only what stops the import, and the recipe")


def run_import(args: Namespace) -> int:
    """Prints or writes the recipe, and the report on standard error; 3 where no recipe comes out."""
    from ftc import api
    from ftc.spec.diagnostics import Refusal
    from ftc.views.imported import imported_json, imported_text

    output = None if args.output == STDOUT else args.output
    result = api.import_recipe(
        args.file,
        output=output,
        tool=args.tool,
        task=args.task,
        data=args.data,
        hub_file=args.hub_file,
        base=args.base,
    )
    if args.json:
        print_json(imported_json(result))
        return Refusal(result.reasons).exit_code if result.reasons else ExitCode.FINE
    if not args.quiet:
        sys.stderr.write(imported_text(result, page=page(sys.stderr, args)))
    if result.recipe is None:
        sys.stderr.write("\n")
        show_diagnostics(result.reasons, {result.file: result.lines}, args, "No recipe was written.")
        return Refusal(result.reasons).exit_code
    write(f"Wrote {output}. Next: `ftc plan {output}`\n" if output else result.recipe)
    return ExitCode.FINE


def validate_arguments(parser: Parser) -> None:
    add_recipes(parser, "recipes", about="recipes to check; of a folder all below it; `-` for standard input")
    add_overrides(parser)
    parser.add_argument("--fix", action="store_true", help="make the safe fixes in the files, then check what is left")
    parser.add_argument("--diff", action="store_true", help="show what --fix would change, and write nothing")
    add_quiet(parser, "show only findings")


def run_validate(args: Namespace) -> int:
    """Reports everything that is wrong at once; the exit code is that of the first error."""
    from ftc.spec.diagnostics import Refusal

    if fault := _fault_of_usage(args):
        sys.stderr.write(f"error: {fault}\n")
        return ExitCode.USAGE
    recipes = list(recipes_in(args.recipes))
    if not recipes:
        sys.stderr.write(f"error: no recipe below {', '.join(args.recipes)}; a recipe says `ftc:` at its top level\n")
        return ExitCode.COULD_NOT_WORK
    results, unread = _looked_at(recipes, args)
    found = [one for diagnostics, _ in results.values() for one in diagnostics]
    sources = {file: lines for _, files in results.values() for file, lines in files.items()}
    errors = [one for one in found if one.is_error]
    form = args.format or ("github" if os.environ.get("GITHUB_ACTIONS") == "true" and not args.diff else "text")
    if form == "text":
        show_diagnostics(found, sources, args, _closing(args, recipes, found) if errors else "")
        valid = (
            []
            if args.quiet
            else [name for name, (one, _) in results.items() if not args.diff and not any(d.is_error for d in one)]
        )
        sys.stdout.writelines(f"{'standard input' if name == STDIN else name} is valid.\n" for name in valid)
    else:
        from ftc.views import diagnostics

        renderers = {
            "json": diagnostics.render_json,
            "sarif": diagnostics.render_sarif,
            "github": diagnostics.render_github,
        }
        write(renderers[form](found))
    sys.stderr.writelines(f"error: {name}: {reason}\n" for name, reason in unread.items())
    return ExitCode.COULD_NOT_WORK if unread else Refusal(errors).exit_code if errors else ExitCode.FINE


def _fault_of_usage(args: Namespace) -> str | None:
    if args.diff and args.format not in (None, "text"):
        return f"`--diff` prints text, not {args.format}"
    if (args.diff or args.fix) and STDIN in args.recipes:
        return f"`--{'diff' if args.diff else 'fix'}` needs a file; `-` is standard input"
    return None


def _looked_at(recipes: Sequence[str], args: Namespace) -> tuple[dict[str, Findings], dict[str, str]]:
    """What is found in each recipe, and why others can't be read: one of them stops none of the others."""
    from ftc.spec.diagnostics import Refusal

    look = _difference if args.diff else _fixed if args.fix else _checked
    results: dict[str, Findings] = {}
    unread: dict[str, str] = {}
    for recipe in recipes:
        try:
            results[recipe] = look(recipe, args)
        except Refusal as refused:
            results[recipe] = (refused.diagnostics, refused.sources)
        except OSError as error:
            unread[str(error.filename or recipe)] = error.strerror or str(error)
    return results, unread


def _checked(recipe: str, args: Namespace) -> Findings:
    from ftc.verbs import text  # beside it, `ftc.api` would load every other verb

    if recipe == STDIN:
        checked = text.validate("<stdin>", text=stdin_text(), overrides=args.overrides)
    else:
        checked = text.validate(recipe, overrides=args.overrides)
    return checked.diagnostics, checked.sources


def _fixed(recipe: str, args: Namespace) -> Findings:
    """Writes the fixes, names them, and gives what is found afterwards."""
    from ftc.verbs import text  # beside it, `ftc.api` would load every other verb

    fixed = text.fix(recipe, overrides=args.overrides)
    sys.stderr.writelines(f"{recipe}: {title}\n" for title in fixed.fixes)
    return fixed.checked.diagnostics, fixed.checked.sources


def _difference(recipe: str, args: Namespace) -> Findings:
    """Shows the fixes as a diff, and gives what is found as long as nobody makes them."""
    from ftc.spec.language.source import shown_lines
    from ftc.verbs import text  # beside it, `ftc.api` would load every other verb
    from ftc.views.difference import diff_text

    fixed = text.fix(recipe, overrides=args.overrides, write=False)
    before, after = shown_lines(fixed.before), shown_lines(fixed.after)
    write(diff_text(before, after, recipe, page=page(sys.stdout, args)))
    return _checked(recipe, args)


def _closing(args: Namespace, names: Sequence[str], found: Sequence[Diagnostic]) -> str:
    if args.fix and not args.diff:
        return "Nothing was loaded."
    recipes = {os.path.normpath(recipe) for recipe in names}
    fixable = sum(
        any(fix.safe and any(edit.span.file in recipes for edit in fix.edits) for fix in one.fixes) for one in found
    )
    fixes = "" if args.diff or not fixable else f" `--fix` fixes {fixable} of {len(found)}."
    return "Nothing was loaded, nothing was written." + fixes


def fmt_arguments(parser: Parser) -> None:
    add_recipes(parser, "files", about="recipes, or parts of them; `-` formats standard input")
    add_detailed_exitcode(parser, "a file would change, and write nothing", alias="--check")
    parser.add_argument("--diff", action="store_true", help="the same, and show what would change")
    add_quiet(parser, "don't name the files")


def run_fmt(args: Namespace) -> int:
    """Formats each file, and names those that changed or would; one that can't be read stops none of the others."""
    from ftc.spec.diagnostics import Refusal

    if args.json and (args.diff or STDIN in args.files):
        sys.stderr.write(f"error: `{'--diff' if args.diff else STDIN}` prints text, not JSON\n")
        return ExitCode.USAGE
    refusals: list[Refusal] = []
    changed: dict[str, bool] = {}
    for file in args.files:
        try:
            changed[file] = _is_changed(file, args)
        except Refusal as refusal:
            refusals.append(refusal)
    if refusals:
        whole = Refusal(found for refusal in refusals for found in refusal.diagnostics)
        whole.sources = {file: lines for refusal in refusals for file, lines in refusal.sources.items()}
        raise whole
    if args.json:
        files = [{"file": file, "changed": is_changed} for file, is_changed in changed.items()]
        print_json({"schema": "ftc.formatted/1", "written": not _is_trial(args), "files": files})
    return ExitCode.CHANGES if any(changed.values()) and _is_trial(args) else ExitCode.FINE


def _is_trial(args: Namespace) -> bool:
    return bool(args.detailed_exitcode or args.diff)


def _is_changed(file: str, args: Namespace) -> bool:
    """Formats one file, or only looks, and says whether that makes a difference."""
    from ftc.verbs import text  # beside it, `ftc.api` would load every other verb

    if file == STDIN:
        before, after = text.format("<stdin>", text=stdin_text())
        if not _is_trial(args):
            write(after.decode("utf-8"))
            return False
    else:
        before, after = text.format(file, write=not _is_trial(args))
    if before == after:
        return False
    if args.diff:
        from ftc.spec.language.source import shown_lines
        from ftc.views.difference import diff_text

        write(diff_text(shown_lines(before), shown_lines(after), file, page=page(sys.stdout, args)))
    if not args.quiet and not args.json:
        sys.stderr.write(f"{file}: {'would change' if _is_trial(args) else 'changed'}\n")
    return True


def explain_arguments(parser: Parser) -> None:
    parser.add_argument("code", metavar="CODE", help="such as FTC104")


def run_explain(args: Namespace) -> int:
    """Prints the lesson of a code; `ftc104` and `104` are understood too."""
    from dataclasses import asdict

    from ftc.spec.codes import CODES
    from ftc.spec.language.did_you_mean import nearest
    from ftc.views.diagnostics import explain_text
    from ftc.views.page import escaped

    asked = f"FTC{args.code.upper().removeprefix('FTC')}"
    if asked not in CODES:
        near = nearest(asked, CODES)
        meant = f"; did you mean `{near}`?" if near else "; codes are `FTC` and three digits"
        sys.stderr.write(f"error: there is no code `{escaped(args.code)}`{meant}\n")
        return ExitCode.USAGE
    if args.json:
        print_json({"schema": "ftc.explained/1", **asdict(CODES[asked])})
    else:
        write(explain_text(CODES[asked], page=page(sys.stdout, args)))
    return ExitCode.FINE


def run_schema(_args: Namespace) -> int:
    """Prints the JSON Schema."""
    from ftc import api

    print_json(api.schema())
    return ExitCode.FINE


def lsp_arguments(parser: Parser) -> None:
    """Declares the arguments: clients of the protocol name the way to talk, and there is one."""
    parser.add_argument("--stdio", action="store_true", help="talk over standard input and output; the default")


def run_lsp(_args: Namespace) -> int:
    """Serves until the client ends the talk.

    Raises:
        Refusal: The packages of the server are missing (FTC650).
    """
    from ftc.spec.diagnostics import Refusal, diagnostic

    try:
        from ftc.lsp.server import make_server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("lsprotocol", "pygls"):
            raise
        note = f"`{error.name}` is not installed"
        help = "`pip install 'ftc[lsp]'` brings what the server needs"
        raise Refusal([diagnostic("FTC650", "`lsp` needs more packages", help=help, notes=note)]) from None
    gc.enable()  # the command starts without; an editor keeps the server for days
    make_server().start_io()
    return ExitCode.FINE


COMMANDS: dict[str, Command] = {
    "validate": Command(
        validate_arguments,
        run_validate,
        formats=(TEXT, JSON, "sarif", "github"),
        examples=(
            Example("ftc validate", "check this folder's recipe"),
            Example("ftc validate recipes --format sarif", "check all recipes of a folder, for a code scanner"),
            Example("ftc validate tickets.yaml --fix --diff", "show what --fix would change"),
        ),
    ),
    "fmt": Command(
        fmt_arguments,
        run_fmt,
        examples=(
            Example("ftc fmt tickets.yaml", "format a recipe in place"),
            Example("ftc fmt --detailed-exitcode tickets.yaml", "for CI: exit with 2 where it isn't formatted"),
        ),
    ),
    "import": Command(
        import_arguments,
        run_import,
        examples=(
            Example("ftc import axolotl.yml", "print the recipe, and what became of each key"),
            Example("ftc import sft.yaml --from trl -o chat.yaml", "write it to a file"),
        ),
    ),
    "explain": Command(
        explain_arguments, run_explain, examples=(Example("ftc explain FTC104", "cause, a wrong and a right example"),)
    ),
    "schema": Command(
        lambda _: None,
        run_schema,
        formats=(JSON,),
        examples=(Example("ftc schema > recipe.schema.json", "for editors that validate YAML"),),
    ),
    "lsp": Command(lsp_arguments, run_lsp, formats=(), examples=(Example("ftc lsp", "what an editor starts"),)),
}
"""What a command line reaches here, by verb."""
