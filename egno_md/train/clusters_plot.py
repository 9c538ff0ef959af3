"""The clusters of a hierarchical network: as B-factors of a PDB file, and as a picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import mdtraj
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from egno_md.core.plotting import STYLE, new_figure

LARGEST_FACTOR = 100
"""The B-factor column of a PDB file holds numbers below it; cluster 100 is written as 0."""

FEW = 20
"""Clusters up to which each has a colour of its own in a palette of unlike ones."""


def write_clusters(
    topology: mdtraj.Topology,
    positions: Float[np.ndarray, "atoms 3"],
    shares: Float[np.ndarray, "atoms clusters"],
    folder: Path,
) -> tuple[Path, ...]:
    """Write `clusters.pdb`, `clusters.png` and `clusters.svg`.

    Args:
        topology: of the atoms.
        positions: nm.
        shares: how much of each atom belongs to each cluster; the B-factor is the
            number of the largest, from 0.
        folder: made where it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    largest, colours = shares.argmax(1), _colours(shares.shape[1])
    pdb = folder / "clusters.pdb"
    frame = mdtraj.Trajectory(positions[None].astype(np.float32), topology)
    frame.save_pdb(str(pdb), bfactors=(largest % LARGEST_FACTOR).astype(float))
    with mpl.rc_context(STYLE):
        figure = new_figure(9, 4)
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.2))
        bonds = np.array([(a.index, b.index) for a, b in topology.bonds], dtype=int)
        _draw_atoms(left, positions, bonds.reshape(-1, 2), colours[largest])
        used = len(np.unique(largest))
        left.set(title=f"atoms by their largest cluster: {used} of {len(colours)} in use")
        _draw_shares(right, shares, colours)
        pictures = [folder / f"clusters.{suffix}" for suffix in ("png", "svg")]
        for path in pictures:
            figure.savefig(path, dpi=150)
    return (pdb, *pictures)


def _draw_atoms(
    axis: Axes,
    positions: Float[np.ndarray, "atoms 3"],
    bonds: Int[np.ndarray, "bonds 2"],
    colours: Float[np.ndarray, "atoms rgba"],
) -> None:
    """The structure along its two longest axes, near atoms in front."""
    centred = positions - positions.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ axes.T
    order = np.argsort(flat[:, 2])
    lines = LineCollection(list(flat[bonds, :2]), colors="#999999", linewidths=0.8, zorder=1)
    axis.add_collection(lines)
    size = np.clip(4000 / len(flat), 8, 200)
    shown = flat[order]
    axis.margins(0.1)
    axis.scatter(
        shown[:, 0],
        shown[:, 1],
        s=size,
        c=colours[order],
        edgecolors="white",
        linewidths=0.3,
        zorder=2,
    )
    axis.set(aspect="equal", xlabel="nm", ylabel="nm")


def _draw_shares(
    axis: Axes,
    shares: Float[np.ndarray, "atoms clusters"],
    colours: Float[np.ndarray, "clusters rgba"],
) -> None:
    image = axis.imshow(
        shares.T, aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="nearest"
    )
    count = len(colours)
    axis.scatter(
        np.full(count, -0.02),
        np.arange(count),
        s=min(60, 1500 / count),
        c=colours,
        marker="s",
        clip_on=False,
        transform=axis.get_yaxis_transform(),
    )
    axis.tick_params(axis="y", pad=14, length=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="atom", ylabel="cluster", title="share of each atom in each cluster")
    axis.figure.colorbar(image, ax=axis)


def _colours(count: int) -> Float[np.ndarray, "clusters rgba"]:
    """Unlike ones for few clusters, else a scale."""
    if count <= FEW:
        return mpl.colormaps["tab20"](np.arange(count))
    return mpl.colormaps["turbo"](np.linspace(0, 1, count))
