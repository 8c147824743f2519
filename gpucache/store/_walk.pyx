# cython: boundscheck=False, wraparound=False, cdivision=True
"""Whether LMDB may be given a file: every page that it could reach is looked at, without LMDB, at the speed of memory.

LMDB trusts its pages: a damaged one makes it read beyond the file (SIGBUS), or assert (SIGABRT), and the process is gone. Format 0.9 on
64 bits, as mdb.c has it; lmdb.verify, in Python and a thousand times slower, is the oracle. Numbers are in the machine's order. What a damaged file still holds is read here, too.
"""

from sys import byteorder

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

cdef enum:
    HEADER = 16
    NODE = 8
    DB_BYTES = 48
    META_BYTES = 152
    BRANCH = 1
    LEAF = 2
    OVERFLOW = 4
    META = 8
    BIGDATA = 1
    SUBDATA = 2
    INTEGERKEY = 8
    KEY_MAX = 511
    DEPTH_MAX = 32
    UNWRITTEN = 1 << 17  # pages that a transaction can take and give back unwritten: LMDB's list of changed pages has as many
    MAIN_DB = 0
    FREE_DB = 1
    NAMED_DB = 2

cdef uint64_t NO_PAGE = 0xFFFFFFFFFFFFFFFFU
cdef uint32_t MAGIC = 0xBEEFC0DEU


cdef struct Tree:
    uint32_t pad
    uint16_t flags
    uint16_t depth
    uint64_t branches, leaves, overflows, entries
    uint64_t root


cdef inline uint16_t u16(const uint8_t *at) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, at, 2)
    return value


cdef inline uint32_t u32(const uint8_t *at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, 4)
    return value


cdef inline uint64_t u64(const uint8_t *at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, 8)
    return value


cdef inline uint64_t child_of(const uint8_t *node) noexcept nogil:
    return u16(node) | <uint64_t> u16(node + 2) << 16 | <uint64_t> u16(node + 4) << 32


cdef Tree tree_at(const uint8_t *at) noexcept nogil:
    cdef Tree tree
    tree.pad, tree.flags, tree.depth = u32(at), u16(at + 4), u16(at + 6)
    tree.branches, tree.leaves, tree.overflows = u64(at + 8), u64(at + 16), u64(at + 24)
    tree.entries, tree.root = u64(at + 32), u64(at + 40)
    return tree


cdef class Walk:
    """One look at a file. `why` is the first thing that is wrong; empty: nothing."""

    cdef const uint8_t *data
    cdef uint64_t pages, last, page_bytes
    cdef uint8_t *live
    cdef const char *why
    cdef uint64_t where
    cdef Tree counted
    cdef const uint8_t *key
    cdef uint16_t key_bytes

    def __cinit__(self):
        self.live = NULL
        self.why = NULL

    def __dealloc__(self):
        free(self.live)

    cdef bint wrong(self, const char *why, uint64_t page) noexcept nogil:
        self.why, self.where = why, page
        return False

    cdef bint take(self, uint64_t page) noexcept nogil:
        """Note that a page is in use; it must lie within the file and be met once."""
        if page < 2 or page > self.last or page >= self.pages:
            return self.wrong("a page lies outside of the file", page)
        if self.live[page]:
            return self.wrong("a page is met twice", page)
        self.live[page] = 1
        return True

    cdef bint walk_tree(self, Tree tree, int kind) noexcept nogil:
        if tree.flags != (INTEGERKEY if kind == FREE_DB else 0):
            return self.wrong("a database has flags that gpucache does not set", 0)
        if tree.pad != (self.page_bytes if kind == FREE_DB else 0):  # there the head keeps the size of pages
            return self.wrong("a database says a size of values, which gpucache does not set", 0)
        if tree.root == NO_PAGE:
            if tree.depth or tree.entries or tree.branches or tree.leaves or tree.overflows:
                return self.wrong("an empty database counts something", 0)
            return True
        if tree.depth < 1 or tree.depth > DEPTH_MAX:
            return self.wrong("a database's depth is none", tree.root)
        self.counted = Tree(0, 0, 0, 0, 0, 0, 0, 0)
        self.key = NULL
        if not self.walk_page(tree.root, 1, tree.depth, kind):
            return False
        if (self.counted.branches != tree.branches or self.counted.leaves != tree.leaves
                or self.counted.overflows != tree.overflows or self.counted.entries != tree.entries):
            return self.wrong("a database counts its pages otherwise", tree.root)
        return True

    cdef bint walk_page(self, uint64_t page, int level, int depth, int kind) noexcept nogil:
        cdef const uint8_t *at
        cdef uint16_t flags, lower, upper
        cdef int count, i
        if not self.take(page):
            return False
        at = self.data + page * self.page_bytes
        flags, lower, upper = u16(at + 10), u16(at + 12), u16(at + 14)
        if u64(at) != page:
            return self.wrong("a page is another's", page)
        if flags != (LEAF if level == depth else BRANCH):
            return self.wrong("a page is of another kind", page)
        if lower < HEADER or lower & 1 or lower > upper or upper > self.page_bytes:
            return self.wrong("a page's bounds are none", page)
        count = (lower - HEADER) // 2
        if count < (1 if flags == LEAF else 2):
            return self.wrong("a page has too few entries", page)
        if not self.nodes_fit(at, page, count, upper, flags):
            return False
        if flags == LEAF:
            self.counted.leaves += 1
            self.counted.entries += count
            for i in range(count):
                if not self.walk_leaf(at + u16(at + HEADER + 2 * i), page, kind):
                    return False
            return True
        self.counted.branches += 1
        for i in range(count):
            if not self.walk_page(child_of(at + u16(at + HEADER + 2 * i)), level + 1, depth, kind):
                return False
        return True

    cdef bint nodes_fit(self, const uint8_t *at, uint64_t page, int count, uint16_t upper, uint16_t flags) noexcept nogil:
        """Every node lies between upper and the page's end, and together they fill that: so none lies over another's bytes unseen."""
        cdef uint64_t filled = 0, size
        cdef uint16_t start, key_bytes
        cdef int i
        for i in range(count):
            start = u16(at + HEADER + 2 * i)
            if start < upper or start & 1 or start + <uint64_t> NODE > self.page_bytes:
                return self.wrong("an entry lies outside of its page", page)
            key_bytes = u16(at + start + 6)
            size = NODE + key_bytes
            if key_bytes > KEY_MAX or (key_bytes == 0 and (flags == LEAF or i > 0)):
                return self.wrong("a key has a length that none has", page)
            if flags == LEAF:
                size += 8 if u16(at + start + 4) & BIGDATA else u16(at + start) | <uint64_t> u16(at + start + 2) << 16
            if start + size > self.page_bytes:
                return self.wrong("an entry leads out of its page", page)
            filled += size + (size & 1)
        if filled != self.page_bytes - upper:
            return self.wrong("a page's entries do not fill it", page)
        return True

    cdef bint walk_leaf(self, const uint8_t *node, uint64_t page, int kind) noexcept nogil:
        cdef uint16_t flags = u16(node + 4), key_bytes = u16(node + 6)
        cdef uint64_t size = u16(node) | <uint64_t> u16(node + 2) << 16
        cdef const uint8_t *data = node + NODE + key_bytes
        if not self.in_order(node + NODE, key_bytes, kind):
            return self.wrong("keys are out of order", page)
        if flags == BIGDATA:
            data = self.walk_overflow(u64(data), size)
            if data == NULL:
                return False
        elif flags != (SUBDATA if kind == MAIN_DB else 0):
            return self.wrong("an entry is of another kind", page)
        if kind == MAIN_DB and (flags != SUBDATA or size != DB_BYTES):
            return self.wrong("an entry is no database", page)
        if kind == FREE_DB and (size < 8 or size & 7 or u64(data) > size // 8 - 1):
            return self.wrong("a list of free pages has another length", page)
        return True

    cdef const uint8_t *walk_overflow(self, uint64_t first, uint64_t size) noexcept nogil:
        cdef const uint8_t *at
        cdef uint64_t page, count = (HEADER + size + self.page_bytes - 1) // self.page_bytes
        if not self.take(first):
            return NULL
        at = self.data + first * self.page_bytes
        if u64(at) != first or u16(at + 10) != OVERFLOW or u32(at + 12) != count:
            self.wrong("a long entry's page is another's", first)
            return NULL
        for page in range(first + 1, first + count):
            if not self.take(page):
                return NULL
        self.counted.overflows += count
        return at + HEADER

    cdef bint in_order(self, const uint8_t *key, uint16_t key_bytes, int kind) noexcept nogil:
        """Whether a key comes after the last one; it is the last one then."""
        cdef const uint8_t *before = self.key
        cdef uint16_t shorter = min(key_bytes, self.key_bytes)
        cdef int order
        if kind == FREE_DB:
            if key_bytes != 8 or (before != NULL and u64(key) <= u64(before)):
                return False
        elif before != NULL:
            order = memcmp(before, key, shorter)
            if order > 0 or (order == 0 and self.key_bytes >= key_bytes):
                return False
        self.key, self.key_bytes = key, key_bytes
        return True

    cdef bint walk_named(self, uint64_t page, int level, int depth) noexcept nogil:
        """The databases that the leaves of the main one name; its pages were looked at."""
        cdef const uint8_t *at = self.data + page * self.page_bytes
        cdef const uint8_t *node
        cdef int i
        for i in range((u16(at + 12) - HEADER) // 2):
            node = at + u16(at + HEADER + 2 * i)
            if level < depth:
                if not self.walk_named(child_of(node), level + 1, depth):
                    return False
            elif not self.walk_tree(tree_at(node + NODE + u16(node + 6)), NAMED_DB):
                return False
        return True

    cdef bint walk_free(self, uint64_t page, int level, int depth) noexcept nogil:
        """What is listed as free is in use nowhere, and listed once. Pages of the list itself were looked at."""
        cdef const uint8_t *at = self.data + page * self.page_bytes
        cdef const uint8_t *node
        cdef const uint8_t *listed
        cdef uint64_t one, before, index
        cdef int i
        for i in range((u16(at + 12) - HEADER) // 2):
            node = at + u16(at + HEADER + 2 * i)
            if level < depth:
                if not self.walk_free(child_of(node), level + 1, depth):
                    return False
                continue
            listed = node + NODE + u16(node + 6)
            if u16(node + 4) & BIGDATA:
                listed = self.data + u64(listed) * self.page_bytes + HEADER
            before = NO_PAGE
            for index in range(1, u64(listed) + 1):
                one = u64(listed + 8 * index)
                if one < 2 or one > self.last or one >= before:
                    return self.wrong("a list of free pages is none", page)
                if self.live[one]:
                    return self.wrong("a page is in use, and free", one)
                self.live[one] = 2
                before = one
        return True

    cdef bint walk(self, const uint8_t *meta) noexcept nogil:
        cdef Tree free_pages = tree_at(meta + 24), main = tree_at(meta + 24 + DB_BYTES)
        if not self.walk_tree(free_pages, FREE_DB) or not self.walk_tree(main, MAIN_DB):
            return False
        if main.root != NO_PAGE and not self.walk_named(main.root, 1, main.depth):
            return False
        return free_pages.root == NO_PAGE or self.walk_free(free_pages.root, 1, free_pages.depth)


cdef bint is_meta(const uint8_t *page, uint64_t number, uint64_t page_bytes) noexcept nogil:
    cdef const uint8_t *meta = page + HEADER
    return (u64(page) == number and u16(page + 10) == META and u32(meta) == MAGIC and u32(meta + 4) == 1
            and u32(meta + 24) == page_bytes and (u64(meta + 128) == 0 or u64(meta + 128) & 1 == number))  # commits alternate


cdef const uint8_t *newest_meta(const uint8_t *first, uint64_t page_bytes) noexcept nogil:
    """The head of the last commit, of the two that there are; of those that are whole. NULL: none is."""
    cdef const uint8_t *one = first + HEADER if is_meta(first, 0, page_bytes) else NULL
    cdef const uint8_t *other = first + page_bytes + HEADER if is_meta(first + page_bytes, 1, page_bytes) else NULL
    if one == NULL or (other != NULL and u64(other + 128) > u64(one + 128)):
        return other
    return one


def problem_of(const uint8_t[::1] data not None, uint64_t page_bytes):
    cdef Walk walk = Walk()
    cdef const uint8_t *meta
    cdef bint is_sound
    if data.shape[0] == 0:
        return None
    if <uint64_t> data.shape[0] < 2 * page_bytes:
        return "it is shorter than its head"
    if not is_meta(&data[0], 0, page_bytes) or not is_meta(&data[page_bytes], 1, page_bytes):
        return "its head is damaged"
    meta = newest_meta(&data[0], page_bytes)
    walk.data, walk.page_bytes, walk.pages = &data[0], page_bytes, data.shape[0] // page_bytes
    walk.last = u64(meta + 120)
    if walk.last < 1 or walk.last >= walk.pages + UNWRITTEN:
        return "its head says a size that no index has"
    walk.live = <uint8_t *> calloc(walk.last + 1, 1)
    if walk.live == NULL:
        raise MemoryError(f"no {walk.last + 1:,} bytes to check an index")
    with nogil:
        is_sound = walk.walk(meta)
    return None if is_sound else f"{(<bytes> walk.why).decode()} (page {walk.where:,})"


def rows_of(const uint8_t[::1] data not None, uint64_t page_bytes):
    cdef const uint8_t *meta
    cdef bytearray seen = bytearray(data.shape[0] // page_bytes)
    if len(seen) < 2:
        return
    meta = newest_meta(&data[0], page_bytes)
    if meta == NULL:
        return
    for flags, name, tree in entries_of(data, page_bytes, seen, tree_at(meta + 24 + DB_BYTES).root):
        if flags == SUBDATA and len(tree) == DB_BYTES:
            for flags, key, row in entries_of(data, page_bytes, seen, int.from_bytes(tree[40:], byteorder)):
                if flags == 0:
                    yield name, key, row


def entries_of(const uint8_t[::1] data, uint64_t page_bytes, bytearray seen, uint64_t root):
    """What the leaves below this page hold, in order: flags, key, and value, of entries that keep within the file."""
    cdef const uint8_t *at
    cdef const uint8_t *node
    cdef uint64_t page, first, start, i, size, key_bytes, count
    cdef uint16_t flags
    cdef bint is_leaf
    cdef uint64_t pages = len(seen)
    cdef list stack = [root]
    while stack:
        page = stack.pop()
        if page < 2 or page >= pages or seen[page]:
            continue
        seen[page] = 1
        at = &data[page * page_bytes]
        if u64(at) != page or u16(at + 10) not in (BRANCH, LEAF) or not HEADER <= u16(at + 12) <= page_bytes:
            continue
        count = (u16(at + 12) - HEADER) // 2
        for i in range(count):
            is_leaf = u16(at + 10) == LEAF
            start = u16(at + HEADER + 2 * (i if is_leaf else count - 1 - i))  # what is put on the stack last is next
            if start + NODE > page_bytes:
                continue
            node = at + start
            if not is_leaf:
                stack.append(child_of(node))
                continue
            flags, key_bytes = u16(node + 4), u16(node + 6)
            size = u16(node) | <uint64_t> u16(node + 2) << 16
            if key_bytes > KEY_MAX or start + NODE + key_bytes + (8 if flags & BIGDATA else size) > page_bytes:
                continue
            key = PyBytes_FromStringAndSize(<const char *> node + NODE, key_bytes)
            node += NODE + key_bytes
            if flags & BIGDATA:
                first = u64(node)
                if first < 2 or first >= pages or size > (pages - first) * page_bytes - HEADER:
                    continue
                node = &data[first * page_bytes + HEADER]
            yield flags & ~BIGDATA, key, PyBytes_FromStringAndSize(<const char *> node, size)
