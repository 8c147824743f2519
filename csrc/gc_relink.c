#define _GNU_SOURCE
#include "gc_relink.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define SLOT_OF_CALL R_X86_64_JUMP_SLOT
#define SLOT_OF_ADDRESS R_X86_64_GLOB_DAT
#elif defined(__aarch64__)
#define SLOT_OF_CALL R_AARCH64_JUMP_SLOT
#define SLOT_OF_ADDRESS R_AARCH64_GLOB_DAT
#endif

#ifdef SLOT_OF_CALL

/* A library that is to be looked at. Its name is what dlopen() knows it by. */
struct library {
    char *name;
    uintptr_t base;
    const ElfW(Dyn) * dynamic;
    uintptr_t relro_start, relro_end; /* pages that the linker made read-only once it had filled them in */
};

struct search {
    const void *const *spared;
    size_t spared_count;
    struct library *found;
    size_t count, room;
    unsigned long long loaded; /* how many libraries were ever loaded */
};

static unsigned long long looked_at; /* search.loaded of the last call */

static bool is_system(const char *path)
{
    const char *name = strrchr(path, '/');
    name = name == NULL ? path : name + 1;
    return *name == '\0' || strncmp(name, "libc.so", 7) == 0 || strncmp(name, "ld-linux", 8) == 0 ||
           strncmp(name, "linux-vdso", 10) == 0;
}

static bool holds(const struct dl_phdr_info *info, const void *address)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && (uintptr_t)address >= start && (uintptr_t)address < start + part->p_memsz)
            return true;
    }
    return false;
}

static int count_loaded(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    *(unsigned long long *)data = info->dlpi_adds;
    return 1; /* the first one knows */
}

static int collect(struct dl_phdr_info *info, size_t size, void *data)
{
    struct search *search = data;
    struct library library = {.base = info->dlpi_addr};
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)size;
    search->loaded = info->dlpi_adds;
    if (is_system(info->dlpi_name) || holds(info, (const void *)(uintptr_t)&collect))
        return 0;
    for (size_t i = 0; i < search->spared_count; i++)
        if (holds(info, search->spared[i]))
            return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_DYNAMIC)
            library.dynamic = (const void *)start;
        else if (part->p_type == PT_GNU_RELRO) { /* rounded as glibc's _dl_protect_relro() does */
            library.relro_start = start & ~(page - 1);
            library.relro_end = (start + part->p_memsz) & ~(page - 1);
        }
    }
    if (library.dynamic == NULL)
        return 0;
    if (search->count == search->room) {
        size_t room = search->room == 0 ? 64 : 2 * search->room;
        struct library *more = realloc(search->found, room * sizeof *more);
        if (more == NULL)
            return 1;
        search->found = more;
        search->room = room;
    }
    library.name = strdup(info->dlpi_name);
    if (library.name == NULL)
        return 1;
    search->found[search->count++] = library;
    return 0;
}

static bool point(const struct library *library, void **slot, void *to)
{
    uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t page = (uintptr_t)slot & ~(size - 1);
    bool is_sealed = page >= library->relro_start && page < library->relro_end;
    if (__atomic_load_n(slot, __ATOMIC_RELAXED) == to)
        return false;
    if (is_sealed && mprotect((void *)page, size, PROT_READ | PROT_WRITE) != 0)
        return false;
    __atomic_store_n(slot, to, __ATOMIC_RELEASE);
    if (is_sealed)
        (void)mprotect((void *)page, size, PROT_READ);
    return true;
}

/* The dynamic section holds addresses, which glibc has relocated on these machines. */
static uintptr_t address_in(const struct library *library, uintptr_t given)
{
    return given < library->base ? library->base + given : given;
}

static size_t change(const struct library *library, const struct gc_relinked *table, size_t count)
{
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    uintptr_t tables[2] = {0, 0};
    size_t sizes[2] = {0, 0}, relative = 0, changed = 0;
    for (const ElfW(Dyn) *entry = library->dynamic; entry->d_tag != DT_NULL; entry++)
        switch (entry->d_tag) {
        case DT_SYMTAB: symbols = (const void *)address_in(library, entry->d_un.d_ptr); break;
        case DT_STRTAB: names = (const void *)address_in(library, entry->d_un.d_ptr); break;
        case DT_RELA: tables[0] = address_in(library, entry->d_un.d_ptr); break;
        case DT_RELASZ: sizes[0] = entry->d_un.d_val; break;
        case DT_RELACOUNT: relative = entry->d_un.d_val; break;
        case DT_JMPREL: tables[1] = address_in(library, entry->d_un.d_ptr); break;
        case DT_PLTRELSZ: sizes[1] = entry->d_un.d_val; break;
        default: break;
        }
    if (symbols == NULL || names == NULL)
        return 0;
    for (int which = 0; which < 2; which++) {
        const ElfW(Rela) *at = (const void *)tables[which];
        const ElfW(Rela) *end = at == NULL ? NULL : at + sizes[which] / sizeof *at;
        if (which == 0 && end - at >= (ptrdiff_t)relative)
            at += relative; /* these come first and name no symbol: a million in PyTorch */
        for (; at < end; at++) {
            uint64_t kind = ELF64_R_TYPE(at->r_info);
            if (kind != SLOT_OF_CALL && kind != SLOT_OF_ADDRESS)
                continue;
            const ElfW(Sym) *symbol = &symbols[ELF64_R_SYM(at->r_info)];
            if (symbol->st_shndx != SHN_UNDEF) /* it has a function of that name itself */
                continue;
            for (size_t i = 0; i < count; i++)
                if (strcmp(names + symbol->st_name, table[i].name) == 0)
                    changed += point(library, (void **)(library->base + at->r_offset), table[i].to);
        }
    }
    return changed;
}

size_t gc_relink(const struct gc_relinked *table, size_t count, const void *const *spared, size_t spared_count)
{
    struct search search = {.spared = spared, .spared_count = spared_count};
    size_t changed = 0;
    unsigned long long loaded = 0;
    dl_iterate_phdr(count_loaded, &loaded);
    if (loaded == looked_at)
        return 0;
    dl_iterate_phdr(collect, &search);
    for (size_t i = 0; i < search.count; i++) {
        struct library *library = &search.found[i];
        /* Waits for a thread that is just loading it, until its slots are filled in and sealed; and keeps it. */
        void *handle = dlopen(library->name, RTLD_LAZY | RTLD_NOLOAD);
        if (handle != NULL) {
            changed += change(library, table, count);
            dlclose(handle);
        }
        free(library->name);
    }
    free(search.found);
    looked_at = search.loaded;
    return changed;
}

#else

size_t gc_relink(const struct gc_relinked *table, size_t count, const void *const *spared, size_t spared_count)
{
    (void)table, (void)count, (void)spared, (void)spared_count;
    return 0;
}

#endif
