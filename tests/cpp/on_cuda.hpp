// A network of the host as one of a GPU, without TensorRT: its passes are copies out, a function of the host that the
// stream calls, and a copy back. All else of a session runs on the GPU, in the same graphs.
#pragma once

#include "cuda_device.hpp"
#include "gpu_backend.hpp"

class OnCuda : public mfp::GpuBackend {
public:
    OnCuda(std::shared_ptr<const mfp::Network> network, std::shared_ptr<mfp::CudaDevice> device)
        : GpuBackend("host-function", network->info(), device),
          network_(std::move(network)),
          device_(std::move(device)) {}

    std::unique_ptr<mfp::Worker> worker() const override { return std::make_unique<HostWorker>(network_, device_); }

private:
    struct HostWorker : mfp::Worker {
        HostWorker(std::shared_ptr<const mfp::Network> network, std::shared_ptr<mfp::CudaDevice> device)
            : network(std::move(network)), device(std::move(device)) {}

        void enqueue(const mfp::Tensors& t, mfp::Stream stream) override {
            const std::size_t area = sizeof(float) * t.batch * t.height * t.width;
            if (!memory || memory->bytes() < 8 * area) memory = std::make_unique<mfp::PinnedMemory>(device, 8 * area);
            char* at = reinterpret_cast<char*>(memory->data());
            const auto fetched = [&](const float* source, int channels) {
                float* target = reinterpret_cast<float*>(at);
                at += channels * area;
                device->copy_out(target, source, channels * area, stream);
                return target;
            };
            tensors = t;
            tensors.image = fetched(t.image, 3);
            tensors.prev_mask = fetched(t.prev_mask, 1);
            tensors.modulated_mask = fetched(t.modulated_mask, 1);
            tensors.clicks = fetched(t.clicks, 2);
            tensors.logits = reinterpret_cast<float*>(at);
            const mfp::Driver& cuda = device->context->driver();
            const mfp::CudaContext::Current current(*device->context);
            cuda.check(cuda.cuLaunchHostFunc(static_cast<CUstream>(stream), run, this),
                       "a function of the host is put");
            device->copy_in(t.logits, tensors.logits, area, stream);
        }

        std::string why_not_recorded(mfp::Stream) const override { return ""; }

        static void CUDA_CB run(void* self) {
            const auto& worker = *static_cast<const HostWorker*>(self);
            static_cast<const mfp::HostBackend&>(worker.network->backend()).run(worker.tensors);
        }

        std::shared_ptr<const mfp::Network> network;
        std::shared_ptr<mfp::CudaDevice> device;
        std::unique_ptr<mfp::PinnedMemory> memory;
        mfp::Tensors tensors = {};
    };

    std::shared_ptr<const mfp::Network> network_;
    std::shared_ptr<mfp::CudaDevice> device_;
};

constexpr int skipped = 77;  // what a test ends with that needs a GPU and has none

inline std::shared_ptr<const mfp::Network> on_cuda(std::shared_ptr<const mfp::Network> network,
                                                   std::shared_ptr<mfp::CudaDevice> device) {
    return std::make_shared<const mfp::Network>(std::make_unique<const OnCuda>(std::move(network), std::move(device)));
}
