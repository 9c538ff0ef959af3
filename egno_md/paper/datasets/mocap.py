"""The motion capture benchmark: CMU's subjects 9 (run) and 35 (walk).

The published splits are drawn here as their authors drew them (Huang et al.
2022; kept by Xu et al. 2024): trials by hand, start frames by NumPy's legacy
generator with seed 100.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from egno_md.core.errors import DataError, SpecError
from egno_md.geometry.bonded import hop_pairs
from egno_md.paper.datasets.cut import Cut, join_windows, target_offsets
from egno_md.paper.datasets.mocap_trials import SUBJECTS, Subject, read_trials
from egno_md.paper.spec import Targets
from egno_md.paper.task import Task, TaskData, TaskWindows

Array = np.ndarray
Starts = dict[int, Int[Array, " starts"]]
"""Start frames by trial."""

Parts = tuple[Starts, Starts, Starts]
"""Start frames of training, validation and test, by trial."""

PUBLISHED_SEED = 100

PUBLISHED_WINDOW = 30
"""Frames."""

HOPS = 2
"""Joints this many bones apart are joined by edges."""

HEIGHT = 1
"""The axis that points upwards."""

MocapSplit = Literal["published", "by-trial"]


def mocap_task(
    source: Path,
    subject: Literal["run", "walk"] = "run",
    *,
    window: int = PUBLISHED_WINDOW,
    points: int = 5,
    targets: Targets = "uniform",
    split: MocapSplit | None = None,
    sizes: tuple[int, int, int] | None = None,
    seed: int = 0,
    past: bool = False,
) -> TaskData:
    """The windows of a subject's trials.

    The published walk split numbers 23 trials. Where some are missing, as in most
    collections, `by-trial` divides those there are: every second one trains, the
    others validate and test in turn, and start frames are drawn from the whole
    trial by `seed`. Results on it do not compare with the published table.

    Node features are heights as a share of the largest of the training starts; the
    authors divide by the largest of each batch.

    Args:
        source: an .npz file with `edges` and a ``(frames, joints, 3)`` array
            `case_XX` per trial, or a folder with CMU's .asf file and its .amc files.
        subject: run (subject 9) or walk (subject 35).
        window: ΔT in frames.
        points: P.
        targets: EGNO-U or EGNO-L.
        split: as published, or our own; by default published for run, and by
            trial for walk.
        sizes: of training, validation and test; by default those published.
        seed: of the split by trial.
        past: windows carry frames before their start; starts without them are
            left out, and counted in the settings.

    Raises:
        DataError: unreadable files, or trials that do not fit what is asked.
        SpecError: an unknown subject or split.
        WindowMismatch: P points do not fall on frames.
    """
    if subject not in SUBJECTS:
        raise SpecError(f"'{subject}' is not a motion capture subject. Write run or walk.")
    recording = SUBJECTS[subject]
    chosen = split or ("published" if subject == "run" else "by-trial")
    sizes = sizes or recording.sizes
    trials, bones = read_trials(Path(source), recording)
    cut = Cut(target_offsets(window, points, targets), past=past)
    if chosen == "published":
        parts = _published(source, recording, len(trials), sizes)
    elif chosen == "by-trial":
        parts = _by_trial(source, cut, trials, sizes, seed)
    else:
        raise SpecError(f"split '{chosen}' is not known. Write published or by-trial.")
    parts, left_out = _fitting(source, cut, trials, parts)
    height = max(float(trials[i][starts, :, HEIGHT].max()) for i, starts in parts[0].items())
    train, validation, test = (_windows(cut, trials, part, height) for part in parts)
    return TaskData(
        task=_task(subject, trials[0].shape[1], bones, cut),
        train=train,
        validation=validation,
        test=test,
        unit="",
        stands_in=(chosen, window, sizes) != ("published", PUBLISHED_WINDOW, recording.sizes),
        source=f"CMU motion capture, subject {recording.number} ({subject}), "
        + _words(chosen, trials),
        settings={
            "window_frames": window,
            "targets": targets,
            "split": chosen,
            "seed": PUBLISHED_SEED if chosen == "published" else seed,
            "trials": [sorted(part) for part in parts],
            "windows": [len(train), len(validation), len(test)],
            "starts_without_past": left_out,
            "largest_height": height,
        },
    )


def _published(source: Path, subject: Subject, trials: int, sizes: tuple[int, int, int]) -> Parts:
    """Start frames as the authors drew them, trial after trial from one generator."""
    if trials != len(subject.trials):
        raise DataError(
            f"{source}: has {trials} trials, the published split numbers {len(subject.trials)}. "
            "Set data.subject: walk where they are of subject 35, or find the missing ones."
        )
    random = np.random.RandomState(PUBLISHED_SEED)
    parts = []
    for numbers, size in zip(subject.parts, sizes, strict=True):
        each = size // len(numbers)
        if not 1 <= each <= subject.drawn:
            raise SpecError(
                f"{size} windows are not 1 to {subject.drawn} from each of {len(numbers)} trials. "
                f"Use {len(numbers)} to {subject.drawn * len(numbers)}."
            )
        draws = {i: random.choice(subject.first, subject.drawn, replace=False) for i in numbers}
        parts.append({i: starts[:each] for i, starts in draws.items()})
    return tuple(parts)


def _by_trial(
    source: Path, cut: Cut, trials: list[Array], sizes: tuple[int, int, int], seed: int
) -> Parts:
    random = np.random.default_rng(seed)
    numbers = np.arange(len(trials))
    parts = []
    for mine, size in zip((numbers[1::2], numbers[::4], numbers[2::4]), sizes, strict=True):
        each = size // len(mine)
        fitting = {int(i): cut.starts(len(trials[i])) for i in mine}
        fewest = min(len(starts) for starts in fitting.values())
        if not 1 <= each <= fewest:
            raise DataError(
                f"{source}: {size} windows from {len(mine)} trials are {each} each, the shortest "
                f"trial has {fewest}. Use fewer, or a shorter window."
            )
        parts.append({i: random.choice(s, each, replace=False) for i, s in fitting.items()})
    return tuple(parts)


def _fitting(source: Path, cut: Cut, trials: list[Array], parts: Parts) -> tuple[Parts, int]:
    """The starts that have a past, where one is asked for, and how many have none."""
    left_out = 0
    fitting = []
    for part in parts:
        rest = {}
        for i, starts in part.items():
            fits = cut.starts(len(trials[i]))
            if len(fits) == 0 or starts.max() > fits[-1]:
                raise DataError(
                    f"{source}: trial {i} has {len(trials[i])} frames, a window from frame "
                    f"{starts.max()} needs {starts.max() + cut.after + 1}. Use a shorter window."
                )
            rest[i] = starts[starts >= fits[0]]
            left_out += len(starts) - len(rest[i])
        fitting.append(rest)
    if not all(any(len(starts) for starts in part.values()) for part in fitting):
        raise DataError(
            f"{source}: no start has {cut.before} frames before it. Leave out the past."
        )
    return tuple(fitting), left_out


def _windows(cut: Cut, trials: list[Array], part: Starts, height: float) -> TaskWindows:
    windows = []
    for i, starts in part.items():
        positions = trials[i].astype(np.float64)
        features = positions[starts, :, HEIGHT, None] / height
        windows.append(cut.windows(positions, starts, features))
    return join_windows(windows)


def _task(subject: str, joints: int, bones: Array, cut: Cut) -> Task:
    pairs, hops = hop_pairs(bones, joints, HOPS)
    return Task(
        name=f"mocap-{subject}",
        atoms=joints,
        time_points=tuple(float(o) for o in cut.offsets),
        node_features=1,
        pairs=pairs,
        edge_features=hops[:, None].astype(np.float64),
        bonds=bones,
    )


def _words(split: str, trials: list[Array]) -> str:
    if split == "published":
        return "split as published"
    return f"{len(trials)} trials, a split by trial of our own, not the published one"
