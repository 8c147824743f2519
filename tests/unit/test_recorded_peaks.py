"""The recorded peaks, and what is made of them."""

from __future__ import annotations

from benchmarks import bench_demand
from benchmarks.programs.record_peaks import FUNCTIONS, measured, sort


def test_the_recording_has_every_function() -> None:
    """Peaks of all functions of the recorder, each of a process: no less than its input."""
    calls = bench_demand.recorded(bench_demand.RECORDED)

    assert list(calls) == [function.__name__ for function in FUNCTIONS]
    assert all(peak > size for each in calls.values() for size, peak in each)
    assert all(peak <= bench_demand.RECORDED_DEVICE_BYTES // 4 for each in calls.values() for _, peak in each)


def test_a_peak_is_of_its_call() -> None:
    """The peak of an earlier, larger call is not that of a later, small one."""
    large, _ = measured(sort, 256 * 2**20, "cpu")
    small, _ = measured(sort, 2**20, "cpu")

    assert large is not None
    assert small is not None
    assert large - small > 256 * 2**20


def test_learning_wastes_less_on_recorded_peaks() -> None:
    """Less than the whole device and than what is declared, once ten calls were seen."""
    recorded = bench_demand.recorded(bench_demand.RECORDED).values()
    series = [bench_demand.in_another_order(calls, seed) for calls in recorded for seed in range(bench_demand.SEEDS)]

    found = bench_demand.compared(series, bench_demand.RECORDED_DEVICE_BYTES, bench_demand.PILOT)

    assert found["learned"].wasted_gib_per_call < 0.6 * found["declared"].wasted_gib_per_call
    assert found["learned"].out_of_memory_percent < 2
