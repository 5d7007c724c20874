"""Run inside an Airflow: print the connection form's data, as the web page fetches it from the API."""

from __future__ import annotations

import json
import sys

from airflow.api_fastapi.app import create_app
from airflow.utils.db import initdb
from fastapi.testclient import TestClient

initdb()
client = TestClient(create_app())
login = client.get("/auth/token")  # answers without a password: all users are administrators here
login.raise_for_status()
answer = client.get("/ui/connections/hook_meta", headers={"Authorization": f"Bearer {login.json()['access_token']}"})
answer.raise_for_status()
json.dump(next(row for row in answer.json() if row["connection_type"] == "sentinelhub"), sys.stdout)
