// Runs CUDA C on the CPU, one block after the other, every CUDA thread a fiber: slow, and exact about
// __syncthreads, warp shuffles and shared memory. For tests of the sources where there is no GPU.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <algorithm>
#include <functional>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __constant__ static const
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

struct dim3_ { unsigned x = 1, y = 1, z = 1; };
static dim3_ threadIdx, blockIdx, blockDim, gridDim;
static const int warpSize = 32;

namespace fibers {
enum State { READY, AT_BLOCK, AT_WARP, DONE };
struct Fiber { ucontext_t context; State state; std::vector<char> stack; };
static std::vector<Fiber> all;
static ucontext_t scheduler;
static std::function<void()> body;
static int current;
static bool backwards = true;  // every launch turns the order of threads and blocks: nobody may rely on one
static double slots[1024];  // what each thread shows to its warp; wide enough for any 8-byte value

static void enter() { body(); all[current].state = DONE; swapcontext(&all[current].context, &scheduler); }
static void wait(State state) {
    int me = current;
    all[me].state = state;
    swapcontext(&all[me].context, &scheduler);
}
static bool release(int first, int last, State from) {
    int waiting = 0;
    for (int t = first; t < last; t++) {
        if (all[t].state == READY) return false;
        if (all[t].state == from) waiting++;
        else if (all[t].state != DONE) return false;  // others wait elsewhere: not yet
    }
    for (int t = first; t < last; t++) if (all[t].state == from) all[t].state = READY;
    return waiting > 0;
}
static void run_block(int threads) {
    for (int t = 0; t < threads; t++) {
        Fiber& fiber = all[t];
        fiber.state = READY;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, (void (*)())enter, 0);
    }
    for (;;) {
        bool moved = false, alive = false;
        for (int i = 0; i < threads; i++) {
            int t = backwards ? threads - 1 - i : i;
            if (all[t].state != READY) continue;
            current = t;
            threadIdx.x = t;
            moved = true;
            swapcontext(&scheduler, &all[t].context);
        }
        for (int first = 0; first < threads; first += 32)
            moved |= release(first, std::min(first + 32, threads), AT_WARP);
        moved |= release(0, threads, AT_BLOCK);
        for (int t = 0; t < threads; t++) alive |= all[t].state != DONE;
        if (!alive) return;
        if (!moved) { fprintf(stderr, "CUDA threads of one block wait for each other for ever\n"); abort(); }
    }
}
static void launch(unsigned gx, unsigned gy, unsigned gz, unsigned threads, std::function<void()> work) {
    body = work;
    if (all.size() < threads) all.resize(threads);
    for (auto& fiber : all) if (fiber.stack.empty()) fiber.stack.resize(1 << 16);
    gridDim = {gx, gy, gz};
    blockDim = {threads, 1, 1};
    backwards = !backwards;
    for (unsigned long long i = 0, n = (unsigned long long)gx * gy * gz; i < n; i++) {
        unsigned long long b = backwards ? n - 1 - i : i;
        blockIdx = {(unsigned)(b % gx), (unsigned)(b / gx % gy), (unsigned)(b / gx / gy)};
        run_block(threads);
    }
}
template <class T> static T swap_with(T value, int other) {
    static_assert(sizeof(T) <= 8, "shuffles move at most 8 bytes");
    memcpy(&slots[current], &value, sizeof(T));
    wait(AT_WARP);
    int base = current / 32 * 32;
    T found = value;
    if (other >= 0 && other < 32 && base + other < (int)blockDim.x) memcpy(&found, &slots[base + other], sizeof(T));
    wait(AT_WARP);
    return found;
}
}  // namespace fibers

static inline void __syncthreads() { fibers::wait(fibers::AT_BLOCK); }
static inline void __syncwarp(unsigned = ~0u) { fibers::wait(fibers::AT_WARP); }
static inline int lane_of_thread() { return threadIdx.x % 32; }
template <class T> static T __shfl_sync(unsigned, T v, int lane) { return fibers::swap_with(v, lane % 32); }
template <class T> static T __shfl_down_sync(unsigned, T v, int by) { return fibers::swap_with(v, lane_of_thread() + by); }
template <class T> static T __shfl_up_sync(unsigned, T v, int by) { return fibers::swap_with(v, lane_of_thread() - by); }
template <class T> static T __shfl_xor_sync(unsigned, T v, int by) { return fibers::swap_with(v, lane_of_thread() ^ by); }
static inline unsigned __ballot_sync(unsigned, int predicate) {
    unsigned mask = 0;
    for (int lane = 0; lane < 32; lane++) if (fibers::swap_with(predicate ? 1 : 0, lane)) mask |= 1u << lane;
    return mask;
}
static inline int __any_sync(unsigned m, int p) { return __ballot_sync(m, p) != 0; }
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __ffs(int v) { return __builtin_ffs(v); }
template <class T> static T __ldg(const T* p) { return *p; }
template <class T, class U> static T atomicAdd(T* p, U v) { T old = *p; *p = old + v; return old; }
template <class T, class U> static T atomicMax(T* p, U v) { T old = *p; if (v > old) *p = v; return old; }
template <class T, class U> static T atomicMin(T* p, U v) { T old = *p; if (v < old) *p = v; return old; }
template <class T> static T min(T a, T b) { return b < a ? b : a; }
template <class T> static T max(T a, T b) { return a < b ? b : a; }
static inline double rsqrt(double x) { return 1 / sqrt(x); }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline unsigned __float_as_uint(float x) { unsigned u; memcpy(&u, &x, 4); return u; }
static inline float __uint_as_float(unsigned u) { float x; memcpy(&x, &u, 4); return x; }
static inline long long __double_as_longlong(double x) { long long u; memcpy(&u, &x, 8); return u; }
static inline double __longlong_as_double(long long u) { double x; memcpy(&x, &u, 8); return x; }
