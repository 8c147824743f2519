"""Every setting, read once from the environment and passed down frozen.

The only module that reads os.environ. GPUCACHE_STORE and GPUCACHE_RUNTIME are the two that
most people need; GPUCACHE_ plus the name of any other field sets that field.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from gpucache.errors import BadSetting
from gpucache.sizes import parse_bytes

_PUBLIC_KEY = re.compile("[0-9a-fA-F]{64}")

Setting = str | int | float | bool
LONGEST_WAIT_S = 86_400.0
"""A day: who waits longer for a warm worker has meant another unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting, with its unit and the reason for its default. What ends in `_bytes` is given as for tasks: "1GiB", "500MB".

    Attributes:
        store: Path of the store; `~` is expanded.
        runtime: "local" (warm worker processes of this machine), "ray", "ray://host:port" or "inline".
        max_workers: Warm workers at most; 0 means one per CPU.
        inline_max_bytes: Results up to this size lie in the index row; larger ones are files
            (FACTS: LMDB beats a mapped file up to about this size).
        store_max_bytes: Who writes results keeps the store's files to so many bytes, see gpucache.Store; `gpucache gc` comes down
            to it, too. 0: nothing goes by itself, since no number is right for every disk.
        durability: What the store promises for a power cut: "relaxed", "durable" or "volatile" (see gpucache.Store).
        worker_start_timeout_s: A worker that has not said hello by then is given up.
        warm_wait_s: How long a call waits for a warm worker before one of another kind is ended for it; see docs/residence.md.
            0: not at all, since a start costs a second where nothing large is loaded.
        resident_max_bytes: Declared bytes of residents (`gpu_memory=`) that stay in one worker at most; 0: no limit, what
            does not fit is found out by running out of memory.
        remote: Where results are shared: s3://bucket/prefix, gs://, az:// or file:///directory; empty: nowhere.
        remote_read_only: Take results from there, send none.
        remote_signing_key: File of the Ed25519 key that signs what is sent; empty: nothing is signed.
        remote_trusted_keys: Public keys (64 hexadecimal digits, separated by commas) whose results alone are believed; empty:
            everybody's, but for what needs unpickling.
        remote_timeout_s: What a call waits for an answer of the remote, unless computing its value took longer.
        remote_compress: Results travel there and back compressed where that pays; readers need this gpucache or a newer one for those.
        remote_flush_s: What a program waits at its end until its results are sent; the rest is sent by the next.
        native_reads: What native code opens counts for what a body reads: functions that loaded libraries import are pointed at
            ours for it (csrc/gc_opens.h). False: they are left alone, and files that no text names are not seen.
        strict: Refuse what is otherwise only said: dynamic imports, global random state, results that can't be stored.
    """

    store: str = "~/.cache/gpucache"
    runtime: str = "local"
    max_workers: int = 0
    inline_max_bytes: int = 16 * 2**10
    store_max_bytes: int = 0
    durability: str = "relaxed"
    worker_start_timeout_s: float = 120.0
    warm_wait_s: float = 0.0
    resident_max_bytes: int = 0
    remote: str = ""
    remote_read_only: bool = False
    remote_signing_key: str = ""
    remote_trusted_keys: str = ""
    remote_timeout_s: float = 10.0
    remote_compress: bool = True
    remote_flush_s: float = 30.0
    native_reads: bool = True
    strict: bool = False

    def __post_init__(self) -> None:
        is_address = self.runtime.startswith("ray://") and self.runtime != "ray://"
        if self.runtime not in ("local", "ray", "inline") and not is_address:
            raise BadSetting("runtime", self.runtime, "'local', 'ray', 'ray://host:port' or 'inline'")
        if self.max_workers < 0:
            raise BadSetting("max_workers", str(self.max_workers), "0 (one per CPU) or more")
        if self.store_max_bytes < 0:
            raise BadSetting("store_max_bytes", str(self.store_max_bytes), "0 (no limit) or more")
        if self.resident_max_bytes < 0:
            raise BadSetting("resident_max_bytes", str(self.resident_max_bytes), "0 (no limit) or more")
        if not 0 <= self.warm_wait_s <= LONGEST_WAIT_S:
            raise BadSetting("warm_wait_s", str(self.warm_wait_s), f"seconds from 0 to {LONGEST_WAIT_S:g}")
        if self.remote and not self.remote.startswith(("s3://", "gs://", "az://", "file:///")):
            raise BadSetting("remote", self.remote, "s3://bucket/prefix, gs://, az:// or file:///directory")
        if wrong := [
            key for key in self.remote_trusted_keys.replace(",", " ").split() if not _PUBLIC_KEY.fullmatch(key)
        ]:
            raise BadSetting(
                "remote_trusted_keys", wrong[0], "public keys of 64 hexadecimal digits, separated by commas"
            )
        if not self.remote_timeout_s > 0:
            raise BadSetting("remote_timeout_s", str(self.remote_timeout_s), "more than 0")

    @property
    def store_path(self) -> Path:
        """The store's path, absolute."""
        return Path(self.store).expanduser().absolute()

    def settings(self) -> dict[str, Setting]:
        """Every field by name, as another process's Config.from_env(**settings) takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def environment(self) -> dict[str, str]:
        """This process's environment with these settings in it: what a process gets that shall work as this one does."""
        chosen = {f"GPUCACHE_{name.upper()}": str(value) for name, value in self.settings().items()}
        return {**os.environ, **chosen}

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **chosen: Setting | Sequence[str] | None) -> Config:
        """Build a Config from GPUCACHE_* variables, then from what the caller chose (None: not chosen; lists as in the environment).

        Raises:
            BadSetting: A name that is no setting, or a value of the wrong kind.
        """
        parsers = _parsers()
        settings: dict[str, Setting] = {}
        for variable, text in (os.environ if env is None else env).items():
            if variable.startswith("GPUCACHE_") and text:  # set to nothing is not set, as for most programs
                name = variable.removeprefix("GPUCACHE_").lower()
                if name not in parsers:
                    raise BadSetting(variable, text, f"one of {sorted(parsers)} after GPUCACHE_")
                settings[name] = parsers[name](text)
        for name, value in chosen.items():
            if name not in parsers:
                raise BadSetting(name, str(value), f"one of {sorted(parsers)}")
            if value is not None:
                settings[name] = _chosen(name, value, parsers[name])
        return cls(**settings)  # type: ignore[arg-type]  # each value came from its field's parser


def cuda_variables() -> dict[str, str]:
    """Those variables by which this process was told which GPUs are its own, as far as they are set."""
    return {name: os.environ[name] for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER") if name in os.environ}


def cloud_over_http(env: Mapping[str, str] | None = None) -> bool:
    """Whether the endpoint that the environment names for an object store is plain http, as one's own servers often are."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
    found = os.environ if env is None else env
    return any(found.get(name, "").startswith("http://") for name in names)


def _chosen(name: str, value: object, parser: Callable[[str], Setting]) -> Setting:
    """A value from Python: of its field's kind, a text that says one as in the environment, or several texts."""
    if isinstance(value, str):
        return parser(value)
    if name.endswith("_bytes"):
        return parse_bytes(name, value)
    if isinstance(value, Sequence) and all(isinstance(one, str) for one in value):
        return parser(",".join(value))
    expected = type(getattr(Config(), name))
    if type(value) is expected or (expected is float and type(value) is int):
        return value  # type: ignore[return-value]  # a field's kind is a Setting's
    raise BadSetting(name, repr(value), f"a {expected.__name__}")


def _parsers() -> dict[str, Callable[[str], Setting]]:
    by_type: dict[str, Callable[[str, str], Setting]] = {
        "str": lambda _, text: text,
        "int": lambda name, text: _number(name, text, int),
        "float": lambda name, text: _number(name, text, float),
        "bool": _flag,
    }
    return {
        field.name: partial(parse_bytes if field.name.endswith("_bytes") else by_type[str(field.type)], field.name)
        for field in fields(Config)
    }


def _number(name: str, text: str, kind: type[int | float]) -> int | float:
    try:
        return kind(text)
    except ValueError:
        raise BadSetting(name, text, f"a number ({kind.__name__})") from None


def _flag(name: str, text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
    if text.lower() not in known:
        raise BadSetting(name, text, "1 or 0")
    return known[text.lower()]
