// TensorRtLog: a logger that keeps TensorRT's errors for messages, and a build's description of the engine's layers.
#pragma once

#include <NvInferRuntime.h>

#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

namespace mfp {

class TensorRtLog : public nvinfer1::ILogger {
public:
    void log(Severity severity, const char* message) noexcept override {
        try {
            const std::string text = message;
            std::lock_guard<std::mutex> lock(mutex_);
            if (severity <= Severity::kERROR) errors_.push_back(text);
            if (text.compare(0, 7, "Layers:") == 0) layers_ = text;
            constexpr const char* heading = "Total Activation Memory: ";
            const auto at = text.find(heading);
            if (at != std::string::npos)
                activations_ = std::atoll(text.c_str() + at + std::char_traits<char>::length(heading));
        } catch (...) {  // no memory for a message
        }
    }

    // The newest errors.
    std::string complaints() const {
        std::lock_guard<std::mutex> lock(mutex_);
        std::string list;
        for (std::size_t i = errors_.size() > 3 ? errors_.size() - 3 : 0; i < errors_.size(); ++i) {
            list += (list.empty() ? "" : "; ") + errors_[i];
        }
        return list.empty() ? "it does not say why" : list;
    }

    const std::string& layers() const { return layers_; }        // of a build; empty where it did not say
    long long activation_bytes() const { return activations_; }  // of a build; -1 where it did not say

private:
    mutable std::mutex mutex_;
    std::vector<std::string> errors_;
    std::string layers_;
    long long activations_ = -1;
};

// As Python's module has it: 11.1.0.106.
inline std::string tensorrt_version() {
    return std::to_string(getInferLibMajorVersion()) + "." + std::to_string(getInferLibMinorVersion()) + "." +
           std::to_string(getInferLibPatchVersion()) + "." + std::to_string(getInferLibBuildVersion());
}

constexpr bool is_tensorrt_rtx = std::string_view(MFP_TENSORRT_FLAVOUR) == "tensorrt-rtx";

}  // namespace mfp
