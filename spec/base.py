"""What every typed document is made of: frozen models, exact numbers, units with names."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
)

from ftc.spec import canonical

__all__ = [
    "Bandwidth",
    "Bytes",
    "Document",
    "Effect",
    "Money",
    "MoneyText",
    "Power",
    "Real",
    "SealedDocument",
    "Seconds",
    "SparseDocument",
    "Throughput",
    "parse_bandwidth",
    "parse_bytes",
    "parse_duration",
    "parse_money",
    "parse_power",
    "parse_throughput",
]


class Effect(StrEnum):
    """What a changed value changes; from it `ftc plan` derives what has to be done again."""

    NUMERICS = "result"
    DATA = "data"
    EVAL = "evaluation"
    RESOURCE = "resources"
    COSMETIC = "nothing"

    @property
    def words(self) -> str:
        """The effect as a phrase."""
        kept = {
            Effect.RESOURCE: "changes time or memory, not the result",
            Effect.COSMETIC: "does not change the result",
        }
        return kept.get(self, f"changes the {self.value}")


_BYTE_UNITS = {
    **{"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
    **{"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40},
}
_RATE_UNITS = {"Gbit/s": 10**9 // 8, "GB/s": 10**9, "TB/s": 10**12}
_FLOP_UNITS = {"GFLOP/s": 10**9, "TFLOP/s": 10**12, "PFLOP/s": 10**15}
_POWER_UNITS = {"W": 1, "kW": 1000}
_SECOND_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_QUANTITY = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s?([A-Za-z]{1,5}(?:/s)?)")
_MONEY = re.compile(r"(\d{1,12}(?:\.\d{1,4})?)\s?([A-Z]{3})")


class Document(BaseModel):
    """Base of every document: immutable, no unknown keys, no silent conversion.

    The string under a field is its documentation; `ftc.spec.language.section_tree` reads it from the source when asked,
    so that no start-up pays for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def usual(cls) -> Self:
        """The document with every field at its default; it needs no validator, so that none is built for it."""
        return cls.model_construct()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values of some fields, and without what was computed of the old ones and kept."""
        copied = super().model_copy(update=update, deep=deep)
        for name in vars(copied).keys() - type(self).model_fields.keys():
            del vars(copied)[name]
        return copied

    def to_json(self) -> dict[str, Any]:
        """The document as JSON values, in which numbers that are not integers are decimal strings."""
        plain = canonical.canonical(self.model_dump(mode="json", by_alias=True))
        assert isinstance(plain, dict)
        return plain

    def said(self) -> dict[str, Any]:
        """The JSON values that differ from the defaults: what somebody said, and no more when the language grows."""
        plain = canonical.canonical(self.model_dump(mode="json", by_alias=True, exclude_defaults=True))
        assert isinstance(plain, dict)
        return plain

    def to_text(self) -> str:
        """The document as the text of its file."""
        return canonical.to_text(self.to_json())

    def to_line(self) -> bytes:
        """The document as a line of a file that has many."""
        return json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True).encode() + b"\n"

    def digest(self) -> str:
        """sha256 of the document's canonical form."""
        return canonical.digest(self.to_json())


class SparseDocument(Document):
    """A document that leaves some fields out while they have their default.

    So a field that is added later changes no byte, and no digest, of the documents that don't use it.
    """

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ()
    """Names of these fields; those of a subclass are added to its bases'."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        defaults = _defaults_of(type(self))
        written: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in written.items()
            if name not in defaults or getattr(self, name) != defaults[name]
        }


@cache
def _defaults_of(document: type[SparseDocument]) -> dict[str, object]:
    """The defaults of the fields that a document leaves out while they have them."""
    names = {name for base in document.__mro__ for name in vars(base).get("ABSENT_AT_DEFAULT", ())}
    return {name: document.model_fields[name].get_default(call_default_factory=True) for name in names}


class SealedDocument(Document):
    """A document that holds the digest of its own contents, so that a change of a byte shows."""

    sha256: str = ""
    """Digest of the document without this field."""

    def expected_sha256(self) -> str:
        """The digest that the contents call for."""
        return self.model_copy(update={"sha256": ""}).digest()

    def sealed(self) -> Self:
        """A copy with the right digest."""
        return self.model_copy(update={"sha256": self.expected_sha256()})


def _real(value: object, info: ValidationInfo) -> object:
    if info.mode == "json" and isinstance(value, str):  # canonical JSON writes decimals as text
        return float(value)
    return float(value) if type(value) is int else value


Real = Annotated[float, BeforeValidator(_real), PlainSerializer(canonical.decimal_text, str, "json")]
"""A finite float that is a decimal string in canonical JSON and a plain number in a recipe."""


def parse_bytes(text: str) -> int:
    """Bytes in `24GiB`, `512 MiB` or `80GB`.

    Raises:
        ValueError: The text is no size; the message names the units.
    """
    return round(_quantity(text, _BYTE_UNITS, "24GiB"))


def parse_duration(text: str) -> int:
    """Seconds in `2h`, `90 min` or `1.5d`, rounded up.

    Raises:
        ValueError: The text is no duration; the message names the units.
    """
    return math.ceil(_quantity(text, _SECOND_UNITS, "2h"))


def parse_bandwidth(text: str) -> int:
    """Bytes a second in `768 GB/s`, `3.35 TB/s` or `400 Gbit/s`.

    Raises:
        ValueError: The text is no such rate; the message names the units.
    """
    return round(_quantity(text, _RATE_UNITS, "768 GB/s"))


def parse_throughput(text: str) -> int:
    """Operations a second in `165 TFLOP/s`.

    Raises:
        ValueError: The text is no such rate; the message names the units.
    """
    return round(_quantity(text, _FLOP_UNITS, "165 TFLOP/s"))


def parse_power(text: str) -> int:
    """Watts in `450 W` or `0.7 kW`.

    Raises:
        ValueError: The text is no power; the message names the units.
    """
    return round(_quantity(text, _POWER_UNITS, "450 W"))


def parse_money(text: str) -> tuple[float, str]:
    """Amount and ISO 4217 currency code in `5 USD`.

    Raises:
        ValueError: The text is no amount of money.
    """
    if not (match := _MONEY.fullmatch(text)):
        raise ValueError("an amount and a currency code are expected, such as `5 USD`")
    return float(match[1]), match[2]


def _quantity(text: str, units: dict[str, int], example: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if not match or match[2] not in units:
        raise ValueError(f"a number and a unit ({', '.join(units)}) are expected, such as `{example}`")
    return float(match[1]) * units[match[2]]


def _from_text(parse: Callable[[str], object]) -> BeforeValidator:
    """Reads a quantity with its unit; a bare number is one only in ftc's own documents."""

    def read(value: object, info: ValidationInfo) -> object:
        if isinstance(value, str) or (info.mode == "python" and isinstance(value, int | float)):
            return parse(str(value))
        return value

    return BeforeValidator(read)


class Money(Document):
    """An amount of money."""

    amount: Real
    currency: str
    """ISO 4217 code."""


def _money(text: str) -> object:
    amount, currency = parse_money(text)
    return {"amount": amount, "currency": currency}


Bytes = Annotated[int, _from_text(parse_bytes)]
"""A size in bytes; a recipe writes it with a unit."""
Seconds = Annotated[int, _from_text(parse_duration)]
"""A duration in seconds; a recipe writes it with a unit."""
Bandwidth = Annotated[int, _from_text(parse_bandwidth)]
"""Bytes a second; a recipe writes it with a unit."""
Throughput = Annotated[int, _from_text(parse_throughput)]
"""Operations a second; a recipe writes it with a unit."""
Power = Annotated[int, _from_text(parse_power)]
"""Watts; a recipe writes it with a unit."""
MoneyText = Annotated[Money, _from_text(_money)]
"""Money; a recipe writes it as `5 USD`."""
