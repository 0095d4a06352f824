// HostPipeline: the array work of a click on the host (docs/method.md, section 1), on the kernels' structures.
#include <algorithm>
#include <chrono>

#include "backend.hpp"
#include "pipeline.hpp"
#include "roi.hpp"
#include "steps.hpp"
#include "text.hpp"

namespace mfp {
namespace {

constexpr float object_threshold = 0.5f;  // what counts as object for the region, whatever the mask's threshold
constexpr float disk_radius = 5;          // network pixels

double now_ms() {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct HostMap : StepMap {
    Size size;
    std::vector<float> values;

    std::size_t bytes() const noexcept override { return values.size() * sizeof(float); }
};

struct SavedBox : StepMap {
    Roi box;
    std::vector<float> values;

    std::size_t bytes() const noexcept override { return values.size() * sizeof(float); }
};

// The vectors behind an MfpLane, of one size.
struct LaneMemory {
    std::vector<float> image, prev, modulated, clicks, logits;
    std::vector<unsigned> keys;
    std::vector<MfpWindow> windows;
    std::vector<MfpPlaced> placed;

    MfpLane fit(int batch, Size size, int n_clicks) {
        const std::size_t area = static_cast<std::size_t>(size.height) * size.width * batch;
        image.resize(3 * area);
        prev.resize(area);
        modulated.resize(area);
        clicks.resize(2 * area);
        logits.resize(area);
        keys.resize(area);
        windows.resize(batch);
        placed.resize(static_cast<std::size_t>(batch) * n_clicks);
        MfpLane lane = {};
        lane.image = image.data();
        lane.prev = prev.data();
        lane.modulated = modulated.data();
        lane.clicks = clicks.data();
        lane.logits = logits.data();
        lane.keys = keys.data();
        lane.windows = windows.data();
        lane.placed = placed.data();
        lane.batch = batch;
        lane.height = size.height;
        lane.width = size.width;
        lane.capacity = n_clicks;
        return lane;
    }
};

class HostPipeline : public Pipeline {
public:
    HostPipeline(std::shared_ptr<const Network> network, const Image& image, const std::uint8_t* initial,
                 const ClickOptions& options)
        : network_(std::move(network)), options_(options), height_(image.height), width_(image.width) {
        const std::size_t area = static_cast<std::size_t>(height_) * width_;
        channels_ = image.channels == 1 ? 1 : 3;
        pixels_.reserve(area * channels_);
        const std::ptrdiff_t stride =
            image.row_stride ? image.row_stride : static_cast<std::ptrdiff_t>(width_) * image.channels;
        for (int row = 0; row < height_; ++row) {
            const std::uint8_t* from = image.pixels + row * stride;
            if (image.channels != 4) {
                pixels_.insert(pixels_.end(), from, from + static_cast<std::size_t>(width_) * channels_);
                continue;
            }
            for (const std::uint8_t* end = from + std::ptrdiff_t{4} * width_; from < end; from += 4) {
                pixels_.insert(pixels_.end(), from, from + 3);
            }
        }
        if (initial) initial_.assign(initial, initial + area);
        probability_.resize(area);
        if (initial) start();
        // for the first click, which looks at the whole image: memory that is new takes longer to fill than to use
        memory_.fit(options_.flip ? 2 : 1, network_size(options_.size, {0, height_ - 1, 0, width_ - 1}), 1);
    }

    void start() noexcept override {
        blank_ = initial_.empty();
        if (blank_) {
            std::fill(probability_.begin(), probability_.end(), 0.0f);
        } else {
            std::transform(initial_.begin(), initial_.end(), probability_.begin(),
                           [](std::uint8_t value) { return value ? 1.0f : 0.0f; });
        }
    }

    void forget_initial() noexcept override { initial_.clear(); }

    std::unique_ptr<StepMap> click(const Roi& roi, const std::vector<Click>& clicks, Timing& timing) override {
        MfpLane lane;
        MfpClickBlock block;
        auto map = std::make_unique<HostMap>();
        {
            Stopwatch watch(timing.crop);
            map->size = network_size(options_.size, roi);
            map->values.resize(static_cast<std::size_t>(map->size.height) * map->size.width);
            scratch_.reserve(std::max(roi_width(roi), map->size.width));  // pasting again allocates nothing
            list_.clear();
            for (const Click& click : clicks) list_.push_back({click.y, click.x, click.positive, click.index});
            const bool same_size = map->size.height == held_size_.height && map->size.width == held_size_.width;
            const bool with_image = !held_ || !(*held_ == roi) || !same_size;
            if (with_image) held_.reset();  // until the lane holds it
            lane = memory_.fit(options_.flip ? 2 : 1, map->size, static_cast<int>(clicks.size()));
            block = block_for(roi, map->values.data());
            if (with_image) crop_image(lane, block, scratch_);
            empty_ = crop_probability(lane, block, blank_, scratch_);
            held_ = roi;
            held_size_ = map->size;
        }
        {
            Stopwatch watch(timing.encode);
            begin(lane, block, list_.data());
            disks(lane, block);
        }
        if (empty_) {  // prev holds only zeros, so it serves as the modulated map too
            Stopwatch watch(timing.network);
            run(lane, lane.prev, timing);
            check_finite(bootstrap(lane));
        }
        {
            Stopwatch watch(timing.modulate);
            modulate(lane, block, differences_);
        }
        {
            Stopwatch watch(timing.network);
            run(lane, lane.modulated, timing);
            check_finite(mfp::probability(lane, block));
        }
        Stopwatch watch(timing.paste);
        mfp::paste(lane, block, scratch_);
        blank_ = false;
        return map;
    }

    void paste(const Step& step) noexcept override {
        auto& map = static_cast<HostMap&>(*step.map);
        MfpLane lane = {};
        lane.height = map.size.height;
        lane.width = map.size.width;
        mfp::paste(lane, block_for(step.roi, map.values.data()), scratch_);
        blank_ = false;
    }

    std::unique_ptr<StepMap> save(const Roi& box) override {
        auto saved = std::make_unique<SavedBox>();
        saved->box = box;
        saved->values.reserve(static_cast<std::size_t>(roi_height(box)) * roi_width(box));
        for (int row = box.row_min; row <= box.row_max; ++row) {
            const float* from = pixel(row, box.col_min);
            saved->values.insert(saved->values.end(), from, from + roi_width(box));
        }
        return saved;
    }

    void restore(const StepMap& saved) noexcept override {
        const auto& [box, values] = static_cast<const SavedBox&>(saved);
        const float* from = values.data();
        for (int row = box.row_min; row <= box.row_max; ++row, from += roi_width(box)) {
            std::copy_n(from, roi_width(box), pixel(row, box.col_min));
        }
        blank_ = false;
    }

    std::optional<Roi> object_box() const override {
        if (blank_) return std::nullopt;
        const auto has_object = [this](int row) {
            const float* values = probability_.data() + static_cast<std::size_t>(row) * width_;
            bool any = false;
            for (int column = 0; column < width_; ++column) any |= values[column] > object_threshold;
            return any;
        };
        int top = 0, bottom = height_ - 1;
        while (top < height_ && !has_object(top)) ++top;
        if (top == height_) return std::nullopt;
        while (!has_object(bottom)) --bottom;
        int left = width_, right = -1;
        for (int row = top; row <= bottom; ++row) {
            const float* values = probability_.data() + static_cast<std::size_t>(row) * width_;
            for (int column = 0; column < left; ++column) {
                if (values[column] > object_threshold) left = column;
            }
            for (int column = width_ - 1; column > right; --column) {
                if (values[column] > object_threshold) right = column;
            }
        }
        return Roi{top, bottom, left, right};
    }

    void mask(Mask& mask) const noexcept override {
        const float threshold = options_.threshold;
        std::transform(probability_.begin(), probability_.end(), mask.pixels.begin(),
                       [threshold](float value) { return static_cast<std::uint8_t>(value > threshold); });
    }

    Map probability() const override { return {height_, width_, probability_}; }

private:
    float* pixel(int row, int column) { return probability_.data() + static_cast<std::size_t>(row) * width_ + column; }

    MfpClickBlock block_for(const Roi& roi, float* map) {
        MfpClickBlock block = {};
        block.image = pixels_.data();
        block.image_row = static_cast<long long>(width_) * channels_;
        block.image_column = channels_;
        block.image_channel = channels_ == 1 ? 0 : 1;  // grey: three times the same plane
        block.probability = probability_.data();
        block.map = map;
        block.r_max = options_.r_max;
        block.threshold = options_.threshold;
        block.disk_radius = disk_radius;
        block.height = height_;
        block.width = width_;
        block.row_min = roi.row_min;
        block.row_max = roi.row_max;
        block.col_min = roi.col_min;
        block.col_max = roi.col_max;
        block.n_clicks = static_cast<int>(list_.size());
        block.newest = block.n_clicks - 1;
        block.n_early = options_.n_early;
        block.compare_rgb = options_.compare_rgb;
        return block;
    }

    void run(const MfpLane& lane, const float* modulated, Timing& timing) const {
        static_cast<const HostBackend&>(network_->backend())
            .run({lane.image, lane.prev, modulated, lane.clicks, lane.logits, lane.batch, lane.height, lane.width});
        ++timing.passes;
    }

    void check_finite(bool finite) const {
        if (finite) return;
        throw NetworkError(
            text(network_->backend().name(), " gave logits that are not finite: its weights are damaged, or overflow"));
    }

    std::shared_ptr<const Network> network_;
    ClickOptions options_;
    int height_, width_, channels_;
    std::vector<unsigned char> pixels_;
    std::vector<std::uint8_t> initial_;
    std::vector<float> probability_;
    LaneMemory memory_;
    std::optional<Roi> held_;  // region whose image the lane holds
    Size held_size_;
    bool blank_ = true;  // the map is zero everywhere: what reads it all can be left out
    bool empty_ = true;  // the map's crop is
    std::vector<MfpClick> list_;
    std::vector<unsigned> differences_;
    ResizeScratch scratch_;
};

}  // namespace

Stopwatch::Stopwatch(double& stage) : stage_(stage), start_(now_ms()) {}
Stopwatch::~Stopwatch() { stage_ += now_ms() - start_; }

std::unique_ptr<Pipeline> host_pipeline(std::shared_ptr<const Network> network, const Image& image,
                                        const std::uint8_t* initial, const ClickOptions& options) {
    return std::make_unique<HostPipeline>(std::move(network), image, initial, options);
}

}  // namespace mfp
