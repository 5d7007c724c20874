"""The RSA key that signs access tokens, and its public half as a JSON Web Key."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

ALGORITHM = "RS256"
KEY_BITS = 2048


class SigningKey:
    """An RSA key pair. It is made when it is first needed, because that takes a good part of the time of a start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._private: RSAPrivateKey | None = None
        self._key_id = ""

    @property
    def private(self) -> RSAPrivateKey:
        """The private key, generated on first use."""
        with self._lock:
            if self._private is None:
                from cryptography.hazmat.primitives.asymmetric import rsa

                self._private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
                modulus = self._private.public_key().public_numbers().n
                self._key_id = hashlib.sha256(modulus.to_bytes(KEY_BITS // 8, "big")).hexdigest()[:24]
            return self._private

    @property
    def public(self) -> RSAPublicKey:
        """The public key, generated on first use."""
        return self.private.public_key()

    @property
    def key_id(self) -> str:
        """The ``kid`` in a token's header and in the key set."""
        _ = self.private
        return self._key_id

    def jwks(self) -> dict[str, Any]:
        """Return the JSON Web Key Set (RFC 7517) with which anyone can check a token."""
        from jwt.algorithms import RSAAlgorithm

        key: dict[str, Any] = RSAAlgorithm.to_jwk(self.public, as_dict=True)
        key = {name: key[name] for name in ("kty", "n", "e")}
        return {"keys": [{**key, "kid": self.key_id, "use": "sig", "alg": ALGORITHM}]}
