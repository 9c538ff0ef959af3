"""Results of other verbs on one self-contained page; nothing is computed here."""

from egno_md.core.verbs import make_callable

make_callable(__name__, "egno_md.report.run", "run_report")
