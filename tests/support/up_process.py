"""``make up`` as a test starts it: a process whose printed lines are read, and which ctrl-C ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 300.0
RUNS_SECONDS = 1200.0  # with the examples
STOP_SECONDS = 60.0


@dataclass
class Up:
    """A started ``make up`` that has printed its ready line."""

    process: subprocess.Popen[str]
    lines: list[str]
    url: str
    user: str
    password: str

    def interrupt(self) -> int:
        """Press ctrl-C and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=STOP_SECONDS)


@contextmanager
def make_up(
    home: Path, port: int, *, dags: Path = ROOT / "example_dags", runs: bool = False, python: Path | None = None
) -> Iterator[Up]:
    """Run it until the block ends; yield once it says that it is ready.

    :param home: where its Airflow lives.
    :param port: where its Airflow listens.
    :param dags: its folder of DAGs.
    :param runs: whether it runs the examples.
    :param python: the interpreter of another Airflow, which has the package.
    """
    options = ["--home", str(home), "--port", str(port), "--dags", str(dags)]
    options += [] if runs else ["--no-runs"]
    options += ["--python", str(python)] if python else []
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "dev/up.py"), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"UP_TEST_HOME": str(home)},
    )
    watchdog = threading.Timer(RUNS_SECONDS if runs else START_SECONDS, process.terminate)
    watchdog.start()
    try:
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("Ready."):
                break
        watchdog.cancel()
        said = "\n".join(lines)
        match = re.search(r"^Airflow: +(\S+)$\n^Login: +(\S+) / (\S+)$", said, re.MULTILINE)
        assert match, f"make up did not get ready:\n{said}"
        yield Up(process, lines, *match.groups())
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=STOP_SECONDS)
        process.stdout.close()
