"""Errors that the driver reports about GPUs (Xids), heard in a thread of its own for as long as someone cares.

NVML keeps no history: what happened before the watch began is not known. Source of the meanings: NVIDIA's Xid catalogue.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Sequence
from typing import Any

from gpucache.telemetry.nvml_gpu import KnownGpu
from gpucache.telemetry.reading import XidEvent

CONDEMNING = frozenset({48, 63, 64, 74, 79, 94, 95})
"""Memory beyond repair (48, 63, 64, 94, 95), NVLink (74), off the bus (79). Those of applications (13, 31, 43, 45, ...) harm
the process that made them; the GPU goes on."""

KEPT_COUNT = 32
"""Events kept for each GPU, the newest: a program that faults in a loop makes thousands."""

_WAIT_MS = 500


class XidWatcher:
    """Listens to some GPUs until it is closed. Any thread may ask it."""

    def __init__(self, nvml: Any, gpus: Sequence[KnownGpu]) -> None:
        self._nvml = nvml
        self._changed = threading.Condition()
        self._events: dict[str, tuple[XidEvent, ...]] = {}
        self._refused: dict[str, str] = {}
        self._problems: tuple[str, ...] = ()
        self._closed = False
        self._uuids = {_address(gpu.handle): gpu.uuid for gpu in gpus}
        self._set = nvml.nvmlEventSetCreate()
        for gpu in gpus:
            try:
                nvml.nvmlDeviceRegisterEvents(gpu.handle, nvml.nvmlEventTypeXidCriticalError, self._set)
                self._events[gpu.uuid] = ()
            except nvml.NVMLError as problem:
                self._refused[gpu.uuid] = str(problem)
        self._thread = threading.Thread(target=self._listen, name="gpucache-xids", daemon=True)
        self._thread.start()

    def seen(self, uuid: str) -> tuple[XidEvent, ...] | None:
        """The events of a GPU, oldest first; None if the driver does not tell about it (why_not says why)."""
        with self._changed:
            return self._events.get(uuid)

    def why_not(self, uuid: str) -> str:
        """Why there are no events of a GPU."""
        return self._refused.get(uuid, "it was not there when the watch began")

    @property
    def problems(self) -> tuple[str, ...]:
        """What can't be said of one GPU: errors without a device, and that the watch has ended."""
        with self._changed:
            return self._problems

    def wait_for(self, uuid: str, code: int, timeout_s: float) -> bool:
        """Wait until an event of that code was seen on a GPU; False if it was not in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: code in [event.code for event in self._events.get(uuid, ())], timeout_s
            )

    def close(self) -> None:
        """Stop listening. Does not wait: the thread ends when the driver's call returns, half a second later at most."""
        self._closed = True

    def _listen(self) -> None:
        nvml = self._nvml
        while not self._closed:
            try:
                told = nvml.nvmlEventSetWait(self._set, _WAIT_MS)
            except nvml.NVMLError as problem:
                if problem.value == nvml.NVML_ERROR_TIMEOUT:
                    continue
                self._note_problem(f"Xids are not watched any more: {problem}")
                return
            if told.eventType == nvml.nvmlEventTypeXidCriticalError:
                self._note(self._uuids.get(_address(told.device)), int(told.eventData))

    def _note(self, uuid: str | None, code: int) -> None:
        if uuid is None:
            self._note_problem(f"Xid {code} on a GPU that the driver does not name")
            return
        event = XidEvent(code, time.monotonic_ns(), code in CONDEMNING)
        with self._changed:
            self._events[uuid] = (*self._events.get(uuid, ()), event)[-KEPT_COUNT:]
            self._changed.notify_all()

    def _note_problem(self, problem: str) -> None:
        with self._changed:
            if problem not in self._problems:
                self._problems = (*self._problems, problem)[-KEPT_COUNT:]
            self._changed.notify_all()


def _address(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0
