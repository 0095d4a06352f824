// Lanes: the memory and the CUDA graphs for clicks of one network size, one click at a time. The same as
// engine/pipelines/lane.py: all data of a session is reached through addresses in the click's parameters, so that one
// pair of graphs serves every session of a network.
#pragma once

#include <list>
#include <mutex>
#include <vector>

#include "device.hpp"

namespace mfp {

class GpuBackend;
class Worker;

// Parameters on their way to the GPU: page-locked memory on the host, and their place there.
class Parameters {
public:
    Parameters(std::shared_ptr<Device> device, std::size_t clicks);

    void write(const MfpClickBlock& block, const std::vector<MfpClick>& clicks);  // no more than clicks()
    void send(Device& device, Stream stream) const;  // all of them: a graph's copy has one length
    const MfpClickBlock* place() const { return place_.as<const MfpClickBlock>(); }
    std::size_t clicks() const { return clicks_; }

private:
    std::size_t clicks_;
    PinnedMemory host_;
    DeviceMemory place_;
};

struct LaneShape {
    int batch, height, width;  // batch: 2 with the mirrored pass, else 1
};

class Lane {
public:
    Lane(const GpuBackend& backend, LaneShape shape);
    ~Lane();

    // Puts a click on the stream; returns before it has run. `first`: with the pass that makes a previous map where
    // there is none.
    void run(bool first, const MfpClickBlock& block, const std::vector<MfpClick>& clicks, Stream stream);

    // Runs both kinds of click on an image of one pixel, so that everything is loaded, and records them.
    void prepare();

    const LaneShape shape;
    bool used = false;      // whether a click has gone through it
    std::string why_eager;  // why the steps of a click run one by one, where they do

private:
    void make_room(std::size_t clicks);
    void enqueue(bool first, Stream stream);

    std::shared_ptr<Device> device_;
    std::unique_ptr<Worker> worker_;
    DeviceMemory image_, prev_, modulated_, clicks_, logits_, keys_, windows_, placed_;
    MfpLane fields_ = {};
    std::unique_ptr<Parameters> parameters_;
    DeviceStream recording_;  // an application's stream may be the default one, which records nothing
    std::unique_ptr<Graph> graphs_[2];
    bool prepared_ = false;
};

// The lanes of one network. Each is lent to one click at a time; more are made as they are needed.
class Lanes {
public:
    // A lane for a click. Its work must be done when it is given back; where that failed it is dropped instead.
    // Throws std::bad_alloc: the GPU has no memory left.
    std::unique_ptr<Lane> take(const GpuBackend& backend, LaneShape shape);
    void give_back(std::unique_ptr<Lane> lane) noexcept;

    // Sees to it that the first click of this shape finds everything loaded and recorded.
    void prepare(const GpuBackend& backend, LaneShape shape);

    std::string why_eager() const;  // of the lane that was prepared last

private:
    void prepare(Lane& lane);

    mutable std::mutex mutex_;
    std::list<std::unique_ptr<Lane>> idle_;  // the one used last comes last
    std::string why_eager_;
};

}  // namespace mfp
