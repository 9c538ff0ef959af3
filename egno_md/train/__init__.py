"""Everything that touches Lightning."""

from egno_md.core.verbs import make_callable

make_callable(__name__, "egno_md.train.run", "run_train")
