"""The columns that a prompt template names.

Apart from `ftc.compiler.resolve.rows.columns`, which knows files and their rows: the rules of a recipe's text need no
more than this.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["prompt_columns"]

_JINJA_NAMES = frozenset(
    "range dict cycler joiner namespace raise_exception strftime_now loop self caller varargs kwargs".split()
)


def prompt_columns(template: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Columns that a prompt template can't do without, sorted. It is parsed and never run.

    Left out are names that the template sets itself or tests with `is defined`, and jinja's own names unless a column
    is called so. A template that can't be parsed names none; rendering tells what is wrong with it.
    """
    from jinja2 import nodes

    from ftc.compiler.tokens.opacity import parse_template

    if (tree := parse_template(template)) is None:
        return ()
    names = list(tree.find_all(nodes.Name))
    tests = [test for test in tree.find_all(nodes.Test) if test.name in ("defined", "undefined")]
    tested = {test.node.name for test in tests if isinstance(test.node, nodes.Name)}
    own = {name.name for name in names if name.ctx != "load"} | tested | (_JINJA_NAMES - set(columns))
    return tuple(sorted({name.name for name in names if name.ctx == "load"} - own))
