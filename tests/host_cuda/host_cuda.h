// CUDA C++ for the CPU: what g++ needs to compile the kernels as they are, and to run them as a GPU would.
//
// Every thread of a block is a std::thread, so that ThreadSanitizer sees what threads of a block do to each other. They
// live for one launch and go from block to block. Blocks run one after another, as shared memory is one static variable.
// Kernels must use barriers alike in all threads of a block, as CUDA demands of them anyway.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __shared__ static

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

namespace host_cuda {

// A barrier at which threads also vote: each leaves with the OR of all votes. Not a std::barrier: that yields before it
// sleeps, and a thousand threads that yield take the cores from whatever else runs on them.
class Ballot {
    const unsigned threads_;
    std::atomic<unsigned> votes_ = 0, arrived_ = 0, round_ = 0;
    unsigned result_ = 0;

    void call(int operation, unsigned value) {
        static_assert(sizeof(round_) == sizeof(unsigned));
        syscall(SYS_futex, &round_, operation, value, nullptr, nullptr, 0);
    }

public:
    explicit Ballot(int threads) : threads_(threads) {}

    unsigned vote(unsigned mine) {
        if (mine) votes_.fetch_or(mine, std::memory_order_relaxed);
        const unsigned round = round_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
            result_ = votes_.exchange(0, std::memory_order_relaxed);
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            call(FUTEX_WAKE_PRIVATE, std::numeric_limits<int>::max());
        } else {
            while (round_.load(std::memory_order_acquire) == round) call(FUTEX_WAIT_PRIVATE, round);
        }
        return result_;
    }
};

struct Thread {
    dim3 index, block;
    Ballot *all, *warp;
    bool met;  // the others of its block, in this block
};

inline thread_local Thread self;
inline dim3 block_size, grid_size;

enum class Order { forward, backward };  // of the blocks: CUDA promises none

// Runs `kernel` once in every thread of the grid. One launch at a time.
inline void launch(dim3 grid, unsigned threads, Order order, const std::function<void()>& kernel) {
    static std::mutex one_launch;
    std::lock_guard lock(one_launch);
    grid_size = grid;
    block_size = {threads, 1, 1};
    Ballot all(threads);
    std::vector<std::unique_ptr<Ballot>> warps;
    for (unsigned warp = 0; warp < threads / 32; ++warp) warps.push_back(std::make_unique<Ballot>(32));
    const unsigned blocks = grid.x * grid.y;
    const auto live = [&](unsigned thread) {
        self = {{thread, 0, 0}, {}, &all, warps[thread / 32].get(), false};
        for (unsigned k = 0; k < blocks; ++k) {
            const unsigned block = order == Order::forward ? k : blocks - 1 - k;
            self.block = {block % grid.x, block / grid.x, 0};
            self.met = false;
            kernel();
            // Shared memory passes to the next block. A kernel without barriers has none, and needs not wait.
            if (self.met) all.vote(0);
        }
    };
    std::vector<std::thread> others;
    for (unsigned thread = 1; thread < threads; ++thread) others.emplace_back(live, thread);
    live(0);
    for (std::thread& other : others) other.join();
}

}  // namespace host_cuda

#define threadIdx (host_cuda::self.index)
#define blockIdx (host_cuda::self.block)
#define blockDim (host_cuda::block_size)
#define gridDim (host_cuda::grid_size)

inline int __syncthreads_or(int predicate) {
    host_cuda::self.met = true;
    return host_cuda::self.all->vote(predicate != 0);
}

inline void __syncthreads() { __syncthreads_or(0); }

inline unsigned __ballot_sync(unsigned, int predicate) {
    return host_cuda::self.warp->vote((predicate != 0) << (threadIdx.x % 32));
}

// Relaxed, as CUDA's: only barriers order anything.
template <class T>
T atomicAdd(T* target, T value) {
    return __atomic_fetch_add(target, value, __ATOMIC_RELAXED);
}

template <class T>
T atomicOr(T* target, T value) {
    return __atomic_fetch_or(target, value, __ATOMIC_RELAXED);
}

template <class T, class Better>
T host_cuda_replace(T* target, T value, Better better) {
    T old = __atomic_load_n(target, __ATOMIC_RELAXED);
    while (better(value, old) &&
           !__atomic_compare_exchange_n(target, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}

template <class T>
T atomicMin(T* target, T value) {
    return host_cuda_replace(target, value, std::less<T>());
}

template <class T>
T atomicMax(T* target, T value) {
    return host_cuda_replace(target, value, std::greater<T>());
}
