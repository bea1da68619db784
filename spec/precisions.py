"""Precisions of training: one card each, with every fact about it. The torch half is `ftc.runtime.models.number_types`.

To add one, write its card here; settings, rules, memory and time estimates, solver, views, importers and docs ask it.

A precision says in which type products of matrices are computed (torch's autocast), and in which types weights are
held. Gradients have the type of their weights. What an optimizer keeps is a fact of its own card.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ftc.spec.module_names import part_of

if TYPE_CHECKING:
    from ftc.spec.documents.facts import DeviceFacts

__all__ = [
    "FIRST_CHOICE",
    "FLOAT8",
    "FLOAT8_SINCE",
    "NUMBER_TYPES",
    "PRECISIONS",
    "AskedPrecision",
    "AskedType",
    "Float8Products",
    "NumberType",
    "Precision",
    "PrecisionCard",
    "TypeName",
    "asks_float8",
    "choices_without_scaling",
    "computes_in_float8",
    "number_type",
    "precision_card",
    "trained_type",
    "usual_precision",
    "with_trained",
]


class NumberType(NamedTuple):
    """A type of floating-point numbers.

    Attributes:
        name: As torch, data sheets and recipes name it.
        stored: As safetensors names it.
        size: Bytes of an element.
        largest: Its largest number, as people write it.
        digits: Significant bits: the smallest change of a number is 2**-digits of it, smaller ones are rounded away.
        since: CUDA's (major, minor) from which a GPU's tensor cores compute in it.
        merge_error: Largest difference of a model's scores, as a share of their spread, that rounding weights to it
            explains.
    """

    name: str
    stored: str
    size: int
    largest: str
    digits: int
    since: tuple[int, int]
    merge_error: float


_FLOAT32 = NumberType(name="float32", stored="F32", size=4, largest="3.4e38", digits=24, since=(0, 0), merge_error=1e-4)
_BFLOAT16 = NumberType(
    name="bfloat16", stored="BF16", size=2, largest="3.4e38", digits=8, since=(8, 0), merge_error=0.05
)
_FLOAT16 = NumberType(name="float16", stored="F16", size=2, largest="65,504", digits=11, since=(7, 0), merge_error=0.01)

NUMBER_TYPES: tuple[NumberType, ...] = (_FLOAT32, _BFLOAT16, _FLOAT16)
"""Every type that weights may be held and written in, the most exact first."""


FLOAT8 = "float8"
"""What data sheets call the rate of products in 8 bits."""
FLOAT8_SINCE = (8, 9)
"""CUDA's (major, minor) from which a GPU's tensor cores compute in it."""
_FLOAT8_MULTIPLE = 16
"""cuBLAS multiplies matrices in 8 bits whose rows have a multiple of so many numbers."""


class Float8Products(NamedTuple):
    """How torchao.float8 computes products of trained linear layers in training.

    Both factors are rounded to 8 bits, with a scale of its own for each tensor or row; the product comes out in
    the precision's other type. Validation and test compute as everybody does who loads the result, without it.

    Attributes:
        recipe: torchao's name for what shares a scale, and for what stays in 16 bits.
        exact_gradients: Whether gradients of weights are computed in the precision's other type, as they come in.
    """

    recipe: str
    exact_gradients: bool


class PrecisionCard(NamedTuple):
    """One precision.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        products: Type in which products of matrices are computed.
        trained: Type of weights that are trained, and of their gradients. In 16 bits only optimizers that keep what
            rounding takes of an update train them, and only strategies that train the model's own weights.
        frozen: Type of weights that are not, unless they are quantized.
        scales_loss: Whether gradients underflow in it unless the loss is scaled (Micikevicius et al. 2018).
        auto: Its place among those that `auto` tries on a GPU, the first that is fast there; None for one that has to
            be asked for.
        overflows: Model types whose pretrained weights give activations beyond its largest number: T5's as transformers
            has it (`wo` stays in float32), Gemma's as its users reported.
        isolation: Nats by which a row's mean loss may differ between a pack and the row alone; other rows in sight
            change it by tenths at the least.
        float8: How products of trained linear layers are computed in 8 bits; None where they are as all others.
    """

    kind: str
    label: str
    products: NumberType
    trained: NumberType
    frozen: NumberType
    scales_loss: bool
    auto: int | None
    overflows: frozenset[str]
    isolation: float
    float8: Float8Products | None

    @property
    def is_mixed(self) -> bool:
        """Whether products are computed in fewer bits than losses and norms, under autocast."""
        return self.products.size < _FLOAT32.size

    @property
    def fewest_bits(self) -> str:
        """Name of the type with the fewest bits that it computes in."""
        return FLOAT8 if self.float8 is not None else self.products.name

    def base_type(self, *, is_whole: bool) -> NumberType:
        """The type of the base model's weights.

        Args:
            is_whole: Whether the strategy trains weights of the model itself; those that it leaves are then held alike.
        """
        return self.trained if is_whole else self.frozen

    def is_fast_on(self, device: DeviceFacts) -> bool:
        """Whether a device computes products in it at full speed."""
        if self.float8 is not None:
            return device.capability is not None and device.capability >= FLOAT8_SINCE
        if self.products is _BFLOAT16:
            return device.has_bfloat16
        if not self.is_mixed:
            return True
        if device.capability is not None:
            return device.capability >= self.products.since
        return device.speed is not None and self.products.name in device.speed.flops

    def float8_time(self, device: DeviceFacts) -> float | None:
        """Time of a product in 8 bits by that of one in `products` on a device; None where its rates aren't known."""
        rates = {} if device.speed is None else device.speed.flops
        usual, eight = rates.get(self.products.name), rates.get(FLOAT8)
        return None if usual is None or eight is None else usual / eight


_NONE: frozenset[str] = frozenset()


def _in_float8(kind: str, label: str, recipe: str, *, exact_gradients: bool) -> PrecisionCard:
    """bfloat16 but for the products of trained linear layers."""
    return PrecisionCard(
        kind=kind,
        label=label,
        products=_BFLOAT16,
        trained=_FLOAT32,
        frozen=_BFLOAT16,
        scales_loss=False,
        auto=None,
        overflows=_NONE,
        isolation=0.1,
        float8=Float8Products(recipe=recipe, exact_gradients=exact_gradients),
    )


PRECISIONS: tuple[PrecisionCard, ...] = (
    PrecisionCard(
        kind="float32",
        label="float32",
        products=_FLOAT32,
        trained=_FLOAT32,
        frozen=_FLOAT32,
        scales_loss=False,
        auto=2,
        overflows=_NONE,
        isolation=1e-3,
        float8=None,
    ),
    PrecisionCard(
        kind="bfloat16",
        label="bfloat16",
        products=_BFLOAT16,
        trained=_FLOAT32,
        frozen=_BFLOAT16,
        scales_loss=False,
        auto=0,
        overflows=_NONE,
        isolation=0.1,
        float8=None,
    ),
    PrecisionCard(
        kind="float16",
        label="float16 with loss scaling",
        products=_FLOAT16,
        trained=_FLOAT32,
        frozen=_FLOAT16,
        scales_loss=True,
        auto=1,
        overflows=frozenset(("gemma2", "gemma3", "gemma3_text", "longt5", "mt5", "t5", "umt5")),
        isolation=0.02,
        float8=None,
    ),
    PrecisionCard(
        kind="pure_bfloat16",
        label="pure bfloat16",
        products=_BFLOAT16,
        trained=_BFLOAT16,
        frozen=_BFLOAT16,
        scales_loss=False,
        auto=None,
        overflows=_NONE,
        isolation=0.1,
        float8=None,
    ),
    _in_float8("float8", "float8 with a scale for each tensor", "tensorwise", exact_gradients=False),
    _in_float8("float8_rowwise", "float8 with a scale for each row", "rowwise", exact_gradients=False),
    _in_float8(
        "float8_rowwise_with_gw_hp",
        "float8 with a scale for each row, gradients of weights in bfloat16",
        "rowwise_with_gw_hp",
        exact_gradients=True,
    ),
)
"""Every precision, in the order in which a recipe's are listed."""

FIRST_CHOICE = min((card for card in PRECISIONS if card.auto is not None), key=lambda card: card.auto or 0)
"""What `auto` takes on a GPU that is fast at it."""

_BY_KIND = {card.kind: card for card in PRECISIONS}
_BY_NAME = {one.name: one for one in NUMBER_TYPES}

if TYPE_CHECKING:
    Precision = str
    AskedPrecision = str
    TypeName = str
    AskedType = str
else:
    Precision = Literal[tuple(_BY_KIND)]
    AskedPrecision = Literal[("auto", *_BY_KIND)]
    TypeName = Literal[tuple(_BY_NAME)]
    AskedType = Literal[("auto", *_BY_NAME)]
"""What plans and recipes may write; the cards decide, so that mypy sees a text and pydantic the names."""


def precision_card(kind: str) -> PrecisionCard:
    """The card of a kind that a plan names."""
    return _BY_KIND[kind]


def asks_float8(asked: AskedPrecision) -> bool:
    """Whether a recipe's word means products in 8 bits, which need torchao; `auto` never does."""
    return asked != "auto" and _BY_KIND[asked].float8 is not None


def trained_type(asked: AskedPrecision) -> NumberType:
    """The type of trained weights, by a recipe's word; those that `auto` chooses among have one in common."""
    return (FIRST_CHOICE if asked == "auto" else _BY_KIND[asked]).trained


def with_trained(trained: NumberType, asked: AskedPrecision) -> PrecisionCard:
    """The precision that is most like a recipe's and trains weights of a type."""
    products = (FIRST_CHOICE if asked == "auto" else _BY_KIND[asked]).products
    fitting = [card for card in PRECISIONS if card.trained == trained]
    return next((card for card in fitting if card.products == products), fitting[0])


def usual_precisions(device: DeviceFacts, model_type: str = "") -> tuple[PrecisionCard, ...]:
    """Those that `auto` may take on a GPU, for a model of a type, its first choice first."""
    ranked = [(card.auto, card) for card in PRECISIONS if card.auto is not None]
    able = [(rank, card) for rank, card in ranked if card.is_fast_on(device) and model_type not in card.overflows]
    return tuple(card for _, card in sorted(able, key=lambda pair: pair[0]))


def usual_precision(device: DeviceFacts, model_type: str = "") -> PrecisionCard:
    """What `auto` takes on a device, for a model of a type; a CPU computes in float32."""
    return PRECISIONS[0] if device.kind == "cpu" else usual_precisions(device, model_type)[0]


def choices_without_scaling() -> str:
    """What to train with where gradients overflow, in words."""
    exact, *fast = [card for card in PRECISIONS if not card.scales_loss]
    names = dict.fromkeys(card.products.name for card in fast)
    return f"`precision: {exact.kind}`, or in {' or '.join(names)} on a GPU that has it"


def computes_in_float8(name: str, inputs: int, outputs: int) -> bool:
    """Whether a linear layer is among those whose products can be in 8 bits: one of the model's own layers.

    The output over the vocabulary and new heads stay as they are, as torchao's authors advise, and so does a layer of a
    width that cuBLAS doesn't take.
    """
    fits = inputs % _FLOAT8_MULTIPLE == 0 and outputs % _FLOAT8_MULTIPLE == 0
    return fits and part_of(f"{name}.weight").kind == "layer"


def number_type(name: str) -> NumberType:
    """The type of a name that a plan has."""
    return _BY_NAME[name]
