"""Reading the openb format, the published workload, and replays of it."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gpucache.errors import BadTable
from gpucache.placement import Cluster, Demand
from gpucache.placement.arrivals import replay
from gpucache.placement.openb import inflated, read_nodes, read_tasks

DATA = Path(__file__).parents[1] / "data" / "openb_small"
NODES, TASKS = "sn,cpu_milli,memory_mib,gpu,model\n", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n"


def test_rows_become_nodes_and_demands() -> None:
    """CPUs in thousandths, shares in thousandths, models between bars, times as they stand."""
    node = read_nodes(str(DATA / "nodes.csv"))[0]
    task = read_tasks(str(DATA / "tasks.csv"))[50]

    assert (node.name, node.cpus, [gpu.model for gpu in node.gpus]) == ("node-00", 32, ["V100"] * 4)
    assert task.demand == Demand(gpus=0.1, cpus=12, gpu_memory_bytes=0, models=("P100", "V100"))
    assert (task.arrives_s, task.takes_s) == (500, 3090)


def test_memory_counts_when_asked_for() -> None:
    """Host memory is read for those who count it."""
    assert read_nodes(str(DATA / "nodes.csv"), memory=True)[0].memory_bytes == 262144 * 2**20
    assert read_tasks(str(DATA / "tasks.csv"), memory=True)[0].demand.memory_bytes == 4096 * 2**20


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("", 1, "sn", "a header"),
        ("sn,cpu_milli,gpu,model\n", 1, "memory_mib", "a header"),
        (NODES, 2, "sn", "at least one"),
        (NODES + "a,1000,1,-2,T4\n", 2, "gpu", "a whole number from 0"),
        (NODES + "a,1000,1,2,T4\nb,many,1,2,T4\n", 3, "cpu_milli", "a whole number from 0"),
        (NODES + "a,1000,1,2,T4\na,1000,1,2,T4\n", 3, "sn", "no other node"),
        (NODES + "a,1000,1,2\n", 2, "model", "5 cells"),
        (NODES + "a,1000,1,99999999999999999999999999,T4\n", 2, "gpu", "a whole number from 0"),
    ],
)
def test_bad_nodes_are_located(tmp_path: Path, text: str, line: int, column: str, expected: str) -> None:
    """File, line, column and what was expected."""
    path = tmp_path / "nodes.csv"
    path.write_text(text)

    with pytest.raises(BadTable) as raised:
        read_nodes(str(path))

    assert (raised.value.path, raised.value.line, raised.value.column) == (str(path), line, column)
    assert expected in raised.value.expected


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("t,1,1,2,500", "gpu_milli"),
        ("t,1,1,1,0", "gpu_milli"),
        ("t,1,1,1,1001", "gpu_milli"),
        ("t,1,1,0.5,0", "num_gpu"),
    ],
)
def test_bad_tasks_are_located(tmp_path: Path, row: str, column: str) -> None:
    """Shares of several GPUs, shares of none and fractions of GPUs are refused where they stand."""
    path = tmp_path / "tasks.csv"
    path.write_text(TASKS + row + "\n")

    with pytest.raises(BadTable, match=f"line 2, column '{column}'"):
        read_tasks(str(path))


def test_a_task_that_ends_before_it_starts_is_refused(tmp_path: Path) -> None:
    """Times must run forward."""
    path = tmp_path / "tasks.csv"
    path.write_text(TASKS.strip() + ",creation_time,deletion_time\nt,1,1,1,500,10,9\n")

    with pytest.raises(BadTable, match="not before creation_time"):
        read_tasks(str(path))


def test_departures_need_both_times_of_every_task(tmp_path: Path) -> None:
    """Where one is missing is told by file, line and column; without departures nobody asks."""
    path = tmp_path / "tasks.csv"
    path.write_text(TASKS.strip() + ",creation_time,deletion_time\nt,1,1,1,500,1,9\n\nu,1,1,1,500,10,\n")

    with pytest.raises(BadTable, match=r"tasks.csv, line 4, column 'deletion_time': ''; expected a time"):
        read_tasks(str(path), times=True)
    assert len(read_tasks(str(path))) == 2


def test_bytes_that_are_no_text_are_located(tmp_path: Path) -> None:
    """By line and column, however far down the file."""
    path = tmp_path / "nodes.csv"
    path.write_bytes((NODES + "a,1000,1,2,T4\n").encode() + b"b\xff,1000,1,2,T4\n")

    with pytest.raises(BadTable, match=r"line 3, column 'sn': 'b\\\\xff'; expected text in UTF-8"):
        read_nodes(str(path))


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    """Spreadsheets write one."""
    path = tmp_path / "nodes.csv"
    path.write_text(NODES + "ä,1000,1,2,T4\r\n", encoding="utf-8-sig")

    assert [node.name for node in read_nodes(str(path))] == ["ä"]


def test_a_column_that_comes_twice_is_refused(tmp_path: Path) -> None:
    """One of them would count, and nobody could say which."""
    path = tmp_path / "nodes.csv"
    path.write_text(NODES.strip() + ",gpu\na,1000,1,2,T4,5\n")

    with pytest.raises(BadTable, match=r"line 1, column 'gpu'.*once"):
        read_nodes(str(path))


def damaged(archive: bytes) -> bytes:
    middle = len(archive) // 2
    return archive[:middle] + bytes(byte ^ 0x55 for byte in archive[middle : middle + 40]) + archive[middle + 40 :]


LONG = NODES + "".join(f"node-{number},{number**5 % 9973},1,2,T{number**3 % 97}\n" for number in range(2000))


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        gzip.compress(NODES.encode(), mtime=0)[:-9],
        damaged(gzip.compress(LONG.encode(), mtime=0)),
        b"\x1f\x8b no archive",
    ],
)
def test_what_is_no_csv_is_refused(tmp_path: Path, content: bytes) -> None:
    """Bytes that are no text, an archive that is cut, damaged or none."""
    path = tmp_path / ("nodes.csv.gz" if content.startswith(b"\x1f") else "nodes.csv")
    path.write_bytes(content)

    with pytest.raises(BadTable):
        read_nodes(str(path))


def test_inflation_reaches_its_ratio_and_follows_its_seed() -> None:
    """All tasks are in it, what is added are copies, and it asks for 1.3 times what there is."""
    nodes, tasks = read_nodes(str(DATA / "nodes.csv")), read_tasks(str(DATA / "tasks.csv"))
    work = inflated(tasks, nodes, 42)
    there_is = 1000 * sum(len(node.gpus) for node in nodes)

    assert work == inflated(tasks, nodes, 42) != inflated(tasks, nodes, 43)
    assert set(work) == set(tasks)
    assert 1.2 * there_is < sum(task.gpu_milli for task in work) < 1.4 * there_is


def test_allocation_never_exceeds_what_was_asked_or_is() -> None:
    """At each mark no more is allocated than was asked for; and fragmentation-aware policies beat spreading."""
    nodes, tasks = read_nodes(str(DATA / "nodes.csv")), read_tasks(str(DATA / "tasks.csv"))
    work, expected = inflated(tasks, nodes, 42), Counter(task.demand for task in tasks)

    made = {
        policy: replay(Cluster(nodes, policy, expected=expected), work) for policy in ("packed", "fgd", "worst_fit")
    }

    for arrivals in made.values():
        assert all(percent <= min(100, mark + 8) for mark, percent in arrivals.allocated_percent.items())
        assert 0 < arrivals.placed <= arrivals.tasks == len(work)
        assert 0 <= arrivals.fragmentation <= 1
    assert made["packed"].allocated_percent[100] >= made["fgd"].allocated_percent[100] - 1
    assert made["fgd"].allocated_percent[100] > made["worst_fit"].allocated_percent[100]


def test_the_small_trace_is_what_its_generator_writes(tmp_path: Path) -> None:
    """The generator gives the committed files."""
    script = tmp_path / "generate.py"
    script.write_text((DATA / "generate.py").read_text())

    subprocess.run([sys.executable, script], check=True)

    for name in ("nodes.csv", "tasks.csv"):
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes()
