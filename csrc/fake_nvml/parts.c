/* What a device is made of and joined to: MIG instances, NVLink, the way over the host. */
#include "fake_nvml/current.h"

#include <stdio.h>
#include <string.h>

NVML_EXPORT int nvmlDeviceGetMaxMigDeviceCount(const void *device, unsigned *out) {
    struct place place;
    int status = enter_device(__func__, device, &place);
    if (status != NVML_SUCCESS) return status;
    *out = place.gpu->mig_mode > 0 ? MAX_MIGS : 0;
    leave();
    return NVML_SUCCESS;
}

NVML_EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(const void *device, unsigned index, void **out) {
    struct place place;
    int status = enter_device(__func__, device, &place);
    if (status != NVML_SUCCESS) return status;
    if (index >= MAX_MIGS) status = NVML_INVALID_ARGUMENT;
    else if (!place.gpu->migs[index].exists) status = NVML_NOT_FOUND;
    else *out = handle_of(place.gpu_index, (int)index);
    leave();
    return status;
}

static int read_instance(const char *function, const void *device, size_t offset, unsigned *out) {
    struct place place;
    int64_t value;
    int status = enter_device(function, device, &place);
    if (status != NVML_SUCCESS) return status;
    if (place.mig == NULL) status = NVML_INVALID_ARGUMENT;
    else {
        memcpy(&value, (const char *)place.mig + offset, sizeof value);
        *out = (unsigned)value;
    }
    leave();
    return status;
}

NVML_EXPORT int nvmlDeviceGetGpuInstanceId(const void *device, unsigned *out) {
    return read_instance(__func__, device, offsetof(struct fake_mig, gpu_instance), out);
}

NVML_EXPORT int nvmlDeviceGetComputeInstanceId(const void *device, unsigned *out) {
    return read_instance(__func__, device, offsetof(struct fake_mig, compute_instance), out);
}

NVML_EXPORT int nvmlDeviceGetAttributes_v2(const void *device, struct nvml_attributes *out) {
    struct place place;
    int status = enter_device(__func__, device, &place);
    if (status != NVML_SUCCESS) return status;
    memset(out, 0, sizeof *out);
    if (place.mig == NULL) status = NVML_NOT_SUPPORTED;
    else {
        out->gpu_slices = (uint32_t)place.mig->gpu_slices;
        out->compute_slices = (uint32_t)place.mig->compute_slices;
        out->memory_mib = (uint64_t)place.mig->memory_total_bytes >> 20;
    }
    leave();
    return status;
}

/* The other end of an NVLink: an index, LINK_TO_SWITCH, or ABSENT with the status why. */
static int other_end(const char *function, const void *device, unsigned link, int64_t *out) {
    struct place place;
    int status = enter_device(function, device, &place);
    if (status != NVML_SUCCESS) return status;
    if (link >= MAX_LINKS || place.mig != NULL) status = NVML_INVALID_ARGUMENT;
    else *out = place.gpu->links[link];
    leave();
    return status;
}

/* A GPU that has any link has a state for all; one that has none has no NVLink at all. */
NVML_EXPORT int nvmlDeviceGetNvLinkState(const void *device, unsigned link, unsigned *out) {
    struct place place;
    int64_t end;
    int status = other_end(__func__, device, link, &end);
    if (status != NVML_SUCCESS) return status;
    status = enter_device("", device, &place);
    if (status != NVML_SUCCESS) return status;
    bool has_links = false;
    for (size_t i = 0; i < MAX_LINKS; i++) has_links |= place.gpu->links[i] != ABSENT;
    leave();
    *out = end != ABSENT;
    return has_links ? NVML_SUCCESS : NVML_NOT_SUPPORTED;
}

NVML_EXPORT int nvmlDeviceGetNvLinkRemoteDeviceType(const void *device, unsigned link, unsigned *out) {
    int64_t end;
    int status = other_end(__func__, device, link, &end);
    if (status == NVML_SUCCESS && end == ABSENT) status = NVML_NOT_SUPPORTED;
    if (status == NVML_SUCCESS) *out = end == LINK_TO_SWITCH ? NVML_REMOTE_SWITCH : NVML_REMOTE_GPU;
    return status;
}

NVML_EXPORT int nvmlDeviceGetNvLinkRemotePciInfo_v2(const void *device, unsigned link, struct nvml_pci *out) {
    const struct scenario *scenario;
    int64_t end;
    int status = other_end(__func__, device, link, &end);
    if (status != NVML_SUCCESS) return status;
    if (end == ABSENT || end == LINK_TO_SWITCH) return NVML_NOT_SUPPORTED;
    status = enter("", &scenario);
    if (status != NVML_SUCCESS) return status;
    memset(out, 0, sizeof *out);
    out->bus = (uint32_t)scenario->gpus[end].bus;
    snprintf(out->bus_id, sizeof out->bus_id, "00000000:%02X:00.0", out->bus);
    leave();
    return NVML_SUCCESS;
}

NVML_EXPORT int nvmlDeviceGetTopologyCommonAncestor(const void *one, const void *other, unsigned *out) {
    struct place place, second;
    int status = enter_device(__func__, one, &place);
    if (status != NVML_SUCCESS) return status;
    leave();
    status = enter_device(__func__, other, &second);
    if (status != NVML_SUCCESS) return status;
    int64_t told = place.gpu->ancestors[second.gpu_index];
    bool is_same_node = place.gpu->numa_node == second.gpu->numa_node;
    *out = told != ABSENT ? (unsigned)told : is_same_node ? NVML_TOPOLOGY_NODE : NVML_TOPOLOGY_SYSTEM;
    leave();
    return NVML_SUCCESS;
}
