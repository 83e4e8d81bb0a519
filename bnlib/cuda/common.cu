// What the steps share: wide reads, the walk over a channel, sums over a block.
//
// Put before each of the other files; there is nothing to launch here.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

constexpr unsigned ALL = 0xffffffff;  // all lanes of a warp

// V values that are read or written in one access of up to 16 bytes.
template <int BYTES>
struct Word;
template <>
struct Word<16> {
  using type = uint4;
};
template <>
struct Word<8> {
  using type = uint2;
};
template <>
struct Word<4> {
  using type = unsigned;
};
template <>
struct Word<2> {
  using type = unsigned short;
};

template <class T, int V>
union Packet {
  using word_type = typename Word<V * sizeof(T)>::type;
  word_type word;
  T value[V];
};

template <class T, int V>
__device__ __forceinline__ void load(Packet<T, V>& p, const T* from) {
  p.word = *reinterpret_cast<const typename Packet<T, V>::word_type*>(from);
}

template <class T, int V>
__device__ __forceinline__ void store(const Packet<T, V>& p, T* to) {
  *reinterpret_cast<typename Packet<T, V>::word_type*>(to) = p.word;
}

// The packets of one channel of (N, C, S): N rows of S values, C * S apart. A thread
// takes every stride-th. Counting on costs less than a division for each packet.
template <int V>
struct Walk {
  unsigned i, end;  // this packet and the one past the last, within the channel
  unsigned offset;  // in memory, of the packet's first value
  unsigned s, row;  // place within a row of this many packets
  unsigned stride, leap, ds, wrap;

  __device__ Walk(unsigned first, unsigned end, unsigned stride, unsigned c, unsigned C,
                  unsigned S)
      : i(first), end(end), row(S / V), stride(stride) {
    unsigned n = first / row, dn = stride / row;
    s = first % row;
    ds = stride % row;
    offset = (n * C + c) * S + s * V;
    leap = dn * C * S + ds * V;
    wrap = (C - 1) * S;
  }

  __device__ __forceinline__ bool inside() const { return i < end; }
  __device__ __forceinline__ unsigned at() const { return offset; }

  __device__ __forceinline__ void next() {
    i += stride;
    offset += leap;
    s += ds;
    if (s >= row) {
      s -= row;
      offset += wrap;
    }
  }
};

// Mean, sum of squared deviations from it, and count of some values.
struct Moments {
  float mean, m2, n;

  __device__ __forceinline__ void add(float value) {  // Welford 1962
    n += 1.0f;
    float d = value - mean;
    mean += d / n;
    m2 += d * (value - mean);
  }

  __device__ __forceinline__ void merge(const Moments& o) {  // Chan et al. 1982
    float all = n + o.n;
    if (all == 0.0f) return;
    float d = o.mean - mean, part = o.n / all;
    mean += d * part;
    m2 += o.m2 + d * d * n * part;
    n = all;
  }

  __device__ __forceinline__ Moments across(int d) const {
    return {__shfl_xor_sync(ALL, mean, d), __shfl_xor_sync(ALL, m2, d),
            __shfl_xor_sync(ALL, n, d)};
  }

  __device__ __forceinline__ void put(float& a, float& b, float& c) const {
    a = mean;
    b = m2;
    c = n;
  }
};

// What the gradient needs of a channel: sums of dy, of dy (x - mean), and of x - mean,
// which is what the rounding of the mean has left.
struct Sums {
  float dy, dyx, x;

  __device__ __forceinline__ void add(float d, float centred) {
    dy += d;
    dyx += d * centred;
    x += centred;
  }

  __device__ __forceinline__ void merge(const Sums& o) {
    dy += o.dy;
    dyx += o.dyx;
    x += o.x;
  }

  __device__ __forceinline__ Sums across(int d) const {
    return {__shfl_xor_sync(ALL, dy, d), __shfl_xor_sync(ALL, dyx, d),
            __shfl_xor_sync(ALL, x, d)};
  }

  __device__ __forceinline__ void put(float& a, float& b, float& c) const {
    a = dy;
    b = dyx;
    c = x;
  }
};

// Merge what the threads of a block hold; each gets the result. The block is a multiple
// of 32 threads. Once in a kernel: a second time would need a barrier before.
template <class A>
__device__ A block_merge(A mine) {
  __shared__ A parts[32];
  unsigned lane = threadIdx.x % 32;
  for (int d = 16; d; d /= 2) mine.merge(mine.across(d));
  if (lane == 0) parts[threadIdx.x / 32] = mine;
  __syncthreads();
  mine = {0.0f, 0.0f, 0.0f};
  if (lane < blockDim.x / 32) mine = parts[lane];
  for (int d = 16; d; d /= 2) mine.merge(mine.across(d));
  return mine;
}

// A parameter that may be left out: its pointer is then null.
__device__ __forceinline__ float value_or(const float* p, unsigned c, float otherwise) {
  return p ? p[c] : otherwise;
}

// y = (x - origin - rest) scale + shift: one multiply-add, once x is centred. To centre
// x first costs no time where memory decides, and keeps the digits of a large mean.
struct Affine {
  float origin, rest, scale, shift;

  Affine() = default;
  __device__ Affine(float origin, float rest, float var, float eps, float gamma,
                    float beta)
      : origin(origin), rest(rest), scale(rsqrtf(var + eps) * gamma), shift(beta) {}

  __device__ __forceinline__ float y(float x) const {
    return ((x - origin) - rest) * scale + shift;
  }
};

// dx = scale ((dy - mean_dy) - (x - mean - rest) slope), with what follows from the
// sums.
struct Gradient {
  float scale, mean_dy, rest, slope, dgamma, dbeta;

  Gradient() = default;
  __device__ Gradient(const Sums& sum, float gamma, float var, float eps, float M) {
    float inv_std = rsqrtf(var + eps);
    rest = sum.x / M;
    dbeta = sum.dy;
    dgamma = inv_std * (sum.dyx - rest * sum.dy);
    scale = gamma * inv_std;
    mean_dy = sum.dy / M;
    slope = inv_std * dgamma / M;
  }

  __device__ __forceinline__ float dx(float dy, float centred) const {
    return scale * ((dy - mean_dy) - (centred - rest) * slope);
  }
};
