// Networks on ONNX Runtime, on the CPU; see engine/runtimes/onnx_runtime.py. The graph is used unchanged: only Python
// rewrites wide convolutions (engine/runtimes/winograd_graph.py).
#include "onnxruntime_library.hpp"

#include <filesystem>
#include <new>

#include "backend.hpp"
#include "text.hpp"

namespace mfp {
namespace {

class OnnxRuntime : public HostBackend {
public:
    OnnxRuntime(NetworkInfo info, Ort::Env env, Ort::Session session)
        : HostBackend("onnxruntime", std::move(info)), env_(std::move(env)), session_(std::move(session)) {}

    void run(const Tensors& tensors) const override {
        const char* const inputs[] = {"image", "prev_mask", "modulated_mask", "clicks"};
        const char* const output = "logits";
        try {
            const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
            const auto wrapped = [&](const float* data, std::int64_t channels) {
                const std::int64_t shape[] = {tensors.batch, channels, tensors.height, tensors.width};
                const auto count = static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]);
                // ONNX Runtime's tensors have no const kind; an input is not written to
                return Ort::Value::CreateTensor<float>(memory, const_cast<float*>(data), count, shape, 4);
            };
            const Ort::Value values[] = {wrapped(tensors.image, 3), wrapped(tensors.prev_mask, 1),
                                         wrapped(tensors.modulated_mask, 1), wrapped(tensors.clicks, 2)};
            Ort::Value logits = wrapped(tensors.logits, 1);  // it refuses to write a result of another shape there
            session_.Run(Ort::RunOptions{nullptr}, inputs, values, std::size(inputs), &output, &logits, 1);
        } catch (const Ort::Exception& error) {  // a size that it refuses, …
            throw NetworkError(text("ONNX Runtime could not run ", name(), " on ", tensors.batch, "×3×", tensors.height,
                                    "×", tensors.width, ": ", one_line(error.what())));
        }
    }

private:
    Ort::Env env_;                  // outlives the session
    mutable Ort::Session session_;  // Run() is for any number of threads
};

void check_precision(const std::string& path, const NetworkInfo& info, const NetworkOptions& options) {
    if (info.precision == "bf16") {
        throw OptionError(
            path +
            " is bf16, of which ONNX Runtime has no convolutions on a CPU. Load the fp32 file that it was "
            "made from");
    }
    if (options.precision.empty() || options.precision == info.precision) return;
    throw OptionError(
        text(path, " is ", info.precision, ", which onnxruntime does not change; asked for ", options.precision, ". ",
             options.precision == "fp32"
                 ? std::string("Load the fp32 file that it was made from")
                 : text("Make such a file with: mfp convert ", path, " --precision ", options.precision)));
}

}  // namespace

std::unique_ptr<const Backend> open_onnxruntime(const std::string& path, const OnnxFile& file,
                                                const NetworkOptions& options) {
    if (!onnxruntime_api()) {
        throw RuntimeMissingError(
            text("the ONNX Runtime library here is ", onnxruntime_base()->GetVersionString(),
                 ", older than the headers of 1.", ORT_API_VERSION,
                 " that this library was built with: put the library of those headers in its place"));
    }
    NetworkInfo info = check_contract(path, file);
    check_precision(path, info, options);
    try {
        Ort::Env env = onnxruntime_environment();
        Ort::SessionOptions settings;
        settings.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);  // in an environment of the application's too
        if (options.threads) settings.SetIntraOpNumThreads(options.threads);
        Ort::Session session(env, std::filesystem::u8path(path).c_str(), settings);
        return std::make_unique<const OnnxRuntime>(std::move(info), std::move(env), std::move(session));
    } catch (const Ort::Exception& error) {
        throw NetworkError(text("ONNX Runtime cannot load ", path, ": ", one_line(error.what()),
                                ". If the file is damaged, export it again with: mfp export"));
    }
}

}  // namespace mfp
