"""Bad inputs, one row each: what `ftc` exits with, which code it gives, and the words that a user must get to read.

The numbers are those of the project's list of bad inputs. Three can't be said in this language, which has one key
`precision`, 4-bit weights as a strategy of its own, and one place for runs: G18 (two precisions at once), G19 (4-bit
weights with full training) and G29 (a dangerous output folder). What people then write is answered all the same.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.diagnostics.worlds import WORLDS
from tests.support.bad_inputs import Case, check, files, recipe, row, rows

BOMB = "a0: &a0 [x, x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 11))
JSONL = "{source: {path: rows.jsonl}}"
MANY = [row(f"text {i}", "ab"[i % 2]) for i in range(16)]
CHAT = {"task": "{kind: chat}", "data": JSONL}
NO_ANSWER = [json.dumps({"prompt": f"question {i}", "completion": " "}) for i in range(6)]
LONG = [json.dumps({"prompt": f"question {i}", "completion": "long " * 30}) for i in range(12)]
UNANSWERED = json.dumps({"messages": [{"role": r, "content": "Hi"} for r in ("user", "assistant", "user")]})
TWO_FILES = "{source: {path: rows.jsonl}, split: {validation: {path: val.jsonl}, test: 0}}"

CASES = [
    Case("G01", recipe(train="{learning_rate: 5e-5}"), "", ("recipe.yaml is valid",), 0),
    Case("G02", "ftc: 1\nname: tiny\ntrain:\n\tepochs: 3\n", "FTC002", ("recipe.yaml:4:1", "use spaces")),
    Case("G03", recipe(train="{seed: 1, seed: 2}"), "FTC003", ("duplicate key `seed`", "first here", "keep one")),
    Case("G04", recipe(train="{learning_rte: 1.0e-4}"), "FTC104", ("did you mean `learning_rate`?",)),
    Case("G05", recipe(learning_rate="1e-4"), "FTC104", ("belongs in `train`",)),
    Case("G06", recipe(train="{num-epochs: 3}"), "FTC010",
         ("did you mean `epochs`?", "rename the key to `epochs`")),
    Case("G06", "x-common: {rank: 8}\n" + recipe(train="{epochs: 3}"), "FTC010",
         ("each value where it is used", "`extends`")),
    Case("G07", 'ftc: 1\nname: !!python/object/apply:os.system ["id"]\n', "FTC006", ("2:7", "remove it")),
    Case("G08", "ftc: 1\nname: !include x.yaml\n", "FTC006", ("`!include`", "plain data")),
    Case("G08", "ftc: 1\nname: !env HOME\n", "FTC006", ("`!env`",)),
    Case("G08", "ftc: 1\nname: !!binary aGk=\n", "FTC006", ("`!!binary`",)),
    Case("G09", BOMB, "FTC004", ("recipe.yaml:1:5", "write each value out")),
    Case("G10", recipe() + "---\n" + recipe(), "FTC007", ("recipe.yaml:7:1", "one recipe per file")),
    Case("G11", "", "FTC008", ("ftc init",)),
    Case("G11", "# later\n", "FTC008", ("start with `ftc: 1`",)),
    Case("G12", "- a\n- b\n", "FTC009", ("1:1", "a recipe is a mapping, but this is a list")),
    Case("G12", "tiny\n", "FTC009", ("a recipe is a mapping",)),
    Case("G13", recipe(train="{batch_size: 0}"), "FTC103", ("`train.batch_size` can't be `0`", "≥ 1")),
    Case("G14", recipe(train="{epochs: -1}"), "FTC103", ("`train.epochs` can't be `-1`", "> 0")),
    Case("G15", recipe(train="{learning_rate: .nan}"), "FTC103", ("can't be `.nan`", "finite")),
    Case("G15", recipe(train="{learning_rate: .inf}"), "FTC103", ("can't be `.inf`", "finite")),
    Case("G16", recipe(train="{learning_rate: 5}"), "FTC211", ("unusual", "usual: 1e-05 to 0.01"), 0),
    Case("G17", recipe(data="{source: {path: rows.csv}, max_length: 4096}"), "FTC221",
         ("model has 64 positions", "write at most 64", "max_position_embeddings", "4:46"), verb="plan"),
    Case("G18", recipe(train="{bf16: true, fp16: true}"), "FTC104",
         ("write `precision: bfloat16` in `train`", "2 errors")),
    Case("G19", recipe(strategy="{kind: full, quantization: nf4}"), "FTC104",
         ("only for `kind: qlora`", "which `kind: full` does not have")),
    Case("G19", recipe(strategy="{kind: full}", load_in_4bit="true"), "FTC104", ("write `kind: qlora` in `strategy`",)),
    Case("G20", recipe(strategy="{kind: qlora}", budget="{device: cpu}"), "FTC225",
         ("4-bit weights gain nothing on a CPU", "kind: lora"), 0, verb="plan"),
    Case("G21", recipe(strategy="{kind: lora, targets: [q_prj]}"), "FTC224",
         ("no linear module `q_prj`", "did you mean `q_proj`?", "down_proj, k_proj, q_proj"), verb="plan"),
    Case("G22", recipe(strategy="{kind: lora, rank: 0, dropout: 1.5}"), "FTC103", ("≥ 1", "< 1", "2 errors")),
    Case("G23", recipe(data="{source: {path: rows.csv}, split: {validation: 0}}", train="{early_stopping: {}}"),
         "FTC204", ("needs validation data", "no validation share here", "set `validation: 0.1`")),
    Case("G24", recipe(data="{source: {path: rows.csv}, split: {validation: 0.01}}"), "FTC371",
         ("rounds to 0", "the smallest ratio that gives a row is 0.025"), verb="plan"),
    Case("G25", recipe(train='{seed: "seven"}'), "FTC102", ('must be a whole number, not `"seven"`',)),
    Case("G26", recipe(train="{precision: no}"), "FTC105", ("can't be `no`", "auto, float32, bfloat16")),
    Case("G26", recipe(eval="{baseline: no}"), "FTC102", ("only `true` and `false` are booleans",)),
    Case("G27", recipe(data="{source: {path: data/row.csv}}"), "FTC350", ("4:23", "rows.csv`?"),
         verb="plan", world=lambda folder: ((folder / "data").mkdir(), rows("data/rows.csv", "text,label")(folder))[1]),
    Case("G28", recipe(data="{source: {path: ../../etc/passwd}}"), "FTC300", ("inside the project",), verb="plan"),
    Case("G28", recipe(data="{source: {path: /etc/passwd}}"), "FTC300", ("is absolute",), verb="plan"),
    Case("G28", recipe(model="{base: ~/models/mine}"), "FTC300", ("starts with `~`",), verb="plan"),
    Case("G29", recipe(output_dir="/"), "FTC104", ("a run is saved in `runs/`, in a folder with",)),
    Case("G29", recipe(train="{output_dir: ~}"), "FTC104", ("remove it",)),
    Case("G29", recipe().replace("name: tiny", "name: ../.."), "FTC103", ("At most 64 lower-case letters, digits",)),
    Case("G29", recipe(data="{source: {path: rows.csv}, quality: {presidio: {countries: [US]}}}"), "FTC103",
         ("countries[0]` can't be `US`", "two letters, such as `[us, uk]`")),
    Case("G29", recipe(data="{source: {path: rows.csv}, quality: {presidio: {countries: [us, us]}}}"), "FTC219",
         ("country `us` is listed twice",)),
    Case("G29", recipe(strategy="{kind: lora, patterns: [{modules: ['a*'], rank: 4}]}"), "FTC103",
         ('modules[0]` can\'t be `"a*"`', "Ends of the names", "1 error")),
    Case("G30", recipe(), "FTC300", ("outside the project",), verb="plan", world=WORLDS["FTC300_link"]),
    Case("G31", recipe(), "FTC503", ("there is no lock", "ftc plan"), 2, verb="plan", options=("--locked",)),
    Case("G32", recipe(model="{base: org/name, revision: hf_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789}"), "FTC018",
         ("a Hugging Face token", "hf_****", "revoke it", "hf auth login")),
    Case("G33", recipe(model='{base: "${HF_HOME}/x"}'), "FTC017", ("`${` is not interpolated",)),
    Case("G33", recipe(model='{base: "$(id)"}'), "FTC017", ("`$(` is not interpolated",)),
    Case("G34", recipe(model="{base: ./model, trust_remote_code: true}"), "FTC104",
         ("not supported", "ftc never runs code that comes with a model")),
    Case("G35", recipe(data=JSONL), "FTC355", ("rows.jsonl:17:", "fix or remove the row"), verb="plan",
         world=rows("rows.jsonl", *MANY, '{"text": "cut o')),
    Case("G36", recipe(data=JSONL), "FTC354", ("rows.jsonl:2:", "offset", "0xe9", "UTF-8"), verb="plan",
         world=rows("rows.jsonl", MANY[0], b'{"text": "caf\xe9", "label": "a"}')),
    Case("G37", recipe(data="{source: {path: rows.csv}, fields: {text: mesage}}"), "FTC362",
         ("rows.csv has no column `mesage`", "did you mean `message`?", "columns: `message`, `label`"), verb="plan",
         world=rows("rows.csv", "message,label", "a,b")),
    Case("G38", recipe(), "FTC359", ("rows.csv has no rows", "0 bytes"), verb="plan", world=rows("rows.csv")),
    Case("G39", recipe(task="{kind: generation}", data=JSONL), "FTC364",
         ("is empty in 6 of 6 rows", "rows.jsonl:1, 2, 3"), verb="plan", world=rows("rows.jsonl", *NO_ANSWER)),
    Case("G40", recipe(task="{kind: generation}", data="{source: {path: rows.jsonl}, max_length: 16}"), "FTC330",
         ("none of the", "tokens", "over 16"), verb="plan", world=rows("rows.jsonl", *LONG)),
    Case("G41", recipe(**CHAT), "FTC366", ("ends with a turn of `user`", "rows.jsonl:1:", "remove the last turn"),
         verb="plan", world=rows("rows.jsonl", UNANSWERED)),
    Case("G42", recipe(data=TWO_FILES), "FTC370",
         ("2 of 2 validation rows are also training rows", "val.jsonl:1", "remove them"), verb="plan",
         world=files(rows("rows.jsonl", *MANY), rows("val.jsonl", *MANY[:2]))),
    Case("G43", recipe(data=TWO_FILES), "FTC372", ("validation rows have labels", "`mild` (2)"), verb="plan",
         world=files(rows("rows.jsonl", *MANY), rows("val.jsonl", row("x", "mild"), row("y", "mild")))),
    Case("G44", recipe(), "FTC303", ("pytorch_model.bin", "safetensors"), verb="plan", world=WORLDS["FTC303"]),
    Case("G45", recipe(), "FTC307", ("need 7 rows, the embedding has 6", "resized"), verb="plan",
         world=WORLDS["FTC307"]),
]  # fmt: skip


def test_no_case_of_the_list_is_left_out() -> None:
    assert sorted({case.number for case in CASES}) == [f"G{number:02}" for number in range(1, 46)]
    assert all(case.words for case in CASES), "each says what a user must read"


@pytest.mark.sample(25)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number}-{case.code or 'fine'}")
def test_a_bad_input(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check(case, tmp_path, monkeypatch, capsys)
