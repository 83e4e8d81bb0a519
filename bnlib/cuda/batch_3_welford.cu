// Step 3: Welford's moments in one walk, merged by warp shuffles.
//
// Against step 2: mean and squares come out of one walk, so that x is read twice
// instead of three times. Lanes of a warp exchange moments by shuffles: 2 barriers less
// a sum, and 32 entries of shared memory instead of one for each thread.
//
// Moments are those of x minus the channel's first value: that difference is exact
// where the mean is large against the deviations, and its mean is small, so that
// float32 holds it well. (A mean of 10,000 is rounded to a thousandth.)

template <class T>
__global__ void __launch_bounds__(1024)
    forward_3(const T* x, const float* gamma, const float* beta, T* y, float* mean,
              float* var, unsigned N, unsigned C, unsigned S, float eps) {
  unsigned c = blockIdx.x, M = N * S;
  float origin = float(x[c * S]);
  Moments m = {0.0f, 0.0f, 0.0f};
  for (Walk<1> w(threadIdx.x, M, blockDim.x, c, C, S); w.inside(); w.next())
    m.add(float(x[w.at()]) - origin);
  m = block_merge(m);
  float v = m.m2 / M;
  Affine f(origin, m.mean, v, eps, value_or(gamma, c, 1.0f), value_or(beta, c, 0.0f));
  for (Walk<1> w(threadIdx.x, M, blockDim.x, c, C, S); w.inside(); w.next())
    y[w.at()] = T(f.y(float(x[w.at()])));
  if (threadIdx.x == 0) {
    mean[c] = origin + m.mean;
    var[c] = v;
  }
}

template <class T>
__global__ void __launch_bounds__(1024)
    backward_3(const T* dy, const T* x, const float* gamma, const float* mean,
               const float* var, T* dx, float* dgamma, float* dbeta, unsigned N,
               unsigned C, unsigned S, float eps) {
  unsigned c = blockIdx.x, M = N * S;
  float mu = mean[c];
  Sums sum = {0.0f, 0.0f, 0.0f};
  for (Walk<1> w(threadIdx.x, M, blockDim.x, c, C, S); w.inside(); w.next())
    sum.add(float(dy[w.at()]), float(x[w.at()]) - mu);
  Gradient g(block_merge(sum), value_or(gamma, c, 1.0f), var[c], eps, M);
  for (Walk<1> w(threadIdx.x, M, blockDim.x, c, C, S); w.inside(); w.next())
    dx[w.at()] = T(g.dx(float(dy[w.at()]), float(x[w.at()]) - mu));
  if (threadIdx.x == 0) {
    dgamma[c] = g.dgamma;
    dbeta[c] = g.dbeta;
  }
}
