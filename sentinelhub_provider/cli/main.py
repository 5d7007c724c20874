"""From the command's words to its exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sentinelhub_provider.cli.parser import build_parser

EXIT_REFUSED = 1
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    return run(build_parser().parse_args(arguments))


def run_in_airflow(options: argparse.Namespace) -> None:
    """Run a command of ``airflow sentinelhub``. It raises ``SystemExit``, because Airflow ignores a returned code."""
    sys.exit(run(options))


def run(options: argparse.Namespace) -> int:
    """Run a parsed command and return its exit code."""
    from sentinelhub_provider.cli import commands, screen

    try:
        if options.command not in ("sandbox", "examples"):
            screen.set_up_log(verbose=options.verbose, debug=options.debug)
        result, code = getattr(commands, options.command)(options)
        if result is not None:
            screen.show(result, options.output)
        return int(code)
    except BrokenPipeError:
        screen.end_of_pipe()
        return EXIT_REFUSED
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return EXIT_INTERRUPTED
    except Exception as failure:
        error, code = commands.cause_of(failure, options)
        screen.show_error(error, options.output, debug=options.debug)
        return code
