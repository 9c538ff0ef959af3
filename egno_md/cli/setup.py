"""Verbs that look after the installation and write files to begin with."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from egno_md.cli import complete
from egno_md.cli.group import FOUND_WANTING, Group


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(as_json: bool) -> None:
    """Check that everything works here, and say what to do where it does not.

    Looks at Python, packages, OpenMM's platforms and their speed, GPUs, threads,
    GFN2-xTB, the shipped operator, files, disk and locale. Exit code 0 when
    nothing must be mended, else 1.
    """
    from egno_md.console import Console
    from egno_md.workflows.doctor import Finding, run_doctor

    def tell(finding: Finding) -> None:
        click.echo(f"{finding.status:8} {finding.check:9} {finding.text}")
        if finding.remedy:
            click.echo(f"{'':18} → {finding.remedy}")

    diagnosis = run_doctor(None if as_json else tell)
    Console(as_json=as_json).result(diagnosis.to_json(), "", diagnosis.verdict)
    if not diagnosis.is_healthy:
        sys.exit(FOUND_WANTING)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete verbs, options, names and folders.

    bash: add  eval "$(egno-md completion bash)"  to ~/.bashrc.
    zsh: add  eval "$(egno-md completion zsh)"  to ~/.zshrc.
    fish: egno-md completion fish > ~/.config/fish/completions/egno-md.fish
    """
    from click.shell_completion import get_completion_class

    root = context.find_root().command
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells of the choice"
    click.echo(kind(root, {}, "egno-md", "_EGNO_MD_COMPLETE").source())


@click.group(cls=Group)
def init() -> None:
    """Write a commented protocol or system to begin with. Never overwrites."""


def _protocol_verb(verb: str, like: str) -> None:
    @init.command(verb, help=f"Write a protocol for '{verb}': every key, its unit and meaning.")
    @click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=f"{verb}.yaml",
        show_default=True,
        help="The file to write.",
    )
    @click.option(
        "--from",
        "like",
        default=like,
        show_default=True,
        shell_complete=complete.protocols(verb),
        help="Shipped name or file whose values it takes.",
    )
    def command(out: Path, like: str) -> None:
        from egno_md.workflows.init import init_protocol

        init_protocol(verb, out, like)
        click.echo(f"{out}: edit it, then use it with --protocol {out}")


for _verb, _like in {
    "generate": "nve-500k",
    "train": "egno-8fs",
    "propagate": "nvt-300k",
    "fit-potential": "tensornet",
    "parareal": "nve-500k",
    "benchmark": "nbody",
    "stress": "default",
}.items():
    _protocol_verb(_verb, _like)


@init.command("system")
@click.argument("structure", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder; by default STRUCTURE's stem.")
def init_system(structure: Path, out: Path | None) -> None:
    """Write a system's folder for STRUCTURE, a PDB or mmCIF file with all hydrogens.

    The potential is the first that fits: amber14 with OBC2 water, amber14 with
    TIP3P-FB water in a box, GFN2-xTB. It is built once to be sure of it.
    """
    from egno_md.workflows.init import init_system as make

    folder = out or Path(structure.stem)
    built = make(structure, folder)
    click.echo(
        f"{folder}: {built.system.n_atoms} atoms, {built.system.potential}. Look through "
        f"{folder / 'system.yaml'}, then: egno-md generate {folder} --out runs/data"
    )
