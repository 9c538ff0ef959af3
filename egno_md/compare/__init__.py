"""Rollouts beside reference MD."""

from egno_md.core.verbs import make_callable

make_callable(__name__, "egno_md.compare.run", "run_compare")
