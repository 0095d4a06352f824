// Options of a build, checked against the file; see engine/plans/builder.py. tensorrt_build.cpp calls TensorRT.
#include "build.hpp"

#include <algorithm>
#include <filesystem>

#include "limits.hpp"
#include "text.hpp"

namespace mfp {
namespace {

constexpr int max_batch = 64, max_level = 5, max_workspace = 1 << 20;  // MiB

template <class Values>
bool is_rising(const Values& values, int largest) {
    return 1 <= values[0] && values[0] <= values[1] && values[1] <= values[2] && values[2] <= largest;
}

}  // namespace

BuildProfile build_profile(const std::string& file, const NetworkInfo& info, const BuildOptions& options, bool is_rtx) {
    const auto& batches = options.batches;
    if (!is_rising(batches, max_batch)) {
        throw OptionError(text("expected three rising batches from 1 to ", max_batch, ", got (", batches[0], ", ",
                               batches[1], ", ", batches[2], ")"));
    }
    std::array<Size, 3> sizes = {Size{32, 32}, Size{400, 400}, Size{512, 512}};
    if (options.sizes && info.size) {
        throw OptionError(text(file, " is fixed to ", info.size->height, "×", info.size->width,
                               "; sizes are for files of any size (mfp export --size dynamic)"));
    }
    if (options.sizes) sizes = *options.sizes;
    if (info.size) sizes.fill(*info.size);
    const std::array<int, 3> heights = {sizes[0].height, sizes[1].height, sizes[2].height};
    const std::array<int, 3> widths = {sizes[0].width, sizes[1].width, sizes[2].width};
    if (!is_rising(heights, max_side) || !is_rising(widths, max_side)) {
        throw OptionError(text("expected three rising sizes from 1 to ", max_side, " a side"));
    }
    if (options.level && (*options.level < 0 || *options.level > max_level)) {
        throw OptionError(text("expected an optimisation level from 0 to ", max_level, ", got ", *options.level));
    }
    if (options.workspace && (*options.workspace < 1 || *options.workspace > max_workspace)) {
        throw OptionError(text("expected a workspace limit of 1 to ", max_workspace, " MiB, got ", *options.workspace));
    }
    if (options.gpu < 0) throw OptionError(text("expected the number of a GPU, from 0, got ", options.gpu));
    if (!options.compute_capabilities.empty() && !is_rtx) {
        throw OptionError("compute capabilities are for TensorRT for RTX; TensorRT builds for the GPU it runs on");
    }
    if (is_rtx && (options.hardware_compatible || options.version_compatible)) {
        throw OptionError(
            "version and hardware compatibility are for TensorRT: a plan of TensorRT for RTX runs on several GPUs "
            "anyway, "
            "and always needs the version it was built with");
    }
    BuildProfile profile;
    for (int i = 0; i < 3; ++i) profile[i] = {batches[i], sizes[i].height, sizes[i].width};
    return profile;
}

#ifndef MFP_HAS_TENSORRT
BuildReport build_plan(const std::string&, const std::string&, const BuildOptions&) {
    throw RuntimeMissingError(text("TensorRT is not part of this build of the library: ", tensorrt_remedy));
}
#endif

}  // namespace mfp
