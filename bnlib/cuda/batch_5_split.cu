// Step 5: several blocks share a channel.
//
// Against step 4: where there are fewer channels than the chip has room for blocks,
// most of it idles. Here a channel is cut into gridDim.x parts. A first launch leaves
// the moments of each part in `partial`, a second merges them (Chan) and writes y. That
// two launches run one after the other is the barrier between blocks.
//
// Inference is the second launch alone: the statistics are there already.

template <int V>
__device__ Walk<V> part_of_channel(unsigned N, unsigned C, unsigned S) {
  unsigned packets = N * (S / V);
  unsigned each = (packets + gridDim.x - 1) / gridDim.x;
  unsigned first = min(blockIdx.x * each, packets), end = min(first + each, packets);
  return Walk<V>(first + threadIdx.x, end, blockDim.x, blockIdx.y, C, S);
}

// Every block merges the parts of its channel, all in the same order.
template <class A>
__device__ A merge_parts(const float* partial) {
  A mine = {0.0f, 0.0f, 0.0f};
  for (unsigned k = threadIdx.x; k < gridDim.x; k += blockDim.x) {
    const float* p = partial + (blockIdx.y * gridDim.x + k) * 3;
    mine.merge({p[0], p[1], p[2]});
  }
  return block_merge(mine);
}

template <class A>
__device__ void leave_part(const A& mine, float* partial) {
  float* p = partial + (blockIdx.y * gridDim.x + blockIdx.x) * 3;
  if (threadIdx.x == 0) mine.put(p[0], p[1], p[2]);
}

template <class T, int V>
__global__ void __launch_bounds__(512)
    moments_5(const T* x, float* partial, unsigned N, unsigned C, unsigned S) {
  Walk<V> w = part_of_channel<V>(N, C, S);
  Moments m = block_merge(walk_moments(x, float(x[blockIdx.y * S]), w));
  leave_part(m, partial);
}

template <class T, int V>
__global__ void __launch_bounds__(512)
    forward_5(const T* x, const float* partial, const float* gamma, const float* beta,
              T* y, float* mean, float* var, unsigned N, unsigned C, unsigned S,
              float eps) {
  unsigned c = blockIdx.y;
  float origin = float(x[c * S]);
  Moments m = merge_parts<Moments>(partial);
  float v = m.m2 / m.n;
  Affine f(origin, m.mean, v, eps, value_or(gamma, c, 1.0f), value_or(beta, c, 0.0f));
  walk_normalise(x, y, f, part_of_channel<V>(N, C, S));
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    mean[c] = origin + m.mean;
    var[c] = v;
  }
}

template <class T, int V>
__global__ void __launch_bounds__(512)
    sums_5(const T* dy, const T* x, const float* mean, float* partial, unsigned N,
           unsigned C, unsigned S) {
  Walk<V> w = part_of_channel<V>(N, C, S);
  Sums sum = block_merge(walk_sums(dy, x, mean[blockIdx.y], w));
  leave_part(sum, partial);
}

template <class T, int V>
__global__ void __launch_bounds__(512)
    backward_5(const T* dy, const T* x, const float* partial, const float* gamma,
               const float* mean, const float* var, T* dx, float* dgamma, float* dbeta,
               unsigned N, unsigned C, unsigned S, float eps) {
  unsigned c = blockIdx.y;
  Sums sum = merge_parts<Sums>(partial);
  Gradient g(sum, value_or(gamma, c, 1.0f), var[c], eps, float(N * S));
  walk_gradient(dy, x, dx, mean[c], g, part_of_channel<V>(N, C, S));
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    dgamma[c] = g.dgamma;
    dbeta[c] = g.dbeta;
  }
}

template <class T, int V>
__global__ void __launch_bounds__(512)
    inference_5(const T* x, const float* gamma, const float* beta, const float* mean,
                const float* var, T* y, unsigned N, unsigned C, unsigned S, float eps) {
  unsigned c = blockIdx.y;
  Affine f(mean[c], 0.0f, var[c], eps, value_or(gamma, c, 1.0f),
           value_or(beta, c, 0.0f));
  walk_normalise(x, y, f, part_of_channel<V>(N, C, S));
}
