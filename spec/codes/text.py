"""Codes 0xx, what the file is before it means anything."""

from ftc.spec.codes._code import Code

CODES: tuple[Code, ...] = (
    Code(
        id="FTC001",
        title="the text is not valid YAML",
        cause="The parser could not go on from this place. What stands before it was read; what stands after was not, "
        "so further findings may appear once this one is mended.",
        wrong="train: {epochs: 3, batch_size: 8\n",
        right="train: {epochs: 3, batch_size: 8}\n",
    ),
    Code(
        id="FTC002",
        title="a tab indents a line",
        cause="YAML forbids tabs in indentation, because their width differs from editor to editor and the width "
        "decides what belongs to what.",
        wrong="train:\n\tepochs: 3\n",
        right="train:\n  epochs: 3\n",
    ),
    Code(
        id="FTC003",
        title="a key stands twice",
        cause="Many YAML readers keep the last of two equal keys in silence, so that the value that a reviewer saw is "
        "not the value that runs.",
        wrong="train:\n  learning_rate: 1e-4\n  learning_rate: 2e-4\n",
        right="train:\n  learning_rate: 2e-4\n",
    ),
    Code(
        id="FTC004",
        title="anchors and aliases are not part of the language",
        cause="An alias makes a value come from another place, and nested aliases grow without bound. A recipe says "
        "each value where it holds; `extends` shares what several recipes have in common. A value that only "
        "happens to start with `*` or `&`, such as a file pattern, needs quotes.",
        wrong="data: &shared\n  source: {path: data/sms.csv}\n",
        right="data:\n  source: {path: data/sms.csv}\n",
    ),
    Code(
        id="FTC005",
        title="merge keys are not part of the language",
        cause="`<<` is no part of YAML 1.2, and readers differ over which value wins. Write the values out, or put "
        "what recipes share into a file that they name under `extends`.",
        wrong="train:\n  <<: {epochs: 3}\n  seed: 17\n",
        right="train:\n  epochs: 3\n  seed: 17\n",
    ),
    Code(
        id="FTC006",
        title="tags are not part of the language",
        cause="A tag (`!name`) asks the reader to build an object, include a file or read the environment. A recipe "
        "is data alone: planning one never runs anything.",
        wrong="name: !env RUN_NAME\n",
        right="name: sms-spam\n",
    ),
    Code(
        id="FTC007",
        title="several documents in one file",
        cause="One file holds one recipe. A second `---` would start another, of which nothing says which is meant.",
        wrong="name: a\n---\nname: b\n",
        right="name: a\n",
    ),
    Code(
        id="FTC008",
        title="the file is empty",
        cause="There is nothing in the file but white space and comments.",
        wrong="# a recipe, one day\n",
        right="ftc: 1\nname: sms-spam\n",
    ),
    Code(
        id="FTC009",
        title="a recipe is a mapping",
        cause="The outermost level of a recipe is `key: value` lines, not a list and not a single value.",
        wrong="- name: sms-spam\n",
        right="name: sms-spam\n",
    ),
    Code(
        id="FTC010",
        title="a key is no plain word",
        cause="Keys are lower-case letters, digits and underscores, starting with a letter. Letters of other alphabets "
        "that look the same would make a key that reads right and means something else.",
        wrong="train: {batch-size: 8}\n",
        right="train: {batch_size: 8}\n",
    ),
    Code(
        id="FTC011",
        title="a character that can't be seen",
        cause="Control characters, zero-width characters and characters that reverse the direction of text make a "
        "file read differently from what it says. Control characters below U+0020, apart from U+0000, may stand in "
        "double quotes as an escape that everybody can see.",
        wrong='name: "sms\\u200bspam"\n',
        right="name: sms-spam\n",
    ),
    Code(
        id="FTC012",
        title="the file is not UTF-8",
        cause="Recipes are UTF-8. Another encoding would make the same bytes mean different text on other machines.",
    ),
    Code(
        id="FTC013",
        title="the file is too large",
        cause="A recipe is written by a person and has at most 256 KiB. Data belongs into data files.",
    ),
    Code(
        id="FTC014",
        title="values are nested too deep",
        cause="No recipe needs more than 32 levels; deeper ones are mistakes or attacks on the reader.",
        wrong="name: " + "[" * 40 + "]" * 40 + "\n",
        right="name: sms-spam\n",
    ),
    Code(
        id="FTC015",
        title="too many values",
        cause="A recipe has at most 10,000 keys and values. Data belongs into data files.",
    ),
    Code(
        id="FTC016",
        title="a value is too long",
        cause="One value has at most 64 KiB. Long texts belong into a file of their own.",
    ),
    Code(
        id="FTC017",
        title="no value is interpolated",
        cause="`${NAME}` and `$(command)` stay as they are in a recipe: nothing reads the environment or runs a "
        "command, because then the same file would mean different things in different places and could carry "
        "secrets into plans. Use `--set` or `extends` for what varies. A literal `${` can be written as "
        '`"\\x24{"` in double quotes.',
        wrong="name: ${USER}-run\n",
        right="name: sms-spam\n",
    ),
    Code(
        id="FTC018",
        title="a secret stands in the file",
        cause="Recipes are committed, and they are copied into plans, records and reports. Tokens come from "
        "`hf auth login` or from the environment of the process that needs them. A secret that was ever committed "
        "must be revoked; taking it out of the file is not enough.",
        wrong="data: {source: {path: 'https://me:password@example.org/a.csv'}}\n",
        right="data: {source: {path: data/a.csv}}\n",
    ),
    Code(
        id="FTC019",
        title="YAML directives are not part of the language",
        cause="`%YAML 1.1` would change what `no`, `1:30` and `0123` mean; `%TAG` only serves tags. Recipes are YAML "
        "1.2, always.",
        wrong="%YAML 1.1\n---\nname: sms-spam\n",
        right="name: sms-spam\n",
    ),
    Code(
        id="FTC020",
        title="a number that no number holds",
        cause="The text has the form of a number, but it is longer than any number of a recipe or beyond the range of "
        "64-bit floats. Quote it if it is meant as text.",
        wrong="train: {learning_rate: 1e999}\n",
        right="train: {learning_rate: 1e-4}\n",
    ),
)
