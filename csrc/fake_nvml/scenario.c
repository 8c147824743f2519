/* Parse a scenario: a word list a line, keys looked up in tables. No line can write outside of its struct. */
#define _GNU_SOURCE
#include "fake_nvml/scenario.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_WORDS = 96, MAX_LINE = 4096 };

struct key {
    const char *name;
    size_t offset;
};

#define GPU_KEY(name) {#name, offsetof(struct fake_gpu, name)}
static const struct key GPU_KEYS[] = {
    GPU_KEY(memory_total_bytes), GPU_KEY(memory_used_bytes), GPU_KEY(memory_reserved_bytes), GPU_KEY(utilisation_percent),
    GPU_KEY(memory_bus_percent), GPU_KEY(sample_period_us), GPU_KEY(power_mw), GPU_KEY(power_limit_mw),
    GPU_KEY(temperature_c), GPU_KEY(sm_clock_mhz), GPU_KEY(memory_clock_mhz), GPU_KEY(sm_clock_max_mhz),
    GPU_KEY(memory_clock_max_mhz), GPU_KEY(throttle_bits), GPU_KEY(ecc), GPU_KEY(ecc_corrected), GPU_KEY(ecc_uncorrected),
    GPU_KEY(rows_corrected), GPU_KEY(rows_uncorrected), GPU_KEY(rows_pending), GPU_KEY(rows_failed), GPU_KEY(bus),
    GPU_KEY(numa_node), GPU_KEY(pcie_generation), GPU_KEY(pcie_lanes), GPU_KEY(compute_capability), GPU_KEY(mig_mode),
    {NULL, 0},
};

#define MIG_KEY(name) {#name, offsetof(struct fake_mig, name)}
static const struct key MIG_KEYS[] = {
    MIG_KEY(gpu_instance), MIG_KEY(compute_instance), MIG_KEY(memory_total_bytes), MIG_KEY(memory_used_bytes),
    MIG_KEY(gpu_slices), MIG_KEY(compute_slices), {NULL, 0},
};

#define PROCESS_KEY(name) {#name, offsetof(struct fake_process, name)}
static const struct key PROCESS_KEYS[] = {PROCESS_KEY(pid), PROCESS_KEY(memory_bytes), PROCESS_KEY(gpu_instance), {NULL, 0}};

/* Cut a line into words, in place; the count of them, or -1 if there are too many or a quote is not closed. */
static int cut(char *line, char *words[MAX_WORDS]) {
    int count = 0;
    char *at = line;
    for (;;) {
        at += strspn(at, " \t\r\n");
        if (*at == '\0' || *at == '#') return count;
        if (count == MAX_WORDS) return -1;
        const char *end = " \t\r\n";
        if (*at == '"') {
            end = "\"";
            at++;
        }
        words[count++] = at;
        at += strcspn(at, end);
        if (*at == '\0') {
            if (end[0] == '"') return -1;
            return count;
        }
        *at++ = '\0';
    }
}

static bool number(const char *word, int64_t *out) {
    if (strcmp(word, "na") == 0) {
        *out = ABSENT;
        return true;
    }
    char *end = NULL;
    errno = 0;
    long long value = strtoll(word, &end, 0);
    if (errno != 0 || end == word || *end != '\0' || value < 0) return false;
    *out = value;
    return true;
}

static bool below(const char *word, int64_t limit, int64_t *out) {
    return number(word, out) && *out != ABSENT && *out < limit;
}

static bool text(const char *word, char out[MAX_TEXT]) {
    if (strlen(word) >= MAX_TEXT) return false;
    strcpy(out, word);
    return true;
}

/* Set the members that the words name in pairs; `uuid` and `name` are texts where the caller has them. */
static bool pairs(const struct key *keys, char **words, int count, void *out, char *uuid, char *name) {
    if (count % 2 != 0) return false;
    for (int i = 0; i < count; i += 2) {
        if (uuid != NULL && strcmp(words[i], "uuid") == 0) {
            if (!text(words[i + 1], uuid)) return false;
            continue;
        }
        if (name != NULL && strcmp(words[i], "name") == 0) {
            if (!text(words[i + 1], name)) return false;
            continue;
        }
        const struct key *key = keys;
        while (key->name != NULL && strcmp(key->name, words[i]) != 0) key++;
        if (key->name == NULL || !number(words[i + 1], (int64_t *)(void *)((char *)out + key->offset))) return false;
    }
    return true;
}

static bool read_rule(struct scenario *to, char **words, int count, bool hangs) {
    int plain = hangs ? 2 : 3;
    if (to->rule_count == MAX_RULES || count < plain) return false;
    struct fake_rule rule = {.hangs = hangs, .gpu = ABSENT};
    if (!text(words[1], rule.function)) return false;
    if (!hangs && !below(words[2], 1000, &rule.status)) return false;
    if (count == plain + 2) {
        if (strcmp(words[plain], "on") != 0 || !below(words[plain + 1], MAX_GPUS, &rule.gpu)) return false;
    } else if (count != plain) {
        return false;
    }
    to->rules[to->rule_count++] = rule;
    return true;
}

static bool read_mig(struct fake_gpu *gpu, char **words, int count) {
    int64_t index;
    if (count < 4 || strcmp(words[2], "index") != 0 || !below(words[3], MAX_MIGS, &index)) return false;
    struct fake_mig *mig = &gpu->migs[index];
    *mig = (struct fake_mig){.exists = true, .memory_total_bytes = ABSENT, .memory_used_bytes = ABSENT};
    mig->gpu_slices = mig->compute_slices = 1;
    return pairs(MIG_KEYS, words + 4, count - 4, mig, mig->uuid, NULL);
}

static bool read_process(struct scenario *to, int64_t gpu, char **words, int count) {
    if (to->process_count == MAX_PROCESSES) return false;
    struct fake_process process = {.gpu = gpu, .pid = 0, .memory_bytes = ABSENT, .gpu_instance = ABSENT};
    if (!pairs(PROCESS_KEYS, words + 2, count - 2, &process, NULL, NULL)) return false;
    to->processes[to->process_count++] = process;
    return true;
}

static bool read_xid(struct scenario *to, char **words, int count) {
    bool is_timed = count == 5 && strcmp(words[3], "at") == 0;
    if ((count != 3 && !is_timed) || to->xid_count == MAX_XIDS) return false;
    struct fake_xid xid = {.gpu = ABSENT};
    if (is_timed && !below(words[4], INT64_MAX, &xid.at_ms)) return false;
    if (strcmp(words[1], "any") != 0 && !below(words[1], MAX_GPUS, &xid.gpu)) return false;
    if (!below(words[2], 100000, &xid.code)) return false;
    to->xids[to->xid_count++] = xid;
    return true;
}

static bool read_link(struct fake_gpu *gpu, char **words, int count) {
    int64_t link;
    if (count != 6 || strcmp(words[2], "link") != 0 || strcmp(words[4], "to") != 0) return false;
    if (!below(words[3], MAX_LINKS, &link)) return false;
    if (strcmp(words[5], "switch") == 0) {
        gpu->links[link] = LINK_TO_SWITCH;
        return true;
    }
    return below(words[5], MAX_GPUS, &gpu->links[link]);
}

static bool read_line(struct scenario *to, char **words, int count) {
    if (count == 0) return true;
    const char *verb = words[0];
    int64_t index, other;
    if (strcmp(verb, "driver") == 0)
        return count == 4 && text(words[1], to->driver) && strcmp(words[2], "cuda") == 0 && number(words[3], &to->cuda);
    if (strcmp(verb, "fail") == 0) return read_rule(to, words, count, false);
    if (strcmp(verb, "hang") == 0) return read_rule(to, words, count, true);
    if (strcmp(verb, "xid") == 0) return read_xid(to, words, count);
    if (count < 2 || !below(words[1], MAX_GPUS, &index)) return false;
    struct fake_gpu *gpu = &to->gpus[index];
    if (strcmp(verb, "gpu") == 0) {
        gpu->exists = true;
        return pairs(GPU_KEYS, words + 2, count - 2, gpu, gpu->uuid, gpu->name);
    }
    if (strcmp(verb, "process") == 0) return read_process(to, index, words, count);
    if (strcmp(verb, "mig") == 0) return read_mig(gpu, words, count);
    if (strcmp(verb, "nvlink") == 0) return read_link(gpu, words, count);
    if (strcmp(verb, "vanish") == 0) {
        bool is_timed = count == 4 && strcmp(words[2], "at") == 0;
        if (!is_timed && (count != 4 || strcmp(words[2], "after") != 0)) return false;
        return number(words[3], is_timed ? &gpu->vanishes_at_ms : &gpu->vanishes_after);
    }
    if (strcmp(verb, "topology") == 0) {
        if (count != 4 || !below(words[2], MAX_GPUS, &other) || !below(words[3], 100, &gpu->ancestors[other])) return false;
        to->gpus[other].ancestors[index] = gpu->ancestors[other];
        return true;
    }
    return false;
}

static void forget(struct scenario *out) {
    memset(out, 0, sizeof *out);
    out->cuda = ABSENT;
    for (size_t i = 0; i < MAX_GPUS; i++) {
        struct fake_gpu *gpu = &out->gpus[i];
        for (const struct key *key = GPU_KEYS; key->name != NULL; key++)
            *(int64_t *)(void *)((char *)gpu + key->offset) = ABSENT;
        gpu->vanishes_after = gpu->vanishes_at_ms = ABSENT;
        for (size_t link = 0; link < MAX_LINKS; link++) gpu->links[link] = ABSENT;
        for (size_t other = 0; other < MAX_GPUS; other++) gpu->ancestors[other] = ABSENT;
    }
}

int64_t now_ms(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

int scenario_read(const char *path, struct scenario *out) {
    char line[MAX_LINE];
    char *words[MAX_WORDS];
    forget(out);
    out->read_at_ms = now_ms();
    FILE *file = fopen(path, "r");
    if (file == NULL) return 1;
    int at = 0, wrong = 0;
    while (wrong == 0 && fgets(line, sizeof line, file) != NULL) {
        at++;
        int count = strlen(line) == sizeof line - 1 ? -1 : cut(line, words);
        if (count < 0 || !read_line(out, words, count)) wrong = at;
    }
    if (wrong == 0 && ferror(file)) wrong = at + 1;
    fclose(file);
    return wrong;
}
