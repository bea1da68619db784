"""Codes 0xx, what the file is before it means anything."""

from ftc.spec.codes._code import Code

CODES: tuple[Code, ...] = (
    Code(
        id="FTC001",
        title="the text is not valid YAML",
        cause="The parser stopped here. It read the text before this point but not the text after it, so fixing this "
        "error may reveal further findings.",
        wrong="train: {epochs: 3, batch_size: 8\n",
        right="train: {epochs: 3, batch_size: 8}\n",
    ),
    Code(
        id="FTC002",
        title="a tab indents a line",
        cause="YAML forbids tabs in indentation: editors show them at different widths, and indentation decides how "
        "values nest.",
        wrong="train:\n\tepochs: 3\n",
        right="train:\n  epochs: 3\n",
    ),
    Code(
        id="FTC003",
        title="duplicate key",
        cause="Many YAML readers silently keep the last of two equal keys, so the value that a reviewer saw may not "
        "be the value that runs.",
        wrong="train:\n  learning_rate: 1e-4\n  learning_rate: 2e-4\n",
        right="train:\n  learning_rate: 2e-4\n",
    ),
    Code(
        id="FTC004",
        title="anchors and aliases are not part of the language",
        cause="An alias takes its value from another part of the file, and nested aliases can grow without bound. "
        "Write each value where it is used; share values between recipes with `extends`. Quote a value that "
        "only happens to start with `*` or `&`, such as a file pattern.",
        wrong="data: &shared\n  source: {path: data/sms.csv}\n",
        right="data:\n  source: {path: data/sms.csv}\n",
    ),
    Code(
        id="FTC005",
        title="merge keys are not part of the language",
        cause="`<<` is not part of YAML 1.2, and readers disagree about which value wins. Write the values out, or "
        "move shared values to a file that the recipes name under `extends`.",
        wrong="train:\n  <<: {epochs: 3}\n  seed: 17\n",
        right="train:\n  epochs: 3\n  seed: 17\n",
    ),
    Code(
        id="FTC006",
        title="tags are not part of the language",
        cause="A tag (`!name`) asks the reader to build an object, include a file or read the environment. A recipe "
        "is only data: planning it never runs anything.",
        wrong="name: !env RUN_NAME\n",
        right="name: sms-spam\n",
    ),
    Code(
        id="FTC007",
        title="several documents in one file",
        cause="One file holds one recipe. A second `---` starts another one, and it is unclear which is meant.",
        wrong="name: a\n---\nname: b\n",
        right="name: a\n",
    ),
    Code(
        id="FTC008",
        title="the file is empty",
        cause="The file contains only white space and comments.",
        wrong="# a recipe, one day\n",
        right="ftc: 1\nname: sms-spam\n",
    ),
    Code(
        id="FTC009",
        title="a recipe is a mapping",
        cause="The top level of a recipe consists of `key: value` lines. It is not a list or a single value.",
        wrong="- name: sms-spam\n",
        right="name: sms-spam\n",
    ),
    Code(
        id="FTC010",
        title="invalid characters in a key",
        cause="Keys consist of lower-case letters, digits and underscores, and start with a letter. Letters of other "
        "alphabets that look the same would make a different key that reads like the right one.",
        wrong="train: {batch-size: 8}\n",
        right="train: {batch_size: 8}\n",
    ),
    Code(
        id="FTC011",
        title="invisible character",
        cause="Control characters, zero-width characters and characters that reverse the text direction make a file "
        "look different from what it says. In double quotes, control characters below U+0020 (except U+0000) "
        "may be written as a visible escape.",
        wrong='name: "sms\\u200bspam"\n',
        right="name: sms-spam\n",
    ),
    Code(
        id="FTC012",
        title="the file is not UTF-8",
        cause="Recipes are UTF-8. In another encoding the same bytes could mean different text on another machine.",
    ),
    Code(
        id="FTC013",
        title="the file is too large",
        cause="A recipe may have at most 256 KiB. Put data into data files.",
    ),
    Code(
        id="FTC014",
        title="values are nested too deep",
        cause="A recipe may have at most 32 levels. Deeper nesting is a mistake or an attack on the parser.",
        wrong="name: " + "[" * 40 + "]" * 40 + "\n",
        right="name: sms-spam\n",
    ),
    Code(
        id="FTC015",
        title="too many values",
        cause="A recipe may have at most 10,000 keys and values. Put data into data files.",
    ),
    Code(
        id="FTC016",
        title="a value is too long",
        cause="A single value may have at most 64 KiB. Put long texts into a file of their own.",
    ),
    Code(
        id="FTC017",
        title="values are not interpolated",
        cause="ftc does not expand `${NAME}` or `$(command)` in a recipe: it reads no environment variables and runs "
        "no commands, because the same file would then mean different things on different machines and could "
        "copy secrets into plans. Use `--set` or `extends` for what varies. Write a literal `${` as "
        '`"\\x24{"` in double quotes.',
        wrong="name: ${USER}-run\n",
        right="name: sms-spam\n",
    ),
    Code(
        id="FTC018",
        title="secret in the file",
        cause="Recipes are committed, and ftc copies them into plans, records and reports. Use `hf auth login` or an "
        "environment variable for tokens. Revoke a secret that was ever committed; removing it from the file "
        "is not enough.",
        wrong="data: {source: {path: 'https://me:password@example.org/a.csv'}}\n",
        right="data: {source: {path: data/a.csv}}\n",
    ),
    Code(
        id="FTC019",
        title="YAML directives are not part of the language",
        cause="`%YAML 1.1` would change the meaning of `no`, `1:30` and `0123`; `%TAG` is only used for tags. "
        "Recipes are always YAML 1.2.",
        wrong="%YAML 1.1\n---\nname: sms-spam\n",
        right="name: sms-spam\n",
    ),
    Code(
        id="FTC020",
        title="number out of range",
        cause="The text looks like a number, but it is too long or outside the range of 64-bit floats. Quote it if "
        "you mean text.",
        wrong="train: {learning_rate: 1e999}\n",
        right="train: {learning_rate: 1e-4}\n",
    ),
)
