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
    found = _load(os.environ.get(SWITCH, "1"))
    return found if isinstance(found, Library) else None


def described() -> str:
    """In a word for records: compiled, and how wide, or torch, and why."""
    found = library()
    return f"torch ({reason()})" if found is None else f"compiled, vectors of {found.lanes}"


def reason() -> str | None:
    """Why there is no library, or None where there is one."""
    found = _load(os.environ.get(SWITCH, "1"))
    return found.reason if isinstance(found, _Missing) else None


@cache
def _load(switch: str) -> Library | _Missing:
    if switch == "0":
        return _Missing(f"{SWITCH}=0 asks for torch alone")
    compiler = _compiler()
    if compiler is None:
        return _Missing("no C compiler was found. Install gcc or clang, or set CC")
    try:
        with _folder() as folder:
            path = _built(compiler, folder)
            loaded = ctypes.CDLL(str(path))
        lanes = int(loaded.lanes())
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError, AttributeError) as error:
        return _Missing(f"{compiler} could not build it: {_line(error)}")

    def find(name: str) -> Callable[..., int]:
        return getattr(loaded, name)

    return Library(path, lanes, find)


def _compiler() -> str | None:
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (found := shutil.which(name)):
            return found
    return None


@contextmanager
def _folder() -> Iterator[Path]:
    """Where builds are kept, if nobody else can write there; else one for this process alone."""
    folder = Path()
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "egno-md" / "native"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
        is_ours = own and not status.st_mode & 0o022 and os.access(folder, os.W_OK)
    except (OSError, RuntimeError):  # no home, or none that can be written
        is_ours = False
    if is_ours:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="egno-md-native-") as scratch:
        yield Path(scratch)


def _built(compiler: str, folder: Path) -> Path:
    flags = [*FLAGS, *(NATIVE if _takes(compiler, NATIVE) else ())]
    # what the compiler predefines tells its version and what this machine's processor can do
    machine = _run([compiler, *flags, "-dM", "-E", "-x", "c", os.devnull])
    digest = hashlib.sha256(machine.encode())
    for file in sorted(SOURCES.glob("*.[ch]")):
        digest.update(file.read_bytes())
    path = folder / f"egno-{digest.hexdigest()[:16]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / path.name
            units = [str(SOURCES / unit) for unit in UNITS]
            _run([compiler, *flags, "-o", str(made), *units, "-lm"])
            made.replace(path)
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
    said = getattr(error, "stderr", None) or str(error)
    lines = said.strip().splitlines() or [type(error).__name__]
    return next((line for line in lines if "error" in line), lines[0])
