// Start of a click: clicks onto the maps, the window, and counters back to zero.
#include "click_steps.h"

#define MFP_NONE 0xffffffffu  // above the bits of any float that is not negative

// One block. Section 4, "Window".
extern "C" __global__ void mfp_begin(MfpLane lane, const MfpClickBlock* block) {
    __shared__ unsigned nearest;  // bits of the smallest distance to an opposite click, or MFP_NONE
    const MfpClick* clicks = (const MfpClick*)(block + 1);
    MfpResult* result = block->result;
    if (threadIdx.x == 0 && result) {
        result->row_min = result->col_min = 0x7fffffff;
        result->row_max = result->col_max = -1;
        result->status = 0;
    }
    const bool acts = mfp_acts(clicks, *block, lane);
    for (int item = 0; item < lane.batch; ++item) {
        MfpWindow* window = lane.windows + item;
        for (int i = threadIdx.x; i < MFP_DIGITS * MFP_BINS; i += blockDim.x) {
            window->histogram[i / MFP_BINS][i % MFP_BINS] = 0;
        }
        if (threadIdx.x == 0) nearest = MFP_NONE;
        __syncthreads();

        MfpPlaced newest = {0, 0, 0, 0};
        if (acts) newest = mfp_place(clicks[block->newest], *block, lane, item);
        for (int i = threadIdx.x; i < block->n_clicks; i += blockDim.x) {
            MfpPlaced placed = mfp_place(clicks[i], *block, lane, item);
            if (acts && mfp_opposes(clicks[i], newest)) atomicMin(&nearest, mfp_bits(mfp_gap(&placed, newest)));
            lane.placed[item * lane.capacity + i] = placed;
        }
        __syncthreads();

        if (threadIdx.x == 0) {
            const double radius = nearest == MFP_NONE ? block->r_max : mfp_bounded_radius(mfp_float(nearest));
            const bool early = acts && clicks[block->newest].index < block->n_early;
            mfp_open_window(window, newest, radius, acts, early, lane);
        }
    }
}

// Disk maps of the clicks (section 3): one thread a pixel of an item; blockIdx.y is the item.
extern "C" __global__ void mfp_disks(MfpLane lane, const MfpClickBlock* block) {
    const int area = lane.height * lane.width, item = blockIdx.y;
    const MfpPlaced* placed = lane.placed + item * lane.capacity;
    float* positive = lane.clicks + (size_t)item * 2 * area;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < area; i += gridDim.x * blockDim.x) {
        int row = i / lane.width, column = i % lane.width;
        float in_positive = 0, in_negative = 0;
        for (int k = 0; k < block->n_clicks; ++k) {
            MfpPlaced click = placed[k];
            if (mfp_is_click(click.y, click.x) && mfp_in_disk(row, column, click.y, click.x, block->disk_radius)) {
                (click.positive ? in_positive : in_negative) = 1;
            }
        }
        positive[i] = in_positive;
        positive[area + i] = in_negative;
    }
}
