"""Mutants of what decides whether a window is believed, and the tests that kill them.

    python benchmarks/mutants.py [--only PART_OF_A_PATH ...] [--again] [--sample N] [--seed N]

mutmut makes the mutants of the files that `tool.mutmut` of pyproject.toml names; some of each
file are drawn with a fixed seed, more where it decides what is believed, and each meets the
fast tests of `core`, `geometry` and `propagate` in a process of its own. A survivor is explained in
`benchmarks/mutants_explained.yaml`; one that is not is printed, and makes this exit with 1.
A survivor that no behaviour can tell from the code is `equivalent`; what is left counts.
Figures go to `benchmarks/results/mutants.json`, where `--only` replaces those of its files;
another sample or seed is only printed.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import get_mutant_name, orig_function_and_class_names_from_key

from egno_md.data.output import provenance
from egno_md.data.store import write_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "mutants.json"
EXPLAINED = ROOT / "benchmarks" / "mutants_explained.yaml"
LOG = ROOT / "mutants" / "mutmut.log"
EQUIVALENT = "equivalent"
DETECTED = ("killed", "timeout")

SAMPLE, LARGE_SAMPLE, SEED = 15, 30, 0
"""Mutants that are tried of a file, and of a decisive one."""

DECISIVE = re.compile(
    r"(propagate|geometry)/(check|conservation|constraints|contacts|correct|images|judge|parareal/schedule|shapes|stereocentres|thermostat)\.py"
    r"|core/(fanout|lift|molecules|selection|state|thermal|units|window)\.py"
)
"""What decides whether a window is believed, and what that rests on."""


@dataclass(frozen=True)
class Survivor:
    """A mutant that every test passes.

    Attributes:
        file: of the code.
        line: of the change.
        change: function, line before and line after.
        kind: why it may live, or `unexplained`.
        reason: the same in words.
    """

    file: str
    line: int
    change: str
    kind: str
    reason: str


def all_mutants(path: Path) -> list[str]:
    """Names of a file's mutants, in their order."""
    names = mutate_file_contents(str(path), path.read_text(encoding="utf-8"), None, None)
    return [get_mutant_name(path, name) for name in names.mutant_names]


def draw(path: Path, names: list[str], sample: int | None, seed: int) -> list[str]:
    """Some of a file's mutants, the same for the same seed and code."""
    if sample is None:
        sample = LARGE_SAMPLE if DECISIVE.search(path.as_posix()) else SAMPLE
    chosen = random.Random(f"{seed} {path}").sample(range(len(names)), min(sample, len(names)))
    return [names[i] for i in sorted(chosen)]


def run(names: list[str], processes: int) -> None:
    """Let mutmut try the mutants; worker processes of the tests import mutated code too."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "mutants"), "OMP_NUM_THREADS": "1"}
    command = [Path(sys.executable).with_name("mutmut"), "run", f"--max-children={processes}"]
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("w", encoding="utf-8") as log:
        told = subprocess.run([*command, *names], cwd=ROOT, env=environment, stdout=log, stderr=log)
    if told.returncode != 0:
        raise SystemExit(f"mutmut ended with {told.returncode}: see {LOG}")


def states(path: Path, names: list[str]) -> dict[str, str]:
    """What became of each mutant, in mutmut's words."""
    data = SourceFileMutationData(path=path)
    data.load()
    return {name: status_by_exit_code[data.exit_code_by_key.get(name)] for name in names}


def describe(path: Path, name: str) -> tuple[int, str]:
    """Line of a mutant's change, and function, line before and line after."""
    diff = get_diff_for_mutant(name, path=path).splitlines()[2:]
    before = [line[1:].strip() for line in diff if line.startswith("-")]
    after = [line[1:].strip() for line in diff if line.startswith("+")]
    function, owner = orig_function_and_class_names_from_key(name)
    where = f"{owner}.{function}" if owner else function
    header = re.match(r"@@ -(\d+)", diff[0])
    assert header is not None
    marks = [line[0] for line in diff[1:]]
    offset = int(header[1]) - 1 + min(marks.index(m) for m in "+-" if m in marks)
    line = _begin(path, function, owner) + offset
    return line, f"{where}: {' '.join(before)} → {' '.join(after)}"


def _begin(path: Path, function: str, owner: str | None) -> int:
    """First line of a function, its decorators included."""
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    if owner is not None:
        nodes = next(n for n in nodes if isinstance(n, ast.ClassDef) and n.name == owner).body
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = next(n for n in nodes if isinstance(n, kinds) and n.name == function)
    return min([found.lineno, *(d.lineno for d in found.decorator_list)])


def explanations() -> dict[tuple[str, str], tuple[str, str]]:
    """Kind and reason by file and change."""
    entries = yaml.safe_load(EXPLAINED.read_text(encoding="utf-8")) if EXPLAINED.is_file() else []
    return {
        (entry["file"], change): (entry["kind"], entry["reason"])
        for entry in entries or []
        for change in entry["changes"]
    }


def survivors(path: Path, found: dict[str, str]) -> list[Survivor]:
    """The mutants of a file that no test noticed, with their explanations."""
    known = explanations()
    listed = []
    for name in (n for n, state in found.items() if state not in DETECTED):
        line, change = describe(path, name)
        kind, reason = known.get((str(path), change), ("unexplained", found[name]))
        listed.append(Survivor(str(path), line, change, kind, reason))
    return sorted(listed, key=lambda s: s.line)


def _open(path: Path, names: list[str]) -> list[str]:
    """Mutants that are neither killed nor explained yet."""
    found = states(path, names)
    known = {change for file, change in explanations() if file == str(path)}
    lived = [n for n in names if found[n] == "survived" and describe(path, n)[1] in known]
    return [n for n in names if found[n] not in DETECTED and n not in lived]


def report(total: int, found: dict[str, str], alive: list[Survivor]) -> dict[str, Any]:
    """Figures of one file."""
    counts = Counter(found.values())
    detected = sum(counts[state] for state in DETECTED)
    equivalent = sum(s.kind == EQUIVALENT for s in alive)
    return {
        "mutants": total,
        "tried": len(found),
        "skipped": total - len(found),
        "killed": counts["killed"],
        "timed_out": counts["timeout"],
        "survived": len(found) - detected,
        "equivalent": equivalent,
        "detected_of_others": round(detected / max(len(found) - equivalent, 1), 3),
    }


def record(files: dict[str, dict[str, Any]], alive: list[Survivor]) -> None:
    """Write figures of these files beside what is known of the others."""
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    others = {str(p) for p in walk_mutatable_files()} - files.keys()
    rows = {f: row for f, row in known.get("files", {}).items() if f in others} | files
    listed = [s for s in known.get("survivors", []) if s["file"] in others]
    listed = sorted([*listed, *map(asdict, alive)], key=lambda s: (s["file"], s["line"]))
    content = {
        "tool": f"mutmut {version('mutmut')}",
        "seed": SEED,
        "survivors_by_kind": dict(Counter(s["kind"] for s in listed)),
        "files": dict(sorted(rows.items())),
        "survivors": listed,
        "provenance": provenance(),
    }
    write_json(RESULTS, content)


def main() -> None:
    """Draw, run and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="mutants of every file")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[""], help="files whose path has one in it")
    parser.add_argument(
        "--again", action="store_true", help="run only what is neither killed nor explained"
    )
    given = parser.parse_args()
    os.chdir(ROOT)
    paths = sorted(p for p in walk_mutatable_files() if any(o in str(p) for o in given.only))
    names = {p: all_mutants(p) for p in paths}
    drawn = {p: draw(p, names[p], given.sample, given.seed) for p in paths}
    wanted = [n for p in paths for n in (_open(p, drawn[p]) if given.again else drawn[p])]
    if wanted:
        run(wanted, given.processes)
    files, alive = {}, []
    for path in paths:
        found = states(path, drawn[path])
        left = survivors(path, found)
        files[str(path)] = report(len(names[path]), found, left)
        alive += left
        print(f"{path}: {files[str(path)]}")
    unexplained = [s for s in alive if s.kind == "unexplained"]
    for survivor in unexplained:
        print(f'{survivor.file}:{survivor.line} {survivor.reason}\n    - "{survivor.change}"')
    if not unexplained and given.sample is None and given.seed == SEED:
        record(files, alive)
    sys.exit(bool(unexplained))


if __name__ == "__main__":
    main()
