"""The directive ``reference-table``: a table of the reference, made from the code and ``pyproject.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.util.docutils import SphinxDirective

from sentinelhub_provider.api.collections import COLLECTIONS
from sentinelhub_provider.api.evalscripts import EVALSCRIPTS, named_evalscript, parse_setup
from sentinelhub_provider.api.geo.crs import CRS84_URI, LISTED_EPSG_CODES
from sentinelhub_provider.deployments import DEPLOYMENTS
from sentinelhub_provider.get_provider_info import CONFIG, CONN_FIELDS
from sentinelhub_provider.sandbox.world.scenes.collections import COLLECTIONS as WITH_BANDS

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
PROJECT = tomllib.loads(PYPROJECT)["project"]
# Scene classification of Sentinel-2 L2A (ESA, Level-2A Algorithm Theoretical Basis Document).
SCL = {0: "no data", 1: "saturated or defective", 3: "cloud shadow", 8: "cloud", 9: "cloud", 10: "thin cirrus"}


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("reference-table", ReferenceTable)
    return {"parallel_read_safe": True}


class ReferenceTable(SphinxDirective):
    """The table that the argument names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        self.env.note_dependency(str(ROOT / "pyproject.toml"))
        return self.parse_text_to_nodes(TABLES[self.arguments[0]](), allow_section_headings=True)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    head = [*head]
    cells = [
        [cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in [head, ["---"] * len(head), *rows]
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def code(words: Iterable[str]) -> str:
    """Return words as code, separated by commas."""
    return ", ".join(f"`{word}`" for word in words)


def collections() -> str:
    """Return the collections that the package knows, and where each is."""
    places = [name for name, one in DEPLOYMENTS.items() if one.base_url]
    rows = [
        (f"`{one.id}`", f"`{one.short}`", one.title, code(name for name in places if one.is_at(name)))
        for one in COLLECTIONS.values()
    ]
    return table(("Collection", "Short name", "What it is", "`deployment`"), rows)


def orders() -> str:
    """Return what requests may say about each collection."""
    rows = [
        (
            f"`{one.id}`",
            code(one.mosaicking_orders),
            "yes" if one.has_cloud_cover else "",
            f"{one.max_metres_per_pixel:g} m" if one.max_metres_per_pixel else "",
        )
        for one in COLLECTIONS.values()
    ]
    return table(("Collection", "`mosaicking_order`", "`max_cloud_cover`", "Coarsest resolution"), rows)


def bands() -> str:
    """Return the bands of the collections whose bands the sandbox has."""
    parts = []
    for one in WITH_BANDS:
        rows = [
            (f"`{band.name}`", band.description, f"{band.resolution:g} m" if band.resolution else "", code(band.units))
            for band in one.bands
        ]
        parts.append(f"### {one.id}\n\n{table(('Band', 'What it is', 'Resolution', 'Units'), rows)}")
    return "\n\n".join(parts)


def evalscripts() -> str:
    """Return the scripts that have names: what they read, give and mask."""
    rows = []
    for name, about in EVALSCRIPTS.items():
        text = named_evalscript(name)
        declared = parse_setup(text)
        assert declared is not None
        outputs = (f"{output.id}: {output.bands} x {output.sample_type}" for output in declared.outputs)
        rows.append((f"`{name}`", about, code(declared.bands), code(outputs), masked(text)))
    head = ("Name", "What it shows", "Bands", "Outputs", "What it masks")
    return table(head, rows)


def evalscript_texts() -> str:
    """Return the scripts that have names."""
    return "\n\n".join(f"### {name}\n\n```js\n{named_evalscript(name)}```" for name in EVALSCRIPTS)


def masked(text: str) -> str:
    """Tell which pixels an evalscript leaves out."""
    found = re.search(r"const COVERED = \[([\d, ]+)\]", text)
    classes = dict.fromkeys(SCL[int(number)] for number in found[1].split(",")) if found else ["no data"]
    return ", ".join(classes)


def coordinate_systems() -> str:
    """Return the systems that Sentinel Hub takes, with the names that PROJ has for them."""
    from pyproj import CRS

    utm = {*range(32601, 32661), *range(32701, 32761)}
    rows = [
        (f"`{number}`", CRS.from_epsg(number).name, CRS.from_epsg(number).area_of_use.name)
        for number in sorted(LISTED_EPSG_CODES - utm)
    ]
    for first, last in runs_of(sorted(LISTED_EPSG_CODES & utm)):
        names = [CRS.from_epsg(number).name for number in (first, last)]
        rows.append((f"`{first}` to `{last}`", " to ".join(names), "Each zone, 6 degrees of longitude wide"))
    return table(("EPSG code", "Name", "Where it is used"), [(f"`{CRS84_URI}`", "CRS84", "World; the default"), *rows])


def runs_of(numbers: list[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of successive numbers."""
    ends = [number for number, following in pairwise([*numbers, 0]) if following != number + 1]
    starts = [number for before, number in pairwise([0, *numbers]) if before != number - 1]
    return [*zip(starts, ends, strict=True)]


def options() -> str:
    """Return the options of Airflow's configuration."""
    return "\n\n".join(
        table(
            (f"Option of `[{section}]`", "Type", "Default", "What it says", "Environment variable"),
            (
                (f"`{name}`", option["type"], f"`{option['default']}`", option["description"], variable(section, name))
                for name, option in content["options"].items()
            ),
        )
        for section, content in CONFIG.items()
    )


def variable(section: str, name: str) -> str:
    """Return the environment variable of an option."""
    return f"`AIRFLOW__{section.upper()}__{name.upper()}`"


def connection_fields() -> str:
    """Return the extra fields of a connection."""
    rows = []
    for name, one in CONN_FIELDS.items():
        schema = one["schema"]
        values = code(schema["enum"]) if "enum" in schema else str(schema["type"][0])
        default = f"`{schema['default']}`" if "default" in schema else ""
        rows.append((f"`{name}`", one["label"], values, default, one["description"]))
    return table(("Extra", "In the form", "Values", "Default", "What it says"), rows)


def extras() -> str:
    """Return the extras, with the comments that stand above them in ``pyproject.toml``."""
    rows = []
    for name, needed in PROJECT["optional-dependencies"].items():
        comment = re.search(rf"((?:^# .*\n)+){name} = \[", PYPROJECT, re.MULTILINE)
        assert comment, f"pyproject.toml: a comment above the extra {name} says what it is for"
        about = " ".join(line.removeprefix("# ") for line in comment[1].splitlines())
        rows.append((f"`{name}`", about, code(needed)))
    return table(("Extra", "What it is for", "What it installs"), rows)


def support() -> str:
    """Return which versions of Airflow and Python go together, and which of them the tests run."""
    pythons = [one.rsplit(" ", 1)[1] for one in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", one)]
    tests = (ROOT / "tests" / "conftest.py").read_text()
    tested = dict(re.findall(r'\("(\d+\.\d+\.\d+)", "(3\.\d+)"\)', tests))
    constraints = [path.stem.removeprefix("airflow-") for path in (ROOT / "tests/system/constraints").glob("*.txt")]
    assert sorted(tested) == sorted(constraints)
    rows = [
        (
            release.rpartition(".")[0],
            *(f"tested with {release}" if python == other else "yes" for other in pythons),
        )
        for release, python in tested.items()
    ]
    return table(("Airflow", *(f"Python {python}" for python in pythons)), rows)


TABLES: dict[str, Callable[[], str]] = {
    "bands": bands,
    "collections": collections,
    "connection-fields": connection_fields,
    "coordinate-systems": coordinate_systems,
    "evalscript-texts": evalscript_texts,
    "evalscripts": evalscripts,
    "extras": extras,
    "options": options,
    "orders": orders,
    "support": support,
}
