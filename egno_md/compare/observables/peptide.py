"""Fold of peptides: extent, contacts and secondary structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mdtraj
import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from egno_md.compare.context import Context
from egno_md.compare.findings import Bench, Findings, not_available, with_square
from egno_md.compare.record import Probe
from egno_md.compare.statistics import MEAN, WIDTH
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.geometry.images import near_pairs
from egno_md.geometry.internal import as_mdtraj
from egno_md.geometry.peptide import Peptide, find_peptide

Array = np.ndarray

CONTACT = 0.8
"""nm between alpha carbons (Vendruscolo et al. 1997)."""
CONTACT_SEPARATION = 3
NATIVE = 0.45
"""nm between heavy atoms; with the next three, Best, Hummer and Eaton 2013."""
NATIVE_SEPARATION = 4
STEEPNESS = 50.0
"""1/nm."""
TOLERANCE = 1.8
FEWEST_RESIDUES = 4
DSSP_FRAMES = 500


def native_pairs(system: System, start: Float[Array, "atoms 3"], separation: int) -> Array:
    """Heavy atoms within 0.45 nm, in residues of one chain at least `separation` apart.

    Of amino acids only: waters, ions and caps make no native contact.
    """
    peptide = find_peptide(system)
    if peptide is None:
        return np.zeros((0, 2), dtype=np.int64)
    residue = np.array([a.residue.index for a in system.topology.atoms])
    chain = np.array([a.residue.chain.index for a in system.topology.atoms])
    heavy = np.flatnonzero((system.atomic_numbers > 1) & np.isin(residue, peptide.numbers))
    i, j = heavy[KDTree(start[heavy]).query_pairs(NATIVE, output_type="ndarray")].T
    chosen = (chain[i] == chain[j]) & (np.abs(residue[i] - residue[j]) >= separation)
    return np.stack([i, j], axis=1)[chosen]


def native_fraction(
    positions: Float[Array, "frames atoms 3"], pairs: Array, lengths: Float[Array, " pairs"]
) -> Float[Array, " frames"]:
    """Q of Best, Hummer and Eaton 2013, Eq. 1."""
    x = np.asarray(positions, np.float64)
    r = np.linalg.norm(x[:, pairs[:, 0]] - x[:, pairs[:, 1]], axis=-1)
    exponent = np.minimum(STEEPNESS * (r - TOLERANCE * lengths), 500.0)
    return (1.0 / (1.0 + np.exp(exponent))).mean(axis=-1)


def contact_number(
    alpha: Float[Array, "frames residues 3"],
    numbers: Array,
    boxes: Sequence[Array | None] | None = None,
) -> Float[Array, " frames"]:
    """Pairs of alpha carbons within 0.8 nm, at least three residues apart.

    Args:
        alpha: nm.
        numbers: topology index of each residue, ascending.
        boxes: of every frame, where chains meet by their nearest images.
    """
    each = [None] * len(alpha) if boxes is None else boxes
    counts = []
    for x, box in zip(np.asarray(alpha, np.float64), each, strict=True):
        i, j = near_pairs(x, x, CONTACT, box)[0].T
        counts.append((numbers[j] - numbers[i] >= CONTACT_SEPARATION).sum())
    return np.array(counts, dtype=float)


def secondary_shares(trajectory: mdtraj.Trajectory) -> Float[Array, "frames 2"]:
    """Shares of residues in helices and in strands by DSSP, of those it can assign."""
    codes = mdtraj.compute_dssp(trajectory, simplified=True)
    assigned = np.maximum((codes != "NA").sum(axis=1), 1)
    return np.stack([(codes == c).sum(axis=1) / assigned for c in "HE"], axis=1)


def probes(context: Context) -> list[Probe]:
    """Extent, contacts and secondary structure, as far as the peptide has them."""
    peptide, system = context.peptide, context.system
    if peptide is None or len(peptide.residues) < FEWEST_RESIDUES:
        return []
    pairs = native_pairs(system, context.start, NATIVE_SEPARATION)
    lengths = np.linalg.norm(context.start[pairs[:, 0]] - context.start[pairs[:, 1]], axis=-1)
    first, last = peptide.longest[[0, -1]]

    def measure(part: Trajectory) -> Mapping[str, Array]:
        x = np.asarray(part.positions, np.float64)
        boxes = context.boxes(part) if peptide.has_several_chains else None
        values = {
            "ends": np.linalg.norm(x[:, last] - x[:, first], axis=-1),
            "contacts": contact_number(x[:, peptide.alpha], peptide.numbers, boxes),
        }
        if len(pairs):
            values["native"] = native_fraction(part.positions, pairs, lengths)
        return values

    keep = dict.fromkeys(("ends", "contacts", *(["native"] if len(pairs) else [])), "series")
    measurements = [Probe(keep, measure, width=8 * max(len(pairs), system.n_atoms))]  # type: ignore[arg-type]
    if len(peptide.residues) > FEWEST_RESIDUES:
        measurements.append(Probe({"helix": "series", "strand": "series"}, _Dssp(system, peptide),
                           most=DSSP_FRAMES, width=100 * system.n_atoms))  # fmt: skip
    return measurements


@dataclass(frozen=True, eq=False)
class _Dssp:
    system: System
    peptide: Peptide

    def __call__(self, part: Trajectory) -> Mapping[str, Array]:
        atoms = [
            a.index
            for i in self.peptide.numbers.tolist()
            for a in self.system.topology.residue(i).atoms
        ]
        shares = secondary_shares(as_mdtraj(self.system, part.positions).atom_slice(atoms))
        return {"helix": shares[:, 0], "strand": shares[:, 1]}


def findings(context: Context, bench: Bench) -> Findings:
    """Extent, contacts and secondary structure."""
    names = {
        "End-to-end distance": ("ends", False),
        "End-to-end distance, width": ("ends", True),
        "Residue contacts": ("contacts", False),
        "Native contacts": ("native", False),
        "Helix": ("helix", False),
        "Strand": ("strand", False),
    }
    measured, peptide = bench.reference.series, context.peptide
    if peptide is None or "ends" not in measured:
        reason = f"no peptide chain of {FEWEST_RESIDUES} residues or more."
        return not_available(reason, *names)
    results = Findings()
    apart = bench.pair.no_images() if peptide.has_several_chains else None
    for name, (quantity, is_width) in names.items():
        if apart and quantity == "contacts":
            results += not_available(apart, name)
        elif quantity not in measured:
            results += not_available(_reason(name), name)
        elif is_width:
            results += Findings((bench.scalar(name, quantity, WIDTH, with_square),))
        else:
            results += Findings((bench.scalar(name, quantity, MEAN),))
    return results


def _reason(name: str) -> str:
    if name == "Native contacts":
        return "the first frame has no heavy atoms of one chain within 0.45 nm four residues apart."
    return "the peptide has fewer than five residues."
