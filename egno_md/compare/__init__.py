"""Rollouts beside reference MD."""
