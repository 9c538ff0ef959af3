"""Shapes of molecules: superposition, torsions, stereocentres, images, the bonded graph, lifting."""
