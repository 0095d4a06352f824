// CudaSession: a session whose image and results are in a GPU's memory.
#include "device_pipeline.hpp"
#include "mfp/cuda.hpp"
#include "text.hpp"

namespace mfp {
namespace {

Size checked(const Network* network, const Image& image) {
    if (network && !dynamic_cast<const GpuBackend*>(&network->backend())) {
        throw OptionError(text("expected a network on a GPU, got ", network->backend().name(),
                               ": load a .plan, or make an mfp::Session, which works on the host"));
    }
    return checked_image(image);
}

PixelsOnDevice in_place(const CudaImage& image) {
    check_stride(image.row_stride, image.height, "row");
    check_stride(image.column_stride, image.width, "column");
    check_stride(image.channel_stride, image.channels, "channel");
    const bool packed = !image.row_stride && !image.column_stride && !image.channel_stride;
    const std::ptrdiff_t column = packed ? image.channels : image.column_stride;
    const std::ptrdiff_t row = packed ? static_cast<std::ptrdiff_t>(image.width) * column : image.row_stride;
    const std::ptrdiff_t channel = packed ? 1 : image.channel_stride;
    return {image.pixels, image.height, image.width, row, column, image.channels == 1 ? 0 : channel};
}

DevicePipeline& on_device(Pipeline& pipeline) { return static_cast<DevicePipeline&>(pipeline); }

}  // namespace

CudaSession::CudaSession(std::shared_ptr<const Network> network, const CudaImage& image, std::optional<void*> stream,
                         const SessionOptions& options)
    : Session(network, checked(network.get(), {image.pixels, image.height, image.width, image.channels}), options,
              [&](const ClickOptions& checked) {
                  return std::make_unique<DevicePipeline>(network, in_place(image), options.initial_mask, checked,
                                                          stream);
              }) {}

CudaSession::CudaSession(std::shared_ptr<const Network> network, const Image& image, std::optional<void*> stream,
                         const SessionOptions& options)
    : Session(network, checked(network.get(), image), options, [&](const ClickOptions& checked) {
          return std::make_unique<DevicePipeline>(network, image, options.initial_mask, checked, stream);
      }) {}

const float* CudaSession::device_probability() const { return on_device(pipeline()).device_probability(); }
void CudaSession::device_mask(std::uint8_t* mask) const { on_device(pipeline()).device_mask(mask); }
void* CudaSession::stream() const { return on_device(pipeline()).stream(); }
std::string CudaSession::why_eager() const { return on_device(pipeline()).why_eager(); }

}  // namespace mfp
