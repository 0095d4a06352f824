// Region of interest: the part of the image that a click's network pass covers (docs/method.md, section 5).
#pragma once

#include <optional>
#include <vector>

#include "mfp/session.hpp"

namespace mfp {

inline int roi_height(const Roi& roi) { return roi.row_max - roi.row_min + 1; }
inline int roi_width(const Roi& roi) { return roi.col_max - roi.col_min + 1; }
inline bool operator==(const Roi& a, const Roi& b) {
    return a.row_min == b.row_min && a.row_max == b.row_max && a.col_min == b.col_min && a.col_max == b.col_max;
}

// What a session's maps are resized to: a fixed size, or the region's longer side where size.width is 0.
Size network_size(const Size& size, const Roi& roi);

// The region for the next pass.
//   stored: region of the pass before, none before the first
//   object_box: box of the probability map above 0.5, none where nothing is
//   clicks: all clicks in image pixels, the newest included
//   height, width: of the image
Roi choose_roi(const std::optional<Roi>& stored, const std::optional<Roi>& object_box, const std::vector<Click>& clicks,
               int height, int width);

}  // namespace mfp
