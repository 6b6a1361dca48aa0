// defines: none
// Ticks of linear models in the given order, by one block: see loops.py. A tick needs w of the tick
// before, so there is nothing to spread over blocks; threads share the d coordinates of one model.

#define MOST 256

// Sum of `part` over the block, the same on all threads, in an order that depends on blockDim alone.
__device__ double block_sum(double part) {
    __shared__ double parts[MOST];
    __syncthreads();  // the last sum has been read by all
    parts[threadIdx.x] = part;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    }
    __syncthreads();
    return parts[0];
}

// blockDim.x: a power of two up to 256. `related [G, d]`: sum over l of Theta_gl times mean l, without l = own[g].
extern "C" __global__ void run(double* w, const long long* __restrict__ nodes, const double* __restrict__ x,
                               const double* __restrict__ y, const double* __restrict__ alpha,
                               const long long* __restrict__ starts, const long long* __restrict__ rows,
                               const double* __restrict__ weights, const double* seen, double* history,
                               const long long* __restrict__ groups, const double* __restrict__ related,
                               const double* __restrict__ own_weight, const double* __restrict__ target,
                               double* __restrict__ errors, long long events, long long size, long long count,
                               long long stride, long long every, double lam_local, double lam_global,
                               bool versions, bool record) {
    for (long long e = 0; e < events; e++) {
        long long i = nodes[e], first = starts[i], others = starts[i + 1] - first;
        long long at = stride ? stride * e : first;
        double* model = w + i * size;
        const double* sample = x + e * size;
        double part = 0.0;
        for (long long c = threadIdx.x; c < size; c += blockDim.x) part += sample[c] * model[c];
        double residual = y[e] - block_sum(part), own = own_weight[groups[i]];
        // Coordinate c of every model is read and written by one thread alone: no barrier is needed.
        for (long long c = threadIdx.x; c < size; c += blockDim.x) {
            double value = model[c], local = 0.0;
            for (long long q = 0; q < others; q++)
                local += weights[first + q] * (value - seen[rows[at + q] * size + c]);
            double towards = related[groups[i] * size + c] + own * value;
            value -= alpha[e] * (lam_local * local + lam_global * towards - sample[c] * residual);
            model[c] = value;
            if (versions) history[e * size + c] = value;
        }
        if (record && (e + 1) % every == 0) {
            __syncthreads();  // here a thread reads all coordinates of its node
            for (long long n = threadIdx.x; n < count; n += blockDim.x) {
                double total = 0.0;
                for (long long c = 0; c < size; c++) {
                    double off = w[n * size + c] - target[n * size + c];
                    total += off * off;
                }
                errors[e / every * count + n] = total;
            }
            __syncthreads();
        }
    }
}
