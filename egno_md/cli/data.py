"""Verbs that make trajectory stores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from egno_md.cli import complete
from egno_md.cli.options import changes, fans_out, read_settings, takes_protocol, writes

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from egno_md.console import Console
    from egno_md.data.output import OutputMode


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def systems(as_json: bool) -> None:
    """List the shipped systems: atoms, potential, what each needs."""
    from egno_md.cli.systems import list_systems
    from egno_md.console import Console

    console = Console(as_json=as_json)
    rows = list_systems()
    console.table(
        "Shipped systems",
        ["name", "atoms", "potential", "needs", "description"],
        [[r.name, str(r.atoms), r.potential, r.needs, r.description] for r in rows],
    )
    console.result(
        {"systems": [r.__dict__ for r in rows]},
        "Your own: a folder with a system.yaml and a structure works the same.",
    )


@click.command()
@click.argument("system", shell_complete=complete.systems)
@takes_protocol("generate", "nve-500k")
@changes
@fans_out
@writes
def generate(
    system: str,
    protocol: str,
    workers: int,
    executor: Executor | None,
    settings: tuple[str, ...],
    out: Path,
    seed: int,
    device: str,
    mode: OutputMode,
    console: Console,
) -> None:
    """Run reference molecular dynamics of SYSTEM into a trajectory store.

    SYSTEM is a shipped name or a folder with a system.yaml. --workers and --scheduler
    share the protocol's replicas; results do not depend on them.
    """
    from egno_md import registry
    from egno_md.md.generate.run import run_generate

    spec = registry.protocol("generate", protocol, read_settings(settings))
    store = run_generate(
        system,
        spec,
        out,
        seed=seed,
        device=device,
        mode=mode,
        workers=workers,
        executor=executor,
        progress=console,
    )
    frames = store.manifest.frames
    console.result(
        {"out": str(out), "frames": frames, "chains": len(store.chains)},
        f"{frames:,} frames in {len(store.chains)} contiguous stretches: {out}",
    )


@click.command()
@click.argument("source")
@click.option("--topology", type=click.Path(path_type=Path), help="PDB, PSF, GRO … with the atoms.")
@click.option("--spacing", help="Time between frames, such as '0.5 fs'.")
@click.option(
    "--velocities",
    type=click.Choice(["stored", "finite-difference", "none"]),
    default="stored",
    show_default=True,
)
@click.option("--selection", help="Atoms to keep, in MDTraj's language.")
@click.option(
    "--system",
    help="Check against this system and take its masses and bonds.",
    shell_complete=complete.systems,
)
@click.option("--name", help="Name of the system, where --system is not given.")
@click.option("--sha256", help="Checksum a download must have.")
@click.option(
    "--trust-first-download",
    is_flag=True,
    help="Download without a known checksum; it is recorded and asked for ever after.",
)
@writes
def load(
    source: str,
    topology: Path | None,
    spacing: str | None,
    velocities: str,
    selection: str | None,
    system: str | None,
    name: str | None,
    sha256: str | None,
    trust_first_download: bool,
    out: Path,
    seed: int,
    device: str,
    mode: OutputMode,
    console: Console,
) -> None:
    """Load SOURCE, a trajectory file, into a trajectory store.

    SOURCE is an MD17 npz (original or revised) or anything MDTraj reads: DCD,
    XTC, TRR, HDF5, NetCDF, PDB, GRO. 'md17:ethanol' downloads that molecule's
    original file first.
    """
    from egno_md.core.units import parse_quantity
    from egno_md.md.load import fetch_source, run_load

    store = run_load(
        fetch_source(source, sha256, trust_first_download, console),
        out,
        topology=topology,
        spacing=None if spacing is None else parse_quantity(spacing, "time"),
        velocities=velocities,  # type: ignore[arg-type]
        selection=selection,
        system=system,
        name=name,
        mode=mode,
        progress=console,
    )
    spacing_text = "not contiguous"
    if store.manifest.spacing is not None:
        spacing_text = f"{store.manifest.spacing * 1e3:g} fs apart"
    console.result(
        {"out": str(out), "frames": store.manifest.frames, "spacing_ps": store.manifest.spacing},
        f"{store.manifest.frames:,} frames of {len(store.masses)} atoms, {spacing_text}: {out}",
    )
