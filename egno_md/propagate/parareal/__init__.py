"""Exact dynamics, parallel in time."""
