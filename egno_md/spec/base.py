"""The base of every spec, and the types of quantities with units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from egno_md.core.errors import SpecError, WindowMismatch
from egno_md.core.units import Dimension, format_quantity, parse_quantity, whole_multiple


class Spec(BaseModel):
    """Immutable, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def former(cls, content: dict[str, Any]) -> dict[str, Any] | None:
        """Content of an earlier version in today's form; None where it is of today."""
        del content
        return None


@dataclass(frozen=True)
class Quantity(BeforeValidator):
    """Reads a quantity with its unit; keeps its dimension for the description of fields."""

    dimension: Dimension = "time"


def _reader(dimension: Dimension) -> Quantity:
    def read(value: object) -> float:
        try:
            return parse_quantity(value, dimension)
        except SpecError as error:
            raise ValueError(str(error.args[0])) from None

    return Quantity(read, dimension=dimension)


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be greater than zero.")
    return value


def _not_negative(value: float) -> float:
    if value < 0:
        raise ValueError("must not be negative.")
    return value


BOUNDS: dict[object, str] = {_positive: "> 0", _not_negative: "≥ 0"}
"""The bounds of quantities, for the description of fields."""


def check_whole(total: float, part: float, name: str, part_name: str) -> None:
    """Refuse a time that is no whole number of others.

    Raises:
        ValueError: see `whole_multiple`.
    """
    try:
        whole_multiple(total, part, name, part_name)
    except WindowMismatch as error:
        raise ValueError(error.args[0]) from None


def _writer(dimension: Dimension) -> PlainSerializer:
    return PlainSerializer(lambda value: format_quantity(value, dimension), return_type=str)


Positive = Annotated[int, Field(ge=1)]
Time = Annotated[float, _reader("time"), AfterValidator(_positive), _writer("time")]
Duration = Annotated[float, _reader("time"), AfterValidator(_not_negative), _writer("time")]
WallTime = Annotated[float, _reader("wall time"), AfterValidator(_positive), _writer("wall time")]
Memory = Annotated[float, _reader("memory"), AfterValidator(_positive), _writer("memory")]
Length = Annotated[float, _reader("length"), AfterValidator(_positive), _writer("length")]
Temperature = Annotated[
    float, _reader("temperature"), AfterValidator(_positive), _writer("temperature")
]
Rate = Annotated[float, _reader("rate"), AfterValidator(_positive), _writer("rate")]
Pressure = Annotated[float, _reader("pressure"), AfterValidator(_positive), _writer("pressure")]
Mass = Annotated[float, _reader("mass"), AfterValidator(_positive), _writer("mass")]
Stiffness = Annotated[
    float, _reader("stiffness"), AfterValidator(_not_negative), _writer("stiffness")
]
Force = Annotated[float, _reader("force"), AfterValidator(_positive), _writer("force")]
