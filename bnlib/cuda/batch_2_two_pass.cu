// Step 2: one block for each channel.
//
// Against step 1, an expression of whole arrays: each operation there reads and writes
// all of x. Here a block walks over its channel three times, once for the mean, once
// for the squares and once to write y, and what it works out in between stays in
// registers and shared memory: 3 reads and 1 write of x, whatever the formula.
//
// The second walk also sums x - mean: what the rounding of the mean has left.

template <class T>
__device__ float at(const T* x, unsigned i, unsigned c, unsigned C, unsigned S) {
  return float(x[(i / S * C + c) * S + i % S]);
}

// The sum of `mine` over the block, by halves: for any number of threads up to 1024.
__device__ float block_sum(float mine) {
  __shared__ float s[1024];
  unsigned t = threadIdx.x;
  __syncthreads();  // all have read the sum before
  s[t] = mine;
  __syncthreads();
  for (unsigned n = blockDim.x; n > 1; n = (n + 1) / 2) {
    if (t < n / 2) s[t] += s[t + (n + 1) / 2];
    __syncthreads();
  }
  return s[0];
}

template <class T>
__global__ void __launch_bounds__(1024)
    forward_2(const T* x, const float* gamma, const float* beta, T* y, float* mean,
              float* var, unsigned N, unsigned C, unsigned S, float eps) {
  unsigned c = blockIdx.x, M = N * S;
  float sum = 0.0f, rest = 0.0f, squares = 0.0f;
  for (unsigned i = threadIdx.x; i < M; i += blockDim.x) sum += at(x, i, c, C, S);
  float mu = block_sum(sum) / M;
  for (unsigned i = threadIdx.x; i < M; i += blockDim.x) {
    float d = at(x, i, c, C, S) - mu;
    rest += d;
    squares += d * d;
  }
  rest = block_sum(rest) / M;
  float v = block_sum(squares) / M - rest * rest;
  Affine f(mu, rest, v, eps, value_or(gamma, c, 1.0f), value_or(beta, c, 0.0f));
  for (unsigned i = threadIdx.x; i < M; i += blockDim.x)
    y[(i / S * C + c) * S + i % S] = T(f.y(at(x, i, c, C, S)));
  if (threadIdx.x == 0) {
    mean[c] = mu + rest;
    var[c] = v;
  }
}

template <class T>
__global__ void __launch_bounds__(1024)
    backward_2(const T* dy, const T* x, const float* gamma, const float* mean,
               const float* var, T* dx, float* dgamma, float* dbeta, unsigned N,
               unsigned C, unsigned S, float eps) {
  unsigned c = blockIdx.x, M = N * S;
  float mu = mean[c];
  Sums mine = {0.0f, 0.0f, 0.0f};
  for (unsigned i = threadIdx.x; i < M; i += blockDim.x)
    mine.add(at(dy, i, c, C, S), at(x, i, c, C, S) - mu);
  Sums all = {block_sum(mine.dy), block_sum(mine.dyx), block_sum(mine.x)};
  Gradient g(all, value_or(gamma, c, 1.0f), var[c], eps, M);
  for (unsigned i = threadIdx.x; i < M; i += blockDim.x)
    dx[(i / S * C + c) * S + i % S] =
        T(g.dx(at(dy, i, c, C, S), at(x, i, c, C, S) - mu));
  if (threadIdx.x == 0) {
    dgamma[c] = g.dgamma;
    dbeta[c] = g.dbeta;
  }
}
