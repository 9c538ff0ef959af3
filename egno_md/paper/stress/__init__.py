"""What the EGNO paper leaves open: questions, each measured on small trained operators."""
