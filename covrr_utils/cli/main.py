"""The command line ``covrr``: finds the command, runs it, and says how it ended.

Only the module of the command that was asked for is loaded: ``covrr --help`` and ``covrr results``
load no model, no torch and no plots.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import make_dataclass
from importlib import import_module
from typing import Annotated, Any, NoReturn, Union

from covrr_utils.cli.ending import Code, ending, leave
from covrr_utils.cli.printing import say
from covrr_utils.files import FileError

COMMANDS = {  # name: the module that holds it, what it does
    "run": ("runs", "the default job: describe, ask, execute notebooks 00-04, print recalls"),
    "rerun": ("runs", "notebooks x backbones x benchmarks through papermill, resumable"),
    "results": ("listings", "every stored result, with its denominators"),
    "backbones": ("listings", "the embedded backbones, or the published sizes"),
    "benchmarks": ("listings", "the embedded benchmarks"),
    "check": ("data", "count what labels name, probe every video; before any GPU time"),
    "plan": ("plan", "tokens, GPU hours, disk and memory of a run, before it is computed"),
    "submit": ("data", "write and validate the challenge's submission"),
    "verify": ("data", "a published size with random weights: does it fit here, and how fast"),
    "score": ("quality", "the Reasoning Score, validity of traces, relation to R@1"),
    "report": ("quality", "the failure gallery: one HTML page that opens from disk"),
    "index": ("search", "describe a folder of your own videos; only what is new or changed"),
    "search": ("search", "the videos of an indexed folder that fit a reference and an edit best"),
    "mine": ("quality", "hard distractors for any benchmark, from its gallery's descriptions"),
}

# tyro keeps the break before a line that begins with no letter
ABOUT = """Reason-aware composed video retrieval, as a workbook.

`covrr COMMAND --help` lists the options of a command. Exit codes:
  0    all went well
  1    something failed, such as a notebook, or the file system refused
  2    a mistake in what was asked; the message names what is valid
  130  stopped by Ctrl-C
  141  the reader of the output went away
  143  stopped by SIGTERM
What is finished is stored: the same command goes on from there."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code.

    A mistake in what was asked is one line on standard error, not a traceback.
    """
    with ending() as code:
        code.value = _main(list(sys.argv[1:] if arguments is None else arguments))
    return code.value


def command() -> NoReturn:
    """Be the process of a command, to its end."""
    leave(main())


def _main(arguments: list[str]) -> int:
    name = arguments[0] if arguments else "--help"
    if name not in COMMANDS:
        return _help(arguments or ["--help"])
    from covrr_utils.cli.options import parse

    module, about = COMMANDS[name]
    command = import_module(f"covrr_utils.cli.{module}").COMMANDS[name]
    try:
        return command.call(*parse(name, about, command, arguments[1:]))
    except FileError as error:  # the disk is full, a folder is read-only
        say(f"covrr: {error}", error=True)
        return Code.FAILED
    except ValueError as error:  # unknown names, malformed labels
        say(f"covrr: {' '.join(str(error).split())}", error=True)
        return Code.MISTAKE


def _help(arguments: list[str]) -> int:
    """List the commands, or say which is nearest to a misspelt one."""
    import tyro

    from covrr_utils.experiments.options import nearest

    if not arguments[0].startswith("-"):
        near = nearest(arguments[0], COMMANDS)
        say(
            f"covrr: unknown command {arguments[0]!r}{near or ';'} known: {', '.join(COMMANDS)}",
            error=True,
        )
        return Code.MISTAKE
    commands: Any = Union[  # noqa: UP007  # of a list that is not written out
        tuple(
            Annotated[make_dataclass(name, []), tyro.conf.subcommand(name, description=what)]
            for name, (_, what) in COMMANDS.items()
        )
    ]
    text = io.StringIO()
    try:
        with redirect_stdout(text):
            tyro.cli(commands, prog="covrr", description=ABOUT, args=arguments)
    finally:  # the first line names every command once more, and would be too wide
        names = f"{{{','.join(COMMANDS)}}}"
        print(text.getvalue().replace(names, "COMMAND", 1), end="", flush=True)
    return Code.DONE


if __name__ == "__main__":
    command()
