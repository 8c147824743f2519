/* What the fake NVML pretends: GPUs, processes, failures, read from the file that FAKE_NVML_SCENARIO names.
 *
 * One fact a line, words separated by blanks, "quoted" where a word has blanks, # begins a comment:
 *
 *   driver 570.86.15 cuda 12080
 *   gpu 0 uuid GPU-... name "NVIDIA H200" memory_total_bytes 150754820096 memory_used_bytes 0 power_mw 76000 ...
 *   process 0 pid 4242 memory_bytes 1073741824           memory_bytes na: the driver does not say
 *   mig 0 index 0 uuid MIG-... gpu_instance 1 compute_instance 0 memory_total_bytes ... memory_used_bytes ...
 *   nvlink 0 link 3 to 1                                  or `to switch`
 *   topology 0 1 20                                       nearest common ancestor of two GPUs; else same NUMA node or not
 *   xid 0 79                                              delivered once to every event set; `xid any 79`: no device;
 *                                                         `at 250`: so many ms after the file was read, lines in order of time
 *   fail nvmlDeviceGetPowerUsage 3                        answers that status; `on 1`: for that GPU alone
 *   hang nvmlDeviceGetUUID                                until the file no longer says so; `on 1` as above
 *   vanish 1 after 5                                      GPU_IS_LOST after so many calls on it; or `at 250`, ms as above
 *
 * The keys of `gpu` are the members of struct fake_gpu; what a line leaves out is NVML_NOT_SUPPORTED. The file is read
 * again whenever it changes, so that a test moves time on by replacing it (rename,
 * never write in place). A GPU that is gone from it is lost; a line that can't be read is said on stderr and makes every
 * call fail with NVML_UNKNOWN.
 */
#ifndef FAKE_NVML_SCENARIO_H
#define FAKE_NVML_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More GPUs than any machine has. */
enum { MAX_GPUS = 256, MAX_MIGS = 8, MAX_LINKS = 36, MAX_PROCESSES = 1024, MAX_RULES = 64, MAX_XIDS = 256, MAX_TEXT = 96 };
enum { ABSENT = -1, LINK_TO_SWITCH = 1000 }; /* ABSENT: the scenario does not say */

struct fake_mig {
    bool exists;
    char uuid[MAX_TEXT];
    int64_t gpu_instance, compute_instance, memory_total_bytes, memory_used_bytes, gpu_slices, compute_slices;
};

struct fake_gpu {
    bool exists;
    char uuid[MAX_TEXT], name[MAX_TEXT];
    int64_t memory_total_bytes, memory_used_bytes, memory_reserved_bytes;
    int64_t utilisation_percent, memory_bus_percent, sample_period_us;
    int64_t power_mw, power_limit_mw, temperature_c;
    int64_t sm_clock_mhz, memory_clock_mhz, sm_clock_max_mhz, memory_clock_max_mhz, throttle_bits;
    int64_t ecc, ecc_corrected, ecc_uncorrected, rows_corrected, rows_uncorrected, rows_pending, rows_failed;
    int64_t bus, numa_node, pcie_generation, pcie_lanes, compute_capability, mig_mode;
    int64_t vanishes_after; /* calls */
    int64_t vanishes_at_ms; /* after the file was read */
    int64_t links[MAX_LINKS]; /* index of the GPU at the other end, LINK_TO_SWITCH or ABSENT */
    int64_t ancestors[MAX_GPUS];
    struct fake_mig migs[MAX_MIGS];
};

struct fake_process {
    int64_t gpu, pid, memory_bytes, gpu_instance;
};

struct fake_rule {
    char function[MAX_TEXT];
    bool hangs;
    int64_t status, gpu; /* gpu ABSENT: for all */
};

struct fake_xid {
    int64_t gpu, code; /* gpu ABSENT: the driver does not know which */
    int64_t at_ms; /* after the file was read */
};

struct scenario {
    char driver[MAX_TEXT];
    int64_t cuda;
    struct fake_gpu gpus[MAX_GPUS];
    struct fake_process processes[MAX_PROCESSES];
    struct fake_rule rules[MAX_RULES];
    struct fake_xid xids[MAX_XIDS];
    size_t process_count, rule_count, xid_count;
    int64_t read_at_ms; /* of now_ms() */
};

/* Milliseconds of the clock that never goes back. */
int64_t now_ms(void);

/* Read a scenario. Returns 0, or the number of the first line that can't be read; `out` is then half filled. */
int scenario_read(const char *path, struct scenario *out);

#endif
