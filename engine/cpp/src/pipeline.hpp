// What a session asks of the array work; it is done on the host (host.cpp) or on a GPU (device_pipeline.cpp). The state
// machine over it, session.cpp, exists once. The same seam as engine/pipeline.py.
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

// A click's probability at network size, in memory of the pipeline's own kind: enough to paste it again.
struct StepMap {
    virtual ~StepMap() = default;
};

// What one click left behind.
struct Step {
    Click click;
    Roi roi;
    std::unique_ptr<StepMap> map;  // null: given up where memory ran out, the network makes it again
};

class Pipeline {
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

    // Box of the pixels above 0.5, whatever the threshold.
    virtual std::optional<Roi> object_box() const = 0;

    virtual void mask(Mask& mask) const noexcept = 0;  // into pixels that are there already
    virtual Map probability() const = 0;
};

// The size of an image that is accepted. Throws ImageError.
Size checked_image(const Image& image);

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
