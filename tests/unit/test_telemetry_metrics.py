"""The fleet as Prometheus metrics: names, units, escapes, and no line for what was not read."""

from __future__ import annotations

import re
from dataclasses import replace

from gpucache.telemetry import Fleet, GpuReading, MigReading, RowRemaps
from gpucache.telemetry.metrics import fleet_metrics

GIB = 2**30
BUSY = GpuReading(
    "GPU-a",
    0,
    'a "model"\\2',
    80 * GIB,
    40 * GIB,
    39 * GIB,
    utilisation_fraction=0.75,
    memory_bus_fraction=0.2,
    power_w=412.5,
    clock_sm_mhz=1755,
    ecc_corrected_count=0,
    row_remaps=RowRemaps(0, 0, is_pending=False, has_failed=True),
)
SILENT = GpuReading("GPU-b", 1, "b", None, None, None)


def values(text: str, name: str) -> dict[str, str]:
    return dict(re.findall(rf'^gpucache_gpu_{name}\{{uuid="([^"]*)"[^\n]*\}} (\S+)$', text, re.MULTILINE))


def test_each_value_in_its_unit() -> None:
    """Bytes, ratios, watts, hertz; memory and bus time under names that can't be mixed up."""
    text = fleet_metrics(Fleet((BUSY,), 0), age_s=1.5)

    assert values(text, "memory_used_bytes") == {"GPU-a": str(40 * GIB)}
    assert values(text, "kernel_running_ratio") == {"GPU-a": "0.75"}
    assert values(text, "memory_bus_busy_ratio") == {"GPU-a": "0.2"}
    assert values(text, "power_watts") == {"GPU-a": "412.5"}
    assert values(text, "sm_clock_hertz") == {"GPU-a": "1755000000"}
    assert values(text, "in_trouble") == {"GPU-a": "1.0"}
    assert "\ngpucache_gpu_reading_age_seconds 1.5\n" in text


def test_what_was_not_read_has_no_line() -> None:
    """A GPU whose driver is silent is in none of its metrics; a count of nought is."""
    text = fleet_metrics(Fleet((BUSY, SILENT), 0), age_s=0)

    assert values(text, "memory_used_bytes").keys() == {"GPU-a"}
    assert values(text, "power_watts").keys() == {"GPU-a"}
    assert values(text, "ecc_corrected_errors_total") == {"GPU-a": "0"}
    assert values(text, "ecc_uncorrected_errors_total") == {}


def test_instances_slowdowns_and_problems() -> None:
    """MIG instances under a name of their own, each reason of a slowdown, and that something is missing."""
    instance = MigReading("MIG-1", 1, 0, "a MIG 1g", 16 * GIB, 3 * GIB, None)
    cut = replace(BUSY, mig_is_on=True, mig=(instance,), throttle_reasons=("idle", "hardware power brake"))

    text = fleet_metrics(Fleet((cut, SILENT), 0, problems=("it hangs",)), age_s=0)

    assert 'gpucache_mig_memory_used_bytes{uuid="MIG-1",gpu="GPU-a",model="a MIG 1g"} ' + str(3 * GIB) in text
    assert "gpucache_mig_memory_free_bytes{" not in text
    assert values(text, "slowed") == {"GPU-a": "1"}
    assert 'reason="hardware power brake"' in text
    assert "\ngpucache_gpu_reading_problems 1\n" in text


def test_a_lost_gpu_is_a_metric() -> None:
    """An alert can be made of it."""
    assert "gpucache_gpu_lost{" not in fleet_metrics(Fleet((BUSY,), 0), age_s=0)
    assert 'gpucache_gpu_lost{uuid="GPU-x"} 1' in fleet_metrics(Fleet((), 0, lost=("GPU-x",)), age_s=0)


def test_the_text_is_well_formed() -> None:
    """Every metric has its help and type once, before its samples; quotes and backslashes in labels are escaped."""
    lines = fleet_metrics(Fleet((BUSY, SILENT), 0, lost=("GPU-x",)), age_s=0).splitlines()

    typed = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    helped = [line.split()[2] for line in lines if line.startswith("# HELP ")]
    sampled = [re.split(r"[ {]", line)[0] for line in lines if not line.startswith("#")]
    assert typed == helped
    assert len(set(typed)) == len(typed)
    assert set(sampled) <= set(typed)
    assert all(name.endswith("_total") == (f"# TYPE {name} counter" in lines) for name in typed)
    assert any(r'model="a \"model\"\\2"' in line for line in lines)
