"""Keys: made, read, refused; and whose statements are believed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gpucache.errors import BadSetting
from gpucache.store.remote.signing import SigningKey, Trust, parse_keys

pytest.importorskip("cryptography", reason="signatures need cryptography: pip install 'gpucache[remote]'")


def test_a_made_key_is_private_and_reads_back(tmp_path: Path) -> None:
    """Only this user can read the file, and what it signs is believed by who trusts its public key."""
    made = SigningKey.make(tmp_path / "key.pem")

    read = SigningKey.read(tmp_path / "key.pem")

    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    trust = Trust(frozenset([made.public_key]))
    assert trust.why_not(read.public_key, read.sign(b"message"), b"message") is None


def test_a_key_never_replaces_a_file(tmp_path: Path) -> None:
    """Whoever types the wrong path loses no key."""
    (tmp_path / "key.pem").write_text("precious")

    with pytest.raises(FileExistsError):
        SigningKey.make(tmp_path / "key.pem")

    assert (tmp_path / "key.pem").read_text() == "precious"


def test_whose_statements_are_believed(tmp_path: Path) -> None:
    """Trusted keys alone, with their own signature of exactly this; everybody, where no key is asked for."""
    mine, other = (SigningKey.make(tmp_path / name) for name in ("mine", "other"))
    trust = Trust(frozenset([mine.public_key]))

    assert trust.why_not(None, bytes(64), b"m") == "it is not signed"
    assert "not among the trusted" in str(trust.why_not(other.public_key, other.sign(b"m"), b"m"))
    assert "signature" in str(trust.why_not(mine.public_key, other.sign(b"m"), b"m"))
    assert "signature" in str(trust.why_not(mine.public_key, mine.sign(b"m"), b"another"))
    assert Trust().why_not(None, bytes(64), b"m") is None


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """As ssh does: its signature says nothing any more."""
    SigningKey.make(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o644)

    with pytest.raises(BadSetting, match="mode 644: chmod 600"):
        SigningKey.read(tmp_path / "key.pem")


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused_in_words(tmp_path: Path, text: str) -> None:
    """The setting, the file and what was expected."""
    path = tmp_path / "key.pem"
    path.touch(mode=0o600)
    path.write_text(text)

    with pytest.raises(BadSetting, match=r"remote_signing_key.*key\.pem.*private key in PEM"):
        SigningKey.read(path)


def test_public_keys_are_read_from_a_setting() -> None:
    """Separated by commas or spaces; a wrong one is named."""
    one, two = "ab" * 32, "cd" * 32

    assert parse_keys(f"{one}, {two}") == {bytes.fromhex(one), bytes.fromhex(two)}
    assert parse_keys("") == frozenset()
    with pytest.raises(BadSetting, match="abcd"):
        parse_keys("abcd")
