/* The C face, from C. Arguments: toy.onnx and a runtime that opens it; else nothing. */
#include <mfp/mfp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;
static mfp_error error = {MFP_OK, ""};

#define CHECK(condition)                                                                        \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, error.message); \
            ++failures;                                                                         \
        }                                                                                       \
    } while (0)

/* A call that fails with this status and words. */
#define REFUSED(call, expected, words)                             \
    do {                                                           \
        memset(&error, 0, sizeof error);                           \
        CHECK((call) == (expected) && error.status == (expected)); \
        CHECK(strstr(error.message, words) != NULL);               \
    } while (0)

enum { HEIGHT = 60, WIDTH = 80 };

static uint8_t pixels[HEIGHT * WIDTH * 3], first[HEIGHT * WIDTH], mask[HEIGHT * WIDTH];
static float probability[HEIGHT * WIDTH];
static const mfp_image image = {sizeof image, pixels, HEIGHT, WIDTH, 3, 0};

/* Whether text is UTF-8, as far as where characters begin and end. */
static int is_utf8(const char* text) {
    const unsigned char* c = (const unsigned char*)text;
    int more = 0;
    for (; *c; ++c) {
        if (more ? (*c & 0xc0) != 0x80 : (*c & 0xc0) == 0x80) return 0;
        more = more ? more - 1 : *c >= 0xf0 ? 3 : *c >= 0xe0 ? 2 : *c >= 0xc0 ? 1 : 0;
    }
    return more == 0;
}

static void versions_and_sizes(void) {
    struct {
        mfp_session_options options;
        unsigned char behind[16];
    } guarded;
    char expected[32];
    size_t size, i;

    snprintf(expected, sizeof expected, "%d.%d.%d", MFP_VERSION_MAJOR, MFP_VERSION_MINOR, MFP_VERSION_PATCH);
    CHECK(strcmp(mfp_version(), MFP_VERSION) == 0 && strcmp(MFP_VERSION, expected) == 0);
    CHECK(sizeof(mfp_error) == 1024); /* for good */

    /* a program with a smaller struct: nothing behind it is written */
    for (size = 0; size <= sizeof guarded.options; ++size) {
        memset(&guarded, 0xa5, sizeof guarded);
        mfp_session_options_defaults(&guarded.options, size);
        for (i = size; i < sizeof guarded; ++i) CHECK(((unsigned char*)&guarded)[i] == 0xa5);
    }
    /* one with a larger struct: fields that the library does not know are zeros, which it accepts */
    memset(&guarded, 0xa5, sizeof guarded);
    mfp_session_options_defaults(&guarded.options, sizeof guarded);
    for (i = 0; i < sizeof guarded.behind; ++i) CHECK(guarded.behind[i] == 0);
    CHECK(guarded.options.struct_size == sizeof guarded && guarded.options.threshold == 0.5);
    mfp_session_options_init(&guarded.options);
    CHECK(guarded.options.struct_size == sizeof guarded.options && guarded.options.flip == 1);
    CHECK(guarded.options.threshold == 0.5 && guarded.options.n_early == -1 && !guarded.options.initial_mask);
    mfp_session_options_init(NULL);
}

static void nulls_without_a_network(void) {
    mfp_network* network = NULL;
    mfp_session* session = NULL;
    mfp_timing timing = {sizeof timing, 0, 0, 0, 0, 0, 0, 0};
    int height = -7, width = -7, roi[4];
    char path[3002];
    int i;

    REFUSED(mfp_network_load("absent.onnx", NULL, &network, &error), MFP_ERROR_NETWORK, "no such file");
    CHECK(network == NULL);
    REFUSED(mfp_network_load(NULL, NULL, &network, &error), MFP_ERROR_OPTION, "expected a path, got null");
    REFUSED(mfp_network_load("absent.onnx", NULL, NULL, &error), MFP_ERROR_OPTION, "a place for the network, got null");
    CHECK(mfp_network_load("absent.onnx", NULL, &network, NULL) != MFP_OK);
    REFUSED(mfp_network_size(NULL, &height, &width, &error), MFP_ERROR_OPTION, "expected a network, got null");
    REFUSED(mfp_session_new(NULL, &image, NULL, &session, &error), MFP_ERROR_OPTION, "expected a network, got null");
    REFUSED(mfp_session_click(NULL, 0, 0, 1, mask, &error), MFP_ERROR_OPTION, "expected a session, got null");
    REFUSED(mfp_session_undo(NULL, mask, &error), MFP_ERROR_OPTION, "expected a session, got null");
    REFUSED(mfp_session_redo(NULL, mask, &error), MFP_ERROR_OPTION, "expected a session, got null");
    REFUSED(mfp_session_reset(NULL, &error), MFP_ERROR_OPTION, "expected a session, got null");
    REFUSED(mfp_session_finish(NULL, mask, &error), MFP_ERROR_OPTION, "expected a session, got null");
    REFUSED(mfp_session_mask(NULL, mask, &error), MFP_ERROR_OPTION, "expected a session, got null");
    REFUSED(mfp_session_probability(NULL, probability, &error), MFP_ERROR_OPTION, "expected a session, got null");
    REFUSED(mfp_session_roi(NULL, roi, &error), MFP_ERROR_OPTION, "expected a session, got null");
    REFUSED(mfp_session_timing(NULL, &timing, &error), MFP_ERROR_OPTION, "expected a session, got null");
    CHECK(height == -7 && width == -7 && !session);
    CHECK(!mfp_network_backbone(NULL) && !mfp_network_choice(NULL));
    mfp_session_free(NULL);
    mfp_network_free(NULL);

    /* a message that does not fit is cut between characters; bytes of a path that are no UTF-8 are none in it either */
    for (i = 0; i < 1500; ++i) memcpy(path + 2 * i, "\xc3\xa9", 2);
    path[3000] = '.';
    path[3001] = '\0';
    CHECK(mfp_network_load(path, NULL, &network, &error) == MFP_ERROR_NETWORK && is_utf8(error.message));
    CHECK(strlen(error.message) > 1000);
    CHECK(mfp_network_load(path + 1, NULL, &network, &error) == MFP_ERROR_NETWORK && is_utf8(error.message));
    CHECK(mfp_network_load("\xff\xfe.onnx", NULL, &network, &error) == MFP_ERROR_NETWORK && is_utf8(error.message));
}

static void structs_of_another_version(const char* path, const char* runtime, const mfp_network* network) {
    struct {
        mfp_network_options options;
        unsigned char newer[8];
    } larger = {{sizeof larger, runtime, NULL, 1, 0}, {0}};
    struct {
        mfp_timing timing;
        unsigned char newer[8], behind[8];
    } guarded;
    mfp_network* loaded = NULL;
    mfp_session* session = NULL;
    mfp_image wrong = image;
    mfp_session_options options;
    size_t i;

    CHECK(mfp_network_load(path, &larger.options, &loaded, &error) == MFP_OK); /* zeros are what it does not know */
    mfp_network_free(loaded);
    loaded = NULL;
    larger.newer[3] = 1;
    REFUSED(mfp_network_load(path, &larger.options, &loaded, &error), MFP_ERROR_OPTION, "does not have");
    larger.options.struct_size = 0;
    REFUSED(mfp_network_load(path, &larger.options, &loaded, &error), MFP_ERROR_OPTION,
            "expected struct_size of mfp_network_options to be its sizeof");
    CHECK(loaded == NULL);
    wrong.struct_size = 1;
    REFUSED(mfp_session_new(network, &wrong, NULL, &session, &error), MFP_ERROR_OPTION, "struct_size of mfp_image");
    wrong.struct_size = (size_t)-1;
    REFUSED(mfp_session_new(network, &wrong, NULL, &session, &error), MFP_ERROR_OPTION, "struct_size of mfp_image");
    memset(&options, 0, sizeof options);
    REFUSED(mfp_session_new(network, &image, &options, &session, &error), MFP_ERROR_OPTION,
            "struct_size of mfp_session_options");
    CHECK(session == NULL);

    CHECK(mfp_session_new(network, &image, NULL, &session, &error) == MFP_OK);
    CHECK(mfp_session_click(session, 40, 30, 1, NULL, &error) == MFP_OK);
    memset(&guarded, 0xa5, sizeof guarded);
    guarded.timing.struct_size = 8;
    REFUSED(mfp_session_timing(session, &guarded.timing, &error), MFP_ERROR_OPTION, "struct_size of mfp_timing");
    guarded.timing.struct_size = sizeof guarded - sizeof guarded.behind; /* of a program that is newer */
    CHECK(mfp_session_timing(session, &guarded.timing, &error) == MFP_OK && guarded.timing.passes == 2);
    for (i = 0; i < sizeof guarded.newer; ++i) CHECK(guarded.newer[i] == 0 && guarded.behind[i] == 0xa5);
    mfp_session_free(session);
}

static void failing_calls_write_nothing(const mfp_network* network, mfp_session* session) {
    mfp_session* none = NULL;
    mfp_timing timing = {sizeof timing, -7, 0, 0, 0, 0, 0, -7};
    mfp_session_options options;
    int height = -7, width = -7, roi[4] = {-7, -7, -7, -7}, i;

    REFUSED(mfp_network_size(network, &height, NULL, &error), MFP_ERROR_OPTION, "a place for the width, got null");
    REFUSED(mfp_network_size(network, NULL, &width, &error), MFP_ERROR_OPTION, "a place for the height, got null");
    CHECK(height == -7 && width == -7);
    REFUSED(mfp_session_new(network, NULL, NULL, &none, &error), MFP_ERROR_OPTION, "expected an image, got null");
    REFUSED(mfp_session_new(network, &image, NULL, NULL, &error), MFP_ERROR_OPTION,
            "a place for the session, got null");
    for (i = 0; i < 2; ++i) {
        mfp_session_options_init(&options);
        *(i ? &options.flip : &options.compare_rgb) = 7;
        REFUSED(mfp_session_new(network, &image, &options, &none, &error), MFP_ERROR_OPTION, "as 1 or 0, got 7");
    }
    CHECK(none == NULL);

    memset(mask, 7, sizeof mask);
    REFUSED(mfp_session_roi(session, roi, &error), MFP_ERROR_SESSION, "click first");
    REFUSED(mfp_session_roi(session, NULL, &error), MFP_ERROR_OPTION, "a place for the region, got null");
    REFUSED(mfp_session_timing(session, &timing, &error), MFP_ERROR_SESSION, "click first");
    REFUSED(mfp_session_timing(session, NULL, &error), MFP_ERROR_OPTION, "a place for the timing, got null");
    REFUSED(mfp_session_mask(session, NULL, &error), MFP_ERROR_OPTION, "a place for the mask, got null");
    REFUSED(mfp_session_probability(session, NULL, &error), MFP_ERROR_OPTION, "got null");
    REFUSED(mfp_session_undo(session, mask, &error), MFP_ERROR_NOTHING_TO_UNDO, "nothing to undo");
    REFUSED(mfp_session_redo(session, mask, &error), MFP_ERROR_NOTHING_TO_UNDO, "nothing to redo");
    REFUSED(mfp_session_finish(session, mask, &error), MFP_ERROR_SESSION, "nothing to finish");
    REFUSED(mfp_session_click(session, 200, 30, 1, mask, &error), MFP_ERROR_CLICK, "outside");
    REFUSED(mfp_session_click(session, 40, 30, -1, mask, &error), MFP_ERROR_CLICK,
            "expected positive as 1 or 0, got -1");
    CHECK(!memchr(mask, 0, sizeof mask) && !memchr(mask, 1, sizeof mask));
    CHECK(roi[0] == -7 && roi[3] == -7 && timing.crop == -7 && timing.passes == -7);
}

int main(int count, char** arguments) {
    mfp_network* network = NULL;
    mfp_session* session = NULL;
    mfp_network_options network_options = {sizeof network_options, NULL, NULL, 0, 0};
    mfp_session_options options;
    mfp_timing timing = {sizeof timing, 0, 0, 0, 0, 0, 0, 0};
    int i, height = -1, width = -1, roi[4];

    versions_and_sizes();
    nulls_without_a_network();
    if (count < 3) return failures != 0;

    for (i = 0; i < HEIGHT * WIDTH * 3; ++i) pixels[i] = (uint8_t)(i * 7 % 251);
    network_options.runtime = arguments[2];
    CHECK(mfp_network_load(arguments[1], &network_options, &network, &error) == MFP_OK);
    CHECK(mfp_network_size(network, &height, &width, &error) == MFP_OK && height == 0 && width == 0);
    CHECK(mfp_network_backbone(network) != NULL && strcmp(mfp_network_choice(network), "") == 0);
    structs_of_another_version(arguments[1], arguments[2], network);
    mfp_session_options_init(&options);
    options.threshold = 2;
    CHECK(mfp_session_new(network, &image, &options, &session, &error) == MFP_ERROR_OPTION);
    CHECK(strstr(error.message, "expected a threshold between 0 and 1, got 2") != NULL);
    options.threshold = 0.5;
    options.longer_side = 64;
    CHECK(mfp_session_new(network, &image, &options, &session, &error) == MFP_OK);
    failing_calls_write_nothing(network, session);
    mfp_network_free(network); /* the session keeps it */
    CHECK(mfp_session_click(session, 40, 30, 1, first, &error) == MFP_OK);
    CHECK(mfp_session_roi(session, roi, &error) == MFP_OK && roi[0] == 0 && roi[1] == HEIGHT - 1 &&
          roi[3] == WIDTH - 1);
    CHECK(mfp_session_timing(session, &timing, &error) == MFP_OK && timing.passes == 2 && timing.network > 0);
    CHECK(timing.struct_size == sizeof timing);
    CHECK(mfp_session_click(session, 200, 30, 1, mask, &error) == MFP_ERROR_CLICK);
    CHECK(mfp_session_click(session, 10, 10, 0, NULL, &error) == MFP_OK);
    CHECK(mfp_session_undo(session, mask, &error) == MFP_OK && memcmp(mask, first, sizeof mask) == 0);
    CHECK(mfp_session_redo(session, mask, &error) == MFP_OK);
    CHECK(mfp_session_reset(session, &error) == MFP_OK);
    CHECK(mfp_session_mask(session, mask, &error) == MFP_OK && !memchr(mask, 1, sizeof mask));
    CHECK(mfp_session_probability(session, probability, &error) == MFP_OK && probability[0] == 0);
    CHECK(mfp_session_finish(session, mask, &error) == MFP_ERROR_SESSION);
    mfp_session_free(session);
    return failures != 0;
}
