"""Conformance suites for parts of your own: a window source, a spatial layer, a potential.

Each raises `ContractError` naming what is not kept, by how much and what to do; tolerances are
arguments with named defaults. They need no pytest and run in any test of yours.
"""

from egno_md.nn.contract import check_layer
from egno_md.testing.potential import check_potential
from egno_md.testing.source import check_source

__all__ = ["check_layer", "check_potential", "check_source"]
