// Layer and RMS norm, at the level of step 4: one block for each row of (R, D).
//
// To a walk, a row is a channel of (1, R, D). What differs: gamma and beta belong to
// the places in a row, so that they are read along with x, gamma is inside of the means
// of the gradient, and its own gradient is a sum down the columns: a tile as in step 7.
//
// RMS norm (CENTRED false) is the same with a mean that is 0, and stays so.

// V values of a parameter, in reads of up to 16 bytes; `otherwise` where it is left
// out.
template <int V>
__device__ __forceinline__ void load_parameter(float (&to)[V], const float* p,
                                               unsigned at, float otherwise) {
  constexpr int W = V < 4 ? V : 4;
#pragma unroll
  for (int j = 0; j < V; j += W) {
    Packet<float, W> part;
    if (p) load(part, p + at + j);
#pragma unroll
    for (int k = 0; k < W; k++) to[j + k] = p ? part.value[k] : otherwise;
  }
}

template <class T, int V>
__device__ Sums walk_squares(const T* x, Walk<V> w) {
  Sums sum = {0.0f, 0.0f, 0.0f};
  each<V>(x, w, [&](auto& p, auto&) {
#pragma unroll
    for (int j = 0; j < V; j++) sum.add(float(p.value[j]), float(p.value[j]));
  });
  return sum;
}

// `mean` is not written for RMS norm; `var` is then the mean square. Two blocks at once
// are enough: left alone, the compiler makes room for three, and spills registers.
template <class T, int V, bool CENTRED>
__global__ void __launch_bounds__(512, 2)
    forward_rows(const T* x, const float* gamma, const float* beta, T* y, float* mean,
                 float* var, unsigned R, unsigned D, float eps) {
  unsigned r = blockIdx.x;
  Walk<V> w(threadIdx.x, D / V, blockDim.x, r, R, D);
  float origin = 0.0f, rest = 0.0f, v;
  if constexpr (CENTRED) {
    origin = float(x[r * D]);
    Moments m = block_merge(walk_moments(x, origin, w));
    rest = m.mean;
    v = m.m2 / m.n;
  } else {
    v = block_merge(walk_squares(x, w)).dyx / D;
  }
  Affine f(origin, rest, v, eps, 1.0f, 0.0f);
  each<V>(x, w, [&](auto& p, auto& here) {
    float g[V], b[V];
    load_parameter(g, gamma, here.s * V, 1.0f);
    load_parameter(b, beta, here.s * V, 0.0f);
#pragma unroll
    for (int j = 0; j < V; j++) p.value[j] = T(f.y(float(p.value[j])) * g[j] + b[j]);
    store(p, y + here.at());
  });
  if (threadIdx.x == 0) {
    var[r] = v;
    if constexpr (CENTRED) mean[r] = origin + rest;
  }
}

// `rest[r]` is left for `parameters_rows`: the mean of x - mean, 0 but for rounding.
template <class T, int V, bool CENTRED>
__global__ void __launch_bounds__(512)
    backward_rows(const T* dy, const T* x, const float* gamma, const float* mean,
                  const float* var, T* dx, float* rest, unsigned R, unsigned D,
                  float eps) {
  unsigned r = blockIdx.x;
  Walk<V> w(threadIdx.x, D / V, blockDim.x, r, R, D);
  float mu = CENTRED ? mean[r] : 0.0f;
  Sums sum = {0.0f, 0.0f, 0.0f};
  each<V>(dy, x, w, [&](auto& q, auto& p, auto& here) {
    float g[V];
    load_parameter(g, gamma, here.s * V, 1.0f);
#pragma unroll
    for (int j = 0; j < V; j++)
      sum.add(float(q.value[j]) * g[j], float(p.value[j]) - mu);
  });
  sum = block_merge(sum);
  if constexpr (!CENTRED) sum.dy = sum.x = 0.0f;
  Gradient f(sum, 1.0f, var[r], eps, float(D));
  each<V>(dy, x, w, [&](auto& q, auto& p, auto& here) {
    float g[V];
    load_parameter(g, gamma, here.s * V, 1.0f);
#pragma unroll
    for (int j = 0; j < V; j++)
      p.value[j] = T(f.dx(float(q.value[j]) * g[j], float(p.value[j]) - mu));
    store(p, dx + here.at());
  });
  if (threadIdx.x == 0) rest[r] = f.rest;
}

// Sums of dy and of dy xhat down the columns, in shares of the rows as in step 7.
template <class T, int V, bool CENTRED>
__global__ void __launch_bounds__(256)
    parameters_rows(const T* dy, const T* x, const float* mean, const float* rest,
                    const float* var, float* partial, unsigned R, unsigned D,
                    float eps) {
  Tile<V> tile(R, D);
  Sums sum[V] = {};
  each<V>(dy, x, tile, [&](auto& q, auto& p, auto& here) {
    float mu = CENTRED ? mean[here.row] : 0.0f, left = rest[here.row];
    float inv_std = rsqrtf(var[here.row] + eps);
#pragma unroll
    for (int j = 0; j < V; j++)
      sum[j].add(float(q.value[j]), ((float(p.value[j]) - mu) - left) * inv_std);
  });
  leave_shares(sum, partial, D);
}

__global__ void __launch_bounds__(256)
    merge_parameters(const float* partial, float* dgamma, float* dbeta, unsigned shares,
                     unsigned D) {
  Sums sum;
  if (!merge_shares(sum, partial, shares, D)) return;
  unsigned c = blockIdx.x * 32 + threadIdx.x;
  dgamma[c] = sum.dyx;
  dbeta[c] = sum.dy;
}
