"""What of the machine counts in a key, for tasks that say that it does.

The default is "any": a float computed on another machine is as good as this one's. "family" separates machines whose
kernels differ (processor architecture, GPU model); "bitwise" also separates the switches that change the last bits.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

Numerics = Literal["any", "family", "bitwise"]

_TORCH_SWITCHES: tuple[tuple[str, Callable[[Any], object]], ...] = (
    ("matmul.allow_tf32", lambda torch: torch.backends.cuda.matmul.allow_tf32),
    ("cudnn.allow_tf32", lambda torch: torch.backends.cudnn.allow_tf32),
    ("cudnn.deterministic", lambda torch: torch.backends.cudnn.deterministic),
    ("matmul_precision", lambda torch: torch.get_float32_matmul_precision()),
    ("deterministic", lambda torch: torch.are_deterministic_algorithms_enabled()),
    ("default_dtype", lambda torch: torch.get_default_dtype()),
    ("threads", lambda torch: torch.get_num_threads()),
    ("autocast", lambda torch: torch.is_autocast_enabled()),
)


def environment_text(numerics: Numerics, gpu_models: Sequence[str] = ()) -> str:
    """The part of the environment that counts at this level, as text: empty for "any"."""
    if numerics == "any":
        return ""
    facts = [platform.machine(), *sorted(set(gpu_models))]
    if numerics == "bitwise":
        facts.append(platform.processor() or platform.machine())
        torch = sys.modules.get("torch")
        if torch is not None:
            facts.append(f"torch {torch.__version__}")
            facts += [f"{name}={read(torch)}" for name, read in _TORCH_SWITCHES]
    return "; ".join(facts)
