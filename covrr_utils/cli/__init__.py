"""The command line: ``covrr``."""
