"""The untrained operators of the golden runs: `python -m tests.golden.make_bundles NAME ...`.

They were written once and are data: the scenarios load the files, and never draw weights anew.
What is written again has other bits wherever torch draws or multiplies differently. The same
holds for the relaxed water, whose name is `relaxed-water`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from openmm import app, unit

from egno_md.core.selection import reduce_system
from egno_md.core.system import System
from egno_md.md.build import load_system
from egno_md.md.engine import OpenMMEngine
from egno_md.nn.bundle import save_bundle
from egno_md.nn.card import OperatorCard
from egno_md.nn.operator import WindowOperator
from egno_md.nn.sampler import SamplerOperator
from egno_md.spec.network import Egno
from tests.conftest import make_card, make_operator, make_sampler

BUNDLES = Path(__file__).resolve().parent / "bundles"
SYSTEMS = Path(__file__).resolve().parent / "systems"


def water(name: str) -> WindowOperator:
    """Windows of 4 fs, so near to ballistic ones that some of them hold."""
    network = Egno(
        kind="egno", layers=1, hidden=8, vectors=3, modes=1, edges="radius", cutoff="0.28 nm"
    )
    system = load_system(name).system
    card = make_card(system, network)
    scales = card.scales.model_copy(
        update={"position_residual": 1e-4, "velocity_residual": 0.05, "neighbours": 5.0}
    )
    changes = {"scales": scales, "periodic": True, "time_points": (0.002, 0.004), "kelvin": 300.0}
    return untrained(card.model_copy(update=changes))


def backbone() -> WindowOperator:
    """Windows of 0.8 ps of chignolin's backbone, which move it a little."""
    network = Egno(
        kind="egno", layers=1, hidden=8, vectors=3, modes=1, output="direct",
        force_channel=False, edges="radius", cutoff="0.6 nm",
    )  # fmt: skip
    card = make_card(reduce_system(load_system("chignolin").system, "backbone"), network, 0.8)
    scales = card.scales.model_copy(
        update={"position_residual": 0.03, "velocity_residual": 1.0, "length": 0.1}
    )
    changes = {"atoms": "backbone", "kelvin": 300.0, "system": "chignolin", "scales": scales}
    return untrained(card.model_copy(update=changes), 1.7)


def untrained(card: OperatorCard, share: float = 1.0) -> WindowOperator:
    """Weights as they are drawn, or a share of each."""
    torch.manual_seed(0)
    operator = WindowOperator(card)
    with torch.no_grad():
        for parameter in operator.parameters():
            parameter.mul_(share)
    return operator.eval()


def sampler(system: System, steepness: float = 0.3) -> SamplerOperator:
    """Draws whose time points are 0.1 ps apart, so that MD in their place is short."""
    drawn = make_sampler(system)
    moves = tuple(0.3 * d for d in drawn.card.displacements)
    changes = {"time_points": (0.1, 0.2, 0.3, 0.4), "displacements": moves}
    card = drawn.card.model_copy(update=changes)
    operator = SamplerOperator(card)
    operator.load_state_dict(drawn.state_dict())
    with torch.no_grad():
        operator.field.final[-1].weight.mul_(steepness)
    return operator.eval()


OPERATORS: dict[str, Callable[[], WindowOperator | SamplerOperator]] = {
    "ethanol": lambda: make_operator(load_system("ethanol").system),
    "waterbox": lambda: water("waterbox"),
    "waterbox-rigid": lambda: water("waterbox-rigid"),
    "chignolin-backbone": backbone,
    "ala2-sampler": lambda: sampler(load_system("ala2/hmr").system),
}


def relax_water() -> None:
    """The shipped rigid water where a minimiser has nothing left to do: it would take 14 s."""
    built = load_system("waterbox-rigid")
    engine = OpenMMEngine(built, timestep=0.001, kelvin=300.0, friction=5.0, seed=1)
    positions = engine.start().positions
    folder = SYSTEMS / "waterbox-rigid"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "water.pdb").open("w") as file:
        app.PDBFile.writeFile(built.topology, positions * unit.nanometer, file)
    text = (built.folder / "system.yaml").read_text()
    text = text.replace("../waterbox/waterbox.pdb", "water.pdb")
    (folder / "system.yaml").write_text(text)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        if name == "relaxed-water":
            relax_water()
        else:
            save_bundle(BUNDLES / name, OPERATORS[name]())
