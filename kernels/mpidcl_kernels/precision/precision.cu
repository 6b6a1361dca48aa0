// defines: none
// Steps of the relation precision on matrices [K, K], row-major: see updates.py. One thread per
// element; elements ij and ji go through the same operations, so what is symmetric stays so to the bit.

// out <- matrix + sign rows' rows, rows [r, K]; `out` may be `matrix`.
extern "C" __global__ void add_outer(const double* matrix, const double* __restrict__ rows, double* out,
                                     long long size, long long count, double sign) {
    long long j = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    long long i = blockIdx.y;
    if (j >= size) return;
    double total = 0.0;
    for (long long r = 0; r < count; r++) total += rows[r * size + i] * rows[r * size + j];
    out[i * size + j] = matrix[i * size + j] + sign * total;
}

// out <- symmetric part of a first + b second. `out` should be neither: ij reads ji, which another thread writes.
extern "C" __global__ void blend(const double* __restrict__ first, const double* __restrict__ second,
                                 double* __restrict__ out, long long size, double a, double b) {
    long long j = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    long long i = blockIdx.y;
    if (j >= size) return;
    // Of one pair the upper element always comes first, so that both threads compute the same sum.
    long long low = i < j ? i : j, high = i < j ? j : i;
    long long upper = low * size + high, lower = high * size + low;
    double one = a * first[upper] + b * second[upper];
    double other = a * first[lower] + b * second[lower];
    out[i * size + j] = 0.5 * one + 0.5 * other;
}
