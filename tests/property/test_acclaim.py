"""Skeletons of any shape, written as ASF and AMC files, move as their matrices say."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from egno_md.paper.datasets.acclaim import read_amc, read_asf

EXACT = 1e-9
"""A chain of up to six rotations of bones of up to nine units."""

ANGLES = st.floats(-180, 180).map(lambda angle: round(angle, 6))
TURNS = ("rx", "ry", "rz")
Axes = np.ndarray


def rotation(axis: str, degrees: float) -> Axes:
    """About a fixed coordinate axis, right-handed."""
    a, b = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    result = np.eye(3)
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    result[a, a], result[a, b], result[b, a], result[b, b] = c, -s, s, c
    return result


def product(axes: list[str], degrees: list[float]) -> Axes:
    """The first of the rotations acts first."""
    result = np.eye(3)
    for axis, angle in zip(axes, degrees, strict=True):
        result = rotation(axis, angle) @ result
    return result


@st.composite
def bones(draw: st.DrawFn) -> list[dict]:
    """Name, parent (a number below its own, -1 for the root), and what the files say of each."""
    result = []
    for number in range(draw(st.integers(1, 5))):
        direction = draw(st.tuples(*[st.integers(-3, 3)] * 3))
        result.append(
            {
                "name": f"bone{number}",
                "parent": draw(st.integers(-1, number - 1)),
                "direction": np.array(direction, dtype=float),
                "length": draw(st.integers(0, 3)),
                "axis": draw(st.tuples(ANGLES, ANGLES, ANGLES)),
                "order": draw(st.permutations(["x", "y", "z"])),
                "dof": draw(st.permutations(TURNS))[: draw(st.integers(0, 3))],
            }
        )
    return result


def asf(skeleton: list[dict], order: list[str], listed: list[int], unit: str) -> str:
    scale = np.pi / 180 if unit == "rad" else 1.0
    lines = [":units", f"  angle {unit}", ":root", f"  order {' '.join(order)}", ":bonedata"]
    for number in listed:
        bone = skeleton[number]
        turn = " ".join(repr(angle * scale) for angle in bone["axis"])
        lines += [
            "begin", f"name {bone['name']}", f"direction {' '.join(map(str, bone['direction']))}",
            f"length {bone['length']}", f"axis {turn} {''.join(bone['order']).upper()}",
            *([f"dof {' '.join(bone['dof'])}"] if bone["dof"] else []), "end",
        ]  # fmt: skip
    lines += [":hierarchy", "begin"]
    for bone in skeleton:
        parent = "root" if bone["parent"] < 0 else skeleton[bone["parent"]]["name"]
        lines.append(f"{parent} {bone['name']}")
    return "\n".join([*lines, "end", ""])


@given(bones(), st.data(), st.sampled_from(["deg", "rad"]), st.integers(1, 3))
@settings(max_examples=max(settings.default.max_examples // 2, 1))
def test_joints_are_where_products_of_matrices_put_them(
    skeleton: list[dict], data: st.DataObject, unit: str, frames: int
) -> None:
    order = data.draw(st.permutations(["TX", "TY", "TZ", "RX", "RY", "RZ"]))
    listed = data.draw(st.permutations(range(len(skeleton))))
    expected = np.zeros((frames, 1 + len(skeleton), 3))
    motion = [":RADIANS" if unit == "rad" else ":DEGREES"]
    scale = np.pi / 180 if unit == "rad" else 1.0
    for frame in range(frames):
        moves = {t: data.draw(st.integers(-9, 9)) for t in ("TX", "TY", "TZ")}
        turns = {t: data.draw(ANGLES) for t in ("RX", "RY", "RZ")}
        written = [repr(moves[c]) if c in moves else repr(turns[c] * scale) for c in order]
        motion += [str(frame + 1), f"root {' '.join(written)}"]
        axes = [c[1].lower() for c in order if c in turns]
        at = {-1: product(axes, [turns[c] for c in order if c in turns])}
        place = {-1: np.array([moves[t] for t in ("TX", "TY", "TZ")], dtype=float)}
        expected[frame, 0] = place[-1]
        for number, bone in enumerate(skeleton):
            angles = [data.draw(ANGLES) for _ in bone["dof"]]
            if angles:
                motion.append(f"{bone['name']} {' '.join(repr(a * scale) for a in angles)}")
            own = product(bone["order"], list(bone["axis"]))
            turn = own @ product([c[1] for c in bone["dof"]], angles) @ own.T
            at[number] = at[bone["parent"]] @ turn
            step = at[number] @ (bone["length"] * bone["direction"])
            place[number] = place[bone["parent"]] + step
            expected[frame, 1 + listed.index(number)] = place[number]
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder) / "a.asf", Path(folder) / "a.amc"
        one.write_text(asf(skeleton, order, listed, unit))
        two.write_text("\n".join(motion) + "\n")
        found = read_asf(one)
        assert [b.name for b in found.bones] == ["root", *(skeleton[n]["name"] for n in listed)]
        np.testing.assert_allclose(read_amc(two, found), expected, atol=EXACT)
