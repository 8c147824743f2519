"""What `gpucache explain --demand TASK` shows: what the calls of a task took, and what its next one would ask for."""

from __future__ import annotations

import dataclasses

from gpucache.errors import NoSuchRecord

SHOWN = 10


def explain_demand(task: str, input_bytes: int | None, *, as_json: bool) -> int:
    """Write it. Without a size, the next call's input is taken to be as large as the last one's.

    Raises:
        NoSuchRecord: No call of this task was measured.
    """
    from gpucache.cli.output import duration, escaped, size, write, write_json, write_table
    from gpucache.flows import current_session
    from gpucache.flows.demands import next_demand, observed
    from gpucache.telemetry import read_fleet

    store = current_session().store
    seen = observed(store, task)
    if not seen:
        raise NoSuchRecord(
            "measured call of task", task, "run it with gpus= on a machine whose driver says what it took"
        )
    of_bytes = seen[-1].input_bytes if input_bytes is None else input_bytes
    device_bytes = max((device.room_bytes for device in read_fleet().devices), default=None)
    # Without a GPU here nothing bounds the answer but what a number can be.
    told = next_demand(store, task, of_bytes, device_bytes or 1 << 62)
    if as_json:
        write_json(
            "explain.demand",
            task=task,
            seen=[dataclasses.asdict(one) for one in seen],
            next={"input_bytes": of_bytes, "device_bytes": device_bytes, **dataclasses.asdict(told)},
        )
        return 0
    write(f"task  {escaped(task)}, {len(seen)} calls measured, the last of them:")
    rows = [
        (
            size(one.input_bytes),
            size(one.peak_bytes),
            "ran out of it" if one.ran_out else "",
            "" if one.ran_out else duration(one.seconds),
        )
        for one in seen[-SHOWN:]
    ]
    write_table((">input", ">GPU memory", "", ">took"), rows)
    write()
    asked = "the whole device" if told.memory_bytes is None else size(told.memory_bytes)
    write(f"next  with an input of {size(of_bytes)} asks for {asked}: {told.why}")
    if told.seconds is not None:
        write(f"      and takes about {duration(told.seconds)}")
    return 0
