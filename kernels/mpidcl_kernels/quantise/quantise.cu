// defines: REAL=float | REAL=double
// Vectors as float16 with one power-of-two scale, or as int8 with a step per block: __init__.py.
// The bits of |x| are ordered like |x|, with NaN above infinity: the maximum is one of integers.

#define INFINITY_BITS 0x7f800000u
#define SIZE_BITS 0x7fffffffu

__device__ unsigned larger(unsigned a, unsigned b) { return a > b ? a : b; }

// The largest of every thread's `mine`, known to all threads of the block.
__device__ unsigned block_largest(unsigned mine) {
    __shared__ unsigned found[32];
    for (int by = 16; by > 0; by /= 2) mine = larger(mine, __shfl_xor_sync(0xffffffffu, mine, by));
    if (threadIdx.x % 32 == 0) found[threadIdx.x / 32] = mine;
    __syncthreads();
    unsigned top = 0;
    for (unsigned w = 0; w < blockDim.x / 32; w++) top = larger(top, found[w]);
    return top;
}

// top [1], zero before: the largest bits of |x|. Integers: the order of the atomics does not matter.
extern "C" __global__ void largest(const REAL* __restrict__ values, unsigned* top, long long m) {
    unsigned mine = 0;
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < m; i += step)
        mine = larger(mine, __float_as_uint((float)values[i]) & SIZE_BITS);
    mine = block_largest(mine);
    if (threadIdx.x == 0) atomicMax(top, mine);
}

// The float16 bits of x, rounded to nearest, ties to even.
__device__ unsigned short half_bits(float x) {
    unsigned bits = __float_as_uint(x), size = bits & SIZE_BITS, half;
    if (size > INFINITY_BITS) {  // NaN keeps what fits of its payload, and stays NaN
        half = (size >> 13) & 0x3ffu;
        half = 0x7c00u | larger(half, 1u);
    } else if (size < 0x38800000u) {  // below 2^-14: the addition rounds to multiples of 2^-24
        half = __float_as_uint(__uint_as_float(size) + 0.5f) - 0x3f000000u;
    } else {
        half = (size + 0xc8000fffu + ((size >> 13) & 1u)) >> 13;
        if (half > 0x7c00u) half = 0x7c00u;
    }
    return (unsigned short)(((bits >> 16) & 0x8000u) | half);
}

extern "C" __global__ void to_half(const REAL* __restrict__ values, const unsigned* __restrict__ top,
                                   unsigned short* __restrict__ codes, float* scale, long long m) {
    // The power of two above the largest value; 2^-126 .. 2^127, where its inverse is exact too.
    unsigned largest = top[0];
    float above = 1.0f, inverse = 1.0f;
    if (largest != 0 && largest < INFINITY_BITS) {
        int power = (int)(largest >> 23) - 126;
        if (power > 127) power = 127;
        above = ldexpf(1.0f, power);
        inverse = ldexpf(1.0f, -power);
    }
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i == 0) scale[0] = above;
    if (i < m) codes[i] = half_bits((float)values[i] * inverse);
}

extern "C" __global__ void from_half(const unsigned short* __restrict__ codes,
                                     const float* __restrict__ scale, REAL* __restrict__ out, long long m) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= m) return;
    unsigned code = codes[i], size = (code & 0x7fffu) << 13;
    // 2^112 moves the exponent's zero from 15 to 127, exactly; what is not finite keeps its payload.
    unsigned bits = __float_as_uint(__uint_as_float(size) * __uint_as_float(0x77800000u));
    if (size >= 0x0f800000u) bits = size | INFINITY_BITS;
    out[i] = (REAL)(__uint_as_float(bits | ((code & 0x8000u) << 16)) * scale[0]);
}

// One thread block per block of `block` values; the second reading comes from the cache.
extern "C" __global__ void to_int8(const REAL* __restrict__ values, signed char* __restrict__ codes,
                                   float* __restrict__ steps, long long m, long long block) {
    long long first = (long long)blockIdx.x * block;
    long long last = first + block < m ? first + block : m;
    unsigned mine = 0;
    for (long long i = first + threadIdx.x; i < last; i += blockDim.x)
        mine = larger(mine, __float_as_uint((float)values[i]) & SIZE_BITS);
    unsigned top = block_largest(mine);
    float step = __uint_as_float(top) / 127.0f;
    bool finite = top < INFINITY_BITS;
    bool zero = !finite || step < __uint_as_float(0x00800000u);  // the smallest normal number
    if (threadIdx.x == 0) steps[blockIdx.x] = !finite ? __uint_as_float(0x7fc00000u) : zero ? 0.0f : step;
    for (long long i = first + threadIdx.x; i < last; i += blockDim.x)
        codes[i] = zero ? 0 : (signed char)(int)rintf((float)values[i] / step);
}

extern "C" __global__ void from_int8(const signed char* __restrict__ codes, const float* __restrict__ steps,
                                     REAL* __restrict__ out, long long m, long long block) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < m) out[i] = (REAL)(steps[i / block] * (float)codes[i]);
}
