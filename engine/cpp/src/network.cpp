#include <algorithm>

#include "backend.hpp"
#include "limits.hpp"
#include "text.hpp"

namespace mfp {

std::string one_line(const std::string& message) {
    std::istringstream words(message);
    std::string line;
    for (std::string word; words >> word;) line += (line.empty() ? "" : " ") + word;
    while (!line.empty() && line.back() == '.') line.pop_back();
    return line;
}

std::string Backend::name() const {
    const std::string size = info.size ? text(info.size->height, "×", info.size->width) : "any size";
    return text("<", runtime, " ", info.backbone, " ", size, " ", info.precision, ">");
}

const std::vector<Runtime>& known_runtimes() {
    static const std::vector<Runtime> known = {
#ifdef MFP_HAS_OPENVINO
        {"openvino", "", open_openvino},
#else
        {"openvino",
         "pip install openvino, then configure this library again, with -DOpenVINO_DIR=FOLDER where CMake does "
         "not find it",
         nullptr},
#endif
#ifdef MFP_HAS_ONNXRUNTIME
        {"onnxruntime", "", open_onnxruntime},
#else
        {"onnxruntime",
         "apt install libonnxruntime-dev, or unpack an archive of ONNX Runtime's releases, then configure this library "
         "again with -Donnxruntime_ROOT=FOLDER",
         nullptr},
#endif
    };
    return known;
}

Network::Network(std::unique_ptr<const Backend> backend) : backend_(std::move(backend)) {}
Network::~Network() = default;
const NetworkInfo& Network::info() const { return backend_->info; }
const std::string& Network::runtime() const { return backend_->runtime; }

std::vector<std::string> Network::runtimes() {
    std::vector<std::string> names;
    for (const Runtime& runtime : known_runtimes()) {
        if (runtime.open) names.emplace_back(runtime.name);
    }
    return names;
}

std::shared_ptr<const Network> Network::load(const std::string& path, const NetworkOptions& options) {
    if (options.threads < 0 || options.threads > max_threads) {
        throw OptionError(text("expected a number of threads from 1 to ", max_threads, ", or 0 to leave it open, got ",
                               options.threads));
    }
    const std::string& precision = options.precision;
    if (!precision.empty() && precision != "fp32" && precision != "fp16" && precision != "bf16") {
        throw OptionError(text("unknown precision '", precision, "'; expected one of fp32, fp16, bf16"));
    }
    const Runtime* chosen = nullptr;
    std::string known, remedy;
    for (const Runtime& runtime : known_runtimes()) {
        const bool asked_for = options.runtime == runtime.name || (options.runtime == "auto" && runtime.open);
        if (asked_for && !chosen) chosen = &runtime;
        known += std::string(known.empty() ? "" : ", ") + runtime.name;
        remedy += std::string(remedy.empty() ? "" : "; or ") + runtime.remedy;
    }
    if (!chosen && options.runtime != "auto") {
        throw OptionError(text("unknown runtime '", options.runtime, "'; expected \"auto\" or one of ", known));
    }
    if (!chosen || !chosen->open) {
        throw RuntimeMissingError(
            text(chosen ? chosen->name : "a runtime",
                 " is not part of this build of the library: ", chosen ? chosen->remedy : remedy));
    }
    const OnnxFile file = read_onnx(path);
    return std::make_shared<const Network>(chosen->open(path, file, options));
}

}  // namespace mfp
