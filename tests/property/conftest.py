"""How many examples, and which: the same ones every time, and nothing written into the checkout.

`HYPOTHESIS_PROFILE=long` draws many more, anew in every run.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "egno-md-hypothesis")
UNHURRIED = {
    "deadline": None,  # a machine under load takes its time
    "database": None,
    "suppress_health_check": [
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,  # what is drawn for a spec is not always valid
        HealthCheck.function_scoped_fixture,
    ],
}
settings.register_profile("short", max_examples=50, derandomize=True, **UNHURRIED)
settings.register_profile("long", max_examples=2000, print_blob=True, **UNHURRIED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))
