"""Compiles the C files beside this one with the machine's own compiler, once, and loads them.

No compiler, no place to write, or ``EGNO_MD_NATIVE=0``: then there is no library, `reason` says
why, and every caller has the same calculation in torch.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
UNITS = ("egnn.c", "egno.c", "linear.c", "perceptron.c", "spectral.c")
FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC", "-fno-math-errno", "-ffp-contract=fast")
NATIVE = ("-march=native",)
SWITCH = "EGNO_MD_NATIVE"
SECONDS = 120
"""After which a compiler has failed."""


@dataclass(frozen=True, eq=False)
class Library:
    """The compiled functions.

    Attributes:
        path: of the shared object.
        lanes: floats of a vector.
        find: a function by its name.
    """

    path: Path
    lanes: int
    find: Callable[[str], Callable[..., int]]


@dataclass(frozen=True)
class _Missing:
    reason: str


def library() -> Library | None:
    """The compiled functions, or None where there are none; built by the first call."""
    result = _load(os.environ.get(SWITCH, "1"))
    return result if isinstance(result, Library) else None


def described() -> str:
    """In a word for records: compiled, and how wide, or torch, and why."""
    functions = library()
    return f"torch ({reason()})" if functions is None else f"compiled, vectors of {functions.lanes}"


def reason() -> str | None:
    """Why there is no library, or None where there is one."""
    result = _load(os.environ.get(SWITCH, "1"))
    return result.reason if isinstance(result, _Missing) else None


@cache
def _load(switch: str) -> Library | _Missing:
    if switch == "0":
        return _Missing(f"{SWITCH}=0 asks for torch alone")
    compiler = _compiler()
    if compiler is None:
        return _Missing("no C compiler was found. Install gcc or clang, or set CC")
    try:
        with _folder() as folder:
            path = _build(compiler, folder)
            shared = ctypes.CDLL(str(path))
        lanes = int(shared.lanes())
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError, AttributeError) as error:
        return _Missing(f"{compiler} could not build it: {_line(error)}")

    def find(name: str) -> Callable[..., int]:
        return getattr(shared, name)

    return Library(path, lanes, find)


def _compiler() -> str | None:
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (path := shutil.which(name)):
            return path
    return None


@contextmanager
def _folder() -> Iterator[Path]:
    """The folder of builds, if nobody else can write there; else one for this process alone."""
    folder = Path()
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "egno-md" / "native"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        is_owner = not hasattr(os, "getuid") or status.st_uid == os.getuid()
        is_ours = is_owner and not status.st_mode & 0o022 and os.access(folder, os.W_OK)
    except (OSError, RuntimeError):  # no home, or none that can be written
        is_ours = False
    if is_ours:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="egno-md-native-") as scratch:
        yield Path(scratch)


def _build(compiler: str, folder: Path) -> Path:
    flags = [*FLAGS, *(NATIVE if _takes(compiler, NATIVE) else ())]
    # predefined macros name the compiler's version and the processor's instruction sets
    machine = _run([compiler, *flags, "-dM", "-E", "-x", "c", os.devnull])
    digest = hashlib.sha256(machine.encode())
    for file in sorted(SOURCES.glob("*.[ch]")):
        digest.update(file.read_bytes())
    path = folder / f"egno-{digest.hexdigest()[:16]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            target = Path(scratch) / path.name
            units = [str(SOURCES / unit) for unit in UNITS]
            _run([compiler, *flags, "-o", str(target), *units, "-lm"])
            target.replace(path)
    return path


def _takes(compiler: str, flags: tuple[str, ...]) -> bool:
    try:
        _run([compiler, *flags, "-E", "-x", "c", os.devnull])
    except subprocess.CalledProcessError:
        return False
    return True


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)
    return done.stdout


def _line(error: Exception) -> str:
    output = getattr(error, "stderr", None) or str(error)
    lines = output.strip().splitlines() or [type(error).__name__]
    return next((line for line in lines if "error" in line), lines[0])
