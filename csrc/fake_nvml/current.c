/* One lock over one scenario. Its file is looked at (stat) at every call, which costs microseconds. */
#define _GNU_SOURCE
#include "fake_nvml/current.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { WHOLE = MAX_MIGS };

static struct {
    pthread_mutex_t lock;
    int opened; /* nvmlInit calls without their nvmlShutdown */
    bool is_read, is_broken;
    char path[4096];
    struct stat seen;
    struct scenario scenario;
    int64_t calls[MAX_GPUS];
} now = {.lock = PTHREAD_MUTEX_INITIALIZER};

static char handles[MAX_GPUS][MAX_MIGS + 1];

void *handle_of(int gpu_index, int mig_index) { return &handles[gpu_index][mig_index < 0 ? WHOLE : mig_index]; }

void sleep_a_little(void) { nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); }

static bool is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Read the scenario if it is another than was read last. The lock is held. */
static void refresh(void) {
    const char *path = getenv("FAKE_NVML_SCENARIO");
    struct stat seen;
    if (path == NULL || strlen(path) >= sizeof now.path || stat(path, &seen) != 0) {
        bool is_over = now.is_read && path == NULL; /* the test that set it has ended; a thread of it may still ask */
        if (!is_over) fprintf(stderr, "fake nvml: FAKE_NVML_SCENARIO=%s is no file\n", path == NULL ? "" : path);
        now.is_read = is_over;
        now.is_broken = true;
        return;
    }
    if (now.is_read && strcmp(path, now.path) == 0 && is_same_file(&seen, &now.seen)) return;
    int wrong = scenario_read(path, &now.scenario);
    if (wrong != 0) fprintf(stderr, "fake nvml: %s:%d can't be read\n", path, wrong);
    now.is_broken = wrong != 0;
    now.is_read = true;
    strcpy(now.path, path);
    now.seen = seen;
    memset(now.calls, 0, sizeof now.calls);
}

static const struct fake_rule *rule_for(const char *function, int gpu_index) {
    for (size_t i = 0; i < now.scenario.rule_count; i++) {
        const struct fake_rule *rule = &now.scenario.rules[i];
        if (strcmp(rule->function, function) == 0 && (rule->gpu == ABSENT || rule->gpu == gpu_index)) return rule;
    }
    return NULL;
}

/* Lock, and wait as long as the scenario says that this function hangs. */
static int begin(const char *function, int gpu_index) {
    for (;;) {
        pthread_mutex_lock(&now.lock);
        refresh();
        const struct fake_rule *rule = now.is_broken ? NULL : rule_for(function, gpu_index);
        if (rule != NULL && rule->hangs) {
            pthread_mutex_unlock(&now.lock);
            sleep_a_little();
            continue;
        }
        if (now.is_broken) return NVML_UNKNOWN;
        if (rule != NULL) return (int)rule->status;
        return NVML_SUCCESS;
    }
}

static int unless_closed(int status, const char *function) {
    bool needs_init = strncmp(function, "nvmlInit", 8) != 0;
    if (status == NVML_SUCCESS && needs_init && now.opened == 0) status = NVML_UNINITIALIZED;
    if (status != NVML_SUCCESS) leave();
    return status;
}

int enter(const char *function, const struct scenario **out) {
    int status = unless_closed(begin(function, ABSENT), function);
    *out = &now.scenario;
    return status;
}

int enter_device(const char *function, const void *device, struct place *out) {
    ptrdiff_t at = (ptrdiff_t)((uintptr_t)device - (uintptr_t)handles);
    if (at < 0 || at >= (ptrdiff_t)sizeof handles) return NVML_INVALID_ARGUMENT;
    int index = (int)(at / (MAX_MIGS + 1)), mig = (int)(at % (MAX_MIGS + 1));
    int status = unless_closed(begin(function, index), function);
    if (status != NVML_SUCCESS) return status;
    const struct fake_gpu *gpu = &now.scenario.gpus[index];
    int64_t calls = now.calls[index]++;
    bool has_vanished = gpu->vanishes_after != ABSENT && calls >= gpu->vanishes_after;
    has_vanished |= gpu->vanishes_at_ms != ABSENT && now_ms() - now.scenario.read_at_ms >= gpu->vanishes_at_ms;
    if (!gpu->exists || has_vanished || (mig != WHOLE && !gpu->migs[mig].exists)) {
        leave();
        return NVML_GPU_IS_LOST;
    }
    *out = (struct place){index, gpu, mig == WHOLE ? NULL : &gpu->migs[mig]};
    return NVML_SUCCESS;
}

void leave(void) { pthread_mutex_unlock(&now.lock); }

void open_library(void) { now.opened++; }

int close_library(void) {
    if (now.opened == 0) return NVML_UNINITIALIZED;
    now.opened--;
    return NVML_SUCCESS;
}
