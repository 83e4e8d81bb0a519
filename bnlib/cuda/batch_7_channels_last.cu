// Step 7: tiles for channels-last, (M, C) in memory, and for (N, C).
//
// Against step 5: neighbours in memory are now neighbouring channels. A walk along one
// channel would use V values of each sector and throw the others away. So a warp takes
// 32 packets of one row, a thread keeps the moments of its V channels, and a block of
// (32, up to ROWS) threads works down a tile of 32 * V channels, a share of the rows.
// The shares are merged by a launch of its own, one thread for each channel and share:
// here a block would need the totals of all its channels, not of one.
//
// Inference is `forward_7` alone, with the running mean for `origin`.

constexpr int ROWS = 8;

// The rows of one tile that a thread takes, and where its V channels start.
template <int V>
struct Tile {
  unsigned c, C, row, end;

  __device__ Tile(unsigned M, unsigned C) : C(C) {
    c = (blockIdx.x * 32 + threadIdx.x) * V;
    unsigned each = (M + gridDim.y - 1) / gridDim.y, first = min(blockIdx.y * each, M);
    row = first + threadIdx.y;
    end = c < C ? min(first + each, M) : 0;
  }

  __device__ __forceinline__ bool inside() const { return row < end; }
  __device__ __forceinline__ unsigned at() const { return row * C + c; }
  __device__ __forceinline__ void next() { row += blockDim.y; }
};

// Merge what threads of equal channels hold, and leave it for `merge_shares`:
// partial[share][3][C].
template <class A, int V>
__device__ void leave_shares(const A (&mine)[V], float* partial, unsigned C) {
  __shared__ A parts[ROWS][V * 32];
#pragma unroll
  for (int j = 0; j < V; j++) parts[threadIdx.y][j * 32 + threadIdx.x] = mine[j];
  __syncthreads();
  for (unsigned j = threadIdx.y; j < V; j += blockDim.y) {
    unsigned c = (blockIdx.x * 32 + threadIdx.x) * V + j;
    if (c >= C) return;
    A all = parts[0][j * 32 + threadIdx.x];
    for (unsigned y = 1; y < blockDim.y; y++) all.merge(parts[y][j * 32 + threadIdx.x]);
    float* to = partial + blockIdx.y * 3 * C + c;
    all.put(to[0], to[C], to[2 * C]);
  }
}

// Merge the shares of a channel: blocks of (32 channels, up to ROWS). True for the one
// thread of each channel that has the result.
template <class A>
__device__ bool merge_shares(A& mine, const float* partial, unsigned shares,
                             unsigned C) {
  __shared__ A parts[ROWS][32];
  unsigned c = blockIdx.x * 32 + threadIdx.x;
  mine = {0.0f, 0.0f, 0.0f};
  for (unsigned k = threadIdx.y; c < C && k < shares; k += blockDim.y) {
    const float* from = partial + k * 3 * C + c;
    mine.merge({from[0], from[C], from[2 * C]});
  }
  parts[threadIdx.y][threadIdx.x] = mine;
  __syncthreads();
  if (threadIdx.y || c >= C) return false;
  for (unsigned y = 1; y < blockDim.y; y++) mine.merge(parts[y][threadIdx.x]);
  return true;
}

template <class T, int V>
__global__ void __launch_bounds__(256)
    moments_7(const T* x, float* partial, unsigned M, unsigned C) {
  Tile<V> tile(M, C);
  Moments m[V] = {};
  Packet<T, V> origin;  // the first row, as in step 3
  if (tile.c < C) load(origin, x + tile.c);
  while (tile.inside()) {
    Packet<T, V> p[FLIGHT];
    int count = fetch(p, x, tile);
#pragma unroll
    for (int j = 0; j < V; j++) {
      float sum = 0.0f, m2 = 0.0f;
#pragma unroll
      for (int k = 0; k < FLIGHT; k++)
        if (k < count) sum += float(p[k].value[j]) - float(origin.value[j]);
      float mean = sum / count;
#pragma unroll
      for (int k = 0; k < FLIGHT; k++)
        if (k < count) {
          float d = (float(p[k].value[j]) - float(origin.value[j])) - mean;
          m2 += d * d;
        }
      m[j].merge({mean, m2, float(count)});
    }
  }
  leave_shares(m, partial, C);
}

// `rest` is the mean of x - origin.
template <class T>
__global__ void __launch_bounds__(256)
    merge_moments_7(const T* x, const float* partial, float* origin, float* rest,
                    float* mean, float* var, unsigned shares, unsigned C) {
  Moments m;
  if (!merge_shares(m, partial, shares, C)) return;
  unsigned c = blockIdx.x * 32 + threadIdx.x;
  origin[c] = float(x[c]);
  rest[c] = m.mean;
  mean[c] = float(x[c]) + m.mean;
  var[c] = m.m2 / m.n;
}

template <class T, int V>
__global__ void __launch_bounds__(256)
    forward_7(const T* x, const float* origin, const float* rest, const float* var,
              const float* gamma, const float* beta, T* y, unsigned M, unsigned C,
              float eps) {
  Tile<V> tile(M, C);
  if (!tile.inside()) return;
  Affine f[V];
#pragma unroll
  for (int j = 0; j < V; j++) {
    unsigned c = tile.c + j;
    f[j] = Affine(origin[c], value_or(rest, c, 0.0f), var[c], eps,
                  value_or(gamma, c, 1.0f), value_or(beta, c, 0.0f));
  }
  each<V>(x, tile, [&](auto& p, auto& here) {
#pragma unroll
    for (int j = 0; j < V; j++) p.value[j] = T(f[j].y(float(p.value[j])));
    store(p, y + here.at());
  });
}

template <class T, int V>
__global__ void __launch_bounds__(256)
    sums_7(const T* dy, const T* x, const float* mean, float* partial, unsigned M,
           unsigned C) {
  Tile<V> tile(M, C);
  Sums sum[V] = {};
  float mu[V];
#pragma unroll
  for (int j = 0; j < V; j++) mu[j] = tile.c < C ? mean[tile.c + j] : 0.0f;
  each<V>(dy, x, tile, [&](auto& q, auto& p, auto&) {
#pragma unroll
    for (int j = 0; j < V; j++)
      sum[j].add(float(q.value[j]), float(p.value[j]) - mu[j]);
  });
  leave_shares(sum, partial, C);
}

// total[3][C]: the sums of each channel.
__global__ void __launch_bounds__(256)
    merge_sums_7(const float* partial, const float* var, float* total, float* dgamma,
                 float* dbeta, unsigned shares, unsigned M, unsigned C, float eps) {
  Sums sum;
  if (!merge_shares(sum, partial, shares, C)) return;
  unsigned c = blockIdx.x * 32 + threadIdx.x;
  sum.put(total[c], total[C + c], total[2 * C + c]);
  Gradient g(sum, 1.0f, var[c], eps, float(M));
  dgamma[c] = g.dgamma;
  dbeta[c] = g.dbeta;
}

template <class T, int V>
__global__ void __launch_bounds__(256)
    backward_7(const T* dy, const T* x, const float* gamma, const float* mean,
               const float* var, const float* total, T* dx, unsigned M, unsigned C,
               float eps) {
  Tile<V> tile(M, C);
  if (!tile.inside()) return;
  Gradient g[V];
  float mu[V];
#pragma unroll
  for (int j = 0; j < V; j++) {
    unsigned c = tile.c + j;
    mu[j] = mean[c];
    g[j] = Gradient({total[c], total[C + c], total[2 * C + c]},
                    value_or(gamma, c, 1.0f), var[c], eps, float(M));
  }
  each<V>(dy, x, tile, [&](auto& q, auto& p, auto& here) {
#pragma unroll
    for (int j = 0; j < V; j++)
      p.value[j] = T(g[j].dx(float(q.value[j]), float(p.value[j]) - mu[j]));
    store(p, dx + here.at());
  });
}
