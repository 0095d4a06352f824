// Lanes: the memory and the CUDA graphs of clicks of one network size; see engine/pipelines/lane.py.
#include "lane.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "gpu_backend.hpp"
#include "text.hpp"

namespace mfp {
namespace {

constexpr std::size_t first_room = 32;  // clicks; it doubles when more come
constexpr std::size_t most_idle = 8;    // lanes that a network keeps for later
constexpr std::size_t pixels_a_thread =
    8;  // of the window: its kernels pay for every block with a histogram of their own

bool operator==(const LaneShape& a, const LaneShape& b) {
    return a.batch == b.batch && a.height == b.height && a.width == b.width;
}

std::size_t area_of(const LaneShape& shape) { return static_cast<std::size_t>(shape.height) * shape.width; }

}  // namespace

Parameters::Parameters(std::shared_ptr<Device> device, std::size_t clicks)
    : clicks_(clicks), host_(device, sizeof(MfpClickBlock) + clicks * sizeof(MfpClick)), place_(device, host_.bytes()) {
    std::memset(host_.data(), 0, host_.bytes());
}

void Parameters::write(const MfpClickBlock& block, const std::vector<MfpClick>& clicks) {
    std::memcpy(host_.data(), &block, sizeof block);
    if (!clicks.empty()) std::memcpy(host_.data() + sizeof block, clicks.data(), clicks.size() * sizeof clicks[0]);
}

void Parameters::send(Device& device, Stream stream) const {
    device.copy_in(place_.as<void>(), host_.data(), host_.bytes(), stream);
}

Lane::Lane(const GpuBackend& backend, LaneShape shape)
    : shape(shape),
      device_(backend.device),
      worker_(backend.worker()),
      image_(device_, 3 * sizeof(float) * shape.batch * area_of(shape)),
      prev_(device_, sizeof(float) * shape.batch * area_of(shape)),
      modulated_(device_, prev_.bytes()),
      clicks_(device_, 2 * prev_.bytes()),
      logits_(device_, prev_.bytes()),
      keys_(device_, sizeof(unsigned) * shape.batch * area_of(shape)),
      windows_(device_, sizeof(MfpWindow) * shape.batch),
      recording_(device_) {
    fields_.image = image_.as<float>();
    fields_.prev = prev_.as<float>();
    fields_.modulated = modulated_.as<float>();
    fields_.clicks = clicks_.as<float>();
    fields_.logits = logits_.as<float>();
    fields_.keys = keys_.as<unsigned>();
    fields_.windows = windows_.as<MfpWindow>();
    fields_.batch = shape.batch;
    fields_.height = shape.height;
    fields_.width = shape.width;
    make_room(first_room);
}

Lane::~Lane() = default;

void Lane::make_room(std::size_t clicks) {
    auto parameters = std::make_unique<Parameters>(device_, clicks);
    DeviceMemory placed(device_, shape.batch * clicks * sizeof(MfpPlaced));
    for (auto& graph : graphs_) graph.reset();  // they hold the old addresses
    prepared_ = false;
    parameters_ = std::move(parameters);
    placed_ = std::move(placed);
    fields_.placed = placed_.as<MfpPlaced>();
    fields_.capacity = static_cast<int>(clicks);
}

void Lane::run(bool first, const MfpClickBlock& block, const std::vector<MfpClick>& clicks, Stream stream) {
    if (clicks.size() > parameters_->clicks()) make_room(std::max(clicks.size(), 2 * parameters_->clicks()));
    used = true;
    parameters_->write(block, clicks);
    if (graphs_[first]) {
        graphs_[first]->launch(stream);
    } else {
        enqueue(first, stream);
    }
}

void Lane::prepare() {
    if (prepared_) return;
    prepared_ = true;
    const Stream stream = recording_.get();
    const DeviceMemory image(device_, 4), probability(device_, sizeof(float)),
        map(device_, sizeof(float) * area_of(shape)), result(device_, sizeof(MfpResult));
    const DeviceMemory* all[] = {&image, &probability, &map, &result, &image_, &prev_, &modulated_, &clicks_};
    for (const DeviceMemory* memory : all) device_->clear(memory->as<void>(), memory->bytes(), stream);
    MfpClickBlock block = {};
    block.image = image.as<unsigned char>();
    block.probability = probability.as<float>();
    block.map = map.as<float>();
    block.result = result.as<MfpResult>();
    block.height = block.width = block.n_clicks = block.bootstrapped = 1;
    block.r_max = 1;
    block.disk_radius = 1;
    parameters_->write(block, {MfpClick{}});
    try {
        for (const bool first : {true, false}) enqueue(first, stream);
    } catch (...) {
        device_->synchronize(stream);  // what was put there uses memory that goes now
        throw;
    }
    device_->synchronize(stream);
    why_eager = worker_->why_not_recorded(stream);
    try {
        for (const bool first : {true, false}) {
            if (why_eager.empty()) graphs_[first] = device_->record([&] { enqueue(first, stream); }, stream);
        }
    } catch (const Error& error) {
        why_eager = text("the CUDA graph could not be captured: ", error.what());
    }
    if (!why_eager.empty()) {
        for (auto& graph : graphs_) graph.reset();
    }
}

void Lane::enqueue(bool first, Stream stream) {
    Device& device = *device_;
    const std::size_t area = area_of(shape);
    const int items = shape.batch;
    const MfpClickBlock* block = parameters_->place();
    const auto pass = [&] {
        worker_->enqueue({fields_.image, fields_.prev, fields_.modulated, fields_.clicks, fields_.logits, shape.batch,
                          shape.height, shape.width},
                         stream);
    };
    parameters_->send(device, stream);
    device.launch("mfp_begin", fields_, block, 1, stream);
    device.launch("mfp_crop", fields_, block, area, stream);
    device.launch("mfp_disks", fields_, block, area, stream, items);
    if (first) {
        // the crop of an empty map is the empty previous map that this pass needs
        device.clear(fields_.modulated, modulated_.bytes(), stream);
        pass();
        device.launch("mfp_bootstrap", fields_, block, items * area, stream);
    }
    for (const char* kernel : {"mfp_window", "mfp_select_second", "mfp_select_third"}) {
        device.launch(kernel, fields_, block, area / pixels_a_thread, stream, items);
    }
    device.launch("mfp_modulate", fields_, block, area, stream, items);
    pass();
    device.launch("mfp_probability", fields_, block, area, stream);
    device.launch("mfp_paste", fields_, block, everywhere, stream);
}

std::unique_ptr<Lane> Lanes::take(const GpuBackend& backend, LaneShape shape) {
    std::unique_ptr<Lane> lane;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto found =
            std::find_if(idle_.rbegin(), idle_.rend(), [&](const auto& idle) { return idle->shape == shape; });
        if (found != idle_.rend()) {
            lane = std::move(*found);
            idle_.erase(std::next(found).base());
        }
    }
    if (!lane) {
        try {
            lane = std::make_unique<Lane>(backend, shape);
        } catch (const std::bad_alloc&) {
            std::list<std::unique_ptr<Lane>> dropped;  // they hold memory that nobody needs now
            {
                std::lock_guard<std::mutex> lock(mutex_);
                dropped.swap(idle_);
            }
            dropped.clear();
            lane = std::make_unique<Lane>(backend, shape);
        }
    }
    if (lane->used) prepare(*lane);  // a shape that comes once is not worth two graphs
    return lane;
}

void Lanes::give_back(std::unique_ptr<Lane> lane) noexcept {
    std::unique_ptr<Lane> dropped;
    std::lock_guard<std::mutex> lock(mutex_);
    try {
        idle_.push_back(std::move(lane));
    } catch (...) {  // no memory to keep it: the next click makes one
        return;
    }
    if (idle_.size() > most_idle) {
        dropped = std::move(idle_.front());
        idle_.pop_front();
    }
}

void Lanes::prepare(const GpuBackend& backend, LaneShape shape) {
    std::unique_ptr<Lane> lane = take(backend, shape);
    prepare(*lane);
    give_back(std::move(lane));
}

void Lanes::prepare(Lane& lane) {
    lane.prepare();
    std::lock_guard<std::mutex> lock(mutex_);
    why_eager_ = lane.why_eager;
}

std::string Lanes::why_eager() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return why_eager_;
}

}  // namespace mfp
