// CudaDevice: the Device interface on a GPU.
#pragma once

#include <map>

#include "cuda_driver.hpp"
#include "device.hpp"

namespace mfp {

class CudaDevice : public Device {
public:
    // Loads the kernels. Throws NetworkError: they do not run on this GPU.
    explicit CudaDevice(std::shared_ptr<const CudaContext> context);
    ~CudaDevice() override;

    void* allocate(std::size_t bytes) override;
    void free(void* memory) noexcept override;
    void* allocate_pinned(std::size_t bytes) override;
    void free_pinned(void* memory) noexcept override;
    Stream new_stream() override;
    void free_stream(Stream stream) noexcept override;
    void copy_in(void* target, const void* source, std::size_t bytes, Stream stream) override;
    void copy_out(void* target, const void* source, std::size_t bytes, Stream stream) override;
    void copy(void* target, const void* source, std::size_t bytes, Stream stream) override;
    void clear(void* target, std::size_t bytes, Stream stream) override;
    void launch(const char* kernel, const MfpLane& lane, const MfpClickBlock* block, std::size_t work, Stream stream,
                int items) override;
    void unpack(const unsigned* bits, unsigned char* mask, int height, int width, Stream stream) override;
    void synchronize(Stream stream) override;
    std::unique_ptr<Graph> record(const std::function<void()>& steps, Stream stream) override;
    std::string why_out_of_reach(const void* address) const override;

    const std::shared_ptr<const CudaContext> context;

private:
    void launch(const char* kernel, void** arguments, std::size_t work, int items, Stream stream);
    template <class Call>
    void release(Call call) const noexcept;

    const Driver& cuda_;
    CUmodule module_ = nullptr;
    std::map<std::string, CUfunction> functions_;
    std::size_t most_blocks_ = 0;
};

// The device of a GPU, counted from 0. Throws RuntimeMissingError: the driver gives no such GPU.
std::shared_ptr<CudaDevice> open_cuda_device(int gpu);

}  // namespace mfp
