// The C interface: handles around the C++ objects, exceptions turned into statuses.
#include "mfp/mfp.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>

#include "mfp/session.hpp"
#include "text.hpp"
#include "unicode.hpp"

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
        if (message[length]) {  // never through the middle of a UTF-8 character, and mfp::Error has nothing else
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
        try {
            return fail(error, MFP_ERROR_UNKNOWN, mfp::valid_utf8(e.what()).c_str());
        } catch (...) {
            return fail(error, MFP_ERROR_MEMORY, "not enough memory");
        }
    } catch (...) {
        return fail(error, MFP_ERROR_UNKNOWN, "an exception of unknown type");
    }
}

template <class Pointer>
Pointer* needed(Pointer* pointer, const char* what) {
    if (!pointer) throw mfp::OptionError(mfp::text("expected ", what, ", got null"));
    return pointer;
}

// Where the structs ended in the first version that had struct_size: a smaller one is a mistake. Fields that come later
// leave these as they are.
constexpr std::size_t first_network_options = offsetof(mfp_network_options, gpu) + sizeof(int);
constexpr std::size_t first_image = offsetof(mfp_image, row_stride) + sizeof(ptrdiff_t);
constexpr std::size_t first_session_options = offsetof(mfp_session_options, initial_mask) + sizeof(void*);
constexpr std::size_t first_timing = offsetof(mfp_timing, passes) + sizeof(int);
constexpr std::size_t most_struct = 4096;  // bytes: what is larger is a struct_size that was never set

void check_struct_size(std::size_t given, std::size_t first, std::size_t ours, const char* name) {
    if (given >= first && given <= most_struct) return;
    throw mfp::OptionError(mfp::text("expected struct_size of ", name, " to be its sizeof, ", ours,
                                     " in this version, got ", given, ": set it before the call"));
}

// A caller's struct in this version's layout: fields that it does not have keep those of `defaults`.
template <class Struct>
Struct received(const Struct* given, Struct defaults, std::size_t first, const char* name) {
    check_struct_size(given->struct_size, first, sizeof(Struct), name);
    const auto* bytes = reinterpret_cast<const unsigned char*>(given);
    for (std::size_t i = sizeof(Struct); i < given->struct_size; ++i) {
        if (bytes[i]) {
            throw mfp::OptionError(mfp::text(name, " sets an option that this library, version ", MFP_VERSION,
                                             ", does not have: install the version of the header"));
        }
    }
    std::memcpy(&defaults, given, std::min(sizeof(Struct), given->struct_size));
    return defaults;
}

template <class Failure>
bool flag(int value, const char* name) {
    if (value != 0 && value != 1) throw Failure(mfp::text("expected ", name, " as 1 or 0, got ", value));
    return value == 1;
}

// Writes a struct of which the caller has `size` bytes; fields that this version does not know become zeros.
template <class Struct>
void write_struct(Struct* target, const Struct& value, std::size_t size) {
    std::memcpy(target, &value, std::min(sizeof value, size));
    if (size > sizeof value && size <= most_struct) {
        std::memset(reinterpret_cast<unsigned char*>(target) + sizeof value, 0, size - sizeof value);
    }
}

constexpr mfp_session_options default_options = {sizeof(mfp_session_options), 0, 0, 0, 1, 0.5, -1, 0, 0, nullptr};

void copy(const mfp::Mask& mask, std::uint8_t* target) {
    if (target) std::copy(mask.pixels.begin(), mask.pixels.end(), target);
}

}  // namespace

const char* mfp_version(void) { return MFP_VERSION; }

mfp_status mfp_network_load(const char* path, const mfp_network_options* options, mfp_network** network,
                            mfp_error* error) {
    return guarded(error, [&] {
        needed(path, "a path");
        needed(network, "a place for the network");
        mfp::NetworkOptions chosen;
        if (options) {
            const auto given = received(options, {}, first_network_options, "mfp_network_options");
            if (given.runtime) chosen.runtime = given.runtime;
            if (given.precision) chosen.precision = given.precision;
            chosen.threads = given.threads;
            chosen.gpu = given.gpu;
        }
        *network = new mfp_network{mfp::Network::load(path, chosen)};
    });
}

mfp_status mfp_network_size(const mfp_network* network, int* height, int* width, mfp_error* error) {
    return guarded(error, [&] {
        const mfp::Size size = needed(network, "a network")->network->info().size.value_or(mfp::Size{});
        needed(height, "a place for the height");
        needed(width, "a place for the width");
        *height = size.height;
        *width = size.width;
    });
}

const char* mfp_network_backbone(const mfp_network* network) {
    return network ? network->network->info().backbone.c_str() : nullptr;
}

const char* mfp_network_choice(const mfp_network* network) {
    return network ? network->network->choice().c_str() : nullptr;
}

void mfp_network_free(mfp_network* network) { delete network; }

void mfp_session_options_defaults(mfp_session_options* options, size_t struct_size) {
    if (!options || struct_size < sizeof options->struct_size) return;
    write_struct(options, default_options, struct_size);
    options->struct_size = struct_size;
}

mfp_status mfp_session_new(const mfp_network* network, const mfp_image* image, const mfp_session_options* options,
                           mfp_session** session, mfp_error* error) {
    return guarded(error, [&] {
        needed(network, "a network");
        needed(image, "an image");
        needed(session, "a place for the session");
        mfp::SessionOptions chosen;
        if (options) {
            const auto given = received(options, default_options, first_session_options, "mfp_session_options");
            if (given.height || given.width) chosen.size = mfp::Size{given.height, given.width};
            if (given.longer_side) chosen.longer_side = given.longer_side;
            chosen.flip = flag<mfp::OptionError>(given.flip, "flip");
            chosen.threshold = given.threshold;
            if (given.n_early >= 0) chosen.n_early = given.n_early;
            if (given.r_max != 0) chosen.r_max = given.r_max;
            if (flag<mfp::OptionError>(given.compare_rgb, "compare_rgb")) chosen.distance = mfp::Distance::rgb;
            chosen.initial_mask = given.initial_mask;
        }
        const auto picture = received(image, {}, first_image, "mfp_image");
        const mfp::Image pixels = {picture.pixels, picture.height, picture.width, picture.channels, picture.row_stride};
        *session = new mfp_session{mfp::Session(network->network, pixels, chosen)};
    });
}

void mfp_session_free(mfp_session* session) { delete session; }

mfp_status mfp_session_click(mfp_session* session, double x, double y, int positive, uint8_t* mask, mfp_error* error) {
    return guarded(error, [&] {
        needed(session, "a session");
        copy(session->session.click(x, y, flag<mfp::ClickError>(positive, "positive")), mask);
    });
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
        check_struct_size(timing->struct_size, first_timing, sizeof(mfp_timing), "mfp_timing");
        if (!found) throw mfp::SessionError("there is no timing before the first click: click first");
        const mfp_timing all = {timing->struct_size, found->crop,  found->encode, found->modulate,
                                found->network,      found->paste, found->device, found->passes};
        write_struct(timing, all, all.struct_size);
    });
}
