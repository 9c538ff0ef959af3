"""What moves atoms."""
