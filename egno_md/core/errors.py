"""Errors that a user can act on: each names the thing, its value and the remedy."""

import reprlib


class _Short(reprlib.Repr):
    """Representation of a file's value in messages, short however large it is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxstring = self.maxother = 200


shown = _Short().repr
"""A value as Python writes it, on one line and shortened."""


class EgnoMDError(Exception):
    """Base of every error a user may meet; the command line prints it as one line, notes below it."""

    def __str__(self) -> str:
        return f"{type(self).__name__}: {super().__str__()}"


class SpecError(EgnoMDError):
    """A protocol, system or option holds a value that cannot be used."""


class DataError(EgnoMDError):
    """A file is missing, truncated or holds something other than expected."""


class WindowMismatch(EgnoMDError):
    """A time is no whole number of timesteps, frames or windows."""


class BundleMismatch(EgnoMDError):
    """An operator bundle does not belong to the system it is asked to move."""


class PotentialError(EgnoMDError):
    """A potential cannot be built, or fails to give an energy."""


class OutputError(EgnoMDError):
    """An output directory cannot be used for this run."""


class TrainingError(EgnoMDError):
    """Training cannot start or has produced something unusable."""


class EnsembleError(EgnoMDError):
    """Some runs of many have failed; the results of the others are kept."""


class ContractError(EgnoMDError):
    """A layer breaks a property it claims, such as a symmetry."""
