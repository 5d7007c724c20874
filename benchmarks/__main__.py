"""``python -m benchmarks [SUBJECT ...]``: measure, print tables, keep them as JSON."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from importlib import import_module

from benchmarks.report import keep

SUBJECTS = {
    "imports": "what a DAG file pays for naming an operator",
    "calls": "an authorized call against a bare keep-alive session",
    "downloads": "a 500 MiB body to a file: memory and throughput",
    "throughput": "200 x 1 MiB over 20 threads",
    "statistics": "the statistics of thousands of features: share of what 20 connections give, memory",
    "pictures": "a picture of each of thousands of features: share of what 20 connections give, memory",
    "previews": "previews of GeoTIFFs of 10,000 x 10,000 pixels: time, memory",
    "pages": "contact sheets of mapped tasks in the API server: time",
    "survey": "100,000 features checked before anything is sent: time, memory",
    "dataset": "one week of 10,000 fields merged into a dataset of 5 million rows: time, memory",
    "tokens": "requests to the token endpoint by a fleet",
    "limits": "a fleet under a rate limit (takes ten minutes)",
    "tiling": "a country in tiles",
    "area": "20,000 x 20,000 pixels in one task: share of what 4 connections carry, memory",
    "jobs": "1,000 deferred jobs in one triggerer (takes five minutes)",
    "faults": "calls to services that never come to an end",
}


def main() -> int:
    """Measure what was asked for; the exit status is 1 if ``--strict`` and a target was missed."""
    listed = "\n".join(f"  {name:<12} {words}" for name, words in SUBJECTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures this package on loopback.",
        epilog=f"subjects:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help="what to measure; everything if none is named")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: to see that it works")
    parser.add_argument("--strict", action="store_true", help="fail where a target is missed")
    arguments = parser.parse_args()
    unknown = set(arguments.subjects) - SUBJECTS.keys()
    if unknown:
        parser.error(f"unknown subject {', '.join(sorted(unknown))}; choose from {', '.join(SUBJECTS)}")

    # Ended from outside, the servers that were started are ended on the way out, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    missed = 0
    for subject in arguments.subjects or SUBJECTS:
        start = time.monotonic()
        tables = import_module(f"benchmarks.{subject}").tables(quick=arguments.quick)
        for table in tables:
            print(f"\n{table}", flush=True)
            missed += sum(row.met is False for row in table.rows)
        path = keep(subject, tables)
        print(f"({time.monotonic() - start:.0f} s, kept in {path.relative_to(path.parents[2])})", flush=True)
    return 1 if missed and arguments.strict else 0


if __name__ == "__main__":
    sys.exit(main())
