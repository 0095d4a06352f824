// Networks on OpenVINO, on the CPU; see engine/runtimes/openvino.py.
#include <algorithm>
#include <mutex>
#include <openvino/openvino.hpp>

#include "backend.hpp"
#include "text.hpp"

namespace mfp {
namespace {

class OpenVino : public HostBackend {
public:
    OpenVino(NetworkInfo info, ov::Core core, ov::CompiledModel compiled)
        : HostBackend("openvino", std::move(info)), core_(std::move(core)), compiled_(std::move(compiled)) {}

    void run(const Tensors& tensors) const override {
        try {
            Lease lease(*this);
            ov::InferRequest& request = lease.request;
            const auto n = static_cast<std::size_t>(tensors.batch), h = static_cast<std::size_t>(tensors.height),
                       w = static_cast<std::size_t>(tensors.width);
            const auto give = [&](const char* name, const float* data, std::size_t channels) {
                // OpenVINO's tensors have no const kind; an input is not written to
                request.set_tensor(name, ov::Tensor(ov::element::f32, {n, channels, h, w}, const_cast<float*>(data)));
            };
            give("image", tensors.image, 3);
            give("prev_mask", tensors.prev_mask, 1);
            give("modulated_mask", tensors.modulated_mask, 1);
            give("clicks", tensors.clicks, 2);
            request.infer();
            const ov::Tensor logits = request.get_tensor("logits");
            if (logits.get_element_type() != ov::element::f32 || logits.get_shape() != ov::Shape{n, 1, h, w}) {
                throw NetworkError(text(name(), " gave logits of ", logits.get_element_type(), " ", logits.get_shape(),
                                        ", expected float32 ", ov::Shape{n, 1, h, w}, ". Export it again."));
            }
            std::copy_n(logits.data<const float>(), n * h * w, tensors.logits);
        } catch (const Error&) {
            throw;
        } catch (const std::bad_alloc&) {
            throw;
        } catch (const std::exception& error) {  // a size it refuses, …
            throw NetworkError(text("OpenVINO could not run ", name(), " on ", tensors.batch, "×3×", tensors.height,
                                    "×", tensors.width, ": ", one_line(error.what())));
        }
    }

private:
    // A request serves one pass at a time, so there are as many as passes ever met.
    struct Lease {
        const OpenVino& owner;
        ov::InferRequest request;

        explicit Lease(const OpenVino& owner) : owner(owner) {
            {
                std::lock_guard<std::mutex> lock(owner.mutex_);
                if (!owner.idle_.empty()) {
                    request = std::move(owner.idle_.back());
                    owner.idle_.pop_back();
                    return;
                }
            }
            request = const_cast<ov::CompiledModel&>(owner.compiled_).create_infer_request();
        }

        ~Lease() {
            std::lock_guard<std::mutex> lock(owner.mutex_);
            try {
                owner.idle_.push_back(std::move(request));
            } catch (...) {  // no memory to keep it: the next pass makes one
            }
        }
    };

    ov::Core core_;  // outlives what it compiled
    ov::CompiledModel compiled_;
    mutable std::mutex mutex_;
    mutable std::vector<ov::InferRequest> idle_;
};

std::string chosen_precision(const std::string& path, const NetworkInfo& info, const NetworkOptions& options,
                             ov::Core& core) {
    if (info.precision != "fp32") {
        throw OptionError(
            text(path, " is ", info.precision,
                 "; OpenVINO takes an fp32 file and computes it in fp32 or bf16. "
                 "Load the file that this one was converted from",
                 info.precision == "fp16" ? ", or build the library with ONNX Runtime, which takes it" : ""));
    }
    const std::string precision = options.precision.empty() ? "fp32" : options.precision;
    if (precision == "fp16") throw OptionError("OpenVINO computes in fp32 or bf16 on a CPU, asked for fp16");
    if (precision == "bf16") {
        const auto able = core.get_property("CPU", ov::device::capabilities);
        if (std::find(able.begin(), able.end(), ov::device::capability::BF16) == able.end()) {
            throw RuntimeMissingError(
                "this processor has no BF16 instructions (AVX-512 BF16 or AMX); load the network in fp32");
        }
    }
    return precision;
}

// The CPU plug-in keeps what it prepared for each layer and shape; its own bound of 5000 lets a network of any size grow by
// 700 MB. The same as in engine/runtimes/openvino.py. Versions without this setting compile without.
ov::CompiledModel compiled_model(ov::Core& core, const std::string& path, const ov::AnyMap& settings) {
    const auto model = core.read_model(path);
    ov::AnyMap bounded = settings;
    bounded["CPU_RUNTIME_CACHE_CAPACITY"] = 1024;
    try {
        return core.compile_model(model, "CPU", bounded);
    } catch (const std::bad_alloc&) {
        throw;
    } catch (const std::exception&) {  // whatever else is wrong, the next line says it
        return core.compile_model(model, "CPU", settings);
    }
}

}  // namespace

std::unique_ptr<const Backend> open_openvino(const std::string& path, const OnnxFile& file,
                                             const NetworkOptions& options) {
    NetworkInfo info = check_contract(path, file);
    try {
        ov::Core core;  // one a network: no state that sessions of different networks share
        info.precision = chosen_precision(path, info, options, core);
        ov::AnyMap settings = {
            ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
            // Never left to its default, which is BF16 where the processor has it.
            ov::hint::inference_precision(info.precision == "bf16" ? ov::element::bf16 : ov::element::f32),
        };
        if (options.threads) settings.insert(ov::inference_num_threads(options.threads));
        ov::CompiledModel compiled = compiled_model(core, path, settings);
        return std::make_unique<const OpenVino>(std::move(info), std::move(core), std::move(compiled));
    } catch (const Error&) {
        throw;
    } catch (const std::bad_alloc&) {
        throw;
    } catch (const std::exception& error) {
        throw NetworkError(text("OpenVINO cannot take ", path, ": ", one_line(error.what())));
    }
}

}  // namespace mfp
