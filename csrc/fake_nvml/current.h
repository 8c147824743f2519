/* The scenario as it stands now, and how every entry point begins and ends. */
#ifndef FAKE_NVML_CURRENT_H
#define FAKE_NVML_CURRENT_H

#include "fake_nvml/abi.h"
#include "fake_nvml/scenario.h"

#define NVML_EXPORT __attribute__((visibility("default")))

/* What a device handle stands for: a GPU, or a MIG instance on it. */
struct place {
    int gpu_index;
    const struct fake_gpu *gpu;
    const struct fake_mig *mig; /* NULL for a whole GPU */
};

/* Begin a call that concerns no device. On NVML_SUCCESS the scenario is locked and in *out; the caller must leave().
 * On anything else nothing is locked and the status is the answer. Hangs as long as the scenario says so. */
int enter(const char *function, const struct scenario **out);

/* The same for a call on a device. NVML_INVALID_ARGUMENT for what is no handle of ours, NVML_GPU_IS_LOST for one gone. */
int enter_device(const char *function, const void *device, struct place *out);

void leave(void);

/* Handles are addresses within a table of the library: never freed, valid or not by what the scenario says. */
void *handle_of(int gpu_index, int mig_index); /* mig_index -1: the whole GPU */

void open_library(void);
int close_library(void);

void sleep_a_little(void); /* between two looks at the scenario */

#endif
