"""Trajectories on disk, in foreign formats, and cut into windows."""
