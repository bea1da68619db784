"""Proves that a template only copies the user's text, so that it can be rendered once a shape instead of once a row.

Text is *opaque* to a template when each use of it stands in an output by itself or beside other text (`+`, `~`), and
never in a test, filter, call, comparison or slice. What such a template writes for one text it writes for every text.
The proof walks the syntax tree with five abstract values and gives up at the first construct that it doesn't know, so
an unknown construct costs speed and never exactness. Parsing executes nothing. jinja2's optimizer and its
`meta.find_undeclared_variables` do (they fold constants, such as `'a' * 10**9`), so neither is used here.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import accumulate

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ftc.compiler.tokens.sandbox import MAX_TEMPLATE_CHARS
from ftc.compiler.tokens.sandbox_child import GenerationTag

__all__ = ["Place", "Skeleton", "copies_messages", "copies_variables", "marks_for", "parse_template", "used_names"]


class _Kind(Enum):
    """What a value may hold of the user's text."""

    CLEAN = auto()
    """Nothing: it follows from the shape alone."""
    TEXT = auto()
    """It is the user's text, perhaps with other text around it."""
    MESSAGE = auto()
    MESSAGES = auto()
    NAMESPACE = auto()
    LOOP = auto()
    """Jinja's `loop`."""


class _NotOpaque(Exception):
    """The walk met something that it can't prove harmless."""


_TYPE_TESTS = {"defined", "undefined", "string", "none", "mapping", "sequence", "iterable", "number", "boolean"}
"""Tests that look at a value's type, and a message's text is always a string."""
_PLAIN_FILTERS = {"trim", "upper", "lower", "capitalize", "title", "length", "count", "default", "join", "replace"}
_PLAIN_FILTERS |= {"string", "int", "list", "first", "last", "tojson"}
"""Filters that give no Markup, which would escape the text that it is joined with."""
_LOOP_FIGURES = {"index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0"}
_MAX_STEPS = 100_000
"""Expressions looked at in one proof, so that a template can't keep this process busy."""
_DICT_METHODS = set(dir(dict))


def parse_template(source: str) -> nodes.Template | None:
    """The syntax tree, or None where the template can't be read; the child says why when it renders."""
    if len(source) > MAX_TEMPLATE_CHARS:
        return None
    # It only parses: `from_string` and `render` would run the template in this process.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, "jinja2.ext.loopcontrols"]
    )
    try:
        return environment.parse(source)
    except (jinja2.TemplateError, RecursionError, ValueError, OverflowError, MemoryError):
        return None


def used_names(source: str) -> frozenset[str]:
    """Every name that the template reads, its own and jinja's among them; empty where it can't be read."""
    tree = parse_template(source)
    try:
        return frozenset(name.name for name in tree.find_all(nodes.Name) if name.ctx == "load") if tree else frozenset()
    except RecursionError:  # a chain of operators can be deeper than the parser's own recursion
        return frozenset()


def copies_messages(source: str) -> bool:
    """Whether the `content` of each of `messages` is opaque to a chat template."""
    return _is_opaque(source, {"messages": _Kind.MESSAGES})


def copies_variables(source: str, names: frozenset[str]) -> bool:
    """Whether the values of these variables are opaque to a prompt template."""
    return _is_opaque(source, dict.fromkeys(names, _Kind.TEXT))


def _is_opaque(source: str, known: dict[str, _Kind]) -> bool:
    tree = parse_template(source)
    if tree is None:
        return False
    try:
        _Walk(known).template(tree)
    except (_NotOpaque, RecursionError):
        return False
    return True


class _Walk:
    """One proof. Names have one kind for the whole template, whatever the flow: the one that holds most text."""

    def __init__(self, known: dict[str, _Kind]) -> None:
        self.kinds = dict(known)
        self.steps = 0

    def template(self, tree: nodes.Template) -> None:
        """Walks until no name learns anything new, since a loop's later line feeds its earlier one."""
        before: dict[str, _Kind] | None = None
        while before != self.kinds:
            before = dict(self.kinds)
            self.body(tree.body)

    def body(self, statements: list[nodes.Node]) -> None:
        for statement in statements:
            self.statement(statement)

    def statement(self, node: nodes.Node) -> None:
        self.steps += 1
        match node:
            case nodes.Output():
                for part in node.nodes:
                    self.writable(part)
            case nodes.If():
                self.test(node.test)
                self.body([*node.body, *node.elif_, *node.else_])
            case nodes.For():
                self.loop(node)
            case nodes.Assign():
                self.assign(node.target, self.value(node.node))
            case nodes.Scope():
                self.body(node.body)
            case nodes.ExprStmt():
                self.clean(node.node)
            case nodes.Continue() | nodes.Break():
                pass
            case _:
                raise _NotOpaque(type(node).__name__)

    def loop(self, node: nodes.For) -> None:
        if node.recursive:
            raise _NotOpaque("a recursive loop")
        items = self.value(node.iter)
        if items not in (_Kind.CLEAN, _Kind.MESSAGES):
            raise _NotOpaque("a loop over text")
        self.assign(node.target, _Kind.MESSAGE if items is _Kind.MESSAGES else _Kind.CLEAN)
        self.learn("loop", _Kind.LOOP)
        if node.test is not None:
            self.test(node.test)
        self.body([*node.body, *node.else_])

    def assign(self, target: nodes.Node, kind: _Kind) -> None:
        match target:
            case nodes.Name():
                self.learn(target.name, kind)
            case nodes.NSRef():
                self.learn(f"{target.name}.{target.attr}", kind)
            case nodes.Tuple() if kind is _Kind.CLEAN:
                for item in target.items:
                    self.assign(item, kind)
            case _:
                raise _NotOpaque("an assignment")

    def learn(self, name: str, kind: _Kind) -> None:
        known = self.kinds.get(name, _Kind.CLEAN)
        if kind is not _Kind.CLEAN and known not in (_Kind.CLEAN, kind):
            raise _NotOpaque(f"`{name}` has two kinds of value")
        if kind is not _Kind.CLEAN:
            self.kinds[name] = kind

    def value(self, node: nodes.Node) -> _Kind:
        """The kind of an expression whose value is kept or written."""
        self.steps += 1
        if self.steps > _MAX_STEPS:
            raise _NotOpaque("the template is too large to analyze")
        match node:
            case nodes.Name():
                return self.named(node.name)
            case nodes.Const() | nodes.TemplateData():
                return _Kind.CLEAN
            case nodes.Add() | nodes.Concat():
                parts = [node.left, node.right] if isinstance(node, nodes.Add) else node.nodes
                return self.most([self.writable(part) for part in parts])
            case nodes.CondExpr():
                self.test(node.test)
                return self.most([self.value(part) for part in (node.expr1, node.expr2) if part is not None])
            case nodes.Getattr():
                return self.member(self.owner(node.node), node.node, node.attr, is_attribute=True)
            case nodes.Getitem():
                return self.item(node)
            case nodes.Call():
                return self.call(node)
            case _:
                return self.clean(node)

    def named(self, name: str) -> _Kind:
        """The kind of a name's value. A namespace under a second name would hide what is stored in it."""
        kind = self.kinds.get(name, _Kind.CLEAN)
        if kind in (_Kind.NAMESPACE, _Kind.LOOP):
            raise _NotOpaque(f"`{name}` as a whole")
        return kind

    def writable(self, node: nodes.Node) -> _Kind:
        """The kind of an expression that is written or joined with text."""
        if (kind := self.value(node)) not in (_Kind.CLEAN, _Kind.TEXT):
            raise _NotOpaque("a message as a whole is written")
        return kind

    def most(self, kinds: list[_Kind]) -> _Kind:
        unclean = {kind for kind in kinds if kind is not _Kind.CLEAN}
        if len(unclean) > 1:
            raise _NotOpaque("two kinds of value")
        return unclean.pop() if unclean else _Kind.CLEAN

    def owner(self, node: nodes.Expr) -> _Kind:
        """The kind of what a part is taken of, which may be a namespace or `loop`."""
        return self.kinds.get(node.name, _Kind.CLEAN) if isinstance(node, nodes.Name) else self.value(node)

    def member(self, kind: _Kind, owner: nodes.Expr, name: object, *, is_attribute: bool) -> _Kind:
        """The kind of `owner.name` or `owner["name"]`."""
        match kind:
            case _Kind.CLEAN:
                return kind
            case _Kind.MESSAGE if isinstance(name, str) and not (is_attribute and name in _DICT_METHODS):
                return _Kind.TEXT if name == "content" else _Kind.CLEAN
            case _Kind.LOOP if name in _LOOP_FIGURES:
                return _Kind.CLEAN
            case _Kind.LOOP if name in ("previtem", "nextitem"):
                return _Kind.MESSAGE
            case _Kind.NAMESPACE if isinstance(owner, nodes.Name):
                return self.kinds.get(f"{owner.name}.{name}", _Kind.CLEAN)
            case _:
                raise _NotOpaque(f"a part of {kind.name}")

    def item(self, node: nodes.Getitem) -> _Kind:
        kind = self.owner(node.node)
        if kind is _Kind.MESSAGES:
            self.clean(node.arg)
            return _Kind.MESSAGES if isinstance(node.arg, nodes.Slice) else _Kind.MESSAGE
        if isinstance(node.arg, nodes.Const):
            return self.member(kind, node.node, node.arg.value, is_attribute=False)
        self.clean(node.arg)
        return self.must_be_clean(kind, "an item")

    def call(self, node: nodes.Call) -> _Kind:
        """A call without text among its arguments. Only `namespace(…)` gives something that can hold text later."""
        for argument in [*node.args, *node.kwargs, node.dyn_args, node.dyn_kwargs]:
            if argument is not None:
                self.clean(argument)
        self.clean(node.node)
        makes_namespace = isinstance(node.node, nodes.Name) and node.node.name == "namespace"
        return _Kind.NAMESPACE if makes_namespace else _Kind.CLEAN

    def test(self, node: nodes.Node) -> None:
        """A condition. Whether there are messages, and of what type text is, follows from the shape."""
        match node:
            case nodes.And() | nodes.Or():
                self.test(node.left)
                self.test(node.right)
            case nodes.Not():
                self.test(node.node)
            case nodes.Test() if node.name in _TYPE_TESTS and not node.args:
                self.value(node.node)
            case nodes.Name() if self.value(node) in (_Kind.MESSAGE, _Kind.MESSAGES):
                pass
            case _:
                self.clean(node)

    def clean(self, node: nodes.Node) -> _Kind:
        """Proves that no text gets into an expression at all, but for its type, its absence and the messages' count."""
        match node:
            case nodes.Name() | nodes.Getattr() | nodes.Getitem() | nodes.CondExpr() | nodes.Add() | nodes.Concat():
                kind = self.value(node)
            case nodes.Call():
                kind = self.call(node)
            case nodes.Filter():
                kind = self.filtered(node)
            case nodes.Test():
                kind = self.tested(node)
            case nodes.Compare():
                kind = self.compared(node)
            case nodes.Keyword() | nodes.Pair() | nodes.Operand():
                kind = self.parts(node)
            case nodes.Const() | nodes.List() | nodes.Tuple() | nodes.Dict() | nodes.Slice():
                kind = self.parts(node)
            case nodes.BinExpr() | nodes.UnaryExpr():
                kind = self.parts(node)
            case _:
                raise _NotOpaque(type(node).__name__)
        return self.must_be_clean(kind, type(node).__name__)

    def parts(self, node: nodes.Node) -> _Kind:
        for part in node.iter_child_nodes():
            self.clean(part)
        return _Kind.CLEAN

    def filtered(self, node: nodes.Filter) -> _Kind:
        if node.node is None or node.name not in _PLAIN_FILTERS or node.dyn_args or node.dyn_kwargs:
            raise _NotOpaque(f"filter {node.name}")
        for argument in [*node.args, *node.kwargs]:
            self.clean(argument)
        kind = self.value(node.node)
        counts_messages = node.name in ("length", "count") and kind is _Kind.MESSAGES
        return _Kind.CLEAN if counts_messages else self.must_be_clean(kind, f"filter {node.name}")

    def tested(self, node: nodes.Test) -> _Kind:
        if node.name in _TYPE_TESTS and not node.args:
            self.value(node.node)
            return _Kind.CLEAN
        return self.parts(node)

    def compared(self, node: nodes.Compare) -> _Kind:
        """A comparison. Whether a message has a key follows from the shape."""
        self.clean(node.expr)
        for operand in node.ops:
            kind = self.value(operand.expr)
            asks_key = operand.op in ("in", "notin") and isinstance(node.expr, nodes.Const) and len(node.ops) == 1
            if not (asks_key and kind is _Kind.MESSAGE):
                self.must_be_clean(kind, "a comparison")
        return _Kind.CLEAN

    def must_be_clean(self, kind: _Kind, place: str) -> _Kind:
        if kind is not _Kind.CLEAN:
            raise _NotOpaque(f"{kind.name} in {place}")
        return kind


Place = tuple[int, int]
"""A position in a skeleton: a piece's index and the characters into it, which are none in a slot."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A rendering with holes.

    Attributes:
        literals: The fixed pieces; one more than there are slots.
        slots: For each hole, which of the row's texts fills it. A text may fill several holes or none.
    """

    literals: tuple[str, ...]
    slots: tuple[int, ...]

    @classmethod
    def from_marked(cls, text: str, marks: Sequence[str]) -> Skeleton:
        """Takes a rendering apart in which text number i was `marks[i]`."""
        if not marks:
            return cls((text,), ())
        pieces = re.split("(" + "|".join(map(re.escape, marks)) + ")", text)
        return cls(tuple(pieces[::2]), tuple(marks.index(mark) for mark in pieces[1::2]))

    def pieces(self, texts: Sequence[str]) -> list[str]:
        """Literals and the row's texts in turn; joined they are the rendering."""
        pieces = [""] * (2 * len(self.slots) + 1)
        pieces[::2] = self.literals
        pieces[1::2] = [texts[slot] for slot in self.slots]
        return pieces

    def place(self, position: int, marks: Sequence[str]) -> Place:
        """The place of a character position of the marked rendering; inside a mark it is the mark's start."""
        starts = [0, *accumulate(map(len, self.pieces(marks)))][:-1]
        index = bisect_right(starts, position) - 1
        return index, 0 if index % 2 else position - starts[index]


def marks_for(source: str, count: int) -> tuple[str, ...]:
    """Texts that no template can write by itself, since their name is a digest of the template."""
    name = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return tuple(f"[{name}:{index}]" for index in range(count))
