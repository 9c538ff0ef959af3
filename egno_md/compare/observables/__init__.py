"""What is measured of a trajectory."""
