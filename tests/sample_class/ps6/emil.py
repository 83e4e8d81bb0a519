# Emil's kernel never ends, his next does not compile, and one reads a file of the
# grader's. The rest is blank.
# expect: 0

# %% row_sums
def row_sums():
    return r"""
__global__ void row_sums(const float* x, float* sums, int n) {
  __shared__ float s[1024];
  int t = threadIdx.x;
  s[t] = 0;
  for (int i = t; i < n; i += blockDim.x) s[t] += x[blockIdx.x * n + i];
  __syncthreads();
  for (int size = blockDim.x; size > 0; size = (size + 1) / 2) {
    if (t < size / 2) s[t] += s[t + (size + 1) / 2];
    __syncthreads();
  }
  if (t == 0) sums[blockIdx.x] = s[0];
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
  Moments m = {0, 0, 0};
  for (int i = t; i < M; i += blockDim.x) {
    float v = x[(i / S * C + c) * S + i % S];
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
  real v = m.m2 / M, r = 1 / sqrtf(v + eps);
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
#include "/etc/passwd"
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
