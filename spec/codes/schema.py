"""Codes 021 to 029 and 1xx: recipes that build on others, and keys, types and values on their own."""

from ftc.spec.codes._code import Code, Severity

CODES: tuple[Code, ...] = (
    Code(
        id="FTC021",
        title="the recipe named by `extends` can't be read",
        cause="`extends` names a recipe file, relative to the folder of the file that says so. No file of that name is "
        "there, or it is something else than a file.",
        wrong="extends: bass.yaml\n",
        right="extends: base.yaml\n",
    ),
    Code(
        id="FTC022",
        title="recipes extend each other in a circle",
        cause="Each file takes what it does not say from the one that it extends. In a circle there is no first file, "
        "so nothing says what holds.",
        wrong="# base.yaml\nextends: recipe.yaml\n",
        right="# base.yaml\nftc: 1\n",
    ),
    Code(
        id="FTC023",
        title="a long chain of recipes",
        cause="At most 8 files build on each other. Whoever reads a recipe has to open all of them to know what it "
        "says, and a longer chain has so far always been a mistake.",
    ),
    Code(
        id="FTC024",
        title="`--set` needs a path and a value",
        cause="`--set` takes keys of the recipe joined by dots, then `=`, then a value as the file would hold it, in "
        "one line. An item of a list is named by its position, `targets[0]` or `targets.0`.",
        wrong="ftc plan recipe.yaml --set epochs\n",
        right="ftc plan recipe.yaml --set train.epochs=1\n",
    ),
    Code(
        id="FTC025",
        title="`extends` has no file to start from",
        cause="`extends` is followed from the recipe file alone, so that one chain of files says what a recipe is. "
        "What `--set` and `--set-file` give lies on top of it and can't bring in further files, and a text that lies "
        "in no folder can't name a file beside it.",
        wrong="ftc plan recipe.yaml --set extends=base.yaml\n",
        right="ftc plan recipe.yaml --set-file base.yaml\n",
    ),
    Code(
        id="FTC026",
        title="the file can't be laid out without changing it",
        cause="After formatting, a recipe must give the same values and keep every comment; `ftc fmt` checks that "
        "before it writes. Here it would not hold, so the file stays as it is.",
    ),
    Code(
        id="FTC027",
        title="no such item in a list",
        cause="`--set` changes an item of a list by its position, counted from 0, and adds one at the position behind "
        "the last. There is no list, or it has fewer items.",
        wrong="ftc plan recipe.yaml --set eval.metrics[5]=mcc\n",
        right="ftc plan recipe.yaml --set eval.metrics[0]=mcc\n",
    ),
    Code(
        id="FTC101",
        title="missing key",
        cause="A key that has no default is not there.",
        wrong="model: {}",
        right="model: {base: models/my-model}",
    ),
    Code(
        id="FTC102",
        title="wrong type",
        cause="A value is of another type than its key takes. Numbers in quotes are text; `yes` and `no` are text too, "
        "since recipes are YAML 1.2.",
        wrong='train: {seed: "seven"}',
        right="train: {seed: 7}",
    ),
    Code(
        id="FTC103",
        title="value out of range",
        cause="A value is of the right type but outside what makes sense for its key.",
        wrong="train: {batch_size: 0}",
        right="train: {batch_size: 16}",
    ),
    Code(
        id="FTC104",
        title="unknown key",
        cause="A key is misspelled, or it belongs in another section. Nothing is ever ignored in silence, since a run "
        "without the setting that its author believes in is worse than no run.",
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
        id="FTC105",
        title="no such choice",
        cause="A key takes one of a few words, and the value is none of them.",
        wrong="strategy: {kind: loar}",
        right="strategy: {kind: lora}",
    ),
)
