// Probability modulation (section 4). The lower median is a radix select over the bits of floats that are not negative,
// which order as their values do: three histograms, of 11, 10 and 10 bits, one kernel each; no sort, no host.
#include "click_steps.h"

__device__ inline int mfp_shift(int digit) { return 10 * (MFP_DIGITS - 1 - digit); }

// The probability at the clicked pixel.
__device__ inline float mfp_at_click(const MfpWindow* window, const MfpLane& lane, int item) {
    return lane.prev[(size_t)item * lane.height * lane.width + mfp_clicked(window, lane)];
}

// The block's histogram onto the window's.
__device__ inline void mfp_flush(const unsigned* counts, unsigned* histogram) {
    __syncthreads();
    for (int i = threadIdx.x; i < MFP_BINS; i += blockDim.x) {
        if (counts[i]) atomicAdd(histogram + i, counts[i]);
    }
}

// The bin that holds the key of `rank`, and its rank within the bin; the same for all threads of a block.
__device__ inline void mfp_find_bin(const unsigned* histogram, int rank, int* bin, int* rank_inside) {
    __shared__ int sums[1024], found[2];
    const int threads = blockDim.x, share = (MFP_BINS + threads - 1) / threads, first = threadIdx.x * share;
    int mine = 0;
    for (int i = first; i < first + share && i < MFP_BINS; ++i) mine += histogram[i];
    sums[threadIdx.x] = mine;
    __syncthreads();
    for (int step = 1; step < threads; step *= 2) {  // running sums, each step over twice the distance
        const int before = (int)threadIdx.x >= step ? sums[threadIdx.x - step] : 0;
        __syncthreads();
        sums[threadIdx.x] += before;
        __syncthreads();
    }
    int before = sums[threadIdx.x] - mine;
    if (before <= rank && rank < before + mine) {
        int i = first;
        while (before + (int)histogram[i] <= rank) before += histogram[i++];
        found[0] = i;
        found[1] = rank - before;
    }
    __syncthreads();
    *bin = found[0];
    *rank_inside = found[1];
}

// Which pixels lie in the window, how far the farthest is, and how much each differs from the clicked one: keys, and the
// histogram of their first digit. blockIdx.y is the item.
extern "C" __global__ void mfp_window(MfpLane lane, const MfpClickBlock* block) {
    __shared__ unsigned counts[MFP_BINS];
    __shared__ unsigned long long farthest;
    __shared__ int inside_count;
    const int area = lane.height * lane.width, item = blockIdx.y;
    MfpWindow* window = lane.windows + item;
    if (!window->acts) return;
    const float* prev = lane.prev + (size_t)item * area;
    const float* image = lane.image + (size_t)item * 3 * area;
    const MfpPlaced* placed = lane.placed + item * lane.capacity;
    unsigned* keys = lane.keys + (size_t)item * area;
    const int clicked = mfp_clicked(window, lane);
    for (int i = threadIdx.x; i < MFP_BINS; i += blockDim.x) counts[i] = 0;
    if (threadIdx.x == 0) {
        farthest = 0;
        inside_count = 0;
        if (blockIdx.x == 0) window->gamma = mfp_window_gamma(window, prev[clicked]);
    }
    __syncthreads();

    const int rows = window->row_stop - window->row_start, columns = window->col_stop - window->col_start;
    unsigned long long my_farthest = 0;
    int my_count = 0;
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < rows * columns; k += gridDim.x * blockDim.x) {
        const int row = window->row_start + k / columns, column = window->col_start + k % columns;
        const int i = row * lane.width + column;
        const double squared = mfp_squared_to_centre(window, row, column);
        unsigned key = MFP_OUTSIDE;
        if (mfp_in_window(window, placed, block->n_clicks, row, column, squared)) {
            key = mfp_bits(mfp_difference(prev, image, area, i, clicked, block->compare_rgb));
            if (window->early) atomicAdd(counts + (key >> mfp_shift(0)), 1u);
            if (mfp_bits(squared) > my_farthest) my_farthest = mfp_bits(squared);
            ++my_count;
        }
        keys[i] = key;
    }
    atomicMax(&farthest, my_farthest);
    atomicAdd(&inside_count, my_count);
    mfp_flush(counts, window->histogram[0]);
    if (threadIdx.x == 0 && inside_count) {
        atomicMax(&window->farthest, farthest);
        atomicAdd(&window->count, inside_count);
    }
}

// Finds the median's digit before `digit`: the bits in front of `digit`, and its rank among the keys that begin so.
__device__ inline unsigned mfp_narrow(const MfpWindow* window, int digit, int* rank) {
    const unsigned known = digit == 1 ? 0 : window->prefix[digit - 1];
    const int rank_known = digit == 1 ? (window->count - 1) / 2 : window->rank[digit - 1];
    int bin;
    mfp_find_bin(window->histogram[digit - 1], rank_known, &bin, rank);
    return known << 10 | (unsigned)bin;
}

// The histogram of a further digit, over the keys that begin like the median.
__device__ inline void mfp_select(const MfpLane& lane, int digit) {
    __shared__ unsigned counts[MFP_BINS];
    const int item = blockIdx.y;
    MfpWindow* window = lane.windows + item;
    if (!mfp_wants_median(window, mfp_at_click(window, lane, item))) return;
    for (int i = threadIdx.x; i < MFP_BINS; i += blockDim.x) counts[i] = 0;
    int rank;
    const unsigned prefix = mfp_narrow(window, digit, &rank);  // every block for itself, the same in all
    if (blockIdx.x == 0 && threadIdx.x == 0) {                 // for the next kernel
        window->prefix[digit] = prefix;
        window->rank[digit] = rank;
    }
    const unsigned* keys = lane.keys + (size_t)item * lane.height * lane.width;
    const int rows = window->row_stop - window->row_start, columns = window->col_stop - window->col_start;
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < rows * columns; k += gridDim.x * blockDim.x) {
        const unsigned key = keys[(window->row_start + k / columns) * lane.width + window->col_start + k % columns];
        if (key != MFP_OUTSIDE && key >> mfp_shift(digit - 1) == prefix) {
            atomicAdd(counts + (key >> mfp_shift(digit) & 1023u), 1u);
        }
    }
    mfp_flush(counts, window->histogram[digit]);
}

extern "C" __global__ void mfp_select_second(MfpLane lane, const MfpClickBlock*) { mfp_select(lane, 1); }
extern "C" __global__ void mfp_select_third(MfpLane lane, const MfpClickBlock*) { mfp_select(lane, 2); }

// The modulated map; one thread a pixel, blockIdx.y is the item.
extern "C" __global__ void mfp_modulate(MfpLane lane, const MfpClickBlock*) {
    const int area = lane.height * lane.width, item = blockIdx.y;
    const MfpWindow* window = lane.windows + item;
    const float* prev = lane.prev + (size_t)item * area;
    float* modulated = lane.modulated + (size_t)item * area;
    const unsigned* keys = lane.keys + (size_t)item * area;
    const float p = mfp_at_click(window, lane, item);
    float median = 0;
    if (mfp_wants_median(window, p)) {
        int rank;
        median = mfp_float(mfp_narrow(window, MFP_DIGITS, &rank));
    }
    const MfpModulation all = mfp_modulation(window, lane, p, median);
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < area; i += gridDim.x * blockDim.x) {
        const int row = i / lane.width, column = i % lane.width;
        // only there is the key of this click
        const bool in_box = row >= window->row_start && row < window->row_stop && column >= window->col_start &&
                            column < window->col_stop;
        modulated[i] = mfp_modulated(window, all, row, column, prev[i], all.acts && in_box ? keys[i] : MFP_OUTSIDE);
    }
}
