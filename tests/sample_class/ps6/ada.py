# Ada has everything right, in forms of her own.
# expect: 19

# %% blocked
def _one(a, g, b, eps):
    a = a.astype(np.float64)
    d = a - a.mean()
    return d * (g / np.sqrt((d**2).mean() + eps)) + b

def batch_norm_blocked(x, gamma, beta, eps=1e-5):
    y = np.empty(x.shape, dtype=x.dtype)
    for c in range(x.shape[1]):
        y[:, c] = _one(x[:, c], gamma[c], beta[c], eps)
    return y

# %% generic
def batch_norm(xp, x, gamma, beta, eps=1e-5):
    x = x - x.mean((0, 2, 3), keepdims=True)
    s = xp.sqrt((x * x).mean((0, 2, 3), keepdims=True) + eps)
    return gamma[:, None, None] * (x / s) + beta[None, :, None, None]

# %% generic_backward
def batch_norm_backward(xp, dy, x, gamma, eps=1e-5):
    axes = (0, 2, 3)
    m = x.size // x.shape[1]
    r = 1 / xp.sqrt(x.var(axes, keepdims=True) + eps)
    xhat = (x - x.mean(axes, keepdims=True)) * r
    dbeta, dgamma = dy.sum(axes, keepdims=True), (dy * xhat).sum(axes, keepdims=True)
    dx = gamma[:, None, None] * r * (dy - dbeta / m - xhat * (dgamma / m))
    return dx, dgamma.reshape(-1), xp.ravel(dbeta)

# %% row_sums
def row_sums():
    return r"""
template <int D>
__device__ float warp_sum(float v) {
  v += __shfl_down_sync(0xffffffff, v, D);
  if constexpr (D > 1) return warp_sum<D / 2>(v);
  return v;
}
__global__ void row_sums(const float* __restrict__ in, float* __restrict__ out, int n) {
  __shared__ float part[32];
  const float* row = in + blockIdx.x * n;
  float sum = 0.0f;
  for (unsigned i = threadIdx.x; i < n; i += blockDim.x) sum += __ldg(row + i);
  sum = warp_sum<16>(sum);
  if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < blockDim.x / 32; w++) sum += part[w];
    out[blockIdx.x] = sum;
  }
}
"""

# %% forward
def bn_forward():
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
__global__ void bn_forward(const float* x, const float* gamma, const float* beta,
                           float* y, float* mean, float* var, int N, int C, int S,
                           float eps) {
  int c = blockIdx.x, M = N * S;
  float origin = x[c * S], a = 0, b = 0;
  for (int i = threadIdx.x; i < M; i += blockDim.x) {
    float d = x[(i / S * C + c) * S + i % S] - origin;
    a += d;
    b += d * d;
  }
  float mu = block_sum(a) / M, v = block_sum(b) / M - mu * mu;
  float scale = gamma[c] * rsqrtf(v + eps), shift = beta[c];
  for (int i = threadIdx.x; i < M; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    y[k] = scale * (x[k] - origin - mu) + shift;
  }
  if (threadIdx.x == 0) mean[c] = origin + mu, var[c] = v;
}
"""

# %% backward
def bn_backward():
    return r"""
__global__ void bn_backward(const float* dy, const float* x, const float* gamma,
                            const float* mean, const float* inv_std, float* dx,
                            float* dgamma, float* dbeta, int N, int C, int S) {
  __shared__ float2 s[1024];
  int c = blockIdx.x, t = threadIdx.x;
  float2 mine = make_float2(0, 0);
  for (int i = t; i < N * S; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    mine.x += dy[k];
    mine.y += dy[k] * (x[k] - mean[c]) * inv_std[c];
  }
  s[t] = mine;
  __syncthreads();
  for (int size = blockDim.x; size > 1; size = (size + 1) / 2) {
    int o = t + (size + 1) / 2;
    if (t < size / 2) s[t].x += s[o].x, s[t].y += s[o].y;
    __syncthreads();
  }
  float a = s[0].x, b = s[0].y, M = N * S;
  if (t == 0) dbeta[c] = a, dgamma[c] = b;
  for (int i = t; i < N * S; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    dx[k] = gamma[c] * inv_std[c] / M * (M * dy[k] - a - (x[k] - mean[c]) * inv_std[c] * b);
  }
}
"""

# %% lean
def bn_lean():
    return r"""
__device__ float block_sum(float v) {
  __shared__ float s[32];
  for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(0xffffffff, v, d);
  __syncthreads();
  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = v;
  __syncthreads();
  v = 0;
  for (int w = 0; w < blockDim.x / 32; w++) v += s[w];
  return v;
}
__global__ void bn_lean(const float* x, const float* gamma, const float* beta,
                        float* y, float* mean, float* var, int N, int C, int S,
                        float eps) {
  __shared__ float kept[4096];
  int c = blockIdx.x, M = N * S;
  float a = 0, b = 0;
  for (int i = threadIdx.x; i < M; i += blockDim.x) a += kept[i] = x[(i / S * C + c) * S + i % S];
  float mu = block_sum(a) / M;
  for (int i = threadIdx.x; i < M; i += blockDim.x) b += (kept[i] - mu) * (kept[i] - mu);
  float v = block_sum(b) / M;
  for (int i = threadIdx.x; i < M; i += blockDim.x)
    y[(i / S * C + c) * S + i % S] = gamma[c] * (kept[i] - mu) * rsqrtf(v + eps) + beta[c];
  if (threadIdx.x == 0) mean[c] = mu, var[c] = v;
}
"""
