"""A marked function: calling it gives its value, from the store or by running it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from gpucache.errors import BadSetting, NotCacheable
from gpucache.flows import dispatch
from gpucache.flows.binding import Binder
from gpucache.flows.by_name import imported, named
from gpucache.flows.future import Future
from gpucache.flows.identify import Called, Code
from gpucache.flows.options import Options, OptionsGiven
from gpucache.flows.read_only import explain_read_only
from gpucache.flows.session import Session, current_session
from gpucache.flows.shared import bring
from gpucache.flows.watcher import watcher
from gpucache.memo import Explanation, Key, forget
from gpucache.workers.context import begun

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Cached(Generic[R]):
    """A call's stored result, told apart from there being none: the value may be None."""

    value: R


class AnyTask:
    """What all tasks are, whatever their signature.

    Attributes:
        fn: The undecorated function.
        name: The task's name: in keys, runs and listings.
        options: What it asks for.
        binder: How it is called.
    """

    def __init__(self, fn: Callable[..., Any], options: Options, name: str | None = None) -> None:
        functools.update_wrapper(cast("Any", self), fn)
        self.fn = fn
        self.name = name or fn.__qualname__.rpartition("<locals>.")[2]
        self.options = options
        self.binder = Binder(fn, options.ignore)
        self.is_async = inspect.iscoroutinefunction(fn)
        self._is_generator = inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)
        self.is_plain = options.cache and not options.needs_worker and not self._is_generator
        self.is_quick = self.is_plain and not options.force
        self._code: tuple[Session, Code] | None = None

    def key(self, *args: Any, **kwargs: Any) -> Key:
        """What the call with these arguments is. Runs nothing.

        Raises:
            NotIdentifiable: An argument, or a global that the code reads, has no identity.
        """
        return Key(self._called(args, kwargs).key)

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """Whether the call would hit, and if not, what changed. Runs nothing."""
        session, called = current_session(), self._called(args, kwargs)
        bring(session, called)
        return called.explained(session.store)

    def forget(self, *args: Any, **kwargs: Any) -> int:
        """Drop the record of the call with these arguments; without any, all of this task's. Returns how many.

        A task without parameters has one record at most, so both readings agree.
        """
        store = current_session().store
        if not args and not kwargs:
            return store.forget_task(self.name)
        called = self._called(args, kwargs)
        return int(forget(store, called.key, called.root))

    def code(self, session: Session) -> Code:
        """The task's code as it is now: its fingerprint, and the header of its keys."""
        known = self._code
        if known is not None and known[0] is session and known[1].is_current():
            return known[1]
        code = Code(self, session)
        self._code = (session, code)
        return code

    def body(self, values: tuple[Any, ...]) -> Any:
        """Run the function on bound values: residents loaded, calls within it on nobody's record."""
        args, kwargs = self.binder.unbind([_in_residence(value) for value in values])
        begun()
        token = watcher.set(None)
        try:
            return self.fn(*args, **kwargs)
        except ValueError as problem:
            explain_read_only(problem)
            raise
        finally:
            watcher.reset(token)

    async def body_async(self, values: tuple[Any, ...]) -> Any:
        """body() of an async task."""
        try:
            return await self.body(values)
        except ValueError as problem:
            explain_read_only(problem)
            raise

    def body_in_worker(self, values: tuple[Any, ...]) -> Any:
        """body() where no event loop runs: an async task gets one of its own."""
        if not self.is_async:
            return self.body(values)
        import asyncio

        return asyncio.run(self.body_async(values))

    def refuse_generators(self) -> None:
        """Refuse a task whose values exist only once.

        Raises:
            NotCacheable: The function is a generator; nothing ran.
        """
        if self._is_generator:
            raise NotCacheable(self.name, "it is a generator, whose values exist only once", "return a list of them")

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """By name where the name leads back here, else by value.

        By value, the function is set after the task exists, so that a task that calls itself ends.
        """
        found = named(self.fn)
        if isinstance(found, AnyTask) and found.fn is self.fn:
            return _by_name, (self.fn.__module__, self.fn.__qualname__, self.options, self.name)
        return _blank, (type(self),), {"fn": self.fn, "options": self.options, "name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        AnyTask.__init__(self, state["fn"], state["options"], state["name"])

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Called:
        return Called(self, current_session(), self.binder.bind(args, kwargs))

    def _submitted(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        return dispatch.submit(self, args, kwargs)

    def _cached(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Cached[Any] | None:
        session = current_session()
        done = dispatch.find_now(session, self._called(args, kwargs))
        return None if done is None else Cached(done.value)


class Task(AnyTask, Generic[P, R]):
    """A function whose calls are answered from the store when their answer is known.

    Any thread and any process may call it. Arrays that come out of the store are read-only.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The value: from the store, or run now, in this process if the task asks for no GPU and no environment."""
        value: R = dispatch.call(self, args, kwargs)  # cast() would cost 40 ns
        return value

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Start the call on a warm worker, unless its answer is known. Arguments may be futures of other tasks."""
        return self._submitted(args, kwargs)

    def map(self, *iterables: Iterable[Any]) -> list[Future[R]]:
        """submit() for each element (of several iterables: for each tuple of elements), in order; equal keys run once."""
        return [self._submitted(args, {}) for args in zip(*iterables, strict=len(iterables) > 1)]

    def with_(self, **options: Unpack[OptionsGiven]) -> Task[P, R]:
        """This task with other options, for one call: `embed.with_(gpus=1, force=True)(texts)`."""
        return Task(self.fn, replace(self.options, **options), self.name)

    def cached(self, *args: P.args, **kwargs: P.kwargs) -> Cached[R] | None:
        """The stored result, or None. Runs nothing."""
        return self._cached(args, kwargs)

    @overload
    def __get__(self, instance: None, owner: type) -> Task[P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[..., R]: ...
    def __get__(self, instance: object | None, owner: type) -> Task[P, R] | Callable[..., R]:
        """On an instance, a method: its first argument is the instance."""
        return self if instance is None else functools.partial(cast("Callable[..., R]", self), instance)


class AsyncTask(AnyTask, Generic[P, R]):
    """A task whose function is `async def`: calling it gives a coroutine; everything else is as for Task."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """A coroutine for the value; a body that runs in this process runs in the caller's event loop."""
        return dispatch.call_async(self, args, kwargs)

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Start the call on a warm worker, in an event loop of its own there, unless its answer is known."""
        return self._submitted(args, kwargs)

    def map(self, *iterables: Iterable[Any]) -> list[Future[R]]:
        """submit() for each element, in order; equal keys run once."""
        return [self._submitted(args, {}) for args in zip(*iterables, strict=len(iterables) > 1)]

    def with_(self, **options: Unpack[OptionsGiven]) -> AsyncTask[P, R]:
        """This task with other options, for one call."""
        return AsyncTask(self.fn, replace(self.options, **options), self.name)

    def cached(self, *args: P.args, **kwargs: P.kwargs) -> Cached[R] | None:
        """The stored result, or None. Runs nothing."""
        return self._cached(args, kwargs)


class Decorator:
    """What `@task(...)` with options is: applied to a function, it gives a task."""

    def __init__(self, options: Options, name: str | None) -> None:
        self._options, self._name = options, name

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]]) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # a coroutine function is both; the first fits
    @overload
    def __call__(self, fn: Callable[P, R]) -> Task[P, R]: ...
    def __call__(self, fn: Callable[..., Any]) -> AnyTask:
        """Mark fn as a task."""
        if isinstance(fn, staticmethod | classmethod):
            fn = fn.__func__
        if not inspect.isfunction(fn):
            raise TypeError(f"a task is made of a function, not of {fn!r}: write @task above a def")
        if inspect.iscoroutinefunction(fn):
            return AsyncTask(fn, self._options, self._name)
        return Task(fn, self._options, self._name)


@overload
def task(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # as above
@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(*, name: str | None = None, **options: Unpack[OptionsGiven]) -> Decorator: ...
def task(
    fn: Callable[..., Any] | None = None, /, *, name: str | None = None, **options: Unpack[OptionsGiven]
) -> AnyTask | Decorator:
    """Mark a function as a task: `@task`, or `@task(gpus=0.5, gpu_memory="6GiB")`.

    Args:
        name: What it is called in keys, runs and listings, instead of its qualified name.
        options: Fields of gpucache.Options, which says what each means.

    Raises:
        BadSetting: An option has a value that is not understood.
        TypeError: There is no such option, or this is no function.
    """
    if name is not None and not isinstance(name, str):
        raise BadSetting("name", repr(name), "a text")
    unknown = sorted(set(options) - OptionsGiven.__annotations__.keys())
    if unknown:
        raise TypeError(
            f"a task has no option {unknown[0]!r}; there are {', '.join(sorted(OptionsGiven.__annotations__))}"
        )
    decorator = Decorator(Options(**options), name)
    return decorator if fn is None else decorator(fn)


def _in_residence(value: Any) -> Any:
    from gpucache.flows.residents import Resident

    return value() if isinstance(value, Resident) else value


def _by_name(module: str, qualname: str, options: Options, name: str) -> AnyTask:
    found = cast("AnyTask", imported(module, qualname))
    return found if found.options == options and found.name == name else type(found)(found.fn, options, name)


def _blank(kind: type[AnyTask]) -> AnyTask:
    return kind.__new__(kind)
