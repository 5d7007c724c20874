"""
Keeps what was acquired at run time out of the logs.

Airflow masks a connection's own secrets when it hands the connection out. A token is ours to mask.
"""

from __future__ import annotations


def mask(secret: str) -> None:
    """Have Airflow replace ``secret`` by ``***`` wherever this task logs or renders it."""
    from airflow.sdk.log import mask_secret

    mask_secret(secret)


async def amask(secret: str) -> None:
    """Do what :func:`mask` does, from an event loop."""
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:  # before 3.3 there is only the one that blocks, which must not run on the loop
        from asgiref.sync import sync_to_async

        # Not any thread: Airflow 3.1's triggerer has to find the way back from it to its own loop, or it breaks down.
        await sync_to_async(mask)(secret)
    else:
        await amask_secret(secret)
