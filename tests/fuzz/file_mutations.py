"""Files of models and data to begin with, and seeded ways to damage them: in bytes, in structure, in meaning.

A mutant is a project: a recipe, a model's folder and rows, of which one file is damaged. Its number alone decides
which, so a failure can be seen again.
"""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Callable
from typing import Any

from tests.fuzz.bases import PROJECTS, Files, Project

__all__ = ["Mutant", "damaged_bytes", "damaged_json", "mutant"]


class Mutant:
    """A project with one damaged file.

    Attributes:
        number: Decides everything else.
        damaged: Name of the file.
        files: All files by name.
    """

    def __init__(self, number: int, damaged: str, files: Files) -> None:
        self.number = number
        self.damaged = damaged
        self.files = files


def mutant(number: int) -> Mutant:
    """The mutant with a number: always the same one."""
    chance = random.Random(f"ftc-files-{number}")
    project = PROJECTS[number % len(PROJECTS)]()
    name = chance.choice(project.targets)
    data = project.files[name]
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        data = _damage(project, name, data, chance)
    return Mutant(number, name, {**project.files, name: data})


def _damage(project: Project, name: str, data: bytes, chance: random.Random) -> bytes:
    own = _BY_SUFFIX.get(name.rpartition(".")[2], _text)
    try:
        return chance.choice((own, own, own, damaged_bytes))(data, chance)
    except Exception:  # noqa: BLE001  # it is damaged already, so that no structure is left
        return damaged_bytes(data, chance)


# Bytes.


def damaged_bytes(data: bytes, chance: random.Random) -> bytes:
    """The bytes with some of them changed, gone, doubled or new."""
    start = chance.randrange(len(data) + 1)
    end = min(len(data), start + chance.choice((0, 1, 1, 2, 4, 16, 64, 1024)))
    match chance.randrange(7):
        case 0 if data:
            at = chance.randrange(len(data))
            return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
        case 1:
            return data[:start] + data[end:]
        case 2:
            return data[:start]
        case 3:
            return data[:start] + data[start:end] * chance.choice((2, 3, 50)) + data[end:]
        case 4:
            return data[:start] + bytes(end - start) + data[end:]
        case 5:
            other = chance.randrange(len(data) + 1)
            return data[:start] + data[other:]
        case _:
            return data[:start] + chance.choice(_TOKENS) + data[chance.choice((start, end)) :]


_TOKENS = (
    *(b"\x00", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[31m", b"\r", b"\r\n", b"\n\n", b"\t", b"\x0b", b"\x85"),
    *(b'"', b'""', b"'", b",", b";", b"{", b"}", b"[", b"]", b":", b"\\", b"\\u0000", b"\\ud800", b"\\udc00x"),
    *(b"null", b"true", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"1.5", b"9" * 400, b"9" * 5000, b"-1"),
    *(b"4294967296", b"18446744073709551616", b"-9223372036854775809", b"1e-400", b"[" * 3000, b'{"a":' * 3000),
    *("\u200b".encode(), "\u202e".encode(), "\u00a0".encode(), "\ufeff".encode(), "е".encode(), "é".encode()),
    *("e\u0301".encode(), "🙂".encode(), "\u2028".encode(), "\U000e0041".encode(), b"\xed\xa0\x80", b"a" * 70_000),
    *(b"<<<<<<< HEAD\n", b"PK\x03\x04", b"PAR1", b"GGUF", b"\x80\x04", b"../../etc/passwd", b"/dev/zero"),
)


# JSON.


def damaged_json(data: bytes, chance: random.Random) -> bytes:
    """A JSON text with something changed in its structure.

    Raises:
        ValueError: It is no JSON.
    """
    value = json.loads(data)
    match chance.randrange(12):
        case 0:
            return _twice(value, chance)
        case 1:
            return json.dumps(value).encode()[: chance.randrange(len(data) + 1)]
        case 2:
            return json.dumps(value, ensure_ascii=False).encode(chance.choice(("utf-16", "utf-8-sig", "utf-32")))
        case _:
            return _written(_changed(value, chance))


def _written(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def _twice(value: Any, chance: random.Random) -> bytes:
    """An object in which a key stands twice."""
    if not isinstance(value, dict) or not value:
        return _written([value, value])
    key = chance.choice(sorted(value))
    rest = json.dumps({key: _odd(chance)})[1:-1]
    return (json.dumps(value)[:-1] + ", " + rest + "}").encode()


def _changed(value: Any, chance: random.Random) -> Any:
    """The value with something changed at a random place."""
    if isinstance(value, dict | list) and value and chance.random() < 0.88:
        keys = sorted(value) if isinstance(value, dict) else range(len(value))
        key = chance.choice(keys)
        match chance.randrange(14):
            case 0:
                del value[key]
            case 1 if isinstance(value, dict):
                value[chance.choice(_KEYS)] = value.pop(key)
            case 2:
                other = chance.choice(keys)
                value[key], value[other] = value[other], value[key]
            case 3 if isinstance(value, list):
                value.append(value[key])
            case 4 if isinstance(value, dict):
                value[chance.choice(_KEYS)] = _odd(chance)
            case _:
                value[key] = _changed(value[key], chance)
        return value
    return _like(value, chance) if chance.random() < 0.4 else _odd(chance)


def _like(value: Any, chance: random.Random) -> Any:
    """A value of the same type, and another one."""
    match value:
        case bool():
            return not value
        case int():
            return chance.choice((-1, 0, 1, value + 1, value * 2, 2**31, 2**63, -(2**63), value * 10**6, 10**300))
        case float():
            return chance.choice((-value, 0.0, 1e308, 1e-308, float("nan"), float("inf")))
        case str():
            return chance.choice((value * 2, value[:-1], value.upper(), f"{value}\u200b", value[::-1], f" {value}", ""))
        case _:
            return [value]


def _odd(chance: random.Random) -> Any:
    return json.loads(chance.choice(_ODD)) if chance.random() < 0.9 else _nested(chance)


def _nested(chance: random.Random) -> Any:
    value: Any = 1
    for _ in range(chance.choice((30, 200, 600))):
        value = [value] if chance.random() < 0.5 else {"a": value}
    return value


_ODD = (
    *("null", "true", "false", "0", "-1", "1", "2", "1.5", "1e400", "-1e400", "NaN", "Infinity", '""', '" "', "[]"),
    *("{}", "[[]]", "[{}]", "[null]", '{"": ""}', "2147483648", "18446744073709551616", "9" * 400, '"a"', '"\\u0000"'),
    *('"\\ud800"', '"\\u200b"', '"\\u202eabc"', '"🙂"', '"e\\u0301"', '"../../x"', '"/etc/passwd"', '"(a+)+$"'),
    *('"Whitespace"', '"ByteLevel"', '"BPE"', '"NFC"', '{"type": "ByteLevel"}', '{"type": "Future"}', '{"type": null}'),
    *('{"Regex": "(a|aa)+$"}', '{"Regex": "("}', '{"content": "<s>"}', '"{{ 1/0 }}"', '"{% for"', '{"type": "BPE"}'),
    *('[["a", 0], ["b", 1]]', '"' + "x" * 3000 + '"', "[0, 1, 2]", '"1e5"', '"nan"', '"float8"', '"ForCausalLM"'),
)
_KEYS = (
    *("", " ", "type", "model", "vocab", "merges", "added_tokens", "content", "special", "pattern", "unk_token"),
    *("normalizer", "pre_tokenizer", "post_processor", "decoder", "dropout", "byte_fallback", "unk_id", "id"),
    *("chat_template", "auto_map", "quantization_config", "model_type", "architectures", "rope_scaling", "dtype"),
    *("shape", "data_offsets", "__metadata__", "weight_map", "metadata", "text", "label", "messages", "role", "weight"),
    *("tеxt", "te\u200bxt", "system", "tools", "train", "a" * 500),
)


def _json_lines(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    match chance.randrange(6):
        case 0:
            lines[at] += b","
        case 1:
            lines[at], lines[-1] = lines[-1], lines[at]
        case 2:
            lines.insert(at, lines[at])
        case _:
            lines[at] = damaged_json(lines[at], chance)
    return b"\n".join(lines)


# Safetensors: eight bytes of length, a header of JSON, the data.


def _safetensors(data: bytes, chance: random.Random) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    header, body = data[8 : 8 + length], data[8 + length :]
    match chance.randrange(6):
        case 0:
            return struct.pack("<Q", chance.choice((0, 1, length - 1, length + 1, 2**31, 2**63, 2**64 - 1))) + data[8:]
        case 1:
            return data[:8] + header + body[: chance.randrange(len(body) + 1)]
        case 2:
            return data + bytes(chance.choice((1, 8, 4096)))
        case _:
            changed = damaged_json(header, chance)
            return struct.pack("<Q", len(changed)) + changed + body


# Text with cells, and templates.


def _cells(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    cells = lines[at].split(b",")
    cell = chance.randrange(len(cells))
    match chance.randrange(9):
        case 0:
            cells[cell] = b'"' + cells[cell]
        case 1:
            cells[cell] += chance.choice(_TOKENS)
        case 2:
            cells[cell] = b""
        case 3:
            cells.insert(cell, b"x")
        case 4:
            del cells[cell]
        case 5:
            cells.reverse()
        case 6:
            return data.replace(b",", chance.choice((b";", b"\t", b"|", b" ")))
        case 7:
            return data.decode("utf-8", "replace").encode(chance.choice(("utf-16", "latin-1", "cp1252")), "replace")
        case _:
            cells[cell] = chance.choice(
                (cells[cell].upper(), cells[cell] + b" ", b"=1+1", b"#REF!", b"NaN", b"9" * 400)
            )
    lines[at] = b",".join(cells)
    return b"\n".join(lines)


def _text(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + chance.choice(_JINJA) + data[chance.choice((start, min(len(data), start + 5))) :]


_JINJA = (
    *(
        b"{{",
        b"}}",
        b"{%",
        b"%}",
        b"{#",
        b"{% endfor %}",
        b"{% endif %}",
        b"{% if true %}",
        b"{{ 1/0 }}",
        b"{{ [] * 10**9 }}",
    ),
    *(b"{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}", b"{{ 'a' * 10**9 }}"),
    *(
        b"{{ messages }}",
        b"{{ messages[0].content }}",
        b"{{ messages[::-1] }}",
        b"{{ messages|length }}",
        b"{{ ''.__class__ }}",
    ),
    *(
        b"{% set messages = [] %}",
        b"{% set messages = messages[1:] %}",
        b"{{ raise_exception('no') }}",
        b"{% include 'x' %}",
    ),
    *(
        b"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        b"{{ (" * 400,
        b"{{ 9" + b"9" * 5000 + b" }}",
        b"{{ strftime_now('%Y') }}",
    ),
    *(
        b"{% for m in messages %}",
        b"{{ m.content|upper }}",
        b"{{ x.y.z }}",
        b"\xff",
        "\u200b".encode(),
        b"{{ '\\ud800' }}",
    ),
)


# Tables of Arrow: odd types and values, written whole, and then perhaps damaged in bytes.


def _table(data: bytes, chance: random.Random) -> bytes:
    import pyarrow as pa
    from pyarrow import ipc, parquet

    is_parquet = data.startswith(b"PAR1")
    source = io.BytesIO(data)
    table = parquet.read_table(source) if is_parquet else ipc.open_file(source).read_all()
    name = chance.choice(table.column_names)
    try:
        odd = _column(table, name, chance)
        table = table.set_column(table.column_names.index(name), chance.choice((name, name, "text", "", "x")), odd)
        out = io.BytesIO()
        if is_parquet:
            parquet.write_table(table, out)
        else:
            with ipc.new_file(out, table.schema) as writer:
                writer.write_table(table)
        return out.getvalue()
    except (pa.ArrowException, TypeError, OverflowError):
        return damaged_bytes(data, chance)


def _column(table: Any, name: str, chance: random.Random) -> Any:
    import pyarrow as pa

    count, old = table.num_rows, table.column(name)
    of_struct = pa.struct([("a", pa.list_(pa.string()))])
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: pa.array([None] * count),
        lambda: pa.array([float("nan"), float("inf")] * count)[:count],
        lambda: pa.array([2**63 - 1] * count, pa.int64()),
        lambda: pa.array([2**63 - 1] * count, pa.timestamp("ns")),
        lambda: pa.array([2**62] * count, pa.timestamp("s")),
        lambda: pa.array([-(2**31)] * count, pa.date32()),
        lambda: pa.array([2**62] * count, pa.duration("s")),
        lambda: pa.array([b"\xff\xfe"] * count, pa.binary()),
        lambda: pa.array([{"a": ["x", None]}] * count, of_struct),
        lambda: pa.array([[("k", 1)]] * count, pa.map_(pa.string(), pa.int64())),
        pa.array(["a", "b"] * count)[:count].dictionary_encode,
        lambda: pa.StringArray.from_buffers(
            count, pa.py_buffer(struct.pack(f"<{count + 1}i", *range(count + 1))), pa.py_buffer(b"\xff" * count)
        ),
        lambda: pa.array([[["a"]]] * count),
        lambda: pa.array([True, None] * count)[:count],
        lambda: old.combine_chunks()[::-1] if hasattr(old, "combine_chunks") else old,
        lambda: pa.array(["\u200b", "e\u0301", "\x00", "9" * 400] * count)[:count],
    )
    return chance.choice(kinds)()


_BY_SUFFIX: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "json": damaged_json,
    "jsonl": _json_lines,
    "csv": _cells,
    "conll": _cells,
    "safetensors": _safetensors,
    "parquet": _table,
    "arrow": _table,
    "jinja": _text,
}
