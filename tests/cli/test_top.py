"""`gpucache top`: what it prints, its JSON, its exit status; and that no number goes by another's name."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from fake_nvml import GIB, FakeNvml, gpu, mig, uuid

from gpucache.cli.main import status_of
from gpucache.telemetry import XidEvent, rows
from gpucache.telemetry.from_nvml import NvmlSource


def top(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    status = status_of(["top", *options])
    return status, capsys.readouterr().out


def cells(out: str) -> dict[str, str]:
    """The first GPU's row by its headings; columns are where the headings stand."""
    head, row = next(
        (head, row) for head, row in zip(out.splitlines(), out.splitlines()[1:], strict=False) if "memory used" in head
    )
    names = [name for name in head.split("  ") if name.strip()]
    values = [value for value in row.split("  ") if value.strip()]
    return dict(zip((name.strip() for name in names), (value.strip() for value in values), strict=False))


def test_each_number_stands_under_its_name(fake_nvml: FakeNvml, capsys: pytest.CaptureFixture[str]) -> None:
    """Memory is memory and bus time is bus time: 40 GiB taken while the bus is busy 7 % of the time."""
    busy = {"utilisation_percent": 93, "memory_bus_percent": 7, "power_mw": 512_000, "throttle_bits": 0x5}
    fake_nvml.says(gpu(0, memory_used_bytes=40 * GIB, **busy))

    status, out = top(capsys, "--once")

    assert status == 0
    assert cells(out) == {
        "GPU": "0",
        "model": "NVIDIA H200",
        "memory used": "40.0 of 141.0 GiB",
        "kernel runs": "93%",
        "bus busy": "7%",
        "clock": "345 of 1980 MHz",
        "power": "512 of 700 W",
        "heat": "31 °C",
        "remarks": "slowed by software power cap",
    }
    assert "last sample period (0.17 s) in which any kernel ran" in out
    assert "not how much is taken" in out


@pytest.mark.parametrize(("columns", "gone"), [(200, []), (80, ["clock"]), (66, ["clock", "power"])])
def test_a_narrow_terminal_cuts_no_number(
    fake_nvml: FakeNvml,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    gone: list[str],
) -> None:
    """Headings are broken into lines, and whole columns go, the least asked for first; model and memory stay."""
    fake_nvml.says(gpu(0, memory_used_bytes=40 * GIB), gpu(1, mig_mode=1), mig(1, 0, 5))
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    _, out = top(capsys, "--once")

    shown = re.sub(r"\x1b\[[0-9;]*m", "", out)
    table = shown.split("kernel runs:")[0]
    assert max(map(len, table.splitlines())) <= columns
    assert "40.0 of 141.0 GiB" in table
    assert "H200" in table
    assert [head for head in ("clock", "power", "heat") if head not in table] == gone
    assert ("345 of 1980 MHz" in table, "76 of 700 W" in table) == ("clock" not in gone, "power" not in gone)


def test_what_is_absent_is_a_dash(fake_nvml: FakeNvml, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is shown as zero that was not read; MIG instances stand below their GPU."""
    fake_nvml.says(gpu(0, without=("utilisation_percent", "power_mw"), mig_mode=1), mig(0, 0, 5, used_gib=3))

    _, out = top(capsys, "--once")

    assert cells(out)["kernel runs"] == "-"
    assert cells(out)["power"] == "- of 700 W"
    assert "NVIDIA H200 MIG 1g.16gb" in out
    assert "3.0 of 16.0 GiB" in out


def test_what_is_missing_has_its_reason(fake_nvml: FakeNvml, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each thing and reason, with the GPUs that it holds for; nothing where all was read."""
    fake_nvml.says(*(gpu(number, without=("power_mw",)) for number in range(2)), gpu(2))

    assert "not read: power of GPU 0, 1: Not Supported\n" in top(capsys)[1]
    fake_nvml.says(gpu(0))
    assert "not read" not in top(capsys)[1]


def test_what_is_out_of_the_ordinary_is_remarked(fake_nvml: FakeNvml) -> None:
    """Troubles, errors in memory, rows that wait for a reset; a well GPU has no remark."""
    fake_nvml.says(gpu(0, rows_pending=1, ecc_uncorrected=3, throttle_bits=0x8))
    (ill,) = NvmlSource().read().gpus
    assert rows.remarks_of(ill) == (
        "3 uncorrected memory errors since the driver was loaded",
        "a row of its memory is replaced at the next reset",
        "slowed by hardware slowdown",
    )
    mild, grave = XidEvent(31, 0, condemns=False), XidEvent(79, 0, condemns=True)
    assert rows.remarks_of(replace(ill, xids=(mild, grave, mild)))[0] == "Xid 79"
    assert rows.remarks_of(replace(ill, xids=(mild, grave, mild)))[3] == "Xid 31 of an application"

    fake_nvml.says(gpu(0))
    assert rows.remarks_of(NvmlSource().read().gpus[0]) == ()


def test_processes_when_asked_for(
    fake_nvml: FakeNvml, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container their ids are marked as the host's."""
    monkeypatch.setattr("gpucache.telemetry.from_nvml.are_hosts", lambda: True)
    fake_nvml.says(gpu(0), "process 0 pid 4242 memory_bytes 1073741824")

    assert "4242" not in top(capsys)[1]
    assert re.search(r"4242 \(host's id\) +1\.0 GiB", top(capsys, "--processes")[1])


def test_json_is_one_document(fake_nvml: FakeNvml, capsys: pytest.CaptureFixture[str]) -> None:
    """Every field by its name with its unit, and the age of the reading."""
    fake_nvml.says(gpu(0), gpu(1, without=("power_mw",)))

    status, out = top(capsys, "--json")

    document = json.loads(out)
    assert (status, document["schema"]) == (0, "gpucache.top/1")
    assert [one["uuid"] for one in document["gpus"]] == [uuid(0), uuid(1)]
    assert document["gpus"][1]["power_w"] is None
    assert ["power_w", "Not Supported"] in document["gpus"][1]["absent"]
    assert document["age_s"] >= 0


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_without_gpus_it_says_why_and_exits_with_5(
    fake_nvml: FakeNvml, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """No GPU to look at is no success: the driver's words, and the status for what can't be reached."""
    fake_nvml.says("fail nvmlInitWithFlags 9")

    status, out = top(capsys, *options)

    assert status == 5
    assert "Driver Not Loaded" in out
