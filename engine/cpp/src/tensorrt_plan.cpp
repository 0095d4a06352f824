// OpenedPlan: a plan opened on a GPU; see engine/plans/tensorrt_plan.py.
#include "tensorrt_plan.hpp"

#include <NvInfer.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "plan_refusal.hpp"
#include "text.hpp"

namespace mfp {
namespace {

using Current = CudaContext::Current;

bool trusts_plans() {
    const char* value = std::getenv("MFP_TRUST_PLANS");
    return value && std::string(value) == "1";
}

OnnxTensor described(const nvinfer1::ICudaEngine& engine, const char* name) {
    OnnxTensor tensor{name, {}, engine.getTensorDataType(name) == nvinfer1::DataType::kFLOAT};
    const nvinfer1::Dims shape = engine.getTensorShape(name);
    for (int i = 0; i < shape.nbDims; ++i) tensor.shape.push_back(shape.d[i]);
    return tensor;
}

// "(1, 384, 384)" of N×3×H×W, as Python shows a tuple.
std::string sides(const nvinfer1::Dims& shape) {
    return text("(", shape.d[0], ", ", shape.d[2], ", ", shape.d[3], ")");
}

// Why no plan of TensorRT for RTX runs on the GPU that is current, empty where some do: a plan of one node is tried. It
// leaves out some GPUs that are newer than others it runs on (compute capability 9.0), and cannot be asked which.
std::string why_not_on_this_gpu() {
    TensorRtLog log;
    const std::unique_ptr<nvinfer1::IBuilder> builder(nvinfer1::createInferBuilder(log));
    const std::unique_ptr<nvinfer1::INetworkDefinition> network(builder ? builder->createNetworkV2(0) : nullptr);
    if (network) {
        nvinfer1::Dims one{};
        one.nbDims = 1;
        one.d[0] = 1;
        nvinfer1::ITensor* input = network->addInput("x", nvinfer1::DataType::kFLOAT, one);
        network->markOutput(*network->addUnary(*input, nvinfer1::UnaryOperation::kNEG)->getOutput(0));
        const std::unique_ptr<nvinfer1::IBuilderConfig> config(builder->createBuilderConfig());
        const std::unique_ptr<nvinfer1::IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
        const std::unique_ptr<nvinfer1::IRuntime> runtime(nvinfer1::createInferRuntime(log));
        if (plan && runtime) {
            const std::unique_ptr<nvinfer1::ICudaEngine> engine(
                runtime->deserializeCudaEngine(plan->data(), plan->size()));
            if (engine) return "";
        }
    }
    // "Class::method: Error Code N: Kind (the words. In function at file:line)" is how TensorRT reports an error
    std::string words = log.complaints();
    const auto open = words.find('('), in = words.rfind(" In ");
    if (words.find(": Error Code ") != std::string::npos && open != std::string::npos && words.back() == ')') {
        words = words.substr(open + 1, (in != std::string::npos && in > open ? in : words.size() - 1) - open - 1);
    }
    return text(MFP_TENSORRT_FLAVOUR, " ", tensorrt_version(), " does not run on this GPU: ", words);
}

}  // namespace

OpenedPlan::OpenedPlan(const std::string& path, PlanFile& file, std::shared_ptr<CudaDevice> on)
    : path(path), device(std::move(on)), metadata(std::move(file.metadata)) {
    const Current current(*device->context);
    runtime_.reset(nvinfer1::createInferRuntime(log_));
    if (!runtime_) throw NetworkError(text(MFP_TENSORRT_FLAVOUR, " does not start: ", complaints()));
    // a version-compatible plan carries code that runs on the host: not from whoever sends a file
    runtime_->setEngineHostCodeAllowed(trusts_plans());
    engine_.reset(runtime_->deserializeCudaEngine(file.plan.data(), file.plan.size()));
    file.plan = {};
    if (!engine_) throw PlanError(refusal());
    info = checked_info();
    smallest_ = engine_->getProfileShape("image", 0, nvinfer1::OptProfileSelector::kMIN);
    largest_ = engine_->getProfileShape("image", 0, nvinfer1::OptProfileSelector::kMAX);
    configure();
}

OpenedPlan::~OpenedPlan() {
    try {
        const Current current(*device->context);
#ifdef TRT_MAJOR_RTX
        config_.reset();
        cache_.reset();
#endif
        engine_.reset();
        runtime_.reset();
    } catch (...) {  // where an application has destroyed the CUDA context
    }
}

std::unique_ptr<nvinfer1::IExecutionContext> OpenedPlan::new_context() const {
    const Current current(*device->context);
#ifdef TRT_MAJOR_RTX
    std::unique_ptr<nvinfer1::IExecutionContext> made(engine_->createExecutionContext(config_.get()));
#else
    std::unique_ptr<nvinfer1::IExecutionContext> made(engine_->createExecutionContext());
#endif
    if (!made) throw NetworkError(text("TensorRT cannot start ", path, ": ", complaints()));
    return made;
}

void OpenedPlan::check_shape(const nvinfer1::Dims4& shape) const {
    for (const int i : {0, 2, 3}) {
        if (smallest_.d[i] <= shape.d[i] && shape.d[i] <= largest_.d[i]) continue;
        throw OptionError(text("this plan takes (batch, height, width) from ", sides(smallest_), " to ",
                               sides(largest_), ", got ", sides(shape),
                               ". Build one for more: ", rebuild_command(metadata), " --batches … --sizes …"));
    }
}

NetworkInfo OpenedPlan::checked_info() const {
    OnnxFile found;
    for (int i = 0; i < engine_->getNbIOTensors(); ++i) {
        const char* name = engine_->getIOTensorName(i);
        const bool is_input = engine_->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
        (is_input ? found.inputs : found.outputs).push_back(described(*engine_, name));
    }
    if (const Json* properties = metadata.find("network")) {
        for (const auto& [name, value] : properties->members) {
            if (value.is(Json::Kind::text)) found.metadata[name] = value.text;
        }
    }
    return check_contract(std::filesystem::u8path(path).filename().u8string(), found);
}

std::string OpenedPlan::refusal() const {
    PlanPlace here{MFP_TENSORRT_FLAVOUR, tensorrt_version(),
                   describe_gpu(device->context->driver(), device->context->gpu()).compute_capability, trusts_plans(),
                   is_tensorrt_rtx ? why_not_on_this_gpu() : ""};
    return plan_refusal(path, metadata, here, complaints());
}

#ifdef TRT_MAJOR_RTX

// Its own memory, specialised kernels, and the file beside the plan.
void OpenedPlan::configure() {
    config_.reset(engine_->createRuntimeConfig());
    config_->setExecutionContextAllocationStrategy(nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED);
    // Its default compiles in the background and changes kernels between passes: the same clicks would not give the same
    // bits, recorded graphs would hold kernels that are gone, and the cache would be written before there is something
    // in it.
    config_->setDynamicShapesKernelSpecializationStrategy(nvinfer1::DynamicShapesKernelSpecializationStrategy::kEAGER);
    cache_.reset(config_->createRuntimeCache());
    std::ifstream file(std::filesystem::u8path(path + ".runtime-cache"), std::ios::binary);
    const std::string kept((std::istreambuf_iterator<char>(file)), {});
    // refused, and compiled anew, where it belongs to another GPU, driver or version: TensorRT checks that
    if (!kept.empty()) cache_->deserialize(kept.data(), kept.size());
    config_->setRuntimeCache(*cache_);
}

void OpenedPlan::remember(const nvinfer1::Dims4& shape) const {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!remembered_.insert({shape.d[0], shape.d[1], shape.d[2], shape.d[3]}).second) return;
    const std::unique_ptr<nvinfer1::IHostMemory> written(cache_->serialize());
    if (written) replace_file(path + ".runtime-cache", "", written->data(), written->size());
}

#else

void OpenedPlan::configure() {}
void OpenedPlan::remember(const nvinfer1::Dims4&) const {}

#endif

}  // namespace mfp
