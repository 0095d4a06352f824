// What a click does to one of its pixels or to one click of its list, over the structures of click_block.h: the lines
// that the kernels and the C++ engine's loops on the host share. Section numbers are those of docs/method.md.
#pragma once

#include "click_block.h"
#include "mfp_ops.h"

// --- Clicks onto a map (section 1, steps 3 and 4) --------------------------------------------------------------------

// Coordinates on an item's map, float32 as the release keeps them.
MFP_HD MfpPlaced mfp_place(const MfpClick& click, const MfpClickBlock& block, const MfpLane& lane, int item) {
    double y = click.y, x = click.x;
    if (!block.mapped) {
        y = mfp_into_crop(y, block.row_min, block.row_max - block.row_min + 1, lane.height);
        x = mfp_into_crop(x, block.col_min, block.col_max - block.col_min + 1, lane.width);
    }
    if (item == 1) x = mfp_mirrored(x, lane.width);
    return {(float)y, (float)x, click.positive, -1.0f};
}

// Whether the newest click modulates. A quirk of the release, for the whole batch: it does not where the click or its
// mirror image has a negative coordinate.
MFP_HD bool mfp_acts(const MfpClick* clicks, const MfpClickBlock& block, const MfpLane& lane) {
    bool acts = block.newest >= 0;
    for (int item = 0; acts && item < lane.batch; ++item) {
        MfpPlaced newest = mfp_place(clicks[block.newest], block, lane, item);
        acts = newest.y >= 0 && newest.x >= 0;
    }
    return acts;
}

// --- The window (section 4) ------------------------------------------------------------------------------------------

// Whether a click is of the other sign than the newest, and so bounds its window; padding is not.
MFP_HD bool mfp_opposes(const MfpClick& click, const MfpPlaced& newest) {
    return click.index >= 0 && !click.positive != !newest.positive;
}

// Distance of an opposite click to the newest; notes the disk that it cuts out of the window.
MFP_HD float mfp_gap(MfpPlaced* placed, const MfpPlaced& newest) {
    const float gap = mfp_root(mfp_squared_distance(placed->y, placed->x, newest.y, newest.x));
    if (gap < MFP_MIN_RADIUS) placed->cut = gap;
    return gap;
}

// Radius of the window where the nearest opposite click is `nearest` pixels away.
MFP_HD float mfp_bounded_radius(float nearest) { return fmaxf(nearest / 2, MFP_MIN_RADIUS); }

// Squared distance of a pixel to the window's centre.
MFP_HD double mfp_squared_to_centre(const MfpWindow* window, int row, int column) {
    return mfp_squared_distance((float)row, (float)column, window->y, window->x);
}

// A window with nothing counted in it yet.
MFP_HD void mfp_open_window(MfpWindow* window, const MfpPlaced& newest, double radius, bool acts, bool early,
                            const MfpLane& lane) {
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
    window->early = early;
    window->acts = acts;
    window->count = 0;
    window->nonzero = 0;
}

// Place of the clicked pixel in an item's map.
MFP_HD int mfp_clicked(const MfpWindow* window, const MfpLane& lane) {
    return mfp_clamp((int)window->y, 0, lane.height - 1) * lane.width + mfp_clamp((int)window->x, 0, lane.width - 1);
}

// Gamma of the window, by the probability at the clicked pixel.
MFP_HD double mfp_window_gamma(const MfpWindow* window, float p) {
    return mfp_is_cone(p, window->positive) ? 1.0 : mfp_gamma(p, window->positive);
}

// Whether the median of this window is asked for; p as above.
MFP_HD bool mfp_wants_median(const MfpWindow* window, float p) {
    return window->acts && window->early && window->count > 0 && !mfp_is_cone(p, window->positive);
}

// Whether a pixel at this squared distance lies in the window. `placed`: the item's clicks.
MFP_HD bool mfp_in_window(const MfpWindow* window, const MfpPlaced* placed, int n_clicks, int row, int column,
                          double squared) {
    bool inside = mfp_is_within(squared, window->radius);
    if (inside && window->radius == MFP_MIN_RADIUS) {  // only so small a window is cut
        for (int c = 0; inside && c < n_clicks; ++c) {
            const MfpPlaced cut = placed[c];
            inside = !(cut.cut >= 0 &&
                       mfp_is_within(mfp_squared_distance((float)row, (float)column, cut.y, cut.x), cut.cut));
        }
    }
    return inside;
}

// How much pixel `i` differs from the clicked one: in probability, or in the colours of `image` (3 × area).
MFP_HD float mfp_difference(const float* prev, const float* image, int area, int i, int clicked, bool rgb) {
    if (!rgb) return fabsf(prev[i] - prev[clicked]);
    float sum = 0;
    for (int channel = 0; channel < 3; ++channel) {
        const float step = image[(size_t)channel * area + i] - image[(size_t)channel * area + clicked];
        sum += step * step;
    }
    return sqrtf(sum);
}

// --- The modulated map (section 4) -----------------------------------------------------------------------------------

// What is the same for all pixels of an item's modulated map.
struct MfpModulation {
    bool acts, cone;
    double farthest;          // pixels
    float median;             // of the differences in the window
    int set_row, set_column;  // the pixel that is set to 0 or 1
};

MFP_HD MfpModulation mfp_modulation(const MfpWindow* window, const MfpLane& lane, float p, float median) {
    MfpModulation all;
    all.acts = window->acts && window->count > 0;
    all.cone = all.acts && mfp_is_cone(p, window->positive);
    all.farthest = sqrt(mfp_double(window->farthest));
    all.median = median;
    // Halves to even, as Python rounds.
    all.set_row = mfp_clamp((int)rint((double)window->y), 0, lane.height - 1);
    all.set_column = mfp_clamp((int)rint((double)window->x), 0, lane.width - 1);
    return all;
}

// The modulated value of a pixel; `key`: bits of its difference, or MFP_OUTSIDE.
MFP_HD float mfp_modulated(const MfpWindow* window, const MfpModulation& all, int row, int column, float value,
                           unsigned key) {
    const bool positive = window->positive, inside = key != MFP_OUTSIDE;
    if (!all.acts) return value;
    if (!all.cone && row == all.set_row && column == all.set_column) return positive ? 1.0f : 0.0f;
    if (!inside) return value;
    const double squared = mfp_squared_to_centre(window, row, column);
    if (all.cone) return all.farthest > 0 ? mfp_cone(sqrt(squared), all.farthest, positive) : value;
    const float exponent = window->early ? mfp_early_exponent(mfp_float(key), all.median, (float)window->gamma)
                                         : mfp_late_exponent(sqrt(squared), window->radius, window->gamma);
    return mfp_moved(value, exponent, positive);
}
