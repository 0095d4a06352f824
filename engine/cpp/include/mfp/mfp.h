/**
 * @file
 * The C face of mfp/session.hpp, for other languages.
 *
 * Every call that can fail returns a status and, where `error` is not null, writes a message that says what was
 * expected, what came and what to do. Status and message are the caller's: nothing is kept in the library. Where a call
 * fails, what it would have written is untouched and the session is as it was. A null where an argument is needed is
 * refused with MFP_ERROR_OPTION; every free function takes null.
 *
 * Versions: a program that was compiled with an older header of the same SONAME works with a newer library. Structs that
 * may grow begin with `struct_size`: set it to sizeof the struct, as in `mfp_image image = {sizeof image, pixels, …}`.
 * The library reads and writes no byte behind it; fields that the program does not know have their defaults, and fields
 * that the library does not know have to be zero, which is what it writes there. mfp_error has no such field: its layout
 * is final.
 *
 * Ending: as in mfp/session.hpp, let threads that click finish before exit() is called.
 *
 * Threads: a network may be used by any number of threads at once; calls on one session must not overlap.
 *
 * Ownership: handles are freed with their free function, in any order: a session keeps its network alive. Images and
 * masks that are passed in are copied before the call returns. Text is UTF-8, and does not depend on the locale.
 *
 * Maps and masks are row by row, top to bottom, without gaps: pixel (y, x) is element y * width + x.
 */
#ifndef MFP_MFP_H
#define MFP_MFP_H

#include <stddef.h>
#include <stdint.h>

#include "mfp/export.h"
#include "mfp/version.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mfp_network mfp_network;
typedef struct mfp_session mfp_session;

typedef enum mfp_status {
    MFP_OK = 0,
    MFP_ERROR_IMAGE = 1,           /**< an image or an initial mask that is not accepted */
    MFP_ERROR_CLICK = 2,           /**< a click outside the image, or not finite */
    MFP_ERROR_NOTHING_TO_UNDO = 3, /**< undo or redo with nothing left */
    MFP_ERROR_SESSION = 4,         /**< a call that the session cannot answer in its present state */
    MFP_ERROR_OPTION = 5,          /**< an option out of its range, or a null where a handle or a place is needed */
    MFP_ERROR_NETWORK = 6,         /**< a file that is no MFP network, or a runtime that failed */
    MFP_ERROR_RUNTIME_MISSING = 7, /**< a runtime that is not part of this build */
    MFP_ERROR_MEMORY = 8,
    MFP_ERROR_UNKNOWN = 9
} mfp_status;

/** Filled by calls that fail; the message ends with a zero, cut between two characters where it is longer. */
typedef struct mfp_error {
    mfp_status status;
    char message[1020];
} mfp_error;

/** Zeros behind struct_size are the defaults. */
typedef struct mfp_network_options {
    size_t struct_size;    /**< sizeof(mfp_network_options) */
    const char* runtime;   /**< null or "auto", or "openvino", "onnxruntime", "tensorrt", "tensorrt-rtx" */
    const char* precision; /**< null: the file's; "fp32", "fp16", "bf16" */
    int threads;           /**< 0: the runtime decides */
    int gpu;               /**< number of the GPU, for plans; other than 0 with an .onnx is an error */
} mfp_network_options;

/** 8 bits a channel, interleaved: grey (1), RGB (3) or RGBA (4). */
typedef struct mfp_image {
    size_t struct_size; /**< sizeof(mfp_image) */
    const uint8_t* pixels;
    int height, width, channels;
    ptrdiff_t row_stride; /**< bytes, may be negative; 0: width * channels */
} mfp_image;

/** Fill it with mfp_session_options_init() first, which sets struct_size too. */
typedef struct mfp_session_options {
    size_t struct_size;
    int height, width;           /**< network size; both 0: longer_side, else the network's own */
    int longer_side;             /**< 0: not given */
    int flip;                    /**< 1: also run on the mirrored crop and average; else 0 */
    double threshold;            /**< in (0, 1) */
    int n_early;                 /**< N; negative: the network's own */
    double r_max;                /**< R_max, network pixels; 0: the network's own */
    int compare_rgb;             /**< 1: early clicks compare colours; else 0 */
    const uint8_t* initial_mask; /**< null, or one byte a pixel of the image's size: 0 and 1, or 0 and 255 */
} mfp_session_options;

/** Milliseconds of the last click, by stage; on a GPU `device` is all of them together. */
typedef struct mfp_timing {
    size_t struct_size; /**< sizeof(mfp_timing), set before the call */
    double crop, encode, modulate, network, paste, device;
    int passes;
} mfp_timing;

MFP_API const char* mfp_version(void); /**< "0.1.0": of the library that is loaded; of this header: MFP_VERSION */

/**
 * Reads and compiles an .onnx file, or "lite0", which ships with the library, or opens a .plan on a GPU. `options` may
 * be null. `network` receives the handle.
 */
MFP_API mfp_status mfp_network_load(const char* path, const mfp_network_options* options, mfp_network** network,
                                    mfp_error* error);
/** Size that the network is fixed to; 0 and 0 where it takes any. */
MFP_API mfp_status mfp_network_size(const mfp_network* network, int* height, int* width, mfp_error* error);
/** Name of the backbone; valid as long as the handle. Null for a null handle. */
MFP_API const char* mfp_network_backbone(const mfp_network* network);
/** What "auto" chose and why, empty without "auto"; valid as long as the handle. Null for a null handle. */
MFP_API const char* mfp_network_choice(const mfp_network* network);
MFP_API void mfp_network_free(mfp_network* network); /**< null is fine */

/** The defaults, no more than `struct_size` bytes of them. Does nothing with null, or with a size below a size_t's. */
MFP_API void mfp_session_options_defaults(mfp_session_options* options, size_t struct_size);
/** The same, with the size of the struct that the caller was compiled with. */
static inline void mfp_session_options_init(mfp_session_options* options) {
    mfp_session_options_defaults(options, sizeof(mfp_session_options));
}
/** A session on one image. `options` may be null. `session` receives the handle. */
MFP_API mfp_status mfp_session_new(const mfp_network* network, const mfp_image* image,
                                   const mfp_session_options* options, mfp_session** session, mfp_error* error);
MFP_API void mfp_session_free(mfp_session* session); /**< null is fine */

/* `positive`: 1 adds to the object, 0 removes from it; others are refused. */
/* `mask`: height * width bytes of the image's size, written with 1 on the object and 0 elsewhere; or null. */
MFP_API mfp_status mfp_session_click(mfp_session* session, double x, double y, int positive, uint8_t* mask,
                                     mfp_error* error);
MFP_API mfp_status mfp_session_undo(mfp_session* session, uint8_t* mask, mfp_error* error);
MFP_API mfp_status mfp_session_redo(mfp_session* session, uint8_t* mask, mfp_error* error);
MFP_API mfp_status mfp_session_reset(mfp_session* session, mfp_error* error);
/** Writes the present mask and starts the next object on the same image, from nothing. */
MFP_API mfp_status mfp_session_finish(mfp_session* session, uint8_t* mask, mfp_error* error);
MFP_API mfp_status mfp_session_mask(const mfp_session* session, uint8_t* mask, mfp_error* error);

/** `probability`: height * width floats, written with values in [0, 1]. */
MFP_API mfp_status mfp_session_probability(const mfp_session* session, float* probability, mfp_error* error);
/** `roi`: row_min, row_max, col_min, col_max of the newest pass, inclusive. Before the first click an error. */
MFP_API mfp_status mfp_session_roi(const mfp_session* session, int roi[4], mfp_error* error);
/** MFP_ERROR_SESSION before the first click. */
MFP_API mfp_status mfp_session_timing(const mfp_session* session, mfp_timing* timing, mfp_error* error);

#ifdef __cplusplus
}
#endif

#endif
