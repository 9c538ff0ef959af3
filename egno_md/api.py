"""The verbs of the command line as functions, and `protocol` to read protocols.

from egno_md import api as em
"""

from egno_md.workflows.compare import run_compare as compare
from egno_md.workflows.evaluate import run_evaluate as evaluate
from egno_md.workflows.generate import run_generate as generate
from egno_md.workflows.load import run_load as load
from egno_md.workflows.parareal import run_parareal as parareal
from egno_md.workflows.propagate import run_propagate as propagate
from egno_md.workflows.protocol import protocol
from egno_md.workflows.report import run_report as report
from egno_md.workflows.train import run_train as train

__all__ = ["compare", "evaluate", "generate", "load", "propagate", "protocol", "report", "train"]
