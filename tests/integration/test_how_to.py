"""The how-to guides: shell scripts against the sandbox, and the DAGs that need more than a sandbox."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from dag_runs import DagRunner
from doc_blocks import ROOT, all_blocks, blocks
from environment import free_port
from s3_server import BUCKET, S3Server

(ALARM,), (IN_A_BUCKET,), (BEFORE,) = all_blocks("alarm"), all_blocks("bucket"), all_blocks("official")
(AFTER,) = (block for block in blocks(ROOT / BEFORE.path) if block.kind == "dag")


@pytest.mark.parametrize("block", all_blocks("run"), ids=str)
def test_a_shell_script_runs(sentinelhub_sandbox, tmp_path: Path, block):
    """It succeeds with the connection in place, or with the one that it makes, and prints something."""
    script = block.text.replace("http://127.0.0.1:9080", sentinelhub_sandbox.url)
    script = script.replace('"sandbox-client"', f'"{sentinelhub_sandbox.client_id}"')
    script = script.replace("sandbox-secret-not-a-real-one", sentinelhub_sandbox.client_secret)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "AIRFLOW_HOME": str(tmp_path),
    }
    if "connections.json" not in script:
        environment["AIRFLOW_CONN_SENTINELHUB_DEFAULT"] = sentinelhub_sandbox.connection_json()

    answer = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.strip()
    if "processing_units_per_month" in script:
        assert re.search(r"10,?000", answer.stdout)


class Mailbox(MessageHandler):
    """Keeps the mails that a server gets."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Message] = []

    def handle_message(self, message: Message) -> None:
        """Keep one."""
        self.mails.append(message)


@pytest.fixture(scope="module", name="mailbox")
def fixture_mailbox() -> Iterator[tuple[Mailbox, str]]:
    """A mail server on loopback, and an Airflow connection to it."""
    mailbox = Mailbox()
    server = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    server.start()
    connection = {
        "conn_type": "smtp",
        "host": server.hostname,
        "port": server.port,
        "extra": {"disable_ssl": True, "disable_tls": True},
    }
    yield mailbox, json.dumps(connection)
    server.stop()


@pytest.fixture(scope="module", name="home")
def fixture_home(
    dag_runner: DagRunner, mailbox, s3_for_all: S3Server, sentinelhub_sandbox_server, tmp_path_factory
) -> Path:
    """Run all DAGs, the alarm for two weeks; return the folder that they write to."""
    home = tmp_path_factory.mktemp("home")
    texts = {
        1: [BEFORE.text, AFTER.text, IN_A_BUCKET.text.replace("my-bucket", BUCKET), alarm_of("2025-06-16")],
        2: [alarm_of("2025-06-23")],
    }
    environment = {
        "AIRFLOW_CONN_SMTP_DEFAULT": mailbox[1],
        "AIRFLOW_CONN_MY_AWS": s3_for_all.connection(),
        # oauthlib refuses tokens over plain http unless told so; only the official client needs it.
        "OAUTHLIB_INSECURE_TRANSPORT": "1",
        "XDG_CONFIG_HOME": str(home),
    }
    for number, dags in texts.items():
        folder = home / f"dags{number}"
        folder.mkdir()
        (folder / "insured_fields.zip").write_bytes((ROOT / "example_dags/insured_fields.zip").read_bytes())
        for index, text in enumerate(dags):
            (folder / f"dag{index}.py").write_text(text.replace("~/sentinelhub", str(home)))
        done = dag_runner.run(sentinelhub_sandbox_server, folder, home, environment=environment)
        assert {run["state"] for run in done.runs.values()} == {"success"}, done.log[-5000:]
    return home


def alarm_of(monday: str) -> str:
    """Return the alarm's DAG for the run of a Monday, with a fall that the sandbox's fields have."""
    shown = ["schedule=CronData", '"fall": 0.15']
    assert all(ALARM.text.count(text) == 1 for text in shown)
    return ALARM.text.replace(shown[0], f'tags=["at={monday}"], {shown[0]}').replace(shown[1], '"fall": 0.01')


def test_an_alarm_comes_by_mail(home: Path, mailbox):
    """One mail, which names the week and the fields whose NDVI fell; the week before has nothing to compare with."""
    (mail,) = mailbox[0].mails

    assert mail["to"] == "farm@example.org"
    assert re.fullmatch(r"NDVI fell in the week from 2025-06-\d\d", mail["subject"])
    (part,) = (part for part in mail.walk() if part.get_content_maintype() == "text")
    assert re.fullmatch(r"[\w-]+(, [\w-]+)*", part.get_payload(decode=True).decode().strip())


def test_a_picture_lies_in_the_bucket(home: Path, s3_for_all: S3Server):
    """Under the name that the DAG gives it, with its STAC Item."""
    (picture,) = [key for key in s3_for_all.keys() if re.fullmatch(r"ndvi/\d{4}-\d\d-\d\d\.tif", key)]  # noqa: SIM118

    assert s3_for_all.get(picture).startswith((b"II", b"MM"))


def means(path: Path) -> dict[tuple[str, str], float]:
    """Return the mean of each field and interval that has one."""
    with path.open(newline="") as file:
        rows: list[dict[str, Any]] = [row for row in csv.DictReader(file) if row["mean"] not in ("", "NaN")]
    return {(row["feature_id"], row["interval_from"]): float(row["mean"]) for row in rows}


def test_picture_and_table_are_those_of_the_official_client(home: Path):
    """Pixel by pixel, of the same day; and a mean for each field and interval."""
    with rasterio.open(home / "before/ndvi.tif") as before, rasterio.open(home / "after/ndvi.tif") as after:
        np.testing.assert_array_equal(before.read(), after.read())
        assert after.read().std() > 0

    assert {field for field, _ in means(home / "after/ndvi.csv")} == {"north", "south"}
    assert means(home / "after/ndvi.csv") == pytest.approx(means(home / "before/ndvi.csv"), abs=0.01)


def test_the_code_is_much_shorter():
    """With the operators it is less than half as long as with the official client."""
    before, after = (sum(1 for line in block.text.splitlines() if line.strip()) for block in (BEFORE, AFTER))

    assert after < before / 2
