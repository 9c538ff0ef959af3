"""Networks, operators and their bundles."""
