"""Codes 440 to 451, 455 to 459: rewards, sampled answers, and models that score answers."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

_JUDGED = "task:\n  kind: reinforcement\n  rewards:\n    - {{kind: judge, judge: {{url: 'http://localhost:{}}}}}"

CODES: tuple[Code, ...] = (
    Code(
        id="FTC440",
        title="key that a reward does not read",
        cause="Each kind of reward reads some keys. Another key would change nothing, and whoever reads the recipe "
        "would believe that it does.",
        wrong="task:\n  kind: reinforcement\n  rewards:\n    - {kind: exact_match, tolerance: 0.1}",
        right="task:\n  kind: reinforcement\n  rewards:\n    - {kind: numeric_match, tolerance: 0.1}",
    ),
    Code(
        id="FTC441",
        title="reward without what it needs",
        cause="A reward can't be computed without a key that says what to search for.",
        wrong="task:\n  kind: reinforcement\n  rewards:\n    - {kind: regex}",
        right='task:\n  kind: reinforcement\n  rewards:\n    - {kind: regex, pattern: "^yes$"}',
    ),
    Code(
        id="FTC442",
        title="reward that can't be computed",
        cause="A pattern isn't a valid regular expression, a schema isn't a valid JSON schema, or no answer can "
        "satisfy the bounds.",
        wrong='task:\n  kind: reinforcement\n  rewards:\n    - {kind: regex, pattern: "(yes"}',
        right='task:\n  kind: reinforcement\n  rewards:\n    - {kind: regex, pattern: "(yes)"}',
    ),
    Code(
        id="FTC443",
        title="group that is not whole",
        cause="`train.batch_size` counts sampled answers, and each prompt of a step has `task.group_size` of them. An "
        "advantage compares an answer with its whole group.",
        wrong="task: {kind: reinforcement, group_size: 8, rewards: [{kind: exact_match}]}\ntrain: {batch_size: 12}",
        right="task: {kind: reinforcement, group_size: 8, rewards: [{kind: exact_match}]}\ntrain: {batch_size: 16}",
    ),
    Code(
        id="FTC444",
        title="pattern or schema that can't be applied",
        cause="A regular expression with nested repetitions can take longer than anybody waits on some texts. A reward "
        "must not depend on the clock, so that the run ends instead. The same holds for a pattern or a JSON schema "
        "that turns out to be invalid, or a schema that refers to another one. The checkpoint is intact.",
        wrong='task:\n  kind: reinforcement\n  rewards:\n    - {kind: regex, pattern: "^(a+)+$"}',
        right='task:\n  kind: reinforcement\n  rewards:\n    - {kind: regex, pattern: "^a+$"}',
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC445",
        title="divergence that a loss does not have",
        cause="RLOO is trained without a divergence from the base model here, so that `beta` would change nothing.",
        wrong="task: {kind: reinforcement, loss: rloo, beta: 0.1, rewards: [{kind: exact_match}]}",
        right="task: {kind: reinforcement, loss: grpo, beta: 0.1, rewards: [{kind: exact_match}]}",
    ),
    Code(
        id="FTC446",
        title="setting that sampled answers can't have",
        cause="Answers are sampled before each step and trained on as they are: they are not packed, and their labels "
        "are not smoothed. Nor are they reference answers, so that beside a teacher's loss nothing else counts. "
        "Answers that earn rewards are sampled by one process; those of distillation are shared by several devices. "
        "They are the model's own or the teacher's, not both.",
        wrong="task: {kind: reinforcement, rewards: [{kind: exact_match}]}\nbudget: {devices: 2}",
        right="task: {kind: reinforcement, rewards: [{kind: exact_match}]}",
    ),
    Code(
        id="FTC447",
        title="divergence from a base that is gone",
        cause="With `task.beta` the base model is asked by switching the adapter off. Full training and adapters that "
        "change the base's weights leave no base to ask.",
        wrong="task: {kind: reinforcement, beta: 0.04, rewards: [{kind: exact_match}]}\nstrategy: {kind: full}",
        right="task: {kind: reinforcement, beta: 0.04, rewards: [{kind: exact_match}]}\nstrategy: {kind: lora}",
    ),
    Code(
        id="FTC448",
        title="answers longer than the model's positions",
        cause="A prompt and its answer are one sequence, which has no more tokens than the model has positions.",
        wrong="task: {kind: reinforcement, max_new_tokens: 4096, rewards: [{kind: exact_match}]}  # 2,048 positions",
        right="task: {kind: reinforcement, max_new_tokens: 1024, rewards: [{kind: exact_match}]}",
    ),
    Code(
        id="FTC449",
        title="reward whose package is missing",
        cause="A reward is computed by a library of its own, which is not installed here.",
        wrong='task:\n  kind: reinforcement\n  rewards:\n    - {kind: json_schema, json_schema: "{}"}',
        right="pip install 'ftc[rewards]'",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC450",
        title="mean reward that did not rise",
        cause="The answers that the run sampled at its end earned no more than those at its beginning, beyond what "
        "chance explains. Either nothing was learned, or the model knew it before.",
        wrong="train: {learning_rate: 1e-7}",
        right="train: {learning_rate: 1e-5}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC451",
        title="groups without a difference",
        cause="An advantage compares an answer with the other answers to its prompt. Where all earned the same, the "
        "advantage of each is 0 and the group teaches nothing, at the full price of sampling it.",
        wrong="task: {kind: reinforcement, group_size: 2, rewards: [{kind: exact_match}]}",
        right="task: {kind: reinforcement, group_size: 16, rewards: [{kind: exact_match}]}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC455",
        title="code that can't be confined here",
        cause="A reward of kind `unit_tests` runs code that a model wrote, in a process that can only compute, by a "
        "filter of the Linux kernel (seccomp). This system has none, or doesn't let a process set one. Code is never "
        "run without it.",
        wrong="task: {kind: reinforcement, rewards: [{kind: unit_tests}]}  # on macOS",
        right="task: {kind: reinforcement, rewards: [{kind: unit_tests}]}  # on Linux, x86-64 or arm64",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC456",
        title="tests that can't be read",
        cause="A reward of kind `unit_tests` takes a row's reference for tests: a list of assert statements, Python "
        "code with assert statements, functions `test_…`, `check(candidate)` or classes of unittest, or pairs of input "
        "and output. A row without any could earn nothing, or everything.",
        wrong='{"prompt": "Write `add(a, b)`.", "tests": "it adds"}',
        right='{"prompt": "Write `add(a, b)`.", "tests": ["assert add(1, 2) == 3"]}',
    ),
    Code(
        id="FTC457",
        title="judge that gives no reply",
        cause="A reward of kind `judge` asks a service about each answer. The service can't be reached, or refused "
        "each of three attempts. An answer without a reply has no reward, and none is made up: the run ends behind its "
        "last checkpoint. A replay and a profile ask nobody and need every reply on record.",
        wrong=_JUDGED.format("1/v1', model: m"),
        right=_JUDGED.format("8000/v1', model: m"),
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC458",
        title="answers that a judge gave no grade",
        cause="The judge replied, but with no number from 1 to 10. Such an answer earns what the lowest grade earns, "
        "so that a model gains nothing by confusing its judge. Many of them say that the judge is too weak, or that "
        "`max_tokens` is too low for what it writes before the grade.",
        wrong=_JUDGED.format("8000/v1', model: m, max_tokens: 1"),
        right=_JUDGED.format("8000/v1', model: m"),
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC459",
        title="reward model that can't score these answers",
        cause="A reward model reads a prompt with a written answer and gives one number. The model that is named gives "
        "none or several, scores steps without being named by its run, or is the result of a run of another task; "
        "`aggregate` is there for a model that scores no steps; its chat template can't write the rows, or changes "
        "answers in a way that isn't known of reasoning; rows and answers are longer than it can read; a score is no "
        "finite number, which a number type that overflows gives; or the task writes no answers.",
        wrong="task: {kind: classification}\neval: {reward_model: {base: 'run:helpful'}}",
        right="task: {kind: generation}\neval: {reward_model: {base: 'run:helpful'}}",
    ),
)
