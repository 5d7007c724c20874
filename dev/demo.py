"""``make demo`` and ``make demo-fields``: run an example DAG through Airflow, once, in this process.

The Sentinel Hub is the sandbox, or the real service when ``SENTINELHUB_CLIENT_ID``, ``SENTINELHUB_CLIENT_SECRET`` and
``SENTINELHUB_DEPLOYMENT`` are set. Everything that it leaves behind is in ``.demo/``: the DAG's files, Airflow's
database (kept, so that the next run is faster), and the log of Airflow and the sandbox.
"""

from __future__ import annotations

import _thread
import argparse
import importlib
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import httpx
from demo_reports import DEMOS
from environment import ROOT, airflow_environment, sentinel_hub
from task_progress import TaskProgress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo_reports import Demo
    from environment import SentinelHub


class DemoError(Exception):
    """The DAG did not succeed; the message says which task and why."""


def main() -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser(prog="dev/demo.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("which", nargs="?", choices=DEMOS, default="ndvi", help="NDVI pictures (default), or fields")
    parser.add_argument("--home", type=Path, default=ROOT / ".demo", help="where everything goes (default .demo)")
    arguments = parser.parse_args()
    demo = DEMOS[arguments.which]
    target = "demo" if arguments.which == "ndvi" else f"demo-{arguments.which}"
    home: Path = arguments.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    log = home / "demo.log"
    treat_sigterm_as_interrupt()
    started = time.monotonic()
    try:
        with output_to(log) as terminal, sentinel_hub(control=True) as service:
            say = TaskProgress(terminal)
            say(f"Sentinel Hub: {service.title}")
            run = run_dag(demo, home, service, say)
            table, files = demo.report(run, home / demo.folder)
            say(f"\n{table}\n\nToken requests: {token_requests(service)}")
            lines = "\n".join(f"{name}: {path}" for name, path in files.items())
            say(f"{lines}   (after {time.monotonic() - started:.0f} s)")
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except Exception as error:
        # One line for a person; the traceback is in the log.
        print(f"make {target}: {str(error) or type(error).__name__}\nThe whole log: {log}", file=sys.stderr)
        return 1
    return 0


def treat_sigterm_as_interrupt() -> None:
    """Let SIGTERM unwind the stack like ctrl-C does, so that the sandbox is ended in any case.

    A handler alone does not do: each task in ``dag.test()`` puts its own in its place, which goes on. The wake-up
    descriptor hears of the signal whoever handles it.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    # A shell that starts this in the background has SIGINT ignored, by which an interrupt would be, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def listen() -> None:
        while number := os.read(reading, 1):
            if number[0] == signal.SIGTERM:
                _thread.interrupt_main()

    threading.Thread(target=listen, name="sigterm", daemon=True).start()


@contextmanager
def output_to(log: Path) -> Iterator[TextIO]:
    """Send all that this process, its libraries and its children print to a file; yield what they printed to before.

    Airflow's loggers, warnings and child processes each have their own idea of where output goes: only the file
    descriptors are common to all.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        with log.open("w") as file, os.fdopen(os.dup(1), "w", buffering=1) as terminal:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            try:
                yield terminal
            except Exception:
                traceback.print_exc()
                raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)


def run_dag(demo: Demo, home: Path, service: SentinelHub, say: TaskProgress) -> Any:
    """Run the DAG once and return its run.

    :raises DemoError: a task failed.
    """
    # Airflow reads its settings while it is imported, so they come first; those of another Airflow go.
    environment = airflow_environment(home / "airflow") | service.environment
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, str(ROOT / "example_dags"))

    say("Airflow is starting ...")
    prepare_database(home / "airflow")

    from airflow.sdk.listener import get_listener_manager

    get_listener_manager().add_listener(say)  # type: ignore[no-untyped-call]
    dag = getattr(importlib.import_module(demo.module), demo.dag)
    run = dag.test(run_conf={"output_dir": str(home / demo.folder)})
    if run.state != "success":
        raise DemoError(say.failures[0] if say.failures else f"the DAG run ended as {run.state}.")
    return run


def prepare_database(home: Path) -> None:
    """Make Airflow's database, or take the one that an earlier run of the same Airflow made."""
    import airflow

    ready = home / f"database-{airflow.__version__}.ready"
    if ready.exists():
        return
    # Of another version, or half made: there is nothing in it to keep.
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)

    from airflow.utils.db import initdb

    initdb()
    ready.touch()


def token_requests(service: SentinelHub) -> str:
    """Return how many tokens were asked for, as the sandbox counted it; a real service tells nobody."""
    if service.sandbox_url is None:
        return "n/a (only the sandbox counts them)"
    counters = httpx.get(f"{service.sandbox_url}/sandbox/control/counters", trust_env=False).raise_for_status().json()
    return str(counters["token_requests"])


if __name__ == "__main__":
    sys.exit(main())
