"""Every combination that cannot be run is refused by name, with a remedy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from egno_md.core.errors import BundleMismatch, DataError, EgnoMDError, SpecError, WindowMismatch
from egno_md.core.selection import reduce_system
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.md.build import BuiltSystem, load_system
from egno_md.propagate.requirements import (
    Extent,
    Model,
    check_boxes,
    check_free,
    check_rolls_out,
    check_whole,
    extent,
)
from egno_md.propagate.source import FunctionWindows
from egno_md.spec.propagate import PropagateProtocol
from tests.conftest import changed, make_card, make_operator, make_sampler

BASE: dict[str, Any] = {
    "length": "80 ps",
    "temperature": "300 K",
    "timestep": "1 fs",
    "boundary": {"kind": "langevin", "friction": "1 /ps"},
}
NONE, SHAPE = {"kind": "none"}, {"kind": "shape"}
SAMPLER = {"source": {"kind": "sampler"}, "judge": SHAPE}
METROPOLIS = {"source": {"kind": "metropolis"}, "judge": NONE}
EXACT = {"source": {"kind": "exact", "window": "8 fs", "points": 4}}
BAROSTAT = {"kind": "langevin", "friction": "1 /ps", "barostat": {"pressure": "1 bar"}}


@pytest.fixture(scope="module")
def flexible() -> BuiltSystem:
    return load_system("ethanol")


@pytest.fixture(scope="module")
def rigid() -> BuiltSystem:
    return load_system("ala2/hmr")


@pytest.fixture(scope="module")
def models(
    flexible: BuiltSystem, rigid: BuiltSystem
) -> dict[str, tuple[BuiltSystem, Model | None]]:
    """Operators and samplers with the systems that they are asked to move."""
    heavy = make_operator(reduce_system(rigid.system, "heavy")).bind()
    heavy.operator.card = heavy.card.model_copy(update={"atoms": "heavy"})
    uneven = make_operator(flexible.system).bind()
    uneven.operator.card = uneven.card.model_copy(update={"time_points": (0.002, 0.008)})
    boxed = replace(flexible, system=replace(flexible.system, box=np.eye(3)))
    still = make_sampler(flexible.system)
    still.card = changed(still.card, kelvin=None)
    function = FunctionWindows(lambda frame: Trajectory(frame.positions[None], np.zeros(1)),
                               Window.uniform(0.008, 4))  # fmt: skip
    return {
        "operator": (flexible, make_operator(flexible.system).bind()),
        "heavy": (rigid, heavy),
        "uneven": (flexible, uneven),
        "sampler": (rigid, make_sampler(rigid.system).bind(rigid.system)),
        "flexible sampler": (flexible, still.bind(flexible.system)),
        "none": (flexible, None),
        "boxed": (boxed, None),
        "function": (flexible, function),
    }


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("operator", {"judge": NONE, "correct": {"kind": "monitor"}},
     r"correct: nothing is judged \(judge\.kind: none\).* Leave out correct"),
    ("operator", {"refine": {"max_blocks": 3}},
     r"refine\.every: null refines bad windows alone.* Set refine\.every: 1"),
    ("operator", {"correct": {"kind": "redraw"}},
     r"correct\.kind: redraw, and source\.kind: operator proposes the same.* Leave out correct, for what suits"),
    ("none", {**EXACT, "correct": {"kind": "redraw"}},
     r"correct\.kind: redraw, and source\.kind: exact proposes the same"),
    ("none", {"source": {"kind": "exact", "window": "7 fs", "points": 4}},
     r"source\.window 7 fs is not a whole"),
    ("none", {**EXACT, "boundary": BAROSTAT},
     r"boundary\.barostat: ethanol has no periodic box.* Leave out barostat"),
    ("operator", {"boundary": BAROSTAT},
     r"boundary\.barostat: ethanol has no periodic box.* Leave out barostat"),
    ("sampler", {},
     r"source\.kind: operator, and the bundle holds a sampler.* sampler-300k"),
    ("operator", SAMPLER,
     r"source\.kind: sampler draws windows.* deterministic.* source\.kind: operator"),
    ("operator", METROPOLIS,
     r"source\.kind: metropolis draws windows.* deterministic.* source\.kind: operator"),
    ("uneven", {"record": {"save": "points"}},
     r"record\.save: points needs evenly spaced time points\. Use save: windows"),
    ("heavy", {},
     r"operator of ala2.* knows its atoms: heavy alone.* Add --refine every=1"),
    ("heavy", {"refine": {"every": 1}, "record": {"save": "points"}},
     r"record\.save: points would keep frames whose atoms besides heavy.* save: windows"),
    ("sampler", {**SAMPLER, "boundary": {"kind": "velocity-rescaling"}},
     r"boundary\.kind: velocity-rescaling acts between windows.* Set kind: langevin"),
    ("sampler", {**SAMPLER, "boundary": NONE},
     r"boundary\.kind: none acts between windows.* Set kind: langevin"),
    ("sampler", {**SAMPLER, "boundary": BAROSTAT},
     r"boundary\.barostat: samplers know no box\. Leave out barostat"),
    ("sampler", {"source": {"kind": "sampler"}},
     r"judge\.kind: energy: a draw has no velocities.* Set judge\.kind: shape"),
    ("sampler", {**SAMPLER, "correct": {"kind": "monitor"}},
     r"correct\.kind: monitor mends windows of dynamics\. Set correct\.kind: redraw"),
    ("sampler", {**SAMPLER, "correct": {"kind": "fallback"}},
     r"correct\.kind: fallback mends windows of dynamics\. Set correct\.kind: redraw"),
    ("sampler", {**SAMPLER, "workers": 2},
     r"workers: 2: a sampler's windows ask for no energies.*--batch"),
    ("sampler", {**SAMPLER, "temperature": "320 K"},
     r"temperature: 320 K, and the sampler of ala2.* at 300 K\. Set temperature: 300 K"),
    ("flexible sampler", {**SAMPLER, "timestep": "2 fs"},
     r"timestep: 2 fs is too long for ethanol without constraints.* constraints: h-bonds"),
    ("sampler", {**METROPOLIS, "refine": {"every": 1}},
     r"refine: a refined end is no state of the chain.* Leave out refine \(--refine never\)"),
    ("sampler", {"source": {"kind": "metropolis"}},
     r"judge\.kind: energy would pick among windows.* judge\.kind: none.*--policy off"),
    ("sampler", {**METROPOLIS, "judge": SHAPE, "correct": {"kind": "redraw"}},
     r"judge\.kind: shape would pick among windows.* judge\.kind: none and no correct"),
    ("sampler", {**METROPOLIS, "record": {"save": "points"}},
     r"record\.save: points: a Metropolis move has no time points\. Set save: windows"),
    ("sampler", {"source": {"kind": "metropolis", "dynamics": "1.5 fs"}, "judge": NONE},
     r"source\.dynamics 1\.5 fs is not a whole number of 1 fs timesteps"),
    ("operator", {"length": "9 fs"}, r"the length 9 fs is not a whole number of 8 fs windows"),
    ("sampler", {**SAMPLER, "length": "50 ps"}, r"the length 50 ps is not a whole number of 40 ps"),
    ("function", {"boundary": BAROSTAT},
     r"boundary\.barostat: ethanol has no periodic box.* Leave out barostat"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "members", "message"), REFUSED)
def test_what_cannot_be_run_is_refused_by_name(
    model: str,
    members: dict[str, Any],
    message: str,
    models: dict[str, tuple[BuiltSystem, Model | None]],
) -> None:
    protocol = PropagateProtocol.model_validate(BASE | members)
    with pytest.raises(EgnoMDError, match=message) as caught:
        extent(protocol, *models[model])
    assert isinstance(caught.value, (SpecError, BundleMismatch, WindowMismatch))


def test_a_molecule_that_cannot_turn_has_nothing_to_move(
    models: dict[str, tuple[BuiltSystem, Model | None]],
) -> None:
    built, model = models["flexible sampler"]
    protocol = PropagateProtocol.model_validate(BASE | METROPOLIS | {"timestep": "0.5 fs"})
    with pytest.raises(
        SpecError, match=r"ethanol has no rotatable bond.* Set source\.kind: sampler"
    ):
        extent(protocol, built, model)


@pytest.mark.parametrize(
    ("model", "members", "wanted"),
    [
        ("operator", {}, Extent(10_000, 0.008)),
        ("operator", {"judge": NONE, "refine": {"every": 2}}, Extent(10_000, 0.008)),
        ("operator", {"correct": {"kind": "refine"}, "refine": {}}, Extent(10_000, 0.008)),
        ("heavy", {"refine": {"every": 1}}, Extent(10_000, 0.008)),
        ("heavy", {"judge": NONE}, Extent(10_000, 0.008)),
        ("none", EXACT, Extent(10_000, 0.008)),
        ("function", {}, Extent(10_000, 0.008)),
        ("boxed", {**EXACT, "boundary": BAROSTAT}, Extent(10_000, 0.008)),
        ("sampler", SAMPLER, Extent(2, 40.0)),
        ("sampler", {**SAMPLER, "correct": {"kind": "redraw"}, "refine": {"every": 1}},
         Extent(2, 40.0)),
        ("sampler", {**SAMPLER, "record": {"save": "points"}}, Extent(2, 40.0)),
        ("sampler", {**SAMPLER, "temperature": "305 K"}, Extent(2, 40.0)),
        ("sampler", {**METROPOLIS, "workers": 2}, Extent(80, 1.0)),
    ],
)  # fmt: skip
def test_what_can_be_run_has_a_number_of_windows(
    model: str,
    members: dict[str, Any],
    wanted: Extent,
    models: dict[str, tuple[BuiltSystem, Model | None]],
) -> None:
    found = extent(PropagateProtocol.model_validate(BASE | members), *models[model])
    assert found.windows == wanted.windows
    assert found.window_ps == pytest.approx(wanted.window_ps)


def test_operators_whose_windows_cannot_follow_each_other_are_refused(ethanol: System) -> None:
    operator = make_operator(ethanol)
    check_rolls_out(operator.card)
    untrained = {"training": {"protocol": {"supervise_velocities": 0.0}}}
    with pytest.raises(BundleMismatch, match=r"without velocities.*supervise_velocities: 1\.0"):
        check_rolls_out(operator.card.model_copy(update=untrained))


def test_what_moves_all_atoms_refuses_operators_of_some(ethanol: System) -> None:
    card = make_card(ethanol, make_operator(ethanol).card.network)
    check_whole(card, "parareal")
    with pytest.raises(BundleMismatch, match=r"atoms: ca alone, and parareal moves.*atoms: all"):
        check_whole(card.model_copy(update={"atoms": "ca"}), "parareal")


def test_boxes_and_constraints_are_refused_where_nothing_keeps_them(ethanol: System) -> None:
    check_free(ethanol, "parareal")
    with pytest.raises(SpecError, match=r"periodic boundaries, which parareal.* without a box"):
        check_free(replace(ethanol, box=np.eye(3)), "parareal")
    with pytest.raises(SpecError, match=r"has constraints, which parareal.* constraints: none"):
        check_free(replace(ethanol, constraints=ethanol.bonds[:1]), "parareal")


def test_starts_have_a_box_where_the_system_has_one(ethanol: System) -> None:
    bare = Frame(ethanol.positions, np.zeros((9, 3)))
    boxed = replace(bare, box=np.eye(3))
    periodic = replace(ethanol, box=np.eye(3))
    check_boxes([bare], ethanol, "x")
    check_boxes([boxed], periodic, "x")
    with pytest.raises(DataError, match=r"x: its frames have no box vectors and ethanol is"):
        check_boxes([boxed, bare], periodic, "x")
    with pytest.raises(DataError, match=r"x: its frames have a periodic box and ethanol has none"):
        check_boxes([bare, boxed], ethanol, "x")
