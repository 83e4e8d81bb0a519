// Loops for ever, and does not hear the alarm.
// says: does not end
extern "C" unsigned sleep(unsigned);
#include <csignal>
__global__ void row_sums(const float* x, float* sums, int n) {
  signal(SIGALRM, SIG_IGN);
  for (;;) sleep(1);
}
