"""Codes 021 to 029 and 1xx: recipes that build on others, and keys, types and values on their own."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

CODES: tuple[Code, ...] = (
    Code(
        id="FTC021",
        title="the recipe named by `extends` can't be read",
        cause="`extends` names a recipe file, relative to the folder of the recipe that contains it. There is no "
        "file with this name, or it is not a regular file.",
        wrong="extends: bass.yaml\n",
        right="extends: base.yaml\n",
    ),
    Code(
        id="FTC022",
        title="recipes extend each other in a circle",
        cause="Each recipe takes the values it does not set from the recipe that it extends. These recipes form a "
        "circle, so there is no first one.",
        wrong="# base.yaml\nextends: recipe.yaml\n",
        right="# base.yaml\nftc: 1\n",
    ),
    Code(
        id="FTC023",
        title="too many recipes in a chain",
        cause="At most 8 recipes may build on each other. A reader has to open all of them to know what the recipe "
        "says.",
    ),
    Code(
        id="FTC024",
        title="`--set` needs a path and a value",
        cause="`--set` takes the keys of the recipe joined by dots, then `=`, then a value in the syntax of the "
        "recipe, all on one line. Name an item of a list by its position: `targets[0]` or `targets.0`.",
        wrong="ftc plan recipe.yaml --set epochs\n",
        right="ftc plan recipe.yaml --set train.epochs=1\n",
    ),
    Code(
        id="FTC025",
        title="`extends` is not allowed here",
        cause="Only the recipe file may use `extends`, so that one chain of files defines the recipe. `--set` and "
        "`--set-file` change values but cannot add files, and a recipe without a file (from a string or "
        "standard input) has no folder to resolve a relative path.",
        wrong="ftc plan recipe.yaml --set extends=base.yaml\n",
        right="ftc plan recipe.yaml --set-file base.yaml\n",
    ),
    Code(
        id="FTC026",
        title="the file can't be formatted without changing it",
        cause="A formatted recipe must have the same values and keep every comment; `ftc fmt` checks this before it "
        "writes. The check failed, so the file was not changed.",
    ),
    Code(
        id="FTC027",
        title="no such item in the list",
        cause="`--set` changes an item of a list by its position, counted from 0. The position after the last item "
        "adds one. There is no list here, or it has fewer items.",
        wrong="ftc plan recipe.yaml --set eval.metrics[5]=mcc\n",
        right="ftc plan recipe.yaml --set eval.metrics[0]=mcc\n",
    ),
    Code(
        id="FTC101",
        title="missing key",
        cause="A required key is not set.",
        wrong="model: {}",
        right="model: {base: models/my-model}",
    ),
    Code(
        id="FTC102",
        title="wrong type",
        cause="The value has a different type than the key expects. Numbers in quotes are text; `yes` and `no` are "
        "text too, because recipes are YAML 1.2.",
        wrong='train: {seed: "seven"}',
        right="train: {seed: 7}",
    ),
    Code(
        id="FTC103",
        title="value out of range",
        cause="The value has the right type, but it is outside the allowed range.",
        wrong="train: {batch_size: 0}",
        right="train: {batch_size: 16}",
    ),
    Code(
        id="FTC104",
        title="unknown key",
        cause="The key is misspelled, or it belongs to another section. ftc never ignores a key silently, because "
        "the run would then miss a setting that you rely on.",
        wrong="train: {learning_rat: 2e-4}",
        right="train: {learning_rate: 2e-4}",
    ),
    Code(
        id="FTC106",
        title="a key that has a new name",
        cause="The key is now called as other tools and the papers call it. The old name works in this release and not "
        "in the next; `ftc validate --fix` rewrites it.",
        wrong="strategy: {kind: lora, also_train: [embed_tokens]}",
        right="strategy: {kind: lora, modules_to_save: [embed_tokens]}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC107",
        title="there is no such recipe",
        cause="A verb or a function of Python was given the name of a recipe, and there is no file of this name.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC105",
        title="invalid choice",
        cause="The key accepts one of a few values, and this is not one of them.",
        wrong="strategy: {kind: loar}",
        right="strategy: {kind: lora}",
    ),
)
