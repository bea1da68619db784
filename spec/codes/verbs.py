"""Codes 65x to 68x: what a verb needs before it can begin, ratings, and merging."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC650",
        title="missing packages",
        cause="Validating, planning and auditing need only a light installation. `apply` trains and needs torch, "
        "transformers and others; `lsp` needs pygls, `sign` and `verify` need model-signing, `eval --harness` needs "
        "lm-eval, a recipe with presidio needs `presidio-analyzer`, rows in a workbook need `python-calamine`, "
        "METEOR needs `nltk`, and some optimizers are from packages of their own. An adapter of experts needs "
        "peft 0.20.",
        wrong="pip install ftc",
        right="pip install 'ftc[train]'",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC651",
        title="file or folder exists",
        cause="`ftc init` and `ftc import` write a new file, `ftc run merge` a new folder; they never replace an "
        "existing one. `ftc plan -o`, `ftc run export -o` and `ftc run sign -o` replace only a document of the same "
        "kind that ftc wrote, so that a wrong name can't overwrite your data or recipe. `--force` replaces "
        "other regular files; links, folders, devices, write-protected files and files of a run are never "
        "replaced.",
        wrong="ftc plan recipe.yaml -o rows.json",
        right="ftc plan recipe.yaml -o recipe.plan.json",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC652",
        title="WordNet is not installed",
        cause="METEOR takes synonyms from the WordNet database, which is not part of any Python package, and ftc "
        "doesn't download it. ftc searches where nltk does (`NLTK_DATA` first), and where Debian installs it.",
        wrong="pip install 'ftc[train]' && ftc plan recipe.yaml   # with `eval: {metrics: [meteor]}`",
        right="apt-get install wordnet-base && ftc plan recipe.yaml",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC653",
        title="output folder is missing",
        cause="ftc creates no folders for `-o`, because a mistyped folder would hide the file in a new one.",
        wrong="ftc plan recipe.yaml -o plans/recipe.plan.json",
        right="mkdir plans && ftc plan recipe.yaml -o plans/recipe.plan.json",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC680",
        title="no answers to rate",
        cause="Raters compare what models generated for the test rows. This run isn't finished, has no test split, "
        "or its task has no generated answers. With `eval.baseline: false` the base model has no answers.",
        wrong="ftc run rate 3f2a91c0d7e4   # its recipe says `eval: {baseline: false}`",
        right="ftc run rate 3f2a91c0d7e4 b81c07d52f6a   # two tuned models",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC681",
        title="no test row in common",
        cause="Two answers can be compared only if both models got the same row. Other data, another split or "
        "another prompt makes another row.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC682",
        title="invalid rater name",
        cause="A rater's decisions are saved in a file with the rater's name.",
        wrong="ftc run rate 3f2a91c0d7e4 --rater 'a/b'",
        right="ftc run rate 3f2a91c0d7e4 --rater ab",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC683",
        title="no evaluated test rows",
        cause="Runs are compared by their results on the same test rows. This run isn't finished, or has no test "
        "split.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC685",
        title="run can't be evaluated again",
        cause="`ftc run eval` needs the weights of a finished run, its base model at the path in the recipe, and its "
        "test rows as tokens, or a file with other rows.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC686",
        title="unknown harness task",
        cause="`ftc run eval --harness` takes names of tasks of the lm-evaluation-harness: its own, or those in a "
        "folder of YAML files that `--tasks` names.",
        wrong="ftc run eval RUN --harness helaswag",
        right="ftc run eval RUN --harness hellaswag",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC654",
        title="inputs were touched while the run read them",
        cause="A file of the model or the rows got another time stamp, and holds the same bytes by now. Somebody made "
        "a link or changed permissions, or wrote to it and put the old bytes back. The steps since the last checkpoint "
        "may have read something else, so they are done again.",
        wrong="chmod g+r models/base/model.safetensors   # while `ftc apply` trains",
        right="ftc apply recipe.yaml   # the run repeats those steps by itself",
        severity=Severity.WARNING,
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC655",
        title="entries of the cache were not used",
        cause="ftc uses what it remembers only where this user on this machine wrote it, for the same inputs. An entry "
        "under another name, an edited one, and one that came with another machine's cache are made again.",
        wrong="cp -r streams/1acf8be0 streams/46875b6d   # in ftc's cache",
        right="ftc plan recipe.yaml   # makes them again, once",
        severity=Severity.WARNING,
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC656",
        title="a document of the run was recovered",
        cause="The run's plan.json or record.json can't be read. The run goes on from its last checkpoint: the plan is "
        "the one that is applied, and the record was put together from events, step log and ledger. What only the "
        "record knew, such as earlier times, is lost.",
        wrong="truncate -s 100 runs/demo/7f3a2b/record.json",
        right="ftc apply recipe.yaml   # goes on from the last checkpoint",
        severity=Severity.WARNING,
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC660",
        title="run can't be merged yet",
        cause="`ftc run merge` adds the adapter of a finished run to the base model in the run's lock, and compares "
        "the outputs on rows of the run. One of these is not here.",
        wrong="ftc run merge 7f3a2b -o merged/demo   # interrupted at step 40",
        right="ftc apply recipe.yaml && ftc run merge 7f3a2b -o merged/demo",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC661",
        title="adapter can't be merged",
        cause="Merging adds an adapter to existing weights of the base model. Virtual tokens come before the row, "
        "and bottleneck adapters are nonlinear layers of their own, so no weight of the base model can "
        "represent them.",
        wrong="strategy: {kind: prompt_tuning}   # and then ftc run merge RUN",
        right="strategy: {kind: lora}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC662",
        title="nothing to merge",
        cause="Full, partial and bias fine-tuning change the base model's own weights. Such a run already leaves a "
        "complete model, ready to load, serve and train further.",
        wrong="ftc run merge RUN -o merged/demo   # strategy: {kind: full}",
        right="model: {base: runs/demo/7f3a2b/model}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC663",
        title="not enough room for a model",
        cause="Before loading anything, ftc compares the size of the merged model with the free disk space, and the "
        "memory that merging needs with the free memory. Before a run is pulled, its size is compared likewise.",
        wrong="ftc run merge RUN -o merged/demo --dtype float32",
        right="ftc run merge RUN -o merged/demo --dtype bfloat16",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC664",
        title="merged model gives different outputs",
        cause="ftc loads the merged model and compares its outputs with those of the base model and adapter on the "
        "same rows. They differ by more than rounding explains, so the merged model was not kept. In 16 bits "
        "an update can be too small for the weight that it is added to.",
        wrong="ftc run merge RUN -o merged/demo --dtype float16",
        right="ftc run merge RUN -o merged/demo --dtype float32",
        exit_code=ExitCode.NOT_REPRODUCED,
    ),
    Code(
        id="FTC665",
        title="config.json is ambiguous",
        cause="A `config.json` that ftc writes keeps every key of the base model's own, so that transformers 4 and "
        "tools built on it read the same model as transformers 5. Some of these keys contradict each other or "
        "the trained model; each library would read another model.",
        wrong='{"rope_theta": 10000.0, "rope_parameters": {"rope_theta": 100000.0}}',
        right='{"rope_theta": 100000.0, "rope_parameters": {"rope_theta": 100000.0}}',
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC687",
        title="a run that can't be used for predictions",
        cause="Predictions need what a finished run trained, and the base model that its lock names. One of these is "
        "not here, or the model does not do what it was asked for, such as writing text.",
        wrong="ftc predict 7f3a2b 'Where is my parcel?'   # interrupted at step 40",
        right="ftc apply recipe.yaml && ftc predict 7f3a2b 'Where is my parcel?'",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC688",
        title="rows without a column that the run reads",
        cause="Rows to predict for need the columns of the run's input. Labels and answers are not needed, and not "
        "read. A text alone is enough where a row has one input.",
        wrong="ftc predict 7f3a2b --data new.csv   # the text is in `Body`, the run was trained on `text`",
        right="sed -i '1s/Body/text/' new.csv && ftc predict 7f3a2b --data new.csv",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC689",
        title="nothing to predict for",
        cause="Standard input, or the list of rows, has no text.",
        wrong="ftc predict 7f3a2b - < /dev/null",
        right="echo 'Where is my parcel?' | ftc predict 7f3a2b -",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC690",
        title="rows without a prediction",
        cause="Some rows have no text, or are too long to be truncated. All other rows have a prediction; these have "
        "a reason instead.",
        wrong='{"text": ""}',
        right='{"text": "Where is my parcel?"}',
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC691",
        title="rows that were truncated",
        cause="A run reads at most `data.max_length` tokens of a row. What follows did not count for the prediction.",
        wrong="data: {max_length: 64}",
        right="data: {max_length: 512}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC692",
        title="a page that can't be drawn",
        cause="The run is finished, and everything that was measured is on disk. While its report or model card was "
        "drawn, ftc met a bug. The page is missing; nothing else is.",
        wrong="ftc apply recipe.yaml   # report.html: ValueError",
        right="ftc show 7f3a2b   # draws what is missing, with a release that can",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC781",
        title="run that can't be profiled",
        cause="`ftc run profile` does a run's first steps once more in one process, two before those that it "
        "measures. A run of several processes waits for their exchange, and one that was pulled has no rows.",
        wrong="ftc run profile 7f3a2b --steps 100   # of 60 steps",
        right="ftc run profile 7f3a2b --steps 3",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
)
