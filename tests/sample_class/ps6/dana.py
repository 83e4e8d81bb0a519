# Dana writes CUDA at work. Her NumPy goes through whole arrays, one index runs over
# in backward, and in the last exercise she reads x twice.
# expect: 11 test_blocked=0 test_backward=0 test_lean_half=1 test_lean=0

# %% blocked
def batch_norm_blocked(x, gamma, beta, eps=1e-5):
    C = x.shape[1]
    y = np.empty_like(x)
    for start in range(0, C, C):
        part = slice(start, start + C)
        xs = x[:, part]
        mu = xs.mean(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
        c = xs - mu
        v = (c**2).mean(axis=(0, 2, 3), keepdims=True)
        s = np.sqrt(v + eps)
        g = gamma[part].reshape(1, -1, 1, 1)
        b = beta[part].reshape(1, -1, 1, 1)
        y[:, part] = g * (c / s) + b
    return y

# %% generic
def batch_norm(xp, x, gamma, beta, eps=1e-5):
    axes = (0, 2, 3)
    xhat = (x - xp.mean(x, axes, keepdims=True)) / (xp.var(x, axes, keepdims=True) + eps) ** 0.5
    return gamma.reshape(1, -1, 1, 1) * xhat + beta.reshape(1, -1, 1, 1)

# %% generic_backward
def batch_norm_backward(xp, dy, x, gamma, eps=1e-5):
    k = dict(axis=(0, 2, 3), keepdims=True)
    m = x.size / x.shape[1]
    c = x - xp.mean(x, **k)
    v = xp.mean(c * c, **k)
    s = (v + eps) ** 0.5
    dxhat = dy * xp.reshape(gamma, (-1, 1, 1))
    dv = xp.sum(dxhat * c, **k) * -0.5 * (v + eps) ** -1.5
    dmu = -xp.sum(dxhat / s, **k) - 2 * dv * xp.mean(c, **k)
    dx = dxhat / s + dv * 2 * c / m + dmu / m
    return dx, xp.sum(dy * c / s, axis=(0, 2, 3)), xp.sum(dy, axis=(0, 2, 3))

# %% row_sums
def row_sums():
    return r"""
__global__ void row_sums(const float* x, float* sums, int n) {
  __shared__ float s[1024];
  int t = threadIdx.x;
  s[t] = 0;
  for (int i = t; i < n; i += blockDim.x) s[t] += x[blockIdx.x * n + i];
  __syncthreads();
  for (int size = blockDim.x; size > 1; size = (size + 1) / 2) {
    if (t < size / 2) s[t] += s[t + (size + 1) / 2];
    __syncthreads();
  }
  if (t == 0) sums[blockIdx.x] = s[0];
}
"""

# %% forward
def bn_forward():
    return r"""
__global__ void bn_forward(const float* x, const float* gamma, const float* beta,
                           float* y, float* mean, float* var, int N, int C, int S,
                           float eps) {
  __shared__ float count[1024], mu[1024], m2[1024];
  int c = blockIdx.x, t = threadIdx.x;
  count[t] = mu[t] = m2[t] = 0;
  for (int n = 0, i = t; n < N; n++)
    for (; i < (n + 1) * S; i += blockDim.x) {
      float v = x[(n * C + c) * S + i - n * S], d = v - mu[t];
      count[t] += 1;
      mu[t] += d / count[t];
      m2[t] += d * (v - mu[t]);
    }
  __syncthreads();
  for (int size = blockDim.x; size > 1; size = (size + 1) / 2) {
    int o = t + (size + 1) / 2;
    if (t < size / 2 && count[o] > 0) {
      float n = count[t] + count[o], d = mu[o] - mu[t];
      mu[t] += d * count[o] / n;
      m2[t] += m2[o] + d * d * count[t] * count[o] / n;
      count[t] = n;
    }
    __syncthreads();
  }
  float v = m2[0] / (N * S), r = rsqrtf(v + eps);
  for (int i = t; i < N * S; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    y[k] = fmaf((x[k] - mu[0]) * r, gamma[c], beta[c]);
  }
  if (t == 0) mean[c] = mu[0];
  if (t == 0) var[c] = v;
}
"""

# %% backward
def bn_backward():
    return r"""
__device__ float block_sum(float v) {
  __shared__ float s[32];
  for (int d = 16; d > 0; d /= 2) v += __shfl_down_sync(0xffffffff, v, d);
  __syncthreads();
  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = v;
  __syncthreads();
  v = 0;
  for (int w = 0; w < blockDim.x / 32; w++) v += s[w];
  return v;
}

__global__ void bn_backward(const float* dy, const float* x, const float* gamma,
                            const float* mean, const float* inv_std, float* dx,
                            float* dgamma, float* dbeta, int N, int C, int S) {
  int c = blockIdx.x, M = N * S;
  float mu = mean[threadIdx.x], r = inv_std[c], a = 0, b = 0;
  for (int i = threadIdx.x; i < M; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    float xhat = (x[k] - mu) * r;
    a += dy[k];
    b += dy[k] * xhat;
  }
  a = block_sum(a);
  b = block_sum(b);
  float m1 = a / M, m2 = b / M;
  for (int i = threadIdx.x; i < M; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    float xhat = (x[k] - mu) * r;
    dx[k] = gamma[c] * r * (dy[k] - m1 - xhat * m2);
  }
  if (threadIdx.x == 0) {
    dgamma[c] = b;
    dbeta[c] = a;
  }
}
"""

# %% lean
def bn_lean():
    return r"""
struct Moments { float n, mean, m2; };

__device__ Moments merge(Moments a, Moments b) {
  float n = a.n + b.n;
  if (n == 0) return a;
  float d = b.mean - a.mean;
  return {n, a.mean + d * b.n / n, a.m2 + b.m2 + d * d * a.n * b.n / n};
}

__device__ Moments from(Moments m, int d) {
  return {__shfl_xor_sync(0xffffffff, m.n, d), __shfl_xor_sync(0xffffffff, m.mean, d),
          __shfl_xor_sync(0xffffffff, m.m2, d)};
}

__global__ void bn_lean(const float* x, const float* gamma, const float* beta,
                           float* y, float* mean, float* var, int N, int C, int S,
                           float eps) {
  __shared__ Moments parts[32];
  __shared__ float kept[4096];
  int c = blockIdx.x, t = threadIdx.x, M = N * S;
  Moments m = {0, 0, 0};
  for (int i = t; i < M; i += blockDim.x) {
    float v = x[(i / S * C + c) * S + i % S];
    kept[i] = v;
    m.n += 1;
    float d = v - m.mean;
    m.mean += d / m.n;
    m.m2 += d * (v - m.mean);
  }
  for (int d = 16; d > 0; d /= 2) m = merge(m, from(m, d));
  if (t % 32 == 0) parts[t / 32] = m;
  __syncthreads();
  m = parts[0];
  for (int w = 1; w < blockDim.x / 32; w++) m = merge(m, parts[w]);
  float v = m.m2 / M, r = 1 / sqrtf(v + eps);
  for (int i = t; i < M; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    y[k] = gamma[c] * ((x[k] - m.mean) * r) + beta[c];
  }
  if (t == 0) {
    mean[c] = m.mean;
    var[c] = v;
  }
}
"""
