"""Everything that touches OpenMM."""
