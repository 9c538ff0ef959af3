"""Verbs that make and measure operators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from egno_md.cli import complete
from egno_md.cli.options import changes, read_settings, takes_protocol, writes

if TYPE_CHECKING:
    from egno_md.console import Console
    from egno_md.data.output import OutputMode


@click.command()
@click.argument("data", type=click.Path(path_type=Path), shell_complete=complete.stores)
@takes_protocol("train", "egno-8fs")
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
    from egno_md import registry
    from egno_md.cli.tables import training_lines
    from egno_md.train.run import run_train

    spec = registry.protocol("train", protocol, read_settings(settings))
    result = run_train(data, spec, out, seed=seed, device=device, mode=mode, progress=console)
    content = {"bundle": str(result.bundle), **result.summary}
    console.result(content, *training_lines(result.summary, result.bundle))


@click.command()
@click.argument("operator", shell_complete=complete.named_operators)
@click.option("--json", "as_json", is_flag=True, help="The whole card as JSON.")
def card(operator: str, as_json: bool) -> None:
    """Show the card of OPERATOR: a bundle, or SYSTEM or SYSTEM/NAME for a shipped one."""
    from egno_md.cli.tables import card_lines
    from egno_md.console import Console
    from egno_md.nn.bundle import read_card
    from egno_md.spec.files import find_named_operator

    model_card = read_card(find_named_operator(operator))
    Console(as_json=as_json).result(model_card.model_dump(mode="json"), *card_lines(model_card))


@click.command()
@click.argument("operator", type=click.Path(path_type=Path), shell_complete=complete.bundles)
@click.argument("data", type=click.Path(path_type=Path), shell_complete=complete.stores)
@click.option(
    "--part",
    type=click.Choice(["test", "validation", "train", "all"]),
    default="test",
    show_default=True,
    help="Which part of DATA, by the training split.",
)
@writes
def evaluate(
    operator: Path,
    data: Path,
    part: str,
    out: Path,
    seed: int,
    device: str,
    mode: OutputMode,
    console: Console,
) -> None:
    """Measure OPERATOR, a bundle, on held-out frames of DATA."""
    from egno_md.cli.tables import card_lines, evaluation_rows
    from egno_md.nn.operator import WindowOperator
    from egno_md.train.evaluate import run_evaluate

    for line in card_lines(WindowOperator.load(operator).card):
        console.note(line)
    result = run_evaluate(
        operator, data, out, part=part, seed=seed, device=device, mode=mode, progress=console
    )
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
