// The array steps of a click on the host; steps.hpp describes them.
#include "steps.hpp"

#include <algorithm>

namespace mfp {
namespace {

// The second item of a batch: `source` mirrored left-right.
void mirror(const float* source, float* target, int height, int width) {
    for (int row = 0; row < height; ++row, source += width, target += width) {
        std::reverse_copy(source, source + width, target);
    }
}

std::size_t area_of(const MfpLane& lane) { return static_cast<std::size_t>(lane.height) * lane.width; }

}  // namespace

void crop_image(const MfpLane& lane, const MfpClickBlock& block, ResizeScratch& scratch) {
    const std::size_t area = area_of(lane);
    const int height = block.row_max - block.row_min + 1, width = block.col_max - block.col_min + 1;
    for (int channel = 0; channel < 3; ++channel) {
        const unsigned char* corner = block.image + channel * block.image_channel + block.row_min * block.image_row +
                                      block.col_min * block.image_column;
        float* plane = lane.image + channel * area;
        resize_bilinear(corner, block.image_row, block.image_column, height, width, plane, lane.width, lane.height,
                        lane.width, scratch);
        for (std::size_t i = 0; i < area; ++i) plane[i] /= 255.0f;
        if (lane.batch == 2) mirror(plane, plane + 3 * area, lane.height, lane.width);
    }
}

bool crop_probability(const MfpLane& lane, const MfpClickBlock& block, bool blank, ResizeScratch& scratch) {
    const std::size_t area = area_of(lane);
    if (blank) {
        std::fill_n(lane.prev, area * lane.batch, 0.0f);
        return true;
    }
    const int height = block.row_max - block.row_min + 1, width = block.col_max - block.col_min + 1;
    resize_bilinear(block.probability + static_cast<std::size_t>(block.row_min) * block.width + block.col_min,
                    block.width, 1, height, width, lane.prev, lane.width, lane.height, lane.width, scratch);
    if (lane.batch == 2) mirror(lane.prev, lane.prev + area, lane.height, lane.width);
    return std::all_of(lane.prev, lane.prev + area, [](float value) { return value == 0.0f; });
}

void begin(const MfpLane& lane, const MfpClickBlock& block, const MfpClick* clicks) {
    const bool acts = mfp_acts(clicks, block, lane);
    for (int item = 0; item < lane.batch; ++item) {
        MfpPlaced newest = {0, 0, 0, 0};
        if (acts) newest = mfp_place(clicks[block.newest], block, lane, item);
        bool bounded = false;
        float nearest = 0;
        for (int i = 0; i < block.n_clicks; ++i) {
            MfpPlaced placed = mfp_place(clicks[i], block, lane, item);
            if (acts && mfp_opposes(clicks[i], newest)) {
                const float gap = mfp_gap(&placed, newest);
                nearest = bounded ? std::min(nearest, gap) : gap;
                bounded = true;
            }
            lane.placed[item * lane.capacity + i] = placed;
        }
        const bool early = acts && clicks[block.newest].index < block.n_early;
        mfp_open_window(lane.windows + item, newest, bounded ? mfp_bounded_radius(nearest) : block.r_max, acts, early,
                        lane);
    }
}

// The kernel asks each pixel for the clicks that it is near to; here each click looks for its pixels, which are few.
void disks(const MfpLane& lane, const MfpClickBlock& block) {
    const std::size_t area = area_of(lane);
    std::fill_n(lane.clicks, 2 * area * lane.batch, 0.0f);
    for (int item = 0; item < lane.batch; ++item) {
        for (int k = 0; k < block.n_clicks; ++k) {
            const MfpPlaced click = lane.placed[item * lane.capacity + k];
            if (!mfp_is_click(click.y, click.x)) continue;
            float* map = lane.clicks + (2 * item + (click.positive ? 0 : 1)) * area;
            const int row_stop = mfp_span_stop(click.y, block.disk_radius, lane.height);
            const int column_start = mfp_span_start(click.x, block.disk_radius, lane.width);
            const int column_stop = mfp_span_stop(click.x, block.disk_radius, lane.width);
            for (int row = mfp_span_start(click.y, block.disk_radius, lane.height); row < row_stop; ++row) {
                for (int column = column_start; column < column_stop; ++column) {
                    if (mfp_in_disk(row, column, click.y, click.x, block.disk_radius)) {
                        map[static_cast<std::size_t>(row) * lane.width + column] = 1.0f;
                    }
                }
            }
        }
    }
}

void modulate(const MfpLane& lane, const MfpClickBlock& block, std::vector<unsigned>& scratch) {
    const std::size_t area = area_of(lane);
    for (int item = 0; item < lane.batch; ++item) {
        MfpWindow* window = lane.windows + item;
        const float *prev = lane.prev + item * area, *image = lane.image + 3 * item * area;
        float* modulated = lane.modulated + item * area;
        unsigned* keys = lane.keys + item * area;
        std::copy_n(prev, area, modulated);
        if (!window->acts) continue;

        const int clicked = mfp_clicked(window, lane);
        scratch.clear();
        for (int row = window->row_start; row < window->row_stop; ++row) {
            for (int column = window->col_start; column < window->col_stop; ++column) {
                const int i = row * lane.width + column;
                const double squared = mfp_squared_to_centre(window, row, column);
                keys[i] = MFP_OUTSIDE;
                if (!mfp_in_window(window, lane.placed + item * lane.capacity, block.n_clicks, row, column, squared))
                    continue;
                keys[i] = mfp_bits(mfp_difference(prev, image, (int)area, i, clicked, block.compare_rgb));
                window->farthest = std::max(window->farthest, mfp_bits(squared));
                ++window->count;
                scratch.push_back(keys[i]);
            }
        }
        window->gamma = mfp_window_gamma(window, prev[clicked]);
        float median = 0;
        if (mfp_wants_median(window, prev[clicked])) {  // one processor selects faster than it makes histograms
            const auto middle = scratch.begin() + (window->count - 1) / 2;
            std::nth_element(scratch.begin(), middle, scratch.end());
            median = mfp_float(*middle);
        }
        const MfpModulation all = mfp_modulation(window, lane, prev[clicked], median);
        const auto write = [&](int row, int column, unsigned key) {
            const int i = row * lane.width + column;
            modulated[i] = mfp_modulated(window, all, row, column, prev[i], key);
        };
        // The pixel that is set can lie outside its window; the others of the map stay as they are.
        write(all.set_row, all.set_column, MFP_OUTSIDE);
        for (int row = window->row_start; row < window->row_stop; ++row) {
            for (int column = window->col_start; column < window->col_stop; ++column) {
                write(row, column, keys[row * lane.width + column]);
            }
        }
    }
}

bool bootstrap(const MfpLane& lane) {
    const std::size_t count = area_of(lane) * lane.batch;
    bool finite = true;
    for (std::size_t i = 0; i < count; ++i) {
        finite &= mfp_is_finite(lane.logits[i]);
        lane.prev[i] = mfp_sigmoid(lane.logits[i]);
    }
    return finite;
}

bool probability(const MfpLane& lane, const MfpClickBlock& block) {
    const std::size_t area = area_of(lane);
    bool finite = true;
    for (int row = 0; row < lane.height; ++row) {
        const std::size_t start = static_cast<std::size_t>(row) * lane.width;
        const float *own = lane.logits + start, *mirrored = lane.logits + area + start;
        for (int column = 0; column < lane.width; ++column) {
            float logit = own[column];
            finite &= mfp_is_finite(logit);
            if (lane.batch == 2) {
                const float other = mirrored[lane.width - 1 - column];
                finite &= mfp_is_finite(other);
                logit = 0.5f * (logit + other);
            }
            block.map[start + column] = mfp_sigmoid(logit);
        }
    }
    return finite;
}

void paste(const MfpLane& lane, const MfpClickBlock& block, ResizeScratch& scratch) {
    resize_bilinear(block.map, lane.width, 1, lane.height, lane.width,
                    block.probability + static_cast<std::size_t>(block.row_min) * block.width + block.col_min,
                    block.width, block.row_max - block.row_min + 1, block.col_max - block.col_min + 1, scratch);
}

}  // namespace mfp
