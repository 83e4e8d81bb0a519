// A program of 3 GiB.
// says: cannot be linked|does not compile
char huge[3ull << 30] = {1};
__global__ void row_sums(const float* x, float* sums, int n) {
  sums[0] = huge[1];
}
