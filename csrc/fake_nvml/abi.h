/* What nvidia-ml-py expects of libnvidia-ml.so.1: status codes and the layout of what it passes by address.
 *
 * Only what the fake implements. Source: the ctypes definitions in pynvml.py (nvidia-ml-py 13.615), which mirror
 * NVIDIA's public NVML API reference. Layouts are checked against sizes below, so that a slip is a compile error.
 */
#ifndef FAKE_NVML_ABI_H
#define FAKE_NVML_ABI_H

#include <stdint.h>

enum nvml_status {
    NVML_SUCCESS = 0,
    NVML_UNINITIALIZED = 1,
    NVML_INVALID_ARGUMENT = 2,
    NVML_NOT_SUPPORTED = 3,
    NVML_NOT_FOUND = 6,
    NVML_INSUFFICIENT_SIZE = 7,
    NVML_TIMEOUT = 10,
    NVML_GPU_IS_LOST = 15,
    NVML_ARGUMENT_VERSION_MISMATCH = 25,
    NVML_UNKNOWN = 999,
};

enum { NVML_XID_EVENT = 8, NVML_REMOTE_GPU = 0, NVML_REMOTE_SWITCH = 2, NVML_TOPOLOGY_NODE = 40, NVML_TOPOLOGY_SYSTEM = 50 };

/* What fields hold that the driver has no value for (memory of a process on MIG, say). */
#define NVML_VALUE_NOT_AVAILABLE UINT64_MAX

struct nvml_memory {
    uint64_t total, free, used;
};

struct nvml_memory_v2 {
    uint32_t version;
    uint64_t total, reserved, free, used;
};
#define NVML_MEMORY_V2 (2u << 24 | (uint32_t)sizeof(struct nvml_memory_v2))

struct nvml_process {
    uint32_t pid;
    uint64_t used_memory;
    uint32_t gpu_instance, compute_instance;
};

struct nvml_utilization {
    uint32_t gpu, memory;
};

struct nvml_pci {
    char bus_id_legacy[16];
    uint32_t domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
};

struct nvml_sample {
    uint64_t timestamp_us;
    uint64_t value; /* a union there; only its unsigned members are used */
};

struct nvml_attributes {
    uint32_t multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, gpu_slices, compute_slices;
    uint64_t memory_mib;
};

struct nvml_temperature {
    uint32_t version, sensor;
    int32_t temperature;
};
#define NVML_TEMPERATURE_V1 (1u << 24 | (uint32_t)sizeof(struct nvml_temperature))

struct nvml_event {
    void *device;
    uint64_t type, data;
    uint32_t gpu_instance, compute_instance;
};

_Static_assert(sizeof(struct nvml_memory_v2) == 40, "nvmlMemory_v2 is 0x02000028");
_Static_assert(sizeof(struct nvml_process) == 24, "nvmlProcessInfo_v2_t");
_Static_assert(sizeof(struct nvml_pci) == 68, "nvmlPciInfo_t");
_Static_assert(sizeof(struct nvml_sample) == 16, "nvmlSample_t");
_Static_assert(sizeof(struct nvml_attributes) == 40, "nvmlDeviceAttributes_t");
_Static_assert(sizeof(struct nvml_event) == 32, "nvmlEventData_t");

#endif
