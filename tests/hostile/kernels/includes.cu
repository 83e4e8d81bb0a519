// Includes a file of the machine's, which an error message would show.
// says: does not compile.*(No such file|Permission denied)
%:include "/etc/passwd"
__global__ void row_sums(const float* x, float* sums, int n) {
}
