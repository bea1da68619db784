"""Writes the reference pages that are made from the code: `python docs/generate.py`, or `--check` to compare only.

`errors.md` comes from the table of codes, `recipe.md` from the JSON Schema of the recipe, whose descriptions are the
docstrings under the fields. A page that is edited by hand, or a field that changed without its page, fails `--check`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ftc.spec.codes import CODES, Code, Severity
from ftc.spec.reference import recipe_schema

__all__ = ["errors_page", "main", "schema_page"]

FOLDER = Path(__file__).parent
NOTICE = "<!-- Made by docs/generate.py; change the code instead. -->"
STAGES = {
    "0": "Text: YAML, encoding, size",
    "1": "Schema: keys, types, values",
    "2": "Rules between fields",
    "3": "References and data",
    "4": "Budget and policy",
    "5": "Lock, saved plan, integrity",
    "6": "Environment and run",
}
BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "minLength": "length ≥",
    "maxLength": "length ≤",
    "minItems": "items ≥",
    "maxItems": "items ≤",
}

Schema = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Writes the pages, or with `--check` names the stale ones and returns 1."""
    pages = {"errors.md": errors_page(CODES.values()), "recipe.md": schema_page(recipe_schema())}
    stale = [name for name, text in pages.items() if _read(FOLDER / name) != text]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/{name} is stale; `nox -s docs -- --write` renews it")
        return 1 if stale else 0
    for name in stale:
        (FOLDER / name).write_text(pages[name], encoding="utf-8", newline="\n")
        print(f"wrote docs/{name}")
    return 0


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
    """What tells this arm of a union from its siblings: its kind, or else its first key."""
    kind = schema["properties"].get("kind", {})
    return f"`kind: {kind['const']}`" if "const" in kind else f"with `{next(iter(schema['properties']))}`"


def _objects(schema: Schema, root: Schema) -> Iterator[str]:
    """Names of the definitions with named fields that a value may be, inside lists and unions too."""
    name = _definition(schema)
    target = root["$defs"][name] if name else schema
    if name and "properties" in target:
        yield name
    for arm in (*target.get("anyOf", ()), *target.get("oneOf", ()), *filter(None, [target.get("items")])):
        yield from _objects(arm, root)


def _fields(schema: Schema, root: Schema, sections: dict[str, str]) -> Iterator[str]:
    """One list entry a field: name, type, default, and below them what it means."""
    for name, field in schema["properties"].items():
        facts = [_type(field, root, sections)]
        default = field.get("default", ...)
        if name in schema.get("required", ()):
            facts.append("required")
        elif default is not ... and not isinstance(default, dict):
            facts.append(f"default `{_scalar(default)}`")
        if effect := field.get("x-effect"):
            facts.append(f"effect: {effect}")
        yield f"- **`{name}`** · {' · '.join(facts)}"
        if meaning := _paragraph(field):
            yield f"  <br>{meaning}"


def _type(schema: Schema, root: Schema, sections: dict[str, str]) -> str:
    """A schema's type in a few words: `integer ≥ 1`, `list of text`, ``one of `a`, `b` ``."""
    if (name := _definition(schema)) in sections:
        return f"[{sections[name]}](#{_anchor(sections[name])})"
    target = root["$defs"][name] if name else schema
    if "const" in target:
        return f"`{_scalar(target['const'])}`"
    if "enum" in target:
        return "one of " + ", ".join(f"`{_scalar(value)}`" for value in target["enum"])
    if arms := [*target.get("anyOf", ()), *target.get("oneOf", ())]:
        return " or ".join(dict.fromkeys(_type(arm, root, sections) for arm in arms))
    return ", ".join([_base_type(target, root, sections), *_bounds(target)])


def _base_type(schema: Schema, root: Schema, sections: dict[str, str]) -> str:
    match schema.get("type"):
        case "array" if isinstance(schema.get("items"), dict):
            return f"list of {_type(schema['items'], root, sections)}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"mapping to {_type(schema['additionalProperties'], root, sections)}"
        case "string":
            return "text"
        case str(name):
            return name
        case _:
            return "any value"


def _bounds(schema: Schema) -> list[str]:
    return [f"{sign} {schema[key]}" for key, sign in BOUNDS.items() if key in schema]


def _definition(schema: Schema) -> str:
    return str(schema.get("$ref", "")).removeprefix("#/$defs/")


def _anchor(title: str) -> str:
    """The fragment under which Markdown renderers offer a heading."""
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_").replace(" ", "-")


def _paragraph(schema: Schema) -> str:
    return " ".join(schema.get("description", "").split())


def _scalar(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{key}: {_scalar(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_scalar, value)) + "]"
        case _:
            return "null" if value is None else str(value)


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
