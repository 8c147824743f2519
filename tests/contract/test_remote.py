"""What every remote does for two stores that share it: a bucket in memory, a directory, and an S3 server in another process."""

from __future__ import annotations

import itertools
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from remote_support import S3

from gpucache.digests import Dir, File, value_digest
from gpucache.errors import RemoteUnreachable
from gpucache.events import Degraded, Event, hooks
from gpucache.memo import fetch, inputs
from gpucache.store import Record, Store
from gpucache.store.on_disk import OUTBOX
from gpucache.store.remote import Patience, Remote, Settings, SigningKey, open_remote, receiving
from gpucache.store.remote.breaker import Breaker
from gpucache.store.remote.bucket import Bucket
from gpucache.store.remote.objects import SIGNED, Call, Part, call_name, part_name, seal, unseal
from gpucache.store.remote.packing import Line
from gpucache.store.remote.signing import Trust

pytest.importorskip("obstore", reason="a remote needs obstore: pip install 'gpucache[remote]'")

PARTS = {"code:f": (b"c" * 16, "f")}
LARGE = np.arange(5 * 2**20, dtype=np.uint8)  # more than travels along
_keys = (number.to_bytes(16, "big") for number in itertools.count(1))


class Slow(Line):
    """A line over which packing always pays."""

    def moved(self, nbytes: int, seconds: float) -> None:
        """Stay slow."""


PACKED = pytest.mark.parametrize("line", [None, Slow(1e-3)], ids=["as they are", "packed"])


class Local:
    """A class that only pickle can store."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return Local, (self.name,)


class Machines:
    """Stores on as many machines as are asked for, that share one bucket."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        self.folder, self.bucket = folder, bucket
        self.heard: list[Degraded] = []
        self._made: list[tuple[Store, Remote]] = []

    def one(self, **options: Any) -> tuple[Store, Remote]:
        """A machine that has nothing."""
        store = Store(self.folder / f"store{len(self._made)}", outbox=lambda: None)
        made = store, Remote(store, options.pop("bucket", self.bucket), timeout_s=5.0, **options)
        self._made.append(made)
        return made

    def hear(self, event: Event) -> None:
        if isinstance(event, Degraded):
            self.heard.append(event)

    def close(self) -> None:
        for store, remote in self._made:
            remote.close(0.0)
            store.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """One server for all tests."""
    pytest.importorskip("moto", reason="an S3 server of our own needs moto: pip install 'gpucache[test]'")
    server = S3()
    yield server
    server.close()


@pytest.fixture(params=["memory", "directory", "s3"])
def machines(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machines]:
    """Machines around a bucket of each kind."""
    with pytest.MonkeyPatch.context() as patch:
        url = {"memory": "memory:///", "directory": f"file://{tmp_path}/bucket"}.get(request.param, "")
        if not url:
            server = request.getfixturevalue("s3")
            url = server.url()
            for name, value in aws(server.port).items():
                patch.setenv(name, value)
        yield from _around(tmp_path, Bucket(url, timeout_s=5.0, over_http=True))


@pytest.fixture
def few(tmp_path: Path) -> Iterator[Machines]:
    """Machines around a bucket in memory, for what does not depend on the bucket."""
    yield from _around(tmp_path, Bucket("memory:///", timeout_s=5.0))


def aws(port: int) -> dict[str, str]:
    """What tells an S3 client where a server on this machine is, and who asks."""
    endpoint = f"http://127.0.0.1:{port}"
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }


def _around(folder: Path, bucket: Bucket) -> Iterator[Machines]:
    made = Machines(folder, bucket)
    hooks.add(made.hear)
    yield made
    hooks.remove(made.hear)
    made.close()


def publish(store: Store, value: Any, key: bytes | None = None, digest: bytes | None = None) -> bytes:
    """Have it be a call's result; the call's key."""
    key = next(_keys) if key is None else key
    manifest = store.write(value, value_digest(value) if digest is None else digest)
    store.publish(Record(key, "task", manifest, b"", 1.0, 1e9, "run", {"host_peak_bytes": 5}), PARTS)
    return key


def taken(there: tuple[Store, Remote], key: bytes) -> Any:
    """What the call gives on a machine that has asked the remote; None if it does not know."""
    store, remote = there
    if not remote.wait(lambda patience: remote.fetch(key, patience)):
        assert store.lookup(key) is None
        return None
    record = store.lookup(key)
    assert record is not None
    return store.read(record.result)


def _values(folder: Path) -> dict[str, Any]:
    file, tree = folder / "result.txt", folder / "tree"
    (tree / "below").mkdir(parents=True)
    file.write_text("hello")
    (tree / "a").write_text("one")
    (tree / "below" / "b").write_bytes(bytes(100_000))
    (tree / "a").chmod(0o755)
    return {
        "none": None,
        "number": 3.5,
        "text": "x" * 100_000,
        "structure": {"a": [1, 2, (3, "x")], "b": np.arange(10), "c": b"\0" * 20_000},
        "array": np.arange(100_000, dtype=np.float32).reshape(100, 1000),
        "large array": LARGE,
        "two arrays, one large": [LARGE[:100_000].copy(), LARGE],
        "table": pa.table({"x": list(range(1000)), "y": ["a"] * 1000}),
        "file": File(file),
        "directory": Dir(tree),
    }


@PACKED
def test_what_one_computed_another_has(machines: Machines, tmp_path: Path, line: Line | None) -> None:
    """Values of every kind come out as they went in; the record says what it cost and that it was fetched."""
    here, there = machines.one(line=line), machines.one()
    values = _values(tmp_path)
    keys = {name: publish(here[0], value) for name, value in values.items()}

    left = here[1].push(30.0)

    assert left == 0
    for name, key in keys.items():
        found = taken(there, key)
        assert type(found) is type(values[name]), name
        assert value_digest(found) == value_digest(values[name]), name
        record = there[0].lookup(key)
        assert (record.seconds, record.task, record.run_id) == (1.0, "task", "run")
        assert record.note == {"host_peak_bytes": 5, "fetched": "nobody"}
        assert there[0].parts_of(record) == PARTS
    assert there[1].counts.hits == len(values)
    assert machines.heard == []
    assert (here[1].counts.saved_bytes > LARGE.nbytes // 2) == (line is not None)


def test_what_nobody_knows_is_a_miss(machines: Machines) -> None:
    """No warning, no failure: it is what most calls are."""
    _, remote = machines.one()

    found = remote.wait(lambda patience: remote.fetch(next(_keys), patience))

    assert not found
    assert (remote.counts.misses, remote.counts.failures) == (1, 0)
    assert machines.heard == []


def test_a_gpucache_that_knows_nothing_of_packing_says_so(few: Machines) -> None:
    """What is packed has another first line; what is not is as it always was."""
    plain, packing = few.one(), few.one(line=Slow(1e-3))
    keys = [publish(plain[0], LARGE), publish(packing[0], LARGE)]
    plain[1].push(30.0)
    packing[1].push(30.0)

    found = [bytes(few.bucket.get(call_name(key), most_bytes=2**30)[:8]) for key in keys]
    assert found == [b"gpcall01", b"gpcall02"]


def test_packing_is_a_setting(few: Machines) -> None:
    """On unless it is switched off; a directory is no line of a gigabit."""
    store, folder = few.one()[0], f"file://{few.folder}/bucket"
    remotes = [
        open_remote(store, settings)
        for settings in (Settings("memory:///"), Settings(folder), Settings("memory:///", compress=False))
    ]

    line, directory, none = (remote._sender._line for remote in remotes)
    assert line.s_per_byte > directory.s_per_byte
    assert none is None
    for remote in remotes:
        remote.close(0.0)


def test_what_claims_to_hold_too_much_is_damaged(few: Machines) -> None:
    """A part of a terabyte in a few bytes, along with its call or apart: refused before anything is unpacked."""
    here, there = few.one(line=Slow(1e-3)), few.one()
    for value in (LARGE, LARGE[: 2**20].copy()):
        key = publish(here[0], value)
        here[1].push(30.0)
        opened = unseal(few.bucket.get(call_name(key), most_bytes=2**30), key)
        answer = opened.call.answer
        (part,) = answer.value.parts
        assert part.packed_nbytes
        for nbytes in (2**40, part.nbytes + 1, -1):
            lie = msgspec.structs.replace(part, nbytes=nbytes)
            lying = msgspec.structs.replace(answer, value=msgspec.structs.replace(answer.value, parts=(lie,)))
            few.bucket.put(call_name(key), seal(Call(key, lying), [opened.along], None))
            assert taken(there, key) is None
        few.bucket.put(call_name(key), seal(Call(key, answer), [opened.along], None))
        assert np.array_equal(taken(there, key), value)
    assert (there[1].counts.damaged, there[1].counts.failures) == (6, 0)


@PACKED
def test_a_large_part_is_sent_once(machines: Machines, line: Line | None) -> None:
    """Two calls with one large result share an object; a third machine gets both."""
    here, there = machines.one(line=line), machines.one()
    first, second = publish(here[0], LARGE), publish(here[0], LARGE)
    here[1].push(30.0)
    sent = here[1].counts.sent_bytes + here[1].counts.saved_bytes

    assert LARGE.nbytes <= sent < 2 * LARGE.nbytes
    assert np.array_equal(taken(there, first), LARGE)
    fetched = there[1].counts.fetched_bytes
    assert np.array_equal(taken(there, second), LARGE)
    assert there[0].stats().blobs == 1
    assert (fetched >= LARGE.nbytes) == (line is None)


@PACKED
def test_a_damaged_object_is_a_miss_and_healed_by_the_next_who_computes(machines: Machines, line: Line | None) -> None:
    """A large part and a call, both damaged in the bucket: never their bytes, one warning; what is sent anew is right."""
    here, there = machines.one(line=line), machines.one(line=line)
    large, small = publish(here[0], LARGE), publish(here[0], np.arange(9000))
    here[1].push(30.0)
    part = _name_of(_statement(machines.bucket, large).answer.value.parts[0])
    for name in (part, call_name(small)):
        data = bytearray(machines.bucket.get(name, most_bytes=2**30))
        data[len(data) // 2] ^= 1
        machines.bucket.put(name, bytes(data))

    assert taken(there, large) is None
    assert taken(there, small) is None
    assert there[1].counts.damaged == 2
    assert len(machines.heard) == 1
    assert "damaged" in machines.heard[0].why

    publish(there[0], LARGE, large)
    publish(there[0], np.arange(9000), small)
    there[1].push(30.0)
    third = machines.one()
    assert np.array_equal(taken(third, large), LARGE)
    assert np.array_equal(taken(third, small), np.arange(9000))


def _name_of(part: Part) -> str:
    return part_name(part.sha256, packed=bool(part.packed_nbytes))


def _statement(bucket: Bucket, key: bytes) -> Call:
    return unseal(bucket.get(call_name(key), most_bytes=2**30), key).call


# ---------------------------------------------------------------- what does not depend on the bucket


def test_what_was_fetched_is_not_sent_in_ones_own_name(few: Machines) -> None:
    """Neither at once nor by push --all: who signs says `I computed this`."""
    here, there = few.one(), few.one()
    key = publish(here[0], 5)
    here[1].push(30.0)
    taken(there, key)

    there[1].push_all()
    there[1].push(30.0)

    assert there[1].counts.sent == 0


def test_an_evicted_value_comes_back(few: Machines) -> None:
    """A record whose bytes were evicted here is fetched again, like one that was never here."""
    here, remote = few.one()
    key = publish(here, LARGE)
    remote.push(30.0)
    here.collect(max_bytes=0, apply=True)
    assert not here.has(here.lookup(key).result)

    assert np.array_equal(taken((here, remote), key), LARGE)


def test_a_read_only_machine_sends_nothing(few: Machines) -> None:
    """It may not have the right to."""
    store, remote = few.one(read_only=True)
    key = publish(store, 5)

    remote.wake()
    left = remote.push(30.0)

    assert left == 0
    assert few.bucket.get(call_name(key), most_bytes=2**20) is None


def test_what_was_not_sent_is_sent_by_the_next(few: Machines) -> None:
    """What is to be sent lies in the store: a machine that goes down between loses none of it."""
    store, _ = few.one()
    keys = [publish(store, number) for number in range(100)]
    again = Remote(store, few.bucket)

    left = again.push(30.0)

    assert left == 0
    assert [taken(few.one(), key) for key in (keys[0], keys[-1])] == [0, 99]
    again.close(0.0)


def test_what_is_written_while_it_is_sent_is_sent_again(few: Machines) -> None:
    """A forced run while the older result is on its way: the newer one arrives in the end."""
    store = few.one()[0]
    key = publish(store, "old")

    class Slow(Bucket):
        def put(self, name: str, data: Any) -> None:
            few.bucket.put(name, data)
            if not written:
                written.append(publish(store, "new", key))

    written: list[bytes] = []
    slow = Slow("memory:///", timeout_s=1.0)
    remote = Remote(store, slow)
    remote.push(30.0)

    assert _statement(few.bucket, key).answer.value.digest == value_digest("new")
    assert list(store.table_scan(OUTBOX)) == []
    remote.close(0.0)


def test_a_thread_sends_by_itself(few: Machines) -> None:
    """Nobody waits for what is sent while the program goes on."""
    store, remote = few.one()
    sent = threading.Event()
    put = few.bucket.put
    few.bucket.put = lambda name, data: (put(name, data), sent.set())  # type: ignore[method-assign]
    publish(store, 5)

    remote.wake()

    assert sent.wait(10)


class Silent(Bucket):
    """A place that never answers, as a network file system may."""

    def __init__(self) -> None:
        super().__init__("memory:///", timeout_s=1.0)
        self.end = threading.Event()

    def get(self, name: str, *, most_bytes: int) -> Any:
        self.end.wait(20)

    put = get  # type: ignore[assignment]


def test_who_never_answers_costs_the_time_limit(few: Machines) -> None:
    """A call waits no longer, threads that never come back are replaced, and after three failures nobody asks; one warning."""
    silent = Silent()
    store = few.one()[0]
    remote = Remote(store, silent, timeout_s=0.05)

    asked = [remote.begin(lambda patience: remote.fetch(next(_keys), patience)) for _ in range(40)]
    found = [answer.result(10) for answer in asked]
    late = remote.wait(lambda patience: remote.fetch(next(_keys), patience))

    assert not any(found)
    assert not late
    assert len(few.heard) == 1
    assert "no answer within 0.05 s" in few.heard[0].why
    silent.end.set()
    remote.close(0.0)


def test_what_is_left_at_the_end_is_said(few: Machines) -> None:
    """A program ends within its limit; its results are kept, and one line says how to send them."""
    silent = Silent()
    store = few.one()[0]
    publish(store, 5)

    Remote(store, silent).close(0.05)

    assert [event.why for event in few.heard] == [
        "1 results were not sent yet; the next run sends them, or `gpucache push`"
    ]
    assert len(list(store.table_scan(OUTBOX))) == 1
    silent.end.set()


def test_a_refusing_remote_keeps_what_is_to_be_sent(few: Machines) -> None:
    """Three refusals and it is left alone: push ends, and says how many are left."""

    class Refusing(Bucket):
        def put(self, name: str, data: Any) -> None:
            raise RemoteUnreachable("s3://x", "forbidden")

    store = few.one()[0]
    keys = [publish(store, number) for number in range(5)]
    breaker = Breaker(lambda why: None, lambda: 0.0)
    remote = Remote(store, Refusing("memory:///", timeout_s=1.0), breaker=breaker)

    left = remote.push(30.0)

    assert left == len(keys)
    assert breaker.is_open
    remote.close(0.0)


@PACKED
def test_what_is_too_large_for_memory_comes_through_a_file(
    few: Machines, monkeypatch: pytest.MonkeyPatch, line: Line | None
) -> None:
    """The same bytes, checked in the same way; nothing of it is left lying about."""
    monkeypatch.setattr(receiving, "IN_MEMORY_MAX_BYTES", 2**20)
    here, there = few.one(line=line), few.one()
    whole, damaged = publish(here[0], LARGE), publish(here[0], LARGE[::-1].copy())
    here[1].push(30.0)
    part = _statement(few.bucket, damaged).answer.value.parts[0]
    few.bucket.put(_name_of(part), bytes(part.packed_nbytes or part.nbytes))

    assert np.array_equal(taken(there, whole), LARGE)
    assert taken(there, damaged) is None
    assert list((there[0].path / "tmp").iterdir()) == []


def test_what_bodies_read_elsewhere_is_looked_at_here(few: Machines, tmp_path: Path) -> None:
    """A call that reads a file: a hit elsewhere while the file is the same, a miss when it is not; lists of two machines are
    both known to a third.
    """
    root, key = str(tmp_path), next(_keys)
    machines = [few.one() for _ in range(3)]
    for name, (store, remote) in zip(("a", "b"), machines, strict=False):
        (tmp_path / name).write_text(name)
        read = [inputs.look_at("file", f"{inputs.PROJECT}{name}", root)]
        publish(store, f"read {name}", inputs.remember(store, key, read))
        remote.push(30.0)
    store, remote = machines[2]

    def asked() -> Any:
        remote.wait(lambda patience: fetch(remote, store, key, root, patience))
        record = inputs.lookup(store, key, root)
        return None if record is None else store.read(record.result)

    assert asked() == "read b"
    (tmp_path / "b").write_text("changed")
    assert asked() == "read a"
    (tmp_path / "a").write_text("changed")
    assert asked() is None
    stamps = [one.stamp for now in inputs._lists(store, key) for one in now]
    assert stamps == [None, None]  # those of another machine's files mean nothing here


def test_a_forked_child_asks_nobody(few: Machines) -> None:
    """There the client's threads are gone and its calls would never come back."""
    here, (_, remote) = few.one(), few.one()
    key = publish(here[0], 5)
    here[1].push(30.0)
    remote.fetch(next(_keys), Patience(5.0))

    child = os.fork()
    if child == 0:
        os._exit(3 if remote.wait(lambda patience: remote.fetch(key, patience)) or remote.push(1.0) else 0)

    assert os.waitpid(child, 0)[1] == 0


def test_changes_of_many_threads_are_all_made(few: Machines) -> None:
    """What is fetched at the same time is committed together, and one that fails takes none of the others along."""
    here, (store, remote) = few.one(), few.one()
    keys = [publish(here[0], np.arange(5000) + number) for number in range(200)]
    here[1].push(30.0)
    few.bucket.put(call_name(keys[17]), b"rubbish")

    asked = [remote.begin(lambda patience, key=key: remote.fetch(key, patience)) for key in keys]
    found = [answer.result(30) for answer in asked]

    assert [number for number, one in enumerate(found) if not one] == [17]
    for number, key in enumerate(keys):
        record = store.lookup(key)
        assert (record is None) if number == 17 else np.array_equal(store.read(record.result), np.arange(5000) + number)


def test_a_bug_in_what_is_below_costs_a_miss(few: Machines) -> None:
    """Whatever a client library raises, the call runs."""

    class Broken(Bucket):
        def get(self, name: str, *, most_bytes: int) -> Any:
            raise BaseException("panicked")

    store = few.one()[0]
    remote = Remote(store, Broken("memory:///", timeout_s=1.0))

    assert not remote.wait(lambda patience: remote.fetch(next(_keys), patience))
    assert remote.counts.failures == 1
    remote.close(0.0)


# ---------------------------------------------------------------- whom to believe


@pytest.fixture
def keys(tmp_path: Path) -> Callable[[str], SigningKey]:
    """Keys by name."""
    pytest.importorskip("cryptography", reason="signatures need cryptography: pip install 'gpucache[remote]'")
    made: dict[str, SigningKey] = {}
    return lambda name: made.setdefault(name, SigningKey.make(tmp_path / name) if name not in made else made[name])


def _trusting(*keys: SigningKey) -> Trust:
    return Trust(frozenset(key.public_key for key in keys))


def test_only_trusted_keys_are_believed(few: Machines, keys: Callable[[str], SigningKey]) -> None:
    """What others signed, or nobody, is a miss; each is refused, and said once."""
    ours, theirs, nobody = few.one(signer=keys("ours")), few.one(signer=keys("theirs")), few.one()
    reader = few.one(trust=_trusting(keys("ours")))
    calls = [
        [publish(store, number), remote.push(30.0)] for number, (store, remote) in enumerate((ours, theirs, nobody))
    ]

    found = [taken(reader, key) for key, _ in calls]

    assert found == [0, None, None]
    assert reader[1].counts.refused == 2
    assert len(few.heard) == 1
    assert reader[0].lookup(calls[0][0]).note["fetched"] == keys("ours").public_key.hex()


def test_a_pickle_is_believed_from_trusted_keys_alone(few: Machines, keys: Callable[[str], SigningKey]) -> None:
    """Unsigned it is not even sent; signed by someone whose key is not asked for, it is a miss and is not unpickled."""
    ours, unsigned = few.one(signer=keys("ours")), few.one()
    reader, anybody = few.one(trust=_trusting(keys("ours"))), few.one()
    secret, open_ = (publish(store, Local("x"), digest=b"l" * 16) for store, _ in (ours, unsigned))
    ours[1].push(30.0)
    unsigned[1].push(30.0)

    assert taken(reader, secret).name == "x"
    assert taken(anybody, secret) is None
    assert "unpickled" in few.heard[0].why
    assert few.bucket.get(call_name(open_), most_bytes=2**20) is None


def _forged(few: Machines, value: Any, change: Callable[[dict[str, Any]], None], **options: Any) -> bytes:
    """A call whose object says something else than what was sent; its key."""
    here = few.one(**options)
    key = publish(here[0], value)
    here[1].push(30.0)
    opened = unseal(few.bucket.get(call_name(key), most_bytes=2**30), key)
    told = msgspec.structs.asdict(opened.call.answer.value)
    change(told)
    answer = msgspec.structs.replace(opened.call.answer, value=type(opened.call.answer.value)(**told))
    few.bucket.put(call_name(key), seal(Call(key, answer), [opened.along], None))
    return key


def test_an_unsigned_lie_about_the_codec_unpickles_nothing(few: Machines, tmp_path: Path) -> None:
    """A pickle that calls itself no pickle, or a structure, is refused before it is read."""
    import cloudpickle

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "pwned",))

    pickled = np.frombuffer(cloudpickle.dumps(Attack()), dtype=np.uint8)
    reader = few.one()
    for codec in ("python", "struct", "arrow", "nonsense"):
        key = _forged(few, pickled, lambda told, codec=codec: told.update(codec=codec, meta=b"\0"))

        assert taken(reader, key) is None

    assert not (tmp_path / "pwned").exists()


def test_an_unsigned_value_under_another_values_name_is_refused(few: Machines) -> None:
    """Else it would be given out here for a value that was put here."""
    store, remote = reader = few.one()
    key = _forged(few, np.arange(50_000), lambda told: told.update(digest=value_digest("mine")))

    assert taken(reader, key) is None
    digest = store.put("mine")
    assert store.get(digest) == "mine"
    assert remote.counts.damaged == 1


def test_a_signature_stands_for_every_byte(few: Machines, keys: Callable[[str], SigningKey]) -> None:
    """A part put in the place of another, under the names that it should have, is refused."""
    ours, reader = few.one(signer=keys("ours")), few.one(trust=_trusting(keys("ours")))
    small, large = publish(ours[0], np.arange(9000)), publish(ours[0], LARGE)
    ours[1].push(30.0)
    data = bytes(few.bucket.get(call_name(small), most_bytes=2**30))
    few.bucket.put(call_name(small), data[:-8] + b"otherend")
    part = _statement(few.bucket, large).answer.value.parts[0]
    few.bucket.put(part_name(part.sha256), bytes(part.nbytes))

    assert taken(reader, small) is None
    assert taken(reader, large) is None
    assert reader[1].counts.damaged == 2


def test_a_signature_of_one_call_is_none_of_another(few: Machines, keys: Callable[[str], SigningKey]) -> None:
    """A signed answer that is renamed, or whose statement is replaced under it, is refused."""
    ours, reader = few.one(signer=keys("ours")), few.one(trust=_trusting(keys("ours")))
    first, second = publish(ours[0], 1), publish(ours[0], 2)
    ours[1].push(30.0)
    data = few.bucket.get(call_name(first), most_bytes=2**30)
    signature = unseal(data, first).signature
    few.bucket.put(call_name(second), bytes(data))

    class Replayed:
        public_key = keys("ours").public_key

        def sign(self, message: bytes) -> bytes:
            assert message.startswith(SIGNED)
            return signature

    third = next(_keys)
    answer = _statement(few.bucket, first).answer
    few.bucket.put(call_name(third), seal(Call(third, answer), [], Replayed()))

    assert taken(reader, second) is None
    assert taken(reader, third) is None


@PACKED
@pytest.mark.parametrize("count", [300])
def test_mutated_objects_never_give_a_wrong_value(few: Machines, count: int, line: Line | None) -> None:
    """Any change of a call's object, also one with a checksum that is right again: the value that was sent, or a miss."""
    import hashlib

    here, store_and_remote = few.one(line=line), few.one()
    store, remote = store_and_remote
    value = {"a": np.arange(6000 if line is None else 20_000), "b": "text"}
    key = publish(here[0], value)
    here[1].push(30.0)
    whole, chance = bytes(few.bucket.get(call_name(key), most_bytes=2**30)), random.Random(2)
    wrong = 0

    for _ in range(count):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data) if chance.random() < 0.3 else 500)] ^= 1 << chance.randrange(8)
        if chance.random() < 0.8:
            length = int.from_bytes(data[8:16], "little")
            data[16:48] = hashlib.sha256(data[144 : 144 + length]).digest()
        few.bucket.put(call_name(key), bytes(data))
        if remote.fetch(key, Patience(5.0)):
            found = store.lookup(key)
            wrong += found is not None and value_digest(store.read(found.result)) != value_digest(value)
            store.forget(key)

    assert wrong == 0
    assert remote.counts.failures == 0
    assert remote.counts.damaged + remote.counts.refused > count // 2
