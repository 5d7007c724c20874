"""
Seals what is kept at rest with a key made from the client secret.

Who can open it could have asked for a token with that secret; who can read the store but not the connection cannot.
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PURPOSE = b"airflow-provider-sentinelhub token store 1"


class Seal:
    """
    Seals and opens bytes for one client.

    :param secret: the client secret.
    :param key: the client's key in the store. It salts the sealing key, so that what was sealed under one key does not
        open under another.
    """

    def __init__(self, secret: str, key: str) -> None:
        material = HKDF(algorithm=SHA256(), length=32, salt=key.encode(), info=_PURPOSE).derive(secret.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(material))

    def close(self, plain: bytes) -> bytes:
        """Seal bytes."""
        return self._fernet.encrypt(plain)

    def open(self, sealed: bytes) -> bytes | None:
        """Open what was sealed; ``None`` for what was not sealed with this key, or is damaged."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            return None
