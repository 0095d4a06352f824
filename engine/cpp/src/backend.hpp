// Backend: the interface of a runtime. To add a runtime, write one file that implements Backend and an opener, add one
// line to network.cpp, and its look-up to CMakeLists.txt.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mfp/session.hpp"
#include "onnx_file.hpp"
#include "plan_file.hpp"

namespace mfp {

// The tensors of one pass, in the order and with the names of the contract; all float32, contiguous, the caller's.
struct Tensors {
    const float* image;           // batch × 3 × height × width, RGB in [0, 1]
    const float* prev_mask;       // batch × 1 × height × width
    const float* modulated_mask;  // batch × 1 × height × width
    const float* clicks;          // batch × 2 × height × width
    float* logits;                // batch × 1 × height × width, written
    int batch, height, width;
};

// One compiled network on one runtime: a HostBackend, or a GpuBackend (gpu_backend.hpp).
class MFP_API Backend {
public:
    Backend(std::string runtime, NetworkInfo info) : runtime(std::move(runtime)), info(std::move(info)) {}
    virtual ~Backend() = default;

    const std::string runtime;
    const NetworkInfo info;

    virtual std::string device_name() const { return "cpu"; }

    // For messages: <openvino hrnet18 320×480 fp32>
    std::string name() const;
};

// On a CPU. run() is called from several threads at once.
class HostBackend : public Backend {
public:
    using Backend::Backend;

    // One pass. Throws NetworkError where the runtime cannot; whether the logits are finite is looked at by the caller.
    virtual void run(const Tensors& tensors) const = 0;
};

using Opener = std::unique_ptr<const Backend> (*)(const std::string& path, const OnnxFile& file,
                                                  const NetworkOptions& options);

// Opens a .plan; `file` is moved from.
using PlanOpener = std::unique_ptr<const Backend> (*)(const std::string& path, PlanFile& file,
                                                      const NetworkOptions& options);

struct Runtime {
    const char* name;
    const char* remedy;  // what to do where it is not part of the build
    Opener open;         // of .onnx files; null: not part of this build, or opens plans
    bool (*takes)(const std::string& file, const std::string& wanted);  // precisions; null: opens plans
    bool is_tensorrt = false;                                           // opens plans
    PlanOpener open_plan = nullptr;                                     // null: not part of this build
};

// All that this version knows, the preferred first.
const std::vector<Runtime>& known_runtimes();

constexpr const char* tensorrt_remedy =
    "configure it again with a CUDA toolkit on PATH, -DTensorRT_INCLUDE=FOLDER of TensorRT's headers, and "
    "-DTensorRT_ROOT=FOLDER of its library, or its pip wheel in MFP_PYTHON";

#ifdef MFP_HAS_TENSORRT
std::unique_ptr<const Backend> open_tensorrt(const std::string& path, PlanFile& file, const NetworkOptions& options);
#endif
#ifdef MFP_HAS_OPENVINO
std::unique_ptr<const Backend> open_openvino(const std::string& path, const OnnxFile& file,
                                             const NetworkOptions& options);
#endif
#ifdef MFP_HAS_ONNXRUNTIME
std::unique_ptr<const Backend> open_onnxruntime(const std::string& path, const OnnxFile& file,
                                                const NetworkOptions& options);
#endif

}  // namespace mfp
