"""Observables of a trajectory, one module a topic."""
