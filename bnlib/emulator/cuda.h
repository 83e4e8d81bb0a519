// What a CUDA kernel sees: the words and functions of CUDA C++, for a CPU's compiler.
//
// The kernel's own text is compiled as it stands but for its `__shared__` variables.
// What needs the other threads of a block, or the memory that is watched, is asked of
// machine.cpp through the functions `emu_...`. Macros carry the line of the learner's
// source, as a function cannot know who called it.
//
// But: no cooperative groups, textures, inline PTX, streams or tensor cores.
#pragma once

// Standard headers come first: the macros below would break some of them.
#include <assert.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <type_traits>
#include <utility>

extern "C" {
int emu_barrier(int line, int predicate, int what);
unsigned long long emu_warp(const char* name, int line, int op, unsigned mask,
                            unsigned long long value, int operand, int width);
unsigned emu_active(int line);
void emu_atomic(void* address, size_t bytes, int line);
void* emu_shared(int* slot, const char* name, size_t bytes, size_t granule,
                 size_t align, int line);
void* emu_dynamic(const char* name, size_t granule);
void emu_fence();
int emu_print(const char* format, ...);
void emu_assert(const char* text, int line);
}

// ---- words -----------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __constant__
#define __managed__
#define __grid_constant__
#define __noinline__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// machine.cpp changes them when it changes threads. To one thread they are constants,
// and declared so, the compiler does not report their reads.
extern "C" {
extern const uint3 threadIdx, blockIdx, blockDim, gridDim;
}
constexpr int warpSize = 32;

// ---- half and bfloat16 -----------------------------------------------------------

namespace emu {
template <class To, class From>
inline To bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

inline float half_to_float(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = (h >> 10) & 31, m = h & 1023;
  if (exponent == 31) return bits<float>(sign | 0x7f800000 | m << 13);
  if (exponent == 0) {  // zero or subnormal: m * 2^-24 is exact in float
    float value = float(m) * 0x1p-24f;
    return sign ? -value : value;
  }
  return bits<float>(sign | (exponent + 112) << 23 | m << 13);
}

inline uint16_t float_to_half(float f) {
  uint32_t u = bits<uint32_t>(f), sign = (u >> 16) & 0x8000;
  u &= 0x7fffffff;
  if (u > 0x7f800000) return sign | 0x7fff;
  if (u >= 0x477ff000) return sign | 0x7c00;  // 65520 and more round to infinity
  if (u < 0x38800000)  // subnormal: adding 0.5 leaves m * 2^-24, rounded, at the end
    return sign | uint16_t(bits<uint32_t>(bits<float>(u) + 0.5f) - 0x3f000000);
  return sign | uint16_t((u + 0xfff + ((u >> 13) & 1) - 0x38000000) >> 13);
}

inline float bfloat_to_float(uint16_t b) { return bits<float>(uint32_t(b) << 16); }

inline uint16_t float_to_bfloat(float f) {
  uint32_t u = bits<uint32_t>(f);
  if ((u & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
}  // namespace emu

// Arithmetic rounds each result, as the hardware does.
#define EMU_NARROW(name, to_float, from_float)                                         \
  struct name {                                                                        \
    uint16_t emu_bits;                                                                 \
    name() = default;                                                                  \
    name(float f) : emu_bits(emu::from_float(f)) {}                                    \
    name(double d) : name(float(d)) {}                                                 \
    name(int i) : name(float(i)) {}                                                    \
    operator float() const { return emu::to_float(emu_bits); }                         \
    name& operator+=(name o) { return *this = name(float(*this) + float(o)); }         \
    name& operator-=(name o) { return *this = name(float(*this) - float(o)); }         \
    name& operator*=(name o) { return *this = name(float(*this) * float(o)); }         \
    name& operator/=(name o) { return *this = name(float(*this) / float(o)); }         \
  };                                                                                   \
  inline name operator-(name a) { return name(-float(a)); }                            \
  inline name operator+(name a, name b) { return name(float(a) + float(b)); }          \
  inline name operator-(name a, name b) { return name(float(a) - float(b)); }          \
  inline name operator*(name a, name b) { return name(float(a) * float(b)); }          \
  inline name operator/(name a, name b) { return name(float(a) / float(b)); }          \
  inline bool operator<(name a, name b) { return float(a) < float(b); }                \
  inline bool operator>(name a, name b) { return float(a) > float(b); }                \
  inline bool operator<=(name a, name b) { return float(a) <= float(b); }              \
  inline bool operator>=(name a, name b) { return float(a) >= float(b); }              \
  inline bool operator==(name a, name b) { return float(a) == float(b); }              \
  inline bool operator!=(name a, name b) { return float(a) != float(b); }              \
  inline name __hadd(name a, name b) { return a + b; }                                 \
  inline name __hsub(name a, name b) { return a - b; }                                 \
  inline name __hmul(name a, name b) { return a * b; }                                 \
  inline name __hdiv(name a, name b) { return a / b; }                                 \
  inline name __hneg(name a) { return -a; }                                            \
  inline name __habs(name a) { return name(fabsf(a)); }                                \
  inline name __hmax(name a, name b) { return name(fmaxf(a, b)); }                     \
  inline name __hmin(name a, name b) { return name(fminf(a, b)); }                     \
  inline bool __hlt(name a, name b) { return a < b; }                                  \
  inline bool __hgt(name a, name b) { return a > b; }                                  \
  inline bool __heq(name a, name b) { return a == b; }                                 \
  inline name __hfma(name a, name b, name c) {                                         \
    return name(float(double(float(a)) * float(b) + float(c)));                        \
  }

EMU_NARROW(__half, half_to_float, float_to_half)
EMU_NARROW(__nv_bfloat16, bfloat_to_float, float_to_bfloat)
using half = __half;
using nv_bfloat16 = __nv_bfloat16;

inline float __half2float(__half h) { return h; }
inline __half __float2half(float f) { return f; }
inline __half __float2half_rn(float f) { return f; }
inline __half __double2half(double d) { return d; }
inline __half __int2half_rn(int i) { return i; }
inline int __half2int_rn(__half h) { return int(nearbyintf(h)); }
inline float __bfloat162float(__nv_bfloat16 b) { return b; }
inline __nv_bfloat16 __float2bfloat16(float f) { return f; }
inline __nv_bfloat16 __float2bfloat16_rn(float f) { return f; }
inline unsigned short __half_as_ushort(__half h) { return h.emu_bits; }
inline __half __ushort_as_half(unsigned short u) { return emu::bits<__half>(u); }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 b) { return b.emu_bits; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short u) {
  return emu::bits<__nv_bfloat16>(u);
}

// ---- vector types ----------------------------------------------------------------

namespace emu {
template <size_t bytes>
struct whole;  // an unsigned number that wide, to be read and written in one access
template <>
struct whole<2> {
  using type = uint16_t;
};
template <>
struct whole<4> {
  using type = uint32_t;
};
template <>
struct whole<8> {
  using type = uint64_t;
};
template <>
struct whole<16> {
  typedef uint64_t type __attribute__((vector_size(16)));
};
}  // namespace emu

// One read of a float4 must be one access of 16 bytes, also to an optimiser that would
// rather read four floats: hence the copy through a number of that width.
#define EMU_COPY_WHOLE(name, bytes)                                                    \
  using emu_whole = typename emu::whole<bytes>::type;                                  \
  name() = default;                                                                    \
  name(const name& o) { *this = o; }                                                   \
  name& operator=(const name& o) {                                                     \
    *reinterpret_cast<emu_whole*>(this) = *reinterpret_cast<const emu_whole*>(&o);     \
    return *this;                                                                      \
  }

#define EMU_VECTOR2(T, name)                                                           \
  struct alignas(2 * sizeof(T)) name {                                                 \
    using emu_scalar = T;                                                              \
    T x, y;                                                                            \
    EMU_COPY_WHOLE(name, 2 * sizeof(T))                                                \
    name(T x, T y) : x(x), y(y) {}                                                     \
  };                                                                                   \
  inline name make_##name(T x, T y) { return name(x, y); }

#define EMU_VECTOR3(T, name)                                                           \
  struct name {                                                                        \
    using emu_scalar = T;                                                              \
    T x, y, z;                                                                         \
  };                                                                                   \
  inline name make_##name(T x, T y, T z) { return {x, y, z}; }

#define EMU_VECTOR4(T, name)                                                           \
  struct alignas(4 * sizeof(T)) name {                                                 \
    using emu_scalar = T;                                                              \
    T x, y, z, w;                                                                      \
    EMU_COPY_WHOLE(name, 4 * sizeof(T))                                                \
    name(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}                               \
  };                                                                                   \
  inline name make_##name(T x, T y, T z, T w) { return name(x, y, z, w); }

EMU_VECTOR2(float, float2)
EMU_VECTOR3(float, float3)
EMU_VECTOR4(float, float4)
EMU_VECTOR2(double, double2)
EMU_VECTOR2(int, int2)
EMU_VECTOR3(int, int3)
EMU_VECTOR4(int, int4)
EMU_VECTOR2(unsigned, uint2)
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
EMU_VECTOR4(unsigned, uint4)
EMU_VECTOR2(short, short2)
EMU_VECTOR4(short, short4)
EMU_VECTOR2(unsigned short, ushort2)
EMU_VECTOR4(unsigned short, ushort4)
EMU_VECTOR2(signed char, char2)
EMU_VECTOR4(signed char, char4)
EMU_VECTOR2(unsigned char, uchar2)
EMU_VECTOR4(unsigned char, uchar4)
EMU_VECTOR2(long long, longlong2)
EMU_VECTOR2(__half, __half2)
EMU_VECTOR2(__nv_bfloat16, __nv_bfloat162)
using half2 = __half2;
using nv_bfloat162 = __nv_bfloat162;

#define EMU_PAIR(pair, one)                                                            \
  inline pair operator+(pair a, pair b) { return pair(a.x + b.x, a.y + b.y); }         \
  inline pair operator-(pair a, pair b) { return pair(a.x - b.x, a.y - b.y); }         \
  inline pair operator*(pair a, pair b) { return pair(a.x * b.x, a.y * b.y); }         \
  inline pair operator/(pair a, pair b) { return pair(a.x / b.x, a.y / b.y); }         \
  inline pair __hadd2(pair a, pair b) { return a + b; }                                \
  inline pair __hsub2(pair a, pair b) { return a - b; }                                \
  inline pair __hmul2(pair a, pair b) { return a * b; }                                \
  inline pair __hfma2(pair a, pair b, pair c) {                                        \
    return pair(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y));                         \
  }
EMU_PAIR(__half2, __half)
EMU_PAIR(__nv_bfloat162, __nv_bfloat16)

inline __half __low2half(__half2 h) { return h.x; }
inline __half __high2half(__half2 h) { return h.y; }
inline float __low2float(__half2 h) { return h.x; }
inline float __high2float(__half2 h) { return h.y; }
inline float __low2float(__nv_bfloat162 b) { return b.x; }
inline float __high2float(__nv_bfloat162 b) { return b.y; }
inline __half2 __halves2half2(__half a, __half b) { return __half2(a, b); }
inline __half2 __half2half2(__half a) { return __half2(a, a); }
inline float2 __half22float2(__half2 h) { return float2(h.x, h.y); }
inline __half2 __float22half2_rn(float2 f) { return __half2(f.x, f.y); }
inline __half2 __floats2half2_rn(float a, float b) { return __half2(a, b); }
inline __half2 __float2half2_rn(float a) { return __half2(a, a); }
inline float2 __bfloat1622float2(__nv_bfloat162 b) { return float2(b.x, b.y); }
inline __nv_bfloat162 __float22bfloat162_rn(float2 f) {
  return __nv_bfloat162(f.x, f.y);
}
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) {
  return __nv_bfloat162(a, b);
}

// ---- mathematics -----------------------------------------------------------------

#define CUDART_INF_F INFINITY
#define CUDART_NAN_F NAN

template <class A, class B>
inline std::common_type_t<A, B> min(A a, B b) {
  std::common_type_t<A, B> x = a, y = b;
  if constexpr (std::is_floating_point_v<decltype(x)>) return fmin(x, y);
  return y < x ? y : x;
}
template <class A, class B>
inline std::common_type_t<A, B> max(A a, B b) {
  std::common_type_t<A, B> x = a, y = b;
  if constexpr (std::is_floating_point_v<decltype(x)>) return fmax(x, y);
  return x < y ? y : x;
}
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline float __saturatef(float x) { return fminf(fmaxf(x, 0.0f), 1.0f); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float __frsqrt_rn(float a) { return rsqrtf(a); }
inline float __expf(float a) { return expf(a); }
inline float __exp10f(float a) { return powf(10.0f, a); }
inline float __logf(float a) { return logf(a); }
inline float __log2f(float a) { return log2f(a); }
inline float __log10f(float a) { return log10f(a); }
inline float __powf(float a, float b) { return powf(a, b); }
inline float __sinf(float a) { return sinf(a); }
inline float __cosf(float a) { return cosf(a); }
inline float __int2float_rn(int i) { return float(i); }
inline float __uint2float_rn(unsigned i) { return float(i); }
inline int __float2int_rn(float f) { return int(nearbyintf(f)); }
inline int __float2int_rz(float f) { return int(f); }
inline int __mul24(int a, int b) { return a * b; }
inline int __float_as_int(float f) { return emu::bits<int>(f); }
inline unsigned __float_as_uint(float f) { return emu::bits<unsigned>(f); }
inline float __int_as_float(int i) { return emu::bits<float>(i); }
inline float __uint_as_float(unsigned i) { return emu::bits<float>(i); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }

// ---- memory ----------------------------------------------------------------------

#define __ldg(p) (*(p))
#define __ldca(p) (*(p))
#define __ldcg(p) (*(p))
#define __ldcs(p) (*(p))
#define __stcg(p, value) (*(p) = (value))
#define __stcs(p, value) (*(p) = (value))

inline void __threadfence() { emu_fence(); }
inline void __threadfence_block() {}
inline void __threadfence_system() { emu_fence(); }

namespace emu {
// The unit in which writing and reading is remembered: a scalar of the array.
template <class T>
constexpr size_t granule() {
  using E = std::remove_all_extents_t<T>;
  return sizeof(E) == 1 || sizeof(E) == 2 ? sizeof(E)
         : sizeof(E) == 8 && std::is_arithmetic_v<E> ? 8
         : alignof(E) < 4                 ? alignof(E)
                                          : 4;
}

// `Tag` is the type of a lambda, another one in each instance of a template: each has
// its own variable, as in CUDA.
template <class T, class Tag>
inline T& shared(Tag, const char* name, int line) {
  static int slot = -1;
  return *static_cast<T*>(
      emu_shared(&slot, name, sizeof(T), granule<T>(), alignof(T), line));
}

template <class T>
inline T* dynamic(const char* name) {
  return static_cast<T*>(emu_dynamic(name, granule<T>()));
}

// An atomic is one access, counted once and free of races: its read and its write are
// hidden from the compiler's instrumentation.
template <class T, class F>
__attribute__((no_sanitize("thread"), noinline)) T atomic(int line, T* p, F f) {
  emu_atomic(p, sizeof(T), line);
  T old = *p;
  *p = f(old);
  return old;
}
template <class T>
struct same {
  using type = T;
};
template <class T>
using value_of = typename same<T>::type;

#define EMU_ATOMIC(name, T, expression)                                                \
  template <class T>                                                                   \
  inline T name(int line, T* p, value_of<T> value) {                                   \
    return atomic(line, p, [=](T old) -> T { return expression; });                    \
  }
EMU_ATOMIC(add, T, old + value)
EMU_ATOMIC(sub, T, old - value)
EMU_ATOMIC(exchange, T, ((void)old, value))
EMU_ATOMIC(minimum, T, value < old ? value : old)
EMU_ATOMIC(maximum, T, old < value ? value : old)
EMU_ATOMIC(conjunction, T, old & value)
EMU_ATOMIC(disjunction, T, old | value)
EMU_ATOMIC(difference, T, old ^ value)
EMU_ATOMIC(increment, T, old >= value ? 0 : old + 1)
template <class T>
inline T compare_and_swap(int line, T* p, value_of<T> compare, value_of<T> value) {
  return atomic(line, p, [=](T old) { return old == compare ? value : old; });
}
}  // namespace emu

#define atomicAdd(...) emu::add(__LINE__, __VA_ARGS__)
#define atomicSub(...) emu::sub(__LINE__, __VA_ARGS__)
#define atomicExch(...) emu::exchange(__LINE__, __VA_ARGS__)
#define atomicMin(...) emu::minimum(__LINE__, __VA_ARGS__)
#define atomicMax(...) emu::maximum(__LINE__, __VA_ARGS__)
#define atomicAnd(...) emu::conjunction(__LINE__, __VA_ARGS__)
#define atomicOr(...) emu::disjunction(__LINE__, __VA_ARGS__)
#define atomicXor(...) emu::difference(__LINE__, __VA_ARGS__)
#define atomicInc(...) emu::increment(__LINE__, __VA_ARGS__)
#define atomicCAS(...) emu::compare_and_swap(__LINE__, __VA_ARGS__)

// ---- barriers, votes and shuffles ------------------------------------------------

#define __syncthreads() ((void)emu_barrier(__LINE__, 0, 0))
#define __syncthreads_count(p) emu_barrier(__LINE__, (p) ? 1 : 0, 1)
#define __syncthreads_and(p) emu_barrier(__LINE__, (p) ? 1 : 0, 2)
#define __syncthreads_or(p) emu_barrier(__LINE__, (p) ? 1 : 0, 3)

namespace emu {
enum { SYNC, VOTE, SHFL, UP, DOWN, XOR };

inline void sync_warp(int line, unsigned mask = 0xffffffff) {
  emu_warp("__syncwarp", line, SYNC, mask, 0, 0, 32);
}
inline unsigned ballot(const char* name, int line, unsigned mask, bool yes) {
  return unsigned(emu_warp(name, line, VOTE, mask, yes, 0, 32));
}
template <class T>
inline T shuffle(const char* name, int op, int line, unsigned mask, T value,
                 int operand, int width = 32) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  unsigned long long in = 0;
  __builtin_memcpy(&in, &value, sizeof value);
  in = emu_warp(name, line, op, mask, in, operand, width);
  __builtin_memcpy(&value, &in, sizeof value);
  return value;
}
}  // namespace emu

#define __syncwarp(...) emu::sync_warp(__LINE__ __VA_OPT__(, ) __VA_ARGS__)
#define __activemask() emu_active(__LINE__)
#define __ballot_sync(mask, p) emu::ballot("__ballot_sync", __LINE__, mask, p)
#define __any_sync(mask, p) (emu::ballot("__any_sync", __LINE__, mask, p) != 0)
#define __all_sync(mask, p) (emu::ballot("__all_sync", __LINE__, mask, !(p)) == 0)
#define __shfl_sync(...)                                                               \
  emu::shuffle("__shfl_sync", emu::SHFL, __LINE__, __VA_ARGS__)
#define __shfl_up_sync(...)                                                            \
  emu::shuffle("__shfl_up_sync", emu::UP, __LINE__, __VA_ARGS__)
#define __shfl_down_sync(...)                                                          \
  emu::shuffle("__shfl_down_sync", emu::DOWN, __LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...)                                                           \
  emu::shuffle("__shfl_xor_sync", emu::XOR, __LINE__, __VA_ARGS__)

#define printf(...) emu_print(__VA_ARGS__)
#undef assert
#define assert(...) ((__VA_ARGS__) ? (void)0 : emu_assert(#__VA_ARGS__, __LINE__))
#define __trap() emu_assert("__trap()", __LINE__)

// ---- calling a kernel ------------------------------------------------------------

namespace emu {
template <class T, class = void>
struct scalar_of {
  using type = T;
};
template <class T>
struct scalar_of<T, std::void_t<typename T::emu_scalar>> {
  using type = typename T::emu_scalar;
};

template <class T>
constexpr char kind() {
  if (std::is_same_v<T, __half>) return 'h';
  if (std::is_same_v<T, __nv_bfloat16>) return 'g';
  if (std::is_same_v<T, bool>) return 'b';
  if (std::is_floating_point_v<T>) return 'f';
  if (std::is_void_v<T>) return 'v';
  if (!std::is_integral_v<T>) return '?';
  return std::is_signed_v<T> ? 'i' : 'u';
}

template <class T>
constexpr size_t size() {
  if constexpr (std::is_void_v<T>)
    return 1;
  else
    return sizeof(T);
}

// One line a parameter: pointer? constant? kind, bytes of a scalar, bytes of the whole.
template <class A>
void describe() {
  using Pointee = std::remove_pointer_t<std::remove_cv_t<A>>;
  using T = std::remove_cv_t<Pointee>;
  using S = typename scalar_of<T>::type;
  printf("%d %d %c %d %d\n", int(std::is_pointer_v<A>), int(std::is_const_v<Pointee>),
         kind<S>(), int(size<S>()), int(size<T>()));
}
template <class... A>
void signature(void (*)(A...)) {
  (describe<A>(), ...);
}
template <class... A, size_t... i>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<i...>) {
  kernel(*static_cast<std::remove_const_t<A>*>(arguments[i])...);
}
template <class... A>
void call(void (*kernel)(A...), void** arguments) {
  call(kernel, arguments, std::index_sequence_for<A...>());
}
}  // namespace emu
