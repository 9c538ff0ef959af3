"""The base of everything YAML may say, and the types of quantities with units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from egno_md.core.errors import SpecError
from egno_md.core.units import Dimension, format_quantity, parse_quantity


class Spec(BaseModel):
    """Immutable, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def former(cls, content: dict[str, Any]) -> dict[str, Any] | None:
        """What content written for an earlier version says in today's form; None of today's own."""
        del content
        return None


@dataclass(frozen=True)
class Quantity(BeforeValidator):
    """Reads a quantity with its unit; says which dimension, for those who describe fields."""

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
"""What the checks of quantities demand, for those who describe fields."""


def _writer(dimension: Dimension) -> PlainSerializer:
    return PlainSerializer(lambda value: format_quantity(value, dimension), return_type=str)


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
