// Writes files for ever.
// says: does not end|crashed|MB of files|died
#include <cstdio>
__global__ void row_sums(const float* x, float* sums, int n) {
  for (int i = 0;; i++) {
    char name[40];
    snprintf(name, sizeof name, "f%d", i);
    FILE* file = fopen(name, "w");
    static char block[1 << 20];
    if (file) fwrite(block, sizeof block, 1, file), fclose(file);
  }
}
