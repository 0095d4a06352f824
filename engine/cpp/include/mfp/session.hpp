/// @file
/// Click-based segmentation in C++: a network, sessions on it, masks. The same masks as the Python package's.
///
/// Threads: a Network is immutable; any number of threads may use one at once, through sessions of their own or for its
/// info(). A Session belongs to one thread at a time: calls on one session, const ones included, must not overlap;
/// calls on different sessions may, whatever network they share. The library takes over no global state of the
/// application: neither locale nor signals nor ONNX Runtime's environment (docs/cpp.md, "What to know").
///
/// Ending: join threads that click, or let them finish, before main() returns or std::exit() is called. Both destroy the
/// runtimes' own globals, and a click that still runs then fails with any error, or crashes.
///
/// Ownership: a session shares its network and keeps it alive. Images and masks that are passed in are copied before
/// the call returns; what is returned belongs to the caller and shares nothing with the session.
///
/// Coordinates: x is the column and y the row, in image pixels, 0 at the centre of the first one. Maps and masks are
/// row by row, top to bottom, without gaps: pixel (y, x) is element y * width + x.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mfp/errors.hpp"

namespace mfp {

/// Height and width in pixels.
struct Size {
    int height = 0, width = 0;
};

/// A box in image pixels, inclusive at both ends.
struct Roi {
    int row_min = 0, row_max = 0, col_min = 0, col_max = 0;
};

/// A click in image pixels; index is its place in the click order, from 0, or from 1 after an initial mask.
struct Click {
    double x = 0, y = 0;
    bool positive = true;
    int index = 0;
};

/// A picture in the caller's memory, 8 bits a channel: RGB (3 channels), grey (1) or RGBA (4, the alpha is dropped).
struct Image {
    const std::uint8_t* pixels = nullptr;
    int height = 0, width = 0;      ///< from 1 on
    int channels = 3;               ///< 1, 3 or 4, interleaved
    std::ptrdiff_t row_stride = 0;  ///< bytes from a row to the next, may be negative; 0: width * channels
};

/// One byte a pixel: 1 on the object, 0 elsewhere.
struct MFP_API Mask {
    int height = 0, width = 0;
    std::vector<std::uint8_t> pixels;  ///< height * width

    std::size_t area() const;  ///< pixels on the object
    bool at(int row, int column) const {
        const auto index = static_cast<std::ptrdiff_t>(row) * width + column;
        return pixels[static_cast<std::size_t>(index)] != 0;
    }
};

/// A probability a pixel, in [0, 1].
struct Map {
    int height = 0, width = 0;
    std::vector<float> values;  ///< height * width
};

/// What a network file says of itself.
struct NetworkInfo {
    std::string backbone = "unknown";  ///< "hrnet18", "resnet34", "vit_b", …; "unknown" for files of other exporters
    std::optional<Size> size;          ///< that the network is fixed to; none where it takes any
    std::string precision = "fp32";    ///< of the arithmetic inside, as it runs
    int n_early = 7;                   ///< N: clicks with an index below it modulate by similarity
    double r_max = 100;                ///< R_max, network pixels
    std::string weights = "unknown";   ///< "sha256:…" of the checkpoint, or "untrained, seed S"
    std::string exporter = "unknown";  ///< "mfp-engine VERSION"
};

/// Milliseconds that the last click took, by stage. On a GPU the stages run without the host: device is the time until
/// the mask was back, for all of them together.
struct Timing {
    double crop = 0, encode = 0, modulate = 0, network = 0, paste = 0, device = 0;
    int passes = 0;  ///< of the network: 2 at a first click, else 1; 3 where a GPU found out late that it needs two

    double total() const { return crop + encode + modulate + network + paste + device; }
    double outside_network() const { return total() - network - device; }  ///< the host's array work
};

struct NetworkOptions {
    std::string runtime = "auto";  ///< "auto", or one of Network::runtimes()
    std::string precision;         ///< "fp32", "fp16" or "bf16", where the runtime has it; empty: the file's
    int threads = 0;               ///< of the CPU that a pass may use, up to 1024; 0: the runtime decides
    int gpu = 0;                   ///< number of the GPU, from 0, for plans; other than 0 with an .onnx is an error
};

class MFP_API Backend;
class MFP_API Pipeline;
struct ClickOptions;

/// One compiled network: immutable, shared by as many sessions as you like.
class MFP_API Network {
public:
    /// Reads an .onnx file, checks it against the contract and compiles it; or opens a .plan, which mfp/build.hpp and
    /// `mfp build` write, on a GPU, in the CUDA context that is current in this thread, where it is one on that GPU,
    /// else in the GPU's primary context.
    ///
    /// "lite0" is the network that ships with the library, and "lite0" with the precision "fp16" its FP16 file; a file
    /// of that name in the working folder comes first.
    ///
    /// @throws NetworkError  no such file, no MFP network, or one that the runtime refuses; of a plan PlanError, where it
    ///     is damaged or was made for another version or GPU.
    /// @throws OptionError  an option out of its range, or one that the file does not go with.
    /// @throws RuntimeMissingError  the runtime is not part of this build, or none is, or there is no GPU to run on.
    static std::shared_ptr<const Network> load(const std::string& path, const NetworkOptions& options = {});

    /// Names of the runtimes that this build has; possibly none.
    static std::vector<std::string> runtimes();

    /// For runtimes of the caller's own: see src/backend.hpp, which is not installed.
    explicit Network(std::unique_ptr<const Backend> backend, std::string choice = "");
    ~Network();
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    const NetworkInfo& info() const;                      ///< valid as long as the network
    const std::string& runtime() const;                   ///< the one that runs it
    std::string device() const;                           ///< "cpu" or "cuda:0"
    const std::string& choice() const;                    ///< what "auto" chose and why; empty without "auto"
    const Backend& backend() const { return *backend_; }  ///< the library's own use

private:
    std::unique_ptr<const Backend> backend_;
    std::string choice_;
};

/// What early clicks compare: probabilities as in the release, or colours (paper's supplement, Table S-5).
enum class Distance { probability, rgb };

struct SessionOptions {
    /// Network size, height and width; none: longer_side, else the network's own, else a longer side of 400. 1 … 8192.
    std::optional<Size> size;
    /// Network size as the longer side of the region; its sides keep their ratio. 1 … 8192. Not together with size.
    std::optional<int> longer_side;
    bool flip = true;             ///< also run on the mirrored crop and average; off is about twice as fast
    double threshold = 0.5;       ///< in (0, 1): the mask is where the probability is above it
    std::optional<int> n_early;   ///< N, from 0; none: the network's own
    std::optional<double> r_max;  ///< R_max, above 0, network pixels; none: the network's own
    Distance distance = Distance::probability;
    /// Mask to start from, one byte a pixel of the image's size: all 0 and 1, or all 0 and 255. Clicks then count from
    /// 1.
    const std::uint8_t* initial_mask = nullptr;
};

/// Clicks on one image; the mask follows each. The list of clicks determines the result, to the bit.
///
/// What undo() and redo() need is kept up to 256 MiB a session, the clicks nearest to the present one first. Beyond that,
/// and where memory runs short, it is given up, and undo() and redo() run the network again.
///
/// Where a call throws, the session stays as it was; but where such an undo() throws, what it could not repeat counts as
/// undone, and redo() brings it back. A session that was moved from can only be destroyed or assigned
/// to.
class MFP_API Session {
public:
    /// Copies the image (and the initial mask); runs no network.
    ///
    /// @throws ImageError  the image or the initial mask is not accepted.
    /// @throws OptionError  an option out of its range, a size that the network does not take, or no network.
    Session(std::shared_ptr<const Network> network, const Image& image, const SessionOptions& options = {});
    ~Session();
    Session(Session&&) noexcept;
    Session& operator=(Session&&) noexcept;

    /// Adds a click and returns the new mask; what was undone is forgotten.
    ///
    /// @param x, y  column and row, 0 <= x < width() and 0 <= y < height(); fractions are allowed.
    /// @param positive  true adds to the object, false removes from it.
    /// @throws ClickError  outside the image, or not finite.
    /// @throws NetworkError  the runtime failed, or gave logits that are not finite.
    Mask click(double x, double y, bool positive = true);

    /// Takes the newest click back, in a time that does not grow with their number; without a network pass, unless what
    /// it needs was given up before.
    ///
    /// @throws NothingToUndoError  there is none.
    /// @throws NetworkError  a pass was needed and failed.
    Mask undo();

    /// Brings back the click that was undone last; without a network pass, as undo().
    ///
    /// @throws NothingToUndoError  there is none.
    /// @throws NetworkError  a pass was needed and failed.
    Mask redo();

    /// Drops all clicks, back to the initial mask or to nothing.
    void reset();

    /// Returns the present mask and starts the next object on the same image, from nothing; an initial mask belonged to
    /// the object that is done. @throws SessionError  the present object has neither clicks nor an initial mask.
    Mask finish();

    Mask mask() const;                  ///< the present mask; empty before the first click
    Map probability() const;            ///< the present probability map of the whole image
    std::optional<Roi> roi() const;     ///< region of the newest pass; none before the first click
    std::vector<Click> clicks() const;  ///< in order
    bool can_undo() const;
    bool can_redo() const;
    std::optional<Timing> timing() const;  ///< of the last click() that returned; none before the first
    int height() const;                    ///< of the image
    int width() const;
    const std::shared_ptr<const Network>& network() const;

protected:
    /// For CudaSession (mfp/cuda.hpp): on an image that the pipeline's maker knows.
    using MakePipeline = std::function<std::unique_ptr<Pipeline>(const ClickOptions& options)>;
    Session(std::shared_ptr<const Network> network, Size image, const SessionOptions& options,
            const MakePipeline& make);
    Pipeline& pipeline() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace mfp
