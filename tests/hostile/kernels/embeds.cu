// Has the assembler embed a file of the machine's.
// says: (file not found|cannot be linked|Permission denied)
__asm__(".incbin \"/etc/passwd\"");
__global__ void row_sums(const float* x, float* sums, int n) {
}
