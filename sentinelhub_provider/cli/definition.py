"""The command ``sentinelhub`` of ``airflow``, which Airflow 3.2 and later load at their start."""

from __future__ import annotations

import argparse

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, lazy_load_command

from sentinelhub_provider.cli.parser import DESCRIPTION, add_commands


class _Commands(Arg):
    """Adds all commands to Airflow's parser. Airflow lets an argument do that."""

    def add_to_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the commands."""
        add_commands(parser)


def get_sentinelhub_cli_commands() -> list[CLICommand]:
    """Return the command ``sentinelhub``. Its code is imported when it is called."""
    run = lazy_load_command("sentinelhub_provider.cli.main.run_in_airflow")
    commands = _Commands(("command",))  # type: ignore[no-untyped-call]
    return [ActionCommand("sentinelhub", DESCRIPTION, run, [commands])]
