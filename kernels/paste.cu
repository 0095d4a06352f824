// From logits to the mask: sigmoid, average with the mirrored pass, resize, paste, threshold, box (section 1, steps 6 and
// 8 to 10).
#include "click_block.h"
#include "mfp_ops.h"

// A block's finding that some logit is not finite, onto the click's status.
__device__ inline void mfp_report(int broken, MfpResult* result) {
    broken = __syncthreads_or(broken);
    if (broken && threadIdx.x == 0) atomicOr(&result->status, MFP_NOT_FINITE);
}

// The first pass's probability becomes the previous map, item by item.
extern "C" __global__ void mfp_bootstrap(MfpLane lane, const MfpClickBlock* block) {
    const int count = lane.batch * lane.height * lane.width;
    int broken = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        broken |= !mfp_is_finite(lane.logits[i]);
        lane.prev[i] = mfp_sigmoid(lane.logits[i]);
    }
    mfp_report(broken, block->result);
}

// The average of the two items' logits, the second one mirrored back, as probability. A pass that should have been a
// second one is found out here.
extern "C" __global__ void mfp_probability(MfpLane lane, const MfpClickBlock* block) {
    const int area = lane.height * lane.width;
    int broken = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < area; i += gridDim.x * blockDim.x) {
        float logit = lane.logits[i];
        broken |= !mfp_is_finite(logit);
        if (lane.batch == 2) {
            const float mirrored = lane.logits[area + i + lane.width - 1 - 2 * (i % lane.width)];
            broken |= !mfp_is_finite(mirrored);
            logit = 0.5f * (logit + mirrored);
        }
        block->map[i] = mfp_sigmoid(logit);
    }
    mfp_report(broken, block->result);
    if (!block->bootstrapped && !lane.windows[0].nonzero && blockIdx.x == 0 && threadIdx.x == 0) {
        atomicOr(&block->result->status, MFP_NEEDS_BOOTSTRAP);
    }
}

// The click's map into the image's probability map; of all of that, the mask's bits and the object's box. A warp works on
// 32 pixels of a row.
extern "C" __global__ void mfp_paste(MfpLane lane, const MfpClickBlock* block) {
    __shared__ int row_min, row_max, col_min, col_max;
    MfpResult* result = block->result;
    if (result->status) return;
    if (threadIdx.x == 0) {
        row_min = col_min = 0x7fffffff;
        row_max = col_max = -1;
    }
    __syncthreads();

    const int width = block->width, words = (width + 31) / 32, lane_in_warp = threadIdx.x % 32;
    const int roi_height = block->row_max - block->row_min + 1, roi_width = block->col_max - block->col_min + 1;
    const int count = block->height * words, warps = gridDim.x * (blockDim.x / 32);
    int my_row_min = 0x7fffffff, my_row_max = -1, my_col_min = 0x7fffffff, my_col_max = -1;
    for (int word = (blockIdx.x * blockDim.x + threadIdx.x) / 32; word < count; word += warps) {
        const int row = word / words, column = word % words * 32 + lane_in_warp;
        float value = 0;
        if (column < width) {
            float* pixel = block->probability + (size_t)row * width + column;
            if (row >= block->row_min && row <= block->row_max && column >= block->col_min && column <= block->col_max) {
                const MfpTap y = mfp_tap(row - block->row_min, lane.height, roi_height);
                const MfpTap x = mfp_tap(column - block->col_min, lane.width, roi_width);
                const float *above = block->map + (size_t)y.below * lane.width, *below = block->map + (size_t)y.above * lane.width;
                value = mfp_bilinear(above[x.below], above[x.above], below[x.below], below[x.above], y, x);
                *pixel = value;
            } else {
                value = *pixel;
            }
        }
        const unsigned bits = __ballot_sync(0xffffffffu, column < width && value > block->threshold);
        if (lane_in_warp == 0) result->bits[word] = bits;
        if (column < width && value > 0.5f) {
            my_row_min = row < my_row_min ? row : my_row_min;
            my_row_max = row > my_row_max ? row : my_row_max;
            my_col_min = column < my_col_min ? column : my_col_min;
            my_col_max = column > my_col_max ? column : my_col_max;
        }
    }
    if (my_row_max >= 0) {
        atomicMin(&row_min, my_row_min);
        atomicMax(&row_max, my_row_max);
        atomicMin(&col_min, my_col_min);
        atomicMax(&col_max, my_col_max);
    }
    __syncthreads();
    if (threadIdx.x == 0 && row_max >= 0) {
        atomicMin(&result->row_min, row_min);
        atomicMax(&result->row_max, row_max);
        atomicMin(&result->col_min, col_min);
        atomicMax(&result->col_max, col_max);
    }
}

// The mask's bits as one byte a pixel, 0 or 1, for those who keep it on the GPU.
extern "C" __global__ void mfp_unpack(const unsigned* bits, unsigned char* mask, int height, int width) {
    const int words = (width + 31) / 32;
    const size_t area = (size_t)height * width, step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < area; i += step) {
        const int row = i / width, column = i % width;
        mask[i] = bits[(size_t)row * words + column / 32] >> (column % 32) & 1u;
    }
}
