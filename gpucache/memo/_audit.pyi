from collections.abc import Callable
from typing import Any

def install(hook: Callable[[str, tuple[Any, ...]], None]) -> None: ...
