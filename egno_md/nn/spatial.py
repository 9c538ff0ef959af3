"""The layers that a protocol names as `spatial` or `kind`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from torch import nn

from egno_md.core.errors import SpecError
from egno_md.nn.egnn import EgnnLayer
from egno_md.spec.network import Spatial

LayerFactory = Callable[[int, int], nn.Module]
"""Makes a `SpatialLayer` out of the channels per node and the scalars per edge."""

CLASSES: dict[Spatial, tuple[str, str]] = {
    "rf": ("radial_field", "RadialFieldLayer"),
    "mpnn": ("mpnn", "MessagePassingLayer"),
    "clofnet": ("clofnet", "ClofLayer"),
    "schnet": ("schnet", "SchNetLayer"),
    "painn": ("painn", "PainnLayer"),
    "tfn": ("tfn", "TfnLayer"),
    "se3-transformer": ("se3_transformer", "Se3TransformerLayer"),
    "segnn": ("segnn", "SegnnLayer"),
}
"""Module under `egno_md.nn.layers` and class; imported only when asked for."""


def layer_factory(kind: Spatial) -> LayerFactory:
    """The class of a `SpatialLayer` by name.

    Raises:
        SpecError: the layer needs e3nn, which is not installed.
    """
    if kind == "egnn":
        return EgnnLayer
    module, name = CLASSES[kind]
    try:
        return getattr(import_module(f"egno_md.nn.layers.{module}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "e3nn":
            raise
        raise SpecError(
            f"layers of the kind {kind} need e3nn, which is not installed. "
            "Run: pip install 'egno-md[e3nn]'"
        ) from None
