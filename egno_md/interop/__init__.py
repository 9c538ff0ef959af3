"""Windows inside other programs: OpenMM's Simulation, ASE's dynamics."""
