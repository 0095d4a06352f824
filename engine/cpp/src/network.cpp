// Loading of networks: the table of runtimes, and the choice among them; see engine/network.py.
#include <filesystem>
#include <tuple>
#include <utility>

#include "backend.hpp"
#include "limits.hpp"
#include "packaged.hpp"
#include "text.hpp"

namespace mfp {

namespace fs = std::filesystem;

std::string one_line(const std::string& message) {
    std::istringstream words(message);
    words.imbue(std::locale::classic());
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

// Whether a runtime computes a file of one precision in another; empty is the file's own.
bool openvino_takes(const std::string& file, const std::string& wanted) { return file == "fp32" && wanted != "fp16"; }

bool onnxruntime_takes(const std::string& file, const std::string& wanted) {
    return file != "bf16" && (wanted.empty() || wanted == file);
}

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
        {"openvino", "", open_openvino, openvino_takes},
#else
        {"openvino",
         "pip install openvino, then configure this library again, with -DOpenVINO_DIR=FOLDER where CMake does "
         "not find it",
         nullptr, openvino_takes},
#endif
#ifdef MFP_HAS_ONNXRUNTIME
        {"onnxruntime", "", open_onnxruntime, onnxruntime_takes},
#else
        {"onnxruntime",
         "apt install libonnxruntime-dev, or unpack an archive of ONNX Runtime's releases, then configure this library "
         "again with -Donnxruntime_ROOT=FOLDER",
         nullptr, onnxruntime_takes},
#endif
        {"tensorrt", tensorrt_remedy, nullptr, nullptr, true, tensorrt_opener("tensorrt")},
        {"tensorrt-rtx", tensorrt_remedy, nullptr, nullptr, true, tensorrt_opener("tensorrt-rtx")},
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

// The runtime for "auto": the first that is part of the build and takes the file, and why, where it is not the first of
// all. Where none takes it the first of the build, which says what is wrong.
std::pair<const Runtime*, std::string> choose(const std::vector<const Runtime*>& able, const std::string& file,
                                              const std::string& wanted) {
    const Runtime* fallback = nullptr;
    std::string why;
    for (const Runtime* runtime : able) {
        if (runtime->open && runtime->takes(file, wanted)) return {runtime, why};
        if (runtime->open && !fallback) fallback = runtime;
        why += text(why.empty() ? "" : "; ", runtime->name,
                    !runtime->open                     ? " is not part of this build"
                    : wanted.empty() || wanted == file ? text(" takes no ", file, " file")
                                                       : text(" does not compute a file in ", file, " in ", wanted));
    }
    return {fallback, ""};
}

void join(std::string& list, const char* between, const char* word) {
    list += (list.empty() ? "" : between) + std::string(word);
}

std::string place(const std::string& device) { return device == "cpu" ? "the CPU" : device; }

}  // namespace

Network::Network(std::unique_ptr<const Backend> backend, std::string choice)
    : backend_(std::move(backend)), choice_(std::move(choice)) {}
Network::~Network() = default;
const NetworkInfo& Network::info() const { return backend_->info; }
const std::string& Network::runtime() const { return backend_->runtime; }
std::string Network::device() const { return backend_->device_name(); }
const std::string& Network::choice() const { return choice_; }

std::vector<std::string> Network::runtimes() {
    std::vector<std::string> names;
    for (const Runtime& runtime : known_runtimes()) {
        if (runtime.open || runtime.open_plan) names.emplace_back(runtime.name);
    }
    return names;
}

std::shared_ptr<const Network> Network::load(const std::string& source, const NetworkOptions& options) {
    if (options.threads < 0 || options.threads > max_threads) {
        throw OptionError(text("expected a number of threads from 1 to ", max_threads, ", or 0 to leave it open, got ",
                               options.threads));
    }
    const std::string& precision = options.precision;
    if (!precision.empty() && precision != "fp32" && precision != "fp16" && precision != "bf16") {
        throw OptionError(text("unknown precision '", precision, "'; expected one of fp32, fp16, bf16"));
    }
    if (options.gpu < 0) throw OptionError(text("expected the number of a GPU, from 0, got ", options.gpu));
    const bool is_auto = options.runtime == "auto";
    std::string known;
    bool is_known = is_auto;
    for (const Runtime& runtime : known_runtimes()) {
        join(known, ", ", runtime.name);
        is_known = is_known || options.runtime == runtime.name;
    }
    if (!is_known) {
        throw OptionError(text("unknown runtime '", options.runtime, "'; expected \"auto\" or one of ", known));
    }
    const std::string path = find_network(source, precision);
    check_is_file(path);
    std::string ending = fs::u8path(path).extension().u8string();
    for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    const bool is_plan = ending == ".plan";
    std::vector<const Runtime*> able;  // that open files of this kind
    std::string names, remedies;
    const Runtime* chosen = nullptr;
    bool in_build = false;
    for (const Runtime& runtime : known_runtimes()) {
        if (runtime.is_tensorrt != is_plan) continue;
        able.push_back(&runtime);
        join(names, ", ", runtime.name);
        join(remedies, "; or ", runtime.remedy);
        in_build = in_build || runtime.open;
        if (options.runtime == runtime.name) chosen = &runtime;
    }
    if (!chosen && !is_auto) {
        throw NetworkError(text(path, " runs on ", names, ", not on ", options.runtime,
                                is_plan ? "" : ". Build a plan of it: mfp build, or mfp::build_plan"));
    }
    std::string why;
    std::unique_ptr<const Backend> backend;
    if (is_plan) {
        backend = load_plan(path, options);
        why = "the plan was built for it";
    } else {
        if (options.gpu != 0) {
            throw OptionError(text(path, " runs on the CPU, asked for the GPU ", options.gpu,
                                   ": leave gpu at 0, or build a plan of it: mfp build, or mfp::build_plan"));
        }
        if (is_auto ? !in_build : !chosen->open) {
            throw missing(is_auto ? "a runtime" : chosen->name, is_auto ? remedies : chosen->remedy);
        }
        const OnnxFile file = read_onnx(path);
        if (is_auto) std::tie(chosen, why) = choose(able, check_contract(path, file).precision, precision);
        backend = chosen->open(path, file, options);
    }
    std::string choice;
    if (is_auto) choice = text(backend->runtime, " on ", place(backend->device_name()), why.empty() ? "" : ": ", why);
    return std::make_shared<const Network>(std::move(backend), std::move(choice));
}

}  // namespace mfp
