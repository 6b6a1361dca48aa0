// defines: W=char | W=short | W=int | W=long long
// Copies of rows by number. Rows are `words` words of type W; a row is named by its number on either side.
// A row belongs to `lanes` neighbouring threads (a power of two up to blockDim.x); long rows to gridDim.y blocks.

extern "C" __global__ void copy_rows(
    const W* __restrict__ from, const long long* __restrict__ from_rows,
    W* __restrict__ to, const long long* __restrict__ to_rows,
    long long count, long long words, long long lanes)
{
    long long lane = threadIdx.x % lanes;
    long long i = (long long)blockIdx.x * (blockDim.x / lanes) + threadIdx.x / lanes;
    if (i >= count) return;
    const W* source = from + from_rows[i] * words;
    W* target = to + to_rows[i] * words;
    for (long long w = (long long)blockIdx.y * lanes + lane; w < words; w += gridDim.y * lanes)
        target[w] = source[w];
}
