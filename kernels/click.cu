// Start of a click: clicks onto the maps, the window, and counters back to zero.
#include "click_block.h"
#include "mfp_ops.h"

#define MFP_NONE 0xffffffffu  // above the bits of any float that is not negative

// Coordinates on an item's map, float32 as the release keeps them.
__device__ inline MfpPlaced mfp_place(const MfpClick& click, const MfpClickBlock& block, const MfpLane& lane,
                                      int item) {
    double y = click.y, x = click.x;
    if (!block.mapped) {
        y = mfp_into_crop(y, block.row_min, block.row_max - block.row_min + 1, lane.height);
        x = mfp_into_crop(x, block.col_min, block.col_max - block.col_min + 1, lane.width);
    }
    if (item == 1) x = mfp_mirrored(x, lane.width);
    return {(float)y, (float)x, click.positive, -1.0f};
}

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
    // A quirk of the release, for the whole batch: it does not modulate where the newest click's mirror image has a
    // negative coordinate.
    bool acts = block->newest >= 0;
    for (int item = 0; acts && item < lane.batch; ++item) {
        MfpPlaced newest = mfp_place(clicks[block->newest], *block, lane, item);
        acts = newest.y >= 0 && newest.x >= 0;
    }
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
            if (acts && clicks[i].index >= 0 && !placed.positive != !newest.positive) {
                float gap = sqrtf(mfp_squared_length(placed.y - newest.y, placed.x - newest.x));
                atomicMin(&nearest, mfp_bits(gap));
                if (gap < MFP_MIN_RADIUS) placed.cut = gap;
            }
            lane.placed[item * lane.capacity + i] = placed;
        }
        __syncthreads();

        if (threadIdx.x == 0) {
            double radius = block->r_max;
            if (nearest != MFP_NONE) radius = fmaxf(mfp_float(nearest) / 2, MFP_MIN_RADIUS);
            window->radius = radius;
            window->farthest = 0;
            window->gamma = 1;
            window->y = newest.y;
            window->x = newest.x;
            window->row_start = mfp_span_start(newest.y, radius, lane.height);
            window->row_stop = mfp_span_stop(newest.y, radius, lane.height);
            window->col_start = mfp_span_start(newest.x, radius, lane.width);
            window->col_stop = mfp_span_stop(newest.x, radius, lane.width);
            window->positive = newest.positive;
            window->early = acts && clicks[block->newest].index < block->n_early;
            window->acts = acts;
            window->count = 0;
            window->nonzero = 0;
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
