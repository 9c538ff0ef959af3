"""The command line: one command per verb, imports inside the commands."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from egno_md.core.errors import EgnoMDError, SpecError

if TYPE_CHECKING:
    from egno_md.console import Console
    from egno_md.data.output import OutputMode

# Nine-atom matrices lose time to threads; a user's own setting wins. OpenMP
# reads it once, before the first numerical library is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

USER_ERROR = 2
INTERRUPTED = 130


class Group(click.Group):
    """Suggests the nearest verb, and turns our errors into one line."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb."""
        from egno_md.spec.files import suggest

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(
                f"{error.message}{suggest(args[0], list(self.commands))}"
            ) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a traceback reaches a user only for a bug."""
        try:
            return super().invoke(ctx)
        except EgnoMDError as error:
            message = " ".join(str(error).split())
        except KeyboardInterrupt:
            click.echo("Interrupted. Continue with the same command and --resume.", err=True)
            sys.exit(INTERRUPTED)
        click.echo(message, err=True)
        sys.exit(USER_ERROR)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="egno-md")
def main() -> None:
    """Learned molecular-dynamics windows, with OpenMM as teacher, judge and fallback.

    A typical chain: generate reference dynamics, train an operator on it,
    evaluate it, propagate with it, compare with the reference, and report.
    'egno-md demo' runs all of it on ethanol.

    Exit codes: 0 done, 2 something to mend in what you asked for (one line
    says what), 130 interrupted.
    """


def writes(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every verb that writes; gives it `out`, `mode` and `console`."""

    @click.option("--out", required=True, type=click.Path(path_type=Path), help="Output directory.")
    @click.option("--resume", is_flag=True, help="Continue the same run in --out.")
    @click.option("--overwrite", is_flag=True, help="Replace an earlier run in --out.")
    @click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1))
    @click.option("--quiet", is_flag=True, help="Only results and errors.")
    @click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
    @functools.wraps(verb)
    def wrapped(*args: Any, resume: bool, overwrite: bool, quiet: bool, as_json: bool, **kw: Any):
        from egno_md.console import Console

        if resume and overwrite:
            raise SpecError("--resume and --overwrite exclude each other. Give one.")
        mode: OutputMode = "resume" if resume else "overwrite" if overwrite else "new"
        console = Console(quiet=quiet or as_json, as_json=as_json)
        console.stage(verb.__name__)
        try:
            return verb(*args, mode=mode, console=console, **kw)
        finally:
            console.close()

    return wrapped


def changes(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The `--set` option: changes of protocol keys."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change one protocol key, such as sampling.length='50 ps'. Repeatable.",
    )(verb)


device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "gpu"]),
    default="auto",
    show_default=True,
    help="Where the network runs.",
)


def read_settings(settings: tuple[str, ...]) -> dict[str, object]:
    """``key=value`` pairs, values read as YAML."""
    import yaml

    pairs: dict[str, object] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key:
            raise SpecError(f"--set {setting!r}: write KEY=VALUE, such as temperature='300 K'.")
        try:
            pairs[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise SpecError(f"--set {setting!r}: the value cannot be read as YAML.") from None
    return pairs


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def systems(as_json: bool) -> None:
    """List the shipped systems: atoms, potential, what each needs."""
    from egno_md.console import Console
    from egno_md.workflows.systems import list_systems

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


@main.command()
@click.argument("system")
@click.option("--protocol", default="nve-500k", show_default=True, help="File or shipped name.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes.")
@changes
@writes
def generate(
    system: str,
    protocol: str,
    workers: int,
    settings: tuple[str, ...],
    out: Path,
    seed: int,
    mode: OutputMode,
    console: Console,
) -> None:
    """Run reference molecular dynamics of SYSTEM into a trajectory store.

    SYSTEM is a shipped name or a folder with a system.yaml.
    """
    from egno_md.spec.files import find_protocol, read_spec
    from egno_md.spec.generate import GenerateProtocol
    from egno_md.workflows.generate import run_generate

    path = find_protocol("generate", protocol)
    spec = read_spec(path, GenerateProtocol, read_settings(settings))
    store = run_generate(system, spec, out, seed=seed, mode=mode, workers=workers, progress=console)
    frames = store.manifest.frames
    console.result(
        {"out": str(out), "frames": frames, "chains": len(store.chains)},
        f"{frames:,} frames in {len(store.chains)} contiguous stretches: {out}",
    )


@main.command()
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
@click.option("--system", help="Check against this system and take its masses and bonds.")
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
    mode: OutputMode,
    console: Console,
) -> None:
    """Load SOURCE, a trajectory file, into a trajectory store.

    SOURCE is an MD17 npz (original or revised) or anything MDTraj reads: DCD,
    XTC, TRR, HDF5, NetCDF, PDB, GRO. 'md17:ethanol' downloads that molecule's
    original file first.
    """
    from egno_md.core.units import parse_quantity
    from egno_md.workflows.load import fetch_source, run_load

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


@main.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--protocol", default="egno-8fs", show_default=True, help="File or shipped name.")
@device_option
@changes
@writes
def train(
    data: Path,
    protocol: str,
    device: str,
    settings: tuple[str, ...],
    out: Path,
    seed: int,
    mode: OutputMode,
    console: Console,
) -> None:
    """Train an operator on DATA, a trajectory store."""
    from egno_md.spec.files import find_protocol, read_spec
    from egno_md.spec.train import TrainProtocol
    from egno_md.workflows.train import run_train

    path = find_protocol("train", protocol)
    spec = read_spec(path, TrainProtocol, read_settings(settings))
    done = run_train(data, spec, out, seed=seed, device=device, mode=mode, progress=console)
    best = done.summary["validation"]
    console.result(
        {"bundle": str(done.bundle), **done.summary},
        f"{done.summary['steps']:,} steps in {done.summary['seconds']:.0f} s, "
        f"{done.summary['stopped']}. Validation: F-MSE {best['f_mse']:.3g} Å², "
        f"A-MSE {best['a_mse']:.3g} Å², velocity error {best['velocity_error']:.1%} of thermal.",
        f"Operator: {done.bundle}",
    )


@main.command()
@click.argument("operator", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--part",
    type=click.Choice(["test", "validation", "train", "all"]),
    default="test",
    show_default=True,
    help="Which part of DATA, by the training split.",
)
@writes
def evaluate(
    operator: Path, data: Path, part: str, out: Path, seed: int, mode: OutputMode, console: Console
) -> None:
    """Measure OPERATOR, a bundle, on held-out frames of DATA."""
    from egno_md.workflows.evaluate import run_evaluate
    from egno_md.workflows.tables import evaluation_rows

    result = run_evaluate(operator, data, out, part=part, seed=seed, mode=mode, progress=console)
    console.table(
        f"{result['system']}: {result['windows']:,} held-out windows, "
        f"F-MSE {result['f_mse']:.3g} Å², A-MSE {result['a_mse']:.3g} Å²",
        *evaluation_rows(result),
    )
    symmetry = ", ".join(f"{k} {v:.1e}" for k, v in result["equivariance"].items())
    shot = result["zero_shot"]
    doubled = (
        f"Twice the points, zero-shot: F-MSE {shot['f_mse']:.3g} Å², A-MSE {shot['a_mse']:.3g} Å²"
        if shot["available"]
        else f"Twice the points: not measured, {shot['reason']}."
    )
    console.result(
        result, f"Equivariance residuals: {symmetry}", doubled, f"Figures and numbers: {out}"
    )


@main.command()
@click.argument("system")
@click.option(
    "--operator", required=True, type=click.Path(path_type=Path), help="Bundle from 'train'."
)
@click.option("--protocol", default="nvt-500k", show_default=True, help="File or shipped name.")
@click.option("--length", help="How far, such as '20 ps'; replaces the protocol's.")
@click.option("--replicas", type=click.IntRange(1), help="Copies; replaces the protocol's.")
@click.option(
    "--policy",
    type=click.Choice(["off", "monitor", "refine", "fallback", "strict"]),
    help="What to do with a bad window; replaces the protocol's.",
)
@click.option("--start", type=click.Path(path_type=Path), help="Store to start from.")
@click.option("--frame", type=int, help="Frame of --start; the last by default.")
@device_option
@changes
@writes
def propagate(
    system: str,
    operator: Path,
    protocol: str,
    length: str | None,
    replicas: int | None,
    policy: str | None,
    start: Path | None,
    frame: int | None,
    device: str,
    settings: tuple[str, ...],
    out: Path,
    seed: int,
    mode: OutputMode,
    console: Console,
) -> None:
    """Propagate SYSTEM by whole windows with a surrogate, watched by OpenMM."""
    from egno_md.spec.files import find_protocol, read_spec
    from egno_md.spec.propagate import PropagateProtocol
    from egno_md.workflows.propagate import run_propagate
    from egno_md.workflows.tables import rollout_lines

    overrides = read_settings(settings)
    given = {"length": length, "replicas": replicas, "policy": policy}
    overrides |= {k: v for k, v in given.items() if v is not None}
    path = find_protocol("propagate", protocol)
    spec = read_spec(path, PropagateProtocol, overrides)
    done = run_propagate(
        system,
        operator,
        spec,
        out,
        start=start,
        frame=frame,
        seed=seed,
        device=device,
        mode=mode,
        progress=console,
    )
    console.result({"out": str(out), **done.summary}, *rollout_lines(done.summary, out))


@main.command()
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("rollouts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--topology", type=click.Path(path_type=Path), help="For files without atoms.")
@writes
def compare(
    reference: Path,
    rollouts: tuple[Path, ...],
    topology: Path | None,
    out: Path,
    seed: int,
    mode: OutputMode,
    console: Console,
) -> None:
    """Compare ROLLOUTS with REFERENCE: stores, or files MDTraj reads."""
    from egno_md.workflows.compare import run_compare
    from egno_md.workflows.tables import comparison_table

    result = run_compare(
        reference, list(rollouts), out, topology=topology, seed=seed, mode=mode, progress=console
    )
    title = "Rollouts beside the reference; brackets: 95% interval of the difference"
    console.table(title, *comparison_table(result.comparisons))
    lines = [
        f"{label}: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        for label, counts in result.to_json()["verdicts"].items()
    ]
    console.result(result.to_json(), *lines, f"Figures and numbers: {out}")


@main.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--title", help="Of the page.")
@writes
def report(
    folders: tuple[Path, ...],
    title: str | None,
    out: Path,
    seed: int,
    mode: OutputMode,
    console: Console,
) -> None:
    """Gather FOLDERS written by other verbs into one self-contained HTML page."""
    from egno_md.workflows.report import run_report

    page = run_report(list(folders), out, mode=mode, title=title)
    console.result({"report": str(page)}, f"Report: {page}")


@main.command()
@writes
def demo(out: Path, seed: int, mode: OutputMode, console: Console) -> None:
    """Run the whole chain on ethanol with GFN2-xTB in a few minutes."""
    from egno_md.workflows.demo import run_demo

    result = run_demo(out, seed=seed, mode=mode, console=console)
    for title, columns, rows in result.tables:
        console.table(title, columns, rows)
    console.result(result.content, *result.lines)
