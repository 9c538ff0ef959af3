"""From the atoms an operator predicts back to all atoms."""

from egno_md.rollout.lift.lift import Lift
from egno_md.rollout.lift.stereo import Stereo

__all__ = ["Lift", "Stereo"]
