"""Whose results are believed: Ed25519 keys, one to sign with, others to trust.

A private key is a PEM file as `openssl genpkey -algorithm ed25519` or `gpucache keygen` writes it; a public key is 64
hexadecimal digits. The home of `cryptography`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from gpucache.errors import BadSetting, ExtraMissing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_BYTES = 32
EXTRA = "cryptography", "remote"


class SigningKey:
    """A private key. Any thread may sign."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_key = private.public_key().public_bytes_raw()

    @classmethod
    def read(cls, path: Path) -> SigningKey:
        """The key in a file.

        Raises:
            BadSetting: There is none, others can read it, or it is no Ed25519 key.
            ExtraMissing: cryptography is not installed.
        """
        setting = "remote_signing_key"
        try:
            mode = stat.S_IMODE(os.stat(path).st_mode)
            text = path.read_bytes()
        except OSError as problem:
            raise BadSetting(setting, str(path), f"a file that can be read ({problem.strerror})") from problem
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise BadSetting(setting, str(path), f"a file that only you can read, not mode {mode:o}: chmod 600 it")
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        except ImportError as problem:
            raise ExtraMissing(setting, *EXTRA) from problem
        try:
            private = load_pem_private_key(text, password=None)
        except (ValueError, TypeError) as problem:
            raise BadSetting(setting, str(path), f"a private key in PEM, without a password ({problem})") from problem
        if not isinstance(private, Ed25519PrivateKey):
            raise BadSetting(setting, str(path), "an Ed25519 key: `gpucache keygen PATH` makes one")
        return cls(private)

    @classmethod
    def make(cls, path: Path) -> SigningKey:
        """A new key, written to a file that is not there yet and that only this user can read.

        Raises:
            FileExistsError: There is one; nothing was written.
            ExtraMissing: cryptography is not installed.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
            from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
        except ImportError as problem:
            raise ExtraMissing("keygen", *EXTRA) from problem
        private = Ed25519PrivateKey.generate()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return cls(private)

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, 64 bytes."""
        signature: bytes = self._private.sign(message)
        return signature


class Trust:
    """Whose statements are believed. Without keys: everybody's, as far as they can't do harm. Any thread may ask.

    Raises:
        ExtraMissing: There are keys, and cryptography is not installed.
    """

    def __init__(self, keys: frozenset[bytes] = frozenset()) -> None:
        self.keys = keys
        self._known: dict[bytes, Ed25519PublicKey] = {}
        if keys:
            try:
                from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
            except ImportError as problem:
                raise ExtraMissing("remote_trusted_keys", *EXTRA) from problem
            self._known = {key: Ed25519PublicKey.from_public_bytes(key) for key in keys}

    def why_not(self, public_key: bytes | None, signature: bytes, message: bytes) -> str | None:
        """Why a statement is not believed; None if a trusted key signed it, or if no key is asked for."""
        if not self.keys:
            return None
        if public_key is None:
            return "it is not signed"
        known = self._known.get(public_key)
        if known is None:
            return f"its signer {public_key.hex()[:12]} is not among the trusted keys"
        from cryptography.exceptions import InvalidSignature

        try:
            known.verify(signature, message)
        except InvalidSignature:
            return "its signature is not that of its signer"
        return None


def parse_keys(text: str) -> frozenset[bytes]:
    """Public keys, separated by commas or spaces.

    Raises:
        BadSetting: One is no public key.
    """
    found = set()
    for word in text.replace(",", " ").split():
        try:
            key = bytes.fromhex(word)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise BadSetting("remote_trusted_keys", word, "public keys of 64 hexadecimal digits, separated by commas")
        found.add(key)
    return frozenset(found)
