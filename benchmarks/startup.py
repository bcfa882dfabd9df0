"""How long it takes until something is there: ``python benchmarks/startup.py [--rounds 5]``.

Each way starts a Python of its own; the first one does nothing and is what the others are compared
with. Wall time alone counts here: the processor's is that of the process that waits.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from timing import in_turn, table

WAYS = {
    "python": ["-c", "pass"],
    "import covrr_utils": ["-c", "import covrr_utils"],
    "covrr --help": ["-m", "covrr_utils", "--help"],
    "covrr results": ["-m", "covrr_utils", "results"],
    "import torch": ["-c", "import torch"],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    options = parser.parse_args(arguments)

    def starting(command: Sequence[str]) -> None:
        subprocess.run([sys.executable, *command], capture_output=True, check=False)

    ways = {name: lambda name=name: starting(WAYS[name]) for name in options.ways}
    print(table(in_turn(ways, options.rounds), "start-up"))


if __name__ == "__main__":
    main()
