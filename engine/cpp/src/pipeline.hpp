// Pipeline: the interface between a session and its array work, which is done on the host (host.cpp) or on a GPU
// (device_pipeline.cpp). The state machine above it, session.cpp, exists once. The same interface as
// engine/pipelines/pipeline.py.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "mfp/session.hpp"

namespace mfp {

// A session's options, checked.
struct ClickOptions {
    Size size;  // of the network's maps; a width of 0: the height is the longer side
    bool flip;
    float threshold;
    int n_early;
    double r_max;
    bool compare_rgb;
};

// A map in memory of the pipeline's own kind: a click's probability at network size, enough to paste it again, or a part
// of the image's map.
struct StepMap {
    virtual ~StepMap() = default;
    virtual std::size_t bytes() const noexcept = 0;
};

// What one click left behind.
struct Step {
    Click click;
    Roi roi;
    std::unique_ptr<StepMap> map;    // null: given up, the network makes it again
    std::unique_ptr<StepMap> state;  // the image's map after this step, in the box `changed`; null: not saved
    std::size_t base;                // number of the last step up to here that covered the whole image, from 1; 0: none
    Roi changed;                     // box of the regions after that step; empty at it
};

class MFP_API Pipeline {
public:
    virtual ~Pipeline() = default;

    // Sets the map to zeros, or to the initial mask.
    virtual void start() = 0;

    // From now on start() sets the map to zeros.
    virtual void forget_initial() noexcept = 0;

    // Everything from the crop to the paste; the newest click is the last. Where it throws, nothing has changed.
    virtual std::unique_ptr<StepMap> click(const Roi& roi, const std::vector<Click>& clicks, Timing& timing) = 0;

    // Writes the map of an earlier click, which is there, into the image's map.
    virtual void paste(const Step& step) = 0;

    // A part of the image's map, and writing it there again. save() may throw std::bad_alloc.
    virtual std::unique_ptr<StepMap> save(const Roi& box) = 0;
    virtual void restore(const StepMap& saved) = 0;

    // Box of the pixels above 0.5, whatever the threshold.
    virtual std::optional<Roi> object_box() const = 0;

    virtual void mask(Mask& mask) const noexcept = 0;  // into pixels that are there already
    virtual Map probability() const = 0;
};

// The size of an image that is accepted. Throws ImageError.
Size checked_image(const Image& image);

// Bytes from one of `count` rows, columns or channels to the next, whose sum stays within an address. Throws ImageError.
void check_stride(std::ptrdiff_t stride, int count, const char* what);

// On the network's HostBackend. `initial`: one byte a pixel, 0 or not, copied; or null.
std::unique_ptr<Pipeline> host_pipeline(std::shared_ptr<const Network> network, const Image& image,
                                        const std::uint8_t* initial, const ClickOptions& options);

// Milliseconds from its making to its end, added to a stage.
class Stopwatch {
public:
    explicit Stopwatch(double& stage);
    ~Stopwatch();
    Stopwatch(const Stopwatch&) = delete;
    Stopwatch& operator=(const Stopwatch&) = delete;

private:
    double& stage_;
    double start_;
};

}  // namespace mfp
