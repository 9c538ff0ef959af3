"""Verbs that look after the installation and write files to begin with."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from egno_md.cli import complete
from egno_md.cli.group import CHECK_FAILED, Group


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(as_json: bool) -> None:
    """Check that everything works here, and say what to do where it does not.

    Looks at Python, packages, OpenMM's platforms and their speed, GPUs, threads,
    GFN2-xTB, the shipped operator, files, disk and locale. Exit code 0 when
    nothing must be mended, else 1.
    """
    from egno_md.cli.doctor import Finding, run_doctor
    from egno_md.console import Console

    def tell(finding: Finding) -> None:
        click.echo(f"{finding.status:8} {finding.check:9} {finding.text}")
        if finding.remedy:
            click.echo(f"{'':18} → {finding.remedy}")

    diagnosis = run_doctor(None if as_json else tell)
    Console(as_json=as_json).result(diagnosis.to_json(), "", diagnosis.verdict)
    if not diagnosis.is_healthy:
        sys.exit(CHECK_FAILED)


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
        from egno_md.cli.init import init_protocol

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
    from egno_md.cli.init import init_system as make

    folder = out or Path(structure.stem)
    built = make(structure, folder)
    click.echo(
        f"{folder}: {built.system.n_atoms} atoms, {built.system.potential}. Look through "
        f"{folder / 'system.yaml'}, then: egno-md generate {folder} --out runs/data"
    )


@click.command()
@click.argument("structure", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the system.")
@click.option("--ph", default=7.0, show_default=True, help="By which residues are protonated.")
@click.option("--chains", help="Chains to keep, such as A or A,B; needed where there are several.")
@click.option("--model", default=1, show_default=True, help="Of a file with several.")
@click.option("--altloc", help="Alternate location to keep, such as A, or 'highest'.")
@click.option("--caps", is_flag=True, help="ACE and NME instead of charged termini.")
@click.option("--build-loops", is_flag=True, help="Model missing residues by their SEQRES.")
@click.option(
    "--replace-nonstandard", is_flag=True, help="Put standard residues for modified ones."
)
@click.option("--remove-ligands", is_flag=True, help="Leave out ligands and ions.")
@click.option(
    "--solvent",
    type=click.Choice(["obc2", "water"]),
    default="obc2",
    show_default=True,
    help="Implicit, or a box of TIP3P-FB water.",
)
@click.option("--padding", default="1 nm", show_default=True, help="Of water around the protein.")
@click.option("--salt", default=0.0, show_default=True, help="mol/l of NaCl in the water.")
@click.option("--minimise/--no-minimise", default=True, help="Relax it, atoms of the file held.")
@click.option("--name", help="Of the system; the folder's by default.")
@click.option("--origin", default="", help="Where the structure is from, for the recipe.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1))
@click.option("--quiet", is_flag=True, help="Only results and errors, no progress.")
@click.option("--json", "as_json", is_flag=True, help="The recipe as one JSON object on stdout.")
def prepare(
    structure: Path,
    out: Path,
    chains: str | None,
    name: str | None,
    origin: str,
    seed: int,
    quiet: bool,
    as_json: bool,
    **options: object,
) -> None:
    """Make a system of STRUCTURE, a protein's PDB or mmCIF file or a small molecule's.

    Adds missing heavy atoms, termini or caps and hydrogens (PDBFixer, OpenMM),
    leaves out crystal water, relaxes the result and writes a system's folder for
    generate, train and propagate: system.yaml, structure and recipe. Whatever needs
    a choice of yours (chains, alternate locations, gaps, modified residues, ligands)
    is named with its residue and the option that makes the choice.

    A small molecule (PDB with CONECT records, .sdf or .mol, with all hydrogens) is
    taken as it is: GFN2-xTB in system.yaml, MMFF94 in mmff94.yaml beside it.
    """
    from egno_md.console import Console
    from egno_md.md.prepare.run import run_prepare

    console = Console(quiet=quiet or as_json, as_json=as_json)
    choices = {k: v for k, v in options.items() if v is not None}
    if chains is not None:
        choices["chains"] = tuple(c.strip() for c in chains.split(","))
    prepared = run_prepare(
        structure, out, choices, seed=seed, name=name, origin=origin, progress=console
    )
    console.result(
        {"out": str(out), **prepared.recipe},
        f"{out}: {prepared.summary}",
        f"Look through {out / 'recipe.json'}, then: egno-md generate {out} "
        f"--protocol {prepared.protocol} --out runs/data",
    )
