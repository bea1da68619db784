"""The child process that renders templates. It is run as a file, with `python -I`, by `ftc.compiler.tokens.sandbox`.

A template is a program that a stranger wrote. Jinja's sandbox keeps it from Python's internals, but not from using up
memory and time, and the sandbox itself has leaked before. So it runs here: in a process with an empty environment, no
open files, and limits that are set before the first byte is read. Nothing of ftc is imported.

Messages are a big-endian 32-bit length and that many bytes of ASCII JSON. A request is a header `{template, strict,
rows, cpu_seconds, max_chars}` and then `rows` messages, one dict of variables each; the answer is one message a row,
`{"text": …}` or `{"problem": [kind, message, line]}`.
"""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import time
from typing import Any, BinaryIO, NoReturn

import jinja2
import jinja2.debug  # imported by jinja2 at the first error, when opening files is no longer possible
import jinja2.exceptions
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import jinja2.utils

__all__ = ["GenerationTag", "main", "read_message", "write_message"]

MEMORY_BYTES = 512 * 2**20
OPEN_FILES = 16
MESSAGE_CHARS = 500


class GenerationTag(jinja2.ext.Extension):
    """Accepts `{% generation %}…{% endgeneration %}`, which marks answers, and renders what is inside unchanged."""

    tags = {"generation"}  # noqa: RUF012 (declared so by jinja2)

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        """The tag's body in a scope of its own."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


class _Raised(jinja2.TemplateError):
    """`raise_exception` was called."""


class _Namespace(jinja2.utils.Namespace):
    """Jinja's namespace without names that begin with an underscore, which would reach Python's internals."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # a keyword may be called `self`
        values = dict(*args[1:], **kwargs)
        for name in values:
            _refuse_underscore(name)
        jinja2.utils.Namespace.__init__(args[0], values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_underscore(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)


def _refuse_underscore(name: object) -> None:
    if str(name).startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace can't contain {name!r}")


def _make_dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*args, **kwargs)


def _raise_exception(message: object) -> NoReturn:
    raise _Raised(str(message))


def _strftime_now(_format: object = "") -> NoReturn:
    raise _Raised("the template uses today's date (strftime_now), so the training text would change every day")


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _environment(strict: bool) -> jinja2.Environment:
    """The environment of chat templates, without what differs from run to run (`lipsum`, `|random`, the clock)."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[GenerationTag, jinja2.ext.loopcontrols],
        undefined=jinja2.StrictUndefined if strict else jinja2.Undefined,
    )
    del environment.globals["lipsum"], environment.filters["random"]
    environment.globals["dict"] = _make_dict
    environment.globals["namespace"] = _Namespace
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.filters["tojson"] = _tojson
    return environment


@functools.lru_cache(maxsize=8)
def _compiled(source: str, strict: bool) -> jinja2.Template:
    """A template, kept for the next request: compiling takes longer than rendering a conversation."""
    return _environment(strict).from_string(source)


class _Renderer:
    """One request's template, compiled at the first row, so that a failure to compile is that row's answer."""

    def __init__(self, source: str, strict: bool, max_chars: int) -> None:
        self._source = source
        self._strict = strict
        self._max_chars = max_chars
        self._template: jinja2.Template | None = None

    def text(self, row: bytes) -> str:
        """The rendering for one row's variables."""
        if self._template is None:
            self._template = _compiled(self._source, self._strict)
        pieces: list[str] = []
        size = 0
        for piece in self._template.generate(**json.loads(row)):
            size += len(piece)
            if size > self._max_chars:
                raise MemoryError(f"the text is longer than {self._max_chars:,} characters")
            pieces.append(piece)
        return "".join(pieces)


def _answer(renderer: _Renderer, row: bytes) -> dict[str, Any]:
    """The text, or how the template failed."""
    try:
        return {"text": renderer.text(row)}
    except jinja2.TemplateSyntaxError as error:
        return _problem("syntax", error.message or "", error.lineno)
    except jinja2.exceptions.SecurityError as error:
        return _problem("security", str(error), _line(error))
    except jinja2.UndefinedError as error:
        return _problem("undefined", str(error), _line(error))
    except _Raised as error:
        return _problem("raised", str(error), _line(error))
    except (MemoryError, RecursionError, OverflowError) as error:
        return _problem("limit", str(error) or "out of memory", None)
    except Exception as error:  # noqa: BLE001 (whatever a stranger's template does is an answer)
        return _problem("raised", f"{type(error).__name__}: {error}", _line(error))


def _problem(kind: str, message: str, line: int | None) -> dict[str, Any]:
    return {"problem": [kind, message[:MESSAGE_CHARS], line]}


def _line(error: BaseException) -> int | None:
    """The template's line, which jinja2 writes into the traceback."""
    line, frame = None, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "<template>":
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


def read_message(stream: BinaryIO, max_bytes: int) -> bytes | None:
    """The next message, or None at the end of the stream or when it is longer than allowed."""
    head = stream.read(4)
    size = int.from_bytes(head, "big")
    if len(head) < 4 or size > max_bytes:
        return None
    body = stream.read(size)
    return body if len(body) == size else None


def write_message(stream: BinaryIO, body: bytes) -> None:
    """Writes one message; the caller flushes."""
    stream.write(len(body).to_bytes(4, "big") + body)


def _set_limits() -> None:
    """Memory, files and processes. A limit below ours stays; a system without these limits can't run the child."""
    import resource

    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for name, value in limits.items():
        hard = resource.getrlimit(name)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (value, value))


def _serve(header: dict[str, Any], rows: list[bytes], output: BinaryIO) -> None:
    """Answers one request; the system ends the process when it uses more CPU time than that allows."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = math.ceil(time.process_time()) + header["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
    renderer = _Renderer(header["template"], header["strict"], header["max_chars"])
    for row in rows:
        write_message(output, json.dumps(_answer(renderer, row)).encode("ascii"))


def main() -> None:
    """Answers requests until the input ends."""
    _set_limits()
    source = sys.stdin.buffer
    output = os.fdopen(1, "wb", buffering=0)
    while (header := read_message(source, 2**24)) is not None:
        request = json.loads(header)
        rows = [read_message(source, 2**28) for _ in range(request["rows"])]
        _serve(request, [row for row in rows if row is not None], output)


if __name__ == "__main__":
    main()
