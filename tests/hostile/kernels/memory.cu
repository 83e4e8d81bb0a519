// Takes all the memory there is.
// says: more than 1024 MB of memory|exit status -9|died|does not end
#include <cstdlib>
#include <cstring>
__global__ void row_sums(const float* x, float* sums, int n) {
  for (;;) {
    void* p = malloc(1 << 28);
    if (p) memset(p, 1, 1 << 28);
  }
}
