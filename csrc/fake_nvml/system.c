/* What concerns no device: opening, versions, counting, handles, and events. */
#define _GNU_SOURCE
#include "fake_nvml/current.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

NVML_EXPORT int nvmlInitWithFlags(unsigned flags) {
    const struct scenario *scenario;
    (void)flags;
    int status = enter(__func__, &scenario);
    if (status != NVML_SUCCESS) return status;
    open_library();
    leave();
    return NVML_SUCCESS;
}

NVML_EXPORT int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

NVML_EXPORT int nvmlShutdown(void) {
    const struct scenario *scenario;
    int status = enter(__func__, &scenario);
    if (status != NVML_SUCCESS) return status;
    status = close_library();
    leave();
    return status;
}

NVML_EXPORT const char *nvmlErrorString(int status) {
    (void)status;
    return "an error of the fake driver";
}

static int put_text(const char *text, char *out, unsigned length) {
    if (text[0] == '\0') return NVML_NOT_SUPPORTED;
    if (strlen(text) >= length) return NVML_INSUFFICIENT_SIZE;
    strcpy(out, text);
    return NVML_SUCCESS;
}

NVML_EXPORT int nvmlSystemGetDriverVersion(char *out, unsigned length) {
    const struct scenario *scenario;
    int status = enter(__func__, &scenario);
    if (status != NVML_SUCCESS) return status;
    status = put_text(scenario->driver, out, length);
    leave();
    return status;
}

NVML_EXPORT int nvmlSystemGetCudaDriverVersion_v2(int *out) {
    const struct scenario *scenario;
    int status = enter(__func__, &scenario);
    if (status != NVML_SUCCESS) return status;
    if (scenario->cuda == ABSENT) status = NVML_NOT_SUPPORTED;
    else *out = (int)scenario->cuda;
    leave();
    return status;
}

NVML_EXPORT int nvmlDeviceGetCount_v2(unsigned *out) {
    const struct scenario *scenario;
    int status = enter(__func__, &scenario);
    if (status != NVML_SUCCESS) return status;
    unsigned count = 0;
    for (size_t i = 0; i < MAX_GPUS; i++) count += scenario->gpus[i].exists;
    *out = count;
    leave();
    return NVML_SUCCESS;
}

NVML_EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out) {
    const struct scenario *scenario;
    struct place place;
    int status = enter(__func__, &scenario);
    if (status != NVML_SUCCESS) return status;
    int found = -1;
    for (int i = 0; i < MAX_GPUS && found < 0; i++)
        if (scenario->gpus[i].exists && index-- == 0) found = i;
    leave();
    if (found < 0) return NVML_INVALID_ARGUMENT;
    *out = handle_of(found, -1);
    status = enter_device(__func__, *out, &place); /* a GPU that fell off the bus has no handle */
    if (status == NVML_SUCCESS) leave();
    return status;
}

NVML_EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, void **out) {
    const struct scenario *scenario;
    int status = enter(__func__, &scenario);
    if (status != NVML_SUCCESS) return status;
    status = NVML_NOT_FOUND;
    for (int i = 0; i < MAX_GPUS; i++) {
        const struct fake_gpu *gpu = &scenario->gpus[i];
        for (int mig = -1; gpu->exists && mig < MAX_MIGS; mig++) {
            if (strcmp(uuid, mig < 0 ? gpu->uuid : gpu->migs[mig].uuid) != 0) continue;
            *out = handle_of(i, mig);
            status = NVML_SUCCESS;
        }
    }
    leave();
    return status;
}

/* ---- events: each set gives every Xid of the scenario once, in the order of its lines, when its time has come */

struct event_set {
    bool registered[MAX_GPUS];
    size_t given;
};

NVML_EXPORT int nvmlEventSetCreate(void **out) {
    const struct scenario *scenario;
    int status = enter(__func__, &scenario);
    if (status != NVML_SUCCESS) return status;
    leave();
    *out = calloc(1, sizeof(struct event_set));
    return *out == NULL ? NVML_UNKNOWN : NVML_SUCCESS;
}

NVML_EXPORT int nvmlEventSetFree(struct event_set *set) {
    free(set);
    return NVML_SUCCESS;
}

NVML_EXPORT int nvmlDeviceGetSupportedEventTypes(const void *device, unsigned long long *out) {
    struct place place;
    int status = enter_device(__func__, device, &place);
    if (status != NVML_SUCCESS) return status;
    *out = NVML_XID_EVENT;
    leave();
    return NVML_SUCCESS;
}

NVML_EXPORT int nvmlDeviceRegisterEvents(const void *device, unsigned long long types, struct event_set *set) {
    struct place place;
    int status = enter_device(__func__, device, &place);
    if (status != NVML_SUCCESS) return status;
    if (types == NVML_XID_EVENT && place.mig == NULL) set->registered[place.gpu_index] = true;
    else status = NVML_NOT_SUPPORTED;
    leave();
    return status;
}

static bool next_event(const struct scenario *scenario, struct event_set *set, struct nvml_event *out) {
    while (set->given < scenario->xid_count) {
        const struct fake_xid *xid = &scenario->xids[set->given];
        if (now_ms() - scenario->read_at_ms < xid->at_ms) return false;
        set->given++;
        if (xid->gpu != ABSENT && !set->registered[xid->gpu]) continue;
        *out = (struct nvml_event){.type = NVML_XID_EVENT, .data = (uint64_t)xid->code};
        out->device = xid->gpu == ABSENT ? NULL : handle_of((int)xid->gpu, -1);
        out->gpu_instance = out->compute_instance = UINT32_MAX;
        return true;
    }
    return false;
}

NVML_EXPORT int nvmlEventSetWait_v2(struct event_set *set, struct nvml_event *out, unsigned timeout_ms) {
    const struct scenario *scenario;
    int64_t until = now_ms() + timeout_ms;
    for (;;) {
        int status = enter(__func__, &scenario);
        if (status != NVML_SUCCESS) return status;
        bool found = next_event(scenario, set, out);
        leave();
        if (found) return NVML_SUCCESS;
        if (now_ms() >= until) return NVML_TIMEOUT;
        sleep_a_little();
    }
}
