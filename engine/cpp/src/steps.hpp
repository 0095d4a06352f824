// The array steps of a click on the host: loops over kernels/mfp_ops.h and click_steps.h, on the structures that the
// CUDA kernels work on. Each step is the host's version of the kernels named with it.
#pragma once

#include "click_steps.h"
#include "resize.hpp"

namespace mfp {

// crop.cu. Image and probability map of the region into the lane, with their mirror images. `blank`: the whole map is
// known to be zero. The second returns whether the crop of the map is.
void crop_image(const MfpLane& lane, const MfpClickBlock& block, ResizeScratch& scratch);
bool crop_probability(const MfpLane& lane, const MfpClickBlock& block, bool blank, ResizeScratch& scratch);

// click.cu. Clicks onto the maps, the windows, the disks. `clicks`: block.n_clicks of them.
void begin(const MfpLane& lane, const MfpClickBlock& block, const MfpClick* clicks);
void disks(const MfpLane& lane, const MfpClickBlock& block);

// modulate.cu. The modulated maps. `scratch`: for the median.
void modulate(const MfpLane& lane, const MfpClickBlock& block, std::vector<unsigned>& scratch);

// paste.cu. Both return false where some logit is not finite.
bool bootstrap(const MfpLane& lane);  // the first pass's probability becomes the previous map
bool probability(const MfpLane& lane, const MfpClickBlock& block);  // into block.map
void paste(const MfpLane& lane, const MfpClickBlock& block, ResizeScratch& scratch);

}  // namespace mfp
