"""Results found on disk, on one self-contained page. Nothing is computed here."""
