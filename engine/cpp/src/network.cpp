#include <filesystem>

#include "backend.hpp"
#include "limits.hpp"
#include "text.hpp"

namespace mfp {

namespace fs = std::filesystem;

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

namespace {

PlanOpener tensorrt_opener([[maybe_unused]] const char* name) {
#ifdef MFP_HAS_TENSORRT
    if (std::string(name) == MFP_TENSORRT_FLAVOUR) return open_tensorrt;
#endif
    return nullptr;
}

}  // namespace

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
        {"tensorrt", tensorrt_remedy, nullptr, true, tensorrt_opener("tensorrt")},
        {"tensorrt-rtx", tensorrt_remedy, nullptr, true, tensorrt_opener("tensorrt-rtx")},
    };
    return known;
}

namespace {

// The runtime that a plan says it is for.
const Runtime& runtime_of_plan(const std::string& path, const PlanFile& file, const NetworkOptions& options) {
    const std::string* flavour = file.metadata.find_text("flavour");
    const Runtime* found = nullptr;
    for (const Runtime& runtime : known_runtimes()) {
        if (runtime.is_tensorrt && flavour && *flavour == runtime.name) found = &runtime;
    }
    if (!found) {
        throw PlanError(text(
            path, " does not say which TensorRT it is for. Build it again with: ", rebuild_command(file.metadata)));
    }
    if (options.runtime != "auto" && options.runtime != found->name) {
        throw NetworkError(
            text(path, " is a plan of ", found->name, ", not of ", options.runtime, "; load it with runtime='auto'"));
    }
    return *found;
}

RuntimeMissingError missing(const std::string& what, const std::string& remedy) {
    return RuntimeMissingError(what + " is not part of this build of the library: " + remedy);
}

std::unique_ptr<const Backend> load_plan(const std::string& path, const NetworkOptions& options) {
    PlanFile file = read_plan(path);
    const Runtime& runtime = runtime_of_plan(path, file, options);
    if (!runtime.open_plan) throw missing(runtime.name, runtime.remedy);
    return runtime.open_plan(path, file, options);
}

}  // namespace

Network::Network(std::unique_ptr<const Backend> backend) : backend_(std::move(backend)) {}
Network::~Network() = default;
const NetworkInfo& Network::info() const { return backend_->info; }
const std::string& Network::runtime() const { return backend_->runtime; }
std::string Network::device() const { return backend_->device_name(); }

std::vector<std::string> Network::runtimes() {
    std::vector<std::string> names;
    for (const Runtime& runtime : known_runtimes()) {
        if (runtime.open || runtime.open_plan) names.emplace_back(runtime.name);
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
    if (options.gpu < 0) throw OptionError(text("expected the number of a GPU, from 0, got ", options.gpu));
    std::string ending = fs::u8path(path).extension().u8string();
    for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    const bool is_plan = ending == ".plan";
    const Runtime* chosen = nullptr;
    std::string known, able, remedy;
    const auto join = [](std::string& list, const char* between, const char* word) {
        list += (list.empty() ? "" : between) + std::string(word);
    };
    bool is_known = options.runtime == "auto";
    for (const Runtime& runtime : known_runtimes()) {
        join(known, ", ", runtime.name);
        is_known = is_known || options.runtime == runtime.name;
        if (runtime.is_tensorrt != is_plan) continue;
        join(able, ", ", runtime.name);
        join(remedy, "; or ", runtime.remedy);
        const bool asked_for = options.runtime == runtime.name || (options.runtime == "auto" && runtime.open);
        if (asked_for && !chosen) chosen = &runtime;
    }
    if (!is_known) {
        throw OptionError(text("unknown runtime '", options.runtime, "'; expected \"auto\" or one of ", known));
    }
    check_is_file(path);
    if (!chosen && options.runtime != "auto") {
        throw NetworkError(text(path, " runs on ", able, ", not on ", options.runtime,
                                is_plan ? "" : ". Build a plan of it: mfp build, or mfp::build_plan"));
    }
    if (is_plan) return std::make_shared<const Network>(load_plan(path, options));
    if (!chosen || !chosen->open) throw missing(chosen ? chosen->name : "a runtime", chosen ? chosen->remedy : remedy);
    const OnnxFile file = read_onnx(path);
    return std::make_shared<const Network>(chosen->open(path, file, options));
}

}  // namespace mfp
