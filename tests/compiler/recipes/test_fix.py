"""`--fix` without a command line: rounds, and what it won't touch."""

from __future__ import annotations

from ftc.compiler.recipes.edits import fix_recipe

GOOD = (
    "ftc: 1\nname: tiny\ntask: {kind: classification}  # what for\ndata: {source: {path: rows.csv}}\n"
    "model: {base: ./model}\nstrategy: {kind: lora}\n"
)


def fixed(text: str) -> tuple[str, tuple[str, ...], list[str]]:
    made = fix_recipe(text.encode(), "r.yaml")
    assert made.before == text.encode()
    return made.after.decode(), made.fixes, [found.code for found in made.checked.diagnostics]


def test_a_fix_uncovers_the_next() -> None:
    text, fixes, left = fixed(GOOD + "train: {batch-size: 8, epcohs: 2}  # quick\n")
    assert text == GOOD + "train: {batch_size: 8, epochs: 2}  # quick\n"
    assert fixes == ("rename the key to `batch_size`", "rename `epcohs` to `epochs`")
    assert left == []


def test_nothing_to_do() -> None:
    assert fixed(GOOD) == (GOOD, (), [])


def test_what_is_no_text_stays() -> None:
    data = b"name: caf\xe9\nbatch-size: 8\n"
    fixed = fix_recipe(data, "r.yaml")
    assert (fixed.after, fixed.fixes) == (data, ())


def test_a_name_that_is_taken_is_not_given_twice() -> None:
    text = GOOD + "train: {batch-size: 8, batch_size: 4}\n"
    assert fixed(text) == (text, (), ["FTC010"])


def test_what_no_program_may_guess_is_left() -> None:
    text, fixes, left = fixed(GOOD.replace("kind: lora", "kind: zebra"))
    assert (fixes, left) == ((), ["FTC105"])
    assert "zebra" in text


def test_nothing_is_written_that_is_refused() -> None:
    """A key of another kind of strategy is no key here, however it is spelled; a chain that ends well is made."""
    text = GOOD.replace("kind: lora", "kind: lora, virtual-tokens: 8, lora-r: 4")
    after, fixes, left = fixed(text)
    assert after == text.replace("lora-r", "rank")
    assert (fixes, left) == (("rename the key to `rank`",), ["FTC010"])
    blocks = "x-common:\n  rank: 8\n" + GOOD
    assert fixed(blocks) == (blocks, (), ["FTC010"])


def test_a_name_of_its_own_is_no_slip() -> None:
    """`min_steps` is as like `max_steps` as a slip is, and would train something else."""
    for text in (GOOD + "train: {min_steps: 500}\n", GOOD + "train: {save-steps: 500, eval-batch-size: 64}\n"):
        assert fixed(text)[:2] == (text, ())
    assert "batch_size: 8" in fixed(GOOD + "train: {batchsize: 8, learning_rat: 0.1}\n")[0]
