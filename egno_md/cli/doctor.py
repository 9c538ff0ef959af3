"""`doctor`: whether everything that egno-md needs works here, and what to do if not."""

from __future__ import annotations

import locale
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

Status = Literal["ok", "warning", "problem"]
DISTRIBUTION = "egno-md"
OLDEST_PYTHON = (3, 11)
LIBRARY = r"(lib(?!OpenMM)\S+): cannot open"
"""The missing library in the error of an OpenMM plugin."""
LITTLE_SPACE, SOME_SPACE = 0.5, 5.0
"""GB of free disk below which a run fails soon, and below which it may."""


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        check: its name.
        status: ``ok``, ``warning`` (works, but) or ``problem`` (must be mended).
        text: the result.
        remedy: what to do; empty where nothing needs to be done.
    """

    check: str
    status: Status
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All findings.

    Attributes:
        findings: in the order of the checks.
    """

    findings: tuple[Finding, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing must be mended."""
        return all(f.status != "problem" for f in self.findings)

    @property
    def verdict(self) -> str:
        """One line."""
        counts = {s: sum(f.status == s for f in self.findings) for s in ("problem", "warning")}
        if counts["problem"]:
            return f"{counts['problem']} to mend, see 'problem' above."
        if counts["warning"]:
            return f"Ready, with {counts['warning']} to know of, see 'warning' above."
        return "Ready."

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        findings = [asdict(f) for f in self.findings]
        return {"healthy": self.is_healthy, "verdict": self.verdict, "findings": findings}


def run_doctor(tell: Callable[[Finding], None] | None = None) -> Diagnosis:
    """Run all checks, in a few seconds. Never raises: a failed check is a finding.

    Args:
        tell: called with each finding.
    """
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        for finding in contained(name, check):
            findings.append(finding)
            if tell is not None:
                tell(finding)
    return Diagnosis(tuple(findings))


def contained(name: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """The findings of a check; its failure becomes a finding."""
    findings: list[Finding] = []
    try:
        findings.extend(check())
    except Exception as error:  # a check must never end the others
        detail = " ".join(str(error).split())[:200]
        text = f"the check failed: {type(error).__name__}: {detail}"
        findings.append(
            Finding(name, "problem", text, REMEDIES.get(name, "Install egno-md again."))
        )
    return findings


def _python() -> Iterator[Finding]:
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        yield Finding("Python", "problem", text, "Install Python 3.11 or newer.")
    else:
        yield Finding("Python", "ok", text)


def _packages() -> Iterator[Finding]:
    """Installed versions against what pyproject.toml asks for and what was tested."""
    satisfied, others, tested = 0, [], tested_versions()
    for text in metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = requirement.name
        version = installed_version(name)
        remedy = f"Run: pip install '{name}{requirement.specifier}'"
        if version is None:
            yield Finding("packages", "problem", f"{name} is not installed.", remedy)
        elif not requirement.specifier.contains(version, prereleases=True):
            message = f"{name} {version} is installed, {requirement.specifier} is needed."
            yield Finding("packages", "problem", message, remedy)
        else:
            satisfied += 1
            if version.split("+")[0] != tested.get(_canonical(name), version).split("+")[0]:
                others.append(f"{name} {version} (tested: {tested[_canonical(name)]})")
    same = "all as tested" if not others else f"not as tested: {', '.join(others)}"
    yield Finding("packages", "ok", f"{satisfied} as required; {same}")


def installed_version(name: str) -> str | None:
    """Version of an installed distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def tested_versions() -> dict[str, str]:
    """The exact versions of constraints.txt, in a wheel or a checkout."""
    package = Path(__file__).resolve().parent.parent
    for path in (package / "constraints.txt", package.parent / "constraints.txt"):
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            pairs = (line.split("==") for line in lines if "==" in line and line[0] != "#")
            return {_canonical(name): version.strip() for name, version in pairs}
    return {}


def _canonical(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _openmm() -> Iterator[Finding]:
    """Every platform, timed on alanine dipeptide."""
    from egno_md.md.build import load_system
    from egno_md.md.platforms import platform_speeds, plugin_failures

    speeds = platform_speeds(load_system("ala2"))
    for speed in speeds:
        if speed.ns_per_day is None:
            remedy = "Use another platform, or repair its driver."
            yield Finding("OpenMM", "warning", f"{speed.name}: {speed.problem}", remedy)
        else:
            text = f"{speed.name}: {speed.ns_per_day:,.0f} ns/day (alanine dipeptide, 0.5 fs)"
            yield Finding("OpenMM", "ok", text)
    missing = sorted({m[1] for line in plugin_failures() if (m := re.search(LIBRARY, line))})
    if missing:
        text = f"platforms that need {', '.join(missing)} are not loaded"
        yield Finding("OpenMM", "ok", text, "For a GPU, install its driver; else nothing.")
    if all(s.ns_per_day is None for s in speeds):
        yield Finding("OpenMM", "problem", "no platform works.", REMEDIES["OpenMM"])


def _torch() -> Iterator[Finding]:
    import torch

    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} thread(s)")
    if not torch.cuda.is_available():
        built_for = torch.version.cuda
        why = "this torch is built for the CPU" if built_for is None else "no usable GPU or driver"
        yield Finding("GPU", "ok", f"none for networks: {why}; they run on the CPU")
        return
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        one = torch.ones(8, 8, device=device)
        works = float((one @ one).sum().cpu()) == 512.0
        memory = torch.cuda.get_device_properties(device).total_memory / 1e9
        text = f"{torch.cuda.get_device_name(device)}, {memory:.0f} GB"
        if works:
            yield Finding("GPU", "ok", text)
        else:
            yield Finding("GPU", "problem", f"{text} computes wrongly.", "Use --device cpu.")


def _loops() -> Iterator[Finding]:
    """Whether the networks' loops are compiled."""
    from egno_md.nn.native import described, library

    if library() is None:
        remedy = "Install gcc or clang: networks are two to three times as fast on a CPU with it."
        yield Finding("loops", "warning", described(), remedy)
    else:
        yield Finding("loops", "ok", described())


def _threads() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    openmp = os.environ.get("OMP_NUM_THREADS", "not set")
    text = f"{cores} core(s) usable; OMP_NUM_THREADS {openmp}"
    if openmp.isdigit() and cores and int(openmp) > cores:
        remedy = f"Set OMP_NUM_THREADS={cores} or less."
        yield Finding("threads", "warning", f"{text}: more threads than cores are slow", remedy)
    else:
        yield Finding("threads", "ok", text)


def _xtb() -> Iterator[Finding]:
    """GFN2-xTB of ethanol, timed."""
    from egno_md.md.build import load_system
    from egno_md.md.engine import OpenMMEngine

    engine = OpenMMEngine(load_system("ethanol"), timestep=5e-4, kelvin=300.0, friction=5.0, seed=0)
    engine.start()
    steps = 40
    begun = time.perf_counter()
    engine.skip(steps)
    each = (time.perf_counter() - begun) / steps * 1e3
    yield Finding("xTB", "ok", f"GFN2-xTB of ethanol: {each:.1f} ms a step")


def _operator() -> Iterator[Finding]:
    """The shipped operator predicts one window of ethanol."""
    import numpy as np

    from egno_md.md.build import load_system
    from egno_md.md.engine import OpenMMEngine
    from egno_md.nn.operator import WindowOperator
    from egno_md.propagate.source import OperatorWindows
    from egno_md.propagate.state import ReplicaState
    from egno_md.spec.files import find_operator

    built = load_system("ethanol")
    operator = WindowOperator.load(find_operator("ethanol", None))
    source = OperatorWindows(operator.bind(built.system), built.system.masses)
    frame = OpenMMEngine(built, timestep=5e-4, kelvin=300.0, friction=5.0, seed=0).start()
    state = ReplicaState(0, frame, np.random.default_rng(0))
    source.propose([state])
    begun = time.perf_counter()
    (proposal,) = source.propose([state])
    spent = (time.perf_counter() - begun) * 1e3
    length = source.window.length * 1e3
    text = f"the shipped one decodes {length:g} fs of ethanol in {spent:.1f} ms"
    if proposal.end.is_finite:
        yield Finding("operator", "ok", text)
    else:
        yield Finding("operator", "problem", f"{text}: not finite", REMEDIES["operator"])


def _extras() -> Iterator[Finding]:
    """Optional extras: installed, or how to install them."""
    requirements = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
    for extra in metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []:
        packages = [
            r.name
            for r in requirements
            if r.marker
            and r.marker.evaluate({"extra": extra})
            and not r.marker.evaluate({"extra": ""})
        ]
        missing = [name for name in packages if installed_version(name) is None]
        if missing:
            text = f"'{extra}' is not installed ({', '.join(missing)})"
            yield Finding("extras", "ok", text, f'Optional: pip install "{DISTRIBUTION}[{extra}]"')
        else:
            yield Finding("extras", "ok", f"'{extra}' is installed")


def _storage() -> Iterator[Finding]:
    """Whether a run could write here."""
    here = Path.cwd()
    free = shutil.disk_usage(here).free / 1e9
    remedy = "Free some, or give --out on another disk."
    status: Status = "problem" if free < LITTLE_SPACE else "warning" if free < SOME_SPACE else "ok"
    yield Finding("disk", status, f"{free:,.1f} GB free here", "" if status == "ok" else remedy)
    try:
        with tempfile.NamedTemporaryFile(dir=here, prefix=".egno-md-"):
            pass
    except OSError as error:
        text = f"{here} cannot be written: {error.strerror}"
        yield Finding("disk", "warning", text, "Give --out a folder that can be written.")


def _hdf5() -> Iterator[Finding]:
    """MDTraj writes and reads a trajectory."""
    import mdtraj
    import numpy as np

    from egno_md.md.build import load_system

    topology = load_system("ala2").system.topology
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.h5"
        xyz = np.zeros((1, topology.n_atoms, 3), dtype=np.float32)
        mdtraj.Trajectory(xyz, topology).save(str(path))
        read = mdtraj.load(str(path))
    yield Finding("files", "ok", f"HDF5 trajectories are written and read ({read.n_atoms} atoms)")


def _locale() -> Iterator[Finding]:
    encoding = (sys.stdout.encoding or "unknown").lower()
    text = f"output is {encoding}, files are {locale.getpreferredencoding(False).lower()}"
    if "utf" in encoding:
        yield Finding("locale", "ok", text)
    else:
        remedy = "Set PYTHONUTF8=1 to see Å, Δ and ½."
        yield Finding("locale", "warning", text, remedy)


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "Python": _python,
    "packages": _packages,
    "threads": _threads,
    "OpenMM": _openmm,
    "torch": _torch,
    "loops": _loops,
    "xTB": _xtb,
    "operator": _operator,
    "files": _hdf5,
    "extras": _extras,
    "disk": _storage,
    "locale": _locale,
}

REMEDIES = {
    "packages": "Install it: pip install egno-md, or 'make demo' in a checkout.",
    "OpenMM": "Run: pip install --force-reinstall openmm",
    "torch": "Run: pip install --force-reinstall torch==2.13.0",
    "xTB": "Run: pip install tblite",
    "operator": "Install egno-md again: its shipped operator is damaged or torch is.",
    "files": "Run: pip install --force-reinstall tables mdtraj",
}
