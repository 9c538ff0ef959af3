"""Data sets of the published tables, one file each, and how windows are cut from them."""
