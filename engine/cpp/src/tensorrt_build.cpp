// Driver of TensorRT's builder, with a check of the finished engine; see engine/plans/tensorrt_build.py. One strongly
// typed path serves TensorRT from 10.12 on and TensorRT for RTX: the ONNX file determines the precision.
#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "build.hpp"
#include "cuda_driver.hpp"
#include "plan_layers.hpp"
#include "sha256.hpp"
#include "tensorrt_log.hpp"
#include "text.hpp"

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // STRONGLY_TYPED: 11 knows nothing else, 10 has to be told
#endif

namespace mfp {
namespace {

constexpr double required_share = 0.95;      // of the layers that the file says are half
constexpr int require_user_allocation = 28;  // BuilderFlag of TensorRT for RTX, which TensorRT's headers do not name
constexpr const char* known_capabilities[] = {"7.5", "8.0", "8.6", "8.9", "12.0", "12.1"};

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::string read_bytes(const std::string& path) {
    std::ifstream file(std::filesystem::u8path(path), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

bool is_half(nvinfer1::DataType type) { return type == nvinfer1::DataType::kHALF || type == nvinfer1::DataType::kBF16; }

// What the parsed network asks for: a strongly typed build keeps its types.
struct Asked {
    std::set<std::string> nodes;  // ONNX nodes that are convolutions or matrix products
    int half = 0, total = 0;

    explicit Asked(const nvinfer1::INetworkDefinition& network) {
        for (int i = 0; i < network.getNbLayers(); ++i) {
            const nvinfer1::ILayer& layer = *network.getLayer(i);
            const nvinfer1::LayerType type = layer.getType();
            if (type != nvinfer1::LayerType::kCONVOLUTION && type != nvinfer1::LayerType::kDECONVOLUTION &&
                type != nvinfer1::LayerType::kMATRIX_MULTIPLY) {
                continue;
            }
            const std::string origin = layer.getMetadata() ? layer.getMetadata() : "";  // [ONNX Layer: name]
            const auto start = origin.find(": ");
            if (start != std::string::npos) nodes.insert(origin.substr(start + 2, origin.rfind(']') - start - 2));
            ++total;
            half += is_half(layer.getInput(0)->getType());
        }
    }
};

class Compiler {
public:
    Compiler(const std::string& path, const std::string& data) : path_(path) {
        builder_.reset(nvinfer1::createInferBuilder(log));
        if (!builder_) throw BuildError(text(MFP_TENSORRT_FLAVOUR, " cannot start its builder: ", log.complaints()));
        const auto strongly_typed = static_cast<unsigned>(nvinfer1::NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
        network_.reset(builder_->createNetworkV2(1u << strongly_typed));
        parser_.reset(network_ ? nvonnxparser::createParser(*network_, log) : nullptr);
        if (!parser_) throw BuildError(text(MFP_TENSORRT_FLAVOUR, " cannot start its parser: ", log.complaints()));
        if (!parser_->parse(data.data(), data.size())) throw BuildError(refusal());
    }

    const nvinfer1::INetworkDefinition& network() const { return *network_; }

    std::unique_ptr<nvinfer1::IHostMemory> compile(const BuildOptions& options, const BuildProfile& sizes) {
        const std::unique_ptr<nvinfer1::IBuilderConfig> config(builder_->createBuilderConfig());
        // its layers' names and types are what half_share reads
        config->setProfilingVerbosity(nvinfer1::ProfilingVerbosity::kDETAILED);
        config->clearFlag(
            nvinfer1::BuilderFlag::kTF32);  // FP32 layers with inputs rounded to 10 bits; for that is FP16
        if (options.workspace) {
            config->setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE,
                                       static_cast<std::size_t>(*options.workspace) << 20);
        }
        if (options.level) config->setBuilderOptimizationLevel(*options.level);
        if (options.version_compatible) config->setFlag(nvinfer1::BuilderFlag::kVERSION_COMPATIBLE);
        if (options.hardware_compatible) {
            config->setHardwareCompatibilityLevel(nvinfer1::HardwareCompatibilityLevel::kAMPERE_PLUS);
        }
        set_targets(*config, options.compute_capabilities);
        if (is_tensorrt_rtx) {
            // The caller brings the memory of a pass, and none is allocated in it: a CUDA graph could not hold that.
            config->setFlag(static_cast<nvinfer1::BuilderFlag>(require_user_allocation));
        }
        nvinfer1::IOptimizationProfile& profile = *builder_->createOptimizationProfile();
        const std::pair<const char*, int> inputs[] = {
            {"image", 3}, {"prev_mask", 1}, {"modulated_mask", 1}, {"clicks", 2}};
        for (const auto& [name, channels] : inputs) {
            for (int i = 0; i < 3; ++i) {
                const auto [batch, height, width] = sizes[i];
                profile.setDimensions(name, static_cast<nvinfer1::OptProfileSelector>(i),
                                      nvinfer1::Dims4(batch, channels, height, width));
            }
        }
        config->addOptimizationProfile(&profile);
        std::unique_ptr<nvinfer1::IHostMemory> plan(builder_->buildSerializedNetwork(*network_, *config));
        if (!plan) throw BuildError(text(MFP_TENSORRT_FLAVOUR, " could not build ", path_, ": ", log.complaints()));
        return plan;
    }

    TensorRtLog log;

private:
    void set_targets([[maybe_unused]] nvinfer1::IBuilderConfig& config, const std::vector<std::string>& capabilities) {
        for (const std::string& capability : capabilities) {
            if (std::find(std::begin(known_capabilities), std::end(known_capabilities), capability) ==
                std::end(known_capabilities)) {
                throw OptionError(text("TensorRT for RTX does not build for compute capability ", capability,
                                       "; expected some of 7.5, 8.0, 8.6, 8.9, 12.0, 12.1"));
            }
        }
        if (capabilities.empty()) return;
#ifdef TRT_MAJOR_RTX
        config.setNbComputeCapabilities(static_cast<std::int32_t>(capabilities.size()));
        for (std::size_t i = 0; i < capabilities.size(); ++i) {
            std::string digits = capabilities[i];
            digits.erase(digits.find('.'), 1);
            const auto target = static_cast<nvinfer1::ComputeCapability>(std::stoi(digits));
            if (!config.setComputeCapability(target, static_cast<std::int32_t>(i))) {
                throw BuildError(
                    text(MFP_TENSORRT_FLAVOUR, " does not build for compute capability ", capabilities[i]));
            }
        }
#else
        throw OptionError(
            "this library was compiled with TensorRT's headers, which have no compute capabilities to choose: leave "
            "them "
            "out, or configure it again with -DTensorRT_INCLUDE=FOLDER of TensorRT for RTX's own headers");
#endif
    }

    // The parser's errors with node and operator.
    std::string refusal() const {
        std::string reasons;
        for (int i = 0; i < parser_->getNbErrors(); ++i) {
            const nvonnxparser::IParserError& error = *parser_->getError(i);
            const std::string kind = error.nodeOperator() ? error.nodeOperator() : "";
            if (i) reasons += "; ";
            if (!kind.empty()) reasons += text(kind, " '", error.nodeName(), "': ");
            reasons += error.desc();
        }
        return text(MFP_TENSORRT_FLAVOUR, " ", tensorrt_version(), " cannot read ", path_, ": ",
                    reasons.empty() ? log.complaints() : reasons);
    }

    const std::string& path_;
    std::unique_ptr<nvinfer1::IBuilder> builder_;
    std::unique_ptr<nvinfer1::INetworkDefinition> network_;
    std::unique_ptr<nvonnxparser::IParser> parser_;
};

// By the inspector where the engine can be opened, else by the builder's log, else by the parsed network.
HalfShare counted(const Compiler& compiler, const Asked& asked, const nvinfer1::IHostMemory& plan, bool has_gpu,
                  long long& activation_bytes) {
    HalfShare share;
    TensorRtLog log;
    const std::unique_ptr<nvinfer1::IRuntime> runtime(has_gpu ? nvinfer1::createInferRuntime(log) : nullptr);
    const std::unique_ptr<nvinfer1::ICudaEngine> engine(
        runtime ? runtime->deserializeCudaEngine(plan.data(), plan.size()) : nullptr);
    if (engine) {
        const std::unique_ptr<nvinfer1::IEngineInspector> inspector(engine->createEngineInspector());
        share = half_share(inspector->getEngineInformation(nvinfer1::LayerInformationFormat::kONELINE), asked.nodes,
                           "inspector");
        activation_bytes = engine->getDeviceMemorySizeV2();
    }
    if (!share.total) share = half_share(compiler.log.layers(), asked.nodes, "build log");
    if (!share.total) share = {asked.half, asked.total, "parsed network"};
    return share;
}

std::string utc_now() {
    const std::time_t now = std::time(nullptr);
    std::tm parts = {};
    gmtime_r(&now, &parts);
    char written[40];
    std::strftime(written, sizeof written, "%Y-%m-%dT%H:%M:%S+00:00", &parts);
    return written;
}

Json whole(long long value) { return Json::of(value); }

Json described(const BuildOptions& options) {
    const auto three = [](int a, int b, int c) { return Json::list({whole(a), whole(b), whole(c)}); };
    Json sizes, capabilities = Json::list();
    if (options.sizes) {
        sizes = Json::list();
        for (const Size& size : *options.sizes)
            sizes.items.push_back(Json::list({whole(size.height), whole(size.width)}));
    }
    for (const std::string& capability : options.compute_capabilities)
        capabilities.items.push_back(Json::of(capability));
    return Json::object({{"batches", three(options.batches[0], options.batches[1], options.batches[2])},
                         {"sizes", sizes},
                         {"workspace", options.workspace ? whole(*options.workspace) : Json()},
                         {"level", options.level ? whole(*options.level) : Json()},
                         {"version_compatible", Json::of(options.version_compatible)},
                         {"hardware_compatible", Json::of(options.hardware_compatible)},
                         {"compute_capabilities", capabilities}});
}

Json properties_of(const NetworkInfo& info) {
    const std::string size = info.size ? text(info.size->height, "x", info.size->width) : "dynamic";
    return Json::object({{"mfp.backbone", Json::of(info.backbone)},
                         {"mfp.size", Json::of(size)},
                         {"mfp.precision", Json::of(info.precision)},
                         {"mfp.n_early", Json::of(std::to_string(info.n_early))},
                         {"mfp.r_max", Json::of(number_text(info.r_max))},
                         {"mfp.weights", Json::of(info.weights)},
                         {"mfp.exporter", Json::of(info.exporter)}});
}

std::string purpose(const BuildOptions& options, const std::optional<Gpu>& gpu, const std::string& why_none) {
    if (is_tensorrt_rtx) {
        std::string list;
        for (const std::string& capability : options.compute_capabilities)
            list += (list.empty() ? "" : ", ") + capability;
        return "compute capability " + (list.empty() ? "8.0 and later" : list);
    }
    if (!gpu) {
        throw RuntimeMissingError(text(
            "TensorRT builds a plan on the GPU that runs it: ", why_none.empty() ? "there is no such GPU" : why_none,
            ". TensorRT for RTX builds without one: mfp build --flavour tensorrt-rtx"));
    }
    return options.hardware_compatible ? "GPUs from Ampere on" : text(gpu->name, " (", gpu->compute_capability, ")");
}

}  // namespace

BuildReport build_plan(const std::string& onnx, const std::string& plan, const BuildOptions& options) {
    if (std::filesystem::u8path(plan).extension() != ".plan") {
        throw OptionError(text("expected an output ending in .plan, got ", plan));
    }
    const OnnxFile file = read_onnx(onnx);
    const NetworkInfo info = check_contract(onnx, file);
    const BuildProfile profile = build_profile(onnx, info, options, is_tensorrt_rtx);
    const auto driver = std::make_shared<const Driver>();
    std::optional<Gpu> gpu;
    std::optional<CudaContext> context;
    std::optional<CudaContext::Current> current;
    if (options.gpu < driver->gpus()) {
        gpu = describe_gpu(*driver, options.gpu);
        context.emplace(driver, options.gpu);
        current.emplace(*context);
    }
    const std::string built_for = purpose(options, gpu, driver->why_none());

    const std::string data = read_bytes(onnx);
    Compiler compiler(onnx, data);
    const Asked asked(compiler.network());
    const double started = now_s();
    const std::unique_ptr<nvinfer1::IHostMemory> built = compiler.compile(options, profile);
    const double seconds = now_s() - started;
    long long activation_bytes = compiler.log.activation_bytes();
    const HalfShare share = counted(compiler, asked, *built, gpu.has_value(), activation_bytes);
    const bool wants_half = info.precision != "fp32";
    if (wants_half && (!asked.half || share.half < required_share * asked.half * share.total / asked.total)) {
        throw BuildError(text("asked for ", info.precision, " and not got: ", share.half, " of ", share.total,
                              " convolutions and matrix products of the engine run in half precision (", share.source,
                              "), ", asked.half, " of ", asked.total, " do in ", onnx,
                              ". No plan was written. Convert the FP32 file again with: mfp convert"));
    }
    const auto described_gpu = [](const Gpu& found) {
        return Json::object({{"name", Json::of(found.name)},
                             {"compute_capability", Json::of(found.compute_capability)},
                             {"cuda", Json::of(found.cuda)}});
    };
    Json levels = Json::list();
    for (const auto& level : profile)
        levels.items.push_back(Json::list({whole(level[0]), whole(level[1]), whole(level[2])}));
    Json metadata = Json::object({{"source", Json::of(onnx)},
                                  {"onnx_sha256", Json::of(sha256(data.data(), data.size()))},
                                  {"backbone", Json::of(info.backbone)},
                                  {"precision", Json::of(info.precision)},
                                  {"network", properties_of(info)},
                                  {"flavour", Json::of(MFP_TENSORRT_FLAVOUR)},
                                  {"flavour_version", Json::of(tensorrt_version())},
                                  {"built_for", Json::of(built_for)},
                                  {"gpu", gpu ? described_gpu(*gpu) : Json()},
                                  {"options", described(options)},
                                  {"profile", levels},
                                  {"half_layers", whole(share.half)},
                                  {"matrix_layers", whole(share.total)},
                                  {"counted_in", Json::of(share.source)},
                                  {"fp32_weights_bytes", whole(static_cast<long long>(4 * file.weights))},
                                  {"activation_bytes", activation_bytes < 0 ? Json() : whole(activation_bytes)},
                                  {"build_seconds", Json::of(std::round(seconds * 100) / 100)},
                                  {"built", Json::of(utc_now())},
                                  {"key", Json::object()}});
    write_plan(plan, std::move(metadata), built->data(), built->size());
    return {MFP_TENSORRT_FLAVOUR, tensorrt_version(), built_for, share.half, share.total, seconds};
}

}  // namespace mfp
