// Prints for ever.
// says: more than 1024 MB of memory|died|does not end|exit status -9
__global__ void row_sums(const float* x, float* sums, int n) {
  for (;;) printf("%0900d", 1);
}
