"""The recipe language explained: each field's documentation, read from the source of its model.

The text under a field is its documentation. It is looked for only when somebody asks (a plan's reasons, the
reference page, the JSON Schema), so that no other start-up pays for it.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from functools import cache

from ftc.spec.base import Document, Effect

__all__ = ["default_reason", "effect_of", "field_docs"]


@cache
def field_docs(section: type[Document]) -> dict[str, str]:
    """Documentation of each field of a section, its parents' included, white space folded."""
    docs: dict[str, str] = {}
    for parent in reversed(section.__mro__):
        if issubclass(parent, Document):
            docs |= _docs_in_source(sys.modules[parent.__module__].__name__).get(parent.__name__, {})
    return docs


def default_reason(section: type[Document], field: str) -> str:
    """Why a field has its default, in the words of its documentation."""
    match = re.search(r"Default[^:]*: (.*)", field_docs(section).get(field, ""))
    return match[1].rstrip(".") if match else "default of the language"


def effect_of(section: type[Document], field: str) -> Effect | None:
    """What a change of the field touches; None in a section that says nothing."""
    effects: dict[str, Effect] = getattr(section, "EFFECTS", {})
    return effects.get(field, getattr(section, "EFFECT", None))


@cache
def _docs_in_source(module: str) -> dict[str, dict[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: dict(_pairs(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _pairs(node: ast.ClassDef) -> list[tuple[str, str]]:
    found = []
    for field, text in zip(node.body, node.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as doc)):
                found.append((name, " ".join(doc.split())))
    return found
