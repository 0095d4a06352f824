// The C face: handles around the C++ objects, exceptions into statuses.
#include "mfp/mfp.h"

#include <algorithm>
#include <new>

#include "mfp/session.hpp"
#include "text.hpp"

struct mfp_network {
    std::shared_ptr<const mfp::Network> network;
};

struct mfp_session {
    mfp::Session session;
};

namespace {

mfp_status fail(mfp_error* error, mfp_status status, const char* message) {
    if (error) {
        error->status = status;
        std::size_t length = std::min(std::char_traits<char>::length(message), sizeof(error->message) - 1);
        if (message[length]) {  // never through the middle of a UTF-8 character
            while (length > 0 && (static_cast<unsigned char>(message[length]) & 0xc0) == 0x80) --length;
        }
        std::copy_n(message, length, error->message);
        error->message[length] = '\0';
    }
    return status;
}

// No exception may leave a C function.
template <class Call>
mfp_status guarded(mfp_error* error, Call call) noexcept {
    try {
        call();
        if (error) {
            error->status = MFP_OK;
            error->message[0] = '\0';
        }
        return MFP_OK;
    } catch (const mfp::ImageError& e) {
        return fail(error, MFP_ERROR_IMAGE, e.what());
    } catch (const mfp::ClickError& e) {
        return fail(error, MFP_ERROR_CLICK, e.what());
    } catch (const mfp::NothingToUndoError& e) {
        return fail(error, MFP_ERROR_NOTHING_TO_UNDO, e.what());
    } catch (const mfp::SessionError& e) {
        return fail(error, MFP_ERROR_SESSION, e.what());
    } catch (const mfp::OptionError& e) {
        return fail(error, MFP_ERROR_OPTION, e.what());
    } catch (const mfp::NetworkError& e) {
        return fail(error, MFP_ERROR_NETWORK, e.what());
    } catch (const mfp::RuntimeMissingError& e) {
        return fail(error, MFP_ERROR_RUNTIME_MISSING, e.what());
    } catch (const std::bad_alloc&) {
        return fail(error, MFP_ERROR_MEMORY, "not enough memory");
    } catch (const std::exception& e) {
        return fail(error, MFP_ERROR_UNKNOWN, e.what());
    } catch (...) {
        return fail(error, MFP_ERROR_UNKNOWN, "an exception of unknown type");
    }
}

template <class Pointer>
Pointer* needed(Pointer* pointer, const char* what) {
    if (!pointer) throw mfp::OptionError(mfp::text("expected ", what, ", got null"));
    return pointer;
}

void copy(const mfp::Mask& mask, std::uint8_t* target) {
    if (target) std::copy(mask.pixels.begin(), mask.pixels.end(), target);
}

}  // namespace

mfp_status mfp_network_load(const char* path, const mfp_network_options* options, mfp_network** network,
                            mfp_error* error) {
    return guarded(error, [&] {
        needed(path, "a path");
        needed(network, "a place for the network");
        mfp::NetworkOptions chosen;
        if (options && options->runtime) chosen.runtime = options->runtime;
        if (options && options->precision) chosen.precision = options->precision;
        if (options) chosen.threads = options->threads;
        if (options) chosen.gpu = options->gpu;
        *network = new mfp_network{mfp::Network::load(path, chosen)};
    });
}

mfp_status mfp_network_size(const mfp_network* network, int* height, int* width, mfp_error* error) {
    return guarded(error, [&] {
        const mfp::Size size = needed(network, "a network")->network->info().size.value_or(mfp::Size{});
        *needed(height, "a place for the height") = size.height;
        *needed(width, "a place for the width") = size.width;
    });
}

const char* mfp_network_backbone(const mfp_network* network) {
    return network ? network->network->info().backbone.c_str() : nullptr;
}

void mfp_network_free(mfp_network* network) { delete network; }

void mfp_session_options_init(mfp_session_options* options) {
    if (options) *options = {0, 0, 0, 1, 0.5, -1, 0, 0, nullptr};
}

mfp_status mfp_session_new(const mfp_network* network, const mfp_image* image, const mfp_session_options* options,
                           mfp_session** session, mfp_error* error) {
    return guarded(error, [&] {
        needed(network, "a network");
        needed(image, "an image");
        needed(session, "a place for the session");
        mfp::SessionOptions chosen;
        if (options) {
            if (options->height || options->width) chosen.size = mfp::Size{options->height, options->width};
            if (options->longer_side) chosen.longer_side = options->longer_side;
            chosen.flip = options->flip != 0;
            chosen.threshold = options->threshold;
            if (options->n_early >= 0) chosen.n_early = options->n_early;
            if (options->r_max != 0) chosen.r_max = options->r_max;
            if (options->compare_rgb) chosen.distance = mfp::Distance::rgb;
            chosen.initial_mask = options->initial_mask;
        }
        const mfp::Image pixels = {image->pixels, image->height, image->width, image->channels, image->row_stride};
        *session = new mfp_session{mfp::Session(network->network, pixels, chosen)};
    });
}

void mfp_session_free(mfp_session* session) { delete session; }

mfp_status mfp_session_click(mfp_session* session, double x, double y, int positive, uint8_t* mask, mfp_error* error) {
    return guarded(error, [&] { copy(needed(session, "a session")->session.click(x, y, positive != 0), mask); });
}

mfp_status mfp_session_undo(mfp_session* session, uint8_t* mask, mfp_error* error) {
    return guarded(error, [&] { copy(needed(session, "a session")->session.undo(), mask); });
}

mfp_status mfp_session_redo(mfp_session* session, uint8_t* mask, mfp_error* error) {
    return guarded(error, [&] { copy(needed(session, "a session")->session.redo(), mask); });
}

mfp_status mfp_session_reset(mfp_session* session, mfp_error* error) {
    return guarded(error, [&] { needed(session, "a session")->session.reset(); });
}

mfp_status mfp_session_finish(mfp_session* session, uint8_t* mask, mfp_error* error) {
    return guarded(error, [&] { copy(needed(session, "a session")->session.finish(), mask); });
}

mfp_status mfp_session_mask(const mfp_session* session, uint8_t* mask, mfp_error* error) {
    return guarded(error, [&] {
        needed(session, "a session");
        copy(session->session.mask(), needed(mask, "a place for the mask"));
    });
}

mfp_status mfp_session_probability(const mfp_session* session, float* probability, mfp_error* error) {
    return guarded(error, [&] {
        needed(session, "a session");
        needed(probability, "a place for the probability map");
        const mfp::Map map = session->session.probability();
        std::copy(map.values.begin(), map.values.end(), probability);
    });
}

mfp_status mfp_session_roi(const mfp_session* session, int roi[4], mfp_error* error) {
    return guarded(error, [&] {
        const auto found = needed(session, "a session")->session.roi();
        needed(roi, "a place for the region");
        if (!found) throw mfp::SessionError("there is no region before the first click: click first");
        const int values[] = {found->row_min, found->row_max, found->col_min, found->col_max};
        std::copy_n(values, 4, roi);
    });
}

mfp_status mfp_session_timing(const mfp_session* session, mfp_timing* timing, mfp_error* error) {
    return guarded(error, [&] {
        const auto found = needed(session, "a session")->session.timing();
        needed(timing, "a place for the timing");
        if (!found) throw mfp::SessionError("there is no timing before the first click: click first");
        *timing = {found->crop,  found->encode, found->modulate, found->network,
                   found->paste, found->device, found->passes};
    });
}
