// The emulated multiprocessor: runs a grid, one block after the other.
//
// The threads of a block are fibers, switched at barriers and warp functions only. In
// which order those that can run do run is a choice, and a kernel without races gives
// the same result for every choice. One process runs the grid once, in one order: it can
// be killed when it does not end, and what crashes is not the learner's Python.
//
// How accesses are seen: the kernel is compiled with the instrumentation of the thread
// sanitizer, which g++ and clang++ both have, but linked without its library. The
// functions that announce an access, `__tsan_read4(address)` and its kin, are ours. So
// pointers stay plain pointers, and any C++ that works on a GPU works here: no rewriting
// of `T*` into a class, which every cast, template and `auto` would test. The compiler's
// optimiser runs before the instrumentation; what it keeps in registers is no access, as
// on a GPU. Out of bounds of a local array or of an inner dimension is seen by the
// undefined-behaviour sanitizer's checks, answered here in the same way.
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif
#ifndef _DARWIN_C_SOURCE
#define _DARWIN_C_SOURCE
#endif
#include "watch.h"

#include <csetjmp>
#include <csignal>
#include <initializer_list>

#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

struct Dim {
  uint32_t x, y, z;
};
extern "C" {
Dim threadIdx, blockIdx, blockDim, gridDim;
// Written by _build.py after the kernel was compiled: return address and line of each
// call of a function below, up to a zero.
extern const uintptr_t emu_sites[];
}

namespace {

constexpr size_t STACK = 256 << 10, GUARD = 64 << 10;
constexpr uint32_t LIVE_LIMIT = 1024;
constexpr size_t STATIC_LIMIT = 48 << 10;

enum State { READY, AT_BARRIER, AT_WARP, DONE };
enum Op { SYNC, VOTE, SHFL, UP, DOWN, XOR, ACTIVE };

struct Thread {
  State state;
  bool started;
  ucontext_t first;
  jmp_buf here;
  int line;
  const char* name;  // of the function it waits in
  Op op;
  uint32_t mask;
  uint64_t value, result;
  int operand, width, what;
};

Thread threads[LIVE_LIMIT];
uint32_t count;          // threads of a block
uint32_t current;        // the one that runs
jmp_buf scheduler;
void (*kernel)(void**);
void* arguments[64];
FILE* reply;
bool speaks = true;  // printf prints in the first order only

// ---- places in the learner's source ----------------------------------------------

struct Known {
  uintptr_t address;
  int site;
};
Known known[4096];  // a hash table of emu_sites

void learn_sites() {
  for (const uintptr_t* p = emu_sites; *p; p += 2) {
    if (watch::sites.size() == 2048) return;
    size_t i = (p[0] * 0x9e3779b97f4a7c15ull) >> 52;
    while (known[i].address) i = (i + 1) & 4095;
    known[i] = {p[0], int(watch::sites.size())};
    watch::sites.push_back({});
    watch::sites.back().line = int(p[1]);
  }
}

inline int find_site(void* address) {
  size_t i = (uintptr_t(address) * 0x9e3779b97f4a7c15ull) >> 52;
  for (; known[i].address; i = (i + 1) & 4095)
    if (known[i].address == uintptr_t(address)) {
      if (watch::sites[known[i].site].line) watch::line = watch::sites[known[i].site].line;
      return known[i].site;
    }
  return -1;
}

// ---- threads ---------------------------------------------------------------------

void yield() {
  if (!_setjmp(threads[current].here)) _longjmp(scheduler, 1);
}

void fiber() {
  for (;;) {  // one round a block
    kernel(arguments);
    threads[current].state = DONE;
    yield();
  }
}

void resume(uint32_t i) {
  Thread& t = threads[i];
  current = i;
  watch::thread = uint16_t(i);
  threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y,
               i / (blockDim.x * blockDim.y)};
  if (_setjmp(scheduler)) return;
  if (t.started) _longjmp(t.here, 1);
  t.started = true;
  setcontext(&t.first);
}

void make_threads() {
  size_t each = STACK + GUARD;
  char* stacks = static_cast<char*>(watch::pages(count * each));
  for (uint32_t i = 0; i < count; i++) {
    Thread& t = threads[i];
    mprotect(stacks + i * each, GUARD, PROT_NONE);
    getcontext(&t.first);
    t.first.uc_stack.ss_sp = stacks + i * each + GUARD;
    t.first.uc_stack.ss_size = STACK;
    t.first.uc_link = nullptr;
    makecontext(&t.first, fiber, 0);
  }
}

// ---- warps -----------------------------------------------------------------------

std::string thread_list(const std::vector<uint32_t>& list) {
  std::string s = "[";
  for (uint32_t i : list) s += (s.size() > 1 ? ", " : "") + std::to_string(i);
  return s + "]";
}

uint32_t source_lane(const Thread& t, uint32_t lane) {
  uint32_t start = lane / t.width * t.width, end = start + t.width;
  int64_t from = t.op == SHFL   ? int64_t(start) + (uint32_t(t.operand) % t.width)
                 : t.op == UP   ? int64_t(lane) - t.operand
                 : t.op == DOWN ? int64_t(lane) + t.operand
                                : int64_t(lane) ^ t.operand;
  if (t.op == UP && from < int64_t(start)) return lane;
  if (t.op == DOWN && from >= int64_t(end)) return lane;
  // A lane may read from an earlier group, but not from a later one.
  if (t.op == XOR && (from >= int64_t(end) || from < 0)) return lane;
  return uint32_t(from);
}

// Let the lanes of one mask go on, if all of them have arrived. False if they have not.
bool resolve(uint32_t warp, uint32_t mask) {
  uint32_t first = warp * 32;
  const Thread* leader = nullptr;
  uint32_t present = 0;
  for (uint32_t lane = 0; lane < 32; lane++) {
    if (!(mask >> lane & 1)) continue;
    bool exists = first + lane < count;
    Thread* t = exists ? &threads[first + lane] : nullptr;
    bool gone = !exists || t->state == DONE;
    if (gone) continue;  // judged below, once all the others are there
    if (t->state != AT_WARP || t->mask != mask) return false;
    if (leader && (t->op != leader->op || t->name != leader->name)) return false;
    leader = t;
    present |= 1u << lane;
  }
  // A vote or __syncwarp counts the lanes that are left; a shuffle would read the others.
  if (leader->op >= SHFL && present != mask) return false;
  uint32_t votes = 0;
  for (uint32_t lane = 0; lane < 32; lane++)
    if (present >> lane & 1) votes |= uint32_t(threads[first + lane].value & 1) << lane;
  for (uint32_t lane = 0; lane < 32; lane++) {
    if (!(present >> lane & 1)) continue;
    Thread& t = threads[first + lane];
    t.result = votes;
    if (t.op < SHFL) continue;
    uint32_t from = source_lane(t, lane);
    if (from > 31 || !(mask >> from & 1))
      watch::fail(watch::text("\"kind\": \"lane\", \"function\": \"%s\", \"mask\": %u, "
                              "\"from\": %u, \"lane\": %u, \"thread\": %u, \"line\": %d, "
                              "\"block\": [%u, %u, %u]",
                              t.name, mask, from, lane, first + lane, t.line, blockIdx.x,
                              blockIdx.y, blockIdx.z));
    t.result = threads[first + from].value;
  }
  if (leader->op == SYNC) watch::warp_epoch[warp]++;
  for (uint32_t lane = 0; lane < 32; lane++)
    if (present >> lane & 1) threads[first + lane].state = READY;
  return true;
}

// The active lanes are those that have come to the same __activemask by now.
void meet(uint32_t warp, int line) {
  uint32_t end = std::min(count, warp * 32 + 32), mask = 0;
  auto here = [&](const Thread& t) {
    return t.state == AT_WARP && t.op == ACTIVE && t.line == line;
  };
  for (uint32_t i = warp * 32; i < end; i++)
    if (here(threads[i])) mask |= 1u << i % 32;
  for (uint32_t i = warp * 32; i < end; i++)
    if (here(threads[i])) threads[i].result = mask, threads[i].state = READY;
}

bool resolve_warps() {
  bool any = false;
  for (uint32_t i = 0; i < count; i++) {
    const Thread& t = threads[i];
    if (t.state != AT_WARP) continue;
    if (t.op == ACTIVE)
      meet(i / 32, t.line), any = true;
    else if (resolve(i / 32, t.mask))
      any = true;
  }
  return any;
}

// ---- orders ----------------------------------------------------------------------

uint64_t seed;

// SplitMix64 (Steele, Lea, Flood 2014): <random> takes long to compile, and std::shuffle
// gives other orders with other libraries.
uint64_t random_number() {
  uint64_t z = seed += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

void shuffle(std::vector<uint32_t>& turn) {
  for (size_t i = turn.size(); i > 1; i--)
    std::swap(turn[i - 1], turn[random_number() % i]);
}

std::vector<uint32_t> first_turn(size_t n, int order) {
  std::vector<uint32_t> turn(n);
  for (size_t i = 0; i < n; i++) turn[i] = uint32_t(order == 1 ? n - 1 - i : i);
  if (order > 1) shuffle(turn);
  return turn;
}

// ---- blocks ----------------------------------------------------------------------

// Nothing can go on: say who waits where.
[[noreturn]] void stuck() {
  std::string groups;
  std::vector<std::pair<std::string, std::vector<uint32_t>>> found;
  for (uint32_t i = 0; i < count; i++) {
    const Thread& t = threads[i];
    std::string key =
        t.state == DONE ? "\"function\": null"
                        : watch::text("\"function\": \"%s\", \"line\": %d, \"mask\": %u",
                                      t.name, t.line, t.state == AT_WARP ? t.mask : 0);
    auto same = [&](const auto& f) { return f.first == key; };
    auto at = std::find_if(found.begin(), found.end(), same);
    if (at == found.end()) at = found.insert(at, {key, {}});
    at->second.push_back(i);
  }
  for (const auto& f : found)
    groups += (groups.empty() ? "{" : ", {") + f.first +
              ", \"threads\": " + thread_list(f.second) + "}";
  watch::fail(watch::text("\"kind\": \"stuck\", \"count\": %u, \"block\": [%u, %u, %u], "
                          "\"groups\": [",
                          count, blockIdx.x, blockIdx.y, blockIdx.z) +
              groups + "]");
}

bool release_barrier() {
  const Thread& first = threads[0];
  int yes = 0;
  for (uint32_t i = 0; i < count; i++) {
    const Thread& t = threads[i];
    if (t.state != AT_BARRIER || t.line != first.line || t.what != first.what)
      return false;
    yes += int(t.value);
  }
  for (uint32_t i = 0; i < count; i++) {
    Thread& t = threads[i];
    t.result = t.what == 1 ? yes : t.what == 2 ? yes == int(count) : yes > 0;
    t.state = READY;
  }
  watch::epoch++;
  return true;
}

void poison_shared() {
  for (int i = watch::DYNAMIC; i < watch::DYNAMIC + watch::shared_regions; i++) {
    watch::Region& r = watch::regions[i];
    if (r.name) memset(reinterpret_cast<void*>(r.start), 0xff, r.bytes);
  }
}

void run_block(int order) {
  std::vector<uint32_t> turn = first_turn(count, order);
  for (uint32_t i = 0; i < count; i++) threads[i].state = READY;
  watch::epoch++;
  poison_shared();
  if (watch::counting) watch::visits.assign(count * watch::sites.size(), 0);
  for (;;) {
    if (order > 1) shuffle(turn);
    bool ran = false;
    for (uint32_t i : turn)
      if (threads[i].state == READY) resume(i), ran = true;
    if (resolve_warps() || ran) continue;
    if (release_barrier()) continue;
    bool done = true;
    for (uint32_t i = 0; i < count; i++) done = done && threads[i].state == DONE;
    if (!done) stuck();
    break;
  }
  for (auto& accesses : watch::log) watch::match(accesses);
}

// ---- in and out ------------------------------------------------------------------

void out_of_time(int) { watch::fail("\"kind\": \"time\", " + watch::who()); }

void crashed(int signal) {
  watch::fail(watch::text("\"kind\": \"crash\", \"signal\": %d, ", signal) +
              watch::who());
}

void catch_signals(double seconds) {
  static char stack[1 << 16];
  stack_t alternative = {};
  alternative.ss_sp = stack;
  alternative.ss_size = sizeof stack;
  sigaltstack(&alternative, nullptr);
  struct sigaction action = {};
  action.sa_flags = SA_ONSTACK;
  action.sa_handler = crashed;
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigaction(signal, &action, nullptr);
  action.sa_handler = out_of_time;
  sigaction(SIGALRM, &action, nullptr);
  itimerval timer = {};
  timer.it_value.tv_sec = long(seconds);
  timer.it_value.tv_usec = long((seconds - long(seconds)) * 1e6) + 1;
  setitimer(ITIMER_REAL, &timer, nullptr);
}

std::string mark(const watch::Mark& m, bool writes) {
  return watch::text("{\"thread\": %u, \"block\": %u, \"line\": %u, \"write\": %d}",
                     m.thread, m.block, m.line, writes);
}

void write_events() {
  const char* comma = "";
  for (const std::string& read : watch::reads)
    fprintf(reply, "%s{%s}", comma, read.c_str()), comma = ", ";
  for (const watch::Race& race : watch::races) {
    fprintf(reply, "%s{\"kind\": \"race\", %s, \"first\": %s, \"second\": %s}", comma,
            watch::place(*race.region, race.offset).c_str(),
            mark(race.first, race.first_writes).c_str(),
            mark(race.second, race.second_writes).c_str());
    comma = ", ";
  }
}

void write_counts(int arrays) {
  fprintf(reply, "\"arrays\": [");
  for (int i = 0; i < arrays; i++) {
    watch::Region& r = watch::regions[i];
    uint64_t read = 0, written = 0;
    for (size_t c = 0; r.name && c < r.bytes / r.granule; c++) {
      read += r.cells[c].ever & 1;
      written += r.cells[c].ever >> 1;
    }
    fprintf(reply,
            "%s{\"read\": %llu, \"written\": %llu, \"distinct_read\": %llu, "
            "\"distinct_written\": %llu, \"requests\": %llu, \"sectors\": %llu, "
            "\"ideal_sectors\": %llu, \"atomics\": %llu}",
            i ? ", " : "", (unsigned long long)r.read, (unsigned long long)r.written,
            (unsigned long long)(read * r.granule),
            (unsigned long long)(written * r.granule), (unsigned long long)r.requests,
            (unsigned long long)r.sectors, (unsigned long long)r.ideal,
            (unsigned long long)r.atomics);
  }
  uint64_t read = 0, written = 0, bytes = 0;
  for (int i = watch::ARRAYS; i < watch::ARRAYS + watch::shared_regions; i++) {
    const watch::Region& r = watch::regions[i];
    read += r.read, written += r.written, bytes += r.bytes;
  }
  fprintf(reply,
          "], \"shared\": {\"read\": %llu, \"written\": %llu, \"bytes\": %llu}, "
          "\"sites\": [",
          (unsigned long long)read, (unsigned long long)written,
          (unsigned long long)bytes);
  const char* comma = "";
  for (const watch::Site& s : watch::sites)
    if (s.requests) {
      fprintf(reply, "%s[%d, %llu, %llu, %llu]", comma, s.line,
              (unsigned long long)s.requests, (unsigned long long)s.sectors,
              (unsigned long long)s.ideal);
      comma = ", ";
    }
  fprintf(reply, "]");
}

template <class T>
T take(FILE* file) {
  T value = {};
  if (fread(&value, sizeof value, 1, file) != 1) _exit(70);
  return value;
}

struct Request {  // as _launch.py packs it
  uint32_t grid[3], block[3], dynamic, order, seed, arrays;
  double seconds;
};

struct Argument {
  uint64_t bytes;
  uint32_t is_array, granule, poisoned, pad;
  unsigned char value[16];  // of a scalar, or the poison of an array
};

}  // namespace

// ---- what watch.h asks for -------------------------------------------------------

std::string watch::who() {
  return text("\"thread\": %u, \"block\": [%u, %u, %u], \"line\": %d", current,
              blockIdx.x, blockIdx.y, blockIdx.z, line);
}

void watch::fail(const std::string& event) {
  static bool failing = false;
  if (failing) _exit(71);
  failing = true;
  fflush(stdout);
  fprintf(reply, "{\"events\": [");
  write_events();
  fprintf(reply, "%s{%s}]}\n", reads.empty() && races.empty() ? "" : ", ",
          event.c_str());
  fflush(reply);
  _exit(0);
}

// ---- what the kernel calls (see cuda.h) ------------------------------------------

extern "C" {

int emu_barrier(int line, int predicate, int what) {
  static const char* names[] = {"__syncthreads", "__syncthreads_count",
                                "__syncthreads_and", "__syncthreads_or"};
  Thread& t = threads[current];
  t.line = watch::line = line;
  t.name = names[what];
  t.what = what;
  t.value = predicate != 0;
  t.state = AT_BARRIER;
  yield();
  return int(t.result);
}

unsigned long long emu_warp(const char* name, int line, int op, unsigned mask,
                            unsigned long long value, int operand, int width) {
  watch::line = line;
  uint32_t lane = current % 32;
  if (width < 1 || width > 32 || (width & (width - 1)))
    watch::fail(watch::text("\"kind\": \"width\", \"function\": \"%s\", \"width\": %d, ",
                            name, width) +
                watch::who());
  if (!(mask >> lane & 1))
    watch::fail(watch::text("\"kind\": \"own lane\", \"function\": \"%s\", "
                            "\"mask\": %u, \"lane\": %u, ",
                            name, mask, lane) +
                watch::who());
  Thread& t = threads[current];
  t.line = line;
  t.name = name;
  t.op = Op(op);
  t.mask = mask;
  t.value = value;
  t.operand = operand;
  t.width = width;
  t.state = AT_WARP;
  yield();
  return t.result;
}

unsigned emu_active(int line) {
  Thread& t = threads[current];
  t.line = watch::line = line;
  t.name = "__activemask";
  t.op = ACTIVE;
  t.mask = 1u << current % 32;
  t.state = AT_WARP;
  yield();
  return unsigned(t.result);
}

void* emu_shared(int* slot, const char* name, size_t bytes, size_t granule, size_t align,
                 int line) {
  using namespace watch;
  if (*slot < 0) {
    watch::line = line;
    size_t sum = 0;
    for (int i = DYNAMIC + 1; i < DYNAMIC + shared_regions; i++) sum += regions[i].bytes;
    if (sum + bytes > STATIC_LIMIT)
      fail(text("\"kind\": \"static shared\", \"bytes\": %zu, \"name\": \"%s\", ",
                sum + bytes, name) +
           who());
    if (ARRAYS + shared_regions == REGIONS) fail("\"kind\": \"many shared\"");
    *slot = DYNAMIC + shared_regions++;
    Region& r = open(*slot, name, bytes, granule);
    memset(reinterpret_cast<void*>(r.start), 0xff, bytes);
  }
  return reinterpret_cast<void*>(regions[*slot].start);
}

static size_t dynamic_bytes;

void* emu_dynamic(const char* name, size_t granule) {
  watch::Region& r = watch::regions[watch::DYNAMIC];
  // One piece of memory may have several names and types: keep the finest.
  if (!r.name || granule < r.granule) {
    watch::open(watch::DYNAMIC, name, dynamic_bytes, granule);
    memset(reinterpret_cast<void*>(r.start), 0xff, r.bytes);
  }
  return reinterpret_cast<void*>(r.start);
}

void emu_fence() { watch::fenced = true; }

void emu_atomic(void* address, size_t bytes, int line) {
  watch::line = line;
  int site = -1;
  for (size_t i = 0; i < watch::sites.size() && site < 0; i++)
    if (watch::sites[i].line == line) site = int(i);
  watch::touch(uintptr_t(address), bytes, true, true, site);
}

int emu_print(const char* format, ...) {
  va_list list;
  va_start(list, format);
  int n = speaks ? vprintf(format, list) : 0;
  va_end(list);
  return n;
}

void emu_assert(const char* what, int line) {
  watch::line = line;
  std::string safe;
  for (const char* p = what; *p; p++) {
    if (*p == '"' || *p == '\\') safe += '\\';
    safe += *p;
  }
  watch::fail("\"kind\": \"assert\", \"text\": \"" + safe + "\", " + watch::who());
}

// ---- what the compiler's instrumentation calls -----------------------------------

#define SITE find_site(__builtin_return_address(0))
#define WATCH(n)                                                                       \
  void __tsan_read##n(void* p) { watch::touch(uintptr_t(p), n, false, true, SITE); }   \
  void __tsan_write##n(void* p) { watch::touch(uintptr_t(p), n, true, false, SITE); }  \
  void __tsan_unaligned_read##n(void* p) {                                             \
    watch::touch(uintptr_t(p), n, false, true, SITE, false);                           \
  }                                                                                    \
  void __tsan_unaligned_write##n(void* p) {                                            \
    watch::touch(uintptr_t(p), n, true, false, SITE, false);                           \
  }                                                                                    \
  void __tsan_read_write##n(void* p) {                                                 \
    watch::touch(uintptr_t(p), n, false, true, SITE);                                  \
    watch::touch(uintptr_t(p), n, true, false, SITE);                                  \
  }
WATCH(1)
WATCH(2)
WATCH(4)
WATCH(8)
WATCH(16)

void __tsan_read_range(void* p, size_t n) {
  watch::touch(uintptr_t(p), n, false, true, SITE, false);
}
void __tsan_write_range(void* p, size_t n) {
  watch::touch(uintptr_t(p), n, true, false, SITE, false);
}
void* __tsan_memcpy(void* to, const void* from, size_t n) {
  int site = SITE;
  watch::touch(uintptr_t(from), n, false, true, site, false);
  watch::touch(uintptr_t(to), n, true, false, site, false);
  return memcpy(to, from, n);
}
void* __tsan_memmove(void* to, const void* from, size_t n) {
  int site = SITE;
  watch::touch(uintptr_t(from), n, false, true, site, false);
  watch::touch(uintptr_t(to), n, true, false, site, false);
  return memmove(to, from, n);
}
void* __tsan_memset(void* to, int value, size_t n) {
  watch::touch(uintptr_t(to), n, true, false, SITE, false);
  return memset(to, value, n);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

struct UbsanSource {
  const char* file;
  uint32_t line, column;
};
struct UbsanType {
  uint16_t kind, info;
  char name[1];
};
struct UbsanBounds {
  UbsanSource source;
  const UbsanType *array, *index;
};

void __ubsan_handle_out_of_bounds(UbsanBounds* data, uintptr_t index) {
  // The low bit of `info` says signed, the others the logarithm of the bits; an index
  // wider than a pointer does not occur.
  int width = 1 << (data->index->info >> 1);
  long long i = (long long)index;
  if ((data->index->info & 1) && width < 64)
    i = (long long)(uint64_t(i) << (64 - width)) >> (64 - width);
  watch::line = int(data->source.line);
  watch::fail(watch::text("\"kind\": \"index\", \"index\": %lld, \"type\": \"%s\", ", i,
                          data->array->name) +
              watch::who());
}
void __ubsan_handle_divrem_overflow(UbsanSource* source, uintptr_t, uintptr_t) {
  watch::line = int(source->line);
  watch::fail("\"kind\": \"division\", " + watch::who());
}

// ---- the program -----------------------------------------------------------------

int emu_run(char** argv, void (*entry)(void**)) {
  kernel = entry;
  FILE* file = fopen(argv[1], "rb");
  reply = fopen(argv[2], "wb");
  if (!file || !reply) return 72;
  Request q = take<Request>(file);
  gridDim = {q.grid[0], q.grid[1], q.grid[2]};
  blockDim = {q.block[0], q.block[1], q.block[2]};
  count = blockDim.x * blockDim.y * blockDim.z;
  dynamic_bytes = q.dynamic;
  speaks = watch::counting = q.order == 0;
  watch::reserve();
  learn_sites();
  // Declared outside of functions, it was opened before its size was known.
  watch::Region& dynamic = watch::regions[watch::DYNAMIC];
  if (dynamic.name)
    watch::open(watch::DYNAMIC, dynamic.name, dynamic_bytes, dynamic.granule);
  static const char* names[] = {""};
  for (uint32_t i = 0; i < q.arrays; i++) {
    static uint64_t scalars[64][2];
    Argument a = take<Argument>(file);
    memcpy(scalars[i], a.value, 16);
    arguments[i] = scalars[i];
    if (!a.is_array) continue;
    watch::Region& r = watch::open(i, names[0], a.bytes, a.granule);
    r.poisoned = a.poisoned;
    r.scalar = a.granule;
    memcpy(r.poison, a.value, 16);
    if (a.bytes && fread(reinterpret_cast<void*>(r.start), a.bytes, 1, file) != 1)
      return 73;
    scalars[i][0] = r.start;
  }
  fclose(file);
  make_threads();
  catch_signals(q.seconds);
  seed = uint64_t(q.order) << 32 | q.seed;
  size_t blocks = size_t(gridDim.x) * gridDim.y * gridDim.z;
  for (uint32_t b : first_turn(blocks, q.order)) {
    watch::block = b;
    blockIdx = {b % gridDim.x, b / gridDim.x % gridDim.y, b / gridDim.x / gridDim.y};
    run_block(q.order);
  }
  fflush(stdout);
  fprintf(reply, "{\"events\": [");
  write_events();
  fprintf(reply, "], ");
  write_counts(q.arrays);
  fprintf(reply, "}\n");
  for (uint32_t i = 0; i < q.arrays; i++) {
    const watch::Region& r = watch::regions[i];
    if (r.name) fwrite(reinterpret_cast<void*>(r.start), 1, r.bytes, reply);
  }
  fclose(reply);
  _exit(0);
}
}
