/// @file
/// Sessions for applications that work on the GPU themselves: images, masks and probability maps in its memory, on a
/// stream of theirs. For networks that run on a GPU (runtimes tensorrt and tensorrt-rtx); plain Sessions run on them
/// too, on a stream of their own. Needs no header of CUDA.
///
/// Streams: all of a session's work goes on its stream, behind what is there already, and every call returns when its
/// work is done: results can be read on any stream. A cudaStream_t or CUstream is passed as it is; nullptr is the
/// default stream. The stream outlives the session.
///
/// Contexts: a network works in the CUDA context that was current in the thread that loaded it, where that is one on
/// its GPU, else in the GPU's primary context. Its sessions work in the same and make it current by themselves, in
/// whatever thread they are called. An application that destroys its context drops sessions and networks first.
#pragma once

#include "mfp/session.hpp"

namespace mfp {

/// A picture in the memory of the network's GPU, 8 bits a channel: RGB (3 channels), grey (1) or RGBA (4, the alpha is
/// not read). It is used in place: leave it unchanged while the session lives.
///
/// Strides are in bytes and may be negative. Where all are 0 the channels are interleaved and rows have no gaps; planes
/// of 3×H×W have strides of W, 1 and H * W.
struct CudaImage {
    const std::uint8_t* pixels = nullptr;
    int height = 0, width = 0;  ///< from 1 on
    int channels = 3;           ///< 1, 3 or 4
    std::ptrdiff_t row_stride = 0, column_stride = 0, channel_stride = 0;
};

/// A Session on a GPU, on a stream of the caller's, with its results there.
class MFP_API CudaSession : public Session {
public:
    /// On an image in the GPU's memory. Work that writes it is on the stream already, or done.
    ///
    /// @param stream  cudaStream_t or CUstream; none: one of the session's own.
    /// @throws ImageError  the image is not accepted, or lies where the network's GPU does not reach it.
    /// @throws OptionError  as for Session, or the network does not run on a GPU.
    CudaSession(std::shared_ptr<const Network> network, const CudaImage& image,
                std::optional<void*> stream = std::nullopt, const SessionOptions& options = {});

    /// On an image of the host, which is uploaded. Otherwise the same.
    CudaSession(std::shared_ptr<const Network> network, const Image& image, std::optional<void*> stream = std::nullopt,
                const SessionOptions& options = {});

    /// The session's own map on the GPU, height() * width() floats: read it only, before the next call changes it.
    const float* device_probability() const;

    /// Writes the present mask into memory on the GPU: height() * width() bytes, 0 and 1.
    void device_mask(std::uint8_t* mask) const;

    void* stream() const;

    /// Why clicks of the network's newest size run step by step, and not as one CUDA graph, which costs some hundred
    /// microseconds a click; empty where they do.
    std::string why_eager() const;
};

}  // namespace mfp
