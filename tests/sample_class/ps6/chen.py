# Chen knows NumPy, and has just met CUDA: a barrier and digits are missing, and
# np. has stayed in one line.
# expect: 8 test_generic_backward=0 test_row_sums=0 test_forward=0 test_lean=0

# %% blocked
def batch_norm_blocked(x, gamma, beta, eps=1e-5):
    C = x.shape[1]
    y = np.empty_like(x)
    for start in range(0, C, 2):
        part = slice(start, start + 2)
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
    mu = xp.mean(x, axis=(0, 2, 3), keepdims=True)
    c = x - mu
    v = xp.mean(c**2, axis=(0, 2, 3), keepdims=True)
    s = xp.sqrt(v + eps)
    g = xp.reshape(gamma, (1, -1, 1, 1))
    b = xp.reshape(beta, (1, -1, 1, 1))
    return g * (c / s) + b

# %% generic_backward
def batch_norm_backward(xp, dy, x, gamma, eps=1e-5):
    M = x.shape[0] * x.shape[2] * x.shape[3]
    mean = lambda a: xp.mean(a, axis=(0, 2, 3), keepdims=True)
    mu = mean(x)
    c = x - mu
    s = np.sqrt(mean(c**2) + eps)
    xhat = c / s
    dbeta = xp.sum(dy, axis=(0, 2, 3))
    dgamma = xp.sum(dy * xhat, axis=(0, 2, 3))
    d = xp.reshape(gamma, (1, -1, 1, 1)) * dy
    m1 = mean(d)
    m2 = mean(d * xhat)
    dx = (d - m1 - xhat * m2) / s
    return dx, dgamma, dbeta

# %% row_sums
def row_sums():
    return r"""
__global__ void row_sums(const float* x, float* sums, int n) {
  __shared__ float s[32];
  int t = threadIdx.x, lane = t % 32, warp = t / 32, warps = blockDim.x / 32;
  float mine = 0;
  for (int i = t; i < n; i += blockDim.x) mine += x[blockIdx.x * n + i];
  for (int d = 16; d > 0; d /= 2) mine += __shfl_down_sync(0xffffffff, mine, d);
  if (lane == 0) s[warp] = mine;
  if (warp == 0) {
    mine = lane < warps ? s[lane] : 0;
    for (int d = 16; d > 0; d /= 2) mine += __shfl_down_sync(0xffffffff, mine, d);
    if (lane == 0) sums[blockIdx.x] = mine;
  }
}
"""

# %% forward
def bn_forward():
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

__global__ void bn_forward(const float* x, const float* gamma, const float* beta,
                           float* y, float* mean, float* var, int N, int C, int S,
                           float eps) {
  __shared__ Moments parts[32];
  int c = blockIdx.x, t = threadIdx.x, M = N * S;
  float a = 0, b = 0;
  for (int i = t; i < M; i += blockDim.x) {
    float v = x[(i / S * C + c) * S + i % S];
    a += v;
    b += v * v;
  }
  __shared__ float sa[1024], sb[1024];
  sa[t] = a;
  sb[t] = b;
  __syncthreads();
  a = b = 0;
  for (int w = 0; w < blockDim.x; w++) a += sa[w], b += sb[w];
  Moments m = {float(M), a / M, b - a / M * a};
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
  float mu = mean[c], r = inv_std[c], a = 0, b = 0;
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
