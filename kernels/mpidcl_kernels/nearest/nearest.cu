// defines: REAL=float | REAL=double
// Exact scores of all pairs of a block of rows, and the k best of each segment of scores, round by round.

#define TILE 32
#define INFINITE (1e300 * 1e300)

// Score of row r for query j at scores[j * n + r]: the cosine, or the distance below zero; -inf for a pair that is
// not allowed or not finite. 256 threads compute 32 rows x 32 queries: warp w has queries w, w + 8, w + 16, w + 24.
extern "C" __global__ void score_pairs(const REAL* __restrict__ queries, const REAL* __restrict__ rows,
                                       const double* __restrict__ lengths, const unsigned char* __restrict__ allowed,
                                       double* __restrict__ scores, long long q, long long n, long long width,
                                       long long first, long long total, bool cosine, bool masked) {
    __shared__ double asked[TILE][TILE + 1], found[TILE][TILE + 1];
    int lane = threadIdx.x % TILE, warp = threadIdx.x / TILE;
    long long row = (long long)blockIdx.x * TILE, query = (long long)blockIdx.y * TILE;
    double sums[4] = {0, 0, 0, 0}, square = 0;
    for (long long start = 0; start < width; start += TILE) {
        for (int i = warp; i < TILE; i += 8) {
            bool inside = start + lane < width;
            asked[i][lane] = inside && query + i < q ? (double)queries[(query + i) * width + start + lane] : 0.0;
            found[i][lane] = inside && row + i < n ? (double)rows[(row + i) * width + start + lane] : 0.0;
        }
        __syncthreads();
        for (int c = 0; c < TILE; c++) {
            double value = found[lane][c];
            square += value * value;
            for (int i = 0; i < 4; i++) {
                double other = asked[warp + 8 * i][c];
                double left = cosine ? other : other - value;
                sums[i] += left * (cosine ? value : left);
            }
        }
        __syncthreads();
    }
    if (row + lane >= n) return;
    for (int i = 0; i < 4; i++) {
        long long j = query + warp + 8 * i;
        if (j >= q) return;
        double norm = lengths[j] * sqrt(square);
        double value = cosine ? (norm > 0 ? sums[i] / norm : sums[i]) : -sqrt(sums[i]);
        // A finite product with a length that overflowed is no cosine.
        bool valid = isfinite(value) && !(cosine && !isfinite(norm));
        if (masked && !allowed[j * total + first + row + lane]) valid = false;
        scores[j * n + row + lane] = valid ? value : -INFINITE;
    }
}

__device__ bool better(double a, long long i, double b, long long j) { return a > b || (a == b && i < j); }

// The k best of scores[j, begin .. begin + size) for query j = blockIdx.y and segment s = blockIdx.x, begin = s * size,
// best first, ties by the smaller index: to best[j * stride + at + s * k], with their indices. Missing: -inf and -1.
// `index` of the scores, or (named = false) first + position. Every round finds the best that comes after the last.
extern "C" __global__ void pick_best(const double* __restrict__ scores, const long long* __restrict__ index,
                                  double* __restrict__ best, long long* __restrict__ chosen, long long n,
                                  long long size, long long k, long long first, long long stride, long long at,
                                  bool named) {
    __shared__ double tops[256];
    __shared__ long long names[256];
    int t = threadIdx.x;
    const double* own = scores + blockIdx.y * n;
    const long long* own_names = index + (named ? blockIdx.y * n : 0);
    long long begin = blockIdx.x * size, end = begin + size < n ? begin + size : n;
    long long out = blockIdx.y * stride + at + blockIdx.x * k;
    double last = INFINITE;
    long long last_name = -1;
    for (long long round = 0; round < k; round++) {
        double top = -INFINITE;
        long long name = -1;
        for (long long i = begin + t; i < end; i += 256) {
            double value = own[i];
            long long number = named ? own_names[i] : first + i;
            if (value > -INFINITE && better(last, last_name, value, number) &&
                (name < 0 || better(value, number, top, name))) {
                top = value;
                name = number;
            }
        }
        tops[t] = top;
        names[t] = name;
        __syncthreads();
        for (int half = 128; half > 0; half /= 2) {
            if (t < half && names[t + half] >= 0 &&
                (names[t] < 0 || better(tops[t + half], names[t + half], tops[t], names[t]))) {
                tops[t] = tops[t + half];
                names[t] = names[t + half];
            }
            __syncthreads();
        }
        last = tops[0];
        last_name = names[0];
        __syncthreads();
        if (t == 0) {
            best[out + round] = last;
            chosen[out + round] = last_name;
        }
        if (last_name < 0) {
            for (long long i = round + 1 + t; i < k; i += 256) {
                best[out + i] = -INFINITE;
                chosen[out + i] = -1;
            }
            return;
        }
    }
}
