"""Verbs that use operators, and show what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from egno_md.cli import complete
from egno_md.cli.options import changes, fans_out, read_settings, writes

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from egno_md.console import Console
    from egno_md.data.output import OutputMode
    from egno_md.propagate.policy import Policy


@click.command()
@click.argument("system", shell_complete=complete.systems)
@click.option(
    "--operator",
    help="Bundle from 'train', or the name of one shipped with SYSTEM.",
    shell_complete=complete.operators,
)
@click.option(
    "--protocol",
    default="nvt-300k",
    show_default=True,
    help="File or shipped name; sampler-300k by default for a sampler.",
    shell_complete=complete.protocols("propagate"),
)
@click.option("--length", help="How far, such as '20 ps'; replaces the protocol's.")
@click.option("--windows", type=click.IntRange(1), help="How far, in windows instead of --length.")
@click.option("--replicas", type=click.IntRange(1), help="Copies; replaces the protocol's.")
@click.option(
    "--batch",
    type=click.IntRange(1),
    help="Copies that are propagated together; every batch of them is a run of its own, which "
    "--workers and --scheduler share. Replaces the protocol's.",
)
@click.option(
    "--refine",
    metavar="every=N",
    help="Refine the end of every N-th window whatever its checks say, such as every=1; or never.",
)
@click.option(
    "--policy",
    type=click.Choice(["off", "monitor", "refine", "fallback", "strict"]),
    help="What to do with a bad window; replaces the protocol's.",
)
@click.option(
    "--start",
    type=click.Path(path_type=Path),
    help="Store to start from.",
    shell_complete=complete.stores,
)
@click.option("--frame", type=int, help="Frame of --start; the last by default.")
@changes
@fans_out
@writes
def propagate(
    system: str,
    operator: str | None,
    protocol: str,
    length: str | None,
    windows: int | None,
    replicas: int | None,
    batch: int | None,
    refine: str | None,
    policy: Policy | None,
    start: Path | None,
    frame: int | None,
    device: str,
    settings: tuple[str, ...],
    workers: int,
    executor: Executor | None,
    out: Path,
    seed: int,
    mode: OutputMode,
    console: Console,
) -> None:
    """Propagate SYSTEM by whole windows with a surrogate, watched by OpenMM."""
    from egno_md.cli.shorthands import default_protocol, length_of, with_refinement
    from egno_md.cli.tables import rollout_lines
    from egno_md.propagate.ensemble import run_ensemble
    from egno_md.propagate.policy import with_policy
    from egno_md.spec.files import find_protocol, read_spec
    from egno_md.spec.propagate import PropagateProtocol

    given = click.get_current_context().get_parameter_source("protocol")
    if given is click.core.ParameterSource.DEFAULT:
        protocol = default_protocol(system, operator)
    overrides = read_settings(settings)
    changed = {"length": length, "replicas": replicas, "batch": batch}
    overrides |= {k: v for k, v in changed.items() if v is not None}
    path = find_protocol("propagate", protocol)
    spec = read_spec(path, PropagateProtocol, overrides)
    if windows is not None:
        overrides["length"] = length_of(system, operator, spec, windows, length)
        spec = read_spec(path, PropagateProtocol, overrides)
    if policy is not None:
        spec = with_policy(spec, policy)
    if refine is not None:
        spec = with_refinement(spec, refine)
    done = run_ensemble(
        system,
        operator,
        spec,
        out,
        start=start,
        frame=frame,
        seed=seed,
        device=device,
        mode=mode,
        workers=workers,
        executor=executor,
        progress=console,
    )
    content = done.summary.to_json()
    console.result({"out": str(out), **content}, *rollout_lines(done.summary, out))


@click.command()
@click.argument("system", shell_complete=complete.systems)
@click.option(
    "--operator",
    help="Bundle from 'train', or the name of one shipped with SYSTEM.",
    shell_complete=complete.operators,
)
@click.option(
    "--protocol",
    default="nve-500k",
    show_default=True,
    help="File or shipped name.",
    shell_complete=complete.protocols("parareal"),
)
@click.option("--length", help="How far, such as '1 ps'; replaces the protocol's.")
@click.option("--slab", help="One parallel piece, such as '40 fs'; replaces the protocol's.")
@click.option("--tolerance", help="From serial, such as '1e-4 nm'; replaces the protocol's.")
@click.option(
    "--start",
    type=click.Path(path_type=Path),
    help="Store to start from.",
    shell_complete=complete.stores,
)
@click.option("--frame", type=int, help="Frame of --start; the last by default.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--verify", is_flag=True, help="Run it serially too and measure the deviation.")
@changes
@writes
def parareal(
    system: str,
    operator: str | None,
    protocol: str,
    length: str | None,
    slab: str | None,
    tolerance: str | None,
    start: Path | None,
    frame: int | None,
    workers: int,
    verify: bool,
    device: str,
    settings: tuple[str, ...],
    out: Path,
    seed: int,
    mode: OutputMode,
    console: Console,
) -> None:
    """Run exact NVE dynamics of SYSTEM, many slabs at once, led by a surrogate."""
    from egno_md.cli.tables import parareal_lines, parareal_rows
    from egno_md.propagate.parareal.run import run_parareal
    from egno_md.spec.files import find_protocol, read_spec
    from egno_md.spec.parareal import PararealProtocol

    overrides = read_settings(settings)
    given = {"length": length, "slab": slab, "tolerance": tolerance}
    overrides |= {k: v for k, v in given.items() if v is not None}
    path = find_protocol("parareal", protocol)
    spec = read_spec(path, PararealProtocol, overrides)
    done = run_parareal(
        system,
        operator,
        spec,
        out,
        start=start,
        frame=frame,
        workers=workers,
        verify=verify,
        seed=seed,
        mode=mode,
        progress=console,
    )
    console.table("Modelled speed-up from measured seconds", *parareal_rows(done.result))
    console.result({"out": str(out), **done.result}, *parareal_lines(done.result, out))


@click.command()
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("rollouts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--topology",
    type=click.Path(path_type=Path),
    help="PDB, PSF, GRO … with the atoms, for files that do not name them (DCD, XTC, TRR, NetCDF).",
)
@click.option("--select", "selection", help="Atoms to compare, in MDTraj's language.")
@click.option(
    "--stride",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Compare every so many frames.",
)
@click.option(
    "--spacing",
    help="Time between frames of files that hold none (DCD, PDB), such as '2 ps'.",
)
@click.option(
    "--rollout-mode",
    type=click.Choice(["auto", "dynamics", "sampler"]),
    default="auto",
    show_default=True,
    help="Kinetics of a sampler are not compared; auto asks the rollout's own summary.",
)
@fans_out
@writes
def compare(
    reference: Path,
    rollouts: tuple[Path, ...],
    topology: Path | None,
    selection: str | None,
    stride: int,
    spacing: str | None,
    rollout_mode: str,
    workers: int,
    executor: Executor | None,
    out: Path,
    seed: int,
    device: str,
    mode: OutputMode,
    console: Console,
) -> None:
    """Compare ROLLOUTS with REFERENCE: structure, thermodynamics, kinetics, integrity.

    Each is a folder of ours or a trajectory file that MDTraj reads (DCD, XTC, TRR,
    HDF5, NetCDF, PDB), of any size: it is read part by part. Every observable comes
    with a 95% block-bootstrap interval, the noise floor (the same difference between
    two stretches of the reference) and a verdict: indistinguishable, different, or
    not enough data, with how much would do. Verdicts are corrected for their number.

    --out gets comparison.json, numbers.csv and figures (SVG and PNG).
    """
    from egno_md.cli.tables import comparison_table
    from egno_md.compare.run import run_compare
    from egno_md.core.units import parse_quantity

    result = run_compare(
        reference,
        list(rollouts),
        out,
        topology=topology,
        selection=selection,
        stride=stride,
        spacing=None if spacing is None else parse_quantity(spacing, "time"),
        rollout_mode=rollout_mode,  # type: ignore[arg-type]
        workers=workers,
        executor=executor,
        seed=seed,
        mode=mode,
        progress=console,
    )
    title = "Rollouts beside the reference; brackets: 95% interval of the difference"
    console.table(title, *comparison_table(result.comparisons))
    lines = [
        f"{label}: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        for label, counts in result.to_json()["verdicts"].items()
    ]
    for comparison in result.comparisons:
        lines += [f"{comparison.label}: {note}" for note in comparison.notes]
    console.result(result.to_json(), *lines, f"Figures and numbers: {out}")


@click.command()
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    shell_complete=complete.runs,
)
@click.option("--title", help="Of the page.")
@writes
def report(
    folders: tuple[Path, ...],
    title: str | None,
    out: Path,
    seed: int,
    device: str,
    mode: OutputMode,
    console: Console,
) -> None:
    """Gather FOLDERS written by other verbs into one self-contained HTML page."""
    from egno_md.report.run import run_report

    page = run_report(list(folders), out, mode=mode, title=title)
    console.result({"report": str(page)}, f"Report: {page}")


@click.command()
@click.option(
    "--system",
    type=click.Choice(["ethanol", "ala2"]),
    default="ethanol",
    show_default=True,
    help="ethanol: windows of dynamics; ala2: windows drawn by a sampler.",
)
@writes
def demo(
    system: str, out: Path, seed: int, device: str, mode: OutputMode, console: Console
) -> None:
    """Run the whole chain in minutes: reference, training, rollouts, comparison, report.

    On ethanol with GFN2-xTB, or on alanine dipeptide in implicit water.
    """
    if system == "ala2":
        from egno_md.cli.demo_sampler import run_sampler_demo as run_demo
    else:
        from egno_md.cli.demo import run_demo

    result = run_demo(out, seed=seed, device=device, mode=mode, console=console)
    for title, columns, rows in result.tables:
        console.table(title, columns, rows)
    console.result(result.content, *result.lines)
