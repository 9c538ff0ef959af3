"""Forward kinematics of ASF and AMC files against positions worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from egno_md.core.errors import DataError
from egno_md.paper.datasets.acclaim import read_amc, read_asf

EXACT = 1e-12
"""Rounding of a few rotations of short bones."""

ASF = """# a comment
:version 1.10
:name tiny
:units
  mass 1.0
  length 0.45
  angle deg
:documentation
  none
:root
  order TZ TX TY RX RZ RY
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name hand
    direction 0 0 1
    length 3
    axis 0 0 0 XYZ
  end
  begin
    id 2
    name upper
    direction 1 0 0
    length 2
    axis 0 0 0 XYZ
    dof rz
    limits (-90 90)
  end
  begin
    id 3
    name lower
    direction 0 1 0
    length 1
    axis 0 0 90 XYZ
    dof rx
    limits (-90 90)
  end
  begin
    id 4
    name xthenz
    direction 0 1 0
    length 1
    axis 0 0 0 XYZ
    dof rx rz
    limits (-90 90)
           (-90 90)
  end
  begin
    id 5
    name zthenx
    direction 0 1 0
    length 1
    axis 0 0 0 XYZ
    dof rz rx
  end
  begin
    id 6
    name tilted
    direction 1 0 0
    length 1
    axis 90 0 90 XYZ
    dof ry
  end
:hierarchy
  begin
    root upper xthenz zthenx tilted
    upper lower
    lower hand
  end
"""

JOINTS = ("root", "hand", "upper", "lower", "xthenz", "zthenx", "tilted")

STILL = "upper 0\nlower 0\nxthenz 0 0\nzthenx 0 0\ntilted 0\n"
BENT = "upper 90\nlower 90\nxthenz 90 90\nzthenx 90 90\ntilted 90\n"


@pytest.fixture
def asf(tmp_path) -> Path:
    path = tmp_path / "tiny.asf"
    path.write_text(ASF)
    return path


def motion(asf: Path, body: str, head: str = ":FULLY-SPECIFIED\n:DEGREES\n") -> dict:
    """Joint positions by name."""
    amc = asf.with_suffix(".amc")
    amc.write_text("#!OML:ASF\n" + head + body)
    positions = read_amc(amc, read_asf(asf))
    return {name: positions[:, i] for i, name in enumerate(JOINTS)}


def agrees(found: np.ndarray, expected: list) -> None:
    np.testing.assert_allclose(found, expected, atol=EXACT)


def test_joints_are_the_root_and_the_ends_of_bones_in_the_files_order(asf):
    skeleton = read_asf(asf)
    assert tuple(bone.name for bone in skeleton.bones) == JOINTS
    assert skeleton.edges.tolist() == [[1, 3], [2, 0], [3, 2], [4, 0], [5, 0], [6, 0]]


def test_the_resting_skeleton_is_a_chain_of_its_directions(asf):
    at = motion(asf, "1\nroot 3 1 2 0 0 0\n" + STILL)
    agrees(at["root"], [[1, 2, 3]])
    agrees(at["upper"], [[3, 2, 3]])
    agrees(at["lower"], [[3, 3, 3]])
    agrees(at["hand"], [[3, 3, 6]])
    agrees(at["tilted"], [[2, 2, 3]])


def test_bones_turn_in_their_own_axes_and_carry_their_children(asf):
    """`lower` turns about its x, which its axis line points along y; then `upper` about z."""
    at = motion(asf, "1\nroot 0 0 0 0 0 0\n" + BENT)
    agrees(at["upper"], [[0, 2, 0]])
    agrees(at["lower"], [[-1, 2, 0]])
    agrees(at["hand"], [[-1, 5, 0]])


def test_angles_are_applied_in_the_order_of_the_dof_line(asf):
    at = motion(asf, "1\nroot 0 0 0 0 0 0\n" + BENT)
    agrees(at["xthenz"], [[0, 0, 1]])
    agrees(at["zthenx"], [[-1, 0, 0]])


def test_an_axis_line_turns_about_x_before_z(asf):
    """Its y axis then points along z: 90° about it carries x to y."""
    at = motion(asf, "1\nroot 0 0 0 0 0 0\n" + BENT)
    agrees(at["tilted"], [[0, 1, 0]])


def test_the_root_reads_its_numbers_in_its_own_order(asf):
    """Order TZ TX TY RX RZ RY: about x, then z, then y."""
    body = "1\nroot 3 1 2 90 0 90\n" + STILL + "2\nroot 3 1 2 0 90 90\n" + STILL
    at = motion(asf, body)
    agrees(at["root"], [[1, 2, 3]] * 2)
    # x stays, then goes to -z;  x goes to y, which stays
    agrees(at["upper"] - at["root"], [[0, 0, -2], [0, 2, 0]])
    # y goes to z, then to x;  y goes to -x, then to z
    agrees(at["xthenz"] - at["root"], [[1, 0, 0], [0, 0, 1]])


def test_radians_are_read_where_the_files_say_so(asf):
    angle = f"{np.pi / 2:.17g}"
    body = "1\nroot 0 0 0 0 0 0\n" + BENT.replace("90", angle)
    in_degrees = motion(asf, "1\nroot 0 0 0 0 0 0\n" + BENT)
    asf.write_text(ASF.replace("angle deg", "angle rad").replace(" 90 XYZ", f" {angle} XYZ"))
    asf.write_text(asf.read_text().replace("axis 90", f"axis {angle}"))
    in_radians = motion(asf, body, ":RADIANS\n")
    for name in JOINTS:
        agrees(in_radians[name], in_degrees[name].tolist())


def test_bone_lengths_never_change(asf):
    random = np.random.default_rng(0)
    frames = []
    for i in range(20):
        n = [f"{a:.4f}" for a in random.uniform(-180, 180, 13)]
        frames.append(
            f"{i + 1}\nroot {' '.join(n[:6])}\nupper {n[6]}\nlower {n[7]}\n"
            f"xthenz {n[8]} {n[9]}\nzthenx {n[10]} {n[11]}\ntilted {n[12]}\n"
        )
    at = motion(asf, "".join(frames))
    for child, parent, length in (
        ("upper", "root", 2),
        ("lower", "upper", 1),
        ("hand", "lower", 3),
    ):
        agrees(np.linalg.norm(at[child] - at[parent], axis=1), [length] * 20)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (":hierarchy", ":tree", "has no section :hierarchy"),
        ("order TZ TX", "order TZ", "order is 'tz ty rx rz ry'"),
        ("orientation 0 0 0", "orientation 0 45 0", "orientation is 0 45 0"),
        ("length 2", "length two", "bone upper, which ends on line 31,"),
        ("dof rz\n", "dof tz\n", "bone upper"),
        ("axis 0 0 90 XYZ", "axis 0 0 90 XYW", "bone lower"),
        ("lower hand", "lower foot", "hangs 'foot' on 'lower'"),
        ("lower hand", "lower hand upper", "hangs 'upper' on 'lower'"),
        ("    lower hand\n", "", "bone hand does not hang on the root"),
        ("name hand", "name lower", "hangs 'hand' on 'lower'"),
    ],
)
def test_a_damaged_skeleton_is_named(asf, old, new, says):
    asf.write_text(ASF.replace(old, new, 1))
    with pytest.raises(DataError, match=says):
        read_asf(asf)


FRAME = "1\nroot 0 0 0 0 0 0\n" + STILL


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "holds no frames"),
        (FRAME + FRAME.replace("1\n", "3\n", 1), "frame 3 follows frame 1"),
        (FRAME.replace("lower 0", "tail 0"), "line 7 moves 'tail', which is no bone"),
        (FRAME.replace("lower 0", "upper 0"), "line 7 moves 'upper'"),
        (FRAME.replace("lower 0\n", ""), "bone lower needs 1 numbers in each of 1 frames"),
        (FRAME.replace("lower 0", "lower 0 0"), "bone lower needs 1 numbers"),
        (FRAME.replace("lower 0", "lower nan"), "line 7 'nan' holds no numbers"),
        (FRAME.replace("lower 0", "lower x"), "line 7 'x' holds no numbers"),
    ],
)
def test_a_damaged_motion_is_named(asf, body, says):
    with pytest.raises(DataError, match=says):
        motion(asf, body)


def test_files_that_are_missing_or_no_text_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_asf(tmp_path / "none.asf")
    (tmp_path / "a.asf").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_asf(tmp_path / "a.asf")
