"""Verbs that make potentials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from egno_md.cli import complete
from egno_md.cli.options import changes, read_settings, takes_protocol, writes

if TYPE_CHECKING:
    from egno_md.console import Console
    from egno_md.data.output import OutputMode


@click.command("fit-potential")
@click.argument("data", type=click.Path(path_type=Path), shell_complete=complete.stores)
@takes_protocol("fit-potential", "tensornet")
@click.option("--system", help="Check against this system and take its bonds.")
@changes
@writes
def fit_potential(
    data: Path,
    protocol: str,
    system: str | None,
    device: str,
    settings: tuple[str, ...],
    out: Path,
    seed: int,
    mode: OutputMode,
    console: Console,
) -> None:
    """Fit a TensorNet potential to the energies and forces of DATA.

    DATA is an MD17 npz (original or revised) or a trajectory store with forces.
    The folder OUT/system is then a SYSTEM for 'egno-md generate'.
    """
    from egno_md import registry
    from egno_md.train.fit_potential import run_fit_potential

    spec = registry.protocol("fit-potential", protocol, read_settings(settings))
    result = run_fit_potential(
        data, spec, out, system=system, seed=seed, device=device, mode=mode, progress=console
    )
    test = result.summary["test"]
    console.result(
        {"folder": str(result.system), **result.summary},
        f"{result.summary['steps']:,} steps in {result.summary['seconds']:.0f} s, "
        f"{result.summary['stopped']}. Over {test['frames']:,} test frames the mean absolute error "
        f"is {test['force_mae']:.3g} kcal/mol/Å of forces, {test['energy_mae']:.3g} kcal/mol of "
        f"energies; {result.summary['milliseconds_per_force']:.2g} ms a force call.",
        f"System: {result.system}",
    )
