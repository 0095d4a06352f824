// Bilinear resizing with aligned corners, in loops over mfp_ops.h (docs/method.md, section 1).
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "mfp_ops.h"

namespace mfp {

// Memory that resizing works in. It only grows: what was resized once is resized again without an allocation.
struct ResizeScratch {
    std::vector<MfpTap> taps;  // along a row
    std::vector<float> rows;   // two source rows, resized along the row

    void reserve(int width) {
        const auto needed = static_cast<std::size_t>(width);
        if (taps.size() < needed) taps.resize(needed);
        if (rows.size() < 2 * needed) rows.resize(2 * needed);
    }
};

// Resizes a plane of height × width to new_height × new_width. Strides are in elements; target rows have stride
// `target_row`, their elements lie side by side. Each pixel is mfp_bilinear of its neighbours, to the bit; unlike the
// kernels, which have a thread a pixel, each source row is resized along the row once and then used by all rows that it
// is a neighbour of.
template <class Source>
void resize_bilinear(const Source* source, std::ptrdiff_t source_row, std::ptrdiff_t source_column, int height,
                     int width, float* target, std::ptrdiff_t target_row, int new_height, int new_width,
                     ResizeScratch& scratch) {
    scratch.reserve(new_width);
    MfpTap* taps = scratch.taps.data();
    for (int column = 0; column < new_width; ++column) taps[column] = mfp_tap(column, width, new_width);
    float* rows[2] = {scratch.rows.data(), scratch.rows.data() + new_width};
    int held[2] = {-1, -1};
    const auto fill = [&](int slot, int row) {
        if (held[slot] == row) return;
        const Source* from = source + row * source_row;
        float* to = rows[slot];
        for (int column = 0; column < new_width; ++column) {
            const MfpTap tap = taps[column];
            to[column] =
                mfp_between((float)from[tap.below * source_column], (float)from[tap.above * source_column], tap.weight);
        }
        held[slot] = row;
    };
    for (int row = 0; row < new_height; ++row) {
        const MfpTap tap = mfp_tap(row, height, new_height);
        if (held[1] == tap.below) {  // what was the lower neighbour is the upper one now
            std::swap(rows[0], rows[1]);
            std::swap(held[0], held[1]);
        }
        fill(0, tap.below);
        fill(1, tap.above);
        const float *above = rows[0], *below = rows[1];
        float* to = target + row * target_row;
        for (int column = 0; column < new_width; ++column)
            to[column] = mfp_between(above[column], below[column], tap.weight);
    }
}

}  // namespace mfp
