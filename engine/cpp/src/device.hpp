// Device: the interface of a GPU for the array work, with memory, copies, launches and graphs. Only cuda_device.cpp,
// which implements it, calls CUDA; the tests implement it by an emulated device that runs the same kernels on the host.
// The same interface as kernels/device.py.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "click_block.h"

namespace mfp {

using Stream = void*;  // CUstream, which is cudaStream_t; null is the default stream

// Recorded work, with arguments and addresses as they were then. Whoever recorded it keeps the memory behind them.
class Graph {
public:
    virtual ~Graph() = default;
    virtual void launch(Stream stream) = 0;
};

// A CUDA context with the kernels loaded in it. Used by any number of threads at once.
//
// Everything throws NetworkError where CUDA reports an error, and std::bad_alloc where there is no memory; work that
// fails on the GPU is reported by a later call.
class Device {
public:
    virtual ~Device() = default;

    // Memory for DeviceMemory, PinnedMemory and DeviceStream below. What is freed is used by no stream any more.
    virtual void* allocate(std::size_t bytes) = 0;  // of the GPU, not initialised
    virtual void free(void* memory) noexcept = 0;
    virtual void* allocate_pinned(std::size_t bytes) = 0;  // of the host, page-locked
    virtual void free_pinned(void* memory) noexcept = 0;
    virtual Stream new_stream() = 0;  // does not wait for the default stream
    virtual void free_stream(Stream stream) noexcept = 0;

    // Asynchronous where the host's memory is pinned; else it has been read, or written, when the stream has passed.
    virtual void copy_in(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
    virtual void copy_out(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
    virtual void copy(void* target, const void* source, std::size_t bytes, Stream stream) = 0;
    virtual void clear(void* target, std::size_t bytes, Stream stream) = 0;

    // A kernel of kernels/*.cu by its name. `work`: of one item, pixels say, a thread each where that does not make too
    // many; 1 is one block. `items`: of the batch, side by side.
    virtual void launch(const char* kernel, const MfpLane& lane, const MfpClickBlock* block, std::size_t work,
                        Stream stream, int items = 1) = 0;
    virtual void unpack(const unsigned* bits, unsigned char* mask, int height, int width, Stream stream) = 0;

    // Waits until everything that was put on the stream has run.
    virtual void synchronize(Stream stream) = 0;

    // Records what `steps` puts on a stream, not the default one, without running it. `steps` has run once before, so
    // that everything is loaded and allocated.
    virtual std::unique_ptr<Graph> record(const std::function<void()>& steps, Stream stream) = 0;

    // Why kernels cannot read somebody else's memory at an address; empty where they can.
    virtual std::string why_out_of_reach(const void* address) const = 0;
};

constexpr std::size_t everywhere = std::size_t{1} << 30;  // work over an image of any size: all blocks that run at once

class DeviceMemory {
public:
    DeviceMemory() = default;
    DeviceMemory(std::shared_ptr<Device> device, std::size_t bytes) : device_(std::move(device)), bytes_(bytes) {
        at_ = device_->allocate(bytes);
    }
    DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
    DeviceMemory& operator=(DeviceMemory&& other) noexcept {
        std::swap(device_, other.device_);
        std::swap(at_, other.at_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~DeviceMemory() {
        if (at_) device_->free(at_);
    }

    template <class T>
    T* as() const {
        return static_cast<T*>(at_);
    }
    std::size_t bytes() const { return bytes_; }
    explicit operator bool() const { return at_ != nullptr; }

private:
    std::shared_ptr<Device> device_;
    void* at_ = nullptr;
    std::size_t bytes_ = 0;
};

class PinnedMemory {
public:
    PinnedMemory(std::shared_ptr<Device> device, std::size_t bytes)
        : device_(std::move(device)), at_(device_->allocate_pinned(bytes)), bytes_(bytes) {}
    PinnedMemory(const PinnedMemory&) = delete;
    PinnedMemory& operator=(const PinnedMemory&) = delete;
    ~PinnedMemory() { device_->free_pinned(at_); }

    unsigned char* data() const { return static_cast<unsigned char*>(at_); }
    std::size_t bytes() const { return bytes_; }

private:
    std::shared_ptr<Device> device_;
    void* at_;
    std::size_t bytes_;
};

class DeviceStream {
public:
    explicit DeviceStream(std::shared_ptr<Device> device)
        : device_(std::move(device)), stream_(device_->new_stream()) {}
    DeviceStream(const DeviceStream&) = delete;
    DeviceStream& operator=(const DeviceStream&) = delete;
    ~DeviceStream() { device_->free_stream(stream_); }

    Stream get() const { return stream_; }

private:
    std::shared_ptr<Device> device_;
    Stream stream_;
};

}  // namespace mfp
