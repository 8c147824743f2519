"""`gpucache keygen`: make a key that signs results."""

from __future__ import annotations

from pathlib import Path

import click

from gpucache.cli.flows import json_option


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def command(path: Path, as_json: bool) -> int:
    """Write a new private key to PATH, for GPUCACHE_REMOTE_SIGNING_KEY; print its public key, for others to trust."""
    from gpucache.cli.output import write, write_json
    from gpucache.store.remote import SigningKey

    try:
        key = SigningKey.make(path)
    except OSError as problem:
        raise click.ClickException(f"{path} can't be written: {problem.strerror}") from None
    if as_json:
        write_json("keygen", path=str(path), public_key=key.public_key.hex())
    else:
        write(key.public_key.hex())
    return 0
