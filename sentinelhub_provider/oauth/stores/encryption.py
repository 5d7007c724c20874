"""
Encrypts what is kept at rest with a key that is derived from the client secret.

Who can decrypt it could have asked for a token with that secret. Who can read the store but not the connection cannot.
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PURPOSE = b"airflow-provider-sentinelhub token store 1"


class Cipher:
    """
    Encrypts and decrypts bytes for one client, with its secret.

    :param key: the client's key in the store, as salt: what was encrypted under one cannot be decrypted under another.
    """

    def __init__(self, secret: str, key: str) -> None:
        material = HKDF(algorithm=SHA256(), length=32, salt=key.encode(), info=_PURPOSE).derive(secret.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(material))

    def encrypt(self, plain: bytes) -> bytes:
        """Encrypt bytes; the result is ASCII."""
        return self._fernet.encrypt(plain)

    def decrypt(self, encrypted: bytes) -> bytes | None:
        """Decrypt bytes; ``None`` for what another key encrypted, or what is damaged."""
        try:
            return self._fernet.decrypt(encrypted)
        except InvalidToken:
            return None
