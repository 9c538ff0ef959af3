"""Spatial layers besides EGNN: each a `SpatialLayer`, imported only when asked for."""
