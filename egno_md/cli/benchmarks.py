"""The verb that runs the published tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from egno_md.cli import complete
from egno_md.cli.group import Group
from egno_md.cli.options import changes, read_settings, writes

if TYPE_CHECKING:
    from egno_md.console import Console
    from egno_md.data.output import OutputMode


@click.group(cls=Group)
def benchmark() -> None:
    """Run a published table and print its rows beside ours.

    Every row names its seeds, its budget and how far it is from the paper.
    Results go to results.json and a figure in --out. --resume goes on, and may
    add models and seeds.
    """


def _table(name: str, *, reads: str = "") -> Callable[[Callable[..., Any]], click.Command]:
    """A command that runs the table of one data set.

    Args:
        name: of the data set.
        reads: help of `--data`; empty where the data are generated.
    """

    def make(verb: Callable[..., Any]) -> click.Command:
        run = writes(changes(verb))
        options = [
            click.option(
                "--models",
                default="",
                metavar="NAME,…",
                help="Rows to run; all of them by default.",
            ),
            click.option(
                "--seeds",
                default=1,
                show_default=True,
                type=click.IntRange(1),
                help="How many, from --seed on.",
            ),
            click.option(
                "--epochs",
                type=click.IntRange(1),
                help="Budget of every model; the protocol's by default.",
            ),
            click.option(
                "--workers",
                default=1,
                show_default=True,
                type=click.IntRange(1),
                help="Processes that share the runs.",
            ),
            click.option(
                "--protocol",
                default=name,
                show_default=True,
                help="File or shipped name.",
                shell_complete=complete.protocols("benchmark"),
            ),
        ]
        if reads:
            options.append(click.option("--data", type=click.Path(path_type=Path), help=reads))
        for option in options:
            run = option(run)
        return click.command(name)(run)

    return make


@_table("nbody")
def nbody(**options: Any) -> None:
    """Charged particles: five charges, one network call for a unit of time."""
    _run(**options)


@_table("mocap", reads="The npz file, or a folder of CMU's ASF and AMC files.")
def mocap(**options: Any) -> None:
    """Motion capture: 31 joints of a running or walking human, 30 frames ahead."""
    _run(**options)


@_table("md17", reads="The original npz file of a molecule, or a trajectory store.")
def md17(**options: Any) -> None:
    """MD17: heavy atoms of a molecule, 1.5 ps ahead."""
    _run(**options)


@_table("adk", reads="A folder with one PSF and one DCD file; fetched by default.")
def adk(**options: Any) -> None:
    """Adenylate kinase: 855 backbone atoms, 3.6 ns ahead."""
    _run(**options)


def _run(
    *,
    models: str,
    seeds: int,
    epochs: int | None,
    workers: int,
    protocol: str,
    settings: tuple[str, ...],
    out: Path,
    seed: int,
    device: str,
    mode: OutputMode,
    console: Console,
    data: Path | None = None,
) -> None:
    from egno_md.spec.benchmark import BenchmarkProtocol
    from egno_md.spec.files import find_protocol, read_spec
    from egno_md.workflows.benchmark import run_benchmark
    from egno_md.workflows.tables import benchmark_rows

    told = read_settings(settings) | ({} if epochs is None else {"epochs": epochs})
    rules = read_spec(find_protocol("benchmark", protocol), BenchmarkProtocol, told)
    content = run_benchmark(
        rules,
        out,
        models=_names(models),
        seeds=range(seed, seed + seeds),
        data=data,
        device=device,
        workers=workers,
        mode=mode,
        progress=console,
    )
    unit = f", {content['unit']}" if content["unit"] else ""
    console.table(
        f"{content['data']['source']}; mean squared errors{unit}", *benchmark_rows(content)
    )
    console.result(content, f"Figure and numbers: {out}")


@click.command("stress")
@click.option(
    "--questions",
    default="",
    metavar="NAME,…",
    help="equivariance, resolution, collisions, ladder, modes; all of them by default.",
)
@click.option(
    "--seeds",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="How many, from --seed on.",
)
@click.option(
    "--epochs", type=click.IntRange(1), help="Budget of every training; the protocol's by default."
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Processes that share the trainings.",
)
@click.option(
    "--protocol",
    default="default",
    show_default=True,
    help="File or shipped name.",
    shell_complete=complete.protocols("stress"),
)
@changes
@writes
def stress(
    *,
    questions: str,
    seeds: int,
    epochs: int | None,
    workers: int,
    protocol: str,
    settings: tuple[str, ...],
    out: Path,
    seed: int,
    device: str,
    mode: OutputMode,
    console: Console,
) -> None:
    """What the EGNO paper leaves open: symmetry, resolution, collisions, long windows, modes.

    Trains small operators on charged particles and on spheres that bounce, and
    says what it found in sentences. --resume goes on, and may add questions and
    seeds.
    """
    from egno_md.report.stress_tables import stress_tables
    from egno_md.spec.files import find_protocol, read_spec
    from egno_md.spec.stress import StressProtocol
    from egno_md.workflows.stress import run_stress

    told = read_settings(settings) | ({} if epochs is None else {"epochs": epochs})
    rules = read_spec(find_protocol("stress", protocol), StressProtocol, told)
    content = run_stress(
        rules,
        out,
        questions=_names(questions),
        seeds=range(seed, seed + seeds),
        device=device,
        workers=workers,
        mode=mode,
        progress=console,
    )
    for table in stress_tables(content).values():
        console.table(*table)
    sentences = [text for found in content["findings"].values() for text in found]
    console.result(content, *sentences, f"Figure and numbers: {out}")


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]


for _command in (nbody, mocap, md17, adk, stress):
    benchmark.add_command(_command)
