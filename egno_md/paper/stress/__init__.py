"""Open questions of the EGNO paper, each measured on small trained operators."""
