"""Writes the reference pages that are made from the code: `python docs/generate.py`, or `--check` to compare only.

`errors.md` comes from the table of codes, `recipe.md` from the JSON Schema of the recipe, whose descriptions are the
docstrings under the fields, and `recipe.schema.json` is that schema, for editors. `cli.md` comes from the parsers of
the verbs. A guide shows its recipe of `recipes/guides/`, and a migration page what `ftc import` makes of the file
above it. A page that is edited by hand, or a field that changed without its page, fails `--check`.
"""

from __future__ import annotations

import json
import re
import sys
from argparse import SUPPRESS, Action
from collections.abc import Iterable, Iterator
from pathlib import Path

from ftc.cli.arguments import verb_parser
from ftc.cli.verbs import SECTIONS, Group, Verb
from ftc.compiler.importers.translate import import_configuration
from ftc.compiler.importers.translation import Options, Surroundings
from ftc.spec.base import Effect
from ftc.spec.codes import CODES, Code, Severity
from ftc.spec.language.json_schema import (
    Schema,
    definition_of,
    editor_schema,
    recipe_schema,
    type_in_words,
    value_in_words,
)
from ftc.spec.metrics import METRICS, Metric
from ftc.spec.optimizers import OPTIMIZERS
from ftc.spec.preference_losses import PREFERENCE_LOSSES, PreferenceLossCard
from ftc.spec.schedules import SCHEDULES

__all__ = [
    "commands_page",
    "errors_page",
    "filled",
    "main",
    "matrix_page",
    "metrics_section",
    "optimizers_page",
    "schema_page",
]

FOLDER = Path(__file__).parent
RECIPE = re.compile(r"^<!-- (recipe|import) (\S+)(?: --task (\w+))? -->\n```yaml\n.*?^```$", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```(yaml|json)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NOTICE = "<!-- Made by docs/generate.py; change the code instead. -->"
STAGES = {
    "0": "Text: YAML, encoding, size",
    "1": "Schema: keys, types, values",
    "2": "Rules between fields",
    "3": "References and data",
    "4": "Budget and policy",
    "5": "Lock, saved plan, integrity",
    "6": "Environment and run",
    "7": "Runs of several processes, and their use",
}


def main(arguments: list[str]) -> int:
    """Writes the pages, or with `--check` names the stale ones and returns 1."""
    pages = {
        "errors.md": errors_page(CODES.values()),
        "recipe.md": schema_page(recipe_schema())
        + metrics_section(METRICS)
        + preference_losses_section(PREFERENCE_LOSSES),
        "optimizers.md": optimizers_page(),
        "matrix.md": matrix_page(json.loads((FOLDER / "matrix.json").read_text(encoding="utf-8"))),
        "cli.md": commands_page(),
        "recipe.schema.json": json.dumps(editor_schema(), indent=1, ensure_ascii=False) + "\n",
    }
    for folder in ("guides", "migration"):
        for path in sorted((FOLDER / folder).glob("*.md")):
            pages[f"{folder}/{path.name}"] = filled(path.read_text(encoding="utf-8"))
    stale = [name for name, text in pages.items() if _read(FOLDER / name) != text]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/{name} is stale; `nox -s docs -- --write` renews it")
        return 1 if stale else 0
    for name in stale:
        (FOLDER / name).write_text(pages[name], encoding="utf-8", newline="\n")
        print(f"wrote docs/{name}")
    return 0


def filled(page: str) -> str:
    """A page with its recipe, which follows a comment.

    `<!-- recipe FILE -->` stands for a file of `recipes/guides/`, `<!-- import FILE -->` for what `ftc import` makes
    of the first YAML on the page, with the first JSON as LLaMA-Factory's `dataset_info.json`.

    Raises:
        ValueError: The configuration can't be imported.
    """
    found = RECIPE.search(page)
    if found is None:
        return page
    if found[1] == "recipe":
        text = (FOLDER.parent / "recipes" / "guides" / found[2]).read_text(encoding="utf-8")
    else:
        shown = {kind: text.encode() for kind, text in reversed(BLOCK.findall(page))}
        around = Surroundings(
            locate=lambda path: path if path.endswith(".jsonl") else None,
            read=lambda path: shown.get("json") if path.endswith("dataset_info.json") else None,
        )
        imported = import_configuration(
            shown["yaml"], found[2], tool=None, options=Options(task=found[3]), around=around
        )
        if imported.recipe is None:
            raise ValueError("; ".join(reason.summary for reason in imported.reasons))
        text = imported.recipe
    marker, _, _ = found[0].partition("\n")
    return f"{page[: found.start()]}{marker}\n```yaml\n{text.rstrip()}\n```{page[found.end() :]}"


def commands_page() -> str:
    """Every verb with its arguments and examples, as its parser has them, in the order of `ftc --help`."""
    lines = [
        *("# Commands", "", NOTICE, ""),
        "`ftc help VERB` prints the same in a terminal. Each option that a verb has is in its table.",
    ]
    for title, entries in SECTIONS.items():
        lines += ["", f"## {title[0].upper()}{title[1:]}"]
        for entry in entries:
            for verb in entry.verbs if isinstance(entry, Group) else (entry,):
                lines += ["", *_command(verb)]
    return "\n".join(lines) + "\n"


def _command(verb: Verb) -> Iterator[str]:
    """The section of a verb. argparse lays help out differently in each release of Python, so none of it is used."""
    command = verb.command
    parser = verb_parser(verb.name, verb.help, command)
    actions = [one for one in parser._actions if one.help != SUPPRESS and "--help" not in one.option_strings]
    words = [_word(one) for one in actions if not one.option_strings]
    yield from (f"### ftc {verb.name}", "", str(parser.description), "")
    yield from ("```text", " ".join(["ftc", verb.name, *words, "[OPTIONS]"]), "```", "")
    yield from ("| argument | meaning |", "| --- | --- |")
    for one in actions:
        about = (one.help or "").replace("%(default)s", str(one.default)).replace("%%", "%")
        yield f"| {_spelled(one)} | {about} |"
    if command.examples:
        width = max(len(example.command) for example in command.examples)
        yield from ("", "```sh", *(f"{one.command:<{width}}  # {one.meaning}" for one in command.examples), "```")


def _word(action: Action) -> str:
    """A positional argument as a usage line has it."""
    word = str(action.metavar or action.dest).replace("|", " or ")
    word = f"{word} ..." if action.nargs in ("+", "*") else word
    return f"[{word}]" if action.nargs in ("?", "*") else word


def _spelled(action: Action) -> str:
    """An argument in the table: an option with its value, or the name of what is given by its place."""
    if not action.option_strings:
        return f"`{_word(action)}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(f"`{option}{value}`" for option in action.option_strings)


def _outcome(result: str | None) -> str:
    """A cell of the table."""
    return "–" if result is None else "yes" if result == "works" else f"[{result}]"


def matrix_page(results: dict[str, str]) -> str:
    """What became of each task with each family of models and each strategy, as the matrix test found it."""
    table: dict[tuple[str, str], dict[str, str]] = {}
    for name, result in results.items():
        task, family, strategy = name.split(" / ")
        table.setdefault((task, family), {})[strategy] = result
    strategies = list(dict.fromkeys(strategy for row in table.values() for strategy in row))
    codes = sorted({result for result in results.values() if result != "works"})
    works = sum(result == "works" for result in results.values())
    lines = [
        *("# Tasks, models and strategies", "", NOTICE, ""),
        f"{works} of {len(results)} combinations work: three steps are trained on a tiny model, and the result, loaded",
        "by the library that a model card names, says what the trained model says. The others are refused before",
        "anything is loaded, each by a rule with a name. `nox -s matrix` tests all of it again.",
        "",
        "Some tasks have rows for the ways to put them. A classification gives a row one label, or several",
        "(`multi_label`), or the model writes the label (`choice`, in a recipe `mode: generative`). An answer to a",
        "question is cut out of a context (`extraction`) or written. In `on_policy` a chat's model also learns on its",
        "own answers, which a teacher judges. In `rated_reward` and `steps` a reward model learns from answers that",
        "are rated whole or step by step. `EMA` and `focal_loss` are classifications that are trained so, and `z_loss`",
        "is a generation; these five rows are tried with three strategies and one family.",
        "",
        "Adapters that differ from LoRA in peft's configuration alone are tried on three tasks. Each mixture of",
        "experts, by a model of its own class, is tried on one task with every strategy, and each model that reads",
        "images with three; a dash says not tried. In a mixture of experts no strategy trains a router, adapters lie",
        "outside of the routed experts, and `full`, `partial` and `bitfit` train what is theirs in them.",
        "",
        f"| task | model | {' | '.join(strategies)} |",
        f"| --- | --- | {' | '.join('---' for _ in strategies)} |",
    ]
    for (task, family), row in table.items():
        shown = (_outcome(row.get(strategy)) for strategy in strategies)
        lines.append(f"| {task} | {family.replace('_', '-')} | {' | '.join(shown)} |")
    lines += ["", *(f"[{code}]: errors.md#{_anchor(f'{code}: {CODES[code].title}')}" for code in codes)]
    return "\n".join(lines) + "\n"


def optimizers_page() -> str:
    """Every optimizer and every schedule, as their cards have them."""
    optimizers = [
        "| `kind` | method | paper | reads | weights | bytes a weight | from | equal bits on | FSDP | elsewhere |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in OPTIMIZERS:
        state = one.state
        size = "a row and a column a matrix" if state.factored else f"{state.moments * state.bits // 8}"
        if not state.factored and state.outside_layers != state.moments:
            size += f", outside the layers {state.outside_layers * state.bits // 8}"
        cells = (
            *(f"`{one.kind}`", one.label, one.source, _listed(one.reads), one.weights.name, size),
            f"{one.package}, `ftc[{one.extra}]`",
            ", ".join(sorted(one.exact_on)) or "not known",
            "yes" if one.whole_tensors is None else f"no: {one.whole_tensors}",
            _listed((*one.names.trainer, *one.names.component)),
        )
        optimizers.append(f"| {' | '.join(cells)} |")
    schedules = ["| `kind` | the rate behind the warm-up | reads | elsewhere |", "| --- | --- | --- | --- |"]
    for schedule in SCHEDULES:
        names = _listed((*schedule.names, *schedule.components))
        schedules.append(f"| `{schedule.kind}` | {schedule.meaning} | {_listed(schedule.reads)} | {names} |")
    return "\n".join(
        [
            *("# Optimizers and schedules", "", NOTICE, ""),
            "`train.optimizer.kind` takes one of these; all know `weight_decay`. *weights* is the type of those",
            "that it trains, *bytes a weight* what its state takes; in 8 bits with a scale for each 256 of them.",
            "The last column has the names by which `ftc import` knows them.",
            *("", *optimizers, "", "`train.schedule.kind` takes one of these; all of them know the warm-up.", ""),
            *(*schedules, ""),
        ]
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def errors_page(codes: Iterable[Code]) -> str:
    """The error reference: every code in order, under the heading of its stage."""
    lines = ["# Errors", "", NOTICE, "", "`ftc explain CODE` prints the same in a terminal."]
    stage = ""
    for code in sorted(codes, key=lambda code: code.id):
        if code.id[3] != stage:
            stage = code.id[3]
            lines += ["", f"## {stage}xx: {STAGES[stage]}"]
        lines += ["", *_error(code)]
    return "\n".join(lines) + "\n"


def schema_page(root: Schema) -> str:
    """The language reference of a JSON Schema: one section an object, in the order in which they are met."""
    lines = ["# The recipe language", "", NOTICE, "", _paragraph(root), "", "## Top level", ""]
    sections = _sections(root)
    lines += _fields(root, root, sections)
    for name, title in sections.items():
        schema = root["$defs"][name]
        lines += ["", f"## {title}", "", _paragraph(schema), "", *_fields(schema, root, sections)]
    return "\n".join(lines) + "\n"


KINDS = {"share": "share of rows", "mean": "mean over rows", "corpus": "sums over rows"}


def metrics_section(metrics: Iterable[Metric]) -> str:
    """Every metric that `eval.metrics` and `eval.gates` may name, from its card."""
    lines = [
        *("", "## Metrics", ""),
        "What `eval.metrics` and `eval.gates` can name. `auto` chooses the usual ones of the task.",
        "",
        "| metric | name | tasks | range | better | comes from | other tools call it |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in metrics:
        bounds = (f"{bound:g}".replace("inf", "∞") for bound in (one.least, one.most))
        better = "higher" if one.higher_is_better else "lower"
        elsewhere = ", ".join(f"`{word}`" for word in one.foreign)
        cells = (", ".join(one.tasks), " to ".join(bounds), better, KINDS[one.kind], elsewhere)
        lines.append(f"| `{one.name}` | {one.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def preference_losses_section(losses: Iterable[PreferenceLossCard]) -> str:
    """Every loss that `task.loss` of a preference may name, from its card."""
    lines = [
        *("", "## Losses of preferences", ""),
        (
            "What `loss` of `task: {kind: preference}` can name. c and r are the log-probabilities of the chosen and "
            "the rejected answer, h is c - r minus the same of the untrained model, or c - r where none is needed."
        ),
        "",
        "| loss | name | loss of a pair | reference | paper | other tools call it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in losses:
        reference = "yes, computed once before training" if one.needs_reference else "no"
        elsewhere = ", ".join(f"`{word}`" for word in one.foreign)
        lines.append(f"| `{one.kind}` | {one.label} | {one.formula} | {reference} | {one.source} | {elsewhere} |")
    return "\n".join(lines) + "\n"


def _error(code: Code) -> Iterator[str]:
    yield f"### {code.id}: {code.title}"
    yield ""
    exits = f" · exit code {code.exit_code}" if code.severity is Severity.ERROR else ""
    yield code.severity.value.capitalize() + exits
    yield ""
    yield code.cause
    for word, example in (("Wrong", code.wrong), ("Right", code.right)):
        if example:
            yield from ("", f"{word}:", "", "```yaml", example.rstrip("\n"), "```")


def _sections(root: Schema) -> dict[str, str]:
    """The heading of each definition that is an object with named fields: the place where a recipe first holds it."""
    titles: dict[str, str] = {}

    def visit(schema: Schema, path: str) -> None:
        for name, field in schema["properties"].items():
            place = f"{path}.{name}" if path else name
            arms = [arm for arm in _objects(field, root) if arm not in titles]
            for arm in arms:
                titles[arm] = f"{place}, {_mark(root['$defs'][arm])}" if len(arms) > 1 else place
                visit(root["$defs"][arm], place)

    visit(root, "")
    return titles


def _mark(schema: Schema) -> str:
    """What distinguishes this arm of a union: its kind, or else its first and its first required key."""
    kind = schema["properties"].get("kind", {})
    if "const" in kind:
        return f"`kind: {kind['const']}`"
    keys = dict.fromkeys((next(iter(schema["properties"])), *schema.get("required", ())[:1]))
    return f"with {' and '.join(f'`{key}`' for key in keys)}"


def _objects(schema: Schema, root: Schema) -> Iterator[str]:
    """Names of the definitions with named fields that a value may be, inside lists and unions too."""
    name = definition_of(schema)
    target = root["$defs"][name] if name else schema
    if name and "properties" in target:
        yield name
    for arm in (*target.get("anyOf", ()), *target.get("oneOf", ()), *filter(None, [target.get("items")])):
        yield from _objects(arm, root)


def _fields(schema: Schema, root: Schema, sections: dict[str, str]) -> Iterator[str]:
    """One list entry a field: name, type, unit, default, effect, and below them what it means and why."""

    def linked(name: str) -> str | None:
        return f"[{sections[name]}](#{_anchor(sections[name])})" if name in sections else None

    for name, field in schema["properties"].items():
        facts = [type_in_words(field, root, linked)]
        if unit := field.get("x-unit"):
            facts.append(f"unit: {unit}")
        facts.append("required" if name in schema.get("required", ()) else _default(field))
        if effect := field.get("x-effect"):
            facts.append(Effect(effect).words)
        yield f"- **`{name}`** · {' · '.join(facts)}"
        yield f"  <br>{_paragraph(field)}"


def _default(field: Schema) -> str:
    is_section = "x-default-reason" not in field
    return "default: those of its keys" if is_section else f"default `{value_in_words(field['default'])}`"


def _anchor(title: str) -> str:
    """The fragment under which Markdown renderers offer a heading."""
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_").replace(" ", "-")


def _paragraph(schema: Schema) -> str:
    return " ".join(schema.get("description", "").split())


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
