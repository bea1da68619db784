"""`ftc completion SHELL`: a script that completes verbs, options, values, recipes and runs, made from the parsers."""

from __future__ import annotations

import re
import shlex
from argparse import SUPPRESS, Action, Namespace
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ftc.cli.arguments import Command, Example, Parser, one_of, verb_parser
from ftc.cli.terminal import write
from ftc.spec.exit_codes import ExitCode

__all__ = ["COMMANDS", "SHELLS", "Flag", "Line", "Value", "lines"]


class Value(NamedTuple):
    """What may come at a place of a command line: words that are known, and kinds of names that a shell looks up."""

    words: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    """Of `recipe`, `json`, `run`, `folder` and `file`."""


class Flag(NamedTuple):
    """An option."""

    names: tuple[str, ...]
    about: str
    value: Value | None
    """None for one that takes none."""


class Line(NamedTuple):
    """What may follow a verb."""

    verb: str
    about: str
    flags: tuple[Flag, ...]
    value: Value


_KINDS = {
    "RECIPE": ("recipe",),
    "PLAN": ("json",),
    "RUN": ("run",),
    "OLD": ("recipe", "json", "run"),
    "NEW": ("recipe", "json", "run"),
    "FOLDER": ("folder",),
    "FILE": ("file",),
}


def lines() -> list[Line]:
    """Every verb with its options and arguments, as its parser has them."""
    from ftc.cli.verbs import VERBS

    found = []
    for verb in VERBS.values():
        # argparse offers no other way to its declarations
        actions = [one for one in verb_parser(verb.name, verb.help, verb.command)._actions if one.help != SUPPRESS]
        flags = tuple(
            Flag(
                tuple(one.option_strings),
                " ".join((one.help or "").replace("%(default)s", str(one.default)).replace("%%", "%").split()),
                None if one.nargs == 0 else _value(one),
            )
            for one in actions
            if one.option_strings
        )
        values = [_value(one) for one in actions if not one.option_strings]
        words = tuple(dict.fromkeys(word for value in values for word in value.words))
        kinds = tuple(dict.fromkeys(kind for value in values for kind in value.kinds))
        found.append(Line(verb.name, verb.help, flags, Value(words, kinds)))
    from ftc.cli.verbs import SECTIONS

    words = tuple(one.name for section in SECTIONS.values() for one in section)
    return [*found, Line("help", "show the help of a verb", (), Value(words))]


def _value(action: Action) -> Value:
    if action.choices is not None:
        return Value(tuple(map(str, action.choices)))
    names = (action.metavar if isinstance(action.metavar, str) else action.dest).split("|")
    words: tuple[str, ...] = ()
    if "CODE" in names:
        from ftc.spec.codes import CODES

        words = tuple(sorted(CODES))
    elif "DEVICE" in names:
        from ftc.spec.devices import CARDS

        words = ("cpu", *CARDS)
    return Value(words, tuple(kind for name in names for kind in _KINDS.get(name, ())))


def _menus() -> dict[str, list[tuple[str, str]]]:
    """What may follow `ftc`, and each group: words with what they do."""
    from ftc.cli.verbs import GROUPS, SECTIONS

    first = [(one.name, one.help) for section in SECTIONS.values() for one in section]
    groups = {
        group.name: [(verb.name.partition(" ")[2], verb.help) for verb in group.verbs] for group in GROUPS.values()
    }
    return {"": [*first, ("help", "show the help of a verb")], **groups}


_BASH = r"""# Completion of ftc for bash: `source <(ftc completion bash)`.

_ftc_words() {
    local IFS=$' \n'
    COMPREPLY+=($(compgen -W "$1" -- "$cur"))
}

_ftc_files() {
    local IFS=$'\n' file
    compopt -o filenames 2>/dev/null
    for file in $(compgen -f -- "$cur"); do
        if [[ -d $file ]]; then
            COMPREPLY+=("$file")
        elif [[ $1 == file || ($1 == json && $file == *.json) ]]; then
            COMPREPLY+=("$file")
        elif [[ $1 == recipe && ($file == *.yaml || $file == *.yml) ]] && grep -qs '^ftc:' -- "$file"; then
            COMPREPLY+=("$file")
        fi
    done
}

_ftc_runs() {
    local folder
    for folder in runs/*/*/record.json; do
        folder=${folder%/record.json}
        [[ -e $folder/record.json && ${folder##*/} == "$cur"* ]] && COMPREPLY+=("${folder##*/}")
    done
}

_ftc() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb="" word i
    COMPREPLY=()
    if [[ $cur == "=" ]]; then
        cur=""
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
            --color) ((i++)) ;;
            -*) ;;
            *)
                verb=${verb:+$verb }$word
                case $verb in
                    @GROUPS@) ;;
                    *) break ;;
                esac
                ;;
        esac
    done
    case $verb in
@CASES@
    esac
}

complete -F _ftc ftc
"""


def _bash() -> str:
    menus, cases = _menus(), []
    for name, menu in menus.items():
        words = " ".join(word for word, _ in menu) + (" --color --version --help" if not name else "")
        cases.append(f"        {shlex.quote(name)}) _ftc_words {shlex.quote(words)} ;;")
    for line in lines():
        body = [f"        {shlex.quote(line.verb)})", "            case $prev in"]
        for flag in line.flags:
            if flag.value is not None:
                does = "; ".join([*_bash_value(flag.value), "return"])
                body.append(f"                {'|'.join(flag.names)}) {does} ;;")
        options = " ".join(name for flag in line.flags for name in flag.names)
        body += ["            esac", "            if [[ $cur == -* ]]; then"]
        body += [f"                _ftc_words {shlex.quote(options)}", "                return", "            fi"]
        body += [f"            {word}" for word in _bash_value(line.value)] + ["            ;;"]
        cases.append("\n".join(body))
    groups = "|".join(name for name in menus if name)
    return _BASH.replace("@GROUPS@", groups).replace("@CASES@", "\n".join(cases))


def _bash_value(value: Value) -> list[str]:
    words = [f"_ftc_words {shlex.quote(' '.join(value.words))}"] if value.words else []
    return [*words, *("_ftc_runs" if kind == "run" else f"_ftc_files {kind}" for kind in value.kinds)]


_ZSH = r"""#compdef ftc
# Completion of ftc for zsh: a file `_ftc` in a folder of `fpath`, or `source <(ftc completion zsh)` behind `compinit`.

_ftc_recipes() {
    local -a found
    found=(${(f)"$(grep -ls '^ftc:' -- *.yaml(N) *.yml(N) /dev/null)"})
    compadd -f -a found
    _path_files -/
}

_ftc_runs() {
    local -a found
    found=(runs/*/*/record.json(N:h:t))
    compadd -a found
}

_ftc() {
    local verb="" word i=2
    local -a menu
    while ((i < CURRENT)); do
        word=${words[i]}
        case $word in
            (--color) ((i++)) ;;
            (-*) ;;
            (*)
                verb=${verb:+$verb }$word
                case $verb in
                    (@GROUPS@) ;;
                    (*) break ;;
                esac
                ;;
        esac
        ((i++))
    done
    ((i < CURRENT)) && words=("${(@)words[i,-1]}") && ((CURRENT -= i - 1))
    case $verb in
@CASES@
    esac
}

if [[ ${funcstack[1]} == _ftc ]]; then
    _ftc "$@"
else
    compdef _ftc ftc
fi
"""


def _zsh() -> str:
    menus, cases = _menus(), []
    for name, menu in menus.items():
        words = " ".join(shlex.quote(f"{word}:{about}") for word, about in menu)
        cases.append(f"        ({shlex.quote(name)}) menu=({words}); _describe verb menu ;;")
    for line in lines():
        specs = [spec for flag in line.flags for spec in _zsh_flag(flag)]
        specs += [shlex.quote(f"*:{_zsh_text(' or '.join(line.value.kinds) or 'value')}:{_zsh_value(line.value)}")]
        joined = " \\\n            ".join(["_arguments", *specs])
        cases.append(f"        ({shlex.quote(line.verb)}) {joined} ;;")
    groups = "|".join(name for name in menus if name)
    return _ZSH.replace("@GROUPS@", groups).replace("@CASES@", "\n".join(cases))


def _zsh_flag(flag: Flag) -> Iterator[str]:
    for name in flag.names:
        end = "" if flag.value is None else f":value:{_zsh_value(flag.value)}"
        takes = "" if flag.value is None else ("=" if name.startswith("--") else "+")
        yield shlex.quote(f"*{name}{takes}[{_zsh_text(flag.about)}]{end}")


def _zsh_value(value: Value) -> str:
    does = {"recipe": "_ftc_recipes", "run": "_ftc_runs", "file": "_files", "folder": "_path_files -/"}
    does["json"] = '_path_files -g "*.json"; _path_files -/'
    parts = [f"compadd {' '.join(value.words)}"] if value.words else []
    parts += [does[kind] for kind in value.kinds]
    return parts[0] if len(parts) == 1 else "{" + "; ".join(parts) + "}" if parts else " "


def _zsh_text(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", text)


_FISH = r"""# Completion of ftc for fish: `ftc completion fish > ~/.config/fish/completions/ftc.fish`.

function __ftc_verb
    set -l words
    set -l is_value 0
    for word in (commandline -opc)[2..-1]
        if test $is_value = 1
            set is_value 0
        else if test "$word" = --color
            set is_value 1
        else if not string match -q -- '-*' $word
            set -a words $word
            contains -- "$words" @GROUPS@; or break
        end
    end
    echo "$words"
end

function __ftc_is
    test (__ftc_verb) = "$argv[1]"
end

function __ftc_recipes
    grep -ls '^ftc:' -- *.yaml *.yml /dev/null
end

function __ftc_runs
    for record in runs/*/*/record.json
        basename (dirname $record)
    end
end

complete -c ftc -f
@CASES@
"""


def _fish() -> str:
    menus, cases = _menus(), []
    for name, menu in menus.items():
        for word, about in menu:
            cases.append(f"{_fish_rule(name)} -a {_fish_quoted(word)} -d {_fish_quoted(about)}")
    for line in lines():
        for flag in line.flags:
            names = " ".join(f"-l {one[2:]}" if one.startswith("--") else f"-s {one[1:]}" for one in flag.names)
            value = "" if flag.value is None else f" -x{_fish_value(flag.value)}"
            cases.append(f"{_fish_rule(line.verb)} {names}{value} -d {_fish_quoted(flag.about)}")
        if line.value != Value():
            cases.append(f"{_fish_rule(line.verb)}{_fish_value(line.value)}")
    groups = " ".join(name for name in menus if name)
    return _FISH.replace("@GROUPS@", groups).replace("@CASES@", "\n".join(cases))


def _fish_rule(verb: str) -> str:
    return f"complete -c ftc -n {_fish_quoted(f'__ftc_is {_fish_quoted(verb)}')}"


def _fish_value(value: Value) -> str:
    does = {"recipe": "(__ftc_recipes)", "run": "(__ftc_runs)", "file": "(__fish_complete_path)"}
    does |= {"json": "(__fish_complete_suffix .json)", "folder": "(__fish_complete_directories)"}
    found = [*value.words, *(does[kind] for kind in value.kinds)]
    return f" -a {_fish_quoted(' '.join(found))}" if found else ""


def _fish_quoted(text: str) -> str:
    return "'" + re.sub(r"(['\\])", r"\\\1", text) + "'"


SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
"""What makes the script of each shell."""


def completion_arguments(parser: Parser) -> None:
    parser.add_argument("shell", choices=tuple(SHELLS), metavar="SHELL", help=one_of(SHELLS))


def run_completion(args: Namespace) -> int:
    """Prints the script."""
    write(SHELLS[args.shell]())
    return ExitCode.FINE


_EXAMPLES: Sequence[tuple[str, str]] = (
    ("bash", "~/.local/share/bash-completion/completions/ftc"),
    ("zsh", "~/.zfunc/_ftc"),
    ("fish", "~/.config/fish/completions/ftc.fish"),
)

COMMANDS: dict[str, Command] = {
    "completion": Command(
        completion_arguments,
        run_completion,
        formats=(),
        examples=tuple(
            Example(f"ftc completion {shell} > {place}", "for every new shell") for shell, place in _EXAMPLES
        ),
    )
}
"""What a command line reaches here, by verb."""
