"""``python -m covrr_utils`` is the command ``covrr``."""

import sys

from covrr_utils.cli.main import main

sys.exit(main())
