"""Templates can't reach out of the child, can't use it up, and fail with a typed problem."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from ftc.compiler.tokens import sandbox
from ftc.compiler.tokens.sandbox import TemplateProblem, TemplateRenderer

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ [].__class__.__base__.__subclasses__() }}",
    "{{ {}.__class__.__bases__[0] }}",
    "{{ ().__class__.__base__ }}",
    "{{ raise_exception.__globals__ }}",
    "{{ raise_exception.__code__ }}",
    "{{ raise_exception['__globals__']['os'].system('touch CANARY') }}",
    "{{ strftime_now.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ namespace(__class__=1) }}",
    "{% set n = namespace() %}{% set n.__class__ = 1 %}{{ n }}",
    "{{ namespace(a=1).__dict__ }}",
    "{{ dict.mro() }}",
    "{{ dict.__base__ }}",
    "{{ range.__init__ }}",
    "{{ cycler.__init__.__globals__.os.popen('touch CANARY').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].popen('touch CANARY').read() }}",
    "{{ self.__init__.__globals__.__builtins__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ config.__class__.__init__.__globals__['os'] }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ request.application.__globals__ }}",
    "{{ '{0.__class__}'.format('') }}",  # CVE-2016-10745
    "{{ '{0.__class__.__init__.__globals__}'.format(raise_exception) }}",
    "{{ '{a.__class__}'.format_map({'a': ''}) }}",  # CVE-2019-10906
    "{% set f = '{0.__class__}'.format %}{{ f('') }}",  # CVE-2024-56326
    "{{ ('{0.__class__}'|attr('format'))('') }}",  # CVE-2025-27516
    "{{ ['{0.__class__}']|map('format', '')|list }}",
    "{{ ['']|map(attribute='__class__')|list }}",
    "{{ ['']|selectattr('__class__')|list }}",
    "{{ ['']|groupby('__class__') }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% extends '/etc/passwd' %}",
    "{{ (messages.append(1)) }}",
    "{{ messages.clear() }}",
    "{% for x in messages %}{{ x.pop('role') }}{% endfor %}",
    "{{ (1).__add__ }}",
    "{{ loop.__init__ }}",
    "{% macro m() %}{% endmacro %}{{ m.__globals__ }}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "{{ caller.__globals__ }}",
    "{{ [x for x in ().__class__.__base__.__subclasses__()] }}",
]
BOMBS = [
    "{{ 'a' * 100000000 }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '{:>1000000000}'.format(1) }}",
    "{{ 9 ** 999999999 }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{{ 'abcdefghijklmnopqrstuvwxyz' }}{% endfor %}",
    "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{{ " + "1+" * 20000 + "1 }}",
    "{{ 'a' | center(1000000000) }}",
    "{{ [0] * 100000000 }}",
    "{{ 'a' * 500000000 }}",
]
SECRETS = ("<class", "<function", "built-in", "root:", "subclasses", "0x")


@pytest.mark.parametrize("payload", ESCAPES)
def test_escapes_give_nothing(payload: str, renderer: TemplateRenderer, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    messages = [{"role": "user", "content": "hi"}]
    (text,) = renderer.render(payload.replace("CANARY", str(canary)), [{"messages": messages}])
    if isinstance(text, str):
        assert not any(secret in text for secret in SECRETS)
    else:
        assert text.kind in ("security", "undefined", "syntax", "raised")
    assert not canary.exists()
    assert messages == [{"role": "user", "content": "hi"}]


@pytest.mark.sample(2)
@pytest.mark.parametrize("bomb", BOMBS, ids=range(len(BOMBS)))
def test_bombs_end_as_limits_and_leave_the_parent_alone(
    bomb: str, renderer: TemplateRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "CPU_SECONDS", 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    texts = renderer.render(bomb, [{}] * 3)
    assert [text.kind for text in texts if isinstance(text, TemplateProblem)] == ["limit"] * 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB
    assert renderer.render("{{ x }}", [{"x": "still here"}]) == ["still here"]


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text("import sys\nsys.stdin.buffer.read()\n")
    monkeypatch.setattr(sandbox, "_CHILD", sleeper)
    monkeypatch.setattr(sandbox, "WALL_SECONDS", 0.2)
    with TemplateRenderer() as renderer:
        (text,) = renderer.render("x", [{}])
    assert isinstance(text, TemplateProblem)
    assert text.kind == "limit"


@pytest.mark.parametrize("reply", ["[]", "{}", '{"problem": ["fine", "x", 1]}', '{"text": 1}', "not json"])
def test_a_child_that_talks_nonsense_is_not_believed(
    reply: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    liar = tmp_path / "liar.py"
    body = f"{reply!r}.encode()"
    liar.write_text(f"import sys\nb = {body}\nsys.stdout.buffer.write(len(b).to_bytes(4, 'big') + b)\n")
    monkeypatch.setattr(sandbox, "_CHILD", liar)
    with TemplateRenderer() as renderer:
        (text,) = renderer.render("x", [{}])
    assert isinstance(text, TemplateProblem)
    assert text.kind == "limit"


def test_the_child_sees_no_environment_and_writes_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    probe = tmp_path / "probe.py"
    source = Path(sandbox._CHILD).read_text(encoding="utf-8")
    look = """
    found = [dict(os.environ)]
    try:
        with open(FILE, "w") as file:
            file.write("x")
            file.flush()
    except OSError as error:
        found.append(error.errno)
    write_message(output, json.dumps({"text": str(found)}).encode())
"""
    mark = "    while (header :="
    probe.write_text(source.replace(mark, look.replace("FILE", repr(str(tmp_path / "out"))) + mark), encoding="utf-8")
    monkeypatch.setattr(sandbox, "_CHILD", probe)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with TemplateRenderer() as renderer:
        (text,) = renderer.render("x", [{}])
    assert isinstance(text, str)
    assert "hf_secret" not in text
    assert "27" in text  # EFBIG
    assert (tmp_path / "out").read_text() == ""


@pytest.mark.parametrize(
    ("source", "kind", "line"),
    [
        ("a\n{% if %}", "syntax", 2),
        ("{{ 1 | no_such_filter }}", "syntax", 1),
        ("{{ 1 | random }}", "syntax", 1),
        ("\n\n{{ x.y.z }}", "undefined", 3),
        ("\n{{ raise_exception('no') }}", "raised", 2),
        ("{{ strftime_now('%d') }}", "raised", 1),
        ("{{ 'a' + 1 }}", "raised", 1),
    ],
)
def test_problems_have_a_kind_and_a_line(source: str, kind: str, line: int, renderer: TemplateRenderer) -> None:
    (text,) = renderer.render(source, [{}])
    assert isinstance(text, TemplateProblem)
    assert (text.kind, text.line) == (kind, line)


def test_unknown_names_are_empty_unless_strict(renderer: TemplateRenderer) -> None:
    assert renderer.render("[{{ x }}]", [{}]) == ["[]"]
    (text,) = renderer.render("[{{ x }}]", [{}], strict=True)
    assert isinstance(text, TemplateProblem)
    assert text.kind == "undefined"


def test_rows_fail_one_by_one(renderer: TemplateRenderer) -> None:
    source = "{% if x > 1 %}{{ raise_exception('big') }}{% endif %}{{ x }}"
    texts = renderer.render(source, [{"x": 1}, {"x": 2}, {"x": 0}])
    assert texts == ["1", TemplateProblem("raised", "big", 1), "0"]


def test_many_rows_and_any_text_come_back_in_order(renderer: TemplateRenderer) -> None:
    rows = [{"x": f"{i} é日🙂\ud800\x00"} for i in range(1500)]
    assert renderer.render("{{ x }}", rows) == [row["x"] for row in rows]


def test_the_environment_is_that_of_chat_templates(renderer: TemplateRenderer) -> None:
    source = (
        "{% for i in range(9) %}\n{% if i == 2 %}{% break %}{% endif %}\n{{ i }}\n{% endfor %}\n"
        "{% generation %}{{ {'b': '<é>', 'a': [1]} | tojson }}{% endgeneration %}\n{{ bos }}"
    )
    assert renderer.render(source, [{}]) == ['0\n1\n{"b": "<é>", "a": [1]}']


def test_an_oversized_template_is_not_even_sent(renderer: TemplateRenderer) -> None:
    (text,) = renderer.render("x" * 300_000, [{}])
    assert isinstance(text, TemplateProblem)
    assert text.kind == "limit"
