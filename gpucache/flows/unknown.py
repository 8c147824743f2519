"""What a plan hands to the flow for a result that is not known: to be passed on to tasks, and looked at by nobody.

Whoever looks stops the plan at that line. Libraries look in ways of their own, and take an object that does not answer for
one of a kind that they know (to numpy it is an array with one object in it, to pickle a thing to be written): so every way to
ask is answered here, by stopping. What can't be asked (`x is None`, `type(x)`) is not noticed.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from gpucache.errors import PlanStopped
from gpucache.flows.future import leaves_in


class Unknown:
    """The value of a call that has not run. It can be passed to tasks; whoever looks inside it stops the plan.

    Unpacking works where the task's newest result tells how many there are: `train, test = split(data)`. Our own code asks
    `type(value) is Unknown`, for isinstance() of another class asks for __class__, and that is looking.

    Args:
        looked: Gets the task's name when someone looks: a flow that catches the stop has a value that is not the task's.
    """

    def __init__(self, flow: str, task: str, looked: list[str], length: int | None = None) -> None:
        self.__dict__.update(_flow=flow, _task=task, _looked=looked, _length=length)

    def __iter__(self) -> Iterator[Unknown]:
        if self._length is None:
            self._stop()
        return iter([self[place] for place in range(self._length)])

    def __getitem__(self, item: object) -> Unknown:
        return Unknown(self._flow, self._task, self._looked)

    def __copy__(self) -> Unknown:
        return self

    def __deepcopy__(self, memo: object) -> Unknown:
        return self

    def _stop(self, *_: object, **__: object) -> Any:
        self._looked.append(self._task)
        raise PlanStopped(self._flow, self._task)

    def __getattr__(self, name: str) -> Any:
        # Of names like __dlpack__ and __arrow_array__, too: who finds none of them decides that this is no tensor, no array.
        return self._stop()

    @property  # type: ignore[misc]  # to set it is to ask __setattr__
    def __class__(self) -> Any:
        """isinstance(), json and functools.singledispatch ask for it."""
        return self._stop()

    __setattr__ = __delattr__ = __call__ = __bool__ = __len__ = __length_hint__ = __contains__ = _stop
    __setitem__ = __delitem__ = __reversed__ = __next__ = __enter__ = __exit__ = __await__ = __aiter__ = _stop
    __aenter__ = __aexit__ = __instancecheck__ = __subclasscheck__ = __reduce__ = __reduce_ex__ = __getstate__ = _stop
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _stop
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _stop
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __divmod__ = __rdivmod__ = __pow__ = __rpow__ = _stop
    __matmul__ = __rmatmul__ = __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _stop
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = __neg__ = __pos__ = __abs__ = __invert__ = _stop
    __int__ = __float__ = __complex__ = __index__ = __round__ = __trunc__ = __floor__ = __ceil__ = _stop
    __str__ = __format__ = __fspath__ = __bytes__ = __buffer__ = __dir__ = __sizeof__ = _stop
    # numpy asks the type for these, and never the instance.
    __array__ = __array_ufunc__ = __array_function__ = __torch_function__ = _stop

    def __repr__(self) -> str:
        return f"<result of {self._task}, not known before it runs>"


Sequence.register(Unknown)  # so that `case [first, *rest]` asks for its length, instead of passing it over


def unknown_near(problem: BaseException) -> str | None:
    """The task whose unknown result the frames that an exception went through hold, the innermost first; None: no frame does."""
    frames = [frame for frame, _ in traceback.walk_tb(problem.__traceback__)]
    held = (value for frame in reversed(frames) for value in leaves_in(frame.f_locals.values()))
    return next((value._task for value in held if type(value) is Unknown), None)  # noqa: SLF001  # a part of the same machine
