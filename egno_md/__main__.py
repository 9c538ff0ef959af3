"""``python -m egno_md``: the command line."""

from egno_md.cli import main

main(prog_name="egno-md")
