"""Every protocol by verb and name, those of the published tables among them."""

from __future__ import annotations

from typing import Literal, overload

from egno_md.core.errors import SpecError
from egno_md.paper.spec import BenchmarkProtocol
from egno_md.paper.stress.spec import StressProtocol
from egno_md.spec.base import Spec
from egno_md.spec.files import find_protocol, read_spec, suggest
from egno_md.spec.fit_potential import FitPotentialProtocol
from egno_md.spec.generate import GenerateProtocol
from egno_md.spec.parareal import PararealProtocol
from egno_md.spec.propagate import PropagateProtocol
from egno_md.spec.train import TrainProtocol

MODELS: dict[str, type[Spec]] = {
    "generate": GenerateProtocol,
    "train": TrainProtocol,
    "propagate": PropagateProtocol,
    "parareal": PararealProtocol,
    "fit-potential": FitPotentialProtocol,
    "benchmark": BenchmarkProtocol,
    "stress": StressProtocol,
}
Changes = dict[str, object] | None


@overload
def protocol(verb: Literal["generate"], name: str, changes: Changes = None) -> GenerateProtocol: ...
@overload
def protocol(verb: Literal["train"], name: str, changes: Changes = None) -> TrainProtocol: ...
@overload
def protocol(
    verb: Literal["propagate"], name: str, changes: Changes = None
) -> PropagateProtocol: ...
@overload
def protocol(verb: Literal["parareal"], name: str, changes: Changes = None) -> PararealProtocol: ...
@overload
def protocol(
    verb: Literal["fit-potential"], name: str, changes: Changes = None
) -> FitPotentialProtocol: ...
@overload
def protocol(
    verb: Literal["benchmark"], name: str, changes: Changes = None
) -> BenchmarkProtocol: ...
@overload
def protocol(verb: Literal["stress"], name: str, changes: Changes = None) -> StressProtocol: ...
def protocol(verb: str, name: str, changes: Changes = None) -> Spec:
    """Read a protocol.

    Args:
        verb: ``generate``, ``train``, ``propagate``, ``parareal``,
            ``fit-potential``, ``benchmark`` or ``stress``.
        name: a shipped name or a YAML file.
        changes: dotted keys and their values, such as ``{"sampling.length": "50 ps"}``.

    Raises:
        SpecError: no such verb or protocol, or a value that is not allowed.
    """
    if verb not in MODELS:
        verbs = list(MODELS)
        raise SpecError(f"'{verb}' has no protocols.{suggest(verb, verbs)} Known: {verbs}.")
    return read_spec(find_protocol(verb, name), MODELS[verb], changes)
