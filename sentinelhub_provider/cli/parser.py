"""The commands and their options. Every ``airflow`` command loads this, so it imports the standard library only."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

PROGRAM = "python -m sentinelhub_provider"
DESCRIPTION = "Check a connection to Sentinel Hub, search scenes, request pictures and statistics, look after jobs"
EXIT_CODES = "exit codes: 0 done, 1 the service, the connection or a check said no, 2 wrong arguments, 130 Ctrl-C"
QUICK = 30
"""Seconds that a call may take, because a user waits for it."""
KINDS = ("batch-process", "batch-statistics", "async-process")
LISTED = KINDS[:2]
SCENES = "100"
_EXPONENT = re.compile(r"-[\d.]+e-?\d+", re.IGNORECASE)
AREA = "--bbox 13.35 45.40 13.45 45.50"

Add = Callable[..., Any]


class CommandParser(argparse.ArgumentParser):
    """A parser that reports an error in two lines. Airflow's own would print the whole help."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"Wrong arguments: {message}\nTry: {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, also a box in one word."""
        return super().parse_known_args(None if args is None else list(_with_box_split(args)), namespace)


def _with_box_split(arguments: Sequence[str]) -> Iterator[str]:
    """Split the values of ``--bbox`` at commas, spaces and brackets. Other tools of the field take them as one word."""
    missing = 0
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name == "--bbox":
            yield name
            missing, argument = 4, value
            if not equals:
                continue
        values = re.sub(r"[\[\](),]", " ", argument).split() if missing > 0 else [argument]
        missing -= len(values)
        # A word such as -1e-5 looks like an option to argparse.
        yield from (f" {word}" if _EXPONENT.fullmatch(word) else word for word in values)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m sentinelhub_provider``."""
    from importlib.metadata import version

    parser = CommandParser(prog=PROGRAM, description=DESCRIPTION, epilog=EXIT_CODES)
    parser.add_argument("--version", action="version", version=version("airflow-provider-sentinelhub"))
    add_commands(parser)
    return parser


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add all commands to a parser."""
    group = _group(parser, "COMMAND")
    _command(group, "check", "try the connection, and tell its limits and budgets", ["", "--conn-id my_account"])
    token = _group(_parent(group, "token", "the access token"), "ACTION")
    _command(token, "info", "client, scopes and expiry of the access token, without the token", [""], "token_info")
    _search(group)
    _process(group)
    _statistics(group)
    estimate = _group(_parent(group, "estimate", "estimate the cost of a request without sending it"), "REQUEST")
    _process(estimate, "estimate_process")
    _statistics(estimate, "estimate_statistics")
    _jobs(_group(_parent(group, "jobs", "jobs of the account"), "ACTION"))
    _command(group, "collections", "the collections that the Catalog offers to the account", ["", "--output json"])
    add = _command(group, "examples", "copy the example DAGs into a folder", ["dags/"], connects=False)
    add("folder", metavar="DIR", help="folder for them; files that exist stay as they are")
    # No character begins an option, because all options are the sandbox's.
    sandbox = group.add_parser(
        "sandbox", help="run an embedded Sentinel Hub; see sandbox --help", add_help=False, prefix_chars="\0"
    )
    sandbox.add_argument("arguments", nargs="*")
    sandbox.set_defaults(command="sandbox", output="table", debug=False, verbose=False)


def _group(parser: argparse.ArgumentParser, metavar: str) -> Any:
    return parser.add_subparsers(metavar=metavar, required=True, parser_class=CommandParser)


def _parent(group: Any, name: str, title: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(name, help=title, description=_sentence(title))
    return parser


def _sentence(title: str) -> str:
    return f"{title[0].upper()}{title[1:]}."


def _command(
    group: Any, name: str, title: str, examples: list[str], command: str | None = None, *, connects: bool = True
) -> Add:
    parser = group.add_parser(
        name, help=title, description=_sentence(title), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    lines = "\n".join(f"  {parser.prog} {example}".rstrip() for example in examples)
    parser.epilog = f"examples:\n{lines}\n\n{EXIT_CODES}"
    parser.set_defaults(command=command or name)
    add: Add = parser.add_argument
    if connects:
        parser.set_defaults(deadline=str(QUICK))
        add("--conn-id", default="sentinelhub_default", metavar="ID", help="Airflow connection (default: %(default)s)")
    add("-o", "--output", choices=("table", "json"), default="table", help="for people (default), or for scripts")
    add("-v", "--verbose", action="store_true", help="report the progress; default on a terminal")
    add("--debug", action="store_true", help="show the whole traceback of an error and the whole log")
    return add


def _search(group: Any) -> None:
    example = f"sentinel-2-l2a --time-range P30D {AREA} --max-cloud-cover 20"
    add = _command(group, "search", "find scenes in the Catalog", [example, f"{example} --sort clearest --limit 1"])
    add("collection", help="id of a collection, such as sentinel-2-l2a")
    _area(add, "--intersects", units="in degrees")
    add("--max-cloud-cover", metavar="PERCENT", help="of a scene")
    add("--filter", metavar="CQL2", help='such as "eo:cloud_cover < 20"')
    add("--distinct", metavar="PROPERTY", help="list the values of a property instead, such as date")
    add("--sort", choices=("newest", "oldest", "clearest"), help="which scenes come first")
    add("--one-per", choices=("day", "tile"), help="only the first scene of each, in this order")
    add("--limit", default=SCENES, help="most scenes (default: %(default)s), or all")
    add("--output-path", metavar="FILE", help="for the whole STAC items: .json, or .parquet for GeoParquet")
    _limits(add, QUICK)


def _process(group: Any, command: str = "process") -> None:
    what = f"--collection sentinel-2-l2a --evalscript ndvi --time-range P30D {AREA} --resolution 20"
    if command == "process":
        examples = [f"{what} --output-path ndvi.tif", "--request request.json --output-path ndvi.png"]
        add = _command(group, "process", "render a picture; this costs processing units", examples)
        add("--output-path", metavar="FILE", required=True, help="path or URL; its ending sets the format")
        kept = "what to do if there is a file; skip keeps a picture of the same request (default: %(default)s)"
        add("--if-exists", choices=("overwrite", "skip", "fail"), default="overwrite", help=kept)
        add("--stac", action="store_true", help="write a STAC Item beside the picture, and its Collection")
    else:
        add = _command(group, "process", "estimate the cost of a picture without rendering it", [what], command)
        add("--outputs", metavar="FORMAT", default="tiff", help="png, jpeg or tiff (default: %(default)s)")
    add("--tile", action="store_true", help="fetch a large area in tiles (extra raster)")
    _area(add, "--geometry")
    _request(add)
    _limits(add)


def _statistics(group: Any, command: str = "statistics") -> None:
    what = "--collection sentinel-2-l2a --evalscript ndvi-clear --time-range P30D --resolution 20"
    examples = [f"{what} {AREA} --aggregation-interval P10D", f"{what} --features fields.geojson --id-property name"]
    if command == "statistics":
        examples.append(f"{what} --features fields.gpkg --output-path ndvi.csv")
        add = _command(group, "statistics", "statistics of one area or many; this costs processing units", examples)
        add("--output-path", metavar="FILE", help="for the table: .csv, .jsonl or .parquet")
        add("--concurrency", default="10", metavar="N", help="requests at a time (default: %(default)s)")
    else:
        add = _command(group, "statistics", "estimate the cost of statistics without computing them", examples, command)
    add("--features", metavar="FILE", help="GeoJSON, GeoPackage, Shapefile, GeoParquet: each feature on its own")
    add("--id-property", metavar="NAME", help="the property that names each feature")
    add("--layer", metavar="NAME", help="layer of a file that has several")
    add("--on-error", choices=("fail", "skip"), default="fail", help="what to do about a feature that cannot work")
    _area(add, "--geometry")
    _request(add)
    add("--aggregation-interval", metavar="DURATION", default="P1D", help="such as P1M (default: %(default)s)")
    rest = "what to do with the rest of the time range: SKIP, SHORTEN or EXTEND"
    add("--last-interval", metavar="RULE", help=rest)
    add("--percentiles", nargs="+", type=float, metavar="PERCENT", help="such as 10 50 90")
    _limits(add)


def _jobs(group: Any) -> None:
    add = _command(group, "list", "list jobs, newest first", ["", "--state processing --limit 5"], "jobs_list")
    add("--kind", choices=LISTED, help="one kind only")
    add(
        "--state",
        action="append",
        dest="states",
        metavar="STATE",
        help="such as PROCESSING; may be given more than once",
    )
    add("--limit", default="20", help="most jobs of each kind (default: %(default)s)")
    for name, title, kinds in (("show", "show a job", KINDS), ("cancel", "stop a job that runs", LISTED)):
        add = _command(group, name, title, ["11111111-2222-3333-4444-555555555555"], f"jobs_{name}")
        add("job_id", metavar="ID")
        add("--kind", choices=kinds, help="kind of the job; default: all kinds")


def _area(add: Add, geometry: str, units: str = "in degrees, or units of --crs") -> None:
    add("--bbox", nargs=4, type=float, metavar=("WEST", "SOUTH", "EAST", "NORTH"), help=units)
    add(geometry, metavar="GEOMETRY", help="GeoJSON, WKT, or a file of either")
    add("--time-range", metavar="RANGE", help="P7D for the last seven days, or two dates: 2024-06-01/2024-06-30")


def _request(add: Add) -> None:
    add("--collection", metavar="ID", help="such as sentinel-2-l2a")
    add("--evalscript", metavar="SCRIPT", help="true-colour, ndvi, ndvi-clear, ndwi, ndmi, scl-mask, or a .js file")
    add("--crs", metavar="EPSG", help="of the area, such as 32633; degrees by default")
    add("--resolution", metavar="METRES", help="of a pixel; or give --width or --height, in pixels")
    add("--width", metavar="PIXELS", help="of the picture; the height follows, and the other way round")
    add("--height", metavar="PIXELS", help="see --width")
    add("--mosaicking-order", metavar="ORDER", help="mostRecent, leastRecent or leastCC")
    add("--max-cloud-cover", metavar="PERCENT", help="of a scene")
    add("--request", metavar="FILE", help="the API's own JSON, instead of all of these; a .json file")
    add("--samples", default="1", metavar="N", help="samples per pixel, for the estimate (default: %(default)s)")


def _limits(add: Add, deadline: int = 600) -> None:
    add("--max-processing-units", metavar="PU", help="refuse a request of a higher estimated cost before it is sent")
    told = "for one call with its waits (default: %(default)s)"
    add("--deadline", metavar="SECONDS", default=str(deadline), help=told)
