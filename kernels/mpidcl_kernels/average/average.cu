// defines: REAL=float | REAL=double
// One thread per value of the result; it goes through the arrays in their order.
// table[4 * j]: address of array j, its first place, how many places, address of its Fisher information or 0.

// Each product and sum is rounded by itself, as on the CPU: the same bits on both.
#ifdef __CUDA_ARCH__
#define TIMES(x, y) __dmul_rn(x, y)
#define PLUS(x, y) __dadd_rn(x, y)
#else
#define TIMES(x, y) ((x) * (y))
#define PLUS(x, y) ((x) + (y))
#endif

// The value of the array at `address` for place i, which is `k` after its first; `otherwise` if it has none.
__device__ static double value_of(long long address, long long k, long long size, double otherwise) {
    return address != 0 && k >= 0 && k < size ? (double)((const REAL*)address)[k] : otherwise;
}

// `own` is the address of the values that stand in, `out` may be one of the arrays.
extern "C" __global__ void weighted_average(const long long* table, const double* weights, const REAL* own, REAL* out,
                                            long long n, long long p) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= p) return;
    double mine = own[i], total = 0;
#pragma unroll 4
    for (long long j = 0; j < n; j++) {
        const long long* row = table + 4 * j;
        total = PLUS(total, TIMES(weights[j], value_of(row[0], i - row[1], row[2], mine)));
    }
    out[i] = (REAL)total;
}

extern "C" __global__ void fisher_average(const long long* table, const double* weights, const REAL* own, REAL* out,
                                          long long n, long long p, double eps) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= p) return;
    double mine = own[i], information = 0, weighted = 0, mean = 0;
#pragma unroll 2
    for (long long j = 0; j < n; j++) {
        const long long* row = table + 4 * j;
        double value = value_of(row[0], i - row[1], row[2], mine);
        double fisher = value_of(row[3], i - row[1], row[2], 0);
        information = PLUS(information, fisher);
        weighted = PLUS(weighted, TIMES(fisher, value));
        mean = PLUS(mean, TIMES(weights[j], value));
    }
    out[i] = (REAL)(PLUS(weighted, TIMES(eps, mean)) / PLUS(information, eps));
}

extern "C" __global__ void fisher_sums(const long long* table, REAL* information, REAL* weighted, long long n,
                                       long long p) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= p) return;
    double all = 0, product = 0;
#pragma unroll 2
    for (long long j = 0; j < n; j++) {
        const long long* row = table + 4 * j;
        double fisher = value_of(row[3], i - row[1], row[2], 0);
        all = PLUS(all, fisher);
        product = PLUS(product, TIMES(fisher, value_of(row[0], i - row[1], row[2], 0)));
    }
    information[i] = (REAL)all;
    weighted[i] = (REAL)product;
}

// partial[blockIdx.y * gridDim.x + blockIdx.x]: sum of |x - a| over a fixed stretch of pair j = blockIdx.y.
// pairs[3 * j]: address of x, address of a, how many values. 256 threads per block; each takes `each` values.
extern "C" __global__ void absolute_differences(const long long* pairs, double* partial, long long each) {
    __shared__ double sums[256];
    const REAL* x = (const REAL*)pairs[3 * blockIdx.y];
    const REAL* a = (const REAL*)pairs[3 * blockIdx.y + 1];
    long long size = pairs[3 * blockIdx.y + 2], k = (long long)blockIdx.x * 256 * each + threadIdx.x;
    double total = 0;
    for (long long turn = 0; turn < each; turn++, k += 256)
        if (k < size) total += fabs((double)x[k] - (double)a[k]);
    sums[threadIdx.x] = total;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) partial[(long long)blockIdx.y * gridDim.x + blockIdx.x] = sums[0];
}
