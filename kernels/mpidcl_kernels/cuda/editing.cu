// defines: REAL=float | REAL=double
// One clipped step of every row of x [n, p] along its direction, and the length of what changed in it.

#define THREADS 256

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
    double step = steps[blockIdx.x], norm = fabs(step) * sqrt(total(square, part));
    zero = total(zero, part) + 0 * step;  // 0 times NaN or Inf is NaN
    bool finite = zero == 0;
    if (norm > limit) step *= limit / norm;
    REAL bottom = (REAL)low, top = (REAL)high, factor = (REAL)step;
    square = 0;
    for (long long c = threadIdx.x; c < p; c += THREADS) {
        REAL old = x[start + c], value = old;
        if (finite) {
            value = old + factor * direction[start + c];
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
