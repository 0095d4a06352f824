// The region of interest, resized and mirrored, into the network's tensors (section 1, steps 2 and 4).
#include "click_block.h"
#include "mfp_ops.h"

// One thread a pixel of the map. Also finds out whether the crop of the probability map holds only zeros.
extern "C" __global__ void mfp_crop(MfpLane lane, const MfpClickBlock* block) {
    const int area = lane.height * lane.width;
    const int roi_height = block->row_max - block->row_min + 1, roi_width = block->col_max - block->col_min + 1;
    int nonzero = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < area; i += gridDim.x * blockDim.x) {
        const int row = i / lane.width, column = i % lane.width;
        const int mirrored = row * lane.width + lane.width - 1 - column;
        const MfpTap y = mfp_tap(row, roi_height, lane.height), x = mfp_tap(column, roi_width, lane.width);
        const long long top = block->row_min + y.below, bottom = block->row_min + y.above;
        const long long left = block->col_min + x.below, right = block->col_min + x.above;

        for (int channel = 0; channel < 3; ++channel) {
            const unsigned char* plane = block->image + channel * block->image_channel;
            const unsigned char *above = plane + top * block->image_row, *below = plane + bottom * block->image_row;
            const float value = mfp_bilinear(above[left * block->image_column], above[right * block->image_column],
                                             below[left * block->image_column], below[right * block->image_column], y, x) /
                                255.0f;
            lane.image[(size_t)channel * area + i] = value;
            if (lane.batch == 2) lane.image[(size_t)(3 + channel) * area + mirrored] = value;
        }
        const float *above = block->probability + top * block->width, *below = block->probability + bottom * block->width;
        const float value = mfp_bilinear(above[left], above[right], below[left], below[right], y, x);
        nonzero |= value != 0.0f;
        lane.prev[i] = value;
        if (lane.batch == 2) lane.prev[area + mirrored] = value;
    }
    // one atomic a block, not one a pixel: they all go to the same address
    nonzero = __syncthreads_or(nonzero);
    if (nonzero && threadIdx.x == 0) atomicOr(&lane.windows[0].nonzero, 1);
}
