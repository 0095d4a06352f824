/// @file
/// Builds TensorRT plans from .onnx files, as `mfp build` does: the same file, which either side opens. Needs a library
/// that was compiled with TensorRT or with TensorRT for RTX (docs/cpp.md); without, build_plan says what is missing.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "mfp/session.hpp"

namespace mfp {

/// How a plan is built. All of it is kept in the plan's metadata.
struct BuildOptions {
    std::array<int, 3> batches = {1, 2, 2};    ///< smallest, usual, largest; a session needs 1, or 2 with flip. 1 … 64
    std::optional<std::array<Size, 3>> sizes;  ///< the same of files of any size; none: 32×32, 400×400, 512×512
    std::optional<int> workspace;              ///< MiB of GPU memory that the builder may use; none: all
    std::optional<int> level;                  ///< 0 (fastest build) to 5 (fastest engine); none: TensorRT's own, 3
    bool version_compatible = false;           ///< also for later versions of the same major version; not with RTX
    bool hardware_compatible = false;          ///< also for other GPUs from Ampere on; not with RTX
    /// What TensorRT for RTX builds for, "8.6" say; empty: all from 8.0 on. Needs its own headers.
    std::vector<std::string> compute_capabilities;
    int gpu = 0;  ///< number of the GPU that TensorRT builds on; TensorRT for RTX needs none
};

/// What was built.
struct BuildReport {
    std::string flavour, version;  ///< "tensorrt" or "tensorrt-rtx", and its version
    std::string built_for;         ///< what the plan runs on, in words
    int half_layers = 0;           ///< convolutions and matrix products in half precision
    int matrix_layers = 0;         ///< all of them
    double seconds = 0;
};

/// Builds a plan file. Its precision is the file's: TensorRT 11 knows no other. Threads may build at the same time.
///
/// @param onnx  path of an .onnx file.
/// @param plan  path of the file to write, ending in .plan; it appears complete or not at all.
/// @throws NetworkError  the file is no MFP network; PlanError: the plan cannot be written there.
/// @throws OptionError  options that do not fit the file or this TensorRT.
/// @throws BuildError  TensorRT refuses the file, or the engine is not in the file's precision. No plan is left.
/// @throws RuntimeMissingError  no TensorRT in this build of the library, or it finds no GPU to build on.
MFP_API BuildReport build_plan(const std::string& onnx, const std::string& plan, const BuildOptions& options = {});

}  // namespace mfp
