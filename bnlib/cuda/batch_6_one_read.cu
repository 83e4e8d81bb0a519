// Step 6: one read, as the slab stays on the chip.
//
// Against step 4: each thread keeps the packets that it reads in shared memory and
// takes them from there the second time: 1 read and 1 write, the least there can be
// (backward: 2 and 1). No barrier is needed for them, a thread takes back what it put
// there itself, and neighbours use neighbouring banks. A slab must fit: N * S values,
// of x and in the backward pass of dy; 48 KiB on any chip, 227 KiB on sm_90 when asked
// for.
//
// But: a channel that is larger than that would need a cluster of blocks; not here.

extern __shared__ uint4 slab[];

template <class T, int V>
__device__ __forceinline__ Packet<T, V>* slab_of() {
  return reinterpret_cast<Packet<T, V>*>(slab);
}

template <class T, int V>
__device__ Moments keep_moments(const T* x, float origin, Walk<V> w) {
  auto* kept = slab_of<T, V>();
  Moments m = {0.0f, 0.0f, 0.0f};
  while (w.inside()) {
    Packet<T, V> p[FLIGHT];
    unsigned i = w.i;
    int count = fetch(p, x, w);
#pragma unroll
    for (int k = 0; k < FLIGHT; k++)
      if (k < count) kept[i + k * w.stride].word = p[k].word;
    m.merge(moments_of(p, count, origin));
  }
  return m;
}

template <class T, int V>
__global__ void __launch_bounds__(1024)
    forward_6(const T* x, const float* gamma, const float* beta, T* y, float* mean,
              float* var, unsigned N, unsigned C, unsigned S, float eps) {
  unsigned c = blockIdx.x, end = N * (S / V);
  Walk<V> w(threadIdx.x, end, blockDim.x, c, C, S);
  float origin = float(x[c * S]);
  Moments m = block_merge(keep_moments(x, origin, w));
  float v = m.m2 / m.n;
  Affine f(origin, m.mean, v, eps, value_or(gamma, c, 1.0f), value_or(beta, c, 0.0f));
  for (; w.inside(); w.next()) {
    Packet<T, V> p;
    p.word = slab_of<T, V>()[w.i].word;
#pragma unroll
    for (int j = 0; j < V; j++) p.value[j] = T(f.y(float(p.value[j])));
    store(p, y + w.at());
  }
  if (threadIdx.x == 0) {
    mean[c] = origin + m.mean;
    var[c] = v;
  }
}

template <class T, int V>
__device__ Sums keep_sums(const T* dy, const T* x, float mean, Walk<V> w) {
  auto *kept_x = slab_of<T, V>(), *kept_dy = kept_x + w.end;
  Sums sum = {0.0f, 0.0f, 0.0f};
  each<V>(dy, x, w, [&](auto& q, auto& p, auto& here) {
    kept_x[here.i].word = p.word;
    kept_dy[here.i].word = q.word;
#pragma unroll
    for (int j = 0; j < V; j++) sum.add(float(q.value[j]), float(p.value[j]) - mean);
  });
  return sum;
}

template <class T, int V>
__global__ void __launch_bounds__(1024)
    backward_6(const T* dy, const T* x, const float* gamma, const float* mean,
               const float* var, T* dx, float* dgamma, float* dbeta, unsigned N,
               unsigned C, unsigned S, float eps) {
  unsigned c = blockIdx.x, end = N * (S / V);
  Walk<V> w(threadIdx.x, end, blockDim.x, c, C, S);
  float mu = mean[c];
  Sums sum = block_merge(keep_sums(dy, x, mu, w));
  Gradient g(sum, value_or(gamma, c, 1.0f), var[c], eps, float(N * S));
  for (; w.inside(); w.next()) {
    Packet<T, V> p, q;
    p.word = slab_of<T, V>()[w.i].word;
    q.word = slab_of<T, V>()[end + w.i].word;
#pragma unroll
    for (int j = 0; j < V; j++)
      p.value[j] = T(g.dx(float(q.value[j]), float(p.value[j]) - mu));
    store(p, dx + w.at());
  }
  if (threadIdx.x == 0) {
    dgamma[c] = g.dgamma;
    dbeta[c] = g.dbeta;
  }
}
