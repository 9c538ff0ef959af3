"""Acclaim motion capture files: an ASF skeleton, and AMC angles that move it.

Every bone turns about its joint by the angles of a frame, in the frame of axes
its `axis` line gives: with C the rotation of that line and M that of the frame,
the bone is turned by C M C⁻¹ relative to its parent, and its end lies
R·(length·direction) from its parent's end, R being the product of these from the
root down. Rotations about several axes are applied in the order they are listed,
about axes that stay fixed.

The CMU database (mocap.cs.cmu.edu) offers these files, free to use. Lengths
stay in the file's own unit; CMU's is (1/0.45) inch. The readers are checked
against positions computed by hand, not against published arrays, which come
without the files they were made from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from egno_md.core.errors import DataError

Array = np.ndarray
Lines = list[tuple[int, list[str]]]

ROOT = "root"
MOVES = ("tx", "ty", "tz")
TURNS = ("rx", "ry", "rz")
DEGREE = np.pi / 180
FRAME_NUMBER = re.compile("[0-9]{1,18}")


@dataclass(frozen=True, eq=False)
class Bone:
    """A bone, or the root, which has no length.

    Attributes:
        name: as the file calls it.
        offset: from its parent's end to its own, at rest.
        axis: its own frame of axes, in which it turns.
        channels: what a frame gives for it, in order: rx, ry, rz, and for the root
            tx, ty, tz.
    """

    name: str
    offset: Float[Array, " 3"]
    axis: Rotation
    channels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Bones in the file's order, the root first; joint i is the end of bone i.

    Attributes:
        bones: the root and the bones.
        parents: number of the bone that each one hangs on; -1 for the root.
        order: numbers of the bones from the root down.
    """

    bones: tuple[Bone, ...]
    parents: tuple[int, ...]
    order: tuple[int, ...]

    @property
    def edges(self) -> Int[Array, "bones 2"]:
        """Each joint but the root with its parent."""
        pairs = [(i, parent) for i, parent in enumerate(self.parents) if parent >= 0]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    def joints(
        self, channels: dict[str, Float[Array, "frames values"]]
    ) -> Float[Array, "frames joints 3"]:
        """Joint positions by forward kinematics, in the file's unit.

        Args:
            channels: what the frames give per bone, in the order of `Bone.channels`,
                angles in radians.
        """
        frames = len(channels[ROOT])
        positions = np.zeros((frames, len(self.bones), 3))
        turns: dict[int, Rotation] = {}
        for index in self.order:
            bone, parent = self.bones[index], self.parents[index]
            turn = bone.axis * _turn(bone, channels[bone.name]) * bone.axis.inv()
            if parent < 0:
                turns[index] = turn
                for column, channel in enumerate(bone.channels):
                    if channel in MOVES:
                        positions[:, index, MOVES.index(channel)] = channels[ROOT][:, column]
            else:
                turns[index] = turns[parent] * turn
                positions[:, index] = positions[:, parent] + turns[index].apply(bone.offset)
        return positions


def read_asf(path: Path) -> Skeleton:
    """Read a skeleton.

    Raises:
        DataError: no skeleton that can be read, or one whose rest is not at the origin.
    """
    sections = _sections(path)
    missing = [s for s in ("units", "root", "bonedata", "hierarchy") if s not in sections]
    if missing:
        raise DataError(
            f"{path}: has no section :{missing[0]}. Give an ASF skeleton as CMU writes them."
        )
    unit = 1.0 if (["angle", "rad"] in [words for _, words in sections["units"]]) else DEGREE
    bones = [_root(path, {words[0].lower(): words[1:] for _, words in sections["root"]})]
    lines: dict[str, list[str]] = {}
    for number, words in sections["bonedata"]:
        if words == ["begin"]:
            lines = {}
        elif words == ["end"]:
            bones.append(_bone(path, number, lines, unit))
        else:
            lines[words[0].lower()] = words[1:]
    parents = _parents(path, [bone.name for bone in bones], sections["hierarchy"])
    return Skeleton(tuple(bones), tuple(parents), tuple(_from_the_root(parents)))


def read_amc(path: Path, skeleton: Skeleton) -> Float[Array, "frames joints 3"]:
    """Joint positions of a motion, in the unit of the skeleton's file.

    Raises:
        DataError: no motion of this skeleton, or frames that are missing.
    """
    frames: list[int] = []
    values: dict[str, list[list[float]]] = {bone.name: [] for bone in skeleton.bones}
    unit = DEGREE
    for number, words in _lines(path):
        name = words[0]
        if name.startswith(":"):
            unit = 1.0 if name.lower() == ":radians" else unit
        elif FRAME_NUMBER.fullmatch(name) and len(words) == 1:
            frames.append(int(name))
        elif name not in values or len(values[name]) != len(frames) - 1:
            raise DataError(
                f"{path}: line {number} moves '{name}', which is no bone of the skeleton or "
                "has moved in this frame already. Give the .asf file of the same subject."
            )
        else:
            values[name].append(_numbers(path, number, words[1:]))
    return skeleton.joints(_channels(path, skeleton, frames, values, unit))


def _channels(
    path: Path,
    skeleton: Skeleton,
    frames: list[int],
    values: dict[str, list[list[float]]],
    unit: float,
) -> dict[str, Array]:
    if not frames:
        raise DataError(f"{path}: holds no frames.")
    if frames != list(range(frames[0], frames[0] + len(frames))):
        gap = next(i for i, n in enumerate(frames) if n != frames[0] + i)
        raise DataError(
            f"{path}: frame {frames[gap]} follows frame {frames[gap - 1]}, so no window can "
            "be cut across. Fetch it again."
        )
    result = {}
    for bone in skeleton.bones:
        rows, width = values[bone.name], len(bone.channels)
        if width == 0 and not rows:
            rows = [[]] * len(frames)
        if len(rows) != len(frames) or any(len(row) != width for row in rows):
            raise DataError(
                f"{path}: bone {bone.name} needs {width} numbers in each of {len(frames)} frames, "
                f"and has others in some. Give the .asf file of the same subject."
            )
        scales = [unit if channel in TURNS else 1.0 for channel in bone.channels]
        result[bone.name] = np.array(rows, dtype=np.float64).reshape(len(frames), width) * scales
    return result


def _turn(bone: Bone, values: Float[Array, "frames values"]) -> Rotation:
    columns = [i for i, channel in enumerate(bone.channels) if channel in TURNS]
    if not columns:
        return Rotation.identity()
    axes = "".join(bone.channels[i][1] for i in columns)
    return Rotation.from_euler(axes, values[:, columns])


def _root(path: Path, lines: dict[str, list[str]]) -> Bone:
    channels = tuple(word.lower() for word in lines.get("order", []))
    if sorted(channels) != sorted(MOVES + TURNS):
        raise DataError(
            f"{path}: the root's order is '{' '.join(channels)}', TX TY TZ RX RY RZ in any order "
            "was expected. Give an ASF skeleton as CMU writes them."
        )
    for key in ("position", "orientation"):
        if "".join(lines.get(key, [])).strip("-+0."):
            raise DataError(
                f"{path}: the root's {key} is {' '.join(lines[key])}, zeros were expected. "
                "Move the skeleton to the origin."
            )
    return Bone(ROOT, np.zeros(3), Rotation.identity(), channels)


def _bone(path: Path, line: int, lines: dict[str, list[str]], unit: float) -> Bone:
    name = " ".join(lines.get("name", ["without a name"]))
    channels = tuple(word.lower() for word in lines.get("dof", []))
    try:
        *angles, order = lines["axis"]
        turns = [float(word) * unit for word in angles]
        axis = Rotation.from_euler(order.lower(), turns)
        (length,) = lines["length"]
        x, y, z = (float(word) * float(length) for word in lines["direction"])
    except (KeyError, ValueError):
        axis, turns, x, y, z = Rotation.identity(), [], np.nan, np.nan, np.nan
    if not np.isfinite([x, y, z, *turns]).all() or len({*channels} & {*TURNS}) < len(channels):
        raise DataError(
            f"{path}: bone {name}, which ends on line {line}, needs a direction, a length, an "
            "axis and of rx, ry and rz those that turn it. Fetch it again."
        )
    return Bone(name, np.array([x, y, z]), axis, channels)


def _parents(path: Path, names: list[str], lines: Lines) -> list[int]:
    parents: dict[str, str] = {}
    for number, (parent, *children) in lines:
        for child in children:
            if parent not in names or child not in names[1:] or child in parents:
                raise DataError(
                    f"{path}: line {number} hangs '{child}' on '{parent}', and one of them is no "
                    "bone or hangs elsewhere already. Mend the hierarchy."
                )
            parents[child] = parent
    numbers = [-1, *(names.index(parents[n]) if n in parents else -1 for n in names[1:])]
    detached = sorted(set(range(len(names))) - set(_from_the_root(numbers)))
    if detached or len(set(names)) < len(names):
        raise DataError(
            f"{path}: bone {names[detached[0]] if detached else names[-1]} does not hang on the root. "
            "Mend the hierarchy."
        )
    return numbers


def _from_the_root(parents: list[int]) -> list[int]:
    order = [0]
    for index in order:
        order += [i for i, parent in enumerate(parents) if parent == index and i not in order]
    return order


def _sections(path: Path) -> dict[str, Lines]:
    """The lines under each ``:keyword``, without comments and begin-end around a hierarchy."""
    sections: dict[str, Lines] = {}
    lines: Lines = []
    for number, words in _lines(path):
        if words[0].startswith(":"):
            lines = sections.setdefault(words[0][1:].lower(), [])
        else:
            lines.append((number, words))
    if "hierarchy" in sections:
        brackets = (["begin"], ["end"])
        sections["hierarchy"] = [x for x in sections["hierarchy"] if x[1] not in brackets]
    return sections


def _lines(path: Path) -> Lines:
    """The words of each line that is no comment, with its number from 1."""
    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the path of an ASF or AMC file.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise DataError(f"{path}: cannot be read as text. Fetch it again.") from None
    split = ((i + 1, line.split("#")[0].split()) for i, line in enumerate(text.splitlines()))
    return [(number, words) for number, words in split if words]


def _numbers(path: Path, line: int, words: list[str]) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = [np.nan]
    if not np.isfinite(numbers).all():
        raise DataError(
            f"{path}: line {line} '{' '.join(words)}' holds no numbers. Fetch it again."
        )
    return numbers
