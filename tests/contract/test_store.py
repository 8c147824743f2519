"""What every store does: the one on disk and its twin in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gpucache.codec import encode
from gpucache.digests import Dir, File, remembered, value_digest
from gpucache.errors import BlobMissing, NoSuchRecord, NotStorable, RecordCorrupt, StoreClosed
from gpucache.events import Event, Quarantined, hooks
from gpucache.store import InMemoryStore, Manifest, PartRef, Record, Store

KEY, OTHER = b"k" * 16, b"o" * 16
TABLE = {"code:m.f": (b"c" * 16, "m.py:1 f")}
LARGE = np.arange(10_000, dtype=np.int64)  # 80 kB: a blob

Open = Callable[[], Store]


@pytest.fixture(params=["on disk", "on disk, blake3", "in memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    if request.param == "in memory":
        store: Store = InMemoryStore()
    else:
        store = Store(tmp_path / "store", content="blake3" if "blake3" in request.param else None)
    with store:
        yield store


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    """The events from now on."""
    events: list[Event] = []
    hooks.add(events.append)
    yield events
    hooks.remove(events.append)


def _record(
    store: Store, value: object, key: bytes = KEY, *, task: str = "t", at: float = 1e9, seconds: float = 1.0
) -> Record:
    manifest = store.write(value, value_digest(value))
    return store.publish(Record(key, task, manifest, b"", seconds, at, "run", {"peak": 3}), TABLE)


# -------------------------------------------------------------------- values


@pytest.mark.parametrize("value", [None, True, 7, 2**80, -0.0, "é", b"\0", [1, (2.0, {3: "x"})], {"a": {1, 2}}, 1 + 2j])
def test_a_value_comes_back_as_it_was(store: Store, value: object) -> None:
    """put then get gives an equal value of the same type."""
    found = store.get(store.put(value))

    assert type(found) is type(value)
    assert value_digest(found) == value_digest(value)


def test_a_large_array_comes_back_read_only_and_carries_its_digest(store: Store) -> None:
    """An array that came out of the store is not hashed again, and can't be changed under others."""
    digest = store.put(LARGE)

    found = store.get(digest)

    np.testing.assert_array_equal(found, LARGE)
    assert not found.flags.writeable
    assert remembered(found) == digest.raw


def test_equal_values_are_one(store: Store) -> None:
    """The second put of an equal value writes no second blob."""
    first = store.put(LARGE)
    second = store.put(LARGE.copy())

    assert first == second
    assert store.stats().blobs == 1


def test_parts_of_the_same_bytes_are_one_blob(store: Store) -> None:
    """A blob is known by its content, whatever value it is a part of."""
    store.put(LARGE)
    store.put(LARGE.view(np.uint64))

    assert store.stats().blobs == 1


def test_what_is_not_there_is_said(store: Store) -> None:
    """get and pin of a digest that nobody put raise NoSuchRecord, contains is False."""
    absent = store.put(1)
    absent = type(absent)(absent.algorithm, b"\1" * 16)

    assert not store.contains(absent)
    with pytest.raises(NoSuchRecord):
        store.get(absent)
    with pytest.raises(NoSuchRecord):
        store.pin(absent)


def test_a_digest_may_be_given_as_text(store: Store) -> None:
    """str(digest) is as good as the digest; other text is a ValueError."""
    digest = store.put([1, 2])

    assert store.get(str(digest)) == [1, 2]
    assert store.contains(str(digest))
    with pytest.raises(ValueError, match="not a digest"):
        store.get("xxh3-128:zz")


def test_what_can_not_be_stored_changes_nothing(store: Store) -> None:
    """NotStorable leaves no row and no blob."""
    with pytest.raises(NotStorable):
        store.write([threading.Lock(), LARGE], b"d" * 16)

    assert store.stats().blobs == 0


def test_a_value_that_is_laid_out_already_is_not_laid_out_again(store: Store) -> None:
    """write(encoded=) stores what it is given."""
    manifest = store.write("ignored", value_digest(LARGE), encoded=encode(LARGE))

    np.testing.assert_array_equal(store.read(manifest), LARGE)


def test_an_array_that_came_out_goes_in_again_without_being_read(store: Store) -> None:
    """Its manifest is found by the digest that it carries."""
    found = store.get(store.put(LARGE))

    manifest = store.write(found, value_digest(found))

    assert manifest == store.manifest_of(value_digest(LARGE))


def test_a_value_under_a_digest_that_is_not_of_its_content_replaces_the_one_before(store: Store) -> None:
    """A result without an identity of its own is known by its call's: forced again, the new one counts."""
    store.publish(Record(KEY, "t", store.write("old", b"d" * 16), b"", 1.0, 1.0), TABLE)

    manifest = store.write("new", b"d" * 16)

    assert store.read(manifest) == "new"


def test_a_codec_that_nobody_knows_is_a_damaged_record(store: Store) -> None:
    """A manifest of another gpucache is a miss, and the next write of the value is laid out anew."""
    store.publish(Record(KEY, "t", Manifest(value_digest(1), "future", b"", (), False, 0), b"", 1.0, 1.0), TABLE)
    record = store.lookup(KEY)
    assert record is not None

    with pytest.raises(RecordCorrupt):
        store.read(record.result)

    assert store.manifest_of(value_digest(1)) is None


def test_a_blob_that_was_never_here_is_missing(store: Store) -> None:
    """BlobMissing, which is a RecordCorrupt: a miss."""
    manifest = Manifest(b"d" * 16, "array", b"", (PartRef(None, b"b" * 16, 9),), False, 9)

    assert not store.has(manifest)
    with pytest.raises(RecordCorrupt):
        store.read(manifest)


# -------------------------------------------------------------------- files


def test_a_file_comes_back_under_its_name_with_its_content(store: Store, tmp_path: Path) -> None:
    """gpc.File: content, name and digest are those of the file that was put; the original may go."""
    source = tmp_path / "model.bin"
    source.write_bytes(b"w" * 100_000)
    digest = store.put(File(source))
    source.unlink()

    found = store.get(digest)

    assert found.path.name == "model.bin"
    assert found.read_bytes() == b"w" * 100_000
    assert value_digest(found) == digest.raw


def test_a_directory_comes_back_whole(store: Store, tmp_path: Path) -> None:
    """gpc.Dir: names, contents, empty files and directories, links and executability; two names of one content."""
    top = tmp_path / "data"
    (top / "sub").mkdir(parents=True)
    (top / "nothing" / "within").mkdir(parents=True)
    (top / "a.txt").write_text("same")
    (top / "sub" / "b.txt").write_text("same")
    (top / "sub" / "run.sh").write_text("same")
    (top / "sub" / "run.sh").chmod(0o755)
    (top / "empty").touch()
    (top / "link").symlink_to("a.txt")
    digest = store.put(Dir(top))

    found = store.get(digest)

    assert value_digest(found) == digest.raw
    assert sorted(name for name, _ in found.files()) == ["a.txt", "empty", "link", "sub/b.txt", "sub/run.sh"]
    assert (found.path / "nothing" / "within").is_dir()


def test_a_directory_that_someone_put_something_into_is_made_again(store: Store, tmp_path: Path) -> None:
    """Also an empty directory counts, there or gone."""
    (tmp_path / "data" / "sub" / "empty").mkdir(parents=True)
    digest = store.put(Dir(tmp_path / "data"))
    path = store.get(digest).path
    (path / "sub" / "other").mkdir()
    assert value_digest(store.get(digest)) == digest.raw
    (path / "sub" / "empty").rmdir()

    assert value_digest(store.get(digest)) == digest.raw


def test_a_file_that_someone_changed_is_made_again(store: Store, tmp_path: Path) -> None:
    """What was handed out and then written to is not handed out again."""
    (tmp_path / "f").write_text("right")
    digest = store.put(File(tmp_path / "f"))
    path = store.get(digest).path
    path.unlink()
    path.write_text("wrong")

    assert store.get(digest).read_text() == "right"


# -------------------------------------------------------------------- records


def test_a_record_is_found_by_its_key(store: Store) -> None:
    """publish then lookup gives the record as publish returned it, its parts table included."""
    published = _record(store, LARGE)

    found = store.lookup(KEY)

    assert found == published
    assert store.parts_of(published) == TABLE
    np.testing.assert_array_equal(store.read(published.result), LARGE)


def test_an_unknown_key_is_none(store: Store) -> None:
    """No record, no error."""
    assert store.lookup(KEY) is None


def test_the_last_record_of_a_key_counts(store: Store) -> None:
    """Publishing again replaces; the list of records shows it once."""
    _record(store, "old", at=1.0)
    _record(store, "new", at=2.0)

    assert [store.read(record.result) for record in store.records("t")] == ["new"]


def test_records_are_listed_newest_first(store: Store) -> None:
    """By task, or all, up to a limit."""
    for number in range(5):
        _record(store, number, bytes([number]) * 16, task="ab"[number % 2], at=float(number))

    def listed(task: str | None, limit: int | None = None) -> list[object]:
        return [store.read(record.result) for record in store.records(task, limit)]

    assert listed(None) == [4, 3, 2, 1, 0]
    assert listed(None, 2) == [4, 3]
    assert listed("a") == [4, 2, 0]
    assert listed("a", 1) == [4]
    assert listed("absent") == []


def test_a_record_that_was_forgotten_is_gone(store: Store) -> None:
    """forget says whether there was one; others stay."""
    _record(store, 1)
    _record(store, 2, OTHER)

    assert store.forget(KEY)
    assert not store.forget(KEY)
    assert store.lookup(KEY) is None
    assert store.lookup(OTHER) is not None


def test_a_task_is_forgotten_whole(store: Store) -> None:
    """forget_task drops its records and no others."""
    for number in range(300):
        _record(store, 0, number.to_bytes(16, "big"), task="a")
    _record(store, 0, KEY, task="b")

    assert store.forget_task("a") == 300
    assert [record.task for record in store.records()] == ["b"]


# -------------------------------------------------------------------- tables


def test_tables_are_apart_and_in_order(store: Store) -> None:
    """Rows of two tables don't meet; scans go by name, forwards, backwards, by prefix, over more than a page."""
    rows = {f"r{number:05d}".encode(): str(number).encode() for number in range(1000)}
    store.table_put_many("runs", rows)
    store.table_put("run", b"r00001", b"other")

    assert list(store.table_scan("runs")) == sorted(rows.items())
    assert list(store.table_scan("runs", reverse=True)) == sorted(rows.items(), reverse=True)
    assert [name for name, _ in store.table_scan("runs", prefix=b"r0012")] == [
        b"r0012%d" % digit for digit in range(10)
    ]
    assert next(name for name, _ in store.table_scan("runs", prefix=b"r0012", reverse=True)) == b"r00129"
    assert store.table_get("run", b"r00001") == b"other"
    assert store.table_delete("runs", b"r00001")
    assert not store.table_delete("runs", b"r00001")
    assert store.table_get("runs", b"r00001") is None


def test_a_table_has_a_name(store: Store) -> None:
    """NUL separates it from its rows."""
    with pytest.raises(ValueError, match="no name of a table"):
        store.table_put("a\0b", b"", b"")


def test_a_name_that_is_too_long_is_refused(store: Store) -> None:
    """LMDB's limit is a ValueError, and nothing is written."""
    with pytest.raises(ValueError, match="511 bytes"):
        store.table_put_many("t", {b"a": b"1", b"b" * 600: b"2"})

    assert list(store.table_scan("t")) == []


# -------------------------------------------------------------------- flight


def test_a_flight_is_held_by_one(store: Store) -> None:
    """A second thread waits for its turn, or for its deadline; another key is free."""
    outcome: list[bool] = []

    def try_it(key: bytes) -> None:
        with store.flight(key, timeout_s=0.01) as is_held:
            outcome.append(is_held)

    with store.flight(KEY) as is_held:
        assert is_held
        for key in (KEY, OTHER):
            thread = threading.Thread(target=try_it, args=(key,))
            thread.start()
            thread.join()
    with store.flight(KEY, timeout_s=0.0) as again:
        pass

    assert outcome == [False, True]
    assert again


def test_a_call_that_waits_for_itself_is_refused(store: Store) -> None:
    """The same thread would wait for ever."""
    with store.flight(KEY), pytest.raises(RecursionError, match="waits for itself"), store.flight(KEY):
        pass


# -------------------------------------------------------------------- upkeep


def test_stats_count_by_task(store: Store) -> None:
    """Records, bytes and seconds of each task; blobs once; pins."""
    _record(store, LARGE, KEY, task="a", seconds=2.0)
    _record(store, LARGE, OTHER, task="b", seconds=3.0)
    store.pin(store.put(LARGE))

    stats = store.stats()

    assert (stats.records, stats.blobs, stats.pins) == (2, 1, 1)
    assert stats.blob_bytes == LARGE.nbytes
    assert [(task.task, task.records, task.seconds) for task in stats.tasks] == [("a", 1, 2.0), ("b", 1, 3.0)]


def test_a_whole_store_verifies(store: Store) -> None:
    """Nothing is wrong with what was written."""
    _record(store, LARGE)
    store.put([1, LARGE])
    store.table_put("runs", b"1", b"x")

    report = store.verify(repair=True)

    assert report.problems == ()
    assert not report.repaired
    assert report.blobs == 1
    assert report.nbytes == LARGE.nbytes


def test_a_record_outlives_its_blob(store: Store) -> None:
    """After an eviction the record is there, its value is a miss, and storing it again heals it."""
    record = _record(store, LARGE)

    report = store.collect(max_bytes=0, apply=True)

    assert (report.evicted, report.evicted_bytes, report.kept_bytes) == (1, LARGE.nbytes, 0)
    assert store.lookup(KEY) == record
    assert not store.has(record.result)
    with pytest.raises(BlobMissing):
        store.read(record.result)
    _record(store, LARGE)
    np.testing.assert_array_equal(store.read(record.result), LARGE)


def test_an_eviction_is_no_damage(store: Store, heard: list[Event]) -> None:
    """What was evicted on purpose raises no event when it is missed; get says that it is not here."""
    digest = store.put(LARGE)
    store.collect(max_bytes=0, apply=True)

    with pytest.raises(NoSuchRecord):
        store.get(digest)

    assert not store.contains(digest)
    assert [event for event in heard if isinstance(event, Quarantined)] == []


def test_a_dry_run_changes_nothing_and_says_the_same(store: Store) -> None:
    """collect() without apply reports what apply would do."""
    _record(store, LARGE)
    _record(store, LARGE + 1, OTHER)

    dry = store.collect(max_bytes=LARGE.nbytes)
    assert store.stats().blobs == 2
    wet = store.collect(max_bytes=LARGE.nbytes, apply=True)

    assert (dry.evicted, dry.evicted_bytes, dry.kept_bytes) == (wet.evicted, wet.evicted_bytes, wet.kept_bytes)
    assert store.stats().blobs == 1


def test_pinned_values_stay(store: Store) -> None:
    """Whatever collect is asked for; unpinned, they go."""
    digest = store.put(LARGE)
    store.pin(digest)
    store.collect(max_bytes=0, apply=True)
    assert store.contains(digest)

    assert store.unpin(digest)
    assert not store.unpin(digest)
    store.collect(max_bytes=0, apply=True)

    assert not store.contains(digest)


def test_what_costs_more_stays(store: Store) -> None:
    """The result that took longer survives, and put() values survive what can be computed again."""
    cheap = _record(store, LARGE, KEY, seconds=1.0)
    dear = _record(store, LARGE + 1, OTHER, seconds=100.0)
    by_hand = store.put(LARGE + 2)

    store.collect(max_bytes=2 * LARGE.nbytes, apply=True)
    assert (store.has(cheap.result), store.has(dear.result), store.contains(by_hand)) == (False, True, True)

    store.collect(max_bytes=LARGE.nbytes, apply=True)
    assert (store.has(dear.result), store.contains(by_hand)) == (False, True)


def test_small_values_take_no_blob(store: Store) -> None:
    """They live and die with their row."""
    record = _record(store, "small")

    store.collect(max_bytes=0, apply=True)

    assert store.read(record.result) == "small"


def test_a_blob_that_a_writer_is_about_to_name_stays(store: Store) -> None:
    """Between write() and publish() no collector takes the bytes, whatever it is asked for."""
    record = _record(store, LARGE)
    manifest = store.write(LARGE.copy(), value_digest(LARGE))  # found here: claimed

    store.forget(record.key)
    store.collect(max_bytes=0, apply=True)

    np.testing.assert_array_equal(store.read(manifest), LARGE)


def test_blobs_that_a_table_names_are_not_orphans(store: Store) -> None:
    """A manifest in a row of another part (a run's parameters) keeps its bytes until room is short."""
    import msgspec

    manifest = store.write(LARGE, value_digest(LARGE))
    store.table_put("runs", b"1", msgspec.msgpack.encode({"params": manifest}))

    store.collect(apply=True)

    assert store.has(manifest)


# -------------------------------------------------------------------- its end


def test_a_closed_store_says_so(store: Store) -> None:
    """Every call raises StoreClosed; values handed out live on; a second close does nothing."""
    found = store.get(store.put(LARGE))
    store.close()
    store.close()

    for call in (
        lambda: store.put(1),
        lambda: store.lookup(KEY),
        lambda: store.records(),
        lambda: store.table_get("t", b"n"),
        lambda: store.stats(),
        lambda: store.flight(KEY),
    ):
        with pytest.raises(StoreClosed):
            call()
    np.testing.assert_array_equal(found, LARGE)


def test_an_answer_is_what_its_record_says_now(store: Store) -> None:
    """Small values that can't be changed are decoded once; a record that was replaced or forgotten counts at once."""
    values: list[object] = [(1, "a"), (1, "a"), 2.5, "text", None, b"raw"]
    for value in values:
        _record(store, value)
        first, second = store.answer(KEY), store.answer(KEY)
        assert first == second == (value,)
        assert first is second

    store.forget(KEY)
    assert store.answer(KEY) is None


def test_what_can_be_changed_is_answered_anew(store: Store) -> None:
    """A list that its receiver changed is whole for the next one."""
    _record(store, [1, [2]])

    found = store.answer(KEY)
    assert found is not None
    found[0][1].append(3)

    assert store.answer(KEY) == ([1, [2]],)
