// The state machine of a session: clicks, regions, undo and redo over a pipeline. See engine/session.py.
#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "device_pipeline.hpp"
#include "history.hpp"
#include "limits.hpp"
#include "roi.hpp"
#include "text.hpp"

namespace mfp {
namespace {

void check_initial_mask(const std::uint8_t* mask, std::size_t area) {
    const std::uint8_t top = *std::max_element(mask, mask + area) > 1 ? 255 : 1;
    if (std::any_of(mask, mask + area, [top](std::uint8_t value) { return value != 0 && value != top; })) {
        throw ImageError(
            "expected an initial mask of 0 and 1, or of 0 and 255, got other values; threshold it first, for a "
            "probability "
            "map with mask > 0.5");
    }
}

bool is_side(int side) { return 1 <= side && side <= max_side; }

// The session's size, held against what the network takes.
Size checked_size(const SessionOptions& options, const NetworkInfo& info) {
    if (options.size && options.longer_side)
        throw OptionError("expected a size or a longer side, got both: leave one out");
    if (!options.size && !options.longer_side) return info.size ? *info.size : Size{default_longer_side, 0};
    const Size size = options.size ? *options.size : Size{*options.longer_side, 0};
    const std::string asked =
        options.size ? text(size.height, "×", size.width) : text("a longer side of ", size.height);
    if (!is_side(size.height) || (options.size && !is_side(size.width))) {
        throw OptionError(text("expected a size in pixels from 1 to ", max_side, " a side, got ", asked));
    }
    if (info.size && !(options.size && size.height == info.size->height && size.width == info.size->width)) {
        throw OptionError(
            text("this network is fixed to ", info.size->height, "×", info.size->width, ", got ", asked,
                 "; leave the size out, or export a network for it: mfp export --size HxW (or --size dynamic "
                 "for the convolutional backbones)"));
    }
    return size;
}

ClickOptions checked_options(const SessionOptions& options, const NetworkInfo& info) {
    const int n_early = options.n_early.value_or(info.n_early);
    const double r_max = options.r_max.value_or(info.r_max);
    if (!(options.threshold > 0 && options.threshold < 1)) {
        throw OptionError(text("expected a threshold between 0 and 1, got ", options.threshold));
    }
    if (n_early < 0) throw OptionError(text("expected a whole number from 0 for n_early, got ", n_early));
    if (!(r_max > 0) || !std::isfinite(r_max)) {
        throw OptionError(text("expected a positive r_max in network pixels, got ", r_max));
    }
    if (options.distance != Distance::probability && options.distance != Distance::rgb) {
        throw OptionError(text("expected the distance probability or rgb, got ", static_cast<int>(options.distance)));
    }
    return {checked_size(options, info),      options.flip, static_cast<float>(options.threshold), n_early, r_max,
            options.distance == Distance::rgb};
}

}  // namespace

Size checked_image(const Image& image) {
    if (!image.pixels) throw ImageError("expected an image, got no pixels");
    if (image.height < 1 || image.width < 1) {
        throw ImageError(text("expected an image with pixels, got an empty one of ", image.height, "×", image.width));
    }
    if (image.channels != 1 && image.channels != 3 && image.channels != 4) {
        throw ImageError(text("expected an image of 1 (grey), 3 (RGB) or 4 (RGBA) channels, got ", image.channels));
    }
    const long long area = static_cast<long long>(image.height) * image.width;
    if (image.height > max_image_side || image.width > max_image_side || area > max_image_area) {
        throw ImageError(text("expected an image of at most ", max_image_area, " pixels, and ", max_image_side,
                              " a side, got ", image.height, "×", image.width));
    }
    const std::ptrdiff_t needed = static_cast<std::ptrdiff_t>(image.width) * image.channels;
    const std::ptrdiff_t stride = image.row_stride;
    if (stride != 0 && -needed < stride && stride < needed) {
        throw ImageError(text("expected rows at least ", needed,
                              " bytes apart, or 0 for rows without gaps, got a stride of ", stride));
    }
    check_stride(stride, image.height, "row");
    return {image.height, image.width};
}

void check_stride(std::ptrdiff_t stride, int count, const char* what) {
    const std::ptrdiff_t most = std::numeric_limits<std::ptrdiff_t>::max() / count / 4;  // added to two others
    if (-most <= stride && stride <= most) return;
    throw ImageError(text("expected ", what, "s at most ", most, " bytes apart, got a stride of ", stride));
}

std::size_t Mask::area() const { return static_cast<std::size_t>(std::count(pixels.begin(), pixels.end(), 1)); }

struct Session::State {
    std::shared_ptr<const Network> network;
    int height, width;
    bool has_initial;
    std::unique_ptr<Pipeline> pipeline;
    History history;
    std::optional<Timing> timing;

    // What `make` returns; where it lacks memory, once more without the maps of earlier clicks.
    template <class Make>
    auto with_room_for(Make make) {
        try {
            return make();
        } catch (const std::bad_alloc&) {
            if (!history.give_up()) throw;
        }
        return make();
    }

    Mask blank() {
        return with_room_for([this] {
            Mask mask{height, width, {}};
            mask.pixels.resize(static_cast<std::size_t>(height) * width);
            return mask;
        });
    }

    std::unique_ptr<StepMap> run(const Roi& roi, const std::vector<Click>& clicks, Timing& timing) {
        return with_room_for([&] { return pipeline->click(roi, clicks, timing); });
    }

    std::optional<Roi> roi() const {
        return history.steps().empty() ? std::nullopt : std::optional<Roi>(history.steps().back().roi);
    }

    // Clicks of the first `count` steps, with room for one more.
    std::vector<Click> clicks(std::size_t count) const {
        std::vector<Click> clicks;
        clicks.reserve(count + 1);
        for (std::size_t i = 0; i < count; ++i) clicks.push_back(history.steps()[i].click);
        return clicks;
    }

    // Puts a step of old, the one after the first `count`, into the image's map again.
    void repeat(Step& step, std::size_t count) {
        if (step.map) return pipeline->paste(step);
        std::vector<Click> clicks = this->clicks(count);
        clicks.push_back(step.click);
        Timing timing;
        step.map = run(step.roi, clicks, timing);
    }

    Click checked(double x, double y, bool positive) const {
        if (!std::isfinite(x) || !std::isfinite(y)) {
            throw ClickError(text("expected finite coordinates, got x=", x, ", y=", y));
        }
        if (!(0 <= x && x < width && 0 <= y && y < height)) {
            throw ClickError(text("click outside the image: expected 0 <= x < ", width, " and 0 <= y < ", height,
                                  ", got x=", x, ", y=", y));
        }
        return {x, y, positive, static_cast<int>(history.steps().size()) + (has_initial ? 1 : 0)};
    }
};

Session::Session(std::shared_ptr<const Network> network, const Image& image, const SessionOptions& options)
    : Session(network, checked_image(image), options, [&](const ClickOptions& checked) -> std::unique_ptr<Pipeline> {
          const std::uint8_t* initial = options.initial_mask;
          if (!dynamic_cast<const GpuBackend*>(&network->backend()))
              return host_pipeline(network, image, initial, checked);
          return std::make_unique<DevicePipeline>(network, image, initial, checked, std::nullopt);
      }) {}

Session::Session(std::shared_ptr<const Network> network, Size image, const SessionOptions& options,
                 const MakePipeline& make) {
    if (!network) throw OptionError("expected a network, got none: load one with mfp::Network::load");
    const ClickOptions checked = checked_options(options, network->info());
    if (options.initial_mask) {
        check_initial_mask(options.initial_mask, static_cast<std::size_t>(image.height) * image.width);
    }
    const bool has_initial = options.initial_mask != nullptr;
    auto pipeline = make(checked);
    state_.reset(new State{std::move(network), image.height, image.width, has_initial, std::move(pipeline),
                           History(image), std::nullopt});
}

Pipeline& Session::pipeline() const { return *state_->pipeline; }
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Mask Session::click(double x, double y, bool positive) {
    State& state = *state_;
    const Click click = state.checked(x, y, positive);
    Timing timing;
    Mask mask;
    std::vector<Click> clicks;
    Roi roi;
    {
        Stopwatch watch(timing.crop);
        mask = state.blank();  // all that can lack memory comes before the map changes
        state.history.reserve_step();
        clicks = this->clicks();
        clicks.push_back(click);
        roi = choose_roi(state.roi(), state.pipeline->object_box(), clicks, state.height, state.width);
    }
    std::unique_ptr<StepMap> map = state.run(roi, clicks, timing);
    {
        Stopwatch watch(timing.paste);
        state.history.add(click, roi, std::move(map), *state.pipeline);
        state.pipeline->mask(mask);
    }
    state.timing = timing;
    return mask;
}

Mask Session::undo() {
    State& state = *state_;
    if (!can_undo()) throw NothingToUndoError("nothing to undo: this object has no clicks");
    Mask mask = state.blank();
    state.history.reserve_undo();
    state.history.take_back();
    state.history.rebuild(*state.pipeline, [&](Step& step, std::size_t count) { state.repeat(step, count); });
    state.pipeline->mask(mask);
    return mask;
}

Mask Session::redo() {
    State& state = *state_;
    if (!can_redo()) throw NothingToUndoError("nothing to redo: no click was undone since the last one");
    Mask mask = state.blank();
    state.history.reserve_step();
    state.repeat(state.history.next(), state.history.steps().size());
    state.history.redone(*state.pipeline);
    state.pipeline->mask(mask);
    return mask;
}

void Session::reset() {
    state_->history.clear();
    state_->pipeline->start();
}

Mask Session::finish() {
    if (!can_undo() && !state_->has_initial) {
        throw SessionError("nothing to finish: click on the object first");
    }
    Mask done = mask();
    state_->has_initial = false;
    state_->pipeline->forget_initial();
    reset();
    return done;
}

Mask Session::mask() const {
    Mask mask = state_->blank();
    state_->pipeline->mask(mask);
    return mask;
}

Map Session::probability() const { return state_->pipeline->probability(); }
std::optional<Roi> Session::roi() const { return state_->roi(); }

std::vector<Click> Session::clicks() const { return state_->clicks(state_->history.steps().size()); }
bool Session::can_undo() const { return !state_->history.steps().empty(); }
bool Session::can_redo() const { return !state_->history.undone().empty(); }
std::optional<Timing> Session::timing() const { return state_->timing; }
int Session::height() const { return state_->height; }
int Session::width() const { return state_->width; }
const std::shared_ptr<const Network>& Session::network() const { return state_->network; }

}  // namespace mfp
