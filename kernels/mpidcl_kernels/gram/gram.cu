// defines: REAL=float | REAL=double
// Gram matrix and weighted sum of rows, in float64. Rows are given by their addresses, so a list of vectors needs no copy.

#define TILE 5       // rows per side of a tile: its 25 sums stay in registers
#define THREADS 128  // per block; the host code launches as many

// Sums over the columns of one slice for one tile of pairs of rows, [slice][tile][25]. A block is (tile, slice):
// tiles of one slice run next to each other, so that its columns come from memory once and then from the cache.
// Rows past the last are read as the last one; nobody reads their sums. Slices never cross a block of columns.
extern "C" __global__ void slice_sums(const long long* __restrict__ addresses, double* __restrict__ sums, long long n,
                                      long long p, long long block, long long slice, long long slices_per_block,
                                      long long first_slice) {
    __shared__ double shared[THREADS / 32][TILE * TILE];
    long long left = 0, right = blockIdx.x, side = (n + TILE - 1) / TILE;
    while (right >= side - left) { right -= side - left; left++; }  // tile number -> (left, left + right)
    right += left;
    const REAL* a[TILE];
    const REAL* b[TILE];
    #pragma unroll
    for (int i = 0; i < TILE; i++) {
        a[i] = (const REAL*)addresses[min(left * TILE + i, n - 1)];
        b[i] = (const REAL*)addresses[min(right * TILE + i, n - 1)];
    }
    long long number = first_slice + blockIdx.y;
    long long begin = number / slices_per_block * block;
    long long end = min(begin + block, p);
    begin += number % slices_per_block * slice;
    end = min(begin + slice, end);
    double total[TILE][TILE] = {};
    #pragma unroll 2
    for (long long k = begin + threadIdx.x; k < end; k += THREADS) {
        double x[TILE], y[TILE];
        #pragma unroll
        for (int i = 0; i < TILE; i++) { x[i] = (double)a[i][k]; y[i] = (double)b[i][k]; }
        #pragma unroll
        for (int i = 0; i < TILE; i++) {
            #pragma unroll
            for (int j = 0; j < TILE; j++) total[i][j] += x[i] * y[j];
        }
    }
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    #pragma unroll
    for (int i = 0; i < TILE; i++) {
        #pragma unroll
        for (int j = 0; j < TILE; j++) {
            double s = total[i][j];
            for (int by = 16; by > 0; by /= 2) s += __shfl_down_sync(0xffffffffu, s, by);
            if (lane == 0) shared[warp][i * TILE + j] = s;
        }
    }
    __syncthreads();
    if (threadIdx.x < TILE * TILE) {
        double s = 0;
        for (int w = 0; w < THREADS / 32; w++) s += shared[w][threadIdx.x];
        sums[((long long)blockIdx.y * gridDim.x + blockIdx.x) * (TILE * TILE) + threadIdx.x] = s;
    }
}

// out [blocks, n, n]: the slices of a block of columns added in order. One thread per element of the upper triangle;
// it writes the mirrored element, too.
extern "C" __global__ void add_slices(const double* __restrict__ sums, double* __restrict__ out, long long n,
                                      long long blocks, long long slices_per_block) {
    long long element = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    long long b = element / (n * n), i = element / n % n, j = element % n;
    if (b >= blocks || j < i) return;
    long long left = i / TILE, right = j / TILE, side = (n + TILE - 1) / TILE;
    long long tile = left * side - left * (left - 1) / 2 + right - left;
    long long tiles = side * (side + 1) / 2, place = i % TILE * TILE + j % TILE;
    double s = 0;
    #pragma unroll 4
    for (long long q = 0; q < slices_per_block; q++)
        s += sums[((b * slices_per_block + q) * tiles + tile) * (TILE * TILE) + place];
    out[(b * n + i) * n + j] = s;
    out[(b * n + j) * n + i] = s;
}

// out [size] <- out + blocks [count, size], one after the other.
extern "C" __global__ void add_blocks(const double* __restrict__ blocks, double* __restrict__ out, long long count,
                                      long long size) {
    long long element = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (element >= size) return;
    double s = out[element];
    #pragma unroll 8
    for (long long b = 0; b < count; b++) s += blocks[b * size + element];
    out[element] = s;
}

// out [p] <- sum over i of weights[i] row i, in order of i, rounded once. `out` may be one of the rows: no __restrict__.
extern "C" __global__ void combine(const long long* __restrict__ addresses, const double* __restrict__ weights, REAL* out,
                                   long long n, long long p) {
    long long k = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= p) return;
    double s = 0;
    #pragma unroll 4
    for (long long i = 0; i < n; i++) s += weights[i] * (double)((const REAL*)addresses[i])[k];
    out[k] = (REAL)s;
}
