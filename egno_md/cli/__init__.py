"""The command line: one command per verb, imports inside the commands."""

from __future__ import annotations

import os

# Nine-atom matrices lose time to threads; a user's own setting wins. OpenMP
# reads it once, before the first numerical library is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import click

from egno_md.cli import benchmarks, data, operators, potentials, rollouts, setup
from egno_md.cli.group import Group


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="egno-md")
def main() -> None:
    """Learned molecular-dynamics windows, with OpenMM as teacher, judge and fallback.

    A typical chain: generate reference dynamics, train an operator on it,
    evaluate it, propagate with it, compare with the reference, and report.
    'egno-md demo' runs all of it on ethanol.

    Exit codes: 0 done, 1 'doctor' found something to mend, 2 something to mend
    in what you asked for (one line says what), 130 interrupted.
    """


for _verb in (
    data.systems,
    setup.prepare,
    data.generate,
    data.load,
    potentials.fit_potential,
    operators.train,
    operators.evaluate,
    operators.card,
    rollouts.propagate,
    rollouts.parareal,
    rollouts.compare,
    rollouts.report,
    rollouts.demo,
    benchmarks.benchmark,
    setup.doctor,
    setup.init,
    setup.completion,
):
    main.add_command(_verb)
