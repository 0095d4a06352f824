// Limits of sizes, shared by the library's files.
#pragma once

namespace mfp {

constexpr int max_side = 8192;            // pixels of a network size, as in engine/contract.py
constexpr int default_longer_side = 400;  // of networks of any size: the published protocol for convolutional backbones
constexpr int max_image_side = 1 << 30;   // so that a region around it has its ends in an int
constexpr long long max_image_area = 0x7fffffff;  // pixels: their number is an int
constexpr int max_threads = 1024;
constexpr int max_clicks = 1 << 20;  // of N in a file; no person gets there

}  // namespace mfp
