"""Codes 245 to 249, what a run finds about its training and its result."""

from ftc.spec.codes._code import Code, Severity

CODES: tuple[Code, ...] = (
    Code(
        id="FTC245",
        title="classes that are never predicted",
        cause="The tuned model gives no test row these classes, though some rows have them. Accuracy hides that where "
        "the classes are rare; macro F1 counts each of them as 0. Usually training was too short, or its learning rate "
        "too low; with rare classes the rows may be too few.",
        wrong="train: {epochs: 1, learning_rate: 1e-5}",
        right="train: {epochs: 8}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC246",
        title="not better than a simple baseline",
        cause="A model that is fitted on the same training rows in seconds scores as high on the test rows: the most "
        "frequent label, logistic regression over TF-IDF weights, or the label of the most similar training row. An "
        "untuned base with a randomly initialized head scores no better than chance, so a gain over it shows little.",
        wrong="train: {max_steps: 20}",
        right="train: {epochs: 8}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC247",
        title="validation was still improving",
        cause="The last evaluation on validation has the lowest loss, at least 2 % below all before it, or the best "
        "value of the metric that selects the checkpoint, at least 0.02 above all before it. More steps would probably "
        "have improved it further. The learning rate falls towards the end, so a longer run is a new "
        "plan, not a continuation.",
        wrong="train: {epochs: 3}  # validation loss 1.26, 1.11, 0.99",
        right="train: {epochs: 6}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC248",
        title="learning rate at the edge",
        cause="Training loss loses a quarter of its fall again, or ends above where it began, which a learning rate "
        "that is too high causes, or it never fell, which one that is too low causes.",
        wrong="train: {learning_rate: 0.05}  # loss 0.7, then 1.9",
        right="train: {learning_rate: 1e-3}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC249",
        title="nearly every gradient is clipped",
        cause="The gradient norm was above `train.max_grad_norm` in at least 95 % of the steps, so that the bound, and "
        "not the loss, sets how long gradients are. With Adam this is often harmless; a learning rate at the edge "
        "looks the same.",
        wrong="train: {learning_rate: 0.01, max_grad_norm: 0.01}",
        right="train: {learning_rate: 1e-3, max_grad_norm: 1}",
        severity=Severity.NOTE,
    ),
    Code(
        id="FTC130",
        title="many steps were skipped",
        cause="Scaled gradients overflowed float16 in at least 5 % of the steps. Such a step is skipped and the scale "
        "halves, so that the rows of the step were read and changed no weight. A few skipped steps at the "
        "beginning are usual, until the scale fits.",
        wrong="train: {precision: float16}  # 31 of 300 steps skipped",
        right="train: {precision: float32}",
        severity=Severity.WARNING,
    ),
)
