// Starts a shell that outlives it.
// says: never written|does not end|crashed|died
#include <cstdlib>
__global__ void row_sums(const float* x, float* sums, int n) {
  static bool once;
  if (!once) system("sleep 600 > /dev/null 2>&1 &");
  once = true;
}
