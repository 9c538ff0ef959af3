"""One function per verb: the only place that sees every part."""
