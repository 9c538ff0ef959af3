"""Potentials: force fields, xTB, networks."""
