// defines: REAL=float | REAL=double
// The k largest scores by radix selection, and moving values to their positions: __init__.py.
// A score is a[i], or |a[i] - b[i]| when `change`. NaN counts as infinity, -0 as 0.

typedef unsigned long long Key;

#define TILE 4096
#define THREADS 256
#define BINS 2048

// Keys are unsigned integers in the order of the scores: negative numbers are inverted.
__device__ Key key_of(float score) {
    if (score != score) return 0xff800000u;
    unsigned bits = __float_as_uint(score + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ Key key_of(double score) {
    if (score != score) return 0xfff0000000000000ull;
    Key bits = (Key)__double_as_longlong(score + 0.0);
    return bits >> 63 ? ~bits : bits | 0x8000000000000000ull;
}
__device__ Key key_at(const REAL* a, const REAL* b, bool change, long long i) {
    if (!change) return key_of(a[i]);
    REAL difference = a[i] - b[i];
    return key_of(difference < 0 ? -difference : difference);
}

// state [3]: digits of the k-th largest key found so far, a mask of those digits, rank among keys that have
// them. bins [2048]: how many such keys have which next digit. Integers: the order of atomics is no matter.
extern "C" __global__ void histogram(const REAL* __restrict__ a, const REAL* __restrict__ b, bool change,
                                     long long m, const Key* __restrict__ state, long long shift, Key* bins) {
    __shared__ unsigned mine[BINS];
    for (int d = threadIdx.x; d < BINS; d += blockDim.x) mine[d] = 0;
    __syncthreads();
    Key digits = state[0], mask = state[1];
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < m; i += step) {
        Key key = key_at(a, b, change, i);
        if ((key & mask) == digits) atomicAdd(&mine[(key >> shift) & (BINS - 1)], 1u);
    }
    __syncthreads();
    for (int d = threadIdx.x; d < BINS; d += blockDim.x)
        if (mine[d]) atomicAdd(&bins[d], (Key)mine[d]);
}

// One block of 256 threads: the next digit of the k-th largest key; empties the bins for the next pass.
extern "C" __global__ void pick(Key* bins, Key* state, long long shift) {
    __shared__ Key sums[THREADS];
    const int each = BINS / THREADS;
    Key sum = 0;
    for (int d = 0; d < each; d++) sum += bins[threadIdx.x * each + d];
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        Key rank = state[2];
        int group = THREADS - 1;
        while (group > 0 && sums[group] < rank) rank -= sums[group--];
        int digit = group * each + each - 1;
        while (digit > group * each && bins[digit] < rank) rank -= bins[digit--];
        state[0] |= (Key)digit << shift;
        state[1] |= (Key)(BINS - 1) << shift;
        state[2] = rank;
    }
    __syncthreads();
    for (int d = 0; d < each; d++) bins[threadIdx.x * each + d] = 0;
}

// Exclusive sum of `flag` over the threads of a block of 256; `total` is the sum over all.
__device__ int before_me(bool flag, int* totals, int* total) {
    unsigned all = __ballot_sync(0xffffffffu, flag);
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    if (lane == 0) totals[warp] = __popc(all);
    __syncthreads();
    int sum = 0, before = 0;
    for (int w = 0; w < THREADS / 32; w++) {
        if (w == warp) before = sum;
        sum += totals[w];
    }
    __syncthreads();
    *total = sum;
    return before + __popc(all & ((1u << lane) - 1u));
}

// counts [2, tiles]: keys of each tile above the k-th largest, and equal to it. One block per tile.
extern "C" __global__ void count(const REAL* __restrict__ a, const REAL* __restrict__ b, bool change,
                                 long long m, const Key* __restrict__ state, long long* counts) {
    __shared__ unsigned above, equal;
    if (threadIdx.x == 0) above = equal = 0;
    __syncthreads();
    Key kth = state[0];
    long long first = (long long)blockIdx.x * TILE, last = first + TILE < m ? first + TILE : m;
    unsigned my_above = 0, my_equal = 0;
    for (long long i = first + threadIdx.x; i < last; i += blockDim.x) {
        Key key = key_at(a, b, change, i);
        my_above += key > kth;
        my_equal += key == kth;
    }
    if (my_above) atomicAdd(&above, my_above);
    if (my_equal) atomicAdd(&equal, my_equal);
    __syncthreads();
    if (threadIdx.x == 0) {
        counts[blockIdx.x] = above;
        counts[(long long)gridDim.x + blockIdx.x] = equal;
    }
}

// ends [2, tiles]: inclusive sums of counts. positions [k]: all above the k-th largest and the first of those
// equal to it, ascending: a key's place is the number of keys before it that are taken.
extern "C" __global__ void collect(const REAL* __restrict__ a, const REAL* __restrict__ b, bool change,
                                   long long m, const Key* __restrict__ state,
                                   const long long* __restrict__ ends, long long* __restrict__ positions) {
    __shared__ int totals[THREADS / 32];
    const long long* equal_ends = ends + gridDim.x;
    long long above = blockIdx.x ? ends[blockIdx.x - 1] : 0;
    long long equal = blockIdx.x ? equal_ends[blockIdx.x - 1] : 0;
    Key kth = state[0];
    long long quota = (long long)state[2];
    long long first = (long long)blockIdx.x * TILE, last = first + TILE < m ? first + TILE : m;
    for (long long start = first; start < last; start += THREADS) {  // the same rounds for all threads
        long long i = start + threadIdx.x;
        Key key = i < last ? key_at(a, b, change, i) : 0;
        bool is_above = i < last && key > kth, is_equal = i < last && key == kth;
        int round_above, round_equal;
        long long mine_above = above + before_me(is_above, totals, &round_above);
        long long mine_equal = equal + before_me(is_equal, totals, &round_equal);
        if (is_above || (is_equal && mine_equal < quota))
            positions[mine_above + (mine_equal < quota ? mine_equal : quota)] = i;
        above += round_above;
        equal += round_equal;
    }
}

// positions [k] ascend: equal ones are neighbours, and the first thread of each run works on all of it.
extern "C" __global__ void scatter(REAL* target, const long long* __restrict__ positions,
                                   const REAL* __restrict__ values, long long k, double scale, bool replace) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= k || (i > 0 && positions[i - 1] == positions[i])) return;
    long long place = positions[i];
    REAL sum = target[place], by = (REAL)scale;
    for (long long j = i; j < k && positions[j] == place; j++)
        sum = replace ? values[j] : sum + by * values[j];
    target[place] = sum;
}
