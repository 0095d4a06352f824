// Region of interest: the part of the image that a click's network pass covers (docs/method.md, section 5).
#include "roi.hpp"

#include <algorithm>
#include <cmath>

namespace mfp {
namespace {

constexpr double expansion = 1.4;
constexpr double smallest = 200;       // pixels a side
constexpr double replace_below = 0.5;  // IoU of the new box with the stored one

// Halves to even, as Python rounds.
int rounded(double value) { return static_cast<int>(std::nearbyint(value)); }

void expand(int& low, int& high, int length) {
    const double centre = 0.5 * (low + static_cast<double>(high));
    const double half = 0.5 * std::max(expansion * (high - low + 1), smallest);
    low = std::max(rounded(centre - half), 0);
    high = std::min(rounded(centre + half), length - 1);
}

Roi around(Roi box, const std::vector<Click>& clicks, int height, int width) {
    for (const Click& click : clicks) {
        if (!click.positive) continue;
        const int row = static_cast<int>(click.y), column = static_cast<int>(click.x);
        box = {std::min(box.row_min, row), std::max(box.row_max, row), std::min(box.col_min, column),
               std::max(box.col_max, column)};
    }
    expand(box.row_min, box.row_max, height);
    expand(box.col_min, box.col_max, width);
    return box;
}

// The upper end counts as outside, as in the release.
bool is_outside(const Click& click, const Roi& roi) {
    return !(roi.row_min <= click.y && click.y < roi.row_max && roi.col_min <= click.x && click.x < roi.col_max);
}

double interval_iou(int a_min, int a_max, int b_min, int b_max) {
    const int intersection = std::max(0, std::min(a_max, b_max) - std::max(a_min, b_min) + 1);
    const int both =
        std::max(a_max, b_max) - std::min(a_min, b_min) + 1;  // of intervals that meet; else the ratio is 0
    return static_cast<double>(intersection) / both;
}

}  // namespace

Size network_size(const Size& size, const Roi& roi) {
    if (size.width > 0) return size;
    const int height = roi_height(roi), width = roi_width(roi);
    // The quotient first, as the release: a product first rounds 319 of 352 at 400 to 362 instead of 363.
    const double scale = static_cast<double>(size.height) / std::max(height, width);
    return {std::max(rounded(height * scale), 1), std::max(rounded(width * scale), 1)};
}

Roi choose_roi(const std::optional<Roi>& stored, const std::optional<Roi>& object_box, const std::vector<Click>& clicks,
               int height, int width) {
    const Roi fresh = object_box ? around(*object_box, clicks, height, width) : Roi{0, height - 1, 0, width - 1};
    if (!stored) return fresh;
    for (const Click& click : clicks) {
        if (click.positive && is_outside(click, *stored)) return fresh;
    }
    const double iou = interval_iou(fresh.row_min, fresh.row_max, stored->row_min, stored->row_max) *
                       interval_iou(fresh.col_min, fresh.col_max, stored->col_min, stored->col_max);
    return iou < replace_below ? fresh : *stored;
}

}  // namespace mfp
