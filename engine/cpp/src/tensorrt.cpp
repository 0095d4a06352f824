// Networks on TensorRT and TensorRT for RTX, on a GPU; see engine/runtimes/tensorrt.py.
#include <filesystem>

#include "gpu_backend.hpp"
#include "tensorrt_plan.hpp"
#include "text.hpp"

namespace mfp {
namespace {

using Current = CudaContext::Current;

// Whether the headers that this was compiled with are those of the library that it is linked with: its passes need what
// TensorRT's public headers do not have.
#if defined(TRT_MAJOR_RTX)
constexpr bool has_own_headers = true;
#else
constexpr bool has_own_headers = !is_tensorrt_rtx;
#endif

class TensorRtWorker : public Worker {
public:
    explicit TensorRtWorker(std::shared_ptr<const OpenedPlan> plan)
        : plan_(std::move(plan)), context_(plan_->new_context()) {}

    ~TensorRtWorker() override {
        try {
            const Current current(*plan_->device->context);
            context_.reset();
        } catch (...) {  // where an application has destroyed the CUDA context there is nothing to free
            context_.release();
        }
    }

    void enqueue(const Tensors& tensors, Stream stream) override {
        const nvinfer1::Dims4 shape(tensors.batch, 3, tensors.height, tensors.width);
        const bool first =
            !has_shape_ || shape.d[0] != shape_.d[0] || shape.d[2] != shape_.d[2] || shape.d[3] != shape_.d[3];
        const Current current(*plan_->device->context);
        bool accepted = !first || set_shape(shape, stream);
        const std::pair<const char*, const float*> inputs[] = {{"image", tensors.image},
                                                               {"prev_mask", tensors.prev_mask},
                                                               {"modulated_mask", tensors.modulated_mask},
                                                               {"clicks", tensors.clicks}};
        for (const auto& [name, data] : inputs) accepted = accepted && context_->setInputTensorAddress(name, data);
        accepted = accepted && context_->setOutputTensorAddress("logits", tensors.logits);
        if (!accepted || !context_->enqueueV3(static_cast<cudaStream_t>(stream))) {
            has_shape_ = false;
            throw NetworkError(text("TensorRT could not run ", plan_->path, " on ", tensors.batch, "×3×",
                                    tensors.height, "×", tensors.width, ": ", plan_->complaints()));
        }
        if (first) {
            shape_ = shape;
            has_shape_ = true;
            plan_->remember(shape);
        }
    }

    std::string why_not_recorded([[maybe_unused]] Stream stream) const override {
#ifdef TRT_MAJOR_RTX
        const Current current(*plan_->device->context);
        if (!context_->isStreamCapturable(static_cast<cudaStream_t>(stream))) {
            return text("passes of ", plan_->path,
                        " allocate memory, which a CUDA graph cannot hold. Build it again with: ",
                        rebuild_command(plan_->metadata), " --flavour tensorrt-rtx");
        }
#endif
        return "";
    }

private:
    // Only when it changes: TensorRT then infers every shape anew.
    bool set_shape(const nvinfer1::Dims4& shape, [[maybe_unused]] Stream stream) {
        plan_->check_shape(shape);
        has_shape_ = false;
        bool accepted = true;
        const std::pair<const char*, int> inputs[] = {
            {"image", 3}, {"prev_mask", 1}, {"modulated_mask", 1}, {"clicks", 2}};
        for (const auto& [name, channels] : inputs) {
            const nvinfer1::Dims4 own(shape.d[0], channels, shape.d[2], shape.d[3]);
            accepted = accepted && context_->setInputShape(name, own);
        }
#ifdef TRT_MAJOR_RTX
        if (accepted) {
            plan_->device->synchronize(stream);  // a pass of the shape before may still be at work in its memory
            const std::size_t needed = context_->updateDeviceMemorySizeForShapes();
            memory_ = {};
            memory_ = DeviceMemory(plan_->device, needed);
            context_->setDeviceMemoryV2(memory_.as<void>(), static_cast<std::int64_t>(needed));
        }
#endif
        return accepted;
    }

    std::shared_ptr<const OpenedPlan> plan_;
    DeviceMemory memory_;  // of the passes, with TensorRT for RTX; TensorRT has its own
    std::unique_ptr<nvinfer1::IExecutionContext> context_;
    nvinfer1::Dims4 shape_;
    bool has_shape_ = false;
};

class TensorRt : public GpuBackend {
public:
    explicit TensorRt(std::shared_ptr<const OpenedPlan> plan)
        : GpuBackend(MFP_TENSORRT_FLAVOUR, plan->info, plan->device), plan_(std::move(plan)) {}

    std::unique_ptr<Worker> worker() const override { return std::make_unique<TensorRtWorker>(plan_); }
    std::string device_name() const override { return text("cuda:", plan_->device->context->gpu()); }

private:
    std::shared_ptr<const OpenedPlan> plan_;
};

}  // namespace

std::unique_ptr<const Backend> open_tensorrt(const std::string& path, PlanFile& file, const NetworkOptions& options) {
    if (options.threads) throw OptionError("a number of threads is for CPUs, TensorRT runs on a GPU: leave it out");
    auto device = open_cuda_device(options.gpu);
    if (!has_own_headers) {
        throw RuntimeMissingError(
            "this library was compiled with TensorRT's headers, which is enough to build plans of TensorRT for RTX and "
            "not "
            "to run them: configure it again with -DTensorRT_INCLUDE=FOLDER of TensorRT for RTX's own headers");
    }
    auto plan = std::make_shared<const OpenedPlan>(path, file, std::move(device));
    const std::string &precision = options.precision, &own = plan->info.precision;
    if (!precision.empty() && precision != own) {
        const bool convert = precision != "fp32";
        throw OptionError(text(std::filesystem::u8path(path).filename().u8string(), " is ", own, ", which ",
                               MFP_TENSORRT_FLAVOUR, " does not change; asked for ", precision, ". ",
                               convert ? "Make such a file with: mfp convert FILE.onnx --precision " + precision
                                       : "Load the fp32 file that it was made from"));
    }
    return std::make_unique<const TensorRt>(std::move(plan));
}

}  // namespace mfp
