// defines: REAL=float | REAL=double
// One clipped step of every row of x [n, p] along its direction, and the length of what changed in it.

#define THREADS 256
#define INFINITE (1e300 * 1e300)
#define SMALL 1e-290  // squares of lengths and shares of steps below have lost digits, or are about to
#define LEAST (sizeof(REAL) == 4 ? 1.1754943508222875e-38 : 2.2250738585072014e-308)  // normal numbers of REAL
#define MOST (sizeof(REAL) == 4 ? 3.4028234663852886e38 : 1.7976931348623157e308)

__device__ double total(double value, double* part) {
    int t = threadIdx.x;
    part[t] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half) part[t] += part[t + half];
        __syncthreads();
    }
    double sum = part[0];
    __syncthreads();
    return sum;
}

__device__ double most(double value, double* part) {
    int t = threadIdx.x;
    part[t] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half && part[t + half] > part[t]) part[t] = part[t + half];
        __syncthreads();
    }
    double found = part[0];
    __syncthreads();
    return found;
}

// One block per row. x and out may be the same memory, and direction and out.
extern "C" __global__ void edit(const REAL* x, const REAL* direction, const double* __restrict__ steps,
                                double* __restrict__ moved, REAL* out, long long p, double low, double high,
                                double limit) {
    __shared__ double part[THREADS];
    long long start = blockIdx.x * p;
    double square = 0, zero = 0;
    for (long long c = threadIdx.x; c < p; c += THREADS) {
        double slope = direction[start + c];
        square += slope * slope;
        zero += 0 * slope;
    }
    square = total(square, part);
    double step = steps[blockIdx.x], norm = fabs(step) * sqrt(square);
    zero = total(zero, part) + 0 * step;  // 0 times NaN or Inf is NaN
    bool finite = zero == 0;
    if (norm > limit) step *= limit / norm;
    REAL bottom = (REAL)low, top = (REAL)high, factor = (REAL)step;
    double size = fabs((double)factor), largest = 1, reach = 0;
    bool ordinary = (LEAST <= size && size <= MOST) || steps[blockIdx.x] == 0 || limit == 0;
    if (limit < INFINITE)
        ordinary = ordinary && SMALL <= square && square < INFINITE && (SMALL * norm <= limit || limit == 0);
    bool far = finite && !ordinary;  // the same in all threads: scaled first, as in the definition
    if (far) {
        double mine = 0;
        for (long long c = threadIdx.x; c < p; c += THREADS) {
            double slope = fabs((double)direction[start + c]);
            if (slope > mine) mine = slope;
        }
        mine = most(mine, part);
        if (mine > 0) largest = mine;
        square = 0;
        for (long long c = threadIdx.x; c < p; c += THREADS) {
            double unit = (double)direction[start + c] / largest;
            square += unit * unit;
        }
        square = total(square, part);
        double own = limit / (square > 0 ? sqrt(square) : 1.0);
        reach = fabs(steps[blockIdx.x]) * largest;
        if (own < reach) reach = own;
        if (reach > 1.7976931348623157e308) reach = 1.7976931348623157e308;
        if (steps[blockIdx.x] < 0) reach = -reach;
    }
    square = 0;
    for (long long c = threadIdx.x; c < p; c += THREADS) {
        REAL old = x[start + c], value = old;
        if (finite) {
            REAL slope = direction[start + c];
            value = far ? (REAL)((double)old + reach * ((double)slope / largest)) : old + factor * slope;
            value = value < bottom ? bottom : value;  // in this order NaN stays NaN
            value = value > top ? top : value;
        }
        double change = (double)value - (double)old;
        square += change * change;
        out[start + c] = value;
    }
    square = total(square, part);
    if (threadIdx.x == 0) moved[blockIdx.x] = finite ? sqrt(square) : zero;
}
