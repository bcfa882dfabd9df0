"""``python -m covrr_utils`` is the command ``covrr``."""

from covrr_utils.cli.main import command

command()
