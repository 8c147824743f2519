# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The compiled chooser: the policies of policies.py over the columns of books.py, in whole numbers and so with equal results.

A score is kept per kind of demand and node until the node's version moves: between two demands of one kind few nodes change,
and this, not the arithmetic, makes a decision over a thousand nodes cost microseconds.
"""

from array import array

from libc.stdint cimport int64_t, uint64_t

cdef int64_t NOWHERE = -(1 << 62)
cdef int64_t MILLI = 1000
cdef int64_t TIER = 10000
cdef int64_t DOT_SCALE = 2097152000000  # 2 * 128 000^2 * 8^2
cdef enum:
    MAX_SHARES = 1001

cdef enum Code:
    FIRST_FIT, BEST_FIT, WORST_FIT, DOT_PRODUCT, GPU_PACKING, GPU_CLUSTERING, RANDOM, RAY, FGD, PACKED

CODES = ("first_fit", "best_fit", "worst_fit", "dot_product", "gpu_packing", "gpu_clustering", "random", "ray", "fgd", "packed")


cdef uint64_t mixed(uint64_t seed, uint64_t decision, uint64_t item) noexcept nogil:
    cdef uint64_t x = (seed * <uint64_t> 0x9E3779B97F4A7C15 + decision * <uint64_t> 0xBF58476D1CE4E5B9
                       + item * <uint64_t> 0x94D049BB133111EB)
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EB
    return x ^ (x >> 31)


cdef int64_t floor_div(int64_t a, int64_t b) noexcept nogil:
    cdef int64_t quotient = a // b
    return quotient - (a % b < 0)  # b > 0; C rounds to zero, Python down


cdef class _Asked:
    """What is known of one kind of demand: its amounts, and its score on every node with the version it was made for."""

    cdef int64_t cpu, memory, count, share, gpu_bytes, kind
    cdef bint joined
    cdef int64_t[::1] allowed, price, score, gpu, version, crosses

    def __init__(self, demand, object books, object kinds, object kind_of, object price):
        self.cpu, self.memory = demand.cpu_milli, demand.memory_bytes
        self.count, self.share = demand.gpu_count, demand.share_milli
        self.gpu_bytes = -1 if demand.gpu_memory_bytes is None else demand.gpu_memory_bytes
        self.kind = kinds.index(kind_of(demand)) if self.count else -1
        self.joined = demand.joined
        models = books.models
        self.allowed = array("q", [not demand.models or model in demand.models for model in models] or [0])
        self.price = array("q", [price(demand.models, (model,)) if price else 0 for model in models] or [0])
        zeros = [0] * max(1, len(books.nodes))
        self.score, self.gpu, self.version = array("q", zeros), array("q", zeros), array("q", zeros)
        self.crosses = array("q", zeros)


cdef class Chooser:
    """As choice.Chooser, for the policies in CODES."""

    cdef object books, kinds, kind_of, price
    cdef dict known
    cdef int code
    cdef uint64_t seed
    cdef int64_t percent, spread, nodes, kind_total
    cdef int64_t[::1] gpu_first, alive, version, cpu_total, cpu_left, memory_total, memory_left
    cdef int64_t[::1] model, capacity, bytes_left, share_left, kind_counts, island
    cdef int64_t[::1] picked, group  # the last node's whole GPUs that were picked; how many fit of each of its islands
    # FGD: the weights of the expected shapes that fit, by node kind, share, GPUs wide enough and CPUs (see _tabulate).
    cdef int64_t[::1] thresholds, weights, node_kind, position, cpu_ranks
    cdef int64_t shares, counts, ranks, weight
    cdef int64_t shape_total, fluid
    cdef int64_t[::1] shape_weight, shape_share, shape_count, shape_cpu, shape_gpu
    cdef int64_t wide_count[MAX_SHARES]
    cdef int64_t wide_sum[MAX_SHARES]
    cdef int64_t share_of[MAX_SHARES]

    def __init__(self, books, policy, code):
        from gpucache.placement import policies
        from gpucache.placement.books import KINDS

        self.books, self.kinds, self.kind_of = books, KINDS, policies.kind_of
        self.code, self.known = CODES.index(code), {}
        self.seed = getattr(policy, "seed", 0) & (2**64 - 1)
        self.percent = getattr(policy, "pick_percent", 0)
        self.price = getattr(policy, "price", None)
        self.spread = policies.RAY_SPREAD_MILLI
        self.nodes, self.kind_total = len(books.nodes), len(KINDS)
        for name in ("gpu_first", "alive", "version", "cpu_total", "cpu_left", "memory_total", "memory_left", "model", "capacity",
                     "bytes_left", "share_left", "kind_counts", "island"):
            if not len(getattr(books, name)):
                setattr(books, name, array("q", [0]))  # an empty array has no buffer to view
        self.gpu_first, self.alive, self.version = books.gpu_first, books.alive, books.version
        self.cpu_total, self.cpu_left = books.cpu_total, books.cpu_left
        self.memory_total, self.memory_left = books.memory_total, books.memory_left
        self.model, self.capacity, self.bytes_left = books.model, books.capacity, books.bytes_left
        self.share_left, self.kind_counts, self.island = books.share_left, books.kind_counts, books.island
        widest = max([len(node.gpus) for node in books.nodes], default=0)
        self.picked, self.group = array("q", [0] * (widest + 1)), array("q", [0] * (widest + 1))
        if self.code >= FGD:
            self._tabulate(policy)

    def _tabulate(self, policy):
        """Sum the weights of the shapes that fit, so that a node costs one look-up per share instead of one per shape."""
        shapes = [shape for shape in policy.shapes if shape.gpu_count]
        shares = sorted({shape.share_milli for shape in shapes}, reverse=True)
        cpus = sorted({shape.cpu_milli for shape in shapes})
        models = [frozenset(gpu.model for gpu in node.gpus) for node in self.books.nodes]
        kinds = sorted(set(models), key=sorted)
        widest = max((shape.gpu_count for shape in shapes), default=0)
        self.shares, self.counts, self.ranks = len(shares), widest + 1, len(cpus) + 1
        self.weight = sum(shape.weight for shape in policy.shapes)
        table = array("q", [0]) * max(1, len(kinds) * self.shares * self.counts * self.ranks)
        for kind, have in enumerate(kinds):
            for shape in shapes:
                if not shape.may_use(have):
                    continue
                row = kind * self.shares + shares.index(shape.share_milli)
                for count in range(shape.gpu_count, self.counts):
                    for rank in range(cpus.index(shape.cpu_milli) + 1, self.ranks):
                        table[(row * self.counts + count) * self.ranks + rank] += shape.weight
        self.weights, self.thresholds = table, array("q", policy.thresholds)
        self.node_kind = array("q", [kinds.index(have) for have in models] or [0])
        self.position = array("q", [sum(share > left for share in shares) for left in range(MILLI + 1)])
        self.cpu_ranks = array("q", cpus or [0])
        if not cpus:
            self.ranks = 1
        self.shape_total, self.fluid = len(shapes), getattr(policy, "fluid_percent", 0)
        self.shape_weight = array("q", [s.weight if s.may_use(have) else 0 for have in kinds for s in shapes] or [0])
        self.shape_share = array("q", [shares.index(shape.share_milli) for shape in shapes] or [0])
        self.shape_count = array("q", [shape.gpu_count for shape in shapes] or [0])
        self.shape_cpu = array("q", [shape.cpu_milli for shape in shapes] or [0])
        self.shape_gpu = array("q", [shape.gpu_milli for shape in shapes] or [0])
        for index, share in enumerate(shares):
            self.share_of[index] = share

    def choose(self, demand, uint64_t decision):
        """Node and GPUs, both by index; None if the demand fits nowhere. Changes nothing."""
        cdef _Asked asked = self.known.get(demand)
        if asked is None:
            if len(self.known) >= 2048:
                self.known.clear()  # kinds without end: memory stays bounded, and only time is lost
            asked = _Asked(demand, self.books, self.kinds, self.kind_of, self.price)
            self.known[demand] = asked
        cdef int64_t node, best = -1, score, best_score = NOWHERE, crossing = -1, crossing_score = NOWHERE, index
        for node in range(self.nodes):
            if asked.version[node] != self.version[node]:
                self._score(asked, node)
                asked.version[node] = self.version[node]
            score = asked.score[node]
            if score != NOWHERE and self.code == RANDOM:
                score = <int64_t> ((mixed(self.seed, decision, node) >> 24) % (<uint64_t> 1 << 34))
            if asked.crosses[node]:
                if score > crossing_score:
                    crossing_score, crossing = score, node
            elif score > best_score:
                best_score, best = score, node
        if best < 0 and crossing < 0:
            return None
        if self.code == RAY:
            best = self._drawn(asked, decision, best < 0)
        elif best < 0:
            best = crossing
        if asked.count == 0:
            return best, ()
        if asked.share < MILLI:
            return best, (self._lot(asked, best, decision) if self.code == RANDOM else asked.gpu[best],)
        self._pick(asked, best)
        return best, tuple([self.picked[index] for index in range(asked.count)])

    cdef int64_t _pick(self, _Asked asked, int64_t node) noexcept nogil:
        """As islands.together(): the whole GPUs that a demand would have. The most that are joined; -1 if too few fit."""
        cdef int64_t first = self.gpu_first[node], last = self.gpu_first[node + 1], gpu, group, fitting = 0, groups = 0
        cdef int64_t best = -1, largest = 0, count = 0, wanted, at
        for group in range(last - first):
            self.group[group] = 0
        for gpu in range(first, last):
            group = self.island[gpu]
            groups = max(groups, group + 1)
            if self._fits(asked, gpu):
                fitting += 1
                self.group[group] += 1
        if fitting < asked.count:
            return -1
        for group in range(groups):
            largest = max(largest, self.group[group])
            if self.group[group] >= asked.count and (best < 0 or self.group[group] < self.group[best]):
                best = group
        if best >= 0:
            for gpu in range(first, last):
                if count < asked.count and self.island[gpu] == best and self._fits(asked, gpu):
                    self.picked[count] = gpu - first
                    count += 1
            return largest
        # Across islands, the fullest first: what is taken of each stands in `group`, as a number below zero.
        wanted = asked.count
        while wanted:
            best = 0
            for group in range(groups):
                if self.group[group] > self.group[best]:
                    best = group
            at = min(wanted, self.group[best])
            self.group[best] = -at
            wanted -= at
        for gpu in range(first, last):
            if self.group[self.island[gpu]] < 0 and self._fits(asked, gpu):
                self.group[self.island[gpu]] += 1
                self.picked[count] = gpu - first
                count += 1
        return largest

    cdef int64_t _lot(self, _Asked asked, int64_t node, uint64_t decision):
        cdef int64_t gpu, first = self.gpu_first[node], best = -1
        cdef uint64_t lot, best_lot = 0
        for gpu in range(first, self.gpu_first[node + 1]):
            if self._fits(asked, gpu):
                lot = mixed(self.seed, decision, <uint64_t> (~(gpu - first))) % <uint64_t> TIER
                if best < 0 or lot > best_lot:
                    best, best_lot = gpu - first, lot
        return best

    cdef int64_t _drawn(self, _Asked asked, uint64_t decision, bint crossing):
        """The node of the lot drawn among the best, in the order of their scores and then their own."""
        ranked = sorted(
            (floor_div(-asked.score[node], TIER), node) for node in range(self.nodes)
            if asked.score[node] != NOWHERE and asked.crosses[node] == crossing
        )
        lots = max(1, self.nodes * self.percent // 100)
        return ranked[mixed(self.seed, decision, 0) % <uint64_t> min(lots, len(ranked))][1]

    cdef bint _fits(self, _Asked asked, int64_t gpu) noexcept nogil:
        cdef int64_t nbytes = asked.gpu_bytes
        if not asked.allowed[self.model[gpu]] or self.share_left[gpu] < asked.share:
            return False
        if nbytes < 0:
            nbytes = self.capacity[gpu] * asked.share // MILLI
        return self.bytes_left[gpu] >= nbytes

    cdef void _score(self, _Asked asked, int64_t node) noexcept nogil:
        """The best of the node's places, the first of equals."""
        cdef int64_t first = self.gpu_first[node], last = self.gpu_first[node + 1]
        cdef int64_t gpu, score, tried = -1, price = 0, model = -1, index, joined
        asked.score[node], asked.crosses[node] = NOWHERE, 0
        if not self.alive[node] or self.cpu_left[node] < asked.cpu or self.memory_left[node] < asked.memory:
            return
        if self.code >= FGD:
            self._prepare(node)
        if asked.count == 0:
            asked.score[node] = self._place(asked, node, 0, 0, 0, 0, 0)
            return
        if asked.share == MILLI:
            joined = self._pick(asked, node)
            if joined < 0 or (asked.joined and joined < asked.count):
                return
            for index in range(asked.count):
                price = max(price, asked.price[self.model[first + self.picked[index]]])
            asked.crosses[node] = joined < asked.count
            asked.score[node] = self._place(asked, node, MILLI, MILLI, asked.count, 100 * asked.count, price)
            return
        for gpu in range(first, last):
            if not self._fits(asked, gpu):
                continue
            if self.share_left[gpu] != tried or self.model[gpu] != model:  # else it scores as the one before
                model = self.model[gpu]
                tried = self.share_left[gpu]
                score = self._place(
                    asked, node, tried, tried, tried == MILLI, tried // 10, asked.price[self.model[gpu]]
                )
                if score > asked.score[node]:
                    asked.score[node], asked.gpu[node] = score, gpu - first

    cdef int64_t _place(self, _Asked asked, int64_t node, int64_t left, int64_t widest, int64_t opened, int64_t percent,
                        int64_t price) noexcept nogil:
        """One place's score: as the functions of the same names in policies.py."""
        cdef int64_t first = self.gpu_first[node], last = self.gpu_first[node + 1]
        cdef int64_t gpu, total = 0, idle = 0, score, rank, kinds = 0, kind, taken = asked.count * asked.share
        if self.code == FIRST_FIT or self.code == RANDOM:
            return 0
        for gpu in range(first, last):
            total += self.share_left[gpu]
            idle += self.share_left[gpu] == MILLI
        if self.code == FGD:
            return self._points(asked, node, left, total)
        if self.code == PACKED:
            return self._packed_points(asked, node, left) - price
        if self.code == BEST_FIT or self.code == WORST_FIT:
            score = floor_div(25600000 - 100 * (self.cpu_left[node] - asked.cpu + 16 * (total - taken)), 256000)
            score = score * TIER - widest
            return score if self.code == BEST_FIT else -score
        if self.code == DOT_PRODUCT:
            score = self.cpu_left[node] * asked.cpu * 6400 + total * taken * 1638400
            return floor_div(100 * DOT_SCALE - score, DOT_SCALE) * TIER - widest
        if self.code == RAY:
            score = 0
            if self.cpu_total[node]:
                score = (self.cpu_total[node] - self.cpu_left[node]) * MILLI // self.cpu_total[node]
            if self.memory_total[node]:
                score = max(score, (self.memory_total[node] - self.memory_left[node]) * MILLI // self.memory_total[node])
            score = MILLI - (score if score >= self.spread else 0)
            return (score + (0 if last > first and asked.count == 0 else MILLI)) * TIER - widest
        if asked.count == 0:
            return 0
        if self.code == GPU_PACKING:
            if idle == last - first:
                score = max(33 - idle, idle)
            elif opened:
                score = max(50 - opened, 33)
            else:
                score = max(100 - percent // 10, 50)
            return score * TIER - widest
        for kind in range(self.kind_total):
            kinds += self.kind_counts[node * self.kind_total + kind] > 0
        if self.kind_counts[node * self.kind_total + asked.kind] > 0:
            rank = 75 if kinds == 1 else 50
        else:
            rank = 0 if kinds else 25
        return (rank + floor_div(25 * (8000 - total), 8000)) * TIER - widest

    cdef void _prepare(self, int64_t node) noexcept nogil:
        """For every share that is expected: how many of the node's GPUs have as much left, and how much they have."""
        cdef int64_t gpu, at, index
        for index in range(self.shares):
            self.wide_count[index] = 0
            self.wide_sum[index] = 0
        for gpu in range(self.gpu_first[node], self.gpu_first[node + 1]):
            at = self.position[self.share_left[gpu]]
            if at < self.shares:
                self.wide_count[at] += 1
                self.wide_sum[at] += self.share_left[gpu]
        for index in range(1, self.shares):
            self.wide_count[index] += self.wide_count[index - 1]
            self.wide_sum[index] += self.wide_sum[index - 1]

    cdef int64_t _rank(self, int64_t cpu) noexcept nogil:
        cdef int64_t low = 0, high = self.ranks - 1, middle
        while low < high:
            middle = (low + high) // 2
            if self.cpu_ranks[middle] <= cpu:
                low = middle + 1
            else:
                high = middle
        return low

    cdef int64_t _points(self, _Asked asked, int64_t node, int64_t left, int64_t total) noexcept nogil:
        """Fgd.points: by how much what the expected shapes can't use shrinks, as a step of the sigmoid."""
        cdef int64_t was = self._rank(self.cpu_left[node]), now = self._rank(self.cpu_left[node] - asked.cpu)
        cdef int64_t after = left - asked.share, index, count, wide, widest = self.counts - 1
        cdef int64_t row = self.node_kind[node] * self.shares, used_before = 0, used_after = 0, taken = asked.count * asked.share
        cdef int64_t at
        for index in range(self.shares):
            count, wide = self.wide_count[index], self.wide_sum[index]
            at = (row + index) * self.counts
            if count:
                used_before += wide * self.weights[(at + min(count, widest)) * self.ranks + was]
            if asked.share == MILLI:
                count -= asked.count
                wide -= taken
            elif asked.count and left >= self.share_of[index]:
                if after >= self.share_of[index]:
                    wide -= asked.share
                else:
                    count -= 1
                    wide -= left
            if count:
                used_after += wide * self.weights[(at + min(count, widest)) * self.ranks + now]
        # before - after, each = total * weight - used: FGD wants what is unusable to shrink
        return self._step(taken * self.weight - used_before + used_after)

    cdef int64_t _packed_points(self, _Asked asked, int64_t node, int64_t left) noexcept nogil:
        """Packed.points: as _points, with what the node's CPUs would feed of the GPU share counted as well."""
        cdef int64_t cpu = self.cpu_left[node], rest = cpu - asked.cpu, after = left - asked.share
        cdef int64_t index, at, count, wide, fed, gained = 0, taken = asked.count * asked.share
        cdef int64_t row = self.node_kind[node] * self.shape_total
        for index in range(self.shape_total):
            if not self.shape_weight[row + index]:
                continue
            at = self.shape_share[index]
            count, wide = self.wide_count[at], self.wide_sum[at]
            if count >= self.shape_count[index] and cpu >= self.shape_cpu[index]:
                fed = wide
                if self.shape_cpu[index]:
                    fed = min(wide, cpu * self.shape_gpu[index] // self.shape_cpu[index])
                gained -= self.shape_weight[row + index] * ((100 - self.fluid) * wide + self.fluid * fed)
            if asked.share == MILLI:
                count -= asked.count
                wide -= taken
            elif asked.count and left >= self.share_of[at]:
                if after >= self.share_of[at]:
                    wide -= asked.share
                else:
                    count -= 1
                    wide -= left
            if count >= self.shape_count[index] and rest >= self.shape_cpu[index]:
                fed = wide
                if self.shape_cpu[index]:
                    fed = min(wide, rest * self.shape_gpu[index] // self.shape_cpu[index])
                gained += self.shape_weight[row + index] * ((100 - self.fluid) * wide + self.fluid * fed)
        return self._step(taken * self.weight * 100 + gained)

    cdef int64_t _step(self, int64_t decrease) noexcept nogil:
        cdef int64_t low = 0, high = self.thresholds.shape[0], middle
        while low < high:
            middle = (low + high) // 2
            if decrease < self.thresholds[middle]:
                high = middle
            else:
                low = middle + 1
        return low
