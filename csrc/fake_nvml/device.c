/* What is asked of one device. A value that the scenario leaves out is NVML_NOT_SUPPORTED. */
#include "fake_nvml/current.h"

#include <stdio.h>
#include <string.h>

/* ---- single numbers */

static int read_number(const char *function, const void *device, size_t offset, int64_t *out) {
    struct place place;
    int status = enter_device(function, device, &place);
    if (status != NVML_SUCCESS) return status;
    memcpy(out, (const char *)place.gpu + offset, sizeof *out);
    leave();
    /* On a MIG instance the driver has neither utilisation nor power nor clocks. */
    return *out == ABSENT || place.mig != NULL ? NVML_NOT_SUPPORTED : NVML_SUCCESS;
}

static int read_uint(const char *function, const void *device, size_t offset, unsigned *out) {
    int64_t value;
    int status = read_number(function, device, offset, &value);
    if (status == NVML_SUCCESS) *out = (unsigned)value;
    return status;
}

#define MEMBER(name) offsetof(struct fake_gpu, name)
#define READS_UINT(function, member)                                                                                   \
    NVML_EXPORT int function(const void *device, unsigned *out) {                                                      \
        return read_uint(__func__, device, MEMBER(member), out);                                                       \
    }

READS_UINT(nvmlDeviceGetPowerUsage, power_mw)
READS_UINT(nvmlDeviceGetEnforcedPowerLimit, power_limit_mw)
READS_UINT(nvmlDeviceGetNumaNodeId, numa_node)
READS_UINT(nvmlDeviceGetCurrPcieLinkGeneration, pcie_generation)
READS_UINT(nvmlDeviceGetCurrPcieLinkWidth, pcie_lanes)

/* A set bit for the one node that the device is near; scope 0 is the node, 1 the socket. */
NVML_EXPORT int nvmlDeviceGetMemoryAffinity(const void *device, unsigned words, unsigned long *out, unsigned scope) {
    enum { BITS = 8 * sizeof *out };
    int64_t node;
    int status = read_number(__func__, device, MEMBER(numa_node), &node);
    if (status != NVML_SUCCESS) return status;
    if (scope > 1 || (uint64_t)node >= (uint64_t)words * BITS) return NVML_INVALID_ARGUMENT;
    memset(out, 0, words * sizeof *out);
    out[node / BITS] = 1UL << (node % BITS);
    return NVML_SUCCESS;
}

static int read_clock(const char *function, const void *device, const size_t members[2], unsigned type, unsigned *out) {
    if (type != 1 && type != 2) return NVML_NOT_SUPPORTED; /* SM and memory alone */
    return read_uint(function, device, members[type - 1], out);
}

NVML_EXPORT int nvmlDeviceGetClockInfo(const void *device, unsigned type, unsigned *out) {
    return read_clock(__func__, device, (size_t[]){MEMBER(sm_clock_mhz), MEMBER(memory_clock_mhz)}, type, out);
}

NVML_EXPORT int nvmlDeviceGetMaxClockInfo(const void *device, unsigned type, unsigned *out) {
    return read_clock(__func__, device, (size_t[]){MEMBER(sm_clock_max_mhz), MEMBER(memory_clock_max_mhz)}, type, out);
}

NVML_EXPORT int nvmlDeviceGetTemperature(const void *device, unsigned sensor, unsigned *out) {
    return sensor != 0 ? NVML_INVALID_ARGUMENT : read_uint(__func__, device, MEMBER(temperature_c), out);
}

NVML_EXPORT int nvmlDeviceGetTemperatureV(const void *device, struct nvml_temperature *out) {
    if (out->version != NVML_TEMPERATURE_V1) return NVML_ARGUMENT_VERSION_MISMATCH;
    int64_t value;
    int status = read_number(__func__, device, MEMBER(temperature_c), &value);
    if (status == NVML_SUCCESS) out->temperature = (int32_t)value;
    return status;
}

static int read_reasons(const char *function, const void *device, unsigned long long *out) {
    int64_t value;
    int status = read_number(function, device, MEMBER(throttle_bits), &value);
    if (status == NVML_SUCCESS) *out = (unsigned long long)value;
    return status;
}

NVML_EXPORT int nvmlDeviceGetCurrentClocksEventReasons(const void *device, unsigned long long *out) {
    return read_reasons(__func__, device, out);
}

NVML_EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(const void *device, unsigned long long *out) {
    return read_reasons(__func__, device, out);
}

NVML_EXPORT int nvmlDeviceGetTotalEccErrors(const void *device, unsigned kind, unsigned counter, unsigned long long *out) {
    int64_t value;
    size_t member = kind == 0 ? MEMBER(ecc_corrected) : MEMBER(ecc_uncorrected);
    if (counter != 0) return NVML_NOT_SUPPORTED; /* since the driver was loaded alone */
    int status = read_number(__func__, device, member, &value);
    if (status == NVML_SUCCESS) *out = (unsigned long long)value;
    return status;
}

NVML_EXPORT int nvmlDeviceGetCudaComputeCapability(const void *device, int *major, int *minor) {
    int64_t value;
    int status = read_number(__func__, device, MEMBER(compute_capability), &value);
    if (status != NVML_SUCCESS) return status;
    *major = (int)value / 10;
    *minor = (int)value % 10;
    return NVML_SUCCESS;
}

static int read_mode(const char *function, const void *device, size_t member, unsigned *current, unsigned *pending) {
    int status = read_uint(function, device, member, current);
    if (status == NVML_SUCCESS) *pending = *current;
    return status;
}

NVML_EXPORT int nvmlDeviceGetEccMode(const void *device, unsigned *current, unsigned *pending) {
    return read_mode(__func__, device, MEMBER(ecc), current, pending);
}

NVML_EXPORT int nvmlDeviceGetMigMode(const void *device, unsigned *current, unsigned *pending) {
    return read_mode(__func__, device, MEMBER(mig_mode), current, pending);
}

/* ---- names */

NVML_EXPORT int nvmlDeviceGetUUID(const void *device, char *out, unsigned length) {
    struct place place;
    int status = enter_device(__func__, device, &place);
    if (status != NVML_SUCCESS) return status;
    snprintf(out, length, "%s", place.mig != NULL ? place.mig->uuid : place.gpu->uuid);
    leave();
    return NVML_SUCCESS;
}

NVML_EXPORT int nvmlDeviceGetName(const void *device, char *out, unsigned length) {
    struct place place;
    int status = enter_device(__func__, device, &place);
    if (status != NVML_SUCCESS) return status;
    if (place.mig == NULL) snprintf(out, length, "%s", place.gpu->name);
    else
        snprintf(out, length, "%s MIG %dg.%dgb", place.gpu->name, (int)place.mig->gpu_slices,
                 (int)(place.mig->memory_total_bytes >> 30));
    leave();
    return NVML_SUCCESS;
}

NVML_EXPORT int nvmlDeviceGetPciInfo_v3(const void *device, struct nvml_pci *out) {
    int64_t bus;
    int status = read_number(__func__, device, MEMBER(bus), &bus);
    if (status != NVML_SUCCESS) return status;
    memset(out, 0, sizeof *out);
    out->bus = (uint32_t)bus;
    snprintf(out->bus_id, sizeof out->bus_id, "00000000:%02X:00.0", out->bus);
    snprintf(out->bus_id_legacy, sizeof out->bus_id_legacy, "0000:%02X:00.0", out->bus);
    return NVML_SUCCESS;
}

/* ---- memory and time */

/* Total, reserved and used of a GPU or an instance; false where the scenario has no total. */
static bool memory_of(const struct place *place, uint64_t *total, uint64_t *reserved, uint64_t *used) {
    int64_t all = place->mig != NULL ? place->mig->memory_total_bytes : place->gpu->memory_total_bytes;
    int64_t taken = place->mig != NULL ? place->mig->memory_used_bytes : place->gpu->memory_used_bytes;
    int64_t kept = place->mig != NULL ? 0 : place->gpu->memory_reserved_bytes;
    if (all == ABSENT) return false;
    *total = (uint64_t)all;
    *reserved = kept == ABSENT ? 0 : (uint64_t)kept;
    *used = taken == ABSENT ? 0 : (uint64_t)taken;
    return true;
}

NVML_EXPORT int nvmlDeviceGetMemoryInfo(const void *device, struct nvml_memory *out) {
    struct place place;
    uint64_t total, reserved, used;
    int status = enter_device(__func__, device, &place);
    if (status != NVML_SUCCESS) return status;
    if (memory_of(&place, &total, &reserved, &used)) /* version 1 counts as used what the driver keeps */
        *out = (struct nvml_memory){total, total - used - reserved, used + reserved};
    else status = NVML_NOT_SUPPORTED;
    leave();
    return status;
}

NVML_EXPORT int nvmlDeviceGetMemoryInfo_v2(const void *device, struct nvml_memory_v2 *out) {
    struct place place;
    uint64_t total, reserved, used;
    if (out->version != NVML_MEMORY_V2) return NVML_ARGUMENT_VERSION_MISMATCH;
    int status = enter_device(__func__, device, &place);
    if (status != NVML_SUCCESS) return status;
    bool is_known = place.mig != NULL || place.gpu->memory_reserved_bytes != ABSENT;
    if (is_known && memory_of(&place, &total, &reserved, &used))
        *out = (struct nvml_memory_v2){out->version, total, reserved, total - used - reserved, used};
    else status = NVML_NOT_SUPPORTED;
    leave();
    return status;
}

NVML_EXPORT int nvmlDeviceGetUtilizationRates(const void *device, struct nvml_utilization *out) {
    int status = read_uint(__func__, device, MEMBER(utilisation_percent), &out->gpu);
    if (status != NVML_SUCCESS) return status;
    if (read_uint(__func__, device, MEMBER(memory_bus_percent), &out->memory) != NVML_SUCCESS) out->memory = 0;
    return NVML_SUCCESS;
}

/* Three samples, one period apart. Asked without room it says how many there are, and that is no error. */
NVML_EXPORT int nvmlDeviceGetSamples(const void *device, unsigned kind, unsigned long long since_us, unsigned *value_type,
                                     unsigned *count, struct nvml_sample *out) {
    int64_t period, percent;
    (void)since_us;
    int status = read_number(__func__, device, MEMBER(sample_period_us), &period);
    if (status == NVML_SUCCESS) status = read_number(__func__, device, MEMBER(utilisation_percent), &percent);
    if (status != NVML_SUCCESS) return status;
    if (kind != 1) return NVML_NOT_SUPPORTED;
    if (out != NULL && *count < 3) return NVML_INSUFFICIENT_SIZE;
    *count = 3;
    *value_type = 1; /* unsigned int */
    for (unsigned i = 0; out != NULL && i < 3; i++)
        out[i] = (struct nvml_sample){1000000 + i * (uint64_t)period, (uint64_t)percent};
    return NVML_SUCCESS;
}

NVML_EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(const void *device, unsigned *count, struct nvml_process *out) {
    const struct scenario *scenario;
    struct place place;
    int status = enter_device(__func__, device, &place);
    if (status != NVML_SUCCESS) return status;
    leave();
    status = enter("", &scenario);
    if (status != NVML_SUCCESS) return status;
    unsigned found = 0;
    for (size_t i = 0; i < scenario->process_count; i++) {
        const struct fake_process *process = &scenario->processes[i];
        if (process->gpu != place.gpu_index) continue;
        if (place.mig != NULL && process->gpu_instance != place.mig->gpu_instance) continue;
        if (out != NULL && found < *count) {
            uint64_t bytes = process->memory_bytes == ABSENT ? NVML_VALUE_NOT_AVAILABLE : (uint64_t)process->memory_bytes;
            uint32_t instance = process->gpu_instance == ABSENT ? UINT32_MAX : (uint32_t)process->gpu_instance;
            out[found] = (struct nvml_process){(uint32_t)process->pid, bytes, instance, UINT32_MAX};
        }
        found++;
    }
    leave();
    bool has_room = out != NULL ? found <= *count : found == 0;
    *count = found;
    return has_room ? NVML_SUCCESS : NVML_INSUFFICIENT_SIZE;
}

NVML_EXPORT int nvmlDeviceGetRemappedRows(const void *device, unsigned *corrected, unsigned *uncorrected, unsigned *pending,
                                          unsigned *failed) {
    int status = read_uint(__func__, device, MEMBER(rows_corrected), corrected);
    if (status == NVML_SUCCESS) status = read_uint(__func__, device, MEMBER(rows_uncorrected), uncorrected);
    if (status == NVML_SUCCESS) status = read_uint(__func__, device, MEMBER(rows_pending), pending);
    if (status == NVML_SUCCESS) status = read_uint(__func__, device, MEMBER(rows_failed), failed);
    return status;
}
