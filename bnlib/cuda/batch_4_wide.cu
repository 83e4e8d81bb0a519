// Step 4: 16-byte reads, several of them in flight.
//
// Against step 3: a thread asks for FLIGHT packets before it uses the first, so that
// the memory always has something to do, and a packet is up to 16 bytes (V values), a
// quarter of the instructions. The moments of what is in hand are taken in two turns in
// registers, and merged by one division instead of one for each value.
//
// V is the widest that divides a row and its address (shapes.py); V = 1 takes anything.

constexpr int FLIGHT = 4;

// Ask for up to FLIGHT packets; return how many there were. The places go on.
template <class T, int V, class Places>
__device__ __forceinline__ int fetch(Packet<T, V> (&p)[FLIGHT], const T* x,
                                     Places& places) {
  int count = 0;
#pragma unroll
  for (int k = 0; k < FLIGHT; k++) {
    if (places.inside()) {
      load(p[k], x + places.at());
      count = k + 1;
    }
    places.next();
  }
  return count;
}

// Call use(packet of x, its place) for all places, FLIGHT packets at a time.
template <int V, class T, class Places, class Use>
__device__ __forceinline__ void each(const T* x, Places places, Use use) {
  while (places.inside()) {
    Packet<T, V> p[FLIGHT];
    Places here = places;
    int count = fetch(p, x, places);
#pragma unroll
    for (int k = 0; k < FLIGHT; k++) {
      if (k < count) use(p[k], here);
      here.next();
    }
  }
}

// The same for packets of dy and of x.
template <int V, class T, class Places, class Use>
__device__ __forceinline__ void each(const T* dy, const T* x, Places places, Use use) {
  while (places.inside()) {
    Packet<T, V> p[FLIGHT], q[FLIGHT];
    Places here = places, same = places;
    int count = fetch(p, x, places);
    fetch(q, dy, same);
#pragma unroll
    for (int k = 0; k < FLIGHT; k++) {
      if (k < count) use(q[k], p[k], here);
      here.next();
    }
  }
}

// Moments of x - origin over `count` packets: their mean first, then the deviations.
template <class T, int V>
__device__ __forceinline__ Moments moments_of(const Packet<T, V> (&p)[FLIGHT],
                                              int count, float origin) {
  float sum = 0.0f, m2 = 0.0f;
#pragma unroll
  for (int k = 0; k < FLIGHT; k++)
    if (k < count)
#pragma unroll
      for (int j = 0; j < V; j++) sum += float(p[k].value[j]) - origin;
  float n = float(count * V), mean = sum / n;
#pragma unroll
  for (int k = 0; k < FLIGHT; k++)
    if (k < count)
#pragma unroll
      for (int j = 0; j < V; j++) {
        float d = (float(p[k].value[j]) - origin) - mean;
        m2 += d * d;
      }
  return {mean, m2, n};
}

template <class T, int V>
__device__ Moments walk_moments(const T* x, float origin, Walk<V> w) {
  Moments m = {0.0f, 0.0f, 0.0f};
  while (w.inside()) {
    Packet<T, V> p[FLIGHT];
    int count = fetch(p, x, w);
    m.merge(moments_of(p, count, origin));
  }
  return m;
}

template <class T, int V>
__device__ void walk_normalise(const T* x, T* y, const Affine& f, Walk<V> w) {
  each<V>(x, w, [&](auto& p, auto& here) {
#pragma unroll
    for (int j = 0; j < V; j++) p.value[j] = T(f.y(float(p.value[j])));
    store(p, y + here.at());
  });
}

template <class T, int V>
__device__ Sums walk_sums(const T* dy, const T* x, float mean, Walk<V> w) {
  Sums sum = {0.0f, 0.0f, 0.0f};
  each<V>(dy, x, w, [&](auto& q, auto& p, auto&) {
#pragma unroll
    for (int j = 0; j < V; j++) sum.add(float(q.value[j]), float(p.value[j]) - mean);
  });
  return sum;
}

template <class T, int V>
__device__ void walk_gradient(const T* dy, const T* x, T* dx, float mean,
                              const Gradient& g, Walk<V> w) {
  each<V>(dy, x, w, [&](auto& q, auto& p, auto& here) {
#pragma unroll
    for (int j = 0; j < V; j++)
      p.value[j] = T(g.dx(float(q.value[j]), float(p.value[j]) - mean));
    store(p, dx + here.at());
  });
}

template <class T, int V>
__global__ void __launch_bounds__(1024)
    forward_4(const T* x, const float* gamma, const float* beta, T* y, float* mean,
              float* var, unsigned N, unsigned C, unsigned S, float eps) {
  unsigned c = blockIdx.x, end = N * (S / V);
  Walk<V> w(threadIdx.x, end, blockDim.x, c, C, S);
  float origin = float(x[c * S]);
  Moments m = block_merge(walk_moments(x, origin, w));
  float v = m.m2 / m.n;
  Affine f(origin, m.mean, v, eps, value_or(gamma, c, 1.0f), value_or(beta, c, 0.0f));
  walk_normalise(x, y, f, w);
  if (threadIdx.x == 0) {
    mean[c] = origin + m.mean;
    var[c] = v;
  }
}

template <class T, int V>
__global__ void __launch_bounds__(1024)
    backward_4(const T* dy, const T* x, const float* gamma, const float* mean,
               const float* var, T* dx, float* dgamma, float* dbeta, unsigned N,
               unsigned C, unsigned S, float eps) {
  unsigned c = blockIdx.x, end = N * (S / V);
  Walk<V> w(threadIdx.x, end, blockDim.x, c, C, S);
  float mu = mean[c];
  Sums sum = block_merge(walk_sums(dy, x, mu, w));
  Gradient g(sum, value_or(gamma, c, 1.0f), var[c], eps, float(N * S));
  walk_gradient(dy, x, dx, mu, g, w);
  if (threadIdx.x == 0) {
    dgamma[c] = g.dgamma;
    dbeta[c] = g.dbeta;
  }
}
