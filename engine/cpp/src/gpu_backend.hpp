// GpuBackend: the interface of a runtime on a GPU, whose passes work on arrays in the GPU's memory, on a stream.
#pragma once

#include "backend.hpp"
#include "device.hpp"
#include "lane.hpp"

namespace mfp {

// Passes of one network in an execution context of its own: one stream and one shape at a time.
class Worker {
public:
    virtual ~Worker() = default;

    // Puts a pass on a stream; the tensors lie on the GPU. The first pass of a shape may allocate and wait.
    // Throws OptionError: a shape that the network does not take; NetworkError: the runtime refuses; std::bad_alloc.
    virtual void enqueue(const Tensors& tensors, Stream stream) = 0;

    // Why passes of the shape that it had last cannot be recorded in a graph; empty where they can.
    virtual std::string why_not_recorded(Stream stream) const = 0;
};

class GpuBackend : public Backend {
public:
    GpuBackend(std::string runtime, NetworkInfo info, std::shared_ptr<Device> device)
        : Backend(std::move(runtime), std::move(info)), device(std::move(device)) {}

    virtual std::unique_ptr<Worker> worker() const = 0;

    const std::shared_ptr<Device> device;
    mutable Lanes lanes;  // that sessions share
};

}  // namespace mfp
