"""Observables of a reference and a rollout, and what their difference means."""

from egno_md.analysis.compare import compare
from egno_md.analysis.observable import Comparison

__all__ = ["Comparison", "compare"]
