"""Windows proposed, judged, corrected and recorded."""

from egno_md.core.verbs import make_callable

make_callable(__name__, "egno_md.propagate.ensemble", "run_ensemble")
