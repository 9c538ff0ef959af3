"""The costly loops of the networks in C, built on first use; torch does them where that fails."""

from egno_md.nn.native.build import Library, described, library, reason

__all__ = ["Library", "described", "library", "reason"]
