// The memory of the emulated GPU, and what is noticed at each access to it.
//
// Every array and every shared variable lies in the middle of its own 16 GiB of
// addresses, so that an index that runs out of one runs into nothing and the address
// still tells whose it was. Only what an array needs is ever memory.
//
// The compiler announces each read and write before it happens (see machine.cpp). A
// cell, one for each scalar, remembers who wrote and read it last, and in which interval
// between two barriers: that tells races and unwritten memory.
#pragma once

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <sys/mman.h>

namespace watch {

using Address = uintptr_t;
constexpr int SHIFT = 34;  // any int index of a float lands in its own 16 GiB
constexpr int ARRAYS = 32, REGIONS = 96, DYNAMIC = ARRAYS;

// Who touched a cell, and when: `epoch` counts barriers of blocks, `warp` those of warps.
struct Mark {
  uint32_t epoch, block;
  uint16_t thread, warp, line;
  uint16_t atomic;
};

struct Cell {
  Mark written, read, also_read;  // two readers: one of them is not the next writer
  uint32_t ever;                  // 1: read, 2: written, since the kernel was launched
};

struct Region {
  const char* name = nullptr;
  bool shared = false;
  Address start = 0;
  size_t bytes = 0, granule = 1, used = 0;
  Cell* cells = nullptr;
  bool poisoned = false;  // an array that holds `poison` where nothing was written
  unsigned char poison[16] = {};
  size_t scalar = 1;
  uint64_t read = 0, written = 0, atomics = 0;
  uint64_t requests = 0, sectors = 0, ideal = 0, cells_read = 0, cells_written = 0;
};

// One access of one thread, kept until its warp's accesses are matched.
struct Access {
  uint64_t request;  // place in the program, and how often this thread came by
  Address address;
  uint32_t bytes, site;
};

struct Site {
  int line = 0;
  uint64_t requests = 0, sectors = 0, ideal = 0;
};

struct Race {
  const Region* region;
  int64_t offset;
  Mark first, second;
  bool first_writes, second_writes;
};

inline Address base = 0;
inline Region regions[REGIONS];
inline int shared_regions = 1;  // the first is the dynamic one

inline uint32_t epoch = 0, block = 0;
inline uint16_t thread = 0;
inline uint16_t warp_epoch[32];
inline bool fenced = false;  // blocks that talk through fences and atomics do not race
inline bool counting = false;
inline int line = 0;  // where the running thread was last seen

inline std::vector<Race> races;        // at most one of each kind and region
inline std::vector<std::string> reads; // of unwritten memory, as events
inline std::vector<Site> sites;
inline std::vector<Access> log[32];  // one for each warp
inline std::vector<uint32_t> visits;

[[noreturn]] void fail(const std::string& event);
std::string who();

inline void reserve() {
  if (base) return;
  size_t bytes = size_t(REGIONS) << SHIFT;
  int flags = MAP_PRIVATE | MAP_ANON | MAP_NORESERVE;
  void* p = mmap(nullptr, bytes, PROT_NONE, flags, -1, 0);
  if (p == MAP_FAILED) fail("\"kind\": \"no addresses\"");
  base = Address(p);
}

inline void* pages(size_t bytes) {
  int flags = MAP_PRIVATE | MAP_ANON | MAP_NORESERVE;
  return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
}

inline Region& open(int index, const char* name, size_t bytes, size_t granule) {
  reserve();
  Region& r = regions[index];
  r.name = name;
  r.shared = index >= ARRAYS;
  r.start = base + (Address(index) << SHIFT) + (Address(1) << (SHIFT - 1));
  r.bytes = bytes;
  r.granule = granule;
  size_t page = 1 << 14, whole = (bytes + page) / page * page;
  mprotect(reinterpret_cast<void*>(r.start), whole, PROT_READ | PROT_WRITE);
  r.cells = static_cast<Cell*>(pages((bytes / granule + 1) * sizeof(Cell)));
  return r;
}

inline std::string text(const char* format, ...) __attribute__((format(printf, 1, 2)));
inline std::string text(const char* format, ...) {
  char buffer[600];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return buffer;
}

inline std::string place(const Region& r, int64_t offset) {
  return text("\"array\": %d, \"name\": \"%s\", \"offset\": %lld, \"bytes\": %zu, "
              "\"granule\": %zu",
              int(&r - regions), r.name ? r.name : "", (long long)offset, r.bytes,
              r.granule);
}

// Whether nothing orders an earlier access of another thread before this one.
inline bool unordered(const Region& r, const Mark& m) {
  if (m.epoch == 0 || (m.block == block && m.thread == thread)) return false;
  if (m.block != block) return !r.shared && !fenced;
  if (m.epoch != epoch) return false;
  return m.thread / 32 != thread / 32 || m.warp == warp_epoch[thread / 32];
}

inline void note_race(const Region& r, size_t cell, const Mark& first, bool writes,
                      const Mark& second, bool also_writes) {
  for (const Race& old : races)
    if (old.region == &r && old.first_writes + old.second_writes == writes + also_writes)
      return;
  races.push_back({&r, int64_t(cell * r.granule), first, second, writes, also_writes});
}

inline bool unwritten(const Region& r, const Cell& c, size_t cell) {
  if (r.shared) return c.written.epoch == 0 || c.written.block != block;
  if (!r.poisoned || c.written.epoch) return false;
  size_t at = cell * r.granule / r.scalar * r.scalar;
  return memcmp(reinterpret_cast<void*>(r.start + at), r.poison, r.scalar) == 0;
}

inline void visit(Region& r, size_t cell, bool write, bool read, bool atomic) {
  Cell& c = r.cells[cell];
  Mark now = {epoch, block, thread, warp_epoch[thread / 32], uint16_t(line), atomic};
  if (!(atomic && c.written.atomic) && unordered(r, c.written))
    note_race(r, cell, c.written, true, now, write);
  if (write) {
    if (unordered(r, c.read)) note_race(r, cell, c.read, false, now, true);
    else if (unordered(r, c.also_read)) note_race(r, cell, c.also_read, false, now, true);
  }
  if (read && unwritten(r, c, cell) && reads.size() < 8)
    reads.push_back("\"kind\": \"unwritten\", " + place(r, cell * r.granule) + ", " +
                    who());
  if (read && !atomic) {
    if (c.read.thread != thread && unordered(r, c.read))
      c.also_read = now;
    else
      c.read = now;
  }
  if (write) c.written = now;
  c.ever |= (read ? 1 : 0) | (write ? 2 : 0);
}

// An access is about to happen. Addresses outside the arrays are a thread's own
// variables, or constants.
inline void touch(Address address, size_t bytes, bool write, bool read, int site,
                  bool aligned = true) {
  if (address - base >= (Address(REGIONS) << SHIFT)) {
    if (address < 4096)
      fail(text("\"kind\": \"null\", \"write\": %d, ", write) + who());
    return;
  }
  Region& r = regions[(address - base) >> SHIFT];
  int64_t offset = int64_t(address) - int64_t(r.start);
  if (!r.name || offset < 0 || offset + bytes > r.bytes)
    fail(text("\"kind\": \"bounds\", \"write\": %d, \"size\": %zu, ", write, bytes) +
         place(r, offset) + ", " + who());
  if (aligned && (address & (bytes - 1)) && !(bytes & (bytes - 1)))
    fail(text("\"kind\": \"misaligned\", \"write\": %d, \"size\": %zu, ", write, bytes) +
         place(r, offset) + ", " + who());
  bool atomic = read && write;
  size_t last = (offset + bytes - 1) / r.granule;
  for (size_t cell = offset / r.granule; cell <= last; cell++)
    visit(r, cell, write, read, atomic);
  if (!counting) return;
  if (atomic) r.atomics += 1;
  if (read) r.read += bytes;
  if (write) r.written += bytes;
  if (!r.shared && site >= 0 && !visits.empty()) {
    uint64_t round = visits[thread * sites.size() + site]++;
    log[thread / 32].push_back(
        {uint64_t(site) << 40 | round, address, uint32_t(bytes), uint32_t(site)});
  }
}

// What the threads of a warp read or write at one place of the program, the same time
// round, is one request; it moves sectors of 32 bytes.
inline void match(std::vector<Access>& accesses) {
  std::sort(accesses.begin(), accesses.end(), [](const Access& a, const Access& b) {
    return a.request != b.request ? a.request < b.request : a.address < b.address;
  });
  for (size_t i = 0; i < accesses.size();) {
    uint64_t request = accesses[i].request, bytes = 0, sectors = 0;
    Region& r = regions[(accesses[i].address - base) >> SHIFT];
    Site& site = sites[accesses[i].site];
    Address end = 0, next = 0;  // first byte and sector that were not counted
    for (; i < accesses.size() && accesses[i].request == request; i++) {
      Address from = accesses[i].address, to = from + accesses[i].bytes;
      if (to > end) bytes += to - std::max(from, end);
      end = std::max(end, to);
      Address first = std::max(from / 32, next), beyond = (to - 1) / 32 + 1;
      if (beyond > first) sectors += beyond - first;
      next = std::max(next, beyond);
    }
    uint64_t ideal = (bytes + 31) / 32;
    r.requests++, r.sectors += sectors, r.ideal += ideal;
    site.requests++, site.sectors += sectors, site.ideal += ideal;
  }
  accesses.clear();
}

}  // namespace watch
