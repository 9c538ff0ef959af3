"""What binding owes: refusals that name the first difference, shared weights, mixed batches."""

from __future__ import annotations

import copy
import pickle
import time
from dataclasses import replace

import mdtraj
import numpy as np
import pytest
import torch

from egno_md.core.errors import BundleMismatch
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.data.store import single_system
from egno_md.md.build import load_system
from egno_md.nn import bound as bound_module
from egno_md.nn.native.build import SWITCH
from egno_md.nn.operator import WindowOperator
from egno_md.spec.network import Egno, PublishedEgno
from tests.conftest import VOCABULARY, changed, make_card, make_general_operator, make_operator

TOGETHER = 1e-6
"""nm: the same numbers are added in another order."""

CHEAP = 0.02
"""CPU seconds to bind a small molecule, ten times what it takes on a slow core."""

MOLECULES = ("ethanol", "aspirin", "benzene")
SMALL = {"layers": 2, "hidden": 16, "vectors": 4}

NETWORKS = {
    "complete": Egno(kind="egno", **SMALL),
    "two-hop": Egno(kind="egno", edges="two-hop", force_channel=False, **SMALL),
    "radius": Egno(kind="egno", edges="radius", cutoff="0.3 nm", **SMALL),
}


@pytest.fixture(scope="module")
def molecules() -> list[System]:
    return [load_system(name).system for name in MOLECULES]


def frames(system: System, count: int, seed: int = 0) -> list[Frame]:
    random, shape = np.random.default_rng(seed), system.positions.shape
    return [
        Frame(
            system.positions + 0.003 * random.standard_normal(shape),
            random.standard_normal(shape),
            forces=500 * random.standard_normal(shape),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("native", ["1", "0"])
@pytest.mark.parametrize("network", NETWORKS)
def test_systems_in_one_call_get_what_each_gets_alone(
    molecules: list[System], network: str, native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, native)
    operator = make_general_operator(NETWORKS[network])
    batches = [
        (operator.bind(m), frames(m, count)) for m, count in zip(molecules, (3, 2, 4), strict=True)
    ]
    calls: list[int] = []
    operator.network.register_forward_hook(lambda *_: calls.append(1))
    together = operator.predict_batch(batches)
    assert len(calls) == 1
    for (bound, starts), window in zip(batches, together, strict=True):
        alone = bound.predict(starts)
        assert alone.positions.shape == window.positions.shape
        assert (window.positions - alone.positions).abs().max() <= TOGETHER
        relative = (window.velocities - alone.velocities).abs().max() / alone.velocities.abs().max()
        assert relative <= TOGETHER


def test_a_large_batch_goes_in_several_calls(
    molecules: list[System], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = make_general_operator()
    batches = [(operator.bind(m), frames(m, 5)) for m in molecules]
    whole = operator.predict_batch(batches)
    monkeypatch.setattr("egno_md.nn.operator.ATOMS_AT_ONCE", 50)
    calls: list[int] = []
    operator.network.register_forward_hook(lambda *args: calls.append(len(args[1][0])))
    parts = operator.predict_batch(batches)
    assert max(calls) <= 50
    assert len(calls) > 2
    for one, other in zip(whole, parts, strict=True):
        assert (one.positions - other.positions).abs().max() <= TOGETHER


def test_gradients_of_mixed_batches_reach_every_weight(molecules: list[System]) -> None:
    from egno_md.nn.decode import decode_together

    operator = make_general_operator().train()
    times = operator.card.time_points
    seen = []
    for molecule in molecules:
        bound = operator.bind(molecule)
        start = bound.start_of(frames(molecule, 2))
        seen.append((start, bound.surroundings(start, times, None, follows=None)))
    network = operator.card.network
    windows = decode_together(operator.network, network, operator.scales, seen)
    sum(w.positions.square().sum() + w.velocities.square().sum() for w in windows).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in operator.parameters())


def test_networks_of_one_system_a_call_are_refused_by_name(molecules: list[System]) -> None:
    operator = make_general_operator(PublishedEgno(kind="egno-published", layers=1, hidden=8))
    bound = operator.bind(molecules[0])
    assert bound.predict(frames(molecules[0], 1)).positions.isfinite().all()
    with pytest.raises(BundleMismatch, match="kind: egno-published decodes one system a call"):
        operator.predict_batch([(bound, frames(molecules[0], 1))])
    other = make_general_operator()
    with pytest.raises(BundleMismatch, match="one call has one operator"):
        other.predict_batch([(bound, frames(molecules[0], 1))])


def thiol(ethanol: System) -> System:
    """Ethanol with sulfur in place of its oxygen."""
    topology = ethanol.topology.copy()
    for atom in topology.atoms:
        if atom.element.symbol == "O":
            atom.element = mdtraj.element.sulfur
    return single_system(topology, "ethanethiol", ethanol.positions)


def test_an_element_beyond_the_vocabulary_is_named(ethanol: System) -> None:
    with pytest.raises(
        BundleMismatch, match=r"knows H, C, N, O, and ethanethiol has sulfur \(S, atom \d\)"
    ):
        make_general_operator().bind(thiol(ethanol))


def test_what_lies_outside_validity_is_refused_by_name(ethanol: System, ala2: System) -> None:
    operator = make_general_operator()
    operator.bind(ala2)

    def refuses(pattern: str, system: System, **validity: object) -> None:
        other = WindowOperator(changed(operator.card, **validity))
        with pytest.raises(BundleMismatch, match=pattern):
            other.bind(system)

    refuses("of 2 to 9 atoms, and ala2 has 22", ala2, sizes=(2, 9))
    refuses(r"\(molecules of H, C, N, O\) was trained in a periodic box", ethanol, periodic=True)
    refuses("learned molecules of H, C, N, O from MMFF94", ethanol, potential="MMFF94")
    refuses("knows charges of 1 e, and ethanol has 0 e", ethanol, charges=(1,))
    boxed = replace(ethanol, box=3.0 * np.eye(3))
    refuses("without a periodic box and ethanol has one", boxed)


def test_an_operator_for_one_system_refuses_the_first_difference(ethanol: System) -> None:
    operator = make_operator(ethanol)
    heavy = np.where(ethanol.atomic_numbers == 1, 2 * ethanol.masses, ethanol.masses)
    with pytest.raises(BundleMismatch, match=r"atom \d weighs 2\.016 Da, in the operator 1\.008"):
        operator.bind(replace(ethanol, masses=heavy))
    cut = ethanol.topology.copy()
    cut._bonds = cut._bonds[1:]
    with pytest.raises(BundleMismatch, match=r"atoms \d and \d is only in ethanol of the operator"):
        operator.bind(replace(ethanol, topology=cut))
    with pytest.raises(BundleMismatch, match="other atoms, or another order"):
        operator.bind(thiol(ethanol))
    with pytest.raises(BundleMismatch, match="moves 9 atoms of ethanol, benzene has 12"):
        operator.bind(load_system("benzene").system)


def test_masses_rounded_by_another_package_are_let_pass_on_request(ethanol: System) -> None:
    operator = make_operator(ethanol)
    rounded = replace(ethanol, masses=ethanol.masses + 1e-3)
    with pytest.raises(BundleMismatch, match="bonds or masses of ethanol differ"):
        operator.bind(rounded)
    bound = operator.bind(rounded, mass_tolerance=2e-3)
    assert np.array_equal(bound.masses, ethanol.masses)


def test_an_operator_of_many_systems_has_none_of_its_own() -> None:
    operator = make_general_operator()
    with pytest.raises(BundleMismatch, match=r"Bind it to one: operator.bind\(system\)"):
        operator.bind()


def test_the_one_hot_is_of_the_vocabulary_and_not_of_the_elements_present(ethanol: System) -> None:
    bound = make_general_operator().bind(ethanol)
    start = bound.start_of(frames(ethanol, 1))
    nodes = bound.surroundings(start, bound.window.time_points, None, follows=None).nodes
    assert nodes.shape == (ethanol.n_atoms, len(VOCABULARY))
    assert [VOCABULARY[int(i)] for i in nodes.argmax(1)] == ethanol.atomic_numbers.tolist()


def test_bound_operators_share_the_weights_and_follow_them(ethanol: System) -> None:
    operator = make_operator(ethanol)
    bound, starts = operator.bind(ethanol), frames(ethanol, 1)
    assert bound.network is operator.network
    before = bound.predict(starts).positions
    with torch.no_grad():
        for parameter in operator.parameters():
            parameter.mul_(0.5)
    operator.train().eval()  # matrices that are kept for inference
    assert not torch.equal(bound.predict(starts).positions, before)
    operator.double()
    assert bound.predict(starts).positions.dtype == torch.float64


def test_a_bound_operator_is_copied_with_its_weights(ethanol: System) -> None:
    bound, starts = make_operator(ethanol).bind(ethanol), frames(ethanol, 1)
    expected = bound.predict(starts).positions
    for other in (copy.deepcopy(bound), pickle.loads(pickle.dumps(bound))):
        assert other.operator is not bound.operator
        assert torch.equal(other.predict(starts).positions, expected)


def test_what_a_bound_operator_says_of_itself(ethanol: System, ala2: System) -> None:
    bound = make_operator(ethanol).bind(ethanol)
    assert bound.needs_forces
    assert bound.window.length == pytest.approx(0.008)
    assert bound.card.mode == "dynamics"
    network = Egno(kind="egno", force_channel=False, **SMALL)
    card = make_card(ala2, network).model_copy(update={"atoms": "heavy"})
    heavy = np.flatnonzero(ala2.atomic_numbers > 1)
    validity = {"elements": (6, 7, 8), "sizes": (10, 10), "system": None}
    some = WindowOperator(changed(card, **validity)).bind(ala2)
    assert np.array_equal(some.atoms, heavy)
    assert not some.needs_forces


def test_binding_is_cheap(molecules: list[System]) -> None:
    operator = make_general_operator()
    seconds = []
    for _ in range(5):
        begun = time.process_time()
        operator.bind(molecules[1])
        seconds.append(time.process_time() - begun)
    assert min(seconds) < CHEAP


def test_predictions_in_parts_are_those_at_once(
    ethanol: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound, starts = make_operator(ethanol).bind(ethanol), frames(ethanol, 5)
    whole = bound.predict(starts)
    monkeypatch.setattr(bound_module, "ATOMS_AT_ONCE", 20)
    assert (bound.predict(starts).positions - whole.positions).abs().max() <= TOGETHER
