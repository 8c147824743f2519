"""Workers that are Ray actors. The only importer of ray.

An actor is asked once to connect back to this process and to serve there; from then on a call costs what it costs on a
local worker, 0.1 ms, not Ray's 2 ms (actor call) or 4.6 ms (task, FACTS). Actors on other machines, where that address
does not exist, are talked to by actor calls.

A Ray of our own is started on first need, with loopback addresses only, a random token, no dashboard, no usage
statistics, and no GPUs (gpucache places those itself). It dies with this process even by SIGKILL: Ray has the kernel
kill its servers when the *thread* that started them ends, so that thread is one that lives as long as Ray does; the
rest is left to undertaker.py.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib.util
import logging
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gpucache.errors import RuntimeUnreachable
from gpucache.workers import channel, messages, undertaker
from gpucache.workers.channel import Channel, Listener
from gpucache.workers.messages import Hello

if TYPE_CHECKING:
    from gpucache.workers.kind import Env, Kind, WorkerId

logger = logging.getLogger("gpucache")

_OBJECT_STORE_BYTES = 80 * 2**20
"""Ray's minimum (75 MiB) and a little: values travel by our own store."""


class RayWorker:
    """An actor that has connected back."""

    def __init__(self, actor: Any, end: Channel, pid: int) -> None:  # Ray's handles have no type
        self._actor = actor
        self.channel = end
        self.pid = pid

    def kill(self) -> None:
        """End it now, with every process that its calls have started: Ray makes each worker lead a group."""
        try:
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def reap(self) -> str:
        """Let Ray forget the actor."""
        self.channel.close()
        _end_actor(self._actor)
        return "its Ray actor ended"


class RayStarter:
    """Starts actors in a Ray of our own, in the one that this program is connected to, or in the cluster at `address`."""

    name = "ray"

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self.places_gpus_itself = address is not None  # it counts them for the other users of the cluster as well
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self._awaited: dict[int, queue.SimpleQueue[tuple[Channel, int] | BaseException | None]] = {}

    def check(self, kind: Kind) -> None:
        """Ray builds every environment; for packages it needs virtualenv, here if the Ray is ours.

        Raises:
            RuntimeUnreachable: The kind's environment asks for packages, and virtualenv is not installed.
        """
        asks_for_packages = kind.env is not None and bool(kind.env.pip)
        if asks_for_packages and self._address is None and importlib.util.find_spec("virtualenv") is None:
            why = "it can't build environments with pip= without virtualenv"
            raise RuntimeUnreachable("ray", why, "pip install virtualenv")

    def start(self, worker: WorkerId, kind: Kind, devices: tuple[str, ...]) -> RayWorker | RemoteWorker:
        """Start an actor and wait until it has connected; the first one starts Ray.

        Raises:
            RuntimeUnreachable: Ray can't be started or reached.
            Exception: What Ray raises when the actor can't be had.
        """
        with self._lock:
            if self._listener is None:
                _rays.acquire(self._address)
                self._listener = Listener()
                threading.Thread(
                    target=self._accept, args=(self._listener,), name="gpucache-accept", daemon=True
                ).start()
            listener = self._listener
        arrived: queue.SimpleQueue[tuple[Channel, int] | BaseException | None] = queue.SimpleQueue()
        self._awaited[worker] = arrived
        try:
            return self._start(worker, kind, devices, listener, arrived)
        finally:
            del self._awaited[worker]

    def close(self) -> None:
        """Stop listening, and stop Ray if it is ours and nobody else here uses it."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            _rays.release()

    def _start(
        self,
        worker: WorkerId,
        kind: Kind,
        devices: tuple[str, ...],
        listener: Listener,
        arrived: queue.SimpleQueue[Any],
    ) -> RayWorker | RemoteWorker:
        import ray

        foreign = self._address is not None
        # Where the cluster is not ours, Ray keeps count of its GPUs, and gives the actor the ones that it may use.
        options = {
            "num_cpus": 0,
            "num_gpus": kind.gpus if foreign else 0,
            "runtime_env": _runtime_env(kind.env, devices),
        }
        actor: Any = ray.remote(_actor_class()).options(**options).remote()
        served = actor.serve.remote(
            sys.path, {} if foreign else _own_variables(), listener.address, listener.key, worker
        )
        served.future().add_done_callback(lambda future: arrived.put(future.exception()))
        met = arrived.get()
        if met is None:  # serve() returned: it could not connect to us from where it is
            return RemoteWorker(actor)
        if isinstance(met, BaseException):
            _end_actor(actor)
            raise met
        return RayWorker(actor, *met)

    def _accept(self, listener: Listener) -> None:
        while True:
            try:
                end = listener.accept()
                hello, _ = end.recv()
                awaited = self._awaited.get(hello.worker) if isinstance(hello, Hello) else None
                if awaited is None or not isinstance(hello, Hello):
                    end.close()
                    continue
                end.send_descriptor(2, hello.pid)
                awaited.put((end, hello.pid))
            except EOFError:
                continue
            except OSError:
                if listener is not self._listener:
                    return


class RemoteWorker:
    """An actor on another machine: each message is an actor call, 2 ms instead of 0.1."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self.pid = 0
        self.channel: Any = _ActorChannel(actor)

    def kill(self) -> None:
        """End it now."""
        _end_actor(self._actor)
        self.channel.hang_up()

    def reap(self) -> str:
        """Let Ray forget the actor."""
        _end_actor(self._actor)
        return "its Ray actor ended"


class _ActorChannel:
    """What a Channel is, by actor calls; answers in the order of their messages.

    An actor's method answers once: a timed call counts from when it was sent.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._replies: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def send(self, message: messages.Message, payload: bytes | memoryview = b"") -> None:
        if isinstance(message, messages.Stop):
            _end_actor(self._actor)
            self.hang_up()
            return
        if isinstance(message, messages.Call) and message.timed:
            begun: concurrent.futures.Future[Any] = concurrent.futures.Future()
            begun.set_result((messages.encode(messages.Begun(message.call)), b""))
            self._replies.put(begun)
        answer = self._actor.handle.remote(messages.encode(message), bytes(payload))
        answer.future().add_done_callback(self._replies.put)

    def recv(self) -> tuple[messages.Message, memoryview]:
        while True:
            answered = self._replies.get()
            if answered is None or answered.exception() is not None:
                raise EOFError
            reply = answered.result()
            if reply is not None:
                return messages.decode(reply[0]), memoryview(reply[1])

    def hang_up(self) -> None:
        self._replies.put(None)

    def close(self) -> None:
        self.hang_up()


def _actor_class() -> type:
    """The actor. Made in a function, so that Ray ships it by value: gpucache may not be on its path before serve()."""

    class GpucacheWorker:
        def serve(self, path: list[str], variables: dict[str, str], address: str, key: bytes, worker: int) -> None:
            import sys

            sys.path[:] = [*path, *(place for place in sys.path if place not in path)]
            from gpucache.workers import on_ray  # noqa: PLW0406  # this method is shipped without its module

            on_ray.serve_in_actor(variables, address, key, worker)

        def handle(self, message: bytes, payload: bytes) -> tuple[bytes, bytes] | None:
            from gpucache.workers import on_ray  # noqa: PLW0406  # this method is shipped without its module

            return on_ray.handle_in_actor(self, message, payload)

    return GpucacheWorker


def serve_in_actor(variables: dict[str, str], address: str, key: bytes, worker: int) -> None:
    """In the actor: connect to the driver and serve it for good. Returns only if it can't be reached from here."""
    from gpucache.workers import main
    from gpucache.workers.loop import serve

    try:
        end = channel.connect(address, key)
    except OSError:
        return
    os.environ.update(variables)
    if variables and "OMP_NUM_THREADS" not in variables:
        os.environ.pop("OMP_NUM_THREADS", None)
    end.send(Hello(worker, os.getpid()))
    stderr = end.recv_descriptor()
    for descriptor in (1, 2):
        os.dup2(stderr, descriptor)
    os.close(stderr)
    sys.argv = ["gpucache-worker"]
    main.die_on_hang_up(end.fileno())
    serve(main.whole_process_worker(), end)
    import ray

    ray.actor.exit_actor()  # type: ignore[no-untyped-call]


def handle_in_actor(actor: Any, message: bytes, payload: bytes) -> tuple[bytes, bytes] | None:
    """In the actor, where no channel reaches: answer one message."""
    from gpucache.workers import main

    worker = vars(actor).setdefault("worker", None) or main.whole_process_worker()
    actor.worker = worker
    reply = worker.handle(messages.decode(message), payload, _say_nothing)
    return None if reply is None else (messages.encode(reply[0]), reply[1])


def _say_nothing(message: messages.Message) -> None:
    """There is no way to the driver but the answer; _ActorChannel has said it already."""


def _runtime_env(env: Env | None, devices: tuple[str, ...]) -> dict[str, object]:
    variables = dict(env.env_vars) if env is not None else {}
    if devices:
        variables.update(CUDA_DEVICE_ORDER="PCI_BUS_ID", CUDA_VISIBLE_DEVICES=",".join(devices))
    wanted: dict[str, object] = {}
    if variables:
        wanted["env_vars"] = variables
    if env is not None and env.pip:
        wanted["pip"] = list(env.pip)
    if env is not None and env.image:
        wanted["image_uri"] = env.image
    return wanted


def _own_variables() -> dict[str, str]:
    """The driver's environment as it is now; Ray's processes have it as it was when Ray was started."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("RAY_", "CUDA_"))}


def _end_actor(actor: Any) -> None:
    import ray

    # It may be gone, or Ray itself may be: then there is nothing to end.
    with contextlib.suppress(Exception):
        ray.kill(actor, no_restart=True)


class _Rays:
    """This process's one connection to Ray: Ray allows one. Counted, because each driver and executor may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._ours = False
        self._release = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, address: str | None) -> None:
        """Have Ray ready; starts or connects it if this program has not."""
        with self._lock:
            self._connect(address)
            self._users += 1

    def release(self) -> None:
        """The counterpart of acquire(); the last one ends what we started."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._ours and self._thread is not None:
                self._release.set()
                self._thread.join()
                self._ours = False

    def _connect(self, address: str | None) -> None:
        try:
            import ray
        except ImportError as missing:
            raise RuntimeUnreachable(address or "ray", str(missing), "pip install ray") from missing
        if ray.is_initialized():
            return
        self._release.clear()
        begun: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._live, args=(address, begun), name="gpucache-ray", daemon=True)
        self._thread.start()
        problem = begun.get()
        if problem is not None:
            remedy = "see the message above"
            if address is not None:
                remedy = "is a cluster running there, with its client port open?"
            if "ray[client]" in str(problem):
                remedy = "pip install 'ray[client]'"
            raise RuntimeUnreachable(address or "ray", f"{type(problem).__name__}: {problem}", remedy) from problem
        self._ours = True

    def _live(self, address: str | None, begun: queue.SimpleQueue[BaseException | None]) -> None:
        """Ray's life, in one thread: its processes are killed when the thread that started them ends."""
        import ray

        try:
            held = _local_ray(ray) if address is None else _foreign_ray(ray, address)
            with held:
                begun.put(None)
                self._release.wait()
        except BaseException as problem:  # noqa: BLE001  # handed to the caller; Ray raises SystemExit among others
            begun.put(problem)


_rays = _Rays()


@contextlib.contextmanager
def _foreign_ray(ray: Any, address: str) -> Iterator[None]:
    ray.init(address=address, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _local_ray(ray: Any) -> Iterator[None]:
    from ray._private import ray_constants
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # compiled, without stubs

    mark = f"_GC_RAY={secrets.token_hex(16)}"
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        with _environment({**_local_settings(), **dict([mark.split("=")])}):
            # Ray reads both once, at its import: without this the driver knows neither mode nor token, and hangs.
            Config.initialize("")
            AuthenticationTokenLoader.instance().reset_cache()
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                num_gpus=0,
                object_store_memory=_OBJECT_STORE_BYTES,
            )
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
    with _undertaker(mark, ray._private.worker._global_node.get_session_dir_path()), _quiet_raylet():  # noqa: SLF001
        try:
            yield
        finally:
            ray.shutdown()


def _local_settings() -> dict[str, str]:
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        # An actor that asks Ray for no GPU keeps the CUDA_VISIBLE_DEVICES that we give it.
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # Ray looks up the machine's outer address unless told that no cluster can be had (as on macOS); its servers
        # listen on all interfaces unless that address is 127.0.0.1. Seen with ss -ltn: with this, loopback only.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    if "OMP_NUM_THREADS" not in os.environ:
        # Ray sets 1 for an actor that asks for no CPU, and then imports numpy; numerics and speed are to be those of a
        # local worker. serve_in_actor() takes it away again for what is imported later.
        settings["OMP_NUM_THREADS"] = str(len(os.sched_getaffinity(0)))
    if "RAY_AUTH_MODE" not in os.environ:
        settings["RAY_AUTH_MODE"] = "token"
        if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
            settings["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    return settings


@contextlib.contextmanager
def _undertaker(mark: str, folder: str) -> Iterator[None]:
    """Have what bears the mark ended, and the folder removed, when this ends or this process does."""
    waits = subprocess.Popen(
        [sys.executable, "-I", "-S", undertaker.__file__, mark, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        waits.communicate()


@contextlib.contextmanager
def _quiet_raylet() -> Iterator[None]:
    """Log what the raylet says of dead workers; Ray prints it on standard output, which is the program's own.

    The engine knows of each death, and says so itself where nobody asked for it.
    """
    from ray._private import worker

    printed = worker.print_to_stdstream
    worker.print_to_stdstream = lambda data, **_: logger.debug("ray: %s", data)
    try:
        yield
    finally:
        worker.print_to_stdstream = printed


@contextlib.contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    """Set variables for as long as Ray starts, and leave the user's environment as it was."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text
