"""Sizes and durations as people write them: "6GiB", "500MB", "7d"."""

from __future__ import annotations

import re

from gpucache.errors import BadSetting

_FACTORS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", 1):
    _FACTORS |= {f"{_letter}iB": 1024**_power, f"{_letter}B": 1000**_power, _letter: 1024**_power}
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def parse_bytes(name: str, size: object) -> int:
    """Return a size in bytes; a bare number is bytes, and `6GiB`, `6G` and `6442450944` are the same.

    Raises:
        BadSetting: Not a size, or negative.
    """
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", size) if isinstance(size, str) else None
    if match is None or match[2] not in _FACTORS:
        raise BadSetting(name, str(size), "a size such as '6GiB', '500MB' or a number of bytes")
    return int(float(match[1]) * _FACTORS[match[2]])


def parse_seconds(name: str, duration: str | float) -> float:
    """Return a duration in seconds; a bare number is seconds, `7d` is a week.

    Raises:
        BadSetting: Not a duration, or negative.
    """
    if isinstance(duration, int | float) and duration >= 0:
        return float(duration)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw]?)\s*", duration) if isinstance(duration, str) else None
    if match is None:
        raise BadSetting(name, str(duration), "a duration such as '30s', '2h', '7d' or a number of seconds")
    return float(match[1]) * _SECONDS[match[2] or "s"]
