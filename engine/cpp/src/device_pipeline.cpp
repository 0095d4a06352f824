// DevicePipeline: the array work of a click on a GPU; see engine/pipelines/device.py.
#include "device_pipeline.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <tuple>

#include "roi.hpp"
#include "text.hpp"

namespace mfp {
namespace {

constexpr float disk_radius = 5;          // network pixels
constexpr std::size_t maps_in_piece = 8;  // of clicks, in one piece of memory: so many clicks allocate once
constexpr Roi nowhere = {0, -1, 0, -1};

// The eight bytes of a mask's byte of bits, lowest bit first.
struct Bytes {
    std::uint8_t of[256][8];

    Bytes() {
        for (int bits = 0; bits < 256; ++bits) {
            for (int i = 0; i < 8; ++i) of[bits][i] = bits >> i & 1;
        }
    }
};

}  // namespace

// A click's map: its place in a piece of memory that several maps share.
struct DevicePipeline::ClickMap : StepMap {
    std::shared_ptr<DeviceMemory> piece;
    float* values;
    Size size;

    std::size_t bytes() const noexcept override {
        return static_cast<std::size_t>(size.height) * size.width * sizeof(float);
    }
};

// Rows of the image's map, whole ones, so that they are one copy.
struct DevicePipeline::SavedRows : StepMap {
    DeviceMemory values;
    std::size_t first;  // of the map's pixels

    std::size_t bytes() const noexcept override { return values.bytes(); }
};

DevicePipeline::DevicePipeline(std::shared_ptr<const Network> network, const std::variant<Image, PixelsOnDevice>& image,
                               const std::uint8_t* initial, const ClickOptions& options, std::optional<Stream> stream)
    : network_(std::move(network)),
      backend_(static_cast<const GpuBackend&>(network_->backend())),
      device_(backend_.device),
      options_(options) {
    if (!stream) own_stream_ = std::make_unique<DeviceStream>(device_);
    stream_ = stream ? *stream : own_stream_->get();
    const auto* there = std::get_if<PixelsOnDevice>(&image);
    const std::string problem = there ? device_->why_out_of_reach(there->pixels) : "";
    if (!problem.empty()) {
        throw ImageError(text("expected an image in the memory of the network's GPU; the one given ", problem));
    }
    const PixelsOnDevice pixels = there ? *there : uploaded(std::get<Image>(image));
    block_.height = pixels.height;
    block_.width = pixels.width;
    if (initial) {
        std::vector<float> map(area());
        std::transform(initial, initial + area(), map.begin(), [](std::uint8_t value) { return value ? 1.0f : 0.0f; });
        initial_ = upload(map.data(), map.size() * sizeof(float));
    }
    probability_ = DeviceMemory(device_, area() * sizeof(float));
    result_ = DeviceMemory(device_, offsetof(MfpResult, bits) + words() * sizeof(unsigned));
    host_result_ = std::make_unique<PinnedMemory>(device_, result_.bytes());
    parameters_ = std::make_unique<Parameters>(device_, 0);
    block_.image = pixels.pixels;
    block_.image_row = pixels.row;
    block_.image_column = pixels.column;
    block_.image_channel = pixels.channel;
    block_.probability = probability_.as<float>();
    block_.result = result_.as<MfpResult>();
    block_.r_max = options_.r_max;
    block_.threshold = options_.threshold;
    block_.disk_radius = disk_radius;
    block_.n_early = options_.n_early;
    block_.compare_rgb = options_.compare_rgb;
    if (options_.size.width > 0) backend_.lanes.prepare(backend_, lane_shape(options_.size));  // every click's
    start();
}

DevicePipeline::~DevicePipeline() = default;

void DevicePipeline::start() {
    if (initial_) {
        device_->copy(probability_.as<void>(), initial_.as<void>(), probability_.bytes(), stream_);
    } else {
        device_->clear(probability_.as<void>(), probability_.bytes(), stream_);
    }
    blank_ = !initial_;
    paste(nullptr, nowhere);  // of the map as it is, mask and box
    fetch();
}

void DevicePipeline::forget_initial() noexcept { initial_ = {}; }

std::unique_ptr<StepMap> DevicePipeline::click(const Roi& roi, const std::vector<Click>& clicks, Timing& timing) {
    Stopwatch watch(timing.device);
    const Size size = network_size(options_.size, roi);
    list_.clear();
    for (const Click& click : clicks) list_.push_back({click.y, click.x, click.positive, click.index});
    std::unique_ptr<ClickMap> map = new_map(size);
    block_.row_min = roi.row_min;
    block_.row_max = roi.row_max;
    block_.col_min = roi.col_min;
    block_.col_max = roi.col_max;
    block_.n_clicks = static_cast<int>(list_.size());
    block_.newest = block_.n_clicks - 1;
    block_.map = map->values;
    std::unique_ptr<Lane> lane = backend_.lanes.take(backend_, lane_shape(size));
    timing.passes += run(*lane, blank_);
    if (status_ & MFP_NEEDS_BOOTSTRAP) {
        // Which pixels of the crop are zero shows on the GPU alone, and there the click has stopped short of pasting.
        // So rare that looking for it before every click would cost more.
        timing.passes += run(*lane, true);
    }
    backend_.lanes.give_back(std::move(lane));
    if (status_ & MFP_NOT_FINITE) {
        throw NetworkError(
            text(backend_.name(), " gave logits that are not finite: its weights are damaged, or overflow"));
    }
    blank_ = false;
    return map;
}

void DevicePipeline::paste(const Step& step) {
    blank_ = false;
    paste(static_cast<const ClickMap*>(step.map.get()), step.roi);
    fetch();
}

std::unique_ptr<StepMap> DevicePipeline::save(const Roi& box) {
    auto saved = std::make_unique<SavedRows>();
    const auto row = static_cast<std::size_t>(block_.width);
    saved->first = box.row_min * row;
    saved->values = DeviceMemory(device_, (box.row_max - box.row_min + 1) * row * sizeof(float));
    device_->copy(saved->values.as<void>(), probability_.as<float>() + saved->first, saved->values.bytes(), stream_);
    device_->synchronize(stream_);
    return saved;
}

void DevicePipeline::restore(const StepMap& saved) {
    const auto& rows = static_cast<const SavedRows&>(saved);
    device_->copy(probability_.as<float>() + rows.first, rows.values.as<void>(), rows.values.bytes(), stream_);
    blank_ = false;
    paste(nullptr, nowhere);  // of the map as it is, mask and box
    fetch();
}

void DevicePipeline::mask(Mask& mask) const noexcept {
    static const Bytes bytes;
    const int row_bytes = (block_.width + 31) / 32 * 4;
    const unsigned char* bits = host_result_->data() + offsetof(MfpResult, bits);
    std::uint8_t* to = mask.pixels.data();
    for (int row = 0; row < block_.height; ++row, bits += row_bytes) {
        int column = 0;
        for (; column + 8 <= block_.width; column += 8, to += 8) std::memcpy(to, bytes.of[bits[column / 8]], 8);
        // the last row may end where the memory does
        if (column < block_.width) to = std::copy_n(bytes.of[bits[column / 8]], block_.width - column, to);
    }
}

Map DevicePipeline::probability() const {
    Map map{block_.height, block_.width, std::vector<float>(area())};
    device_->copy_out(map.values.data(), probability_.as<void>(), probability_.bytes(), stream_);
    device_->synchronize(stream_);
    return map;
}

void DevicePipeline::device_mask(unsigned char* mask) const {
    const auto* bits = result_.as<const unsigned char>() + offsetof(MfpResult, bits);
    device_->unpack(reinterpret_cast<const unsigned*>(bits), mask, block_.height, block_.width, stream_);
    device_->synchronize(stream_);
}

// Runs a click on a lane and fetches what came out; the number of network passes.
int DevicePipeline::run(Lane& lane, bool first) {
    block_.bootstrapped = first;
    try {
        lane.run(first, block_, list_, stream_);
        fetch();
    } catch (...) {
        try {
            device_->synchronize(stream_);  // what was put there uses memory that others may now be given
        } catch (const Error&) {            // the first error is the one to tell
        }
        throw;
    }
    return first ? 2 : 1;
}

// Pastes a map, or none, and computes mask and box.
void DevicePipeline::paste(const ClickMap* map, const Roi& roi) {
    MfpLane lane = {};
    MfpClickBlock block = block_;
    if (map) {
        block.map = map->values;
        lane.height = map->size.height;
        lane.width = map->size.width;
    }
    block.row_min = roi.row_min;
    block.row_max = roi.row_max;
    block.col_min = roi.col_min;
    block.col_max = roi.col_max;
    block.n_clicks = 0;
    block.newest = -1;
    parameters_->write(block, {});
    parameters_->send(*device_, stream_);
    device_->launch("mfp_begin", lane, parameters_->place(), 1, stream_);
    device_->launch("mfp_paste", lane, parameters_->place(), everywhere, stream_);
    device_->synchronize(stream_);  // of the parameters, which the next paste writes over
}

// Mask and box, in one copy; waits for it.
void DevicePipeline::fetch() {
    device_->copy_out(host_result_->data(), result_.as<void>(), result_.bytes(), stream_);
    device_->synchronize(stream_);
    MfpResult head;
    std::memcpy(&head, host_result_->data(), offsetof(MfpResult, bits));
    status_ = head.status;
    if (status_) return;  // nothing was pasted: the mask's bits are those of before
    box_ = std::nullopt;
    if (head.row_max >= 0) box_ = Roi{head.row_min, head.row_max, head.col_min, head.col_max};
}

std::unique_ptr<DevicePipeline::ClickMap> DevicePipeline::new_map(Size size) {
    const std::size_t pixels = static_cast<std::size_t>(size.height) * size.width;
    auto map = std::make_unique<ClickMap>();
    map->size = size;
    if (maps_.empty() || map_area_ < pixels) {
        maps_.clear();
        maps_.reserve(maps_in_piece);
        try {
            const auto piece = std::make_shared<DeviceMemory>(device_, maps_in_piece * pixels * sizeof(float));
            for (std::size_t i = 0; i < maps_in_piece; ++i) maps_.emplace_back(piece, piece->as<float>() + i * pixels);
            map_area_ = pixels;
        } catch (const std::bad_alloc&) {
            map->piece = std::make_shared<DeviceMemory>(device_, pixels * sizeof(float));
            map->values = map->piece->as<float>();
            return map;
        }
    }
    std::tie(map->piece, map->values) = std::move(maps_.back());
    maps_.pop_back();
    return map;
}

PixelsOnDevice DevicePipeline::uploaded(const Image& image) {
    const int channels = image.channels == 1 ? 1 : 3;
    const std::ptrdiff_t own = static_cast<std::ptrdiff_t>(image.width) * channels;
    const std::ptrdiff_t given = static_cast<std::ptrdiff_t>(image.width) * image.channels;
    const std::ptrdiff_t stride = image.row_stride ? image.row_stride : given;
    std::vector<unsigned char> pixels(static_cast<std::size_t>(own) * image.height);
    unsigned char* to = pixels.data();
    for (int row = 0; row < image.height; ++row) {
        const std::uint8_t* from = image.pixels + row * stride;
        for (int i = 0; i < image.width; ++i, from += image.channels) to = std::copy_n(from, channels, to);
    }
    image_ = upload(pixels.data(), pixels.size());
    return {image_.as<unsigned char>(), image.height, image.width, own, channels, channels == 1 ? 0 : 1};
}

DeviceMemory DevicePipeline::upload(const void* data, std::size_t bytes) const {
    DeviceMemory place(device_, bytes);
    device_->copy_in(place.as<void>(), data, bytes, stream_);
    device_->synchronize(stream_);  // of the caller's memory, which may change from here on
    return place;
}

}  // namespace mfp
