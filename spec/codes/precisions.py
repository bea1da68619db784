"""Codes of precisions: what devices, models, strategies and optimizers do not do well in 16 bits."""

from ftc.spec.codes._code import Code, Severity

CODES: tuple[Code, ...] = (
    Code(
        id="FTC227",
        title="decay that rounding undoes",
        cause="An optimizer that keeps its averages in bfloat16 multiplies them with `beta1` and `beta2` in each step. "
        "bfloat16 has 8 significant bits, so that a number less 0.1 % of it is rounded back to the number: the "
        "average of squared gradients would never shrink, and steps would stay small after one large gradient. An "
        "average of bfloat16 weights (`ema_decay`, `average_checkpoints`) would hardly move, or not at all.",
        wrong="strategy: {kind: full}\ntrain: {precision: pure_bfloat16, optimizer: {beta2: 0.999}}",
        right="strategy: {kind: full}\ntrain: {precision: pure_bfloat16, optimizer: {beta2: 0.99}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC288",
        title="slow precision on this CPU",
        cause="The CPU has no instructions for this type and converts each number: results are right, but the "
        "run is many times slower than in float32.",
        wrong="train: {precision: float16}  # on a CPU",
        right="train: {precision: auto}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC289",
        title="model overflows float16",
        cause="float16 has no number above 65,504, and pretrained models of this type have larger activations. The run "
        "stops where a loss is not finite. bfloat16 and float32 have room for them.",
        wrong="model: {base: google/gemma-2-2b}\ntrain: {precision: float16}",
        right="model: {base: google/gemma-2-2b}\ntrain: {precision: float32}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC228",
        title="training in 16 bits alone",
        cause="Weights, gradients and the optimizer's averages are bfloat16 numbers with 8 significant bits. Kahan "
        "summation keeps what rounding takes of each update; what it takes of gradients, of their sum over a step "
        "and of the averages is lost. Compare the result with a run in `bfloat16` where that fits.",
        wrong="strategy: {kind: full}\ntrain: {precision: pure_bfloat16}",
        right="train: {precision: bfloat16}",
        severity=Severity.NOTE,
    ),
    Code(
        id="FTC298",
        title="adapter in 16 or 8 bits",
        cause="`pure_bfloat16` saves memory where a model's own weights are trained, each of which otherwise has a "
        "float32 copy, gradient and optimizer state. An adapter has few weights: in float32 they take little, and "
        "the frozen base is in bfloat16 already. `float8` saves time where a layer has three products in training; "
        "beside an adapter it has two, and torchao would compute the third, the gradient of frozen weights, as well.",
        wrong="strategy: {kind: lora}\ntrain: {precision: pure_bfloat16}",
        right="strategy: {kind: lora}\ntrain: {precision: bfloat16}",
    ),
    Code(
        id="FTC299",
        title="optimizer for weights of another type",
        cause="A bfloat16 weight has 8 significant bits: an update of less than about 0.2 % of it is rounded away, and "
        "most updates are smaller. `adamw_kahan` keeps what rounding takes and adds it later. The other optimizers "
        "don't, so they train float32 weights only, where there is nothing to keep.",
        wrong="strategy: {kind: full}\ntrain: {precision: pure_bfloat16, optimizer: {kind: adamw}}",
        right="strategy: {kind: full}\ntrain: {precision: pure_bfloat16, optimizer: {kind: adamw_kahan}}",
    ),
    Code(
        id="FTC257",
        title="weights that can't be rounded in training",
        cause="Quantization-aware training rounds a model's own weights in each pass, or their sum with LoRA's two "
        "matrices, as they will be when they are exported. Other adapters, DoRA and an adapter's dropout change what "
        "such a sum doesn't hold, a `pure_bfloat16` weight is rounded already, `float8` rounds it in another way, and "
        "8-bit weights have a scale for each row, so that they have no groups.",
        wrong="strategy: {kind: qlora}\ntrain: {quantize_aware: {weights: int4}}",
        right="strategy: {kind: lora}\ntrain: {quantize_aware: {weights: int4}}",
    ),
    Code(
        id="FTC258",
        title="no layer is rounded in training",
        cause="Quantization-aware training rounds linear layers whose rows are a whole number of groups, and `float8` "
        "trained linear layers whose widths are multiples of 16. This model has none, its layers are no linear ones of "
        "PyTorch's (GPT-2), or it is a mixture of experts, each layer of which is one tensor.",
        wrong="strategy: {kind: full}\ntrain: {quantize_aware: {weights: int4, group_size: 4096}}   # rows of 576",
        right="strategy: {kind: full}\ntrain: {quantize_aware: {weights: int4, group_size: 32}}",
    ),
)
