// DevicePipeline: the array work of a click on a GPU. Image and probability map stay in its memory, a click is one CUDA
// graph. The same as engine/pipelines/device.py. Every call returns when its work on the stream is done.
#pragma once

#include <utility>
#include <variant>

#include "gpu_backend.hpp"
#include "pipeline.hpp"

namespace mfp {

// An image in the GPU's memory, used in place; strides in bytes, that of the channels 0 for grey.
struct PixelsOnDevice {
    const unsigned char* pixels;
    int height, width;
    std::ptrdiff_t row, column, channel;
};

class DevicePipeline : public Pipeline {
public:
    // `stream`: none for one of its own. The network's backend is a GpuBackend.
    // Throws ImageError: an image that the GPU does not reach.
    DevicePipeline(std::shared_ptr<const Network> network, const std::variant<Image, PixelsOnDevice>& image,
                   const std::uint8_t* initial, const ClickOptions& options, std::optional<Stream> stream);
    ~DevicePipeline() override;

    void start() override;
    void forget_initial() noexcept override;
    std::unique_ptr<StepMap> click(const Roi& roi, const std::vector<Click>& clicks, Timing& timing) override;
    void paste(const Step& step) override;
    std::unique_ptr<StepMap> save(const Roi& box) override;
    void restore(const StepMap& saved) override;
    std::optional<Roi> object_box() const override { return box_; }
    void mask(Mask& mask) const noexcept override;
    Map probability() const override;

    const float* device_probability() const { return probability_.as<const float>(); }
    void device_mask(unsigned char* mask) const;
    Stream stream() const { return stream_; }
    std::string why_eager() const { return backend_.lanes.why_eager(); }

private:
    struct ClickMap;
    struct SavedRows;

    PixelsOnDevice uploaded(const Image& image);
    int run(Lane& lane, bool first);
    void paste(const ClickMap* map, const Roi& roi);
    void fetch();
    std::unique_ptr<ClickMap> new_map(Size size);
    DeviceMemory upload(const void* data, std::size_t bytes) const;
    LaneShape lane_shape(Size size) const { return {options_.flip ? 2 : 1, size.height, size.width}; }
    std::size_t area() const { return static_cast<std::size_t>(block_.height) * block_.width; }
    std::size_t words() const { return static_cast<std::size_t>(block_.height) * ((block_.width + 31) / 32); }

    std::shared_ptr<const Network> network_;
    const GpuBackend& backend_;
    std::shared_ptr<Device> device_;
    ClickOptions options_;
    std::unique_ptr<DeviceStream> own_stream_;
    Stream stream_;
    DeviceMemory image_, initial_, probability_, result_;
    std::unique_ptr<PinnedMemory> host_result_;
    std::unique_ptr<Parameters> parameters_;                              // of pastes
    std::vector<std::pair<std::shared_ptr<DeviceMemory>, float*>> maps_;  // free ones, of map_area_ pixels each
    std::size_t map_area_ = 0;
    std::vector<MfpClick> list_;
    MfpClickBlock block_ = {};
    std::optional<Roi> box_;
    int status_ = 0;
    bool blank_ = true;  // the map holds only zeros
};

}  // namespace mfp
