"""Pretrained potentials by name, through the optional package OpenMM-ML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openmm
from openmm import app

from egno_md.core.errors import PotentialError
from egno_md.spec.files import suggest
from egno_md.spec.system import OpenMMMLPotential


def build_openmm_ml(
    topology: app.Topology, potential: OpenMMMLPotential, folder: Path
) -> openmm.System:
    """``MLPotential(name, **arguments).createSystem(topology, **options)``.

    An argument that names a file in the system's folder becomes its path. With
    `ase`, ``options.calculator`` is the name of one of ASE's calculators, or a
    mapping of its name and its arguments. Model files of other packages can hold
    pickles: they are as safe as where they come from.

    Raises:
        PotentialError: not installed, not known, or it refuses these atoms.
    """
    try:
        from openmmml import MLPotential
    except ImportError:
        raise PotentialError(
            f"potential {potential.name} needs OpenMM-ML. Run: pip install 'egno-md[ml]', and the "
            "package of the model itself (mace-torch, torchani, aimnet, nequip, ase …)."
        ) from None
    names = sorted(getattr(MLPotential, "_implFactories", {}))
    if names and potential.name not in names:
        raise PotentialError(
            f"OpenMM-ML knows no potential '{potential.name}'.{suggest(potential.name, names)} "
            f"Known: {', '.join(names)}."
        )
    arguments = {k: _in_folder(v, folder) for k, v in potential.arguments.items()}
    options = {k: _in_folder(v, folder) for k, v in potential.options.items()}
    try:
        if "calculator" in options:
            options["calculator"] = _ase_calculator(options["calculator"])
        return MLPotential(potential.name, **arguments).createSystem(topology, **options)
    except PotentialError:
        raise
    except Exception as error:  # whatever the model's own package raises
        detail = " ".join(str(error).split())[:240]
        raise PotentialError(f"potential {potential.name}: {detail}") from None


def _in_folder(value: Any, folder: Path) -> Any:
    is_file = isinstance(value, str) and (folder / value).is_file()
    return str(folder / value) if is_file else value


def _ase_calculator(calculator: Any) -> Any:
    from ase.calculators.calculator import get_calculator_class

    options = {"name": calculator} if isinstance(calculator, str) else dict(calculator)
    name = options.pop("name", None)
    if "command" in options:
        raise PotentialError(
            "options.calculator.command: a system.yaml runs no commands. Set it in ASE's own "
            "configuration."
        )
    try:
        return get_calculator_class(name)(**options)
    except (ImportError, AttributeError, KeyError, TypeError) as error:
        raise PotentialError(f"ASE has no calculator '{name}' here: {error}.") from None
