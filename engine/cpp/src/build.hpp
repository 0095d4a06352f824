// Check of a build's options; build.cpp is the implementation.
#pragma once

#include "backend.hpp"
#include "mfp/build.hpp"

namespace mfp {

using BuildProfile = std::array<std::array<int, 3>, 3>;  // smallest, usual, largest: batch, height, width

// Refuses, before the work, what does not fit the file or the flavour. Throws OptionError.
BuildProfile build_profile(const std::string& file, const NetworkInfo& info, const BuildOptions& options, bool is_rtx);

}  // namespace mfp
