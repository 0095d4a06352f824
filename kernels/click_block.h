// What kernels work on: plain structures that Python (block.py) and C++ fill alike.
#pragma once

#define MFP_BINS 2048      // of a histogram: the first of three digits has 11 bits, the others 10
#define MFP_DIGITS 3
#define MFP_OUTSIDE 0xffffffffu  // key of a pixel outside the window: no float that is not negative has these bits

// Bits of MfpResult.status
#define MFP_NOT_FINITE 1       // the network gave logits that are infinite or no numbers; nothing was pasted
#define MFP_NEEDS_BOOTSTRAP 2  // the crop of the probability map held only zeros; nothing was pasted

struct MfpClick {
    double y, x;  // image pixels, or map pixels where MfpClickBlock.mapped says so
    int positive;
    int index;  // place in the click order; negative: padding, which bounds no window
};

// Comes back to the host after every click. The mask follows it: one bit a pixel, lowest bit leftmost, rows filled up to
// 32 bits.
struct MfpResult {
    int row_min, row_max, col_min, col_max;  // box of the pixels above 0.5; row_max < 0 where there is none
    int status;
    int reserved[3];
    unsigned bits[1];  // height × ceil(width / 32)
};

// What changes from click to click. It goes to the GPU in one copy; its clicks follow it.
struct MfpClickBlock {
    const unsigned char* image;                         // uint8 RGB; never written
    long long image_row, image_column, image_channel;  // strides in bytes
    float* probability;                                 // height × width; pasted into
    float* map;         // lane.height × lane.width: this click's probability, kept for undo and redo
    MfpResult* result;
    double r_max;       // pixels of the network's maps
    float threshold;    // of the mask
    float disk_radius;  // pixels of the network's maps
    int height, width;  // of the image
    int row_min, row_max, col_min, col_max;  // region of interest in image pixels, inclusive
    int n_clicks;
    int newest;        // place of the click that modulates among the clicks; negative: none does
    int n_early;
    int compare_rgb;   // early clicks compare colours of lane.image instead of probabilities
    int mapped;        // clicks are given in map pixels
    int bootstrapped;  // 0: paste nothing where the crop held only zeros, and say so
};

// One batch item's window, and what is found out about it.
struct MfpWindow {
    double radius;                // pixels
    unsigned long long farthest;  // bits of the largest squared distance inside, a double
    double gamma;
    float y, x;                   // of the newest click
    int row_start, row_stop, col_start, col_stop;  // what can lie inside
    int positive, early;
    int acts;                     // 0: modulation changes nothing
    int count;                    // pixels inside
    int nonzero;                  // of the first item: prev holds something else than zeros
    unsigned prefix[MFP_DIGITS];  // the digits of the median's bits in front of each digit
    int rank[MFP_DIGITS];         // place of the median among the keys that begin so
    unsigned histogram[MFP_DIGITS][MFP_BINS];
};

// A click on a batch item's map.
struct MfpPlaced {
    float y, x;
    int positive;
    float cut;  // radius of the disk that it cuts out of the window; negative: none
};

// Memory that clicks of one network size work in, one click after another. Passed by value.
struct MfpLane {
    float* image;      // batch × 3 × height × width
    float* prev;       // batch × 1 × height × width
    float* modulated;  // batch × 1 × height × width
    float* clicks;     // batch × 2 × height × width
    float* logits;     // batch × 1 × height × width
    unsigned* keys;    // batch × height × width
    MfpWindow* windows;  // batch
    MfpPlaced* placed;   // batch × capacity
    int batch;         // 1, or 2: the second item is the mirrored one
    int height, width;
    int capacity;      // clicks that there is room for
};
