"""The verb that runs the published tables."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from egno_md.cli.group import Group
from egno_md.cli.options import changes, read_settings, takes_protocol, writes

if TYPE_CHECKING:
    from egno_md.console import Console
    from egno_md.paper.spec import BenchmarkProtocol
    from egno_md.paper.stress.spec import StressProtocol


@click.group(cls=Group)
def benchmark() -> None:
    """Run a published table and print its rows beside ours.

    Every row names its seeds, its budget and how far it is from the paper.
    Results go to results.json and a figure in --out. --resume goes on, and may
    add models and seeds.
    """


def _command(
    name: str,
    parts: str,
    parts_help: str,
    *,
    protocols: Literal["benchmark", "stress"] = "benchmark",
    protocol: str = "",
    reads: str = "",
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command that trains several networks with several seeds.

    Args:
        name: of the command.
        parts: the option that chooses among its parts.
        parts_help: help of that.
        protocols: verb whose protocols it takes.
        protocol: the default one; the command's name by default.
        reads: help of `--data`; empty where the data are generated.
    """

    def make(verb: Callable[..., Any]) -> click.Command:
        @functools.wraps(verb)
        def run(
            *,
            seed: int,
            seeds: int,
            epochs: int | None,
            protocol: str,
            settings: tuple[str, ...],
            console: Console,
            **rest: Any,
        ) -> None:
            from egno_md import registry

            changed = read_settings(settings) | ({} if epochs is None else {"epochs": epochs})
            names = rest.pop(parts).split(",")
            rest[parts] = [name.strip() for name in names if name.strip()]
            spec = registry.protocol(protocols, protocol, changed)
            verb(spec, console, seeds=range(seed, seed + seeds), progress=console, **rest)

        command = writes(changes(run))
        options = [
            click.option(f"--{parts}", default="", metavar="NAME,…", help=parts_help),
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
                help="Budget of every training; the protocol's by default.",
            ),
            click.option(
                "--workers",
                default=1,
                show_default=True,
                type=click.IntRange(1),
                help="Processes that share the trainings.",
            ),
            takes_protocol(protocols, protocol or name),
        ]
        if reads:
            options.append(click.option("--data", type=click.Path(path_type=Path), help=reads))
        for option in reversed(options):
            command = option(command)
        return click.command(name)(command)

    return make


def _table(name: str, *, reads: str = "") -> Callable[[Callable[..., Any]], click.Command]:
    """The command of one data set's table."""
    return _command(name, "models", "Rows to run; all of them by default.", reads=reads)


@_table("nbody")
def nbody(*arguments: Any, **options: Any) -> None:
    """Charged particles: five charges, one network call for a unit of time."""
    _run(*arguments, **options)


@_table("mocap", reads="The npz file, or a folder of CMU's ASF and AMC files.")
def mocap(*arguments: Any, **options: Any) -> None:
    """Motion capture: 31 joints of a running or walking human, 30 frames ahead."""
    _run(*arguments, **options)


@_table("md17", reads="The original npz file of a molecule, or a trajectory store.")
def md17(*arguments: Any, **options: Any) -> None:
    """MD17: heavy atoms of a molecule, 1.5 ps ahead."""
    _run(*arguments, **options)


@_table("adk", reads="A folder with one PSF and one DCD file; fetched by default.")
def adk(*arguments: Any, **options: Any) -> None:
    """Adenylate kinase: 855 backbone atoms, 3.6 ns ahead."""
    _run(*arguments, **options)


def _run(protocol: BenchmarkProtocol, console: Console, *, out: Path, **options: Any) -> None:
    from egno_md.paper.run import run_benchmark
    from egno_md.paper.table import benchmark_rows

    content = run_benchmark(protocol, out, **options)
    unit = f", {content['unit']}" if content["unit"] else ""
    console.table(
        f"{content['data']['source']}; mean squared errors{unit}", *benchmark_rows(content)
    )
    console.result(content, f"Figure and numbers: {out}")


@_command(
    "stress",
    "questions",
    "equivariance, resolution, collisions, ladder, modes; all of them by default.",
    protocols="stress",
    protocol="default",
)
def stress(protocol: StressProtocol, console: Console, *, out: Path, **options: Any) -> None:
    """What the EGNO paper leaves open: symmetry, resolution, collisions, long windows, modes.

    Trains small operators on charged particles and on spheres that bounce, and
    says what it found in sentences. --resume goes on, and may add questions and
    seeds.
    """
    from egno_md.paper.stress.run import run_stress
    from egno_md.paper.stress.tables import stress_tables

    content = run_stress(protocol, out, **options)
    for table in stress_tables(content).values():
        console.table(*table)
    sentences = [text for texts in content["findings"].values() for text in texts]
    console.result(content, *sentences, f"Figure and numbers: {out}")


for _each in (nbody, mocap, md17, adk, stress):
    benchmark.add_command(_each)
