"""Whether a body used the random generators that belong to the whole process: then its arguments do not explain its result."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Callable
from typing import Any


def _numpy_state(module: Any) -> object:
    """The generator's memory: get_state() makes an array of it, for 30 µs."""
    generator = module.get_bit_generator()
    if type(generator) is module.MT19937:
        return generator, ctypes.string_at(generator.ctypes.state_address, _MT19937_BYTES)
    return generator, repr(generator.state)


_MT19937_BYTES = 625 * 4
"""624 words and a position: numpy/random/src/mt19937/mt19937.h."""


_GENERATORS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "random": ("random", lambda module: module.getstate()),
    "numpy.random": ("numpy.random", _numpy_state),
    "torch": ("torch", lambda module: module.random.get_rng_state().numpy().tobytes()),
}
"""Name for people -> (module, its state). A module that nobody imported was used by nobody."""


def states() -> dict[str, object]:
    """The state of each global generator now; about 20 µs."""
    found = {}
    for name, (module_name, state) in _GENERATORS.items():
        module = sys.modules.get(module_name)
        if module is None and name.partition(".")[0] == "numpy" and "numpy" in sys.modules:
            module = importlib.import_module(
                module_name
            )  # numpy loads it when it is first used: too late to look before
        if module is not None and not (name == "torch" and not hasattr(module, "random")):  # half imported
            found[name] = state(module)
    return found


def used_since(before: dict[str, object]) -> tuple[str, ...]:
    """The generators that are not as they were. One that was imported since counts as unused."""
    now = states()
    return tuple(name for name in before if now.get(name) != before[name])
