// Loops for ever.
// says: does not end
__global__ void row_sums(const float* x, float* sums, int n) {
  while (true) sums[0] = 1;
}
