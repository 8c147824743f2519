"""Bind a call's arguments to the function's signature, defaults filled in, as a tuple in the signature's order.

inspect.Signature.bind costs 5 µs; the common call, plain positional and keyword parameters, needs none of it. What does not
fit goes to inspect, for Python's own TypeError.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gpucache.errors import BadSetting

_EMPTY = inspect.Parameter.empty
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Binder:
    """How one function is called.

    Attributes:
        names: Its parameters in order; a value tuple has one entry for each (`*args`: a tuple, `**kwargs`: a dict).
        counted, counted_names, counted_parameters: Indices of those that count in a key; their names; both together.
    """

    def __init__(self, function: Callable[..., Any], ignore: Sequence[str] = ()) -> None:
        self.signature = inspect.signature(function)
        self._called = getattr(function, "__qualname__", repr(function))
        parameters = list(self.signature.parameters.values())
        self.names = tuple(parameter.name for parameter in parameters)
        unknown = set(ignore) - set(self.names)
        if unknown:
            raise BadSetting("ignore", str(tuple(sorted(unknown))), f"parameters among {self.names}")
        self.counted = tuple(index for index, name in enumerate(self.names) if name not in ignore)
        self.counted_names = tuple(self.names[index] for index in self.counted)
        self.counted_parameters = tuple(zip(self.counted, self.counted_names, strict=True))
        self._kinds = tuple(parameter.kind for parameter in parameters)
        self._defaults = tuple(parameter.default for parameter in parameters)
        self._all_positional = all(kind in _POSITIONAL for kind in self._kinds)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of all parameters, in the signature's order.

        Raises:
            TypeError: As calling the function so would.
        """
        if not kwargs and self._all_positional:
            given = len(args)
            if given == len(self.names):
                return args
            if given < len(self.names) and _EMPTY not in (rest := self._defaults[given:]):
                return args + rest
        return self._bind_slowly(args, kwargs)

    def _bind_slowly(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as problem:
            raise TypeError(f"{self._called}(): {problem}") from None
        bound.apply_defaults()
        # The order of **kwargs is the caller's spelling, not the call's meaning: sorted, so that it counts for nothing.
        return tuple(
            dict(sorted(value.items())) if kind is inspect.Parameter.VAR_KEYWORD else value
            for kind, value in zip(self._kinds, bound.arguments.values(), strict=True)
        )

    def bind_again(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of all parameters, from those that an earlier binding had by name. A parameter added since has its default.

        Raises:
            TypeError: The function takes other arguments now.
        """
        args: list[Any] = []
        kwargs = {name: value for name, value in values.items() if name not in self.names}
        has_gap = False
        for name, kind in zip(self.names, self._kinds, strict=True):
            if name not in values:
                has_gap = True
            elif kind is inspect.Parameter.VAR_POSITIONAL:
                args.extend(values[name])
            elif kind is inspect.Parameter.VAR_KEYWORD:
                kwargs.update(values[name])
            elif kind in _POSITIONAL and not has_gap:
                args.append(values[name])
            else:
                kwargs[name] = values[name]
        return self.bind(tuple(args), kwargs)

    def unbind(self, values: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Values in the signature's order, as the (args, kwargs) that call the function with them."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, kind, value in zip(self.names, self._kinds, values, strict=True):
            if kind in _POSITIONAL:
                args.append(value)
            elif kind is inspect.Parameter.VAR_POSITIONAL:
                args.extend(value)
            elif kind is inspect.Parameter.VAR_KEYWORD:
                kwargs.update(value)
            else:
                kwargs[name] = value
        return tuple(args), kwargs
